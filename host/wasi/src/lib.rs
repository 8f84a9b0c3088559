//! WASI sockets, name resolution, TLS, HTTP and polling under one network policy, for any wasmtime store.
//!
//! A store's data has a [`SockboxCtx`] beside its WASI and implements [`SockboxView`]; then
//! [`add_to_linker_async`] takes the place of `wasmtime_wasi::p2::add_to_linker_async`. What the component
//! may do with the network is what a [`Grant`] says, and its [`Authority`] decides it, records it and remembers
//! what was refused.
//!
//! # Map
//! | module | what it has |
//! |---|---|
//! | `ctx`, `linker`, `grant`, `replacement` | what an embedder uses: a store's data, the linker, what a run is given, and its change |
//! | `authority` | decisions, resolved names, redirects, quotas, incidents, the record |
//! | `sockets` | TCP and UDP of WASI 0.2 and 0.3, and a run's private loopback |
//! | `lookup`, `poll`, `files`, `failed` | resolving names; polling many inputs; open files; error texts. `lookup_0_3` and `files_0_3` are those of WASI 0.3 |
//! | `tls` | `wasi:tls` over rustls |
//! | `proxy` | connections through an HTTP proxy, for `http` and `sockets` |
//! | `http` | `wasi:http`: requests that components send, and those that they handle |
//! | `limiter`, `budget`, `trap_limits` | memory, tables, and which limit a trap was about |
//! | `json_lines` | an audit sink that writes a file |

#![warn(missing_docs)]
#![deny(unsafe_code)]

mod authority;
mod bindings;
mod budget;
mod ctx;
mod failed;
mod files;
mod files_0_3;
mod grant;
mod http;
mod json_lines;
mod limiter;
mod linker;
mod local_networks;
mod lookup;
mod lookup_0_3;
mod poll;
mod proxy;
mod replaced;
mod replacement;
mod sockets;
pub mod tls;
mod trap_limits;

#[cfg(test)]
mod testing;

pub use authority::{
    Authority, ConnectionTraffic, Decider, Decision, Incident, Incidents, MAX_DIFFERENT_EVENTS,
    MAX_EVENT_BYTES, Mark, Question, REPEAT_WINDOW, Refusal,
};
pub use ctx::{SockboxCtx, SockboxCtxView, SockboxView, limit_store};
pub use grant::{Grant, ProfileError};
pub use http::incoming::{
    ErrorCode, IncomingHandler, IncomingHandlerPre, RequestError, ResponseBody,
};
pub use json_lines::{FINISH_TIMEOUT, JsonLines, MAX_RECORD_BYTES, MAX_WAITING_BYTES, Written};
pub use limiter::Limiter;
pub use linker::{add_to_linker_async, add_wasi_0_3_to_linker};
pub use local_networks::local_networks;
pub use proxy::ProxyProblem;
pub use replacement::GrantHandle;
pub use sockets::{AcceptRate, ProxiedBy};
pub use trap_limits::trap_limit;

/// The policy, limits, and audit events.
pub use sockbox_policy as policy;

/// The types of [`TlsConfig::roots`](tls::TlsConfig::roots) and [`TlsConfig::verifier`](tls::TlsConfig::verifier).
pub use rustls;

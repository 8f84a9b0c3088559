//! The sockbox component: an HTTP/1.1 client and a TCP server for every host that runs WASI 0.2.
//! With the feature `wasi-0-3` it has the server alone, for hosts that run WASI 0.3.
//!
//! `wit/` defines what it exports to a host. Inside, each module uses only modules to its right:
//!
//! ```text
//! exports ─> fetch ─> http1 (bytes in, progress out)
//!    │         └────> net ──> net::wasi ──> wasi:sockets, wasi:io, wasi:clocks
//!    └─────> hello ─> net, rt
//! ```
//!
//! For WASI 0.3 `net::wasi3` takes the place of `net::wasi`. Only the back-ends in [`net`] and the
//! export glue know WASI. The rest also builds natively, and its tests run natively.

#[cfg(target_family = "wasm")]
mod bindings;
pub mod cli;
#[cfg(target_family = "wasm")]
mod exports;
pub mod fetch;
pub mod hello;
pub mod http1;
pub mod net;
pub mod rt;
pub mod url;

//! The sockbox component: an HTTP/1.1 client and a TCP server, for any host that runs WASI 0.2; and,
//! with the feature `wasi-0-3`, the server for hosts that run WASI 0.3.
//!
//! `wit/` says what it does for a host. In here the data goes
//!
//! ```text
//! exports ─> fetch ─> http1 (bytes in, progress out)
//!    │         └────> net ──> net::wasi ──> wasi:sockets, wasi:io, wasi:clocks
//!    └─────> hello ─> net, rt
//! ```
//!
//! For WASI 0.3 `net::wasi3` takes the place of `net::wasi`. Only [`net`]'s back-end and the export
//! glue know WASI; the rest builds natively as well, and is tested so.

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

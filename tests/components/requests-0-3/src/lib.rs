//! Sends HTTP requests through `wasi:http/client` of WASI 0.3, and prints one line for each: `ok`, the status and the
//! body, or the error code from the host.
//!
//! A request is `METHOD URL`, or `METHOD URL TEXT` with a body. The word `then` separates requests. A request is sent
//! even if the one before it failed. The exit code is 0 if all requests succeeded.

#[cfg(target_family = "wasm")]
mod bindings;
#[cfg(target_family = "wasm")]
mod command;
#[cfg(target_family = "wasm")]
mod request;

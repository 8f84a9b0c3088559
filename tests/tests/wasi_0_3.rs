//! The server's tests once more, with the component for WASI 0.3.

#[path = "serve.rs"]
mod serve;
#[path = "serve_process.rs"]
mod serve_process;

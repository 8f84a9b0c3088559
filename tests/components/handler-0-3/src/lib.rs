//! The component `handler` for WASI 0.3: it handles the same paths, and responds with the same texts. It has no `/nothing`
//! and no `/leak`: on WASI 0.3 there is nothing that a handler can keep in place of its response.
//!
//! These paths are its own:
//!
//! | path | response |
//! |---|---|
//! | `/pass` | the request's body and its trailers: the stream of the host, as it is |
//! | `/forward?AUTHORITY/PATH` | the response of that URL over http: the stream of the host, as it is |
//! | `/file?NAME` | a file of the first directory: the stream of the host, as it is |
//! | `/sent` | a text; when it was sent, prints the result on standard output |
//! | `/never` | the beginning of a body that never ends, though no task is left |

#[cfg(target_family = "wasm")]
mod bindings;
#[cfg(target_family = "wasm")]
mod body;
#[cfg(target_family = "wasm")]
mod fetch;
#[cfg(target_family = "wasm")]
mod handler;
#[cfg(target_family = "wasm")]
mod request;

//! The component `tries` for WASI 0.3: it takes the same attempts, and prints the same lines. All of it goes through WASI
//! 0.3, but for what Rust's standard library imports.
//!
//! These attempts are its own:
//!
//! | attempt | ok says |
//! |---|---|
//! | `waits N` | N, when so many waits have begun; they go on |
//! | `receives ADDRESS:PORT N` | N, when so many calls wait for a datagram at that address; they go on |
//! | `lists FOLDER N` | N, when so many listings of FOLDER have begun; they are kept |
//! | `readers FILE N` | N, when so many streams of FILE have begun; they are kept |
//! | `streams-only ADDRESS:PORT N` | N, when so many were connected, of which the streams alone are kept |
//! | `listener-only ADDRESS:PORT N` | as `listen`, of a listener whose socket was dropped |
//! | `keep ADDRESS:PORT` | as `wait-for`; the connection is kept |
//! | `hear` | what standard input has |
//! | `old-connect ADDRESS:PORT` | as `connect`, with the sockets of WASI 0.2 |
//! | `exit CODE` | nothing: the run ends with that code |
//! | `stall` | nothing: it waits for nothing at all |

#[cfg(target_family = "wasm")]
mod attempt;
#[cfg(target_family = "wasm")]
mod bindings;
#[cfg(target_family = "wasm")]
mod command;
#[cfg(target_family = "wasm")]
mod files;
#[cfg(target_family = "wasm")]
mod flood;
#[cfg(target_family = "wasm")]
mod machine;
#[cfg(target_family = "wasm")]
mod names;
#[cfg(target_family = "wasm")]
mod tcp;
#[cfg(target_family = "wasm")]
mod udp;

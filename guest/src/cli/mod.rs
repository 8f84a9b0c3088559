//! The programs as commands, for runtimes that only know `wasi:cli/run`.

pub mod args;
pub mod command;
#[cfg(all(target_family = "wasm", not(feature = "wasi-0-3")))]
mod fetch;
#[cfg(target_family = "wasm")]
mod output;
pub mod request;
#[cfg(target_family = "wasm")]
mod run;
#[cfg(target_family = "wasm")]
mod serve;

#[cfg(target_family = "wasm")]
pub use run::run;

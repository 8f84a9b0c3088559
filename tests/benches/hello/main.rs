//! How fast the hello server is, against a one-thread tokio server of the same protocol.
//!
//! ```text
//! cargo bench --workspace --bench hello                  every row, five rounds
//! cargo bench --workspace --bench hello -- --rounds 3    fewer
//! cargo bench --workspace --bench hello -- pipelined     the rows whose name has this word
//! cargo bench --workspace --bench hello -- --server tokio --server sockbox    these servers
//! ```
//!
//! In each round every server has its turn at a row, in a process of its own and under load from
//! another process, which checks every reply. The table shows the medians over the rounds and their
//! ratios; a ratio means something on a noisy machine, where a figure doesn't. Nothing here fails
//! because it was slow.
//!
//! `--workspace` matters: without it cargo would build wasmtime with another set of features.
//!
//! The servers are `sockbox serve` with either version of WASI, the same components under the real
//! `wasmtime run`, and [`tokio_server`]. A row with 15,000 connections needs as many file
//! descriptors in both processes, and some more: `ulimit -Hn` must be 20,000 or so.

mod client;
mod driver;
mod load;
mod rows;
mod servers;
mod tokio_server;

use std::env;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut words: Vec<String> = env::args().skip(1).collect();
    let done = match words.first().map(String::as_str) {
        Some("tokio-server") => tokio_server::run(),
        Some("load") => load::run(&words[1..]),
        // `cargo test --benches` runs benchmarks too, and says so by saying nothing.
        _ if !words.iter().any(|word| word == "--bench") => return ExitCode::SUCCESS,
        _ => {
            words.retain(|word| word != "--bench");
            driver::run(&words)
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("hello benchmark: {error}");
            ExitCode::FAILURE
        }
    }
}

//! `wasmtime run`, and nothing else: the command of wasmtime's own command line, for tests on machines
//! that have no wasmtime.

use clap::Parser;

fn main() -> wasmtime::Result<()> {
    wasmtime_cli::commands::RunCommand::parse().execute()
}

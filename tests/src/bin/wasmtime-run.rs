//! `wasmtime run`, and `wasmtime compile` behind the word `compile`: the commands of wasmtime's own
//! command line, for tests on machines that have no wasmtime.

use clap::Parser;
use std::env;
use wasmtime_cli::commands::{CompileCommand, RunCommand};

fn main() -> wasmtime::Result<()> {
    let mut args = env::args_os();
    if args.nth(1).is_some_and(|word| word == "compile") {
        // The word stands for the program's name.
        return CompileCommand::parse_from(env::args_os().skip(1)).execute();
    }
    RunCommand::parse().execute()
}

//! `wasi:cli/run`: the programs as commands.

use super::Component;
use crate::bindings::exports::wasi::cli::run::Guest;
use crate::cli;

impl Guest for Component {
    fn run() -> Result<(), ()> {
        // The first argument is the program's name, if the runtime gives one.
        cli::run(std::env::args_os().skip(1)).map_err(drop)
    }
}

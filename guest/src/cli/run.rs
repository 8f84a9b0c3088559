//! From the arguments to the program that they name.

use super::args;
use super::command::Command;
#[cfg(not(feature = "wasi-0-3"))]
use super::fetch;
use super::output::{Failed, complain, print};
use super::serve;
use std::ffi::OsString;

/// Runs the command that the arguments describe.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> Result<(), Failed> {
    match args::parse(arguments) {
        Ok(Command::Help) => print(args::HELP),
        Ok(Command::Version) => print(concat!("sockbox ", env!("CARGO_PKG_VERSION"), "\n")),
        #[cfg(not(feature = "wasi-0-3"))]
        Ok(Command::Fetch(fetch)) => fetch::run(*fetch),
        #[cfg(feature = "wasi-0-3")]
        Ok(Command::Fetch(_)) => {
            complain("fetch is not in this component: the build for WASI 0.3 has only serve");
            Err(Failed)
        }
        Ok(Command::Serve(serve)) => serve::run(serve),
        Err(why) => {
            complain(&why);
            Err(Failed)
        }
    }
}

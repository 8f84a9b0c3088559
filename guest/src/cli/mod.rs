//! The programs as commands, for a runtime that knows no more than `wasi:cli/run`.

pub mod args;
pub mod data;
#[cfg(target_family = "wasm")]
mod fetch;
pub mod headers;
pub mod request;
#[cfg(target_family = "wasm")]
mod serve;
pub mod serve_args;

#[cfg(target_family = "wasm")]
pub use run::run;

#[cfg(target_family = "wasm")]
mod run {
    use super::args::{self, Command};
    use super::{fetch, serve};
    use std::ffi::OsString;
    use std::io::{self, Write};

    /// The command failed, and people have been told why.
    #[derive(Debug)]
    pub struct Failed;

    /// Does what the arguments say.
    pub fn run(arguments: impl IntoIterator<Item = OsString>) -> Result<(), Failed> {
        match args::parse(arguments) {
            Ok(Command::Help) => print(args::HELP),
            Ok(Command::Version) => print(concat!("sockbox ", env!("CARGO_PKG_VERSION"), "\n")),
            Ok(Command::Fetch(fetch)) => fetch::run(*fetch),
            Ok(Command::Serve(serve)) => serve::run(serve),
            Err(why) => {
                complain(&why);
                Err(Failed)
            }
        }
    }

    /// Prints to standard output.
    pub(super) fn print(text: &str) -> Result<(), Failed> {
        let mut stdout = io::stdout();
        let written = stdout
            .write_all(text.as_bytes())
            .and_then(|()| stdout.flush());
        written.map_err(|error| {
            complain(&format!("standard output: {error}"));
            Failed
        })
    }

    /// Tells people what is wrong. There is nobody to tell that they could not be told.
    pub(super) fn complain(why: &str) {
        let _ = writeln!(io::stderr(), "sockbox: {why}");
    }
}

//! The programs as commands, for a runtime that knows no more than `wasi:cli/run`.

pub mod args;
pub mod data;
#[cfg(all(target_family = "wasm", not(feature = "wasi-0-3")))]
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
    #[cfg(not(feature = "wasi-0-3"))]
    use super::fetch;
    use super::serve;
    use sockbox_printable::Line;
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
            #[cfg(not(feature = "wasi-0-3"))]
            Ok(Command::Fetch(fetch)) => fetch::run(*fetch),
            #[cfg(feature = "wasi-0-3")]
            Ok(Command::Fetch(_)) => {
                complain("this is the component for WASI 0.3, which serves and nothing else");
                Err(Failed)
            }
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

    /// Tells people what is wrong: a line, which may quote a server, a file name or an argument. There
    /// is nobody to tell that they could not be told.
    pub(super) fn complain(why: &str) {
        let _ = writeln!(io::stderr(), "sockbox: {}", Line(why));
    }
}

//! What the programs print.

use sockbox_printable::Line;
use std::io::{self, Write};

/// The command failed, and the error has been printed.
#[derive(Debug)]
pub struct Failed;

/// Prints to standard output.
pub fn print(text: &str) -> Result<(), Failed> {
    let mut stdout = io::stdout();
    let written = stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush());
    written.map_err(|error| {
        complain(&format!("standard output: {error}"));
        Failed
    })
}

/// Prints an error as one line of standard error. It may quote a server, a file name or an
/// argument, so it is escaped. A failure to print it can't be reported.
pub fn complain(why: &str) {
    let _ = writeln!(io::stderr(), "sockbox: {}", Line(why));
}

//! The trace of a request, which `-v` shows.

use sockbox_printable::Line;
use std::fmt::Display;
use std::io::{self, Write};

/// The function that gets the lines of the trace, if there is one.
#[derive(Clone, Copy)]
pub struct Trace(pub Option<fn(&str)>);

impl Trace {
    /// A step was done.
    pub fn fact(&self, fact: impl Display) {
        if let Some(write) = self.0 {
            write(&format!("* {}", Line(fact)));
        }
    }

    /// This head was sent.
    pub fn sent(&self, head: &[u8]) {
        self.lines('>', head);
    }

    /// This head was received.
    pub fn received(&self, head: &[u8]) {
        self.lines('<', head);
    }

    fn lines(&self, mark: char, head: &[u8]) {
        let Some(write) = self.0 else { return };
        // The bytes are escaped, so a server can't control the terminal that shows them.
        let shown = sockbox_printable::bytes(head);
        for line in String::from_utf8_lossy(&shown).lines() {
            write(format!("{mark} {line}").trim_end());
        }
    }
}

/// Writes a line of a trace to standard error. A failure to write it is ignored.
pub fn trace_to_stderr(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

//! Standard error, where what can't be written is lost without a fuss.

use std::fmt::Arguments;
use std::io::{self, Write};

/// Write one line, in one piece.
pub fn line(text: Arguments<'_>) {
    // There is nobody left to tell that nobody reads this.
    let _ = io::stderr()
        .lock()
        .write_all(format!("{text}\n").as_bytes());
}

//! Standard error, where what can't be written is lost without an error, and no thread waits for a reader.

use crate::descriptors::{Closed, Descriptor};
use sockbox::StdioWriter;
use sockbox_printable::Lines;
use std::fmt::Arguments;
use std::fs::File;
use std::io;
use std::sync::OnceLock;
use std::time::Duration;

/// How long what reads standard error may take nothing before the end of the process, or a bar, waits no
/// longer for it: half a second.
const PATIENCE: Duration = Duration::from_millis(500);

static STDERR: OnceLock<Option<StdioWriter>> = OnceLock::new();

/// What writes there: lines of this command's, and what components write, in one order. None where the
/// system has no thread to give.
pub fn writer() -> Option<&'static StdioWriter> {
    let writer = STDERR.get_or_init(|| match Descriptor::Error.check() {
        Ok(()) => duplicate().and_then(StdioWriter::file).ok(),
        Err(_) => StdioWriter::new(Closed).ok(),
    });
    writer.as_ref()
}

/// Write a line, or a text of several, in one piece, and don't wait for it. What it quotes of a server, a
/// component or a file can't steer the terminal.
pub fn line(text: Arguments<'_>) {
    if let Some(writer) = writer() {
        writer.line(&Lines(text).to_string());
    }
}

/// Write text as it is, in one piece, and don't wait for it.
pub fn text(text: &[u8]) {
    if let Some(writer) = writer() {
        writer.text(text);
    }
}

/// Wait until it is written, if it is read.
pub fn settle() {
    if let Some(Some(writer)) = STDERR.get() {
        writer.settle(PATIENCE);
    }
}

/// As a file: nothing of it waits in a buffer.
fn duplicate() -> io::Result<File> {
    #[cfg(unix)]
    let handle = std::os::fd::AsFd::as_fd(&io::stderr()).try_clone_to_owned()?;
    #[cfg(windows)]
    let handle = std::os::windows::io::AsHandle::as_handle(&io::stderr()).try_clone_to_owned()?;
    Ok(File::from(handle))
}

//! An output stream for the component, and the end of it at which the host waits.

mod file;
mod stdio;
mod thread;

pub use stdio::{Pause, StdioWriter};

use std::fs::File;
use std::io::{self, Write};
use wasmtime_wasi::p2::DynOutputStream;

/// Make a stream whose bytes go to `writer`, written by a thread of its own.
///
/// # Errors
/// The system can't start a thread.
pub(crate) fn to_writer<W>(writer: W) -> io::Result<(DynOutputStream, End<W>)>
where
    W: Write + Send + 'static,
{
    let (stream, end) = thread::sink(writer)?;
    Ok((Box::new(stream), End::Thread(end)))
}

/// Make a stream whose bytes go to `file`: directly if writing to it never waits for a reader, as
/// for a regular file, and by a thread otherwise.
///
/// # Errors
/// The system can't start a thread.
pub(crate) fn to_file(file: File) -> io::Result<(DynOutputStream, End<File>)> {
    if !file::never_waits(&file) {
        return to_writer(file);
    }
    let (stream, end) = file::sink(file);
    Ok((Box::new(stream), End::File(end)))
}

/// The host's end of a stream.
///
/// Dropped without [`End::finish`], it throws away what isn't written yet.
pub(crate) enum End<W> {
    /// A thread does the writing.
    Thread(thread::SinkEnd<W>),
    /// The component's own calls do.
    File(file::FileEnd),
}

impl<W> End<W> {
    /// How many bytes have been written so far.
    pub(crate) fn written(&self) -> u64 {
        match self {
            End::Thread(end) => end.written(),
            End::File(end) => end.written(),
        }
    }

    /// Write what is queued, and flush.
    ///
    /// # Errors
    /// The writer's first one, as it came.
    pub(crate) async fn finish(self) -> io::Result<()> {
        match self {
            End::Thread(end) => end.finish().await.map(drop),
            End::File(end) => end.finish(),
        }
    }
}

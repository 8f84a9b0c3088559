//! Writing to a file without another thread: passing 64 KiB to a thread costs more than writing
//! them.
//!
//! A disk that hangs blocks the thread that polls the run, so the run's limits are not enforced. For that
//! case the command has another thread that handles signals and ends the process (the crate `sockbox-cli`,
//! `watchdog`).

use bytes::Bytes;
use std::fs::{self, File, Metadata};
use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use wasmtime_wasi::async_trait;
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError, StreamResult};

/// The most bytes that the component may write at once: 1 MiB. A socket gives it 64 KiB.
const PERMIT: usize = 1024 * 1024;

/// Whether a write to `file` never waits for a reader. This is true for regular files and the null
/// device, and false for pipes, terminals and other devices.
pub(super) fn never_waits(file: &File) -> bool {
    file.metadata()
        .is_ok_and(|metadata| metadata.is_file() || is_null(&metadata))
}

#[cfg(unix)]
fn is_null(metadata: &Metadata) -> bool {
    use std::os::unix::fs::{FileTypeExt, MetadataExt};
    metadata.file_type().is_char_device()
        && fs::metadata("/dev/null").is_ok_and(|null| null.rdev() == metadata.rdev())
}

#[cfg(not(unix))]
fn is_null(_: &Metadata) -> bool {
    false
}

/// Make a stream that writes to `file` during the calls of the component.
pub(super) fn sink(file: File) -> (FileSink, FileEnd) {
    let shared = Arc::new(Shared::default());
    let end = FileEnd {
        shared: shared.clone(),
    };
    let open = Some(file);
    (FileSink { open, shared }, end)
}

/// The component's end.
pub(super) struct FileSink {
    /// None once a write has failed: that is the end of the stream (`wasi:io/streams`, `stream-error`),
    /// and how the component tells whether it was its source or its sink that has failed.
    open: Option<File>,
    shared: Arc<Shared>,
}

/// The host's end.
pub(crate) struct FileEnd {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    written: AtomicU64,
    /// The error of the failed write.
    failed: Mutex<Option<io::Error>>,
}

impl FileEnd {
    pub(super) fn written(&self) -> u64 {
        self.shared.written.load(Ordering::Relaxed)
    }

    pub(super) fn finish(self) -> io::Result<()> {
        let mut failed = self
            .shared
            .failed
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        failed.take().map_or(Ok(()), Err)
    }
}

#[async_trait]
impl Pollable for FileSink {
    async fn ready(&mut self) {}
}

#[async_trait]
impl OutputStream for FileSink {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        if bytes.len() > PERMIT {
            return Err(StreamError::trap("more was written than was permitted"));
        }
        let file = self.open.as_mut().ok_or(StreamError::Closed)?;
        if let Err(error) = file.write_all(&bytes) {
            self.open = None;
            let mut failed = self
                .shared
                .failed
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            *failed = Some(error);
            return Err(StreamError::LastOperationFailed(wasmtime::format_err!(
                "the output can't be written"
            )));
        }
        let written = bytes.len() as u64;
        self.shared.written.fetch_add(written, Ordering::Relaxed);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        self.check_write().map(drop)
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        match self.open {
            Some(_) => Ok(PERMIT),
            None => Err(StreamError::Closed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn what_is_written_is_in_the_file_at_once() {
        let mut temporary = tempfile::NamedTempFile::new().unwrap();
        let (mut stream, end) = sink(temporary.reopen().unwrap());
        assert_eq!(stream.check_write().unwrap(), PERMIT);
        stream.write(Bytes::from_static(b"one, ")).unwrap();
        stream.write(Bytes::from_static(b"two")).unwrap();
        stream.flush().unwrap();
        assert_eq!(end.written(), 8);
        let mut text = String::new();
        temporary.read_to_string(&mut text).unwrap();
        assert_eq!(text, "one, two");
        end.finish().unwrap();
    }

    #[test]
    fn a_failure_is_told_and_ends_the_stream() {
        let temporary = tempfile::NamedTempFile::new().unwrap();
        let for_reading = File::open(temporary.path()).unwrap();
        let (mut stream, end) = sink(for_reading);
        let failed = stream.write(Bytes::from_static(b"no"));
        assert!(matches!(failed, Err(StreamError::LastOperationFailed(_))));
        let again = stream.write(Bytes::from_static(b"no"));
        assert!(matches!(again, Err(StreamError::Closed)));
        assert!(matches!(stream.flush(), Err(StreamError::Closed)));
        assert!(matches!(stream.check_write(), Err(StreamError::Closed)));
        assert_eq!(end.written(), 0);
        assert!(end.finish().unwrap_err().raw_os_error().is_some());
    }

    #[test]
    fn more_than_is_permitted_is_a_trap() {
        let (mut stream, _end) = sink(tempfile::tempfile().unwrap());
        let too_much = Bytes::from(vec![0; PERMIT + 1]);
        assert!(matches!(stream.write(too_much), Err(StreamError::Trap(_))));
    }

    #[cfg(unix)]
    #[test]
    fn only_what_waits_for_nobody_is_written_at_once() {
        let (reader, writer) = std::io::pipe().unwrap();
        let open = |path| File::options().write(true).open(path).unwrap();
        let table = [
            ("a file", tempfile::tempfile().unwrap(), true),
            ("the null device", open("/dev/null"), true),
            ("another device", open("/dev/full"), false),
            (
                "a pipe",
                File::from(std::os::fd::OwnedFd::from(writer)),
                false,
            ),
        ];
        for (name, file, expected) in table {
            assert_eq!(never_waits(&file), expected, "{name}");
        }
        drop(reader);
    }
}

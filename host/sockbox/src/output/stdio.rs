//! Standard output and standard error: where components write to, and the host its own lines.

mod queue;
mod stream;

use super::file;
use bytes::Bytes;
use std::collections::VecDeque;
use std::fmt;
use std::fs::File;
use std::future::poll_fn;
use std::io::{self, ErrorKind, IsTerminal as _, Write};
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};
use tokio::io::AsyncWrite;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError, StreamResult};

/// The most bytes of a component's that wait to be written: 256 KiB. With more it waits.
const MAX_WAITING_BYTES: usize = 256 * 1024;

/// The fewest bytes that a component is let write at once: 64 KiB. With less room it waits, rather than
/// write in crumbs.
const MIN_PERMIT: usize = 64 * 1024;

/// The most bytes of lines that wait to be written: 1 MiB. One line more is lost, and counted.
///
/// A reader that pauses for some seconds is made up for; one that has stopped reading must not take the
/// host's memory.
const MAX_WAITING_LINES: usize = 1024 * 1024;

/// The most bytes that are written at once: 64 KiB, as many as a pipe holds.
const MAX_BATCH: usize = 64 * 1024;

/// The longest line that is kept together: 64 KiB. What is longer is cut.
const MAX_LINE: usize = 64 * 1024;

/// How long to wait before a writer that can't take anything now (`WouldBlock`: somebody has made the
/// descriptor a non-blocking one) is tried again: 5 ms.
const RETRY: Duration = Duration::from_millis(5);

/// How long [`StdioWriter::settle`] waits at most for a writer that could be written to and isn't, as on a
/// machine that is very busy: 10 seconds.
const MAX_STANDSTILL: Duration = Duration::from_secs(10);

/// Writes what a component writes to its standard output or standard error, and lines of the host's own,
/// in the order in which they come.
///
/// A thread of its own does the writing, so that a pipe that nobody reads, or a terminal that is stopped,
/// holds up nothing but the component that writes to it: limits are kept, and futures can be dropped. The
/// host's lines ([`StdioWriter::line`]) never wait. With 1 MiB of them unwritten, further ones are lost until
/// all that waits is written; then a line says how many there were.
///
/// Cloning it is cheap, and gives the same writer. When the last clone is gone, what is still to be written
/// is written, as far as that goes.
///
/// # Examples
/// ```
/// use sockbox::StdioWriter;
/// use std::time::Duration;
///
/// # fn main() -> std::io::Result<()> {
/// let log = StdioWriter::new(std::io::sink())?;
/// log.line("it begins");
/// assert!(log.settle(Duration::from_secs(1)));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct StdioWriter {
    handle: Arc<Handle>,
    /// Whether a component's streams lose lines rather than wait.
    never_waits: bool,
}

/// What all clones share. With the last one the thread ends, when it has written what there is.
struct Handle(Arc<Shared>);

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.state().closing = true;
        self.0.work.notify_one();
    }
}

struct Shared {
    state: Mutex<State>,
    /// Told when there is something for the thread to do.
    work: Condvar,
    /// Told when the thread has got on.
    progress: Condvar,
    /// The file, where writing to it never waits and needs no thread.
    direct: Option<Mutex<File>>,
    /// The file that the thread writes to, to ask whether it could be written to.
    probe: Option<Arc<File>>,
    is_terminal: bool,
}

struct State {
    queue: VecDeque<Piece>,
    /// How many bytes of components and of lines aren't written yet.
    waiting_bytes: usize,
    waiting_lines: usize,
    /// How many bytes were queued since the beginning, and how many of them are written.
    queued: u64,
    written: u64,
    /// Lines that are lost and that no line has told of yet. While there are any, all are lost.
    untold: u64,
    /// Lines that were lost since the beginning.
    lost: u64,
    lost_line: Box<dyn Fn(u64) -> String + Send>,
    failed: Option<Failure>,
    /// Whether the thread waits for something to do.
    idle: bool,
    /// Whether the thread has taken something that isn't written yet.
    writing: bool,
    /// How many pauses there are, and since how many calls of `settle`: each call ends all of them.
    pauses: usize,
    settled: u64,
    closing: bool,
    wakers: Vec<Waker>,
}

struct Piece {
    bytes: Bytes,
    is_line: bool,
}

/// What the writer's first error was.
#[derive(Clone, Copy)]
struct Failure {
    kind: ErrorKind,
    code: Option<i32>,
}

impl Failure {
    fn of(error: &io::Error) -> Failure {
        Failure {
            kind: error.kind(),
            code: error.raw_os_error(),
        }
    }

    fn error(self) -> io::Error {
        match self.code {
            Some(code) => io::Error::from_raw_os_error(code),
            None => self.kind.into(),
        }
    }
}

impl StdioWriter {
    /// Write to `writer`, by a thread of its own.
    ///
    /// # Errors
    /// The system has no thread to give.
    pub fn new(writer: impl Write + Send + 'static) -> io::Result<StdioWriter> {
        StdioWriter::by_thread(writer, None, false)
    }

    /// Write to `file`, by a thread of its own. To a component it is a terminal if it is one.
    ///
    /// # Errors
    /// The system has no thread to give.
    pub fn file(file: File) -> io::Result<StdioWriter> {
        let is_terminal = file.is_terminal();
        let file = Arc::new(file);
        StdioWriter::by_thread(file.clone(), Some(file), is_terminal)
    }

    /// As [`StdioWriter::file`], but where writing doesn't depend on a reader, as it is with regular files and
    /// with the null device, it is done at once, in the calls of those who write. That is faster, and as
    /// long as the disk takes its time, so do they.
    ///
    /// # Errors
    /// As [`StdioWriter::file`].
    pub fn file_at_once(file: File) -> io::Result<StdioWriter> {
        if !file::never_waits(&file) {
            return StdioWriter::file(file);
        }
        Ok(StdioWriter::of(Shared {
            state: Mutex::new(State::new()),
            work: Condvar::new(),
            progress: Condvar::new(),
            direct: Some(Mutex::new(file)),
            probe: None,
            is_terminal: false,
        }))
    }

    /// This process's standard output, as [`StdioWriter::file_at_once`] writes to it.
    ///
    /// # Errors
    /// The system has no thread to give, or no descriptor.
    pub fn stdout() -> io::Result<StdioWriter> {
        StdioWriter::file_at_once(duplicate(&io::stdout())?)
    }

    /// This process's standard error, as [`StdioWriter::file_at_once`] writes to it.
    ///
    /// # Errors
    /// As [`StdioWriter::stdout`].
    pub fn stderr() -> io::Result<StdioWriter> {
        StdioWriter::file_at_once(duplicate(&io::stderr())?)
    }

    fn by_thread(
        writer: impl Write + Send + 'static,
        probe: Option<Arc<File>>,
        is_terminal: bool,
    ) -> io::Result<StdioWriter> {
        let writing = StdioWriter::of(Shared {
            state: Mutex::new(State::new()),
            work: Condvar::new(),
            progress: Condvar::new(),
            direct: None,
            probe,
            is_terminal,
        });
        let shared = writing.shared().clone();
        thread::Builder::new()
            .name("sockbox-stdio".to_owned())
            .spawn(move || {
                let mut writer = writer;
                shared.work(&mut writer);
            })?;
        Ok(writing)
    }

    fn of(shared: Shared) -> StdioWriter {
        StdioWriter {
            handle: Arc::new(Handle(Arc::new(shared))),
            never_waits: false,
        }
    }

    fn shared(&self) -> &Arc<Shared> {
        &self.handle.0
    }

    /// The same writer, for components that are never to wait: what they write is cut into lines, which are
    /// lost as the host's own are ([`StdioWriter::line`]), and a writer that fails is no failure to them.
    pub fn never_waiting(&self) -> StdioWriter {
        StdioWriter {
            handle: self.handle.clone(),
            never_waits: true,
        }
    }

    /// Write a line, `text` and a newline, without waiting for it.
    pub fn line(&self, text: &str) {
        self.shared().push_line(Bytes::from(format!("{text}\n")));
    }

    /// Write `text` as it is, as [`StdioWriter::line`] writes a line.
    pub fn text(&self, text: &[u8]) {
        self.shared().push_line(Bytes::copy_from_slice(text));
    }

    /// Have this make the line that says how many lines were lost.
    pub fn lost_line(&self, line: impl Fn(u64) -> String + Send + 'static) {
        self.shared().state().lost_line = Box::new(line);
    }

    /// How many lines were lost so far, whether or not that was told.
    pub fn lost(&self) -> u64 {
        self.shared().state().lost
    }

    /// Wait until all that was given so far is written.
    ///
    /// # Errors
    /// Writing has failed.
    ///
    /// # Cancel safety
    /// The future can be dropped, and nothing is lost.
    pub async fn written(&self) -> io::Result<()> {
        let target = self.shared().state().queued;
        poll_fn(|cx| self.shared().poll_written(cx, target)).await
    }

    /// Wait until writing has failed, and tell how. A file that is written to at once fails nobody but who
    /// writes to it.
    ///
    /// # Cancel safety
    /// The future can be dropped, and nothing is lost.
    pub async fn failed(&self) -> io::Error {
        poll_fn(|cx| {
            let mut state = self.shared().state();
            match state.failed {
                Some(failed) => Poll::Ready(failed.error()),
                None => {
                    state.wait(cx);
                    Poll::Pending
                }
            }
        })
        .await
    }

    /// How writing has failed, if it has: see [`StdioWriter::failed`].
    pub fn failure(&self) -> Option<io::Error> {
        self.shared().state().failed.map(Failure::error)
    }

    /// Keep back everything that isn't written yet, and everything that is given from now on, until the
    /// returned value is dropped. A program that has the terminal to itself for a question, say, needs it.
    ///
    /// Blocks this thread until a write that has begun is over, or for as long as `patience`. Files that are
    /// written to at once ([`StdioWriter::file_at_once`]) don't pause.
    pub fn pause(&self, patience: Duration) -> Pause {
        let shared = self.shared();
        let mut state = shared.state();
        state.pauses += 1;
        let pause = Pause {
            shared: shared.clone(),
            settled: state.settled,
        };
        let writing = |state: &mut State| state.writing;
        drop(
            shared
                .progress
                .wait_timeout_while(state, patience, writing)
                .unwrap_or_else(PoisonError::into_inner),
        );
        pause
    }

    /// Block this thread until all is written that was given so far, or can't be: it has failed, or
    /// nothing was taken for as long as `patience`. Tells whether there is nothing left to write.
    ///
    /// It ends every [pause](StdioWriter::pause).
    pub fn settle(&self, patience: Duration) -> bool {
        let shared = self.shared();
        let mut state = shared.state();
        state.settled += 1;
        state.pauses = 0;
        shared.work.notify_one();
        let mut before = state.written;
        let mut since = Instant::now();
        while !state.is_settled() {
            let (locked, timeout) = shared
                .progress
                .wait_timeout(state, patience)
                .unwrap_or_else(PoisonError::into_inner);
            state = locked;
            if state.written != before {
                before = state.written;
                since = Instant::now();
            } else if timeout.timed_out()
                && (!shared.could_write() || since.elapsed() >= MAX_STANDSTILL)
            {
                return false;
            }
        }
        true
    }
}

/// For as long as there is this, its [`StdioWriter`] writes nothing: see [`StdioWriter::pause`].
#[must_use = "the pause ends when this is dropped"]
pub struct Pause {
    shared: Arc<Shared>,
    /// How often the writer had been settled when the pause began.
    settled: u64,
}

impl Drop for Pause {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        if state.settled == self.settled {
            state.pauses -= 1;
            self.shared.work.notify_one();
        }
    }
}

impl fmt::Debug for Pause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pause").finish_non_exhaustive()
    }
}

impl fmt::Debug for StdioWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StdioWriter")
            .field("is_terminal", &self.shared().is_terminal)
            .field("never_waits", &self.never_waits)
            .finish_non_exhaustive()
    }
}

/// A copy of a standard stream, as a file: nothing of what is written to it waits in a buffer.
#[cfg(unix)]
fn duplicate(stream: &impl std::os::fd::AsFd) -> io::Result<File> {
    stream.as_fd().try_clone_to_owned().map(File::from)
}

#[cfg(windows)]
fn duplicate(stream: &impl std::os::windows::io::AsHandle) -> io::Result<File> {
    stream.as_handle().try_clone_to_owned().map(File::from)
}

#[cfg(test)]
mod tests;

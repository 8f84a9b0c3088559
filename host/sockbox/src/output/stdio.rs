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

/// The smallest permit for a component's write: 64 KiB. With less room the component waits, to avoid
/// many small writes.
const MIN_PERMIT: usize = 64 * 1024;

/// The most bytes of lines that wait to be written: 1 MiB. One line more is lost, and counted.
///
/// This bridges a reader that pauses for some seconds. If a reader stops completely, lines are lost
/// instead of using the host's memory.
const MAX_WAITING_LINES: usize = 1024 * 1024;

/// The most bytes that are written at once: 64 KiB, as many as a pipe holds.
const MAX_BATCH: usize = 64 * 1024;

/// The longest line that is kept together: 64 KiB. What is longer is cut.
const MAX_LINE: usize = 64 * 1024;

/// How long to wait before writing again after `WouldBlock` (another process has made the descriptor
/// non-blocking): 5 ms.
const RETRY: Duration = Duration::from_millis(5);

/// How long [`StdioWriter::settle`] waits at most for a writer that could be written to and isn't, as on a
/// machine that is very busy: 10 seconds.
const MAX_STANDSTILL: Duration = Duration::from_secs(10);

/// Writes what a component writes to its standard output or standard error, and lines of the host's own,
/// in the order in which they come.
///
/// A separate thread writes. If no process reads a pipe, or a terminal is stopped, only the component that
/// writes to it waits: limits are enforced, and futures can be dropped. The host's lines
/// ([`StdioWriter::line`]) never wait. If 1 MiB of lines waits, further lines are lost until everything is
/// written; then a line says how many were lost.
///
/// Cloning it is cheap, and gives the same writer. After the last clone is dropped, the remaining output is
/// written, as far as possible.
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
    /// How a component's streams write.
    mode: Mode,
}

/// How a component's streams write.
#[derive(Clone)]
enum Mode {
    /// They wait until there is room.
    Waiting,
    /// They lose lines rather than wait.
    Lines,
    /// The same, and each line is written in the form that this function gives it.
    Formed(Arc<dyn Fn(&str) -> String + Send + Sync>),
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
    /// Notified when the thread has work.
    work: Condvar,
    /// Notified when the thread has made progress.
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
    /// Lost lines that no line has reported yet. While there are any, further lines are lost too.
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

/// The writer's first error.
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
    /// The system can't start a thread.
    pub fn new(writer: impl Write + Send + 'static) -> io::Result<StdioWriter> {
        StdioWriter::by_thread(writer, None, false)
    }

    /// Write to `file`, by a thread of its own. To a component it is a terminal if it is one.
    ///
    /// # Errors
    /// The system can't start a thread.
    pub fn file(file: File) -> io::Result<StdioWriter> {
        let is_terminal = file.is_terminal();
        let file = Arc::new(file);
        StdioWriter::by_thread(file.clone(), Some(file), is_terminal)
    }

    /// As [`StdioWriter::file`], but a file that never waits for a reader (a regular file, the null device) is
    /// written directly in the caller's thread. That is faster, but a slow disk delays the caller.
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
    /// The system can't start a thread, or no descriptor.
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
            mode: Mode::Waiting,
        }
    }

    fn shared(&self) -> &Arc<Shared> {
        &self.handle.0
    }

    /// Whether a component's streams lose lines rather than wait.
    fn never_waits(&self) -> bool {
        !matches!(self.mode, Mode::Waiting)
    }

    /// The same writer, for components that must never wait. Their output is split into lines, which can be
    /// lost like the host's own ([`StdioWriter::line`]). They do not see write errors.
    pub fn never_waiting(&self) -> StdioWriter {
        StdioWriter {
            handle: self.handle.clone(),
            mode: Mode::Lines,
        }
    }

    /// As [`StdioWriter::never_waiting`], and each line of a component is written in the form that `form` gives it, for
    /// example as an event of a log. Both sides of `form` are without the end of the line. A line of more than 64 KiB
    /// comes in parts. Bytes that are not UTF-8 come as U+FFFD.
    pub fn never_waiting_as(
        &self,
        form: impl Fn(&str) -> String + Send + Sync + 'static,
    ) -> StdioWriter {
        StdioWriter {
            handle: self.handle.clone(),
            mode: Mode::Formed(Arc::new(form)),
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

    /// Wait until writing fails, and return the error. For a file that is written directly, only the
    /// caller of the write gets the error.
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

    /// Hold back all unwritten and further output until the returned value is dropped. Use it to ask a
    /// question at the terminal.
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

    /// Block this thread until all output so far is written, writing has failed, or the writer made
    /// no progress for `patience`. Returns whether everything is written.
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

/// While this exists, its [`StdioWriter`] writes nothing: see [`StdioWriter::pause`].
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
            .field("never_waits", &self.never_waits())
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

//! Standard output and standard error: where components write to, and the host its own lines.

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

impl State {
    fn new() -> State {
        State {
            queue: VecDeque::new(),
            waiting_bytes: 0,
            waiting_lines: 0,
            queued: 0,
            written: 0,
            untold: 0,
            lost: 0,
            lost_line: Box::new(|lines| {
                format!("{lines} lines are lost here: they came faster than they were read")
            }),
            failed: None,
            idle: false,
            writing: false,
            pauses: 0,
            settled: 0,
            closing: false,
            wakers: Vec::new(),
        }
    }

    /// How many bytes a component may write now.
    fn permit(&self) -> usize {
        let room = MAX_WAITING_BYTES.saturating_sub(self.waiting_bytes);
        if room < MIN_PERMIT { 0 } else { room }
    }

    fn push(&mut self, bytes: Bytes, is_line: bool) {
        match is_line {
            true => self.waiting_lines += bytes.len(),
            false => self.waiting_bytes += bytes.len(),
        }
        self.queued += bytes.len() as u64;
        self.queue.push_back(Piece { bytes, is_line });
    }

    fn is_settled(&self) -> bool {
        self.failed.is_some() || (self.written >= self.queued && self.untold == 0)
    }

    fn wait(&mut self, cx: &Context<'_>) {
        if !self.wakers.iter().any(|waker| waker.will_wake(cx.waker())) {
            self.wakers.push(cx.waker().clone());
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it holds the lock, other than by running out of memory.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queue bytes, and wake the thread if it has nothing to do.
    fn push(&self, state: &mut State, bytes: Bytes, is_line: bool) {
        state.push(bytes, is_line);
        if std::mem::take(&mut state.idle) {
            self.work.notify_one();
        }
    }

    /// Queue a line, with its end, or lose it.
    fn push_line(&self, line: Bytes) {
        if let Some(file) = &self.direct {
            let file = file.lock().unwrap_or_else(PoisonError::into_inner);
            // There is nobody left to tell that it can't be written.
            let _ = (&*file).write_all(&line);
            return;
        }
        let mut state = self.state();
        if state.failed.is_some() {
            return;
        }
        if state.untold > 0 || state.waiting_lines.saturating_add(line.len()) > MAX_WAITING_LINES {
            state.untold += 1;
            state.lost += 1;
        } else {
            self.push(&mut state, line, true);
        }
    }

    /// Change the state, and wake whoever waits for a change.
    fn update(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state();
        change(&mut state);
        let wakers = std::mem::take(&mut state.wakers);
        drop(state);
        self.progress.notify_all();
        for waker in wakers {
            waker.wake();
        }
    }

    /// The thread: write until there are no more clones, or writing fails.
    fn work(&self, writer: &mut impl Write) {
        let mut end = EndOfWork {
            shared: self,
            error: io::Error::other("the writer panicked"),
        };
        let mut batch = Vec::new();
        end.error = loop {
            batch.clear();
            let Some((bytes, lines)) = self.next(&mut batch) else {
                break ErrorKind::BrokenPipe.into();
            };
            if let Err(error) = self.write(writer, &batch) {
                break error;
            }
            self.update(|state| {
                state.waiting_bytes = state.waiting_bytes.saturating_sub(bytes);
                state.waiting_lines = state.waiting_lines.saturating_sub(lines);
                state.writing = false;
            });
        };
    }

    /// Wait for something to write, and take it: how many bytes of it are components', and how many lines'.
    fn next(&self, batch: &mut Vec<u8>) -> Option<(usize, usize)> {
        let mut state = self.state();
        loop {
            if state.pauses > 0 && !state.closing {
                state = self.wait_for_work(state);
                continue;
            }
            let (mut bytes, mut lines) = (0, 0);
            while let Some(piece) = state.queue.front()
                && (batch.is_empty() || batch.len() + piece.bytes.len() <= MAX_BATCH)
            {
                batch.extend_from_slice(&piece.bytes);
                match piece.is_line {
                    true => lines += piece.bytes.len(),
                    false => bytes += piece.bytes.len(),
                }
                state.queue.pop_front();
            }
            if !batch.is_empty() {
                state.writing = true;
                return Some((bytes, lines));
            }
            if state.untold > 0 {
                let lost = std::mem::take(&mut state.untold);
                let line = (state.lost_line)(lost);
                let line = Bytes::from(format!("{line}\n"));
                state.push(line, true);
                continue;
            }
            if state.closing {
                return None;
            }
            state = self.wait_for_work(state);
        }
    }

    fn wait_for_work<'a>(&self, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        state.idle = true;
        self.work
            .wait(state)
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, writer: &mut impl Write, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match writer.write(bytes) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => {
                    bytes = bytes.get(count..).unwrap_or_default();
                    self.update(|state| state.written += count as u64);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(RETRY),
                Err(error) => return Err(error),
            }
        }
        writer.flush()
    }

    /// Whether the thread could write, where that can be asked.
    fn could_write(&self) -> bool {
        self.probe.as_deref().is_some_and(is_writable)
    }
}

/// Says that the thread is at its end, also when it got there by a panic of the writer's.
struct EndOfWork<'a> {
    shared: &'a Shared,
    error: io::Error,
}

impl Drop for EndOfWork<'_> {
    fn drop(&mut self) {
        let failure = Failure::of(&self.error);
        self.shared.update(|state| {
            state.failed = Some(failure);
            state.writing = false;
            state.queue.clear();
        });
    }
}

#[cfg(unix)]
fn is_writable(file: &File) -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let mut files = [PollFd::new(file, PollFlags::OUT)];
    let at_once = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // One that has failed is "writable": the write says how.
    poll(&mut files, Some(&at_once)).is_ok_and(|ready| ready > 0)
}

#[cfg(not(unix))]
fn is_writable(_: &File) -> bool {
    false
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

impl Shared {
    fn poll_written(&self, cx: &Context<'_>, target: u64) -> Poll<io::Result<()>> {
        let mut state = self.state();
        if let Some(failure) = state.failed {
            return Poll::Ready(Err(failure.error()));
        }
        if state.written >= target {
            return Poll::Ready(Ok(()));
        }
        state.wait(cx);
        Poll::Pending
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

impl IsTerminal for StdioWriter {
    fn is_terminal(&self) -> bool {
        self.shared().is_terminal
    }
}

impl StdoutStream for StdioWriter {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.stream())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.stream())
    }
}

impl StdioWriter {
    fn stream(&self) -> Stream {
        Stream {
            writer: self.clone(),
            flush_to: 0,
            line: Vec::new(),
        }
    }
}

/// One of a component's streams to a writer.
struct Stream {
    writer: StdioWriter,
    /// How much has to be written before the last flush is done.
    flush_to: u64,
    /// Of a stream that never waits: the beginning of a line.
    line: Vec<u8>,
}

impl Stream {
    fn shared(&self) -> &Shared {
        &self.writer.handle.0
    }

    /// Write, as far as that goes without waiting: None if the component has to wait.
    fn write_now(&mut self, bytes: &[u8]) -> Option<io::Result<usize>> {
        if self.writer.never_waits {
            self.split(bytes);
            return Some(Ok(bytes.len()));
        }
        let shared = self.shared();
        if let Some(file) = &shared.direct {
            let file = file.lock().unwrap_or_else(PoisonError::into_inner);
            return Some((&*file).write_all(bytes).map(|()| bytes.len()));
        }
        let mut state = shared.state();
        if let Some(failure) = state.failed {
            return Some(Err(failure.error()));
        }
        let count = bytes.len().min(state.permit());
        if count == 0 && !bytes.is_empty() {
            return None;
        }
        if count > 0 {
            shared.push(&mut state, Bytes::copy_from_slice(&bytes[..count]), false);
        }
        Some(Ok(count))
    }

    /// Pass lines on, and keep the beginning of one until its end comes.
    fn split(&mut self, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            for part in piece.chunks(MAX_LINE) {
                if self.line.len() + part.len() > MAX_LINE {
                    self.end_line();
                }
                self.line.extend_from_slice(part);
            }
            if self.line.ends_with(b"\n") {
                let line = std::mem::take(&mut self.line);
                self.shared().push_line(line.into());
            }
        }
    }

    fn end_line(&mut self) {
        if !self.line.is_empty() {
            let mut line = std::mem::take(&mut self.line);
            line.push(b'\n');
            self.shared().push_line(line.into());
        }
    }

    fn has_own_state(&self) -> bool {
        self.writer.never_waits || self.shared().direct.is_some()
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.end_line();
    }
}

/// An error as the component sees it. As wasmtime-wasi has it: one that is asked for with
/// `filesystem-error-code` is found in it, and a closed pipe is the end of the stream.
fn stream_error(error: io::Error) -> StreamError {
    match error.kind() {
        ErrorKind::BrokenPipe => StreamError::Closed,
        _ => StreamError::LastOperationFailed(error.into()),
    }
}

#[async_trait]
impl Pollable for Stream {
    async fn ready(&mut self) {
        if self.has_own_state() {
            return;
        }
        let flush_to = self.flush_to;
        poll_fn(|cx| {
            let mut state = self.shared().state();
            if state.failed.is_some() || (state.written >= flush_to && state.permit() > 0) {
                return Poll::Ready(());
            }
            state.wait(cx);
            Poll::Pending
        })
        .await;
    }
}

#[async_trait]
impl OutputStream for Stream {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        match self.write_now(&bytes) {
            Some(Ok(count)) if count == bytes.len() => Ok(()),
            Some(Err(error)) => Err(stream_error(error)),
            _ => Err(StreamError::trap("more was written than was permitted")),
        }
    }

    fn flush(&mut self) -> StreamResult<()> {
        self.check_write()?;
        let queued = self.shared().state().queued;
        self.flush_to = queued;
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        if self.has_own_state() {
            return Ok(MAX_WAITING_BYTES);
        }
        let state = self.shared().state();
        match state.failed {
            Some(failure) => Err(stream_error(failure.error())),
            None if state.written < self.flush_to => Ok(0),
            None => Ok(state.permit()),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        loop {
            if let Some(done) = self.write_now(bytes) {
                return Poll::Ready(done);
            }
            let mut state = self.shared().state();
            // There may be room since it was asked for.
            if state.failed.is_none() && state.permit() == 0 {
                state.wait(cx);
                return Poll::Pending;
            }
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.has_own_state() {
            return Poll::Ready(Ok(()));
        }
        if self.flush_to == 0 {
            let queued = self.shared().state().queued;
            self.flush_to = queued;
        }
        let done = self.shared().poll_written(cx, self.flush_to);
        if done.is_ready() {
            self.flush_to = 0;
        }
        done
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    /// Long enough for any machine.
    const LONG: Duration = Duration::from_secs(60);

    /// Short, since it is waited for in vain.
    const SHORT: Duration = Duration::from_millis(20);

    /// A pipe, and a writer to it.
    fn piped() -> (io::PipeReader, StdioWriter) {
        let (reader, writer) = io::pipe().unwrap();
        let file = File::from(std::os::fd::OwnedFd::from(writer));
        (reader, StdioWriter::file(file).unwrap())
    }

    #[test]
    fn lines_that_nobody_reads_are_lost_and_counted_and_hold_nobody_up() {
        let (mut reader, writer) = piped();
        writer.lost_line(|lines| format!("lost {lines}"));
        let line = "x".repeat(99);
        // More than the pipe and the queue hold.
        let count = 2 * MAX_WAITING_LINES as u64 / 100;
        for _ in 0..count {
            writer.line(&line);
        }
        let lost = writer.lost();
        assert!(lost > 0 && lost < count, "{lost}");
        assert!(!writer.settle(SHORT), "nobody has read anything");
        let reading = std::thread::spawn(move || {
            let mut text = String::new();
            reader.read_to_string(&mut text).unwrap();
            text
        });
        assert!(writer.settle(LONG));
        writer.line("later");
        drop(writer);
        let text = reading.join().unwrap();
        let lines: Vec<&str> = text.lines().collect();
        let (told, rest) = lines.split_at(lines.len() - 2);
        assert_eq!(told.len() as u64 + lost, count);
        assert!(told.iter().all(|told| *told == line));
        assert_eq!(rest, [format!("lost {lost}").as_str(), "later"]);
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_component_waits_where_nobody_reads_and_the_thread_does_not() {
        let (mut reader, writer) = piped();
        let mut stream = writer.p2_stream();
        let mut written = 0;
        loop {
            let permit = stream.check_write().unwrap();
            if permit == 0 {
                // The thread may still have to fill the pipe.
                let ready = tokio::time::timeout(SHORT, stream.ready()).await;
                match ready {
                    Ok(()) => continue,
                    Err(_) => break,
                }
            }
            stream.write(Bytes::from(vec![b'x'; permit])).unwrap();
            written += permit;
        }
        assert!(written <= 2 * MAX_WAITING_BYTES, "{written}");
        let reading = std::thread::spawn(move || reader.read_to_end(&mut Vec::new()).unwrap());
        stream.ready().await;
        stream.flush().unwrap();
        stream.ready().await;
        writer.written().await.unwrap();
        drop((stream, writer));
        assert_eq!(reading.join().unwrap(), written);
    }

    #[test]
    fn nothing_is_written_during_a_pause() {
        let (mut reader, writer) = piped();
        let mut read = |count| {
            let mut bytes = vec![0; count];
            reader.read_exact(&mut bytes).unwrap();
            String::from_utf8(bytes).unwrap()
        };
        writer.line("before");
        assert_eq!(read(7), "before\n");
        let (first, second) = (writer.pause(LONG), writer.pause(LONG));
        writer.line("during");
        drop(first);
        std::thread::sleep(SHORT);
        assert_eq!(writer.shared().state().written, 7, "there is another pause");
        drop(second);
        assert_eq!(read(7), "during\n");
        // At the end of a program nothing is kept back, whoever has forgotten a pause.
        let forgotten = writer.pause(LONG);
        writer.line("at the end");
        assert!(writer.settle(LONG));
        assert_eq!(read(11), "at the end\n");
        drop(forgotten);
        let pause = writer.pause(LONG);
        writer.line("last");
        drop((pause, writer));
        assert_eq!(read(5), "last\n");
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_closed_pipe_is_the_end_of_the_stream_and_told() {
        let (reader, writer) = piped();
        drop(reader);
        let mut stream = writer.p2_stream();
        stream.write(Bytes::from_static(b"no")).unwrap();
        // It may have failed by now.
        let _ = stream.flush();
        stream.ready().await;
        assert!(matches!(stream.check_write(), Err(StreamError::Closed)));
        assert_eq!(writer.failed().await.kind(), ErrorKind::BrokenPipe);
        assert!(writer.written().await.is_err());
        writer.line("it is no use");
        assert!(writer.settle(LONG));
    }

    #[tokio::test(flavor = "current_thread")]
    async fn an_error_is_passed_on_as_it_is() {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let writer = StdioWriter::file_at_once(full).unwrap();
        let mut stream = writer.p2_stream();
        stream.write(Bytes::from_static(b"no")).unwrap();
        // It may have failed by now.
        let _ = stream.flush();
        stream.ready().await;
        let Err(StreamError::LastOperationFailed(error)) = stream.check_write() else {
            panic!("it didn't fail");
        };
        let error = error.downcast_ref::<io::Error>().unwrap();
        assert_eq!(error.kind(), ErrorKind::StorageFull);
    }

    #[test]
    fn streams_that_never_wait_pass_on_whole_lines() {
        let mut file = tempfile::tempfile().unwrap();
        let writer = StdioWriter::file(file.try_clone().unwrap()).unwrap();
        let lossy = writer.never_waiting();
        let mut stream = lossy.p2_stream();
        stream.write(Bytes::from_static(b"one\ntw")).unwrap();
        writer.line("between");
        stream.write(Bytes::from_static(b"o\nthree")).unwrap();
        assert!(stream.check_write().unwrap() > 0);
        drop(stream);
        assert!(writer.settle(LONG));
        let mut text = String::new();
        io::Seek::rewind(&mut file).unwrap();
        file.read_to_string(&mut text).unwrap();
        assert_eq!(text, "one\nbetween\ntwo\nthree\n");
    }

    #[test]
    fn what_is_written_to_a_file_at_once_is_there_at_once() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let writer = StdioWriter::file_at_once(file.reopen().unwrap()).unwrap();
        let mut stream = writer.p2_stream();
        stream.write(Bytes::from_static(b"a ")).unwrap();
        writer.line("b");
        let mut text = String::new();
        file.read_to_string(&mut text).unwrap();
        assert_eq!(text, "a b\n");
    }

    #[test]
    fn a_writer_that_would_block_is_tried_again() {
        struct Reluctant(usize, std::sync::mpsc::Sender<Vec<u8>>);
        impl Write for Reluctant {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0 += 1;
                if self.0 % 2 == 1 {
                    return Err(ErrorKind::WouldBlock.into());
                }
                let _ = self.1.send(bytes[..1].to_vec());
                Ok(1)
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let (sender, receiver) = std::sync::mpsc::channel();
        let writer = StdioWriter::new(Reluctant(0, sender)).unwrap();
        writer.line("abc");
        assert!(writer.settle(LONG));
        drop(writer);
        let text: Vec<u8> = receiver.into_iter().flatten().collect();
        assert_eq!(text, b"abc\n");
    }
}

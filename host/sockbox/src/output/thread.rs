//! An output stream for the component over any [`std::io::Write`].

use bytes::Bytes;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread;
use tokio::sync::oneshot;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError, StreamResult};

/// The most bytes that wait to be written: 1 MiB.
///
/// Enough to keep a disk busy while the next bytes are received, and small compared with the memory
/// of a run.
const CAPACITY: usize = 1024 * 1024;

/// The smallest permit for a component's write: 64 KiB, the size of one read from a socket. With
/// less room the component waits, to avoid many small writes.
const MIN_PERMIT: usize = 64 * 1024;

/// Make a stream whose bytes go to `writer`, and the end at which to wait for them.
///
/// A separate thread writes, so a slow writer (a pipe without a reader, a disk) delays only the
/// component that writes to it.
///
/// # Errors
/// The system can't start a thread.
pub(crate) fn sink<W>(writer: W) -> io::Result<(Sink, SinkEnd<W>)>
where
    W: Write + Send + 'static,
{
    let shared = Arc::new(Shared::default());
    let (ended, end) = oneshot::channel();
    let worker = shared.clone();
    thread::Builder::new()
        .name("sockbox-output".to_owned())
        .spawn(move || {
            let mut writer = writer;
            let result = worker.work(&mut writer);
            // If no task waits any more, the writer is dropped here.
            let _ = ended.send((writer, result));
        })?;
    let sink = Sink {
        shared: shared.clone(),
    };
    Ok((sink, SinkEnd { shared, end }))
}

/// The component's end: what it writes is queued.
pub(crate) struct Sink {
    shared: Arc<Shared>,
}

/// The host's end: waits until everything is written.
///
/// Dropped without [`SinkEnd::finish`], it throws away what is queued.
pub(crate) struct SinkEnd<W> {
    shared: Arc<Shared>,
    end: oneshot::Receiver<(W, io::Result<()>)>,
}

impl<W> SinkEnd<W> {
    /// How many bytes the writer has taken so far.
    pub(crate) fn written(&self) -> u64 {
        self.shared.written.load(Ordering::Relaxed)
    }

    /// Write what is queued, flush, and give the writer back.
    ///
    /// # Errors
    /// The writer's first one, as it came.
    pub(crate) async fn finish(mut self) -> io::Result<W> {
        self.shared.close(Ending::WriteAll);
        match (&mut self.end).await {
            Ok((writer, Ok(()))) => Ok(writer),
            Ok((_, Err(error))) => Err(error),
            Err(_) => Err(io::Error::other("the writer panicked")),
        }
    }
}

impl<W> Drop for SinkEnd<W> {
    fn drop(&mut self) {
        self.shared.close(Ending::ThrowAway);
    }
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    /// Notified when the thread has work.
    work: Condvar,
    written: AtomicU64,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Bytes>,
    /// How many bytes were queued and aren't written yet.
    waiting: usize,
    flush: bool,
    ending: Option<Ending>,
    /// Set by the thread before it ends, for whatever reason.
    over: Option<Over>,
    /// The task that waits for room in the queue.
    waker: Option<Waker>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Ending {
    WriteAll,
    ThrowAway,
}

#[derive(Clone, Copy)]
enum Over {
    Closed,
    Failed,
}

enum Job {
    Write(VecDeque<Bytes>),
    Flush,
    End(Ending),
}

impl State {
    /// How many bytes may be written now.
    fn permit(&self) -> usize {
        let room = CAPACITY.saturating_sub(self.waiting);
        if self.flush || room < MIN_PERMIT {
            0
        } else {
            room
        }
    }

    fn check(&self) -> StreamResult<()> {
        match (self.over, self.ending) {
            (Some(Over::Failed), _) => Err(StreamError::LastOperationFailed(
                wasmtime::format_err!("the output can't be written"),
            )),
            (Some(Over::Closed), _) | (None, Some(_)) => Err(StreamError::Closed),
            (None, None) => Ok(()),
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it holds the lock, other than by running out of memory.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn close(&self, ending: Ending) {
        let mut state = self.state();
        if state.ending.is_none() {
            state.ending = Some(ending);
            self.work.notify_one();
        }
    }

    fn work(&self, writer: &mut impl Write) -> io::Result<()> {
        let mut end = EndOfWork {
            shared: self,
            over: Over::Failed,
        };
        self.write_all(writer)?;
        end.over = Over::Closed;
        Ok(())
    }

    fn write_all(&self, writer: &mut impl Write) -> io::Result<()> {
        loop {
            match self.next_job() {
                Job::Write(pieces) => {
                    for bytes in pieces {
                        writer.write_all(&bytes)?;
                        self.written
                            .fetch_add(bytes.len() as u64, Ordering::Relaxed);
                        let ending = self.update(|state| {
                            state.waiting = state.waiting.saturating_sub(bytes.len());
                            state.ending
                        });
                        if ending == Some(Ending::ThrowAway) {
                            return Ok(());
                        }
                    }
                }
                Job::Flush => {
                    writer.flush()?;
                    self.update(|state| state.flush = false);
                }
                Job::End(Ending::WriteAll) => return writer.flush(),
                Job::End(Ending::ThrowAway) => return Ok(()),
            }
        }
    }

    fn next_job(&self) -> Job {
        let mut state = self.state();
        loop {
            if state.ending == Some(Ending::ThrowAway) {
                return Job::End(Ending::ThrowAway);
            }
            if !state.queue.is_empty() {
                return Job::Write(std::mem::take(&mut state.queue));
            }
            if state.flush {
                return Job::Flush;
            }
            if let Some(ending) = state.ending {
                return Job::End(ending);
            }
            state = self
                .work
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Change the state, and wake the waiting task if it can continue.
    fn update<R>(&self, change: impl FnOnce(&mut State) -> R) -> R {
        let mut state = self.state();
        let result = change(&mut state);
        let waker = if state.permit() > 0 || state.over.is_some() {
            state.waker.take()
        } else {
            None
        };
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
        result
    }
}

/// Marks the end of the thread, also after a panic of the writer.
struct EndOfWork<'a> {
    shared: &'a Shared,
    over: Over,
}

impl Drop for EndOfWork<'_> {
    fn drop(&mut self) {
        self.shared.update(|state| {
            state.over = Some(self.over);
            state.queue.clear();
        });
    }
}

impl Sink {
    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.shared.state();
        if state.permit() > 0 || state.check().is_err() {
            return Poll::Ready(());
        }
        match &mut state.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        Poll::Pending
    }
}

#[async_trait]
impl Pollable for Sink {
    async fn ready(&mut self) {
        poll_fn(|cx| self.poll_ready(cx)).await;
    }
}

#[async_trait]
impl OutputStream for Sink {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        let mut state = self.shared.state();
        state.check()?;
        if bytes.len() > state.permit() {
            return Err(StreamError::trap("more was written than was permitted"));
        }
        if !bytes.is_empty() {
            state.waiting += bytes.len();
            state.queue.push_back(bytes);
            self.shared.work.notify_one();
        }
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        let mut state = self.shared.state();
        state.check()?;
        state.flush = true;
        self.shared.work.notify_one();
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        let state = self.shared.state();
        state.check()?;
        Ok(state.permit())
    }
}

#[cfg(test)]
mod tests;

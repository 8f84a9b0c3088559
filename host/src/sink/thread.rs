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
/// Enough to keep a disk busy while the next bytes come in, and little beside everything else.
const CAPACITY: usize = 1024 * 1024;

/// The fewest bytes that the component is let write at once: 64 KiB, as many as a socket gives it
/// in one read. With less room it waits, rather than write in crumbs.
const MIN_PERMIT: usize = 64 * 1024;

/// Make a stream whose bytes go to `writer`, and the end at which to wait for them.
///
/// A thread of its own does the writing, so that a slow writer (a pipe that nobody reads, a disk)
/// holds up nothing but what writes to it.
///
/// # Errors
/// The system has no thread to give.
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
            // Nobody may be waiting any more; then the writer is dropped here.
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

/// Our end: waits until everything is written.
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
    /// Told when there is something to do for the thread.
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
    /// Whoever waits for room in the queue.
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

    /// Change the state, and wake whoever waits if there is something for them now.
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

/// Says that the thread is at its end, also when it got there by a panic of the writer's.
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
mod tests {
    use super::*;
    use std::sync::mpsc;
    use std::time::Duration;

    /// A writer that writes one piece for each permission it gets, and says what happens to it.
    struct Gate {
        permissions: mpsc::Receiver<()>,
        written: Vec<u8>,
        flushes: usize,
        dropped: Option<mpsc::Sender<()>>,
    }

    impl Gate {
        fn new() -> (Gate, mpsc::Sender<()>, mpsc::Receiver<()>) {
            let (allow, permissions) = mpsc::channel();
            let (dropped, told) = mpsc::channel();
            let gate = Gate {
                permissions,
                written: Vec::new(),
                flushes: 0,
                dropped: Some(dropped),
            };
            (gate, allow, told)
        }
    }

    impl Write for Gate {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.permissions
                .recv()
                .map_err(|_| io::Error::from(io::ErrorKind::StorageFull))?;
            self.written.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            self.flushes += 1;
            Ok(())
        }
    }

    impl Drop for Gate {
        fn drop(&mut self) {
            if let Some(dropped) = self.dropped.take() {
                let _ = dropped.send(());
            }
        }
    }

    fn piece(byte: u8) -> Bytes {
        Bytes::from(vec![byte; MIN_PERMIT])
    }

    #[tokio::test]
    async fn what_is_written_arrives_in_order_and_is_flushed() {
        let (mut sink, end) = sink(Vec::new()).unwrap();
        let mut expected = Vec::new();
        for n in 0..100u8 {
            sink.ready().await;
            let permit = sink.check_write().unwrap();
            assert!((MIN_PERMIT..=CAPACITY).contains(&permit), "{permit}");
            sink.write(piece(n)).unwrap();
            expected.extend_from_slice(&piece(n));
        }
        assert!(end.finish().await.unwrap() == expected);
    }

    #[tokio::test]
    async fn the_queue_is_bounded() {
        let (gate, allow, _told) = Gate::new();
        let (mut sink, end) = sink(gate).unwrap();
        let mut pieces = 0;
        while sink.check_write().unwrap() > 0 {
            sink.write(piece(0)).unwrap();
            pieces += 1;
        }
        assert_eq!(pieces, CAPACITY / MIN_PERMIT);
        assert_eq!(end.written(), 0);

        let waiting = tokio::spawn(async move {
            sink.ready().await;
            (sink.check_write().unwrap(), sink)
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        allow.send(()).unwrap();
        let (permit, _sink) = waiting.await.unwrap();
        assert_eq!(permit, MIN_PERMIT);
        assert_eq!(end.written(), MIN_PERMIT as u64);

        for _ in 1..pieces {
            allow.send(()).unwrap();
        }
        let gate = end.finish().await.unwrap();
        assert_eq!(gate.written.len(), CAPACITY);
        assert_eq!(gate.flushes, 1);
    }

    #[tokio::test]
    async fn a_flush_ends_when_everything_before_it_is_written() {
        let (gate, allow, _told) = Gate::new();
        let (mut sink, end) = sink(gate).unwrap();
        sink.write(Bytes::from_static(b"a")).unwrap();
        sink.flush().unwrap();
        assert_eq!(sink.check_write().unwrap(), 0);
        allow.send(()).unwrap();
        sink.ready().await;
        assert_eq!(sink.check_write().unwrap(), CAPACITY);
        let gate = end.finish().await.unwrap();
        assert_eq!(gate.written, b"a");
        assert_eq!(gate.flushes, 2);
    }

    #[tokio::test]
    async fn the_writers_error_comes_back_as_it_was() {
        let (gate, allow, _told) = Gate::new();
        drop(allow);
        let (mut sink, end) = sink(gate).unwrap();
        sink.write(piece(0)).unwrap();
        while sink.check_write().is_ok() {
            tokio::task::yield_now().await;
        }
        // Ready for good, so that the component finds out.
        sink.ready().await;
        for result in [
            sink.check_write().map(|_| ()),
            sink.write(piece(0)),
            sink.flush(),
        ] {
            assert!(
                matches!(result, Err(StreamError::LastOperationFailed(_))),
                "{result:?}"
            );
        }
        let error = end.finish().await.map(|_| ()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    }

    #[tokio::test]
    async fn writing_more_than_permitted_is_a_trap() {
        let (mut sink, _end) = sink(io::sink()).unwrap();
        let result = sink.write(Bytes::from(vec![0; CAPACITY + 1]));
        assert!(matches!(result, Err(StreamError::Trap(_))), "{result:?}");
    }

    #[tokio::test]
    async fn dropping_our_end_stops_the_writing() {
        let (gate, allow, told) = Gate::new();
        let (mut sink, end) = sink(gate).unwrap();
        for n in 0..4 {
            sink.write(piece(n)).unwrap();
        }
        drop(end);
        assert!(matches!(sink.check_write(), Err(StreamError::Closed)));
        // The piece that is being written is finished, and no other one begun.
        allow.send(()).unwrap();
        told.recv_timeout(Duration::from_secs(10)).unwrap();
    }

    #[tokio::test]
    async fn nothing_is_written_after_the_end() {
        let (mut sink, end) = sink(Vec::new()).unwrap();
        sink.write(Bytes::from_static(b"a")).unwrap();
        assert_eq!(end.finish().await.unwrap(), b"a");
        assert!(matches!(
            sink.write(Bytes::from_static(b"b")),
            Err(StreamError::Closed)
        ));
        sink.ready().await;
    }

    #[tokio::test]
    async fn a_panicking_writer_is_an_error() {
        struct Panics;
        impl Write for Panics {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                panic!("on purpose")
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let (mut sink, end) = sink(Panics).unwrap();
        sink.write(Bytes::from_static(b"a")).unwrap();
        sink.flush().unwrap();
        sink.ready().await;
        assert!(sink.check_write().is_err());
        let error = end.finish().await.map(|_| ()).unwrap_err();
        assert_eq!(error.to_string(), "the writer panicked");
    }
}

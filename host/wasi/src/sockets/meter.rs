//! Streams that count bytes, and enforce the limits on bytes and bandwidth.
//!
//! They wrap wasmtime-wasi's streams of TCP connections, and [those of adopted
//! sockets](super::connection), if traffic is recorded or limited. All stream functions (`splice`,
//! `write-zeroes`, the blocking ones) use their `read` and `write`.
//!
//! With a bandwidth limit, several streams may have a permit to write at the same time, and all share one
//! bandwidth. A stream accepts the bytes that it has permitted, and no more, as wasmtime-wasi's own do. If
//! the bandwidth does not suffice by then, the bytes are kept, and a task sends them as soon as it does.

mod flow;
mod output;

use super::rate::Bucket;
use crate::authority::Authority;
use crate::authority::{Account, Open};
use crate::failed::ToComponent;
use bytes::Bytes;
use output::{MeteredOutput, Sending};
use sockbox_policy::Target;
use sockbox_policy::{Limit, Limits};
use std::future::{Future, ready};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready as ready_or_pending};
use std::time::{Duration, Instant};
use tokio::sync::OwnedMutexGuard;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::p2::{
    DynInputStream, DynOutputStream, InputStream, OutputStream, Pollable, StreamError, StreamResult,
};
use wasmtime_wasi::runtime::{AbortOnDropJoinHandle, spawn};

/// The limits on the bytes of a run, and their use.
pub(crate) struct Meter {
    pub(super) received: Direction,
    pub(super) sent: Direction,
}

impl Meter {
    pub(super) fn new(limits: &Limits, authority: &Arc<Authority>) -> Meter {
        let direction = |limit, bytes| Direction::new(limit, bytes, limits.bandwidth, authority);
        Meter {
            received: direction(Limit::ReceivedBytes, limits.received_bytes),
            sent: direction(Limit::SentBytes, limits.sent_bytes),
        }
    }

    /// Whether it bounds anything.
    pub(super) fn is_bound(&self) -> bool {
        self.received.is_bound() || self.sent.is_bound() || self.is_slow()
    }

    /// Whether it bounds how fast things go.
    pub(super) fn is_slow(&self) -> bool {
        self.received.throttle.is_some()
    }

    /// Wrap a connection's streams. Also returns a value to wait until all kept bytes are sent.
    pub(super) fn around(
        self: &Arc<Self>,
        account: Option<Arc<Account>>,
        input: DynInputStream,
        output: DynOutputStream,
    ) -> (DynInputStream, DynOutputStream, Unsent) {
        let unsent = Unsent::default();
        let connection = Arc::new(Connection {
            meter: self.clone(),
            open: account.map(Open::new),
            unsent: unsent.clone(),
            refused: Refused::default(),
        });
        let input = MeteredInput {
            input: Some(input),
            connection: connection.clone(),
            received: 0,
        };
        let output = MeteredOutput {
            sending: Sending::Idle(output),
            failed: None,
            permit: 0,
            connection,
            sent: 0,
        };
        (Box::new(input), Box::new(output), unsent)
    }
}

/// Locked as long as a connection has written bytes that wait for bandwidth.
#[derive(Clone, Default)]
pub(super) struct Unsent(Arc<tokio::sync::Mutex<()>>);

impl Unsent {
    /// Wait until no such bytes are left.
    pub(super) async fn gone(&self) {
        drop(self.0.lock().await);
    }
}

/// One of the two directions of traffic.
pub(super) struct Direction {
    limit: Limit,
    /// How many more bytes are permitted in this direction. None: any number.
    left: Option<AtomicU64>,
    throttle: Option<Mutex<Bucket>>,
    authority: Arc<Authority>,
}

impl Direction {
    fn new(
        limit: Limit,
        bytes: Option<u64>,
        bandwidth: Option<u64>,
        authority: &Arc<Authority>,
    ) -> Direction {
        let bucket = |bandwidth| Mutex::new(Bucket::of_bytes(bandwidth, Instant::now()));
        Direction {
            limit,
            left: bytes.map(AtomicU64::new),
            throttle: bandwidth.map(bucket),
            authority: authority.clone(),
        }
    }

    /// Whether the number of bytes is limited.
    pub(super) fn is_bound(&self) -> bool {
        self.left.is_some()
    }

    /// How many more bytes are permitted.
    pub(super) fn left(&self) -> u64 {
        match &self.left {
            Some(left) => left.load(Ordering::Relaxed),
            None => u64::MAX,
        }
    }

    /// Count so many bytes.
    pub(super) fn gone(&self, bytes: u64) {
        self.reserve(bytes);
    }

    /// Count as many of `most` bytes as may go it, and tell how many. A component's own calls come one behind the
    /// other, but connections for its HTTP requests have tasks of their own.
    pub(super) fn reserve(&self, most: u64) -> u64 {
        let Some(left) = &self.left else {
            return most;
        };
        let less = |left: u64| Some(left.saturating_sub(most));
        match left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less) {
            Ok(before) | Err(before) => before.min(most),
        }
    }

    /// Count so many bytes no more, which didn't go it after all.
    pub(super) fn give_back(&self, bytes: u64) {
        if let Some(left) = &self.left {
            left.fetch_add(bytes, Ordering::Relaxed);
        }
    }

    /// Count so many bytes, also against the bandwidth.
    pub(super) fn went(&self, bytes: u64) {
        self.gone(bytes);
        if let Some(mut bucket) = self.bucket() {
            bucket.take(bytes);
        }
    }

    /// Whether the bandwidth permits any bytes now.
    pub(super) fn has_bandwidth(&self, target: Option<&Target>) -> bool {
        let there = self
            .bucket()
            .is_none_or(|mut bucket| bucket.available(Instant::now()) > 0);
        if !there {
            self.slowed_down(target);
        }
        there
    }

    /// Note that an operation exceeded the limit.
    pub(super) fn refused(&self, target: Option<&Target>) {
        self.authority.reached(self.limit, target.cloned());
    }

    /// How many of `bytes` are permitted now.
    fn at_once(&self, bytes: usize, connection: &Connection) -> usize {
        let Some(mut bucket) = self.bucket() else {
            return bytes;
        };
        let available = bucket.available(Instant::now());
        if available == 0 {
            self.slowed_down(connection.target());
        }
        bytes.min(usize::try_from(available).unwrap_or(usize::MAX))
    }

    /// How many datagrams of these sizes are permitted now. If any bytes are permitted, one datagram is
    /// permitted even if it is larger, because a datagram can't be split. The excess delays the next one.
    pub(super) fn datagrams_at_once(&self, sizes: impl Iterator<Item = u64>) -> usize {
        let Some(mut bucket) = self.bucket() else {
            return sizes.count();
        };
        let mut available = bucket.available(Instant::now());
        sizes
            .take_while(|size| {
                let there = available > 0;
                available = available.saturating_sub(*size);
                there
            })
            .count()
    }

    /// Use bandwidth for `bytes`, if all of it is available now.
    fn takes_all(&self, bytes: u64) -> bool {
        let Some(mut bucket) = self.bucket() else {
            return true;
        };
        let all = bucket.available(Instant::now()) >= bytes;
        if all {
            bucket.take(bytes);
        }
        all
    }

    /// Wait for bandwidth, and use it for at most `most` bytes. Returns for how many.
    async fn take_some(&self, most: usize) -> usize {
        loop {
            let wait = {
                let Some(mut bucket) = self.bucket() else {
                    return most;
                };
                let now = Instant::now();
                // What is taken is `most` at most.
                match bucket.take_up_to(most as u64, now) as usize {
                    0 => bucket.wait(now),
                    taken => return taken,
                }
            };
            pause(wait).await;
        }
    }

    fn bucket(&self) -> Option<MutexGuard<'_, Bucket>> {
        let bucket = self.throttle.as_ref()?.lock();
        // What it holds is valid at every moment, so a panic elsewhere spoils nothing.
        Some(bucket.unwrap_or_else(PoisonError::into_inner))
    }

    fn slowed_down(&self, target: Option<&Target>) {
        self.authority.reached(Limit::Bandwidth, target.cloned());
    }

    /// Wait until the bandwidth permits any bytes.
    pub(super) async fn flows(&self, target: Option<&Target>) {
        loop {
            let Some(wait) = self.bucket().map(|mut bucket| bucket.wait(Instant::now())) else {
                return;
            };
            if wait.is_some_and(|wait| wait.is_zero()) {
                return;
            }
            self.slowed_down(target);
            pause(wait).await;
        }
    }

    fn error(&self, connection: &Connection) -> StreamError {
        self.refused(connection.target());
        // A component sees only the text.
        let text = format!("LimitReached: no more {}", self.limit);
        StreamError::LastOperationFailed(ToComponent::error(text))
    }
}

/// Wait so long; none: for ever.
async fn pause(wait: Option<Duration>) {
    match wait {
        Some(wait) => tokio::time::sleep(wait).await,
        None => std::future::pending().await,
    }
}

/// The state shared by the two streams of a connection.
struct Connection {
    meter: Arc<Meter>,
    /// None if traffic is not recorded.
    open: Option<Open>,
    unsent: Unsent,
    refused: Refused,
}

/// Whether a connection was refused to send more. What is sent over TCP is one sequence of bytes, so it breaks off
/// there, and no answer to the rest can come: its input ends too, behind what has arrived by then.
#[derive(Default)]
struct Refused {
    is_so: AtomicBool,
    told: tokio::sync::Notify,
}

impl Refused {
    fn set(&self) {
        self.is_so.store(true, Ordering::SeqCst);
        self.told.notify_waiters();
    }

    fn get(&self) -> bool {
        self.is_so.load(Ordering::SeqCst)
    }

    async fn wait(&self) {
        let told = self.told.notified();
        if !self.get() {
            told.await;
        }
    }
}

impl Connection {
    fn target(&self) -> Option<&Target> {
        self.open.as_ref()?.account().target()
    }
}

struct MeteredInput {
    /// None after a refusal: a stream whose operation failed is closed.
    input: Option<DynInputStream>,
    connection: Arc<Connection>,
    received: u64,
}

type Readiness<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

impl Pollable for MeteredInput {
    // Written without `async_trait`, so that streams without a bandwidth limit need no additional
    // future.
    fn ready<'a, 'b>(&'a mut self) -> Readiness<'b>
    where
        'a: 'b,
        Self: 'b,
    {
        let connection = &*self.connection;
        let direction = &connection.meter.received;
        let Some(input) = &mut self.input else {
            return Box::pin(ready(()));
        };
        if direction.throttle.is_none() && !connection.meter.sent.is_bound() {
            return input.ready();
        }
        Box::pin(async move {
            tokio::select! {
                () = input.ready() => direction.flows(connection.target()).await,
                () = connection.refused.wait() => {}
            }
        })
    }
}

#[async_trait]
impl InputStream for MeteredInput {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        let direction = &self.connection.meter.received;
        let input = self.input.as_mut().ok_or(StreamError::Closed)?;
        if direction.left() == 0 && size > 0 {
            // This tells the end of the stream, which is permitted, from further bytes.
            if input.read(1)?.is_empty() {
                return Ok(Bytes::new());
            }
            self.input = None;
            return Err(direction.error(&self.connection));
        }
        let most = usize::try_from(direction.left()).unwrap_or(usize::MAX);
        let now = direction.at_once(size.min(most), &self.connection);
        let reserved = direction.reserve(now as u64);
        if reserved == 0 && size > 0 {
            return Ok(Bytes::new());
        }
        // It is `now` at most.
        let read = input.read(reserved as usize);
        let received = read.as_ref().map_or(0, |bytes| bytes.len() as u64);
        direction.give_back(reserved - received);
        if let Some(mut bucket) = direction.bucket() {
            bucket.take(received);
        }
        self.received += received;
        let bytes = read?;
        if bytes.is_empty() && size > 0 && self.connection.refused.get() {
            self.input = None;
            return Err(StreamError::Closed);
        }
        Ok(bytes)
    }

    async fn cancel(&mut self) {
        if let Some(input) = &mut self.input {
            input.cancel().await;
        }
    }
}

impl Drop for MeteredInput {
    fn drop(&mut self) {
        if let Some(open) = &self.connection.open {
            open.account().add_received(self.received);
        }
    }
}

#[cfg(test)]
mod tests;

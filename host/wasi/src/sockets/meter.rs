//! Streams that count what goes through them, and let through no more than may.
//!
//! They are put around wasmtime-wasi's streams of TCP connections and around [our
//! own](super::connection), where anybody wants to know or there is a bound. Whatever a component does
//! with a stream (`splice`, `write-zeroes`, what blocks) comes down to their `read` and `write`.
//!
//! Where there is a bandwidth, a permit to write is a promise that several streams may have been given at
//! the same time, and the bandwidth is the same for all of them. So a stream takes what it has permitted,
//! and no more, as wasmtime-wasi's own do; what the bandwidth has no room for by then is kept, and sent by
//! a task as soon as there is room.

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
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready as ready_or_pending};
use std::time::{Duration, Instant};
use tokio::sync::OwnedMutexGuard;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::p2::{
    DynInputStream, DynOutputStream, InputStream, OutputStream, Pollable, StreamError, StreamResult,
};
use wasmtime_wasi::runtime::{AbortOnDropJoinHandle, spawn};

/// What a run may receive and send.
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

    /// Put a meter around a connection's streams, and tell when what was kept of them has been sent.
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

/// Whether a connection has bytes that were written and wait for bandwidth: locked as long as it has.
#[derive(Clone, Default)]
pub(super) struct Unsent(Arc<tokio::sync::Mutex<()>>);

impl Unsent {
    /// Wait until there are none.
    pub(super) async fn gone(&self) {
        drop(self.0.lock().await);
    }
}

/// One of the two ways that bytes go.
pub(super) struct Direction {
    limit: Limit,
    /// How many more bytes may go it; none: any number.
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

    /// Whether there is a bound on how many bytes go it.
    pub(super) fn is_bound(&self) -> bool {
        self.left.is_some()
    }

    /// How many more bytes may go it.
    pub(super) fn left(&self) -> u64 {
        match &self.left {
            Some(left) => left.load(Ordering::Relaxed),
            None => u64::MAX,
        }
    }

    /// So many have gone it.
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

    /// So many have gone it, which counts as bandwidth too.
    pub(super) fn went(&self, bytes: u64) {
        self.gone(bytes);
        if let Some(mut bucket) = self.bucket() {
            bucket.take(bytes);
        }
    }

    /// Whether any bytes may go it at this moment.
    pub(super) fn has_bandwidth(&self, target: Option<&Target>) -> bool {
        let there = self
            .bucket()
            .is_none_or(|mut bucket| bucket.available(Instant::now()) > 0);
        if !there {
            self.slowed_down(target);
        }
        there
    }

    /// More should have gone it than may.
    pub(super) fn refused(&self, target: Option<&Target>) {
        self.authority.reached(self.limit, target.cloned());
    }

    /// How many of `bytes` may go it at this moment.
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

    /// How many datagrams of these sizes may go it at this moment. As long as any bytes may go it, one
    /// datagram may, whose size may be more: it has no parts that could go by themselves, and what it took
    /// too much is waited for before the next.
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

    /// Take the bandwidth for `bytes`, if there is all of it at this moment.
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

    /// Wait until there is bandwidth, and take it, for `most` bytes at most. Tells for how many.
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

    /// Wait until any bytes may go it.
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
        // The text is all that a component has to go by.
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

/// What the two streams of a connection have in common.
struct Connection {
    meter: Arc<Meter>,
    /// None where nobody wants to know.
    open: Option<Open>,
    unsent: Unsent,
}

impl Connection {
    fn target(&self) -> Option<&Target> {
        self.open.as_ref()?.account().target()
    }
}

struct MeteredInput {
    /// None once it was refused more: a stream whose operation failed is closed.
    input: Option<DynInputStream>,
    connection: Arc<Connection>,
    received: u64,
}

type Readiness<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

impl Pollable for MeteredInput {
    // As `async_trait` has it, so that what isn't slowed down costs no future of its own.
    fn ready<'a, 'b>(&'a mut self) -> Readiness<'b>
    where
        'a: 'b,
        Self: 'b,
    {
        let connection = &*self.connection;
        let direction = &connection.meter.received;
        match &mut self.input {
            None => Box::pin(ready(())),
            Some(input) => match direction.throttle {
                None => input.ready(),
                Some(_) => Box::pin(async move {
                    input.ready().await;
                    direction.flows(connection.target()).await;
                }),
            },
        }
    }
}

#[async_trait]
impl InputStream for MeteredInput {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        let direction = &self.connection.meter.received;
        let input = self.input.as_mut().ok_or(StreamError::Closed)?;
        if direction.left() == 0 && size > 0 {
            // Whether that is the end, as it may be, or there is more.
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
        read
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

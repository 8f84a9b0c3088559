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

use super::rate::Bucket;
use crate::failed::ToComponent;
use crate::limits::{Limit, Limits};
use crate::network::Network;
use crate::policy::Target;
use crate::traffic::{Account, Open};
use bytes::Bytes;
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
    pub(super) fn new(limits: &Limits, network: &Arc<Network>) -> Meter {
        let direction = |limit, bytes| Direction::new(limit, bytes, limits.bandwidth, network);
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
    network: Arc<Network>,
}

impl Direction {
    fn new(
        limit: Limit,
        bytes: Option<u64>,
        bandwidth: Option<u64>,
        network: &Arc<Network>,
    ) -> Direction {
        let bucket = |bandwidth| Mutex::new(Bucket::of_bytes(bandwidth, Instant::now()));
        Direction {
            limit,
            left: bytes.map(AtomicU64::new),
            throttle: bandwidth.map(bucket),
            network: network.clone(),
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
        if let Some(left) = &self.left {
            // A component's calls come one behind the other.
            left.store(self.left().saturating_sub(bytes), Ordering::Relaxed);
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
        self.network.reached(self.limit, target.cloned());
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
        self.network.reached(Limit::Bandwidth, target.cloned());
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
        let most = size.min(usize::try_from(direction.left()).unwrap_or(usize::MAX));
        let now = direction.at_once(most, &self.connection);
        if now == 0 && size > 0 {
            return Ok(Bytes::new());
        }
        let bytes = input.read(now)?;
        direction.went(bytes.len() as u64);
        self.received += bytes.len() as u64;
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

struct MeteredOutput {
    sending: Sending,
    /// What came of the bytes that were kept, until it is told.
    failed: Option<StreamError>,
    /// How many bytes the next write may have, where there is a bandwidth.
    permit: usize,
    connection: Arc<Connection>,
    sent: u64,
}

/// States of an output: `Idle` <-> `Waiting`, and from either to `Closed`.
enum Sending {
    Idle(DynOutputStream),
    /// A task waits for the bandwidth that was missing when it was written.
    Waiting(AbortOnDropJoinHandle<(DynOutputStream, StreamResult<()>)>),
    /// It was refused more: a stream whose operation failed is closed.
    Closed,
}

impl MeteredOutput {
    /// The stream below, when all that was kept has been sent. None: it is closed.
    fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<Option<&mut DynOutputStream>> {
        if let Sending::Waiting(task) = &mut self.sending {
            let (output, result) = ready_or_pending!(Pin::new(task).poll(cx));
            self.failed = result.err();
            self.sending = Sending::Idle(output);
        }
        Poll::Ready(match &mut self.sending {
            Sending::Idle(output) => Some(output),
            Sending::Waiting(_) | Sending::Closed => None,
        })
    }

    async fn idle(&mut self) {
        std::future::poll_fn(|cx| self.poll_idle(cx).map(drop)).await;
    }

    /// The stream below, as far as it can be had at once. None: not yet.
    fn now(&mut self) -> StreamResult<Option<&mut DynOutputStream>> {
        let pending = self
            .poll_idle(&mut Context::from_waker(Waker::noop()))
            .is_pending();
        if let Some(failed) = self.failed.take() {
            return Err(failed);
        }
        match &mut self.sending {
            Sending::Idle(output) => Ok(Some(output)),
            Sending::Waiting(_) if pending => Ok(None),
            Sending::Waiting(_) | Sending::Closed => Err(StreamError::Closed),
        }
    }

    /// Write what there is bandwidth for, or keep all of it until there is.
    fn write_or_keep(&mut self, bytes: Bytes) -> StreamResult<()> {
        let direction = &self.connection.meter.sent;
        let unsent = self.connection.unsent.0.clone();
        let output = match std::mem::replace(&mut self.sending, Sending::Closed) {
            Sending::Idle(mut output) if direction.takes_all(bytes.len() as u64) => {
                let written = output.write(bytes);
                self.sending = Sending::Idle(output);
                return written;
            }
            Sending::Idle(output) => output,
            other => {
                self.sending = other;
                return Err(StreamError::trap("a write that was not permitted"));
            }
        };
        direction.slowed_down(self.connection.target());
        // Nothing else of this connection waits, so nothing holds it.
        let unsent = unsent.try_lock_owned().ok();
        let send = send(self.connection.clone(), output, bytes, unsent);
        self.sending = Sending::Waiting(spawn(send));
        Ok(())
    }
}

/// Send bytes as there is bandwidth for them.
async fn send(
    connection: Arc<Connection>,
    mut output: DynOutputStream,
    mut bytes: Bytes,
    _unsent: Option<OwnedMutexGuard<()>>,
) -> (DynOutputStream, StreamResult<()>) {
    while !bytes.is_empty() {
        let permit = match output.write_ready().await {
            Ok(permit) => permit.min(bytes.len()),
            Err(error) => return (output, Err(error)),
        };
        let now = connection.meter.sent.take_some(permit).await;
        if let Err(error) = output.write(bytes.split_to(now)) {
            return (output, Err(error));
        }
    }
    (output, Ok(()))
}

impl Pollable for MeteredOutput {
    fn ready<'a, 'b>(&'a mut self) -> Readiness<'b>
    where
        'a: 'b,
        Self: 'b,
    {
        if self.connection.meter.sent.throttle.is_none() {
            return match &mut self.sending {
                Sending::Idle(output) => output.ready(),
                Sending::Waiting(_) | Sending::Closed => Box::pin(ready(())),
            };
        }
        Box::pin(async move {
            self.idle().await;
            let connection = &self.connection;
            // Whether it failed is told by the check that follows.
            if let Sending::Idle(output) = &mut self.sending
                && self.failed.is_none()
            {
                output.ready().await;
                connection.meter.sent.flows(connection.target()).await;
            }
        })
    }
}

#[async_trait]
impl OutputStream for MeteredOutput {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        let direction = &self.connection.meter.sent;
        let length = bytes.len() as u64;
        if matches!(self.sending, Sending::Closed) {
            return Err(StreamError::Closed);
        }
        if length > direction.left() {
            self.sending = Sending::Closed;
            return Err(direction.error(&self.connection));
        }
        match &mut self.sending {
            Sending::Idle(output) if direction.throttle.is_none() => output.write(bytes)?,
            _ if bytes.is_empty() => return Ok(()),
            _ => {
                // As wasmtime-wasi's own have it: the permit is that of the latest check, for one write.
                if bytes.len() > std::mem::take(&mut self.permit) {
                    return Err(StreamError::trap("a write that was not permitted"));
                }
                self.write_or_keep(bytes)?;
            }
        }
        self.connection.meter.sent.gone(length);
        self.sent += length;
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        match self.now()? {
            Some(output) => output.flush(),
            // What is kept is on its way, and nothing more may be written before it has gone.
            None => Ok(()),
        }
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        self.permit = 0;
        let Some(output) = self.now()? else {
            return Ok(0);
        };
        let permit = output.check_write()?;
        let direction = &self.connection.meter.sent;
        let permit = match usize::try_from(direction.left()) {
            // Without a permit a component would wait for ever. Writing is what it is refused.
            Ok(0) => permit,
            Ok(left) => permit.min(left),
            Err(_) => permit,
        };
        self.permit = direction.at_once(permit, &self.connection);
        Ok(self.permit)
    }

    async fn cancel(&mut self) {
        self.idle().await;
        if let Sending::Idle(output) = &mut self.sending {
            output.cancel().await;
        }
    }
}

impl Drop for MeteredOutput {
    fn drop(&mut self) {
        if let Some(open) = &self.connection.open {
            open.account().add_sent(self.sent);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Policy;
    use std::time::Duration;
    use wasmtime_wasi::p2::pipe::{MemoryInputPipe, MemoryOutputPipe};

    fn meter(limits: Limits) -> Arc<Meter> {
        let network = Arc::new(Network::of(Policy::new()));
        Arc::new(Meter::new(&limits, &network))
    }

    /// A connection whose peer sends `bytes`, and takes all it is sent.
    fn connection(meter: &Arc<Meter>, bytes: usize) -> (DynInputStream, DynOutputStream) {
        let input = MemoryInputPipe::new(vec![7; bytes]);
        let output = MemoryOutputPipe::new(1 << 20);
        let (input, output, _) = meter.around(None, Box::new(input), Box::new(output));
        (input, output)
    }

    fn is_refused<T>(result: StreamResult<T>) -> bool {
        match result {
            Err(StreamError::LastOperationFailed(error)) => error
                .to_string()
                .starts_with("LimitReached: no more bytes "),
            _ => false,
        }
    }

    #[tokio::test]
    async fn what_is_received_is_counted_over_all_connections() {
        for (sent, refused) in [(99, false), (100, false), (101, true)] {
            let meter = meter(Limits::default().received_bytes(Some(100)));
            let (mut first, _output) = connection(&meter, 60);
            assert_eq!(first.read(1000).unwrap().len(), 60);
            assert!(matches!(first.read(1), Err(StreamError::Closed)));

            let (mut second, _output) = connection(&meter, sent - 60);
            assert_eq!(second.blocking_read(30).await.unwrap().len(), 30);
            let rest = second.skip(1000).unwrap();
            assert_eq!(rest, (sent - 90).min(10));
            // The end may come where the bound is, and nothing but the end.
            let last = second.blocking_read(1).await;
            assert_eq!(is_refused(last), refused, "{sent}");
            assert!(matches!(second.read(1), Err(StreamError::Closed)));
            second.ready().await;
            assert_eq!(
                meter.received.network.has_reached(Limit::ReceivedBytes),
                refused
            );
        }
    }

    #[tokio::test]
    async fn what_is_sent_is_counted_over_all_connections() {
        for (size, refused) in [(39, false), (40, false), (41, true)] {
            let meter = meter(Limits::default().sent_bytes(Some(100)));
            let (_input, mut first) = connection(&meter, 0);
            first
                .blocking_write_and_flush(vec![0; 50].into())
                .await
                .unwrap();
            first.write_zeroes(10).unwrap();

            let (_input, mut second) = connection(&meter, 0);
            assert_eq!(second.check_write().unwrap(), 40);
            let written = second.blocking_write_and_flush(vec![0; size].into()).await;
            assert_eq!(is_refused(written), refused, "{size}");
            assert_eq!(meter.sent.network.has_reached(Limit::SentBytes), refused);
            assert_eq!(
                matches!(second.check_write(), Err(StreamError::Closed)),
                refused
            );
            if size == 40 {
                // There is a permit for what will be refused: nobody waits for ever.
                assert!(first.check_write().unwrap() > 0);
                first.write(Bytes::new()).unwrap();
                assert!(is_refused(first.write(Bytes::from_static(b"a"))));
                assert!(matches!(first.flush(), Err(StreamError::Closed)));
                first.ready().await;
            }
        }
    }

    #[tokio::test]
    async fn with_none_left_from_the_start_there_is_nothing_but_the_end() {
        let meter = meter(
            Limits::default()
                .received_bytes(Some(0))
                .sent_bytes(Some(0)),
        );
        let (mut input, mut output) = connection(&meter, 1);
        assert!(input.read(0).unwrap().is_empty());
        assert!(is_refused(input.read(10)));
        assert!(is_refused(output.write(Bytes::from_static(b"a"))));
        let (mut input, _output) = connection(&meter, 0);
        assert!(matches!(input.read(10), Err(StreamError::Closed)));
    }

    #[tokio::test]
    async fn both_ways_flow_as_fast_as_they_may() {
        let meter = meter(Limits::default().bandwidth(Some(1000)));
        let (mut input, mut output) = connection(&meter, 350);
        let mut sizes = Vec::new();
        while let Ok(bytes) = input.blocking_read(1000).await {
            sizes.push(bytes.len());
        }
        assert_eq!(sizes.iter().sum::<usize>(), 350);
        assert_eq!(sizes[0], 100, "a tenth of a second's at once");
        assert!(meter.received.network.has_reached(Limit::Bandwidth));

        // The other way is free meanwhile, until it has used its own up.
        assert_eq!(output.check_write().unwrap(), 100);
        output.write(vec![0; 100].into()).unwrap();
        assert_eq!(output.check_write().unwrap(), 0);
        assert!(output.write_ready().await.unwrap() >= 50);
    }

    #[tokio::test]
    async fn a_write_beyond_the_latest_permit_is_a_trap() {
        for (write, trap) in [(99, false), (100, false), (101, true)] {
            let meter = meter(Limits::default().bandwidth(Some(1000)));
            let (_input, mut output) = connection(&meter, 0);
            let early = output.write(Bytes::from_static(b"a"));
            assert!(matches!(early, Err(StreamError::Trap(_))), "not yet");
            output.write(Bytes::new()).unwrap();
            assert_eq!(output.check_write().unwrap(), 100);
            let written = output.write(vec![0; write].into());
            assert_eq!(matches!(written, Err(StreamError::Trap(_))), trap);
            // It was for one write.
            let again = output.write(Bytes::from_static(b"a"));
            assert!(matches!(again, Err(StreamError::Trap(_))), "{write}");
        }
    }

    #[tokio::test]
    async fn many_streams_together_send_no_more_than_the_bandwidth() {
        const RATE: usize = 100_000;
        const BURST: usize = RATE / 10;
        let start = Instant::now();
        let meter = meter(Limits::default().bandwidth(Some(RATE as u64)));
        let pipes: Vec<_> = (0..8).map(|_| MemoryOutputPipe::new(1 << 20)).collect();
        let mut outputs: Vec<_> = pipes
            .iter()
            .map(|pipe| {
                let input = Box::new(MemoryInputPipe::new(Vec::new()));
                let (_, output, unsent) = meter.around(None, input, Box::new(pipe.clone()));
                (output, unsent)
            })
            .collect();
        let gone = || {
            let sizes = pipes.iter().map(|pipe| pipe.contents().len());
            let bytes: usize = sizes.sum();
            let most = RATE as f64 * start.elapsed().as_secs_f64() + BURST as f64;
            assert!(bytes as f64 <= most, "{bytes} bytes, {most} at most");
            bytes
        };
        let mut written = 0;
        while written < RATE / 2 {
            // Each is given a permit for all that there is, and makes use of it.
            let mut permits = Vec::new();
            for (output, _) in &mut outputs {
                permits.push(output.check_write().unwrap());
            }
            for ((output, _), permit) in outputs.iter_mut().zip(permits) {
                output.write(vec![7; permit].into()).unwrap();
                written += permit;
                gone();
            }
            outputs[0].0.ready().await;
            gone();
        }
        // None of it is lost, neither by dropping nor by shutting down.
        for (output, unsent) in &mut outputs {
            unsent.gone().await;
            output.cancel().await;
            gone();
        }
        assert_eq!(gone(), written);
        assert!(meter.sent.network.has_reached(Limit::Bandwidth));
    }

    #[tokio::test]
    async fn what_is_kept_and_cannot_be_sent_is_told() {
        let meter = meter(Limits::default().bandwidth(Some(1000)));
        let (_input, mut first) = connection(&meter, 0);
        let input = Box::new(MemoryInputPipe::new(Vec::new()));
        let short = Box::new(MemoryOutputPipe::new(20));
        let (_, mut second, _) = meter.around(None, input, short);
        first.check_write().unwrap();
        assert_eq!(second.check_write().unwrap(), 20);
        first.write(vec![0; 100].into()).unwrap();
        // There is no bandwidth left for it, and the pipe takes no more than these.
        second.write(vec![0; 20].into()).unwrap();
        assert_eq!(second.check_write().unwrap(), 0);
        second.flush().unwrap();
        assert!(matches!(
            second.write(Bytes::from_static(b"a")),
            Err(StreamError::Trap(_))
        ));
        second.ready().await;
        // A pipe that is full.
        assert!(!matches!(second.check_write(), Ok(1..)));
    }

    #[tokio::test]
    async fn without_bandwidth_nothing_is_ready() {
        let meter = meter(Limits::default().bandwidth(Some(0)));
        let (mut input, mut output) = connection(&meter, 1);
        assert!(input.read(1).unwrap().is_empty());
        assert_eq!(output.check_write().unwrap(), 0);
        let moment = Duration::from_millis(5);
        assert!(tokio::time::timeout(moment, input.ready()).await.is_err());
        assert!(tokio::time::timeout(moment, output.ready()).await.is_err());
    }

    #[tokio::test]
    async fn accounts_are_kept_of_what_really_went() {
        let account = Arc::new(Account::default());
        let meter = meter(Limits::default().received_bytes(Some(10)));
        let (mut input, mut output, _) = meter.around(
            Some(account.clone()),
            Box::new(MemoryInputPipe::new(vec![7; 20])),
            Box::new(MemoryOutputPipe::new(4)),
        );
        assert_eq!(input.read(20).unwrap().len(), 10);
        assert!(is_refused(input.read(20)));
        output.write(Bytes::from_static(b"abcd")).unwrap();
        assert!(output.write(Bytes::from_static(b"e")).is_err());
        drop((input, output));
        let total = account.total();
        assert_eq!((total.connections, total.received, total.sent), (1, 10, 4));
        assert!(total.open > Duration::ZERO);
    }
}

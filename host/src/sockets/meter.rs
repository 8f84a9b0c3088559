//! Streams that count what goes through them, and let through no more than may.
//!
//! They are put around wasmtime-wasi's streams of TCP connections and around [our
//! own](super::connection), where anybody wants to know or there is a bound. Whatever a component does
//! with a stream (`splice`, `write-zeroes`, what blocks) comes down to their `read` and `write`.

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
use std::time::Instant;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::p2::{
    DynInputStream, DynOutputStream, InputStream, OutputStream, Pollable, StreamError, StreamResult,
};

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

    /// Put a meter around a connection's streams.
    pub(super) fn around(
        self: &Arc<Self>,
        account: Option<Arc<Account>>,
        input: DynInputStream,
        output: DynOutputStream,
    ) -> (DynInputStream, DynOutputStream) {
        let connection = Arc::new(Connection {
            meter: self.clone(),
            open: account.map(Open::new),
        });
        let input = MeteredInput {
            input: Some(input),
            connection: connection.clone(),
            received: 0,
        };
        let output = MeteredOutput {
            output: Some(output),
            connection,
            sent: 0,
        };
        (Box::new(input), Box::new(output))
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

    /// So many have gone it in a stream, where they count as bandwidth too.
    fn went(&self, bytes: u64) {
        self.gone(bytes);
        if let Some(mut bucket) = self.bucket() {
            bucket.take(bytes);
        }
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
            self.slowed_down(connection);
        }
        bytes.min(usize::try_from(available).unwrap_or(usize::MAX))
    }

    fn bucket(&self) -> Option<MutexGuard<'_, Bucket>> {
        let bucket = self.throttle.as_ref()?.lock();
        // What it holds is valid at every moment, so a panic elsewhere spoils nothing.
        Some(bucket.unwrap_or_else(PoisonError::into_inner))
    }

    fn slowed_down(&self, connection: &Connection) {
        let target = connection.target().cloned();
        self.network.reached(Limit::Bandwidth, target);
    }

    /// Wait until any bytes may go it.
    async fn flows(&self, connection: &Connection) {
        loop {
            let Some(wait) = self.bucket().map(|mut bucket| bucket.wait(Instant::now())) else {
                return;
            };
            if wait.is_some_and(|wait| wait.is_zero()) {
                return;
            }
            self.slowed_down(connection);
            match wait {
                Some(wait) => tokio::time::sleep(wait).await,
                None => std::future::pending().await,
            }
        }
    }

    fn error(&self, connection: &Connection) -> StreamError {
        self.refused(connection.target());
        // The text is all that a component has to go by.
        let text = format!("LimitReached: no more {}", self.limit);
        StreamError::LastOperationFailed(ToComponent::error(text))
    }
}

/// What the two streams of a connection have in common.
struct Connection {
    meter: Arc<Meter>,
    /// None where nobody wants to know.
    open: Option<Open>,
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
                    direction.flows(connection).await;
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
    /// None once it was refused more: a stream whose operation failed is closed.
    output: Option<DynOutputStream>,
    connection: Arc<Connection>,
    sent: u64,
}

impl Pollable for MeteredOutput {
    fn ready<'a, 'b>(&'a mut self) -> Readiness<'b>
    where
        'a: 'b,
        Self: 'b,
    {
        let connection = &*self.connection;
        let direction = &connection.meter.sent;
        match &mut self.output {
            None => Box::pin(ready(())),
            Some(output) => match direction.throttle {
                None => output.ready(),
                Some(_) => Box::pin(async move {
                    output.ready().await;
                    direction.flows(connection).await;
                }),
            },
        }
    }
}

#[async_trait]
impl OutputStream for MeteredOutput {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        let direction = &self.connection.meter.sent;
        let output = self.output.as_mut().ok_or(StreamError::Closed)?;
        let length = bytes.len() as u64;
        if length > direction.left() {
            self.output = None;
            return Err(direction.error(&self.connection));
        }
        output.write(bytes)?;
        direction.went(length);
        self.sent += length;
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        self.output.as_mut().ok_or(StreamError::Closed)?.flush()
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        let direction = &self.connection.meter.sent;
        let output = self.output.as_mut().ok_or(StreamError::Closed)?;
        let permit = output.check_write()?;
        let permit = match usize::try_from(direction.left()) {
            // Without a permit a component would wait for ever. Writing is what it is refused.
            Ok(0) => permit,
            Ok(left) => permit.min(left),
            Err(_) => permit,
        };
        Ok(direction.at_once(permit, &self.connection))
    }

    async fn cancel(&mut self) {
        if let Some(output) = &mut self.output {
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
        meter.around(None, Box::new(input), Box::new(output))
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
        let (mut input, mut output) = meter.around(
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

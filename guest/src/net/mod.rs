//! The network and the clock as the programs above see them.
//!
//! [`Net`] is the seam between the programs and the system. The programs are generic over it and
//! know neither WASI nor its version: `wasi` is the back-end over WASI 0.2, `wasi3` that over WASI
//! 0.3, and tests put an in-memory network with a clock of its own in their place.
//!
//! All methods of a [`Stream`] take `&self`, so that one task can send and receive at once. Every
//! future here may be dropped before it is done; what that means for the stream is said there.

#[cfg(target_family = "wasm")]
mod address;
#[cfg(any(test, target_family = "wasm"))]
mod deadlines;
mod error;
#[cfg(test)]
pub mod memory;
#[cfg(any(test, all(target_family = "wasm", not(feature = "wasi-0-3"))))]
mod schedule;
mod timeout;
mod tls;
#[cfg(all(target_family = "wasm", not(feature = "wasi-0-3")))]
pub mod wasi;
#[cfg(all(target_family = "wasm", feature = "wasi-0-3"))]
pub mod wasi3;

pub use error::NetError;
pub use timeout::timeout_at;
pub use tls::TlsError;
/// The back-end of this build.
#[cfg(all(target_family = "wasm", not(feature = "wasi-0-3")))]
pub use wasi as system;
#[cfg(all(target_family = "wasm", feature = "wasi-0-3"))]
pub use wasi3 as system;

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// The most bytes that one read gives. WASI runtimes give no more than this at once either.
pub const MAX_READ: usize = 64 * 1024;

/// A point in time, in nanoseconds from a start that means nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instant(pub u64);

impl Instant {
    /// The point `duration` later, or the end of time where there is none.
    pub fn after(self, duration: Duration) -> Self {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(nanos))
    }

    /// How long after `earlier` this is; nothing if it is before.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// What the programs may ask of a system.
pub trait Net: Clone + 'static {
    /// A connection.
    type Stream: Stream + 'static;
    /// A socket that listens.
    type Listener: Listener<Stream = Self::Stream> + 'static;

    /// The time on a clock that never goes back.
    fn now(&self) -> Instant;

    /// Waits until `deadline`.
    fn sleep_until(&self, deadline: Instant) -> impl Future<Output = ()> + 'static;

    /// Looks a name up. The addresses come in the resolver's order; an empty answer is
    /// [`NetError::NameUnresolvable`].
    fn lookup(&self, name: &str) -> impl Future<Output = Result<Vec<IpAddr>, NetError>>;

    /// Connects to one address.
    fn connect(
        &self,
        remote: SocketAddr,
    ) -> impl Future<Output = Result<Self::Stream, NetError>> + 'static;

    /// Whether there is TLS to be had: without it [`secure`](Self::secure) always fails.
    const HAS_TLS: bool = false;

    /// Agrees upon TLS with the server of this name, or of this address, at the other end of a
    /// connection on which nothing was sent yet.
    ///
    /// When the future is dropped the connection is closed.
    fn secure(
        &self,
        stream: Self::Stream,
        server: &str,
    ) -> impl Future<Output = Result<Self::Stream, TlsError>> {
        drop(stream);
        let error = TlsError::Failed(format!("there is no TLS here to reach {server} with"));
        async { Err(error) }
    }

    /// Binds to an address and listens on it.
    fn listen(&self, local: SocketAddr) -> impl Future<Output = Result<Self::Listener, NetError>>;
}

/// A socket that listens; dropping it closes it.
pub trait Listener {
    /// What an accepted connection is.
    type Stream;

    /// The address listened on, with the real port.
    fn local_addr(&self) -> SocketAddr;

    /// Waits for a connection and accepts it. Nothing is lost when the future is dropped.
    ///
    /// A connection that breaks before it could be handed over is an error that
    /// [is of one client](NetError::is_of_one_client), and says nothing of the listener.
    fn accept(&self) -> impl Future<Output = Result<Self::Stream, NetError>>;
}

/// What a read that doesn't wait has found.
#[derive(Debug, PartialEq, Eq)]
pub enum TryRead {
    /// These bytes, at least one.
    Data(Vec<u8>),
    /// Nothing has arrived.
    Nothing,
    /// The peer has shut its sending side down.
    End,
}

/// A connection.
///
/// Dropping it closes it without waiting. Bytes that were given to it before are still sent in
/// the background, as far as the peer takes them.
pub trait Stream {
    /// Our end.
    fn local_addr(&self) -> SocketAddr;

    /// The peer's end.
    fn remote_addr(&self) -> SocketAddr;

    /// Takes at most `max` of the bytes that have arrived; doesn't wait.
    fn try_read(&self, max: usize) -> Result<TryRead, NetError>;

    /// Waits until [`try_read`](Self::try_read) has something to tell. May return early.
    fn readable(&self) -> impl Future<Output = ()>;

    /// Hands all of `bytes` over to be sent, waiting while the peer doesn't take them.
    ///
    /// When the future is dropped an unknown part of them has been handed over.
    fn write_all(&self, bytes: &[u8]) -> impl Future<Output = Result<(), NetError>>;

    /// Waits until what was written has left: the system has all of it, and sends it to a peer that
    /// takes it.
    fn flush(&self) -> impl Future<Output = Result<(), NetError>>;

    /// Waits until what was written has left, then tells the peer that no more will come.
    fn finish(&self) -> impl Future<Output = Result<(), NetError>>;

    /// Waits for bytes and takes at most `max` of them; none at the end of input. Nothing is lost
    /// when the future is dropped.
    fn read(&self, max: usize) -> impl Future<Output = Result<Option<Vec<u8>>, NetError>> {
        async move {
            loop {
                match self.try_read(max)? {
                    TryRead::Data(bytes) => return Ok(Some(bytes)),
                    TryRead::End => return Ok(None),
                    TryRead::Nothing => self.readable().await,
                }
            }
        }
    }
}

/// The output given by a caller took no more bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SinkClosed;

/// Where a body goes.
pub trait Sink {
    /// Waits until the other side takes some bytes.
    fn ready(&mut self) -> impl Future<Output = Result<(), SinkClosed>>;

    /// Hands all of `bytes` over, waiting while the other side doesn't take them.
    fn write_all(&mut self, bytes: &[u8]) -> impl Future<Output = Result<(), SinkClosed>>;
}

/// Which side of a splice failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpliceError {
    /// The connection.
    Source(NetError),
    /// The output.
    Sink,
}

/// A connection whose bytes can be moved into a sink without being looked at.
pub trait Splice<S: Sink>: Stream {
    /// Waits for bytes and moves at most `max` of them, at least one; none at the end of input.
    fn splice(
        &self,
        sink: &mut S,
        max: u64,
    ) -> impl Future<Output = Result<Option<u64>, SpliceError>>;
}

/// A stream of bytes that a caller hands in, for a request's body.
pub trait Source {
    /// Waits for bytes and takes at most `max` of them; none at the end.
    fn read(&mut self, max: usize) -> impl Future<Output = Result<Option<Vec<u8>>, SourceFailed>>;
}

/// The input given by a caller failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SourceFailed;

//! What a back-end provides to the programs: a clock, name resolution, and sockets.
//!
//! All methods of a [`Stream`] take `&self`, so one task can send and receive at the same time.
//! Every future here may be dropped before it is ready; each method documents what that does to the
//! stream.

use super::{Instant, NetError, TlsError};
use std::future::Future;
use std::net::{IpAddr, SocketAddr};

/// The most bytes that one read returns. WASI runtimes return no more than this at once either.
pub const MAX_READ: usize = 64 * 1024;

/// What the programs use of a system.
pub trait Net: Clone + 'static {
    /// A connection.
    type Stream: Stream + 'static;
    /// A socket that listens.
    type Listener: Listener<Stream = Self::Stream> + 'static;

    /// The time on a clock that never goes back.
    fn now(&self) -> Instant;

    /// Waits until `deadline`.
    fn sleep_until(&self, deadline: Instant) -> impl Future<Output = ()> + 'static;

    /// Resolves a name. The addresses come in the order of the resolver; no address at all is
    /// [`NetError::NameUnresolvable`].
    fn resolve(&self, name: &str) -> impl Future<Output = Result<Vec<IpAddr>, NetError>>;

    /// Connects to one address.
    fn connect(
        &self,
        remote: SocketAddr,
    ) -> impl Future<Output = Result<Self::Stream, NetError>> + 'static;

    /// Whether this back-end has TLS. Without it [`tls_handshake`](Self::tls_handshake) always
    /// fails.
    const HAS_TLS: bool = false;

    /// Runs the TLS handshake on a connection on which nothing was sent yet. `server` is the name
    /// or the address that the certificate must be for.
    ///
    /// Dropping the future closes the connection.
    fn tls_handshake(
        &self,
        stream: Self::Stream,
        server: &str,
    ) -> impl Future<Output = Result<Self::Stream, TlsError>> {
        drop(stream);
        let error = TlsError::Failed(format!("this build has no TLS to reach {server} with"));
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

    /// Waits for a connection and accepts it. Dropping the future loses no connection.
    ///
    /// A connection that breaks before it is handed over is an error that [is of one
    /// client](NetError::is_of_one_client). It says nothing about the listener.
    fn accept(&self) -> impl Future<Output = Result<Self::Stream, NetError>>;
}

/// The result of a read that does not wait.
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
/// Dropping it closes it without waiting. Bytes that were written before are still sent in the
/// background, as far as the peer takes them.
pub trait Stream {
    /// The address of this end.
    fn local_addr(&self) -> SocketAddr;

    /// The address of the peer's end.
    fn remote_addr(&self) -> SocketAddr;

    /// Takes at most `max` of the bytes that have arrived. Does not wait.
    fn try_read(&self, max: usize) -> Result<TryRead, NetError>;

    /// Waits until [`try_read`](Self::try_read) has something to return. May return early.
    fn readable(&self) -> impl Future<Output = ()>;

    /// Hands over all of `bytes` to be sent, and waits while the peer does not take them.
    ///
    /// If the future is dropped, an unknown part of them has been handed over.
    fn write_all(&self, bytes: &[u8]) -> impl Future<Output = Result<(), NetError>>;

    /// Waits until the system has all that was written and sends it to a peer that takes it.
    fn flush(&self) -> impl Future<Output = Result<(), NetError>>;

    /// Waits as [`flush`](Self::flush) does, then shuts down the sending side.
    fn finish(&self) -> impl Future<Output = Result<(), NetError>>;

    /// Waits for bytes and takes at most `max` of them; `None` at the end of input. Dropping the
    /// future loses no bytes.
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

/// The destination of a body.
pub trait Sink {
    /// Waits until the reader takes some bytes.
    fn ready(&mut self) -> impl Future<Output = Result<(), SinkClosed>>;

    /// Hands over all of `bytes`, and waits while the reader does not take them.
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

/// A connection whose bytes can be moved into a sink without entering this component's memory.
pub trait Splice<S: Sink>: Stream {
    /// Waits for bytes and moves at most `max` of them, at least one; `None` at the end of input.
    fn splice(
        &self,
        sink: &mut S,
        max: u64,
    ) -> impl Future<Output = Result<Option<u64>, SpliceError>>;
}

/// A stream of bytes that a caller hands in, for a request's body.
pub trait Source {
    /// Waits for bytes and takes at most `max` of them; `None` at the end.
    fn read(&mut self, max: usize) -> impl Future<Output = Result<Option<Vec<u8>>, SourceFailed>>;
}

/// The input given by a caller failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SourceFailed;

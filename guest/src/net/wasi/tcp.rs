//! TCP sockets as futures.

use super::base::Base;
use super::error::from_stream_error;
use super::instance::Instance;
use super::reactor::{Reactor, Registration, Urgency};
use super::sink::OutputSink;
use crate::bindings::wasi::io::streams::{InputStream, OutputStream, StreamError};
use crate::bindings::wasi::sockets::network::ErrorCode;
use crate::bindings::wasi::sockets::tcp::TcpSocket;
use crate::bindings::wasi::sockets::tcp_create_socket::create_tcp_socket;
use crate::net::address::{family, from_wasi, to_wasi};
use crate::net::{Listener, NetError, Splice, SpliceError, Stream, TryRead};
use std::cell::{Cell, OnceCell};
use std::net::SocketAddr;
use std::rc::Rc;

/// How many connections the system may queue between two accepts. If a burst of connections fills
/// the queue, a client waits a second or more until it sends its packets again. The system lowers
/// this to its own maximum (`net.core.somaxconn`).
const BACKLOG: u64 = 4096;

/// Connects to one address.
pub async fn connect(instance: Rc<Instance>, remote: SocketAddr) -> Result<TcpStream, NetError> {
    let socket = create_tcp_socket(family(remote))?;
    socket.start_connect(&instance.network, to_wasi(remote))?;
    let ready = instance
        .reactor
        .register(socket.subscribe(), Urgency::Scheduled);
    loop {
        match socket.finish_connect() {
            Err(ErrorCode::WouldBlock) => ready.ready().await,
            Err(code) => {
                drop(ready);
                return Err(code.into());
            }
            Ok((input, output)) => {
                drop(ready);
                // The address is known from the caller. The system may forget it when the peer
                // resets the connection, and the first read or write reports that.
                let reactor = instance.reactor.clone();
                return TcpStream::of(reactor, socket, remote, input, output)
                    .map_err(|_| NetError::ConnectionReset);
            }
        }
    }
}

/// Binds to an address and listens on it.
pub async fn listen(instance: &Instance, local: SocketAddr) -> Result<TcpListener, NetError> {
    let socket = create_tcp_socket(family(local))?;
    let ready = instance
        .reactor
        .register(socket.subscribe(), Urgency::Always);
    let mut listener = TcpListener {
        ready,
        socket,
        local,
        reactor: instance.reactor.clone(),
    };
    // A runtime that does not support this setting still has a queue.
    let _ = listener.socket.set_listen_backlog_size(BACKLOG);
    listener
        .socket
        .start_bind(&instance.network, to_wasi(local))?;
    listener.until_done(TcpSocket::finish_bind).await?;
    listener.socket.start_listen()?;
    listener.until_done(TcpSocket::finish_listen).await?;
    // Subscribed again now that the socket listens: a runtime may have replaced it by a socket that
    // listened before, and the first pollable does not cover that one.
    listener.ready = instance
        .reactor
        .register(listener.socket.subscribe(), Urgency::Always);
    listener.local = from_wasi(listener.socket.local_address()?);
    Ok(listener)
}

/// A socket that listens.
pub struct TcpListener {
    // Fields are dropped in this order, and the host requires children to be dropped before their parents.
    ready: Registration,
    socket: TcpSocket,
    local: SocketAddr,
    reactor: Rc<Reactor>,
}

impl TcpListener {
    async fn until_done<T>(
        &self,
        attempt: impl Fn(&TcpSocket) -> Result<T, ErrorCode>,
    ) -> Result<T, NetError> {
        loop {
            match attempt(&self.socket) {
                Err(ErrorCode::WouldBlock) => self.ready.ready().await,
                result => return result.map_err(NetError::from),
            }
        }
    }
}

impl Listener for TcpListener {
    type Stream = TcpStream;

    fn local_addr(&self) -> SocketAddr {
        self.local
    }

    async fn accept(&self) -> Result<TcpStream, NetError> {
        let (socket, input, output) = self.until_done(TcpSocket::accept).await?;
        // The socket is accepted: any failure from here on concerns only this connection. If the
        // system no longer knows the peer's address, and the runtime has not stored it, the
        // connection was reset.
        let Ok(remote) = socket.remote_address() else {
            return Err(NetError::ConnectionAborted);
        };
        let reactor = self.reactor.clone();
        TcpStream::of(reactor, socket, from_wasi(remote), input, output)
            .map_err(|_| NetError::ConnectionAborted)
    }
}

/// A connection with or without TLS.
pub struct TcpStream {
    reactor: Rc<Reactor>,
    local: SocketAddr,
    remote: SocketAddr,
    /// Taken only by `drop`, and when the connection is turned into one with TLS.
    parts: Option<Parts>,
}

struct Parts {
    // Fields are dropped in this order, and the host requires children to be dropped before their
    // parents. A registration is made at the first wait: few connections ever wait to write.
    readable: OnceCell<Registration>,
    writable: OnceCell<Registration>,
    /// How many bytes may be written; 0 if the runtime has to be asked.
    permit: Cell<u64>,
    input: InputStream,
    output: OutputStream,
    base: Base,
}

impl Parts {
    fn new(base: Base, input: InputStream, output: OutputStream) -> Self {
        Self {
            readable: OnceCell::new(),
            writable: OnceCell::new(),
            permit: Cell::new(0),
            input,
            output,
            base,
        }
    }
}

impl TcpStream {
    // On failure its parameters are dropped from the last to the first: the streams before their
    // socket.
    fn of(
        reactor: Rc<Reactor>,
        socket: TcpSocket,
        remote: SocketAddr,
        input: InputStream,
        output: OutputStream,
    ) -> Result<Self, ErrorCode> {
        Ok(Self {
            reactor,
            local: from_wasi(socket.local_address()?),
            remote,
            parts: Some(Parts::new(Base::Plain(socket), input, output)),
        })
    }

    /// Takes the connection apart for a new one. Its registrations are dropped.
    #[cfg(feature = "tls")]
    pub(super) fn into_parts(mut self) -> Option<(Base, InputStream, OutputStream)> {
        let Parts {
            readable,
            writable,
            input,
            output,
            base,
            ..
        } = self.parts.take()?;
        drop((readable, writable));
        Some((base, input, output))
    }

    /// Makes a connection of these parts, with the addresses of an earlier one.
    #[cfg(feature = "tls")]
    pub(super) fn from_parts(
        reactor: Rc<Reactor>,
        (local, remote): (SocketAddr, SocketAddr),
        base: Base,
        input: InputStream,
        output: OutputStream,
    ) -> Self {
        Self {
            reactor,
            local,
            remote,
            parts: Some(Parts::new(base, input, output)),
        }
    }

    /// The parts, which exist until the stream is dropped, so always for a caller.
    fn parts(&self) -> Result<&Parts, NetError> {
        self.parts.as_ref().ok_or(NetError::Other)
    }

    async fn writable(&self, parts: &Parts) {
        parts
            .writable
            .get_or_init(|| {
                self.reactor
                    .register(parts.output.subscribe(), Urgency::Scheduled)
            })
            .ready()
            .await;
    }

    /// Waits until some bytes may be written, and returns how many. That is when earlier bytes have
    /// been passed on.
    async fn permit(&self, parts: &Parts) -> Result<u64, NetError> {
        while parts.permit.get() == 0 {
            match parts.output.check_write().map_err(from_stream)? {
                0 => self.writable(parts).await,
                permit => parts.permit.set(permit),
            }
        }
        Ok(parts.permit.get())
    }
}

impl Stream for TcpStream {
    fn local_addr(&self) -> SocketAddr {
        self.local
    }

    fn remote_addr(&self) -> SocketAddr {
        self.remote
    }

    fn try_read(&self, max: usize) -> Result<TryRead, NetError> {
        match self.parts()?.input.read(max as u64) {
            Ok(bytes) if bytes.is_empty() => Ok(TryRead::Nothing),
            Ok(bytes) => Ok(TryRead::Data(bytes)),
            Err(StreamError::Closed) => Ok(TryRead::End),
            Err(StreamError::LastOperationFailed(error)) => Err(from_stream_error(&error)),
        }
    }

    async fn readable(&self) {
        if let Ok(parts) = self.parts() {
            parts
                .readable
                .get_or_init(|| {
                    self.reactor
                        .register(parts.input.subscribe(), Urgency::Scheduled)
                })
                .ready()
                .await;
        }
    }

    async fn write_all(&self, mut bytes: &[u8]) -> Result<(), NetError> {
        let parts = self.parts()?;
        while !bytes.is_empty() {
            let permit = self.permit(parts).await?;
            let length = usize::try_from(permit).map_or(bytes.len(), |max| max.min(bytes.len()));
            let (now, later) = bytes.split_at(length);
            parts.permit.set(0);
            parts.output.write(now).map_err(from_stream)?;
            bytes = later;
        }
        Ok(())
    }

    async fn flush(&self) -> Result<(), NetError> {
        self.permit(self.parts()?).await.map(drop)
    }

    async fn finish(&self) -> Result<(), NetError> {
        let parts = self.parts()?;
        self.permit(parts).await?;
        parts.base.shut_sending_down()
    }
}

impl Splice<OutputSink<'_>> for TcpStream {
    async fn splice(
        &self,
        sink: &mut OutputSink<'_>,
        max: u64,
    ) -> Result<Option<u64>, SpliceError> {
        let parts = self.parts().map_err(SpliceError::Source)?;
        loop {
            // Checked first, so that a later failure is known to be the source's.
            let permit = sink.permit().await.map_err(|_| SpliceError::Sink)?;
            match sink.output().splice(&parts.input, max.min(permit)) {
                Ok(0) => self.readable().await,
                Ok(moved) => return Ok(Some(moved)),
                Err(_) if sink.output().check_write().is_err() => return Err(SpliceError::Sink),
                Err(StreamError::Closed) => return Ok(None),
                Err(StreamError::LastOperationFailed(error)) => {
                    return Err(SpliceError::Source(from_stream_error(&error)));
                }
            }
        }
    }
}

impl Drop for TcpStream {
    /// Closes the connection without waiting.
    ///
    /// In most runtimes dropping an output stream blocks the whole component until its bytes have
    /// been sent. One peer that never reads would stop all other connections. So if a write is
    /// under way, the stream is handed to the reactor, which drops it when the write has ended.
    fn drop(&mut self) {
        let Some(parts) = self.parts.take() else {
            return;
        };
        if self.reactor.breaks_off() || !matches!(parts.output.check_write(), Ok(0)) {
            return;
        }
        let Parts {
            readable,
            writable,
            input,
            output,
            base,
            ..
        } = parts;
        drop(readable);
        drop(input);
        let pollable = writable.into_inner().unwrap_or_else(|| {
            self.reactor
                .register(output.subscribe(), Urgency::Scheduled)
        });
        // The output is a child of the base: a tuple is dropped in order.
        pollable.release_when_ready((output, base));
    }
}

/// A stream that is closed for writing was reset by the peer.
fn from_stream(error: StreamError) -> NetError {
    match error {
        StreamError::Closed => NetError::ConnectionReset,
        StreamError::LastOperationFailed(error) => from_stream_error(&error),
    }
}

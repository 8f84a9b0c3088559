//! TCP sockets as futures.

use crate::bindings::wasi::sockets::types::{ErrorCode, TcpSocket};
use crate::bindings::wit_stream;
use crate::net::address::{family, from_wasi, to_wasi};
use crate::net::{Listener, NetError, Stream, TryRead};
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use wit_bindgen::{FutureReader, StreamReader, StreamResult, StreamWriter};

/// How many connections the system may queue between two accepts. If a burst of connections fills
/// the queue, a client waits a second or more until it sends its packets again. The system lowers
/// this to its own maximum (`net.core.somaxconn`).
const BACKLOG: u64 = 4096;

/// The result of one direction of a connection.
type Outcome = FutureReader<Result<(), ErrorCode>>;

/// Connects to one address.
pub async fn connect(remote: SocketAddr) -> Result<TcpStream, NetError> {
    let socket = TcpSocket::create(family(remote))?;
    socket.connect(to_wasi(remote)).await?;
    // It was connected. If it has no local address now, the peer has reset the connection.
    let local = socket.get_local_address();
    let local = local.map_err(|_| NetError::ConnectionReset)?;
    Ok(TcpStream::new(socket, from_wasi(local), remote))
}

/// Binds to an address and listens on it.
pub fn listen(local: SocketAddr) -> Result<TcpListener, NetError> {
    let socket = TcpSocket::create(family(local))?;
    // A runtime that does not support this setting still has a queue.
    let _ = socket.set_listen_backlog_size(BACKLOG);
    socket.bind(to_wasi(local))?;
    let accepted = socket.listen()?;
    Ok(TcpListener {
        local: from_wasi(socket.get_local_address()?),
        accepted: RefCell::new(accepted),
        _socket: socket,
    })
}

/// A socket that listens.
pub struct TcpListener {
    local: SocketAddr,
    accepted: RefCell<StreamReader<TcpSocket>>,
    _socket: TcpSocket,
}

impl Listener for TcpListener {
    type Stream = TcpStream;

    fn local_addr(&self) -> SocketAddr {
        self.local
    }

    async fn accept(&self) -> Result<TcpStream, NetError> {
        loop {
            match read_now(&self.accepted, 1)? {
                Read::Items(mut sockets) => {
                    if let Some(socket) = sockets.pop() {
                        // A failed accept comes as a closed socket, and the error of its first call
                        // is the reason.
                        let local = from_wasi(socket.get_local_address()?);
                        // Any failure from here on concerns only this connection. If the system no
                        // longer knows the peer's address, and the runtime has not stored it, the
                        // connection was reset.
                        let remote = socket.get_remote_address();
                        let remote = remote.map_err(|_| NetError::ConnectionAborted)?;
                        return Ok(TcpStream::new(socket, local, from_wasi(remote)));
                    }
                }
                // Waiting takes nothing from the stream, so nothing can be lost.
                Read::Nothing => readable(&self.accepted).await?,
                Read::End => return Err(NetError::Other),
            }
        }
    }
}

/// A connection.
pub struct TcpStream {
    local: SocketAddr,
    remote: SocketAddr,
    input: RefCell<StreamReader<u8>>,
    received: RefCell<Option<Outcome>>,
    /// The result of `received` once the input has ended: the future gives it only once.
    ended: Cell<Option<Result<(), NetError>>>,
    /// `None` once the sending side is shut down.
    output: RefCell<Option<StreamWriter<u8>>>,
    _socket: TcpSocket,
}

impl TcpStream {
    fn new(socket: TcpSocket, local: SocketAddr, remote: SocketAddr) -> Self {
        let (input, received) = socket.receive();
        let (output, data) = wit_stream::new();
        // The stream shows that sending has ended, though not why. Dropping the future saves the
        // host a tenth of its memory for each connection.
        drop(socket.send(data));
        Self {
            local,
            remote,
            input: RefCell::new(input),
            received: RefCell::new(Some(received)),
            ended: Cell::new(None),
            output: RefCell::new(Some(output)),
            _socket: socket,
        }
    }

    /// The result of the input, which has ended.
    fn end(&self) -> Result<TryRead, NetError> {
        let ended = self.ended.get().unwrap_or_else(|| {
            // It is known when the stream has ended: there is nothing to wait for.
            let received = self.received.take().and_then(now);
            received.map_or(Ok(()), |result| result.map_err(NetError::from))
        });
        self.ended.set(Some(ended));
        ended.map(|()| TryRead::End)
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
        if self.ended.get().is_some() {
            return self.end();
        }
        match read_now(&self.input, max)? {
            Read::Items(bytes) => Ok(TryRead::Data(bytes)),
            Read::Nothing => Ok(TryRead::Nothing),
            Read::End => self.end(),
        }
    }

    async fn readable(&self) {
        if self.ended.get().is_some() {
            return;
        }
        if let Ok(false) = readable_or_ended(&self.input).await {
            // A stream that has ended must not be read again. The next read returns its error, if
            // it failed.
            let _ = self.end();
        }
    }

    async fn write_all(&self, bytes: &[u8]) -> Result<(), NetError> {
        let unsent = {
            let mut output = self.output.try_borrow_mut().map_err(|_| NetError::Other)?;
            let output = output.as_mut().ok_or(NetError::Other)?;
            output.write_all(bytes.to_vec()).await
        };
        match unsent.is_empty() {
            true => Ok(()),
            // The other side has dropped the stream, which it does when sending fails.
            false => Err(NetError::ConnectionReset),
        }
    }

    async fn flush(&self) -> Result<(), NetError> {
        // A write ends when the host has taken all bytes, and the host takes only what the system
        // does.
        Ok(())
    }

    async fn finish(&self) -> Result<(), NetError> {
        // The host sends all bytes that it takes at once, so none are left.
        drop(self.output.take());
        Ok(())
    }
}

/// The result of a read.
enum Read<T> {
    /// At least one.
    Items(Vec<T>),
    Nothing,
    End,
}

/// Takes at most `max` items that have arrived. Does not wait.
fn read_now<T>(stream: &RefCell<StreamReader<T>>, max: usize) -> Result<Read<T>, NetError> {
    // A borrowed stream is being read by another future.
    let mut stream = stream.try_borrow_mut().map_err(|_| NetError::Other)?;
    let mut read = pin!(stream.read(Vec::with_capacity(max)));
    let (result, items) = match read.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(done) => done,
        Poll::Pending => read.cancel(),
    };
    Ok(match result {
        _ if !items.is_empty() => Read::Items(items),
        StreamResult::Dropped => Read::End,
        StreamResult::Complete(_) | StreamResult::Cancelled => Read::Nothing,
    })
}

/// Waits until there is something to read, and takes nothing. Returns false if the stream has
/// ended.
async fn readable_or_ended<T>(stream: &RefCell<StreamReader<T>>) -> Result<bool, NetError> {
    let mut stream = stream.try_borrow_mut().map_err(|_| NetError::Other)?;
    // A read of zero items waits until the other side has an item.
    let (result, _) = stream.read(Vec::new()).await;
    Ok(result != StreamResult::Dropped)
}

async fn readable<T>(stream: &RefCell<StreamReader<T>>) -> Result<(), NetError> {
    match readable_or_ended(stream).await? {
        true => Ok(()),
        false => Err(NetError::Other),
    }
}

/// The value of a future that is known by now.
///
/// A runtime may give it only when the read is cancelled. And a read must not go on for longer than the call of
/// the component's that began it: wasmtime 48 traps when the value comes later than that.
fn now<T>(future: FutureReader<T>) -> Option<T> {
    let mut read = pin!(future.into_future());
    match read.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => read.cancel().ok(),
    }
}

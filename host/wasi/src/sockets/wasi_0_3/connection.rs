//! A TCP connection, and its two streams.

use super::recorded::Recording;
use super::{Waiting, no_more, poll_event};
use crate::sockets::count::Open;
use crate::sockets::guard::Guard;
use crate::sockets::meter::{Direction, Meter};
use crate::sockets::private::{Broken, Endpoint};
use bytes::BytesMut;
use rustix::fd::{AsFd, BorrowedFd};
use rustix::io::Errno;
use sockbox_policy::Target;
use socket2::SockRef;
use std::io::{self, ErrorKind};
use std::net::{Shutdown, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::oneshot;
use tokio::time::Sleep;
use wasmtime::component::{
    Destination, Source, StreamConsumer, StreamProducer, StreamResult as Streamed,
};
use wasmtime::{AsContextMut, StoreContextMut};
use wasmtime_wasi::p3::bindings::sockets::types::ErrorCode;

/// How much a read takes if the reader does not say how much it wants: 64 KiB.
const CAPACITY: usize = 64 * 1024;

/// A connection. Its system's socket is closed when this and both streams are dropped.
pub(super) struct Connection {
    wire: Wire,
    /// The local address; none if the system did not know it any more.
    local: Option<SocketAddr>,
    remote: SocketAddr,
    open: Arc<Open>,
    meter: Option<Arc<Meter>>,
    /// None if traffic is not recorded.
    traffic: Option<Recording>,
    /// None if the policy can't be replaced.
    guard: Option<Guard>,
}

enum Wire {
    Tcp(TcpStream),
    /// A connection inside the run. The system's socket, which is not connected, holds the options.
    Private(Arc<Endpoint>, TcpSocket),
}

/// How a direction of a connection ended.
type Outcome = Result<(), ErrorCode>;

impl Connection {
    /// A connection over the machine's network.
    pub(super) fn new(
        stream: TcpStream,
        remote: SocketAddr,
        open: Arc<Open>,
        meter: Arc<Meter>,
        traffic: Option<Recording>,
    ) -> Connection {
        Connection {
            local: stream.local_addr().ok(),
            wire: Wire::Tcp(stream),
            remote,
            open,
            meter: Some(meter),
            traffic,
            guard: None,
        }
    }

    /// A connection inside the run, to which no limits on bytes apply.
    pub(super) fn private(
        endpoint: Arc<Endpoint>,
        [local, remote]: [SocketAddr; 2],
        options: TcpSocket,
        open: Arc<Open>,
    ) -> Connection {
        Connection {
            wire: Wire::Private(endpoint, options),
            local: Some(local),
            remote,
            open,
            meter: None,
            traffic: None,
            guard: None,
        }
    }

    /// End it when these are no longer granted.
    pub(super) fn guarded(mut self, guard: Option<Guard>) -> Connection {
        self.guard = guard;
        self
    }

    pub(super) fn open(&self) -> &Arc<Open> {
        &self.open
    }

    pub(super) fn fd(&self) -> Result<BorrowedFd<'_>, ErrorCode> {
        Ok(match &self.wire {
            Wire::Tcp(stream) => stream.as_fd(),
            Wire::Private(_, options) => options.as_fd(),
        })
    }

    /// The local address. The system forgets it when the peer resets the connection, so it is remembered.
    pub(super) fn local(&self) -> Result<SocketAddr, ErrorCode> {
        self.local.ok_or(ErrorCode::ConnectionReset)
    }

    pub(super) fn remote(&self) -> SocketAddr {
        self.remote
    }

    fn target(&self) -> Option<&Target> {
        self.traffic.as_ref()?.target()
    }

    /// The direction with the limits on bytes, if there are any.
    fn direction(&self, which: fn(&Meter) -> &Direction) -> Option<&Direction> {
        self.meter.as_deref().map(which)
    }

    /// Wait until something can be read. `event` is what the stream waits for inside the run.
    fn poll_read_ready(&self, cx: &mut Context<'_>, event: &mut Option<Waiting<()>>) -> Poll<()> {
        match &self.wire {
            Wire::Tcp(stream) => stream.poll_read_ready(cx).map(drop),
            Wire::Private(endpoint, _) => poll_event(event, cx, || {
                let endpoint = endpoint.clone();
                async move { endpoint.readable().await }
            }),
        }
    }

    /// Wait until something can be written. `event` is what the stream waits for inside the run.
    fn poll_write_ready(&self, cx: &mut Context<'_>, event: &mut Option<Waiting<()>>) -> Poll<()> {
        match &self.wire {
            Wire::Tcp(stream) => stream.poll_write_ready(cx).map(drop),
            Wire::Private(endpoint, _) => poll_event(event, cx, || {
                let endpoint = endpoint.clone();
                async move { endpoint.writable().await }
            }),
        }
    }

    /// Read some bytes; 0 at the end.
    fn poll_read(
        &self,
        cx: &mut Context<'_>,
        event: &mut Option<Waiting<()>>,
        buffer: &mut [u8],
    ) -> Poll<Result<usize, ErrorCode>> {
        loop {
            match &self.wire {
                Wire::Tcp(stream) => match stream.try_read(buffer) {
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                    read => return Poll::Ready(read.map_err(ErrorCode::from)),
                },
                Wire::Private(endpoint, _) => match endpoint.read(buffer.len()) {
                    Ok(bytes) if bytes.is_empty() => {}
                    Ok(bytes) => {
                        buffer[..bytes.len()].copy_from_slice(&bytes);
                        return Poll::Ready(Ok(bytes.len()));
                    }
                    Err(Broken::Closed) => return Poll::Ready(Ok(0)),
                    Err(broken) => return Poll::Ready(Err(error_of(broken))),
                },
            }
            ready!(self.poll_read_ready(cx, event));
        }
    }

    /// Write some of the bytes, which are not none.
    fn poll_write(
        &self,
        cx: &mut Context<'_>,
        event: &mut Option<Waiting<()>>,
        bytes: &[u8],
    ) -> Poll<Result<usize, ErrorCode>> {
        loop {
            match &self.wire {
                Wire::Tcp(stream) => match stream.try_write(bytes) {
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                    written => return Poll::Ready(written.map_err(|error| write_error(&error))),
                },
                Wire::Private(endpoint, _) => match endpoint.room() {
                    Ok(0) => {}
                    Ok(room) => {
                        let bytes = &bytes[..bytes.len().min(room)];
                        let written = endpoint.write(bytes).map(|()| bytes.len());
                        return Poll::Ready(written.map_err(error_of));
                    }
                    Err(broken) => return Poll::Ready(Err(error_of(broken))),
                },
            }
            ready!(self.poll_write_ready(cx, event));
        }
    }

    fn shutdown(&self, how: Shutdown) {
        match &self.wire {
            Wire::Tcp(stream) => {
                // It fails if the peer has disconnected, and then there is nothing to shut down.
                let _ = SockRef::from(stream).shutdown(how);
            }
            Wire::Private(endpoint, _) => endpoint.shutdown(how),
        }
    }
}

fn write_error(error: &io::Error) -> ErrorCode {
    match Errno::from_io_error(error) {
        Some(Errno::PIPE) => ErrorCode::ConnectionBroken,
        _ => error.into(),
    }
}

fn error_of(broken: Broken) -> ErrorCode {
    match broken {
        Broken::Reset => ErrorCode::ConnectionReset,
        Broken::Closed => ErrorCode::ConnectionBroken,
        Broken::NotPermitted => ErrorCode::Other(None),
    }
}

/// One of the two streams of a connection.
struct Half {
    connection: Arc<Connection>,
    /// None once the stream has ended.
    told: Option<oneshot::Sender<Outcome>>,
    /// What wakes the task when something can be read or written inside the run.
    event: Option<Waiting<()>>,
    /// What wakes the task when there is bandwidth again.
    pause: Option<Pin<Box<Sleep>>>,
    /// What wakes the task when the connection is no longer granted.
    revoked: Option<Waiting<()>>,
}

impl Half {
    fn new(connection: Arc<Connection>) -> (Half, oneshot::Receiver<Outcome>) {
        let (told, outcome) = oneshot::channel();
        let half = Half {
            connection,
            told: Some(told),
            event: None,
            pause: None,
            revoked: None,
        };
        (half, outcome)
    }

    /// Whether the connection is no longer granted. The task is woken when it isn't.
    fn is_revoked(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(guard) = &self.connection.guard else {
            return false;
        };
        let is_revoked = poll_event(&mut self.revoked, cx, || {
            let mut guard = guard.clone();
            async move { guard.revoked().await }
        });
        if is_revoked.is_ready() {
            self.connection.shutdown(Shutdown::Both);
        }
        is_revoked.is_ready()
    }

    fn end(&mut self, outcome: Outcome) -> Poll<wasmtime::Result<Streamed>> {
        if let Some(told) = self.told.take() {
            // The component may have dropped the future.
            let _ = told.send(outcome);
        }
        Poll::Ready(Ok(Streamed::Dropped))
    }
}

/// What a stream answers while it has nothing. A call that the component has cancelled must not wait.
fn waiting(cancelled: bool) -> Poll<wasmtime::Result<Streamed>> {
    match cancelled {
        true => Poll::Ready(Ok(Streamed::Cancelled)),
        false => Poll::Pending,
    }
}

/// The bytes that a connection receives.
pub(super) struct Receiving(Half);

impl Receiving {
    pub(super) fn new(connection: Arc<Connection>) -> (Receiving, oneshot::Receiver<Outcome>) {
        let (half, outcome) = Half::new(connection);
        (Receiving(half), outcome)
    }
}

impl Drop for Receiving {
    fn drop(&mut self) {
        self.0.connection.shutdown(Shutdown::Read);
        let _ = self.0.end(Ok(()));
    }
}

impl<D> StreamProducer<D> for Receiving {
    type Item = u8;
    type Buffer = BytesMut;

    fn poll_produce<'a>(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut store: StoreContextMut<'a, D>,
        destination: Destination<'a, Self::Item, Self::Buffer>,
        finish: bool,
    ) -> Poll<wasmtime::Result<Streamed>> {
        let half = &mut self.0;
        if half.told.is_none() {
            return Poll::Ready(Ok(Streamed::Dropped));
        }
        if half.is_revoked(cx) {
            return half.end(Err(ErrorCode::ConnectionReset));
        }
        let connection = half.connection.clone();
        if destination.remaining(store.as_context_mut()) == Some(0) {
            // The component waits until there is something to read.
            return match connection.poll_read_ready(cx, &mut half.event) {
                Poll::Ready(()) => Poll::Ready(Ok(Streamed::Completed)),
                Poll::Pending => waiting(finish),
            };
        }
        let mut most = u64::MAX;
        if let Some(direction) = connection.direction(|meter| &meter.received) {
            let Poll::Ready(now) = direction.poll_flow(cx, &mut half.pause, connection.target())
            else {
                return waiting(finish);
            };
            most = now;
        }
        let mut destination = destination.as_direct(store, CAPACITY);
        let buffer = destination.remaining();
        most = most.min(buffer.len() as u64);
        if let Some(direction) = connection.direction(|meter| &meter.received) {
            most = direction.reserve(most);
            if most == 0 {
                // This tells the end of the stream, which is permitted, from further bytes.
                return match connection.poll_read(cx, &mut half.event, &mut [0]) {
                    Poll::Ready(Ok(0)) => half.end(Ok(())),
                    Poll::Ready(Ok(_)) => {
                        direction.refused(connection.target());
                        half.end(Err(no_more(direction.limit())))
                    }
                    Poll::Ready(Err(code)) => half.end(Err(code)),
                    Poll::Pending => waiting(finish),
                };
            }
        }
        // It is the length of the buffer at most.
        let read = connection.poll_read(cx, &mut half.event, &mut buffer[..most as usize]);
        let count = match &read {
            Poll::Ready(Ok(count)) => *count,
            _ => 0,
        };
        if let Some(direction) = connection.direction(|meter| &meter.received) {
            direction.give_back(most - count as u64);
            direction.flowed(count as u64);
        }
        if let Some(traffic) = &connection.traffic {
            traffic.received(count);
        }
        match read {
            Poll::Ready(Ok(0)) => half.end(Ok(())),
            Poll::Ready(Ok(count)) => {
                destination.mark_written(count);
                Poll::Ready(Ok(Streamed::Completed))
            }
            Poll::Ready(Err(code)) => half.end(Err(code)),
            Poll::Pending => waiting(finish),
        }
    }
}

/// The bytes that a connection sends.
pub(super) struct Sending(Half);

impl Sending {
    pub(super) fn new(connection: Arc<Connection>) -> (Sending, oneshot::Receiver<Outcome>) {
        let (half, outcome) = Half::new(connection);
        (Sending(half), outcome)
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        // The system sends the end behind what it has taken.
        self.0.connection.shutdown(Shutdown::Write);
        let _ = self.0.end(Ok(()));
    }
}

impl<D> StreamConsumer<D> for Sending {
    type Item = u8;

    fn poll_consume(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        store: StoreContextMut<'_, D>,
        source: Source<'_, Self::Item>,
        finish: bool,
    ) -> Poll<wasmtime::Result<Streamed>> {
        let half = &mut self.0;
        if half.told.is_none() {
            return Poll::Ready(Ok(Streamed::Dropped));
        }
        if half.is_revoked(cx) {
            return half.end(Err(ErrorCode::ConnectionReset));
        }
        let connection = half.connection.clone();
        let mut source = source.as_direct(store);
        let bytes = source.remaining();
        if bytes.is_empty() {
            // The component waits until something can be written.
            return match connection.poll_write_ready(cx, &mut half.event) {
                Poll::Ready(()) => Poll::Ready(Ok(Streamed::Completed)),
                Poll::Pending => waiting(finish),
            };
        }
        let mut most = bytes.len() as u64;
        if let Some(direction) = connection.direction(|meter| &meter.sent) {
            let Poll::Ready(now) = direction.poll_flow(cx, &mut half.pause, connection.target())
            else {
                return waiting(finish);
            };
            most = direction.reserve(most.min(now));
            if most == 0 {
                direction.refused(connection.target());
                // What is sent over TCP is one sequence of bytes, so no answer to the rest can come: the input ends
                // behind what has arrived.
                connection.shutdown(Shutdown::Read);
                return half.end(Err(no_more(direction.limit())));
            }
        }
        // It is the length of the bytes at most.
        let written = connection.poll_write(cx, &mut half.event, &bytes[..most as usize]);
        let count = match &written {
            Poll::Ready(Ok(count)) => *count,
            _ => 0,
        };
        if let Some(direction) = connection.direction(|meter| &meter.sent) {
            direction.give_back(most - count as u64);
            direction.flowed(count as u64);
        }
        if let Some(traffic) = &connection.traffic {
            traffic.sent(count);
        }
        match written {
            Poll::Ready(Ok(count)) => {
                source.mark_read(count);
                Poll::Ready(Ok(Streamed::Completed))
            }
            Poll::Ready(Err(code)) => half.end(Err(code)),
            Poll::Pending => waiting(finish),
        }
    }
}

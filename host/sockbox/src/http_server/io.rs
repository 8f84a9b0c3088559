//! The socket of a connection, with counts and a timeout; and tokio's timers, for hyper.

use super::client::Client;
use sockbox_wasi::ConnectionTraffic;
use std::future::Future;
use std::io::{self, ErrorKind};
use std::net::Shutdown;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};

/// A client's socket.
pub(super) struct Socket {
    /// Shared with the connection's task, which watches for a client that leaves.
    stream: Arc<TcpStream>,
    write_timeout: Option<Duration>,
    /// Runs while the client takes nothing.
    stalled: Option<Pin<Box<Sleep>>>,
    client: Arc<Client>,
    traffic: Option<ConnectionTraffic>,
}

impl Socket {
    pub(super) fn new(
        stream: Arc<TcpStream>,
        write_timeout: Option<Duration>,
        client: Arc<Client>,
        traffic: Option<ConnectionTraffic>,
    ) -> Socket {
        Socket {
            stream,
            write_timeout,
            stalled: None,
            client,
            traffic,
        }
    }

    /// The result of a write, with the timeout for those that wait.
    fn written(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        let Poll::Ready(written) = written else {
            let Some(timeout) = self.write_timeout else {
                return Poll::Pending;
            };
            let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(timeout)));
            ready!(stalled.as_mut().poll(cx));
            self.client.stalled.store(true, Ordering::Relaxed);
            return Poll::Ready(Err(ErrorKind::TimedOut.into()));
        };
        self.stalled = None;
        if let (Ok(bytes), Some(traffic)) = (&written, &self.traffic) {
            traffic.sent(*bytes as u64);
        }
        Poll::Ready(written)
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let bytes = loop {
            ready!(this.stream.poll_read_ready(cx))?;
            match this.stream.try_read(buffer.initialize_unfilled()) {
                Ok(bytes) => break bytes,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        };
        buffer.advance(bytes);
        if bytes > 0 {
            this.client.has_sent.store(true, Ordering::Relaxed);
            if !this.client.is_active.load(Ordering::Relaxed) {
                this.client.in_head.store(true, Ordering::Relaxed);
            }
            if let Some(traffic) = &this.traffic {
                traffic.received(bytes as u64);
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = loop {
            match this.stream.poll_write_ready(cx) {
                Poll::Pending => break Poll::Pending,
                Poll::Ready(Err(error)) => break Poll::Ready(Err(error)),
                Poll::Ready(Ok(())) => match this.stream.try_write(bytes) {
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                    written => break Poll::Ready(written),
                },
            }
        };
        this.written(cx, written)
    }

    /// Ready: the socket has no buffer of its own.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let socket = socket2::SockRef::from(&*self.stream);
        Poll::Ready(socket.shutdown(Shutdown::Write))
    }
}

/// tokio's timers, for hyper.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timer;

struct Timed(Pin<Box<Sleep>>);

impl Future for Timed {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.0.as_mut().poll(cx)
    }
}

impl hyper::rt::Sleep for Timed {}

impl hyper::rt::Timer for Timer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn hyper::rt::Sleep>> {
        Box::pin(Timed(Box::pin(sleep(duration))))
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn hyper::rt::Sleep>> {
        Box::pin(Timed(Box::pin(tokio::time::sleep_until(deadline.into()))))
    }
}

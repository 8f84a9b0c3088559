//! A connection's two streams, with the traits through which hyper reads and writes.

use super::error::LimitReached;
use crate::failed;
use crate::sockets::count::Open;
use crate::tls::transport::{Receiving, Sending};
use bytes::Bytes;
use hyper::rt::{Read, ReadBufCursor, Write};
use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, StreamError};

/// A connection's two streams, for hyper.
pub(super) struct Io {
    receiving: Receiving,
    sending: Sending,
    /// Bytes that have arrived and that hyper has not taken.
    arrived: Bytes,
    ended: bool,
    /// The connection counts as one of the run's sockets. This is the last field, so the streams are dropped before it.
    _socket: Open,
}

impl Io {
    pub(super) fn new((input, output): (DynInputStream, DynOutputStream), socket: Open) -> Io {
        Io {
            receiving: Receiving::new(input),
            sending: Sending::new(output),
            arrived: Bytes::new(),
            ended: false,
            _socket: socket,
        }
    }
}

impl Read for Io {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let io = self.get_mut();
        if io.arrived.is_empty() && !io.ended {
            match ready!(io.receiving.poll(cx)) {
                Ok(bytes) => io.arrived = bytes,
                Err(StreamError::Closed) => io.ended = true,
                Err(error) => return Poll::Ready(Err(broken(&error, LimitReached::Received))),
            }
        }
        let length = io.arrived.len().min(buffer.remaining());
        buffer.put_slice(&io.arrived.split_to(length));
        Poll::Ready(Ok(()))
    }
}

impl Write for Io {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let io = self.get_mut();
        let sent = ready!(io.sending.poll_permit(cx)).and_then(|permit| {
            let length = permit.min(bytes.len());
            let bytes = Bytes::copy_from_slice(&bytes[..length]);
            io.sending.write(bytes).map(|()| length)
        });
        Poll::Ready(sent.map_err(|error| broken(&error, LimitReached::Sent)))
    }

    /// Ready when all bytes that hyper wrote have left the stream.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let permit = ready!(self.get_mut().sending.poll_permit(cx));
        let flushed = permit.map(drop);
        Poll::Ready(flushed.map_err(|error| broken(&error, LimitReached::Sent)))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Dropping the streams closes the connection. hyper drops them after this call.
        self.poll_flush(cx)
    }
}

/// The error of a stream as an I/O error. `limit` says which limit a stream's `LimitReached` is about.
pub(super) fn broken(error: &StreamError, limit: LimitReached) -> io::Error {
    if failed::is_limit(error) {
        return io::Error::other(limit);
    }
    let text = match error {
        StreamError::Closed => return ErrorKind::BrokenPipe.into(),
        StreamError::LastOperationFailed(error) | StreamError::Trap(error) => failed::text(error),
    };
    if text.starts_with("UnexpectedEof") {
        io::Error::new(ErrorKind::UnexpectedEof, text.into_owned())
    } else {
        io::Error::new(ErrorKind::ConnectionReset, text.into_owned())
    }
}

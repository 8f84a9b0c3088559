//! A connection's two streams, as hyper reads and writes them.

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

/// A connection.
pub(super) struct Io {
    receiving: Receiving,
    sending: Sending,
    arrived: Bytes,
    ended: bool,
    /// It counts as one of the component's sockets. The last field: by then it is closed.
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

    /// Waits until all that was written has left.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let permit = ready!(self.get_mut().sending.poll_permit(cx));
        let flushed = permit.map(drop);
        Poll::Ready(flushed.map_err(|error| broken(&error, LimitReached::Sent)))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // It is closed when it is dropped, which is next.
        self.poll_flush(cx)
    }
}

/// A stream's failure, by its kind where that is known.
fn broken(error: &StreamError, limit: LimitReached) -> io::Error {
    let text = match error {
        StreamError::Closed => return ErrorKind::BrokenPipe.into(),
        StreamError::LastOperationFailed(error) | StreamError::Trap(error) => failed::text(error),
    };
    if text.starts_with("LimitReached") {
        io::Error::other(limit)
    } else if text.starts_with("UnexpectedEof") {
        io::Error::new(ErrorKind::UnexpectedEof, text.into_owned())
    } else {
        io::Error::new(ErrorKind::ConnectionReset, text.into_owned())
    }
}

//! TLS on one connection: the plain bytes on one side, the streams below on the other.

use super::failure::TlsFailure;
use super::held::Held;
use super::transport::{Receiving, Sending};
use crate::failed::{self, ToComponent};
use bytes::Bytes;
use rustls::ClientConnection;
use std::io::{self, BufRead, ErrorKind, Write};
use std::task::{Context, Poll, Waker, ready};
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, StreamError};

/// TLS on one connection.
///
/// Nothing here blocks. Poll functions register wakers with the streams below.
pub(super) struct Session {
    tls: ClientConnection,
    receiving: Receiving,
    sending: Sending,
    /// Received bytes that have not been processed yet.
    arrived: Bytes,
    /// The peer will send no more bytes.
    ended: bool,
    /// Why the session failed.
    broken: Option<Broken>,
    /// The last handshake messages are held back and sent together with the first application data.
    /// Otherwise Nagle's algorithm would delay that data until the messages are acknowledged, which
    /// takes 40 ms if the peer sends nothing.
    held: bool,
    /// Released when the streams are dropped.
    _held_of_limits: Held,
}

/// Why the session failed.
#[derive(Clone, Debug)]
pub(super) enum Broken {
    /// TLS itself.
    Tls(rustls::Error),
    /// The stream below, with its text. It names the kind of failure, which the component looks for.
    Below(String),
}

impl Broken {
    fn below(error: &StreamError) -> Broken {
        Broken::Below(match error {
            StreamError::Closed => format!("{:?}", ErrorKind::ConnectionReset),
            StreamError::LastOperationFailed(error) | StreamError::Trap(error) => {
                failed::text(error).into_owned()
            }
        })
    }

    /// The error for the component.
    pub(super) fn to_stream_error(&self) -> StreamError {
        StreamError::LastOperationFailed(match self {
            Broken::Tls(error) => ToComponent::error(format!("TLS: {error}")),
            Broken::Below(text) => ToComponent::error(text.clone()),
        })
    }

    pub(super) fn failure(&self, already: bool) -> TlsFailure {
        match self {
            Broken::Tls(error) => TlsFailure::new(error, already),
            Broken::Below(text) if text.contains("ConnectionReset") => TlsFailure::Broken {
                reason: "connection reset by the peer".to_owned(),
            },
            Broken::Below(text) => TlsFailure::Broken {
                reason: text.clone(),
            },
        }
    }
}

/// The result of a read.
#[derive(Debug)]
pub(super) enum Read {
    Bytes(Bytes),
    Nothing,
    /// The peer sent `close_notify`.
    End,
    /// The connection ended without `close_notify`.
    Cut,
}

impl Session {
    pub(super) fn new(
        mut tls: ClientConnection,
        input: DynInputStream,
        output: DynOutputStream,
        held_of_limits: Held,
    ) -> Session {
        // What may be written is bounded where it is written.
        tls.set_buffer_limit(None);
        Session {
            tls,
            receiving: Receiving::new(input),
            sending: Sending::new(output),
            arrived: Bytes::new(),
            ended: false,
            broken: None,
            held: false,
            _held_of_limits: held_of_limits,
        }
    }

    pub(super) fn tls(&self) -> &ClientConnection {
        &self.tls
    }

    /// Continues the handshake until it is complete.
    ///
    /// # Errors
    /// Why it failed; none if the peer closed the connection.
    pub(super) fn poll_handshake(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Option<Broken>>> {
        loop {
            if !self.tls.is_handshaking() {
                return Poll::Ready(Ok(()));
            }
            // If the server does not accept our messages, it may have sent an alert with the
            // reason.
            let _ = ready!(self.poll_sent(cx));
            if self.ended {
                return Poll::Ready(Err(self.broken.clone()));
            }
            if let Err(broken) = ready!(self.poll_received(cx)) {
                return Poll::Ready(Err(Some(broken)));
            }
        }
    }

    /// Waits until there are bytes to read, or the connection has ended.
    pub(super) fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let told = match self.tls.reader().fill_buf() {
                Err(error) if error.kind() == ErrorKind::WouldBlock => None,
                Ok(_) | Err(_) => Some(()),
            };
            if told.is_some() || ready!(self.poll_received(cx)).is_err() {
                return Poll::Ready(());
            }
        }
    }

    /// Reads at most `max` bytes of what is there.
    ///
    /// # Errors
    /// Why the connection failed, after all earlier bytes have been read.
    pub(super) fn read(&mut self, max: usize) -> Result<Read, Broken> {
        let mut bytes = Vec::new();
        loop {
            let end = match self.take(max, &mut bytes) {
                Ok(()) if bytes.len() == max => break,
                Ok(()) => None,
                Err(end) => Some(end),
            };
            let more = match end {
                Some(_) => Poll::Pending,
                None => self.poll_received(&mut Context::from_waker(Waker::noop())),
            };
            match more {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(broken)) if bytes.is_empty() => return Err(broken),
                Poll::Pending if bytes.is_empty() => return Ok(end.unwrap_or(Read::Nothing)),
                Poll::Ready(Err(_)) | Poll::Pending => break,
            }
        }
        Ok(Read::Bytes(bytes.into()))
    }

    /// Takes decrypted bytes. The error says that no more will come.
    fn take(&mut self, max: usize, bytes: &mut Vec<u8>) -> Result<(), Read> {
        let mut reader = self.tls.reader();
        while bytes.len() < max {
            let piece = match reader.fill_buf() {
                Ok([]) => return Err(Read::End),
                Ok(piece) => piece,
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Err(Read::Cut),
                Err(_) => return Ok(()),
            };
            let length = piece.len().min(max - bytes.len());
            if bytes.capacity() == 0 {
                bytes.reserve_exact(max);
            }
            bytes.extend_from_slice(&piece[..length]);
            reader.consume(length);
        }
        Ok(())
    }

    /// Receives and decrypts more. This may yield no bytes to read.
    fn poll_received(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        if let Some(broken) = &self.broken {
            return Poll::Ready(Err(broken.clone()));
        }
        if self.tls.wants_write() {
            // The peer may wait for these bytes. If sending fails, receiving reports why.
            let _ = self.poll_sent(cx);
        }
        if self.arrived.is_empty() && !self.ended {
            match ready!(self.receiving.poll(cx)) {
                Ok(bytes) => self.arrived = bytes,
                Err(StreamError::Closed) => self.ended = true,
                Err(error) => return Poll::Ready(Err(self.fail(Broken::below(&error)))),
            }
        }
        Poll::Ready(self.decipher())
    }

    fn decipher(&mut self) -> Result<(), Broken> {
        let mut rest: &[u8] = &self.arrived;
        // An empty one tells it of the end.
        let read = self.tls.read_tls(&mut rest);
        let taken = self.arrived.len() - rest.len();
        drop(self.arrived.split_to(taken));
        if let Err(error) = read {
            return Err(self.fail(Broken::Below(error.to_string())));
        }
        let was_handshaking = self.tls.is_handshaking();
        let processed = self.tls.process_new_packets();
        if was_handshaking && !self.tls.is_handshaking() {
            self.held = self.tls.wants_write();
        } else if self.tls.wants_write() {
            // Sends a response or an alert. The peer may already have disconnected.
            let _ = self.try_send();
        }
        match processed {
            Ok(_) => Ok(()),
            Err(error) => Err(self.fail(Broken::Tls(error))),
        }
    }

    /// Encrypts bytes. The caller has checked that there is room for them.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), Broken> {
        if let Err(error) = self.tls.writer().write_all(bytes) {
            return Err(self.fail(Broken::Below(error.to_string())));
        }
        self.try_send().map(drop)
    }

    /// Sends `close_notify`.
    pub(super) fn close(&mut self) {
        self.tls.send_close_notify();
        // A peer that has disconnected needs no `close_notify`.
        let _ = self.try_send();
    }

    /// Whether bytes may be written: all earlier ones are sent, except those that are held back.
    pub(super) fn has_room(&mut self) -> Result<bool, Broken> {
        match self.held {
            true => Ok(true),
            false => self.try_send(),
        }
    }

    /// Sends encrypted bytes as far as the stream accepts them. Returns whether all are sent.
    pub(super) fn try_send(&mut self) -> Result<bool, Broken> {
        match self.poll_sent(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(result) => result.map(|()| true),
            Poll::Pending => Ok(false),
        }
    }

    /// Waits until all encrypted bytes are sent.
    pub(super) fn poll_sent(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        self.held = false;
        loop {
            let permit = match ready!(self.sending.poll_permit(cx)) {
                Ok(permit) => permit,
                Err(error) => return Poll::Ready(Err(Broken::below(&error))),
            };
            if !self.tls.wants_write() {
                return Poll::Ready(Ok(()));
            }
            let mut records = Bounded {
                bytes: Vec::new(),
                most: permit,
            };
            while self.tls.wants_write() && records.has_room() {
                if let Err(error) = self.tls.write_tls(&mut records) {
                    return Poll::Ready(Err(Broken::Below(error.to_string())));
                }
            }
            if let Err(error) = self.sending.write(records.bytes.into()) {
                return Poll::Ready(Err(Broken::below(&error)));
            }
        }
    }

    fn fail(&mut self, broken: Broken) -> Broken {
        self.broken.get_or_insert(broken).clone()
    }
}

/// Takes so many bytes and no more.
struct Bounded {
    bytes: Vec<u8>,
    most: usize,
}

impl Bounded {
    fn has_room(&self) -> bool {
        self.bytes.len() < self.most
    }
}

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(self.most - self.bytes.len());
        self.bytes.extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;

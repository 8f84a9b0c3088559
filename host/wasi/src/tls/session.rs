//! TLS on one connection: the plain bytes on one side, the streams below on the other.

use super::failure::TlsFailure;
use super::handshake::Held;
use super::transport::{Receiving, Sending};
use crate::failed::{self, ToComponent};
use bytes::Bytes;
use rustls::ClientConnection;
use std::io::{self, BufRead, ErrorKind, Write};
use std::task::{Context, Poll, Waker, ready};
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, StreamError};

/// TLS on one connection.
///
/// Nothing here waits. What is polled leaves word with the streams below.
pub(super) struct Session {
    tls: ClientConnection,
    receiving: Receiving,
    sending: Sending,
    /// What has arrived and wasn't looked at yet.
    arrived: Bytes,
    /// The other side will send no more.
    ended: bool,
    /// Why nothing goes any more.
    broken: Option<Broken>,
    /// The handshake's last words are held back, to leave together with the first that follow: sent
    /// by themselves, they would keep the system from sending those before they were acknowledged,
    /// which takes 40 ms where the other side has nothing to say.
    held: bool,
    /// Given back when the streams have gone.
    _held_of_limits: Held,
}

/// Why nothing goes any more.
#[derive(Clone, Debug)]
pub(super) enum Broken {
    /// TLS itself.
    Tls(rustls::Error),
    /// The stream below, whose words these are. It names the kind of failure, and whoever reads above
    /// looks for that.
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

    /// As the reader above is told.
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

/// What there is to read.
#[derive(Debug)]
pub(super) enum Read {
    Bytes(Bytes),
    Nothing,
    /// The other side said that this is the end.
    End,
    /// The connection ended, and the other side hasn't said so.
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

    /// Goes on with the handshake until it is over.
    ///
    /// # Errors
    /// What broke it; none is that the other side closed the connection.
    pub(super) fn poll_handshake(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Option<Broken>>> {
        loop {
            if !self.tls.is_handshaking() {
                return Poll::Ready(Ok(()));
            }
            // A server that doesn't take our words may have said why.
            let _ = ready!(self.poll_sent(cx));
            if self.ended {
                return Poll::Ready(Err(self.broken.clone()));
            }
            if let Err(broken) = ready!(self.poll_received(cx)) {
                return Poll::Ready(Err(Some(broken)));
            }
        }
    }

    /// Waits until there is something to read, or there will never be.
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
    /// What broke the connection, once all that came before has been read.
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

    /// Takes what was deciphered; the error is that no more will come.
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

    /// Deciphers more of what arrives: some of it, not necessarily bytes to be read.
    fn poll_received(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        if let Some(broken) = &self.broken {
            return Poll::Ready(Err(broken.clone()));
        }
        if self.tls.wants_write() {
            // It may be what the other side waits for. Should it not be taken, that is told by what comes
            // in its place.
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
            // An answer to what came, or the word that there is no going on with it. The other side may
            // have gone.
            let _ = self.try_send();
        }
        match processed {
            Ok(_) => Ok(()),
            Err(error) => Err(self.fail(Broken::Tls(error))),
        }
    }

    /// Enciphers bytes, of which the caller has made sure that there is room for them.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), Broken> {
        if let Err(error) = self.tls.writer().write_all(bytes) {
            return Err(self.fail(Broken::Below(error.to_string())));
        }
        self.try_send().map(drop)
    }

    /// Tells the other side that no more will come.
    pub(super) fn close(&mut self) {
        self.tls.send_close_notify();
        // Whoever has gone needs no telling.
        let _ = self.try_send();
    }

    /// Whether something may be written: when all that was has left, but for what is held back for it.
    pub(super) fn has_room(&mut self) -> Result<bool, Broken> {
        match self.held {
            true => Ok(true),
            false => self.try_send(),
        }
    }

    /// Sends what is enciphered as far as it is taken, and tells whether all of it has left.
    pub(super) fn try_send(&mut self) -> Result<bool, Broken> {
        match self.poll_sent(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(result) => result.map(|()| true),
            Poll::Pending => Ok(false),
        }
    }

    /// Waits until all that is enciphered has left.
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

//! The plain streams of a TLS connection, which the component uses.

use super::client::Client;
use super::failure::Failure;
use super::session::{Broken, Read, Session};
use crate::failed::ToComponent;
use bytes::Bytes;
use std::future::poll_fn;
use std::io::ErrorKind;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use wasmtime_wasi::async_trait;
use wasmtime_wasi::p2::{InputStream, OutputStream, Pollable, StreamError, StreamResult};

/// The most that is read at once: 256 KiB, sixteen records. With less, calls cost more than copying.
const MOST_READ: usize = 256 * 1024;

/// The most that may be written at once: 64 KiB, as on a socket.
const MOST_WRITTEN: usize = 64 * 1024;

/// What both streams and the connection share.
#[derive(Clone)]
pub(super) struct Shared {
    session: Arc<Mutex<Session>>,
    client: Client,
}

impl Shared {
    pub(super) fn new(session: Session, client: Client) -> Shared {
        Shared {
            session: Arc::new(Mutex::new(session)),
            client,
        }
    }

    pub(super) fn session(&self) -> MutexGuard<'_, Session> {
        // A panic inside rustls leaves the session in an unknown state, so its operations fail.
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The error for the component. A TLS error is also recorded as an incident.
    fn told(&self, broken: &Broken) -> StreamError {
        if let Broken::Tls(_) = broken {
            self.client.broken(Failure::Tls(broken.failure(true)));
        }
        broken.to_stream_error()
    }
}

pub(super) struct Input(pub(super) Shared);

#[async_trait]
impl Pollable for Input {
    async fn ready(&mut self) {
        poll_fn(|cx| self.0.session().poll_readable(cx)).await;
    }
}

#[async_trait]
impl InputStream for Input {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        if size == 0 {
            return Ok(Bytes::new());
        }
        let read = self.0.session().read(size.min(MOST_READ));
        match read {
            Ok(Read::Bytes(bytes)) => Ok(bytes),
            Ok(Read::Nothing) => Ok(Bytes::new()),
            Ok(Read::End) => Err(StreamError::Closed),
            // By its kind, as failures of sockets are told.
            Ok(Read::Cut) => Err(StreamError::LastOperationFailed(ToComponent::error(
                format!(
                    "{:?}: closed without close_notify",
                    ErrorKind::UnexpectedEof
                ),
            ))),
            Err(broken) => Err(self.0.told(&broken)),
        }
    }
}

pub(super) struct Output {
    shared: Shared,
    closed: bool,
}

impl Output {
    pub(super) fn new(shared: Shared) -> Output {
        Output {
            shared,
            closed: false,
        }
    }

    /// Report a failure once. Afterwards the stream is closed.
    fn fail(&mut self, broken: &Broken) -> StreamError {
        self.closed = true;
        self.shared.told(broken)
    }
}

#[async_trait]
impl Pollable for Output {
    async fn ready(&mut self) {
        // The next check reports room, or a failure.
        poll_fn(|cx| self.shared.session().poll_sent(cx).map(drop)).await;
    }
}

#[async_trait]
impl OutputStream for Output {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        if self.check_write()? < bytes.len() {
            return Err(StreamError::trap("a write that was not permitted"));
        }
        let written = self.shared.session().write(&bytes);
        written.map_err(|broken| self.shared.told(&broken))
    }

    fn flush(&mut self) -> StreamResult<()> {
        if self.closed {
            return Err(StreamError::Closed);
        }
        // Written bytes are already being sent, except those that are held back.
        let sent = self.shared.session().try_send();
        sent.map(drop).map_err(|broken| self.fail(&broken))
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        if self.closed {
            return Err(StreamError::Closed);
        }
        let room = self.shared.session().has_room();
        match room {
            Ok(true) => Ok(MOST_WRITTEN),
            Ok(false) => Ok(0),
            Err(broken) => Err(self.fail(&broken)),
        }
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        self.shared.session().close();
    }
}

//! Sending a request.

use super::clock::Clock;
use super::error::{FetchError, Stage};
use super::request::RequestBody;
use crate::http1::{CHUNK_END, LAST_CHUNK, RequestFraming, chunk_start};
use crate::net::{MAX_READ, Net, NetError, Source, Stream};
use crate::rt::yield_now;
use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::num::NonZeroUsize;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

/// A body larger than this waits for `100 Continue`, so the server can refuse it before it is sent:
/// 1 MiB, as in curl.
const LARGE: u64 = 1024 * 1024;

/// The most bytes of a body that are copied behind its framing, to be sent in one write.
const JOINED: usize = 32 * 1024;

/// The body of a request, kept as long as the request may have to be sent again.
pub struct Payload<B>(Kind<B>);

enum Kind<B> {
    Empty,
    Bytes(Rc<Vec<u8>>),
    /// `None` once the source has been read from.
    Source {
        source: Rc<RefCell<Option<B>>>,
        length: Option<u64>,
    },
}

impl<B> From<RequestBody<B>> for Payload<B> {
    fn from(body: RequestBody<B>) -> Self {
        Self(match body {
            RequestBody::Empty => Kind::Empty,
            RequestBody::Bytes(bytes) => Kind::Bytes(Rc::new(bytes)),
            RequestBody::Source { source, length } => Kind::Source {
                source: Rc::new(RefCell::new(Some(source))),
                length,
            },
        })
    }
}

impl<B> Clone for Payload<B> {
    fn clone(&self) -> Self {
        Self(match &self.0 {
            Kind::Empty => Kind::Empty,
            Kind::Bytes(bytes) => Kind::Bytes(bytes.clone()),
            Kind::Source { source, length } => Kind::Source {
                source: source.clone(),
                length: *length,
            },
        })
    }
}

impl<B> Payload<B> {
    /// The framing that the head announces.
    pub fn framing(&self) -> RequestFraming {
        match &self.0 {
            Kind::Empty => RequestFraming::None,
            Kind::Bytes(bytes) => RequestFraming::Length(bytes.len() as u64),
            Kind::Source {
                length: Some(length),
                ..
            } => RequestFraming::Length(*length),
            Kind::Source { length: None, .. } => RequestFraming::Chunked,
        }
    }

    /// Whether it is large enough to wait for `100 Continue`.
    pub fn is_large(&self) -> bool {
        match self.framing() {
            RequestFraming::None => false,
            RequestFraming::Length(length) => length > LARGE,
            RequestFraming::Chunked => true,
        }
    }

    /// Whether it can be sent more than once.
    pub fn is_replayable(&self) -> bool {
        !matches!(self.0, Kind::Source { .. })
    }

    /// Whether all of it is still available.
    pub fn is_whole(&self) -> bool {
        match &self.0 {
            Kind::Source { source, .. } => source.borrow().is_some(),
            _ => true,
        }
    }
}

/// The progress of sending a request, and whether its body waits for `100 Continue`.
#[derive(Default)]
pub struct Progress {
    head_sent: Cell<Option<Duration>>,
    uploaded: Cell<u64>,
    whole: Cell<bool>,
    awaits_continue: Cell<bool>,
    waker: Cell<Option<Waker>>,
}

impl Progress {
    /// When the head was sent.
    pub fn head_sent(&self) -> Option<Duration> {
        self.head_sent.get()
    }

    /// How many bytes of the body were sent.
    pub fn uploaded(&self) -> u64 {
        self.uploaded.get()
    }

    /// Whether the whole request was sent.
    pub fn is_whole(&self) -> bool {
        self.whole.get()
    }

    /// Whether the body waits until the server asks for it.
    pub fn awaits_continue(&self) -> bool {
        self.awaits_continue.get()
    }

    /// Records that the server wants the body.
    pub fn continue_received(&self) {
        self.awaits_continue.set(false);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    async fn until_continue(&self) {
        poll_fn(|cx| {
            if !self.awaits_continue.get() {
                return Poll::Ready(());
            }
            self.waker.set(Some(cx.waker().clone()));
            Poll::Pending
        })
        .await;
    }
}

/// Why sending a request failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SendError {
    /// The connection failed. The server may have responded nevertheless.
    Broken(NetError),
    /// Any other error, which ends the request.
    Fatal(FetchError),
}

/// The sending of one request.
pub struct Sending<N: Net> {
    pub stream: Rc<N::Stream>,
    pub clock: Rc<Clock<N>>,
    pub progress: Rc<Progress>,
}

impl<N: Net> Sending<N> {
    /// Sends a head and its body. With `expect_continue` the body waits for this time until the
    /// server asks for it.
    pub async fn send<B: Source>(
        self,
        mut head: Vec<u8>,
        body: Payload<B>,
        expect_continue: Option<Duration>,
    ) -> Result<(), SendError> {
        if let Some(time) = expect_continue {
            self.progress.awaits_continue.set(true);
            self.write(&head, b"", b"").await?;
            head.clear();
            let waiting = self
                .clock
                .expect_continue(time, self.progress.until_continue());
            waiting.await.map_err(SendError::Fatal)?;
            self.progress.awaits_continue.set(false);
        }
        match body.0 {
            Kind::Empty => self.write(&head, b"", b"").await?,
            Kind::Bytes(bytes) => self.write(&head, &bytes, b"").await?,
            Kind::Source { source, length } => {
                let source = source.borrow_mut().take();
                let source = source.ok_or_else(|| invalid("the body has already been sent"))?;
                match length {
                    Some(length) => self.sized(head, source, length).await?,
                    None => self.chunked(head, source).await?,
                }
            }
        }
        self.progress.whole.set(true);
        Ok(())
    }

    async fn sized<B: Source>(
        &self,
        mut head: Vec<u8>,
        mut source: B,
        length: u64,
    ) -> Result<(), SendError> {
        let mut left = length;
        if left == 0 {
            // The source can't change what is sent any more.
            self.write(&head, b"", b"").await?;
            head = Vec::new();
            self.progress.whole.set(true);
        }
        while let Some(bytes) = self.read(&mut source).await? {
            left = left.checked_sub(bytes.len() as u64).ok_or_else(|| {
                invalid(format!(
                    "the body is longer than the {length} bytes that were announced"
                ))
            })?;
            if !bytes.is_empty() {
                self.write(&head, &bytes, b"").await?;
                head = Vec::new();
                // It remains to check that the source ends here.
                self.progress.whole.set(left == 0);
            }
        }
        if left > 0 {
            let given = length - left;
            return Err(invalid(format!(
                "the body ended after {given} of {length} bytes"
            )));
        }
        self.write(&head, b"", b"").await
    }

    async fn chunked<B: Source>(
        &self,
        mut pending: Vec<u8>,
        mut source: B,
    ) -> Result<(), SendError> {
        while let Some(bytes) = self.read(&mut source).await? {
            // An empty chunk would end the body.
            let Some(length) = NonZeroUsize::new(bytes.len()) else {
                continue;
            };
            pending.extend_from_slice(chunk_start(length).as_bytes());
            self.write(&pending, &bytes, CHUNK_END).await?;
            pending.clear();
        }
        self.write(&pending, b"", LAST_CHUNK).await
    }

    /// Reads from the caller's source. Only the total time limit applies, because this does not
    /// wait for the peer.
    async fn read<B: Source>(&self, source: &mut B) -> Result<Option<Vec<u8>>, SendError> {
        let step = self.clock.sending_step(JOINED);
        let read = self
            .clock
            .within_total(Stage::Send, 0, source.read(step))
            .await
            .map_err(SendError::Fatal)?;
        // The receiving side must have a turn even if the peer takes every byte at once.
        yield_now().await;
        read.map_err(|_| invalid("the body can't be read"))
    }

    /// Sends a part of the body with its framing, in steps. The idle timeout applies to each step.
    async fn write(&self, before: &[u8], body: &[u8], behind: &[u8]) -> Result<(), SendError> {
        let (mut before, mut body) = (before, body);
        loop {
            let sent = self.progress.uploaded();
            self.clock
                .pace_sending(sent)
                .await
                .map_err(SendError::Fatal)?;
            let most = match before {
                [] => MAX_READ,
                _ => JOINED,
            };
            let step = self.clock.sending_step(most).min(body.len());
            let (piece, rest) = body.split_at(step);
            let behind = match rest {
                [] => behind,
                _ => b"",
            };
            // One write: the system delays a second small write until the first is acknowledged
            // (Nagle's algorithm).
            let joined = match (before, behind) {
                ([], []) => Cow::Borrowed(piece),
                _ => Cow::Owned([before, piece, behind].concat()),
            };
            if !joined.is_empty() {
                let writing = self.stream.write_all(&joined);
                let written = self.clock.sending(sent, writing).await;
                written
                    .map_err(SendError::Fatal)?
                    .map_err(SendError::Broken)?;
            }
            if self.progress.head_sent().is_none() {
                self.progress.head_sent.set(Some(self.clock.elapsed()));
            }
            self.progress.uploaded.set(sent + step as u64);
            if rest.is_empty() {
                return Ok(());
            }
            (before, body) = (b"", rest);
            yield_now().await;
        }
    }
}

fn invalid(why: impl Into<String>) -> SendError {
    SendError::Fatal(FetchError::InvalidRequest(why.into()))
}

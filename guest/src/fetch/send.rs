//! The request's way out.

use super::clock::Clock;
use super::error::{FetchError, Stage};
use crate::http1::{CHUNK_END, LAST_CHUNK, RequestBody as Framing, chunk_start};
use crate::net::{MAX_READ, Net, NetError, Source, Stream};
use crate::rt::yield_now;
use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::num::NonZeroUsize;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

/// The size from which on a body isn't sent before the server had a chance to refuse it: 1 MiB, as
/// curl has it.
const LARGE: u64 = 1024 * 1024;

/// How much of a body is copied behind what frames it, to be sent at once.
const JOINED: usize = 32 * 1024;

/// What follows a request's head.
#[derive(Debug)]
pub enum RequestBody<B> {
    /// Nothing.
    Empty,
    /// These bytes.
    Bytes(Vec<u8>),
    /// Whatever the source gives, of this length where it is known.
    Source { source: B, length: Option<u64> },
}

/// A body that is kept as long as the request may have to be sent again.
pub struct Payload<B>(Kind<B>);

enum Kind<B> {
    Empty,
    Bytes(Rc<Vec<u8>>),
    /// Gone once it was begun with.
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
    /// How the head says where the body ends.
    pub fn framing(&self) -> Framing {
        match &self.0 {
            Kind::Empty => Framing::None,
            Kind::Bytes(bytes) => Framing::Length(bytes.len() as u64),
            Kind::Source {
                length: Some(length),
                ..
            } => Framing::Length(*length),
            Kind::Source { length: None, .. } => Framing::Chunked,
        }
    }

    /// Whether it is worth asking before it is sent.
    pub fn is_large(&self) -> bool {
        match self.framing() {
            Framing::None => false,
            Framing::Length(length) => length > LARGE,
            Framing::Chunked => true,
        }
    }

    /// Whether it can be sent any number of times.
    pub fn is_replayable(&self) -> bool {
        !matches!(self.0, Kind::Source { .. })
    }

    /// Whether all of it is still there.
    pub fn is_whole(&self) -> bool {
        match &self.0 {
            Kind::Source { source, .. } => source.borrow().is_some(),
            _ => true,
        }
    }
}

/// How far a request has come on its way out, and whether the server wants its body.
#[derive(Default)]
pub struct Progress {
    head_sent: Cell<Option<Duration>>,
    uploaded: Cell<u64>,
    whole: Cell<bool>,
    holding: Cell<bool>,
    waker: Cell<Option<Waker>>,
}

impl Progress {
    /// When the head was on its way.
    pub fn head_sent(&self) -> Option<Duration> {
        self.head_sent.get()
    }

    /// How many bytes of the body were sent.
    pub fn uploaded(&self) -> u64 {
        self.uploaded.get()
    }

    /// Whether all of it was sent.
    pub fn is_whole(&self) -> bool {
        self.whole.get()
    }

    /// Whether the body is held back until the server says something.
    pub fn is_holding(&self) -> bool {
        self.holding.get()
    }

    /// The server wants the body.
    pub fn continue_received(&self) {
        self.holding.set(false);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    async fn until_continue(&self) {
        poll_fn(|cx| {
            if !self.holding.get() {
                return Poll::Ready(());
            }
            self.waker.set(Some(cx.waker().clone()));
            Poll::Pending
        })
        .await;
    }
}

/// Why the request did not go out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SendError {
    /// The connection broke: the server may have answered all the same.
    Broken(NetError),
    /// Anything else ends the request.
    Fatal(FetchError),
}

/// One request on its way out.
pub struct Sending<N: Net> {
    pub stream: Rc<N::Stream>,
    pub clock: Rc<Clock<N>>,
    pub progress: Rc<Progress>,
}

impl<N: Net> Sending<N> {
    /// Sends a head and its body. With `hold`, the body waits for so long until the server asks for it.
    pub async fn send<B: Source>(
        self,
        mut head: Vec<u8>,
        body: Payload<B>,
        hold: Option<Duration>,
    ) -> Result<(), SendError> {
        if let Some(time) = hold {
            self.progress.holding.set(true);
            self.write(&head, b"", b"").await?;
            head.clear();
            let waiting = self
                .clock
                .expect_continue(time, self.progress.until_continue());
            waiting.await.map_err(SendError::Fatal)?;
            self.progress.holding.set(false);
        }
        match body.0 {
            Kind::Empty => self.write(&head, b"", b"").await?,
            Kind::Bytes(bytes) => self.write(&head, &bytes, b"").await?,
            Kind::Source { source, length } => {
                let source = source.borrow_mut().take();
                let source = source.ok_or_else(|| invalid("the body was sent before"))?;
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
            // Nothing that the source says can change what is sent.
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
                // What is left to be seen is whether the source ends here.
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
            // A chunk of no bytes would end the body.
            let Some(length) = NonZeroUsize::new(bytes.len()) else {
                continue;
            };
            pending.extend_from_slice(chunk_start(length).as_bytes());
            self.write(&pending, &bytes, CHUNK_END).await?;
            pending.clear();
        }
        self.write(&pending, b"", LAST_CHUNK).await
    }

    /// Reads what the caller gives, however long that takes: it isn't the peer that is waited for.
    async fn read<B: Source>(&self, source: &mut B) -> Result<Option<Vec<u8>>, SendError> {
        let step = self.clock.sending_step(JOINED);
        let read = self
            .clock
            .within_total(Stage::Send, 0, source.read(step))
            .await
            .map_err(SendError::Fatal)?;
        // However fast the peer takes it, what it says has to be heard.
        yield_now().await;
        read.map_err(|_| invalid("the body can't be read"))
    }

    /// Sends some of the body, with what frames it, in steps each of which the peer has the idle
    /// time for.
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
            // One write: the system holds a second small one back until the first is acknowledged.
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

//! The body of a request. This module counts its bytes, and holds it back until the server asks for it.

use bytes::Bytes;
use http::HeaderName;
use http_body::{Body, Frame, SizeHint};
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;
use tokio::time::{Sleep, sleep};
use wasmtime_wasi_http::{Error, WasiBody};

/// How long the body of a request with `Expect: 100-continue` waits for the server's response 100: 1 second, as in
/// curl. After that time the host sends the body, because some servers do not support 100 (RFC 9110 section 10.1.1).
const WAIT_TO_CONTINUE: Duration = Duration::from_secs(1);

/// The body of a request, of which the host may have read the first part.
pub(super) struct Begun {
    pub(super) first: Option<Result<Frame<Bytes>, Error>>,
    pub(super) rest: WasiBody,
}

impl Begun {
    /// Wait for the first part. Returns whether there is one.
    pub(super) async fn begin(&mut self) -> bool {
        while self.first.is_none() {
            match poll_fn(|cx| Pin::new(&mut self.rest).poll_frame(cx)).await {
                None => return false,
                Some(Ok(frame)) if frame.data_ref().is_some_and(Bytes::is_empty) => {}
                first => self.first = first,
            }
        }
        true
    }
}

impl Body for Begun {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = self.get_mut();
        match this.first.take() {
            Some(first) => Poll::Ready(Some(first)),
            None => Pin::new(&mut this.rest).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_none() && self.rest.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        match self.first {
            Some(_) => SizeHint::default(),
            None => self.rest.size_hint(),
        }
    }
}

/// The body of a request, which hyper sends.
pub(super) struct RequestBody {
    body: Begun,
    /// The trailers that hyper sends. It drops others, so these are an error here.
    trailers: Vec<HeaderName>,
    /// The bytes that hyper has taken.
    sent: Arc<AtomicU64>,
    /// While it is closed, and the timer has not expired, the body gives nothing to hyper.
    gate: Option<(Gate, Pin<Box<Sleep>>)>,
}

/// Whether the server has asked for the body (response 100), and the task that waits for that.
#[derive(Clone, Default)]
pub(super) struct Gate(Arc<Mutex<(bool, Option<Waker>)>>);

impl Gate {
    /// Record that the server wants the body.
    pub(super) fn open(&self) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.0 = true;
        if let Some(waker) = state.1.take() {
            waker.wake();
        }
    }

    fn poll(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.0 {
            return Poll::Ready(());
        }
        state.1 = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl RequestBody {
    /// A body that waits for `gate` to open, if there is one, for at most [`WAIT_TO_CONTINUE`].
    pub(super) fn new(
        body: Begun,
        trailers: Vec<HeaderName>,
        sent: Arc<AtomicU64>,
        gate: Option<Gate>,
    ) -> RequestBody {
        RequestBody {
            body,
            trailers,
            sent,
            gate: gate.map(|gate| (gate, Box::pin(sleep(WAIT_TO_CONTINUE)))),
        }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = self.get_mut();
        if let Some((gate, wait)) = &mut this.gate {
            if gate.poll(cx).is_pending() {
                ready!(wait.as_mut().poll(cx));
            }
            this.gate = None;
        }
        let frame = ready!(Pin::new(&mut this.body).poll_frame(cx));
        if let Some(Ok(frame)) = &frame
            && let Some(bytes) = frame.data_ref()
        {
            this.sent.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        }
        if let Some(Ok(frame)) = &frame
            && let Some(trailers) = frame.trailers_ref()
            && !trailers.keys().all(|name| this.trailers.contains(name))
        {
            return Poll::Ready(Some(Err(Error::HttpProtocolError)));
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

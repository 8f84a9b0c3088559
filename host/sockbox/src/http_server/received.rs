//! The body of a request, with its limits.

use super::client::Client;
use super::status::Refusal;
use bytes::Bytes;
use http::StatusCode;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use sockbox_wasi::RequestError;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::{Sleep, sleep};

/// What was wrong with the body of a request, once that is known.
#[derive(Clone, Debug, Default)]
pub(super) struct BodyProblem(Arc<OnceLock<RequestError>>);

impl BodyProblem {
    /// The response for it, if there was a problem.
    pub(super) fn refusal(&self) -> Option<Refusal> {
        let error = *self.0.get()?;
        let status = match error {
            RequestError::TooLarge { limit } => return Some(Refusal::too_large(limit)),
            RequestError::Timeout => StatusCode::REQUEST_TIMEOUT,
            _ => StatusCode::BAD_REQUEST,
        };
        Some(Refusal::new(status, error.to_string()).closing())
    }
}

/// The body of a request, which the component reads.
pub(super) struct ReceivedBody {
    body: Incoming,
    limit: Option<u64>,
    timeout: Option<Duration>,
    /// Runs while the component waits for the client.
    waiting: Option<Pin<Box<Sleep>>>,
    received: Arc<AtomicU64>,
    problem: BodyProblem,
    has_ended: bool,
    client: Arc<Client>,
}

impl ReceivedBody {
    pub(super) fn new(
        body: Incoming,
        limit: Option<u64>,
        timeout: Option<Duration>,
        received: Arc<AtomicU64>,
        problem: BodyProblem,
        client: Arc<Client>,
    ) -> ReceivedBody {
        ReceivedBody {
            has_ended: body.is_end_stream(),
            body,
            limit,
            timeout,
            waiting: None,
            received,
            problem,
            client,
        }
    }

    fn fail(&mut self, error: RequestError) -> Poll<Option<Result<Frame<Bytes>, RequestError>>> {
        // The first one counts.
        let _ = self.problem.0.set(error);
        Poll::Ready(Some(Err(error)))
    }
}

impl Body for ReceivedBody {
    type Data = Bytes;
    type Error = RequestError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, RequestError>>> {
        let this = self.get_mut();
        if this.problem.0.get().is_some() {
            return Poll::Ready(None);
        }
        let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx) else {
            if let Some(timeout) = this.timeout {
                let waiting = this.waiting.get_or_insert_with(|| Box::pin(sleep(timeout)));
                ready!(waiting.as_mut().poll(cx));
                return this.fail(RequestError::Timeout);
            }
            return Poll::Pending;
        };
        this.waiting = None;
        match frame {
            None => {
                this.has_ended = true;
                Poll::Ready(None)
            }
            Some(Ok(frame)) => {
                let bytes = frame.data_ref().map_or(0, Bytes::len) as u64;
                let before = this.received.fetch_add(bytes, Ordering::Relaxed);
                match this.limit {
                    Some(limit) if before.saturating_add(bytes) > limit => {
                        this.fail(RequestError::TooLarge { limit })
                    }
                    _ => {
                        this.has_ended |= this.body.is_end_stream();
                        Poll::Ready(Some(Ok(frame)))
                    }
                }
            }
            Some(Err(error)) => {
                this.fail(match error.is_incomplete_message() || error.is_closed() {
                    true => RequestError::Ended,
                    false => RequestError::Invalid,
                })
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for ReceivedBody {
    fn drop(&mut self) {
        if !self.has_ended {
            self.client.has_unread.store(true, Ordering::Relaxed);
        }
    }
}

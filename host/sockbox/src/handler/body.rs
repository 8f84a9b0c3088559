//! The body of a handler's response.

use super::outcome::Outcome;
use crate::error::{Error, ResponseProblem};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::task::AbortHandle;

/// The body of a [`Handler`](super::Handler)'s response, which the component writes while it is read.
///
/// Dropping it before its end ends the component's call. After its end the component may work on until it returns.
pub struct HandlerBody {
    body: sockbox_wasi::ResponseBody,
    call: Call,
    ended: bool,
}

/// The task in which the component handles a request. Dropping it ends the task.
pub(super) struct Call {
    pub(super) outcome: Outcome,
    task: Option<AbortHandle>,
}

impl Call {
    pub(super) fn new(outcome: Outcome, task: AbortHandle) -> Call {
        Call {
            outcome,
            task: Some(task),
        }
    }

    /// Let the task run to its end.
    fn detach(&mut self) {
        self.task = None;
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

impl HandlerBody {
    pub(super) fn new(body: sockbox_wasi::ResponseBody, call: Call) -> HandlerBody {
        HandlerBody {
            body,
            call,
            ended: false,
        }
    }

    /// How the call ends, for a caller that outlives the body.
    pub(crate) fn outcome(&self) -> Outcome {
        self.call.outcome.clone()
    }

    /// Let the component work on when the body is dropped: all of it that is wanted was read.
    pub(crate) fn detach(&mut self) {
        self.ended = true;
        self.call.detach();
    }

    fn fail(&mut self, error: Arc<Error>) -> Poll<Option<Result<Frame<Bytes>, Arc<Error>>>> {
        self.ended = true;
        Poll::Ready(Some(Err(error)))
    }
}

impl Body for HandlerBody {
    type Data = Bytes;
    type Error = Arc<Error>;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Arc<Error>>>> {
        let this = self.get_mut();
        if this.ended {
            return Poll::Ready(None);
        }
        let mut polled = Pin::new(&mut this.body).poll_frame(cx);
        if polled.is_pending() {
            // Once the component has returned, nothing more comes but what it has written before.
            let ended = ready!(this.call.outcome.poll(cx));
            polled = Pin::new(&mut this.body).poll_frame(cx);
            match (&polled, ended) {
                (Poll::Ready(Some(_)), _) => {}
                (_, Ok(())) => polled = Poll::Ready(None),
                (_, Err(error)) => return this.fail(error),
            }
        }
        match ready!(polled) {
            Some(Ok(frame)) => Poll::Ready(Some(Ok(frame))),
            Some(Err(_)) => {
                // A component that has failed drops the body as well. The failure says more.
                let error = match this.call.outcome.get() {
                    Some(Err(error)) => error,
                    _ => Arc::new(Error::Response {
                        problem: ResponseProblem::BodyAborted,
                    }),
                };
                this.fail(error)
            }
            None => match this.call.outcome.get() {
                // The body of a component that has failed ends here as well. It may be incomplete.
                Some(Err(error)) => this.fail(error),
                _ => {
                    this.detach();
                    Poll::Ready(None)
                }
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        self.ended
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl fmt::Debug for HandlerBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HandlerBody")
            .field("ended", &self.ended)
            .finish_non_exhaustive()
    }
}

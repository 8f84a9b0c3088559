//! The body of a response. This module counts its bytes and applies its timeout.

use super::driver::Place;
use super::error::Failed;
use super::exchange::Exchange;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::{Instant, Sleep, sleep};
use wasmtime_wasi_http::Error;

/// The body of a response, which the component reads.
pub(super) struct ResponseBody {
    body: Incoming,
    /// How long the next part of the body may take, and the timer of the current part.
    timeout: Option<(Duration, Pin<Box<Sleep>>)>,
    place: Place,
    exchange: Arc<Exchange>,
    failed: bool,
}

impl ResponseBody {
    pub(super) fn new(
        body: Incoming,
        timeout: Option<Duration>,
        place: Place,
        exchange: Arc<Exchange>,
    ) -> ResponseBody {
        if body.is_end_stream() {
            place.read();
        }
        ResponseBody {
            body,
            timeout: timeout.map(|timeout| (timeout, Box::pin(sleep(timeout)))),
            place,
            exchange,
            failed: false,
        }
    }

    fn fail(&mut self, failed: Failed) -> Error {
        self.failed = true;
        self.exchange.failed(failed);
        self.place.close();
        failed.into_error()
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = self.get_mut();
        if this.failed {
            return Poll::Ready(None);
        }
        let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx) else {
            if let Some((_, wait)) = &mut this.timeout {
                ready!(wait.as_mut().poll(cx));
                return Poll::Ready(Some(Err(this.fail(Failed::ReadTimeout))));
            }
            return Poll::Pending;
        };
        if let Some((timeout, wait)) = &mut this.timeout
            && let Some(next) = Instant::now().checked_add(*timeout)
        {
            wait.as_mut().reset(next);
        }
        Poll::Ready(match frame {
            None => {
                this.place.read();
                None
            }
            Some(Err(error)) => Some(Err(this.fail(Failed::of_hyper(&error)))),
            Some(Ok(frame)) => {
                if let Some(bytes) = frame.data_ref() {
                    this.exchange.received(bytes.len() as u64);
                }
                if this.body.is_end_stream() || frame.is_trailers() {
                    this.place.read();
                }
                Some(Ok(frame))
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        self.failed || self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

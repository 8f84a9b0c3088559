//! The body of a response, whose end the host waits for.

use super::ErrorCode;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::sync::oneshot;
use wasmtime_wasi_http::WasiBody;

/// A body that tells when it was read to its end, or dropped.
pub(super) struct Observed {
    body: WasiBody,
    has_ended: bool,
    /// Gets how the body has ended, for the component.
    sent: Option<oneshot::Sender<Result<(), ErrorCode>>>,
    /// Is dropped when the body is.
    _alive: oneshot::Sender<()>,
}

impl Observed {
    pub(super) fn new(
        body: WasiBody,
        sent: oneshot::Sender<Result<(), ErrorCode>>,
        alive: oneshot::Sender<()>,
    ) -> Observed {
        Observed {
            body,
            has_ended: false,
            sent: Some(sent),
            _alive: alive,
        }
    }

    fn end(&mut self, how: Result<(), ErrorCode>) {
        if let Some(sent) = self.sent.take() {
            // The component may not wait for it.
            let _ = sent.send(how);
        }
    }
}

impl Body for Observed {
    type Data = Bytes;
    type Error = ErrorCode;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ErrorCode>>> {
        let this = self.get_mut();
        let frame = ready!(Pin::new(&mut this.body).poll_frame(cx));
        match &frame {
            None => this.has_ended = true,
            // Nothing comes after trailers.
            Some(Ok(frame)) => this.has_ended |= frame.is_trailers(),
            Some(Err(_)) => {}
        }
        if this.has_ended {
            this.end(Ok(()));
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

impl Drop for Observed {
    fn drop(&mut self) {
        // A reader that knows the length need not ask for what is behind the last byte.
        let is_complete = self.body.is_end_stream() || self.body.size_hint().exact() == Some(0);
        self.end(match is_complete {
            true => Ok(()),
            false => Err(ErrorCode::ConnectionTerminated),
        });
    }
}

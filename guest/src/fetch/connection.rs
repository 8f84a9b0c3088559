//! A connection during one exchange.

use super::error::{FetchError, TimeBound};
use super::pool::{Pool, Route};
use super::send::{Progress, SendError};
use super::trace::Trace;
use crate::net::{Net, NetError, Sink, Splice, SpliceError, Stream};
use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};

/// The sending of a request.
pub type Upload = Pin<Box<dyn Future<Output = Result<(), SendError>>>>;

/// A connection during one exchange of a request and its response. Dropping it closes the
/// connection.
///
/// A server may start its response before it has received the whole request, and then read the rest
/// only as fast as the client reads the response. So the request is sent concurrently with
/// everything that is received here.
pub struct Connection<N: Net> {
    stream: Rc<N::Stream>,
    upload: RefCell<Option<Upload>>,
    progress: Rc<Progress>,
    /// Why sending the request failed. The server may still have responded.
    broken: Cell<Option<NetError>>,
    /// Whether the final response's head has been received.
    answered: Cell<bool>,
    pool: Pool<N::Stream>,
    route: Route,
    reused: bool,
    /// Why the connection can't be reused, if that is known.
    not_reusable: Cell<Option<&'static str>>,
    trace: Trace,
}

impl<N: Net> Connection<N> {
    pub fn new(
        stream: Rc<N::Stream>,
        pool: Pool<N::Stream>,
        route: Route,
        reused: bool,
        trace: Trace,
    ) -> Self {
        Self {
            stream,
            upload: RefCell::default(),
            progress: Rc::default(),
            broken: Cell::default(),
            answered: Cell::default(),
            pool,
            route,
            reused,
            not_reusable: Cell::default(),
            trace,
        }
    }

    /// The stream that the request is sent over.
    pub fn stream(&self) -> &Rc<N::Stream> {
        &self.stream
    }

    /// The address of the server's end.
    pub fn remote_addr(&self) -> SocketAddr {
        self.stream.remote_addr()
    }

    /// The address of this end.
    pub fn local_addr(&self) -> SocketAddr {
        self.stream.local_addr()
    }

    /// Whether an earlier exchange used the connection.
    pub fn reused(&self) -> bool {
        self.reused
    }

    /// The progress of sending the request.
    pub fn progress(&self) -> &Rc<Progress> {
        &self.progress
    }

    /// Starts sending a request. The futures of this connection drive it.
    pub fn begin(&self, upload: Upload) {
        *self.upload.borrow_mut() = Some(upload);
    }

    /// Whether the request has been sent, or its sending was given up.
    pub fn is_sent(&self) -> bool {
        self.upload.borrow().is_none() || self.progress.is_whole()
    }

    /// Gives up sending the rest of the request.
    pub fn stop_sending(&self, why: &'static str) {
        if !self.is_sent() {
            self.mark_not_reusable(why);
        }
        *self.upload.borrow_mut() = None;
    }

    /// Why sending the request failed, if it did.
    pub fn broken(&self) -> Option<NetError> {
        self.broken.get()
    }

    /// Records that the server has responded. From then on it need not take the rest of the
    /// request.
    pub fn answered(&self) {
        self.answered.set(true);
    }

    /// Marks the connection as not reusable, for this reason. The first reason counts.
    pub fn mark_not_reusable(&self, why: &'static str) {
        if self.not_reusable.get().is_none() {
            self.not_reusable.set(Some(why));
        }
    }

    /// Whether the connection is still reusable as far as this is known.
    pub fn is_reusable(&self) -> bool {
        self.not_reusable.get().is_none()
    }

    /// Receives at most `max` bytes; `None` at the end of input. Dropping the future loses no
    /// bytes.
    pub async fn read(&self, max: usize) -> Result<Option<Vec<u8>>, FetchError> {
        let read = self.while_sending(self.stream.read(max)).await?;
        read.map_err(FetchError::ReceiveFailed)
    }

    /// Moves at most `max` bytes into `sink`; `None` at the end of input.
    pub async fn splice<S: Sink>(&self, sink: &mut S, max: u64) -> Result<Option<u64>, FetchError>
    where
        N::Stream: Splice<S>,
    {
        let moved = self.while_sending(self.stream.splice(sink, max)).await?;
        moved.map_err(|error| match error {
            SpliceError::Source(reason) => FetchError::ReceiveFailed(reason),
            SpliceError::Sink => FetchError::WriteFailed,
        })
    }

    /// Waits until the request has been sent.
    pub async fn finish_sending(&self) -> Result<(), FetchError> {
        poll_fn(|cx| match self.poll_upload(cx) {
            Poll::Pending if self.is_sent() => Poll::Ready(Ok(())),
            polled => polled,
        })
        .await
    }

    /// Runs `future`, and concurrently sends the rest of the request.
    pub async fn while_sending<F: Future>(&self, future: F) -> Result<F::Output, FetchError> {
        let mut future = pin!(future);
        poll_fn(|cx| {
            if let Poll::Ready(Err(error)) = self.poll_upload(cx) {
                return Poll::Ready(Err(error));
            }
            future.as_mut().poll(cx).map(Ok)
        })
        .await
    }

    fn poll_upload(&self, cx: &mut Context<'_>) -> Poll<Result<(), FetchError>> {
        let mut upload = self.upload.borrow_mut();
        let Some(sending) = upload.as_mut() else {
            return Poll::Ready(Ok(()));
        };
        let Poll::Ready(result) = sending.as_mut().poll(cx) else {
            return Poll::Pending;
        };
        *upload = None;
        Poll::Ready(match result {
            Ok(()) => Ok(()),
            Err(SendError::Broken(reason)) => {
                self.broken.set(Some(reason));
                self.mark_not_reusable("the request could not be sent completely");
                Ok(())
            }
            Err(SendError::Fatal(FetchError::Timeout(timeout)))
                if self.answered.get() && timeout.bound != TimeBound::Total =>
            {
                self.mark_not_reusable("the server did not read the request in time");
                Ok(())
            }
            Err(SendError::Fatal(error)) => Err(error),
        })
    }

    /// Ends the exchange after the end of the response, with `extra` bytes received beyond it. The
    /// connection goes into the pool if it is reusable.
    pub fn release(self, net: &N, extra: usize) {
        if !self.is_sent() {
            self.mark_not_reusable("the request is not completely sent");
        }
        if extra > 0 {
            self.mark_not_reusable("the server sent more than the response");
        }
        let remote = self.remote_addr();
        match self.not_reusable.get() {
            Some(why) => self
                .trace
                .fact(format_args!("closing the connection to {remote}: {why}")),
            None => {
                self.trace
                    .fact(format_args!("the connection to {remote} is left intact"));
                self.pool.put(self.stream, self.route, net.now());
            }
        }
    }
}

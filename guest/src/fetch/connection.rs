//! A connection with one exchange under way on it.

use super::error::{Bound, FetchError};
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

/// The request's way out, as far as it isn't over.
pub type Upload = Pin<Box<dyn Future<Output = Result<(), SendError>>>>;

/// A connection with one exchange under way on it. Dropping it closes it.
///
/// A server may begin to answer before it has the whole request, and go on to take the rest only
/// as fast as its answer is read. So whatever is received here, the request goes on meanwhile.
pub struct Connection<N: Net> {
    stream: Rc<N::Stream>,
    upload: RefCell<Option<Upload>>,
    progress: Rc<Progress>,
    /// Why the request could not be sent to its end, though the server may have answered.
    broken: Cell<Option<NetError>>,
    /// Whether the final response's head is there.
    answered: Cell<bool>,
    pool: Pool<N::Stream>,
    route: Route,
    reused: bool,
    /// Why it can't be used again, as far as this is known.
    spent: Cell<Option<&'static str>>,
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
            spent: Cell::default(),
            trace,
        }
    }

    /// What a request is sent over.
    pub fn stream(&self) -> &Rc<N::Stream> {
        &self.stream
    }

    /// The server's end.
    pub fn remote_addr(&self) -> SocketAddr {
        self.stream.remote_addr()
    }

    /// Our end.
    pub fn local_addr(&self) -> SocketAddr {
        self.stream.local_addr()
    }

    /// Whether an exchange before this one used it.
    pub fn reused(&self) -> bool {
        self.reused
    }

    /// How far the request has come.
    pub fn progress(&self) -> &Rc<Progress> {
        &self.progress
    }

    /// Lets the request begin its way out: whoever waits here drives it.
    pub fn begin(&self, upload: Upload) {
        *self.upload.borrow_mut() = Some(upload);
    }

    /// Whether the request is out, or never will be.
    pub fn is_sent(&self) -> bool {
        self.upload.borrow().is_none() || self.progress.is_whole()
    }

    /// Gives up what hasn't been sent yet.
    pub fn stop_sending(&self, why: &'static str) {
        if !self.is_sent() {
            self.mark_not_reusable(why);
        }
        *self.upload.borrow_mut() = None;
    }

    /// Why the request could not be sent to its end.
    pub fn broken(&self) -> Option<NetError> {
        self.broken.get()
    }

    /// The server has answered: that it doesn't take the rest of the request is its own affair now.
    pub fn answered(&self) {
        self.answered.set(true);
    }

    /// It must not be used again, for this reason; the first counts.
    pub fn mark_not_reusable(&self, why: &'static str) {
        if self.spent.get().is_none() {
            self.spent.set(Some(why));
        }
    }

    /// Whether it is known already that it can't be used again.
    pub fn is_spent(&self) -> bool {
        self.spent.get().is_some()
    }

    /// Receives at most `max` bytes; none at the end of input. Nothing is lost when the future is
    /// dropped.
    pub async fn read(&self, max: usize) -> Result<Option<Vec<u8>>, FetchError> {
        let read = self.while_sending(self.stream.read(max)).await?;
        read.map_err(FetchError::ReceiveFailed)
    }

    /// Moves at most `max` bytes into `sink`; none at the end of input.
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

    /// Waits until the request is out.
    pub async fn finish_sending(&self) -> Result<(), FetchError> {
        poll_fn(|cx| match self.poll_upload(cx) {
            Poll::Pending if self.is_sent() => Poll::Ready(Ok(())),
            polled => polled,
        })
        .await
    }

    /// Runs `future`, and sends what is left of the request beside it.
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
                self.mark_not_reusable("the request could not be sent to its end");
                Ok(())
            }
            Err(SendError::Fatal(FetchError::Timeout(timeout)))
                if self.answered.get() && timeout.bound != Bound::Total =>
            {
                self.mark_not_reusable("the server didn't take the request in time");
                Ok(())
            }
            Err(SendError::Fatal(error)) => Err(error),
        })
    }

    /// The response has been received to its end, with so many bytes behind it: keeps the connection
    /// for the next exchange, if there can be one.
    pub fn release(self, net: &N, extra: usize) {
        if !self.is_sent() {
            self.mark_not_reusable("the request isn't out");
        }
        if extra > 0 {
            self.mark_not_reusable("the server sent more than the response");
        }
        let remote = self.remote_addr();
        match self.spent.get() {
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

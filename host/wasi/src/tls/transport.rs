//! The streams below TLS, which the component passed.

use bytes::Bytes;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, Pollable, StreamError, StreamResult};

/// The most that is taken from below at once: what wasmtime-wasi gives of a socket at most.
const MOST: usize = 64 * 1024;

/// A stream, or a pending wait for it. A stream may deregister its waker when the waiting future is
/// dropped, so the future is kept.
enum Half<S: ?Sized> {
    Idle(Box<S>),
    Waiting(Pin<Box<dyn Future<Output = Box<S>> + Send>>),
    /// Only while it changes from the one to the other.
    Between,
}

impl<S: Pollable + ?Sized> Half<S> {
    /// The stream, if no wait is pending.
    fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<&mut S> {
        if let Half::Waiting(waiting) = self {
            *self = Half::Idle(ready!(waiting.as_mut().poll(cx)));
        }
        match self {
            Half::Idle(stream) => Poll::Ready(stream),
            Half::Waiting(_) | Half::Between => Poll::Pending,
        }
    }

    /// Begins to wait for it.
    fn wait(&mut self) {
        *self = match std::mem::replace(self, Half::Between) {
            Half::Idle(mut stream) => Half::Waiting(Box::pin(async move {
                stream.ready().await;
                stream
            })),
            other => other,
        };
    }
}

/// What arrives.
pub(crate) struct Receiving(Half<dyn wasmtime_wasi::p2::InputStream>);

impl Receiving {
    pub(crate) fn new(input: DynInputStream) -> Receiving {
        Receiving(Half::Idle(input))
    }

    /// Takes what has arrived, at least one byte. The error [`StreamError::Closed`] is the end.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<StreamResult<Bytes>> {
        loop {
            let input = ready!(self.0.poll_idle(cx));
            match input.read(MOST) {
                Ok(bytes) if bytes.is_empty() => self.0.wait(),
                result => return Poll::Ready(result),
            }
        }
    }
}

/// What leaves.
pub(crate) struct Sending(Half<dyn wasmtime_wasi::p2::OutputStream>);

impl Sending {
    pub(crate) fn new(output: DynOutputStream) -> Sending {
        Sending(Half::Idle(output))
    }

    /// Waits until everything has left, and tells how much may be written then: at least one byte.
    pub(crate) fn poll_permit(&mut self, cx: &mut Context<'_>) -> Poll<StreamResult<usize>> {
        loop {
            let output = ready!(self.0.poll_idle(cx));
            match output.check_write() {
                Ok(0) => self.0.wait(),
                result => return Poll::Ready(result),
            }
        }
    }

    /// Writes as much as was permitted, or less.
    pub(crate) fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        match &mut self.0 {
            Half::Idle(output) => output.write(bytes),
            Half::Waiting(_) | Half::Between => Err(StreamError::trap("a write out of turn")),
        }
    }
}

//! The connection of an exchange, and what keeps it going.

use super::bodies::RequestBody;
use super::io::Io;
use super::pool::{Key, Pool};
use crate::budget::Charge;
use hyper::client::conn::http1::{Connection, SendRequest};
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// A connection on which HTTP is spoken.
pub(super) struct Connected {
    pub(super) sender: SendRequest<RequestBody>,
    connection: Pin<Box<Connection<Io, RequestBody>>>,
    pub(super) address: SocketAddr,
    /// What it takes of the run's memory.
    _charge: Charge,
}

impl Connected {
    pub(super) fn new(
        sender: SendRequest<RequestBody>,
        connection: Connection<Io, RequestBody>,
        address: SocketAddr,
        charge: Charge,
    ) -> Connected {
        Connected {
            sender,
            connection: Box::pin(connection),
            address,
            _charge: charge,
        }
    }

    /// Whether another request can be sent on it: the server has neither closed it nor sent what nothing asked for.
    pub(super) fn is_usable(&mut self) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        self.connection.as_mut().poll(&mut cx).is_pending() && self.sender.is_ready()
    }

    /// Read and write. Ready: it is over.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        // What it has failed of is told by the response, or its body.
        self.connection.as_mut().poll(cx).map(drop)
    }
}

/// The place of an exchange's connection: whatever ends the exchange takes it from here.
#[derive(Clone, Default)]
pub(super) struct Place(Arc<Inner>);

#[derive(Default)]
struct Inner {
    connected: Mutex<Option<Connected>>,
    /// The response was read to its end.
    is_read: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

impl Place {
    fn connected(&self) -> MutexGuard<'_, Option<Connected>> {
        // A panic in the middle of hyper leaves a connection that fails.
        let connected = self.0.connected.lock();
        connected.unwrap_or_else(PoisonError::into_inner)
    }

    fn waker(&self) -> MutexGuard<'_, Option<Waker>> {
        self.0.waker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Put the connection there.
    pub(super) fn put(&self, connected: Connected) {
        *self.connected() = Some(connected);
    }

    /// Close the connection.
    pub(super) fn close(&self) {
        let connected = self.connected().take();
        drop(connected);
    }

    /// The response was read to its end.
    pub(super) fn read(&self) {
        self.0.is_read.store(true, Ordering::Release);
        if let Some(waker) = self.waker().take() {
            waker.wake();
        }
    }

    /// Read and write. Ready: the connection is over.
    pub(super) fn poll(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut connected = self.connected();
        let Some(driven) = &mut *connected else {
            return Poll::Ready(());
        };
        let polled = driven.poll(cx);
        if polled.is_ready() {
            *connected = None;
        }
        polled
    }
}

/// Drives a connection until the response was read, and keeps it for the next request then. Dropped before, it closes
/// the connection; but one whose response was read is kept if it can be.
pub(super) struct Driver {
    place: Place,
    key: Key,
    pool: Pool,
}

impl Driver {
    pub(super) fn new(place: Place, key: Key, pool: Pool) -> Driver {
        Driver { place, key, pool }
    }

    /// Keep the connection, if the response was read and the server has taken the whole request.
    fn try_keep(&self) -> bool {
        let mut place = self.place.connected();
        let is_read = self.place.0.is_read.load(Ordering::Acquire);
        let ready = |connected: &Connected| connected.sender.is_ready();
        if !is_read || !place.as_ref().is_some_and(ready) {
            return false;
        }
        if let Some(connected) = place.take() {
            self.pool.keep(self.key.clone(), connected);
        }
        true
    }
}

impl Future for Driver {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        // Before the look at whether it was read: no wake is lost between the two.
        *self.place.waker() = Some(cx.waker().clone());
        if self.place.poll(cx).is_ready() || self.try_keep() {
            return Poll::Ready(());
        }
        Poll::Pending
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        // What polls it may need the runtime, and so does keeping it.
        if self.place.0.is_read.load(Ordering::Acquire)
            && tokio::runtime::Handle::try_current().is_ok()
        {
            let mut cx = Context::from_waker(Waker::noop());
            if self.place.poll(&mut cx).is_ready() || self.try_keep() {
                return;
            }
        }
        self.place.close();
    }
}

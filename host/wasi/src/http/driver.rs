//! The connection of an exchange, and the task that drives it.

use super::connected::Connected;
use super::pool::{Key, Pool};
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// The slot that holds an exchange's connection. The code that ends the exchange takes the connection out of it.
#[derive(Clone, Default)]
pub(super) struct Place(Arc<Inner>);

#[derive(Default)]
struct Inner {
    connected: Mutex<Option<Connected>>,
    /// Whether the component has read the response to its end.
    is_read: AtomicBool,
    /// The task of the [`Driver`].
    waker: Mutex<Option<Waker>>,
}

impl Place {
    fn connected(&self) -> MutexGuard<'_, Option<Connected>> {
        // After a panic inside hyper the connection may be in any state. Its next use then fails.
        let connected = self.0.connected.lock();
        connected.unwrap_or_else(PoisonError::into_inner)
    }

    fn waker(&self) -> MutexGuard<'_, Option<Waker>> {
        self.0.waker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Store the connection.
    pub(super) fn put(&self, connected: Connected) {
        *self.connected() = Some(connected);
    }

    /// Close the connection.
    pub(super) fn close(&self) {
        let connected = self.connected().take();
        drop(connected);
    }

    /// Record that the component has read the response to its end, and wake the [`Driver`].
    pub(super) fn read(&self) {
        self.0.is_read.store(true, Ordering::Release);
        if let Some(waker) = self.waker().take() {
            waker.wake();
        }
    }

    /// Read and write. Ready when the connection has ended, or the slot is empty.
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

/// Drives a connection until the component has read the response. Then it moves the connection to the pool.
///
/// If the driver is dropped before that, it closes the connection. If the response is read already, it tries to move
/// the connection to the pool first.
pub(super) struct Driver {
    place: Place,
    key: Key,
    pool: Pool,
}

impl Driver {
    pub(super) fn new(place: Place, key: Key, pool: Pool) -> Driver {
        Driver { place, key, pool }
    }

    /// Move the connection to the pool if the response is read and hyper has sent the whole request.
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
        // The waker is stored before `is_read` is checked. In the other order a wake between the two steps would be
        // lost.
        *self.place.waker() = Some(cx.waker().clone());
        if self.place.poll(cx).is_ready() || self.try_keep() {
            return Poll::Ready(());
        }
        Poll::Pending
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        // Polling the connection and moving it to the pool both need a tokio runtime.
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

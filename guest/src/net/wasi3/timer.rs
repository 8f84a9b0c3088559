//! Timers: many deadlines in the component, and one alarm in the host.

use super::flag::Flag;
use crate::bindings::wasi::clocks::monotonic_clock;
use crate::net::Instant;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Waker};

/// Rings at the time that it was set to, or earlier. When its deadline is withdrawn the alarm stays
/// set and rings for no future: deadlines are withdrawn far more often than they pass.
#[derive(Default)]
pub struct Alarm {
    set: Option<Set>,
}

struct Set {
    at: Instant,
    ring: Pin<Box<dyn Future<Output = ()>>>,
    rang: Arc<Flag>,
}

impl Alarm {
    /// Ensures that the alarm rings at this time or earlier.
    pub fn set(&mut self, at: Instant) {
        if self.set.as_ref().is_some_and(|set| set.at <= at) {
            return;
        }
        let set = self.set.insert(Set {
            at,
            ring: Box::pin(monotonic_clock::wait_until(at.0)),
            rang: Arc::default(),
        });
        // A future does nothing until it is first polled.
        set.rang.raise();
    }

    /// The current time, if the alarm has rung since it was set.
    pub fn rang(&mut self) -> Option<Instant> {
        let set = self.set.as_mut()?;
        if !set.rang.lower() {
            return None;
        }
        let waker = Waker::from(set.rang.clone());
        let rang = set.ring.as_mut().poll(&mut Context::from_waker(&waker));
        rang.is_ready().then(|| {
            self.set = None;
            Instant(monotonic_clock::now())
        })
    }
}

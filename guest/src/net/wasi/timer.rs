//! Timers: many deadlines in the guest, one pollable in the host, for the earliest of them.

use super::reactor::Reactor;
use crate::bindings::wasi::clocks::monotonic_clock;
use crate::bindings::wasi::io::poll::Pollable;
use crate::net::Instant;
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// The deadlines that somebody waits for.
#[derive(Default)]
pub struct Timers {
    /// By time; the number tells equal times apart.
    waiting: BTreeMap<(Instant, u64), Waker>,
    next: u64,
    /// The pollable of the earliest deadline, kept while that doesn't change.
    armed: Option<(Instant, Pollable)>,
}

impl Timers {
    /// A pollable that is ready at the earliest deadline, or at `limit` if that is earlier; none if
    /// there is neither.
    pub fn pollable(&mut self, limit: Option<Instant>) -> Option<&Pollable> {
        let first = self.waiting.first_key_value().map(|(key, _)| key.0);
        let earliest = first.into_iter().chain(limit).min()?;
        if !matches!(&self.armed, Some((instant, _)) if *instant == earliest) {
            self.armed = Some((earliest, monotonic_clock::subscribe_instant(earliest.0)));
        }
        self.armed.as_ref().map(|(_, pollable)| pollable)
    }

    /// Wakes everybody whose deadline isn't after `now`.
    pub fn fire(&mut self, now: Instant) {
        while let Some(entry) = self.waiting.first_entry()
            && entry.key().0 <= now
        {
            entry.remove().wake();
        }
    }
}

/// Waits until a deadline.
pub struct Sleep {
    reactor: Rc<Reactor>,
    deadline: Instant,
    key: Option<(Instant, u64)>,
}

impl Sleep {
    pub fn new(reactor: Rc<Reactor>, deadline: Instant) -> Self {
        Self {
            reactor,
            deadline,
            key: None,
        }
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let mut timers = this.reactor.timers().borrow_mut();
        match this.key {
            None => {
                let key = (this.deadline, timers.next);
                timers.next += 1;
                timers.waiting.insert(key, cx.waker().clone());
                this.key = Some(key);
                Poll::Pending
            }
            Some(key) => match timers.waiting.get_mut(&key) {
                Some(waker) => {
                    waker.clone_from(cx.waker());
                    Poll::Pending
                }
                None => Poll::Ready(()),
            },
        }
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.reactor.timers().borrow_mut().waiting.remove(&key);
        }
    }
}

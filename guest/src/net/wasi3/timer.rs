//! Timers: many deadlines in the guest, one alarm in the host.

use super::reactor::{Flag, Reactor};
use crate::bindings::wasi::clocks::monotonic_clock;
use crate::net::Instant;
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

/// The deadlines that somebody waits for.
#[derive(Default)]
pub struct Timers {
    /// By time; the number tells equal times apart.
    waiting: BTreeMap<(Instant, u64), Waker>,
    next: u64,
    /// Rings at the earliest deadline or before. When a deadline is taken back the alarm stays, and
    /// rings for nobody once: deadlines are taken back far more often than they pass.
    alarm: Option<Alarm>,
}

struct Alarm {
    at: Instant,
    ring: Pin<Box<dyn Future<Output = ()>>>,
    rang: Arc<Flag>,
}

impl Timers {
    /// Makes sure that the host tells when the earliest deadline is over.
    pub fn set_alarm(&mut self) {
        let Some((&(earliest, _), _)) = self.waiting.first_key_value() else {
            return;
        };
        if self
            .alarm
            .as_ref()
            .is_some_and(|alarm| alarm.at <= earliest)
        {
            return;
        }
        let mut alarm = Alarm {
            at: earliest,
            ring: Box::pin(monotonic_clock::wait_until(earliest.0)),
            rang: Arc::default(),
        };
        // Begins the wait.
        match alarm.has_rung() {
            true => self.wake(),
            false => self.alarm = Some(alarm),
        }
    }

    /// Wakes everybody whose deadline is over, if the alarm has rung.
    pub fn fire(&mut self) {
        if let Some(alarm) = &mut self.alarm
            && alarm.rang.lower()
            && alarm.has_rung()
        {
            self.alarm = None;
            self.wake();
        }
    }

    fn wake(&mut self) {
        let now = Instant(monotonic_clock::now());
        while let Some(entry) = self.waiting.first_entry()
            && entry.key().0 <= now
        {
            entry.remove().wake();
        }
    }
}

impl Alarm {
    fn has_rung(&mut self) -> bool {
        let waker = Waker::from(self.rang.clone());
        let mut cx = Context::from_waker(&waker);
        self.ring.as_mut().poll(&mut cx).is_ready()
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

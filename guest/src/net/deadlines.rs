//! The deadlines that futures wait for. A back-end has the host signal the earliest one.

use super::Instant;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// The deadlines that futures wait for.
#[derive(Default)]
pub struct Deadlines {
    /// Ordered by time. The number distinguishes equal times.
    waiting: BTreeMap<(Instant, u64), Waker>,
    next: u64,
}

impl Deadlines {
    /// The earliest deadline, if there is one.
    pub fn first(&self) -> Option<Instant> {
        self.waiting.first_key_value().map(|(key, _)| key.0)
    }

    /// Wakes every future whose deadline is at or before `now`.
    pub fn pass(&mut self, now: Instant) {
        while let Some(entry) = self.waiting.first_entry()
            && entry.key().0 <= now
        {
            entry.remove().wake();
        }
    }
}

/// Waits until a deadline.
pub struct Sleep {
    deadlines: Rc<RefCell<Deadlines>>,
    deadline: Instant,
    key: Option<(Instant, u64)>,
}

impl Sleep {
    pub fn new(deadlines: Rc<RefCell<Deadlines>>, deadline: Instant) -> Self {
        Self {
            deadlines,
            deadline,
            key: None,
        }
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let mut deadlines = this.deadlines.borrow_mut();
        match this.key {
            None => {
                let key = (this.deadline, deadlines.next);
                deadlines.next += 1;
                deadlines.waiting.insert(key, cx.waker().clone());
                this.key = Some(key);
                Poll::Pending
            }
            Some(key) => match deadlines.waiting.get_mut(&key) {
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
            self.deadlines.borrow_mut().waiting.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sleep_is_woken_in_time_and_a_dropped_one_is_forgotten() {
        let deadlines = Rc::<RefCell<Deadlines>>::default();
        let mut cx = Context::from_waker(Waker::noop());
        let mut waiting: Vec<_> = [3, 1, 2, 2]
            .map(|at| (at, Box::pin(Sleep::new(deadlines.clone(), Instant(at)))))
            .into();
        for (_, sleep) in &mut waiting {
            assert!(sleep.as_mut().poll(&mut cx).is_pending());
        }
        for (now, first) in [(0, Some(1)), (1, Some(2)), (2, Some(3)), (3, None)] {
            deadlines.borrow_mut().pass(Instant(now));
            assert_eq!(
                deadlines.borrow().first(),
                first.map(Instant),
                "first at {now}"
            );
            waiting.retain_mut(|(at, sleep)| {
                let done = sleep.as_mut().poll(&mut cx).is_ready();
                assert_eq!(done, *at <= now, "that of {at} at {now}");
                !done
            });
        }

        let mut given_up = Box::pin(Sleep::new(deadlines.clone(), Instant(4)));
        assert!(given_up.as_mut().poll(&mut cx).is_pending());
        drop(given_up);
        assert_eq!(deadlines.borrow().first(), None);
    }
}

//! The reactor, the only code that waits. It runs a future until it can't continue, then asks the
//! host for the next event.

use super::flag::Flag;
use super::task::Task;
use super::timer::Alarm;
use crate::net::deadlines::Deadlines;
use crate::rt::{Either, race};
use std::cell::RefCell;
use std::future::{Future, IntoFuture};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use wit_bindgen::{FutureReader, yield_blocking};

/// The future with which a caller can interrupt a call.
pub type Interrupt<'a> = FutureReader<()>;

/// The error of [`Reactor::block_on_unless`] when it was interrupted.
pub struct Interrupted;

/// Runs futures, and delivers the host's events to them.
pub struct Reactor {
    task: &'static Task,
    deadlines: Rc<RefCell<Deadlines>>,
    alarm: RefCell<Alarm>,
}

impl Reactor {
    pub fn new() -> Self {
        Self {
            task: Task::install(),
            deadlines: Rc::default(),
            alarm: RefCell::default(),
        }
    }

    /// Runs `future` to its end.
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.drive(pin!(future))
    }

    /// Runs `future` until it is ready, or until `interrupt` is.
    pub fn block_on_unless<F: Future>(
        &self,
        future: Pin<&mut F>,
        interrupt: Interrupt<'_>,
    ) -> Result<F::Output, Interrupted> {
        self.block_on(async {
            match race(future, interrupt.into_future()).await {
                Either::First(output) => Ok(output),
                Either::Second(()) => Err(Interrupted),
            }
        })
    }

    fn drive<F: Future>(&self, mut future: Pin<&mut F>) -> F::Output {
        let flag = Arc::new(Flag::default());
        flag.raise();
        let waker = Waker::from(flag.clone());
        let mut cx = Context::from_waker(&waker);
        loop {
            if flag.lower()
                && let Poll::Ready(output) = future.as_mut().poll(&mut cx)
            {
                return output;
            }
            self.look_at_clock();
            if !flag.is_up() {
                self.task.deliver(self.task.wait());
            } else if let Some(event) = self.task.poll() {
                self.task.deliver(event);
            } else {
                // A task is busy, and no event has come. The host needs a pause to check for
                // events.
                yield_blocking();
            }
        }
    }

    /// Wakes every future whose deadline has passed, and sets the alarm for the next deadline.
    fn look_at_clock(&self) {
        let (mut alarm, mut deadlines) = (self.alarm.borrow_mut(), self.deadlines.borrow_mut());
        loop {
            if let Some(first) = deadlines.first() {
                alarm.set(first);
            }
            match alarm.rang() {
                Some(now) => deadlines.pass(now),
                None => return,
            }
        }
    }

    /// The deadlines that futures wait for.
    pub(super) fn deadlines(&self) -> &Rc<RefCell<Deadlines>> {
        &self.deadlines
    }
}

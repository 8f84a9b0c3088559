//! The one place that waits: a future is run until it can't go on, then the host is asked for the
//! next event.

use super::task::Task;
use super::timer::Alarm;
use crate::net::deadlines::Deadlines;
use crate::rt::{Either, race};
use std::cell::RefCell;
use std::future::{Future, IntoFuture};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use wit_bindgen::{FutureReader, yield_blocking};

/// What a caller may interrupt a call with.
pub type Interrupt<'a> = FutureReader<()>;

/// Why [`Reactor::block_on_unless`] came back without the future's output.
pub struct Interrupted;

/// Knows who waits for what.
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

    /// Runs `future` until it is done, or `interrupt` is ready.
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
                // Somebody is busy, and nothing has happened. That the host can find out whether
                // something does takes a pause.
                yield_blocking();
            }
        }
    }

    /// Wakes everybody whose deadline is over, and has the host tell of the next.
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

    /// Where waits for a time are entered.
    pub(super) fn deadlines(&self) -> &Rc<RefCell<Deadlines>> {
        &self.deadlines
    }
}

/// Whether something has been woken.
#[derive(Default)]
pub(super) struct Flag(AtomicBool);

impl Flag {
    pub(super) fn raise(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn is_up(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Whether it was up.
    pub(super) fn lower(&self) -> bool {
        self.0.swap(false, Ordering::Relaxed)
    }
}

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.raise();
    }
}

//! The reactor, the only code that waits. It runs a future until it can't continue, then calls
//! `wasi:io/poll` once for everything that is waited for.

use super::timer::Timer;
use crate::bindings::wasi::clocks::monotonic_clock;
use crate::bindings::wasi::io::poll::{Pollable, poll};
use crate::net::Instant;
use crate::net::deadlines::Deadlines;
use crate::net::schedule::{Item, Schedule, Wait};
use std::any::Any;
use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

/// Runs futures, and knows which task waits for which pollable.
#[derive(Default)]
pub struct Reactor {
    sources: RefCell<Sources>,
    deadlines: Rc<RefCell<Deadlines>>,
    timer: RefCell<Timer>,
    breaks_off: Cell<bool>,
}

#[derive(Default)]
struct Sources {
    entries: Vec<Option<Entry>>,
    free: Vec<usize>,
    generations: u64,
    /// The entries that are polled at every turn.
    urgent: Vec<usize>,
    schedule: Schedule,
    /// The time of the last turn. Waits start at this time, because a call for the current time
    /// costs a tenth of what a message does.
    now: u64,
}

struct Entry {
    pollable: Pollable,
    interest: Interest,
    generation: u64,
    urgency: Urgency,
    /// Whether the entry is in the schedule.
    scheduled: bool,
}

/// How soon the reactor has to notice that a pollable is ready.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Urgency {
    /// As [`Schedule`] decides: at once while the wait is young, within tens of milliseconds later.
    Scheduled,
    /// Always at once. For the few entries that must not wait behind many others: listening
    /// sockets.
    Always,
}

/// What happens when an entry's pollable is ready.
enum Interest {
    /// Nothing: no task waits, and it is not polled.
    None,
    /// A task is woken.
    Task(Waker),
    /// A resource is dropped. Dropping it earlier would have blocked.
    Release(Box<dyn Any>),
}

/// The pollable with which a caller can interrupt a call.
pub type Interrupt<'a> = &'a Pollable;

/// The error of [`Reactor::block_on_unless`] when it was interrupted.
pub struct Interrupted;

impl Reactor {
    /// Runs `future` to its end.
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        let mut future = std::pin::pin!(future);
        loop {
            // Without an interrupt it returns only when the future is ready.
            if let Ok(output) = self.drive(future.as_mut(), None) {
                return output;
            }
        }
    }

    /// Runs `future` until it is ready, or until `interrupt` is.
    pub fn block_on_unless<F: Future>(
        &self,
        future: Pin<&mut F>,
        interrupt: Interrupt<'_>,
    ) -> Result<F::Output, Interrupted> {
        self.drive(future, Some(interrupt))
    }

    fn drive<F: Future>(
        &self,
        mut future: Pin<&mut F>,
        interrupt: Option<&Pollable>,
    ) -> Result<F::Output, Interrupted> {
        let flag = Arc::new(Flag(AtomicBool::new(true)));
        let waker = Waker::from(flag.clone());
        let mut cx = Context::from_waker(&waker);
        loop {
            if flag.0.swap(false, Ordering::Relaxed)
                && let Poll::Ready(output) = future.as_mut().poll(&mut cx)
            {
                return Ok(output);
            }
            let idle = !flag.0.load(Ordering::Relaxed);
            if self.turn(idle, interrupt) {
                return Err(Interrupted);
            }
        }
    }

    /// Polls once, and wakes the tasks whose pollables are ready. Blocks until a pollable is ready
    /// if `idle`. Returns whether `interrupt` is ready.
    fn turn(&self, idle: bool, interrupt: Option<&Pollable>) -> bool {
        let mut ready = Vec::new();
        let mut interrupted = false;
        {
            let mut sources = self.sources.borrow_mut();
            let mut timer = self.timer.borrow_mut();
            let wait = sources.plan(idle);
            let limit = match wait {
                Wait::Until(limit) => Some(Instant(limit)),
                Wait::Look | Wait::Ready => None,
            };
            let first = self.deadlines.borrow().first();
            let earliest = first.into_iter().chain(limit).min();
            let timer = earliest.map(|earliest| timer.at(earliest));
            // With a pollable that is always ready the poll does not block.
            let look = (wait == Wait::Look).then(|| monotonic_clock::subscribe_duration(0));

            let keys: Vec<usize> = sources.asked().collect();
            let mut pollables: Vec<&Pollable> = Vec::with_capacity(keys.len() + 3);
            pollables.extend(keys.iter().filter_map(|key| sources.pollable(*key)));
            let asked = pollables.len();
            pollables.extend(interrupt);
            pollables.extend(timer);
            pollables.extend(&look);
            if pollables.is_empty() {
                // Nothing can ever wake the future. `poll` traps on an empty list; this panic has a
                // message.
                unreachable!("a future waits for nothing");
            }
            let mut is_ready = vec![false; asked];
            for index in poll(&pollables) {
                match is_ready.get_mut(index as usize) {
                    Some(is_ready) => *is_ready = true,
                    None => interrupted |= interrupt.is_some() && index as usize == asked,
                }
            }
            let now = monotonic_clock::now();
            sources.now = now;
            sources.done(now, &is_ready);
            ready.extend(
                keys.iter()
                    .zip(is_ready)
                    .filter(|(_, ready)| *ready)
                    .map(|(key, _)| *key),
            );
            self.deadlines.borrow_mut().pass(Instant(now));
        }
        for key in ready {
            self.fire(key);
        }
        interrupted
    }

    fn fire(&self, key: usize) {
        let mut sources = self.sources.borrow_mut();
        let Some(entry) = sources.get_mut(key) else {
            return;
        };
        match std::mem::replace(&mut entry.interest, Interest::None) {
            Interest::None => {}
            Interest::Task(waker) => {
                drop(sources);
                waker.wake();
            }
            Interest::Release(parked) => {
                // The pollable is a child of the parked resource and has to be dropped first.
                drop(sources.remove(key));
                drop(sources);
                drop(parked);
            }
        }
    }

    /// Registers a pollable. It is polled only while a task waits for it.
    pub fn register(self: &Rc<Self>, pollable: Pollable, urgency: Urgency) -> Registration {
        let key = self.sources.borrow_mut().insert(pollable, urgency);
        Registration {
            reactor: self.clone(),
            key: Some(key),
        }
    }

    /// See [`WasiNet::dropping_breaks_off`](super::WasiNet::dropping_breaks_off).
    pub(super) fn dropping_breaks_off(&self) {
        self.breaks_off.set(true);
    }

    pub(super) fn breaks_off(&self) -> bool {
        self.breaks_off.get()
    }

    /// The deadlines that futures wait for.
    pub(super) fn deadlines(&self) -> &Rc<RefCell<Deadlines>> {
        &self.deadlines
    }
}

impl Sources {
    fn insert(&mut self, pollable: Pollable, urgency: Urgency) -> usize {
        self.generations += 1;
        let entry = Some(Entry {
            pollable,
            interest: Interest::None,
            generation: self.generations,
            urgency,
            scheduled: false,
        });
        let key = match self.free.pop() {
            Some(key) => {
                self.entries[key] = entry;
                key
            }
            None => {
                self.entries.push(entry);
                self.entries.len() - 1
            }
        };
        if urgency == Urgency::Always {
            self.urgent.push(key);
        }
        key
    }

    fn get(&self, key: usize) -> Option<&Entry> {
        self.entries.get(key)?.as_ref()
    }

    fn get_mut(&mut self, key: usize) -> Option<&mut Entry> {
        self.entries.get_mut(key)?.as_mut()
    }

    fn remove(&mut self, key: usize) -> Option<Entry> {
        let entry = self.entries.get_mut(key)?.take()?;
        self.free.push(key);
        if entry.urgency == Urgency::Always {
            self.urgent.retain(|urgent| *urgent != key);
        }
        Some(entry)
    }

    /// Sets the interest in an entry, and adds the entry to the schedule if necessary.
    fn wait(&mut self, key: usize, interest: Interest) {
        let Some(entry) = self.get_mut(key) else {
            return;
        };
        entry.interest = interest;
        if !entry.scheduled && entry.urgency == Urgency::Scheduled {
            entry.scheduled = true;
            let item = Item {
                key,
                generation: entry.generation,
                since: self.now,
            };
            self.schedule.add(item);
        }
    }

    fn plan(&mut self, idle: bool) -> Wait {
        let now = monotonic_clock::now();
        self.now = now;
        let entries = &mut self.entries;
        self.schedule.plan(now, idle, |item| {
            let Some(entry) = entries.get_mut(item.key).and_then(Option::as_mut) else {
                return false;
            };
            if entry.generation != item.generation {
                return false;
            }
            entry.scheduled = !matches!(entry.interest, Interest::None);
            entry.scheduled
        })
    }

    /// The keys of the entries to poll: the scheduled ones, then the urgent ones.
    fn asked(&self) -> impl Iterator<Item = usize> {
        let urgent = self.urgent.iter().copied().filter(|key| {
            self.get(*key)
                .is_some_and(|entry| !matches!(entry.interest, Interest::None))
        });
        self.schedule
            .asked()
            .iter()
            .map(|item| item.key)
            .chain(urgent)
    }

    fn pollable(&self, key: usize) -> Option<&Pollable> {
        self.get(key).map(|entry| &entry.pollable)
    }

    fn done(&mut self, now: u64, ready: &[bool]) {
        let entries = &mut self.entries;
        for (item, _) in self
            .schedule
            .asked()
            .iter()
            .zip(ready)
            .filter(|(_, ready)| **ready)
        {
            if let Some(entry) = entries.get_mut(item.key).and_then(Option::as_mut) {
                entry.scheduled = false;
            }
        }
        self.schedule
            .done(now, |index| ready.get(index).copied().unwrap_or(false));
    }
}

/// A registered pollable. Dropping it drops the pollable.
pub struct Registration {
    reactor: Rc<Reactor>,
    /// `None` once the reactor owns the entry.
    key: Option<usize>,
}

impl Registration {
    /// Waits until the pollable is ready. Only one task can wait: the last one that polled this
    /// future is woken.
    pub async fn ready(&self) {
        let _withdraw = Withdraw(self);
        let mut asked = false;
        poll_fn(|cx| {
            let mut sources = self.reactor.sources.borrow_mut();
            let Some((key, entry)) = self.key.and_then(|key| Some((key, sources.get_mut(key)?)))
            else {
                return Poll::Ready(());
            };
            match &mut entry.interest {
                Interest::Task(waker) => waker.clone_from(cx.waker()),
                Interest::None if asked => return Poll::Ready(()),
                _ => sources.wait(key, Interest::Task(cx.waker().clone())),
            }
            asked = true;
            Poll::Pending
        })
        .await;
    }

    /// Keeps `parked` until the pollable is ready, then drops the pollable and `parked`. No task
    /// waits for this.
    pub fn release_when_ready(mut self, parked: impl Any) {
        if let Some(key) = self.key.take() {
            let release = Interest::Release(Box::new(parked));
            self.reactor.sources.borrow_mut().wait(key, release);
        }
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            let entry = self.reactor.sources.borrow_mut().remove(key);
            drop(entry);
        }
    }
}

/// Removes the interest when a wait ends or is dropped, so the entry is not polled for no task.
struct Withdraw<'a>(&'a Registration);

impl Drop for Withdraw<'_> {
    fn drop(&mut self) {
        let mut sources = self.0.reactor.sources.borrow_mut();
        if let Some(entry) = self.0.key.and_then(|key| sources.get_mut(key))
            && let Interest::Task(_) = entry.interest
        {
            entry.interest = Interest::None;
        }
    }
}

/// The waker of the future that is driven.
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

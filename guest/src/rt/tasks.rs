//! A set of tasks on one thread.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::mem;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

type BoxFuture = Pin<Box<dyn Future<Output = ()>>>;

/// Tasks that run concurrently. Each task has its own waker, so the cost of a tick depends on how
/// many tasks are ready, not on how many exist.
///
/// Dropping the set drops every task.
#[derive(Default)]
pub struct TaskSet {
    tasks: Vec<Option<Task>>,
    free: Vec<usize>,
    spawned: Rc<RefCell<Vec<BoxFuture>>>,
    end_of_tick: EndOfTick,
    shared: Arc<Shared>,
}

struct Task {
    future: BoxFuture,
    waker: Arc<TaskWaker>,
}

/// Adds tasks to a set, also from within one of its tasks.
#[derive(Clone)]
pub struct Spawner {
    spawned: Rc<RefCell<Vec<BoxFuture>>>,
    shared: Arc<Shared>,
}

impl Spawner {
    /// Adds a task. It has its first turn the next time the set is polled.
    pub fn spawn(&self, future: impl Future<Output = ()> + 'static) {
        self.spawned.borrow_mut().push(Box::pin(future));
        self.shared.wake_set();
    }
}

/// The end of a tick: when every task of a set that was ready has had its turn.
#[derive(Clone, Default)]
pub struct EndOfTick(Rc<RefCell<Vec<Waker>>>);

impl EndOfTick {
    /// Waits until every task that is ready has had its turn. Unlike after
    /// [`yield_now`](super::yield_now), the task continues before the network is polled again.
    pub async fn wait(&self) {
        let mut waited = false;
        poll_fn(|cx| {
            if waited {
                return Poll::Ready(());
            }
            waited = true;
            self.0.borrow_mut().push(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

/// The state that wakers share with the set. There is one thread, so the lock is never contended;
/// it exists because `Waker` must be `Send` and this code uses no `unsafe`.
#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    ready: VecDeque<usize>,
    /// Wakes the task or the back-end that polls the set.
    outer: Option<Waker>,
}

impl Shared {
    fn with<T>(&self, f: impl FnOnce(&mut Queue) -> T) -> T {
        f(&mut self.queue.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn wake_set(&self) {
        let outer = self.with(|queue| queue.outer.take());
        if let Some(waker) = outer {
            waker.wake();
        }
    }
}

struct TaskWaker {
    index: usize,
    queued: AtomicBool,
    shared: Arc<Shared>,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.queued.swap(true, Ordering::Relaxed) {
            self.shared.with(|queue| queue.ready.push_back(self.index));
            self.shared.wake_set();
        }
    }
}

impl TaskSet {
    /// A handle that adds tasks to this set.
    pub fn spawner(&self) -> Spawner {
        Spawner {
            spawned: self.spawned.clone(),
            shared: self.shared.clone(),
        }
    }

    /// The end of this set's ticks.
    pub fn end_of_tick(&self) -> EndOfTick {
        self.end_of_tick.clone()
    }

    /// Whether no task is left.
    pub fn is_empty(&self) -> bool {
        self.tasks.len() == self.free.len() && self.spawned.borrow().is_empty()
    }

    /// Wakes every task.
    pub fn wake_all(&self) {
        for task in self.tasks.iter().flatten() {
            task.waker.wake_by_ref();
        }
    }

    /// Drops every task.
    pub fn clear(&mut self) {
        self.spawned.borrow_mut().clear();
        self.end_of_tick.0.borrow_mut().clear();
        self.tasks.clear();
        self.free.clear();
        self.shared.with(|queue| queue.ready.clear());
    }

    /// Gives one turn to every task that was ready when this was called, and then another one to those
    /// that wait for the [`EndOfTick`].
    ///
    /// A task that wakes itself during this call has its next turn in the next call, for which `cx`
    /// is woken. So the caller can poll the network in between, even if a task never waits.
    pub fn poll(&mut self, cx: &mut Context<'_>) {
        // The caller does not need a wake-up while this call runs.
        self.shared.with(|queue| queue.outer = None);
        self.admit();
        self.give_turns();
        let waiting = self.end_of_tick.0.take();
        if !waiting.is_empty() {
            let later = self.shared.with(|queue| mem::take(&mut queue.ready));
            waiting.into_iter().for_each(Waker::wake);
            self.give_turns();
            self.shared.with(|queue| {
                let woken = mem::replace(&mut queue.ready, later);
                queue.ready.extend(woken);
            });
        }
        let more = self.shared.with(|queue| {
            queue.outer = Some(cx.waker().clone());
            !queue.ready.is_empty()
        });
        // A task that continued at the end of this tick may already wait for the end of the next
        // one.
        if more || !self.spawned.borrow().is_empty() || !self.end_of_tick.0.borrow().is_empty() {
            self.shared.wake_set();
        }
    }

    /// Gives a turn to every task that is ready now.
    fn give_turns(&mut self) {
        let turns = self.shared.with(|queue| queue.ready.len());
        for _ in 0..turns {
            let Some(index) = self.shared.with(|queue| queue.ready.pop_front()) else {
                break;
            };
            self.poll_task(index);
        }
    }

    fn admit(&mut self) {
        let spawned = self.spawned.take();
        for future in spawned {
            let index = self.free.pop().unwrap_or_else(|| {
                self.tasks.push(None);
                self.tasks.len() - 1
            });
            let waker = Arc::new(TaskWaker {
                index,
                queued: AtomicBool::new(true),
                shared: self.shared.clone(),
            });
            self.tasks[index] = Some(Task { future, waker });
            self.shared.with(|queue| queue.ready.push_back(index));
        }
    }

    fn poll_task(&mut self, index: usize) {
        let Some(task) = self.tasks.get_mut(index).and_then(Option::as_mut) else {
            return;
        };
        task.waker.queued.store(false, Ordering::Relaxed);
        let waker = Waker::from(task.waker.clone());
        if let Poll::Ready(()) = task.future.as_mut().poll(&mut Context::from_waker(&waker)) {
            // A waker may outlive its task. It finds `queued` set and does nothing, so the slot can
            // be given to another task.
            task.waker.queued.store(true, Ordering::Relaxed);
            self.tasks[index] = None;
            self.free.push(index);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rt::yield_now;
    use std::future::pending;

    fn log() -> Rc<RefCell<Vec<&'static str>>> {
        Rc::default()
    }

    fn turn(tasks: &mut TaskSet) -> bool {
        let flag = Arc::new(Flag::default());
        tasks.poll(&mut Context::from_waker(&Waker::from(flag.clone())));
        flag.0.load(Ordering::Relaxed)
    }

    #[derive(Default)]
    struct Flag(AtomicBool);

    impl Wake for Flag {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_task_that_never_rests_leaves_the_others_their_turns() {
        let mut tasks = TaskSet::default();
        let order = log();
        for name in ["a", "b"] {
            let order = order.clone();
            tasks.spawner().spawn(async move {
                loop {
                    order.borrow_mut().push(name);
                    yield_now().await;
                }
            });
        }
        for _ in 0..3 {
            assert!(turn(&mut tasks), "ready tasks must wake the caller of poll");
        }
        assert_eq!(*order.borrow(), ["a", "b", "a", "b", "a", "b"]);
    }

    #[test]
    fn a_task_that_waits_for_the_end_of_the_tick_goes_on_before_any_task_has_a_second_turn() {
        let mut tasks = TaskSet::default();
        let order = log();
        for (first, second) in [("a1", "a2"), ("b1", "b2")] {
            let (order, last) = (order.clone(), tasks.end_of_tick());
            tasks.spawner().spawn(async move {
                order.borrow_mut().push(first);
                last.wait().await;
                order.borrow_mut().push(second);
            });
        }
        let busy = order.clone();
        tasks.spawner().spawn(async move {
            busy.borrow_mut().push("c1");
            yield_now().await;
            busy.borrow_mut().push("c2");
        });
        assert!(turn(&mut tasks), "one wants another turn");
        assert_eq!(*order.borrow(), ["a1", "b1", "c1", "a2", "b2"]);
        assert!(!turn(&mut tasks));
        assert_eq!(order.borrow().last(), Some(&"c2"));
        assert!(tasks.is_empty());
    }

    #[test]
    fn a_task_that_waits_for_the_end_of_the_tick_again_has_another_turn() {
        let mut tasks = TaskSet::default();
        let order = log();
        let (inner, last) = (order.clone(), tasks.end_of_tick());
        tasks.spawner().spawn(async move {
            for name in ["first", "second", "third"] {
                last.wait().await;
                inner.borrow_mut().push(name);
            }
        });
        assert!(turn(&mut tasks), "it is one of the last again");
        assert!(turn(&mut tasks));
        assert!(!turn(&mut tasks));
        assert_eq!(*order.borrow(), ["first", "second", "third"]);
        assert!(tasks.is_empty());
    }

    #[test]
    fn the_set_is_not_woken_for_tasks_that_went_on_at_the_end_of_the_tick() {
        let mut tasks = TaskSet::default();
        let last = tasks.end_of_tick();
        let kept: Rc<RefCell<Option<Waker>>> = Rc::default();
        let keep = kept.clone();
        tasks.spawner().spawn(async move {
            loop {
                let mut woken = false;
                poll_fn(|cx| {
                    *keep.borrow_mut() = Some(cx.waker().clone());
                    if mem::replace(&mut woken, true) {
                        return Poll::Ready(());
                    }
                    Poll::Pending
                })
                .await;
                last.wait().await;
            }
        });
        assert!(!turn(&mut tasks));
        for _ in 0..3 {
            kept.borrow().as_ref().expect("it waits").wake_by_ref();
            assert!(!turn(&mut tasks), "it has gone on and waits again");
        }
    }

    #[test]
    fn a_task_spawned_by_a_task_runs_at_the_next_turn() {
        let mut tasks = TaskSet::default();
        let order = log();
        let (spawner, inner) = (tasks.spawner(), order.clone());
        tasks.spawner().spawn(async move {
            inner.borrow_mut().push("outer");
            let inner = inner.clone();
            spawner.spawn(async move { inner.borrow_mut().push("inner") });
        });
        assert!(turn(&mut tasks));
        assert!(!tasks.is_empty());
        assert!(!turn(&mut tasks));
        assert!(tasks.is_empty());
        assert_eq!(*order.borrow(), ["outer", "inner"]);
    }

    #[test]
    fn a_late_wake_of_a_finished_task_does_not_reach_its_successor() {
        let mut tasks = TaskSet::default();
        let kept: Rc<RefCell<Option<Waker>>> = Rc::default();
        let keep = kept.clone();
        tasks.spawner().spawn(poll_fn(move |cx| {
            *keep.borrow_mut() = Some(cx.waker().clone());
            Poll::Ready(())
        }));
        turn(&mut tasks);
        let polls = Rc::new(RefCell::new(0));
        let counter = polls.clone();
        tasks.spawner().spawn(poll_fn(move |_| {
            *counter.borrow_mut() += 1;
            Poll::Pending
        }));
        turn(&mut tasks);
        kept.borrow()
            .as_ref()
            .expect("the first task kept its waker")
            .wake_by_ref();
        assert!(!turn(&mut tasks));
        assert_eq!(*polls.borrow(), 1);
    }

    #[test]
    fn wake_all_and_clear_reach_every_task() {
        let mut tasks = TaskSet::default();
        let alive = Rc::new(());
        for _ in 0..3 {
            let held = alive.clone();
            tasks.spawner().spawn(async move {
                pending::<()>().await;
                drop(held);
            });
        }
        assert!(!turn(&mut tasks));
        tasks.wake_all();
        assert_eq!(tasks.shared.with(|queue| queue.ready.len()), 3);
        tasks.clear();
        assert!(tasks.is_empty());
        assert_eq!(Rc::strong_count(&alive), 1);
        assert!(!turn(&mut tasks));
    }
}

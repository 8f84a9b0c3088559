//! Keeps a component that computes without end from holding its thread for ever.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, Thread};
use std::time::Duration;
use wasmtime::Engine;

/// How long a component may compute before it has to let others have a turn: 10 to 20 ms.
///
/// It bounds how late a timeout, Ctrl-C or another task on the same thread can be.
const TICK: Duration = Duration::from_millis(10);

/// Advances an engine's epoch while components run, from a thread of its own.
///
/// A store that is configured to yield at the next epoch gives its future's caller control within
/// two ticks, and the future can be dropped then. The thread starts with the first run, and sleeps
/// while no component is running, however many are waiting.
pub(crate) struct EpochTicker {
    shared: Arc<Shared>,
    thread: Mutex<Option<Thread>>,
}

struct Shared {
    engine: Engine,
    /// How many components are running at this moment.
    running: AtomicUsize,
    /// Whether one has begun to run since the last tick.
    began: AtomicBool,
    /// Whether the thread sleeps until it is woken.
    asleep: AtomicBool,
    stop: AtomicBool,
}

impl EpochTicker {
    pub(crate) fn new(engine: Engine) -> EpochTicker {
        EpochTicker {
            shared: Arc::new(Shared {
                engine,
                running: AtomicUsize::new(0),
                began: AtomicBool::new(false),
                asleep: AtomicBool::new(false),
                stop: AtomicBool::new(false),
            }),
            thread: Mutex::new(None),
        }
    }

    /// A handle that polls a run's calls. Starts the thread, if it is not running.
    ///
    /// # Errors
    /// The system can't start a thread.
    pub(crate) fn handle(&self) -> io::Result<EpochHandle> {
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        let thread = match &*thread {
            Some(thread) => thread.clone(),
            None => {
                let shared = self.shared.clone();
                let started = thread::Builder::new()
                    .name("sockbox-ticker".to_owned())
                    .spawn(move || shared.tick())?;
                thread.insert(started.thread().clone()).clone()
            }
        };
        Ok(EpochHandle {
            shared: self.shared.clone(),
            thread,
        })
    }
}

impl Drop for EpochTicker {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        let thread = self.thread.get_mut();
        if let Some(thread) = thread.unwrap_or_else(PoisonError::into_inner) {
            thread.unpark();
        }
    }
}

impl Shared {
    fn tick(&self) {
        while !self.stop.load(Ordering::SeqCst) {
            thread::park_timeout(TICK);
            self.engine.increment_epoch();
            if !self.busy() {
                // `began` is set before `asleep` is looked at, and `asleep` before `began`: one of
                // the two sides sees the other.
                self.asleep.store(true, Ordering::SeqCst);
                while !self.busy()
                    && self.asleep.load(Ordering::SeqCst)
                    && !self.stop.load(Ordering::SeqCst)
                {
                    thread::park();
                }
                self.asleep.store(false, Ordering::SeqCst);
            }
        }
    }

    /// Whether any component is running, or was since this was last asked.
    fn busy(&self) -> bool {
        self.began.swap(false, Ordering::SeqCst) || self.running.load(Ordering::SeqCst) > 0
    }
}

/// One run's access to the [`EpochTicker`].
#[derive(Clone)]
pub(crate) struct EpochHandle {
    shared: Arc<Shared>,
    thread: Thread,
}

impl EpochHandle {
    /// Drive `call`, which runs a component, with the epoch advancing whenever it computes.
    pub(crate) async fn drive<F: Future>(&self, call: F) -> F::Output {
        let mut call = pin!(call);
        poll_fn(|cx| {
            let _running = self.enter();
            call.as_mut().poll(cx)
        })
        .await
    }

    fn enter(&self) -> Running<'_> {
        let shared = &*self.shared;
        shared.running.fetch_add(1, Ordering::SeqCst);
        shared.began.store(true, Ordering::SeqCst);
        if shared.asleep.swap(false, Ordering::SeqCst) {
            self.thread.unpark();
        }
        Running { shared }
    }
}

struct Running<'a> {
    shared: &'a Shared,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.shared.running.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;
    use wasmtime::{Module, Store};

    /// A module whose `spin` never returns.
    const SPIN: &str = r#"(module (func (export "spin") (loop (br 0))))"#;

    async fn spin_for(handle: &EpochHandle, engine: &Engine, time: Duration) -> bool {
        let mut store = Store::new(engine, ());
        store.set_epoch_deadline(1);
        store.epoch_deadline_async_yield_and_update(1);
        let module = Module::new(engine, SPIN).unwrap();
        let instance = wasmtime::Instance::new_async(&mut store, &module, &[])
            .await
            .unwrap();
        let spin = instance
            .get_typed_func::<(), ()>(&mut store, "spin")
            .unwrap();
        let call = handle.drive(spin.call_async(&mut store, ()));
        tokio::time::timeout(time, call).await.is_err()
    }

    #[tokio::test]
    async fn an_endless_loop_can_be_dropped_again_and_again() {
        let engine = Engine::new(&sockbox_component::engine::config(false)).unwrap();
        let ticker = EpochTicker::new(engine.clone());
        let handle = ticker.handle().unwrap();
        for _ in 0..3 {
            assert!(spin_for(&handle, &engine, Duration::from_millis(30)).await);
            // Long enough for the thread to fall asleep, so that the next turn has to wake it.
            let fell_asleep = Instant::now() + Duration::from_secs(10);
            while !ticker.shared.asleep.load(Ordering::SeqCst) {
                assert!(Instant::now() < fell_asleep, "the ticker never sleeps");
                tokio::task::yield_now().await;
            }
        }
    }
}

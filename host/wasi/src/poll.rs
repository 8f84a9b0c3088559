//! `wasi:io/poll` that caches readiness.
//!
//! wasmtime-wasi polls every pollable of a list at each call, which costs about a microsecond per
//! pollable. A server with ten thousand idle connections would spend most of its time there. When the
//! input of a connection is not ready, a waker stays registered with the system until it is. Until
//! that waker is woken, this module does not poll the input again: it only reads a flag.
//!
//! Only the inputs of accepted TCP connections, wasmtime-wasi's and [adopted ones](crate::sockets),
//! are known to keep their waker when the future that registered it is dropped. All other pollables
//! are polled at each call. The functions replaced here call wasmtime-wasi's own.
//!
//! A server with busy clients always finds a ready connection, and would never wait. But tokio polls
//! the system for events only when its thread is idle, or after a configured number of task polls,
//! which may take a second. Until then the ready connections would starve all others. So a call that
//! comes long after the last wait first lets tokio poll the system ([`UNTIL_A_LOOK`]).

use crate::ctx::SockboxView;
use crate::replaced::{POLL, STREAMS};
use bytes::Bytes;
use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::mem;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};
use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, Resource, ResourceTable, ResourceType};
use wasmtime_wasi::async_trait;
use wasmtime_wasi::p2::bindings::io::poll::{Host as _, HostPollable as _};
use wasmtime_wasi::p2::pipe::ClosedInputStream;
use wasmtime_wasi::p2::{
    DynInputStream, DynPollable, InputStream, Pollable, StreamResult, subscribe,
};

/// How long a component may keep finding ready inputs until tokio polls the system for events: 1
/// ms.
///
/// Polling the system costs some microseconds.
const UNTIL_A_LOOK: Duration = Duration::from_millis(1);

/// Replace wasmtime-wasi's functions.
pub(crate) fn add_to_linker<T: SockboxView>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    linker.instance(STREAMS.name())?.func_wrap(
        STREAMS.item("[method]input-stream.subscribe"),
        |mut store: StoreContextMut<'_, T>, (input,): (Resource<DynInputStream>,)| {
            let state = store.data_mut().sockbox();
            let rep = input.rep();
            let pollable = subscribe(state.table, input)?;
            state.ctx.readiness.subscribed(rep, pollable.rep());
            Ok((pollable,))
        },
    )?;
    let mut poll = linker.instance(POLL.name())?;
    poll.resource(
        POLL.item("pollable"),
        ResourceType::host::<DynPollable>(),
        |mut store, rep| {
            let state = store.data_mut().sockbox();
            state.ctx.readiness.pollables.remove(&rep);
            state.table.drop(Resource::new_own(rep))
        },
    )?;
    poll.func_wrap_async(
        POLL.item("poll"),
        |mut store: StoreContextMut<'_, T>, (asked,): (Vec<Resource<DynPollable>>,)| {
            Box::new(async move {
                let state = store.data_mut().sockbox();
                let ready = state.ctx.readiness.poll(state.table, &asked).await?;
                Ok((ready,))
            })
        },
    )
}

/// The inputs that are watched.
#[derive(Default)]
pub(crate) struct Readiness {
    alarm: Arc<Alarm>,
    /// By input: those that have no pollable yet.
    accepted: HashMap<u32, Arc<Watch>>,
    /// By pollable.
    pollables: HashMap<u32, Subscription>,
    /// When the system was last polled for events, or waited for.
    looked: Option<Instant>,
}

struct Subscription {
    input: u32,
    watch: Arc<Watch>,
}

impl Readiness {
    /// Watch the input of a connection that has just been accepted.
    pub(crate) fn watch(
        &mut self,
        table: &mut ResourceTable,
        input: &Resource<DynInputStream>,
    ) -> wasmtime::Result<()> {
        let watch = Arc::new(Watch {
            waker_registered: AtomicBool::new(false),
            woken: AtomicBool::new(false),
            gone: AtomicBool::new(false),
            alarm: self.alarm.clone(),
        });
        let stream = table.get_mut(input)?;
        *stream = Box::new(Watched {
            input: mem::replace(stream, Box::new(ClosedInputStream)),
            watch: watch.clone(),
        });
        self.accepted.insert(input.rep(), watch);
        Ok(())
    }

    /// An input becomes part of something else, and its number may become that of another.
    pub(crate) fn forget(&mut self, input: &Resource<DynInputStream>) {
        self.accepted.remove(&input.rep());
    }

    /// A pollable was made for an input.
    fn subscribed(&mut self, input: u32, pollable: u32) {
        // Of several pollables one is watched. The number may have been that of another input.
        if let Some(watch) = self.accepted.remove(&input)
            && !watch.gone.load(Ordering::SeqCst)
        {
            let subscription = Subscription { input, watch };
            self.pollables.insert(pollable, subscription);
        }
    }

    /// `wasi:io/poll.poll`.
    async fn poll(
        &mut self,
        table: &mut ResourceTable,
        asked: &[Resource<DynPollable>],
    ) -> wasmtime::Result<Vec<u32>> {
        if self
            .looked
            .is_none_or(|last| last.elapsed() >= UNTIL_A_LOOK)
        {
            // tokio resumes a task that yields in this way after it has polled the system.
            tokio::task::yield_now().await;
            self.looked = Some(Instant::now());
        }
        let (ready, waited) = self.find(table, asked).await?;
        if waited {
            self.looked = Some(Instant::now());
        }
        Ok(ready)
    }

    /// What is ready, and whether that had to be waited for.
    async fn find(
        &self,
        table: &mut ResourceTable,
        asked: &[Resource<DynPollable>],
    ) -> wasmtime::Result<(Vec<u32>, bool)> {
        let mut waited = false;
        let (mut watched, mut others) = (Vec::with_capacity(asked.len()), Vec::new());
        for (index, pollable) in (0..).zip(asked) {
            match self.pollables.get(&pollable.rep()) {
                Some(subscription) => watched.push((index, subscription)),
                None => others.push((index, pollable.rep())),
            }
        }
        loop {
            self.alarm.set();
            let mut ready = Vec::new();
            for (index, subscription) in &watched {
                if subscription.is_ready(table)? {
                    ready.push(*index);
                }
            }
            // With nothing to poll, wasmtime-wasi's function is called only where that is an error.
            let mut rest = pin!(async {
                if others.is_empty() && !watched.is_empty() {
                    return std::future::pending().await;
                }
                let others = others.iter().map(|(_, rep)| Resource::new_borrow(*rep));
                table.poll(others.collect()).await
            });
            let of_the_rest = poll_fn(|cx| {
                self.alarm.wakes(cx.waker());
                match rest.as_mut().poll(cx) {
                    Poll::Ready(ready) => Poll::Ready(Some(ready)),
                    Poll::Pending if !ready.is_empty() || self.alarm.has_rung() => {
                        Poll::Ready(None)
                    }
                    Poll::Pending => {
                        waited = true;
                        Poll::Pending
                    }
                }
            })
            .await;
            if let Some(of_the_rest) = of_the_rest.transpose()? {
                let indexes = of_the_rest.into_iter();
                ready.extend(indexes.filter_map(|at| others.get(at as usize).map(|it| it.0)));
            }
            if !ready.is_empty() {
                return Ok((ready, waited));
            }
        }
    }
}

impl Subscription {
    /// Whether the input is ready. If not, registers a waker, unless one is registered.
    fn is_ready(&self, table: &mut ResourceTable) -> wasmtime::Result<bool> {
        let Watch {
            waker_registered,
            woken,
            ..
        } = &*self.watch;
        if waker_registered.load(Ordering::SeqCst) && !woken.load(Ordering::SeqCst) {
            return Ok(false);
        }
        // Before the input is asked: it may wake before it has answered.
        woken.store(false, Ordering::SeqCst);
        let input = table.get_mut(&Resource::<DynInputStream>::new_borrow(self.input))?;
        let waker = Waker::from(self.watch.clone());
        let mut ready = input.as_mut().ready();
        let ready = ready
            .as_mut()
            .poll(&mut Context::from_waker(&waker))
            .is_ready();
        waker_registered.store(!ready, Ordering::SeqCst);
        Ok(ready)
    }
}

/// What is known of an input.
struct Watch {
    /// The input was not ready, and our waker is registered. Any other poll of the input replaces
    /// that waker.
    waker_registered: AtomicBool,
    /// It has woken since.
    woken: AtomicBool,
    /// It has been dropped.
    gone: AtomicBool,
    alarm: Arc<Alarm>,
}

impl Wake for Watch {
    fn wake(self: Arc<Self>) {
        self.woken.store(true, Ordering::SeqCst);
        self.alarm.ring();
    }
}

/// Wakes the call that is under way when any input has woken.
#[derive(Default)]
struct Alarm {
    rang: AtomicBool,
    call: Mutex<Option<Waker>>,
}

impl Alarm {
    fn set(&self) {
        self.rang.store(false, Ordering::SeqCst);
    }

    fn ring(&self) {
        self.rang.store(true, Ordering::SeqCst);
        let call = self.locked().take();
        if let Some(waker) = call {
            waker.wake();
        }
    }

    fn has_rung(&self) -> bool {
        self.rang.load(Ordering::SeqCst)
    }

    /// Sets the waker of the current call. Afterwards the caller has to check whether an input has
    /// woken before.
    fn wakes(&self, call: &Waker) {
        let mut place = self.locked();
        match &mut *place {
            Some(waker) => waker.clone_from(call),
            None => *place = Some(call.clone()),
        }
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, Option<Waker>> {
        self.call.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An input that is watched.
struct Watched {
    input: DynInputStream,
    watch: Arc<Watch>,
}

impl Watched {
    /// For another poll of the input, which replaces the registered waker.
    fn input(&mut self) -> &mut DynInputStream {
        self.watch.waker_registered.store(false, Ordering::SeqCst);
        &mut self.input
    }
}

// Written without `async_trait`, to avoid boxing the input's future at every message.
impl Pollable for Watched {
    fn ready<'input, 'future>(
        &'input mut self,
    ) -> Pin<Box<dyn Future<Output = ()> + Send + 'future>>
    where
        'input: 'future,
        Self: 'future,
    {
        self.input().as_mut().ready()
    }
}

#[async_trait]
impl InputStream for Watched {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        self.input().read(size)
    }

    async fn blocking_read(&mut self, size: usize) -> StreamResult<Bytes> {
        self.input().blocking_read(size).await
    }

    fn skip(&mut self, count: usize) -> StreamResult<usize> {
        self.input().skip(count)
    }

    async fn blocking_skip(&mut self, count: usize) -> StreamResult<usize> {
        self.input().blocking_skip(count).await
    }

    async fn cancel(&mut self) {
        self.input().cancel().await;
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.watch.gone.store(true, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests;

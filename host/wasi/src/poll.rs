//! `wasi:io/poll` with a memory.
//!
//! wasmtime-wasi asks every pollable of a list anew at each call, which costs about a microsecond
//! each: a server with ten thousand idle connections would do little else. Where a connection's input
//! has said that it isn't ready, the system has been left word with a waker that stays there until
//! it is. So it needs no asking before that has been woken, and a call costs what is ready, and a
//! look at a flag for each of the rest.
//!
//! Only the inputs of accepted TCP connections, wasmtime-wasi's and [our own](crate::sockets), are
//! known to keep their waker when the future that left it is dropped. Everything else is asked as
//! before. The functions replaced here hand over to wasmtime-wasi's own.
//!
//! A server whose clients are quick always finds one that is ready, and would never wait. But tokio
//! learns of news from the system only when its thread has nothing else to do, or after as many turns
//! of its tasks as it is set to, which may be a second: until then those who are ready would keep all
//! others out. So a call that comes long after the last wait lets tokio look first ([`UNTIL_A_LOOK`]).

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

/// How long a component may go on finding something ready until the system is asked for news: 1 ms.
///
/// To ask costs some microseconds.
const UNTIL_A_LOOK: Duration = Duration::from_millis(1);

/// Put these in the place of wasmtime-wasi's.
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
    /// When the system was last asked for news, or waited for.
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
            // tokio comes back to who yields in this way when it has asked the system.
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
            // Without anything to ask, it is asked only where that is an error.
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
    /// Whether the input is ready. Leaves word to be woken if it isn't, where that hasn't been done.
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
    /// It wasn't ready, and was left word whom to wake. Whatever else asks it leaves word of its own
    /// in that place.
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

    /// From here on it wakes this; to be asked afterwards whether it has rung before.
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
    /// To be asked by somebody else: word that was left before is lost then.
    fn input(&mut self) -> &mut DynInputStream {
        self.watch.waker_registered.store(false, Ordering::SeqCst);
        &mut self.input
    }
}

// As `async_trait` would write it, without a box around the input's own: it is asked at every message.
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

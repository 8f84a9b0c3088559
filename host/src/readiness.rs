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

use crate::state::State;
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
pub(crate) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    linker.instance("wasi:io/streams@0.2.12")?.func_wrap(
        "[method]input-stream.subscribe",
        |mut store: StoreContextMut<'_, State>, (input,): (Resource<DynInputStream>,)| {
            let state = store.data_mut();
            let rep = input.rep();
            let pollable = subscribe(&mut state.table, input)?;
            state.readiness.subscribed(rep, pollable.rep());
            Ok((pollable,))
        },
    )?;
    let mut poll = linker.instance("wasi:io/poll@0.2.12")?;
    poll.resource(
        "pollable",
        ResourceType::host::<DynPollable>(),
        |mut store, rep| {
            let state: &mut State = store.data_mut();
            state.readiness.pollables.remove(&rep);
            state.table.drop(Resource::new_own(rep))
        },
    )?;
    poll.func_wrap_async(
        "poll",
        |mut store: StoreContextMut<'_, State>, (asked,): (Vec<Resource<DynPollable>>,)| {
            Box::new(async move {
                let state = store.data_mut();
                let ready = state.readiness.poll(&mut state.table, &asked).await?;
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
            word_left: AtomicBool::new(false),
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
            word_left, woken, ..
        } = &*self.watch;
        if word_left.load(Ordering::SeqCst) && !woken.load(Ordering::SeqCst) {
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
        word_left.store(!ready, Ordering::SeqCst);
        Ok(ready)
    }
}

/// What is known of an input.
struct Watch {
    /// It wasn't ready, and was left word whom to wake. Whatever else asks it leaves word of its own
    /// in that place.
    word_left: AtomicBool,
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
        self.watch.word_left.store(false, Ordering::SeqCst);
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
mod tests {
    use super::*;
    use std::collections::VecDeque;

    /// An input as a TCP connection's is: one place for a waker, which stays.
    #[derive(Clone, Default)]
    struct Fake(Arc<Mutex<FakeState>>);

    #[derive(Default)]
    struct FakeState {
        arrived: VecDeque<Bytes>,
        waker: Option<Waker>,
        asked: usize,
    }

    impl Fake {
        fn arrive(&self, bytes: &'static [u8]) {
            let mut state = self.0.lock().unwrap();
            state.arrived.push_back(Bytes::from_static(bytes));
            if let Some(waker) = state.waker.take() {
                waker.wake();
            }
        }

        fn asked(&self) -> usize {
            self.0.lock().unwrap().asked
        }
    }

    #[async_trait]
    impl Pollable for Fake {
        async fn ready(&mut self) {
            poll_fn(|cx| {
                let mut state = self.0.lock().unwrap();
                state.asked += 1;
                if state.arrived.is_empty() {
                    state.waker = Some(cx.waker().clone());
                    return Poll::Pending;
                }
                Poll::Ready(())
            })
            .await;
        }
    }

    impl InputStream for Fake {
        fn read(&mut self, _: usize) -> StreamResult<Bytes> {
            let mut state = self.0.lock().unwrap();
            let arrived = state.arrived.pop_front();
            if arrived.is_none() {
                // Somebody who reads in vain leaves word that nobody heeds.
                state.waker = Some(Waker::noop().clone());
            }
            Ok(arrived.unwrap_or_default())
        }
    }

    struct Bench {
        table: ResourceTable,
        readiness: Readiness,
        fakes: Vec<Fake>,
        inputs: Vec<Resource<DynInputStream>>,
        pollables: Vec<Resource<DynPollable>>,
    }

    impl Bench {
        fn new(count: usize) -> Bench {
            let mut bench = Bench {
                table: ResourceTable::new(),
                readiness: Readiness::default(),
                fakes: Vec::new(),
                inputs: Vec::new(),
                pollables: Vec::new(),
            };
            for _ in 0..count {
                let fake = Fake::default();
                let input: DynInputStream = Box::new(fake.clone());
                let input = bench.table.push(input).unwrap();
                bench.readiness.watch(&mut bench.table, &input).unwrap();
                bench.subscribe(&input);
                bench.fakes.push(fake);
                bench.inputs.push(input);
            }
            bench
        }

        fn subscribe(&mut self, input: &Resource<DynInputStream>) {
            let borrowed = Resource::new_borrow(input.rep());
            let pollable = subscribe::<DynInputStream>(&mut self.table, borrowed).unwrap();
            self.readiness.subscribed(input.rep(), pollable.rep());
            self.pollables.push(pollable);
        }

        /// What is ready, if anything is within a moment.
        async fn poll(&mut self) -> Option<Vec<u32>> {
            let asked: Vec<_> = self
                .pollables
                .iter()
                .map(|pollable| Resource::new_borrow(pollable.rep()))
                .collect();
            let poll = self.readiness.poll(&mut self.table, &asked);
            let ready = tokio::time::timeout(Duration::from_millis(5), poll).await;
            ready.ok().map(Result::unwrap)
        }

        fn read(&mut self, index: usize) -> Bytes {
            self.table
                .get_mut(&self.inputs[index])
                .unwrap()
                .read(1)
                .unwrap()
        }
    }

    #[tokio::test]
    async fn what_is_not_ready_is_asked_once() {
        let mut bench = Bench::new(3);
        for _ in 0..3 {
            assert_eq!(bench.poll().await, None);
        }
        assert!(bench.fakes.iter().all(|fake| fake.asked() == 1));
        bench.fakes[1].arrive(b"a");
        for _ in 0..2 {
            assert_eq!(bench.poll().await, Some(vec![1]), "until it is read");
        }
        assert_eq!(bench.fakes[0].asked(), 1);
        assert_eq!(bench.read(1), "a");
        assert_eq!(bench.poll().await, None);
        bench.fakes[1].arrive(b"b");
        assert_eq!(bench.poll().await, Some(vec![1]));
    }

    #[tokio::test]
    async fn a_read_in_vain_loses_nothing() {
        let mut bench = Bench::new(2);
        assert_eq!(bench.poll().await, None);
        assert_eq!(bench.read(0), "");
        assert_eq!(bench.poll().await, None);
        bench.fakes[0].arrive(b"a");
        assert_eq!(bench.poll().await, Some(vec![0]));
    }

    #[tokio::test]
    async fn a_call_that_waits_is_woken() {
        let mut bench = Bench::new(2);
        let fake = bench.fakes[1].clone();
        let later = tokio::spawn(async move {
            tokio::task::yield_now().await;
            fake.arrive(b"a");
        });
        assert_eq!(bench.poll().await, Some(vec![1]));
        later.await.unwrap();
    }

    #[tokio::test]
    async fn one_that_is_always_ready_keeps_no_news_out() {
        let mut bench = Bench::new(2);
        let (stream, mut peer) = {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let peer = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            (listener.accept().await.unwrap().0, peer)
        };
        // A connection, whose news tokio has to bring, in the place of the second.
        let input = bench.table.get_mut(&bench.inputs[1]).unwrap();
        *input = Box::new(Watched {
            input: Box::new(Connected(stream)),
            watch: bench.readiness.pollables[&bench.pollables[1].rep()]
                .watch
                .clone(),
        });
        // tokio takes a new connection for ready until it has been tried.
        assert_eq!(bench.read(1), "");
        bench.fakes[0].arrive(b"a");
        assert_eq!(bench.poll().await, Some(vec![0]));
        std::io::Write::write_all(&mut peer, b"b").unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);
        while bench.poll().await != Some(vec![0, 1]) {
            assert!(Instant::now() < deadline, "it is never heard of");
        }
    }

    struct Connected(tokio::net::TcpStream);

    #[async_trait]
    impl Pollable for Connected {
        async fn ready(&mut self) {
            poll_fn(|cx| self.0.poll_read_ready(cx)).await.unwrap();
        }
    }

    impl InputStream for Connected {
        fn read(&mut self, _: usize) -> StreamResult<Bytes> {
            let mut byte = [0];
            let read = self.0.try_read(&mut byte).unwrap_or(0);
            Ok(Bytes::copy_from_slice(&byte[..read]))
        }
    }

    #[tokio::test]
    async fn other_pollables_are_asked_as_ever() {
        let mut bench = Bench::new(1);
        // A second one of the same input, and one of an input that isn't watched.
        let first = Resource::new_borrow(bench.inputs[0].rep());
        bench.subscribe(&first);
        let unwatched = Fake::default();
        let input: DynInputStream = Box::new(unwatched.clone());
        let input = bench.table.push(input).unwrap();
        bench.subscribe(&input);
        assert_eq!(bench.poll().await, None);
        unwatched.arrive(b"a");
        assert_eq!(bench.poll().await, Some(vec![2]));
        bench.fakes[0].arrive(b"a");
        let mut ready = bench.poll().await.unwrap();
        ready.sort_unstable();
        assert_eq!(ready, [0, 1, 2]);
        assert!(bench.readiness.poll(&mut bench.table, &[]).await.is_err());
    }

    #[tokio::test]
    async fn an_input_that_has_gone_leaves_its_number_to_another() {
        let mut bench = Bench::new(0);
        let input: DynInputStream = Box::<Fake>::default();
        let input = bench.table.push(input).unwrap();
        bench.readiness.watch(&mut bench.table, &input).unwrap();
        let rep = input.rep();
        bench.table.delete(input).unwrap();
        let other: DynInputStream = Box::<Fake>::default();
        let other = bench.table.push(other).unwrap();
        assert_eq!(other.rep(), rep);
        bench.subscribe(&other);
        assert!(bench.readiness.pollables.is_empty());
    }
}

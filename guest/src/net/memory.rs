//! A network in memory with its own clock, for tests of code that is generic over [`Net`].
//!
//! Nothing here waits in real time: when no task can continue, the clock jumps to the next
//! deadline. A test in which no task can ever continue panics at once.

mod stream;

pub use stream::MemoryStream;

use super::{Instant, Listener, Net, NetError, TlsError};
use crate::rt::TaskSet;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::future::{Future, poll_fn};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

/// The network, its names and its clock.
#[derive(Clone, Default)]
pub struct MemoryNet(Rc<World>);

#[derive(Default)]
struct World {
    now: Cell<u64>,
    next_port: Cell<u16>,
    timers: RefCell<BTreeMap<(u64, u64), Waker>>,
    next_timer: Cell<u64>,
    names: RefCell<HashMap<String, Result<Vec<IpAddr>, NetError>>>,
    slow_names: RefCell<HashMap<String, Duration>>,
    resolved_names: RefCell<Vec<String>>,
    routes: RefCell<HashMap<SocketAddr, Route>>,
    distances: RefCell<HashMap<SocketAddr, Duration>>,
    attempts: RefCell<Vec<(Duration, SocketAddr)>>,
    connecting: Cell<usize>,
    tls: RefCell<HashMap<String, TlsAnswer>>,
    capacity: Cell<Option<usize>>,
    tasks: RefCell<TaskSet>,
    spawned: RefCell<Vec<Pin<Box<dyn Future<Output = ()>>>>>,
}

/// The result of a TLS handshake.
#[derive(Clone)]
enum TlsAnswer {
    Agreed,
    Fails(TlsError),
    Silence,
}

/// The result of connecting to an address.
enum Route {
    Listening(Rc<Queue>),
    Fails(NetError),
    BlackHole,
}

#[derive(Default)]
struct Queue {
    waiting: RefCell<VecDeque<Result<MemoryStream, NetError>>>,
    waker: Cell<Option<Waker>>,
}

impl Queue {
    fn push(&self, item: Result<MemoryStream, NetError>) {
        self.waiting.borrow_mut().push_back(item);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

impl MemoryNet {
    /// Sets the addresses of a name, or the error of resolving it.
    pub fn name(&self, name: &str, answer: Result<Vec<IpAddr>, NetError>) {
        self.0.names.borrow_mut().insert(name.to_owned(), answer);
    }

    /// Makes resolving a name take this long.
    pub fn slow_name(&self, name: &str, time: Duration) {
        let mut names = self.0.slow_names.borrow_mut();
        names.insert(name.to_owned(), time);
    }

    /// The names that were resolved.
    pub fn resolved_names(&self) -> Vec<String> {
        self.0.resolved_names.borrow().clone()
    }

    /// Makes every attempt to connect to an address take this long, whatever its result.
    pub fn distance(&self, address: SocketAddr, time: Duration) {
        self.0.distances.borrow_mut().insert(address, time);
    }

    /// The attempts to connect, each with the time of its beginning.
    pub fn attempts(&self) -> Vec<(Duration, SocketAddr)> {
        self.0.attempts.borrow().clone()
    }

    /// How many attempts to connect are under way.
    pub fn connecting(&self) -> usize {
        self.0.connecting.get()
    }

    /// Makes TLS handshakes with a server succeed. Its bytes are not encrypted.
    pub fn has_tls(&self, server: &str) {
        self.tls(server, TlsAnswer::Agreed);
    }

    /// Makes TLS handshakes with a server fail with this error.
    pub fn fail_tls(&self, server: &str, error: TlsError) {
        self.tls(server, TlsAnswer::Fails(error));
    }

    /// Makes TLS handshakes with a server never end.
    pub fn silent_tls(&self, server: &str) {
        self.tls(server, TlsAnswer::Silence);
    }

    fn tls(&self, server: &str, answer: TlsAnswer) {
        self.0.tls.borrow_mut().insert(server.to_owned(), answer);
    }

    /// Limits how many bytes either end of a future connection can send before the other has read
    /// them.
    pub fn capacity(&self, bytes: usize) {
        self.0.capacity.set(Some(bytes));
    }

    /// Makes every attempt to connect to an address fail with this error.
    pub fn refuse(&self, address: SocketAddr, reason: NetError) {
        self.0
            .routes
            .borrow_mut()
            .insert(address, Route::Fails(reason));
    }

    /// Makes every attempt to connect to an address wait for ever.
    pub fn black_hole(&self, address: SocketAddr) {
        self.0.routes.borrow_mut().insert(address, Route::BlackHole);
    }

    /// Makes the next accept at an address fail with this error.
    pub fn fail_accept(&self, address: SocketAddr, reason: NetError) {
        match self.0.routes.borrow().get(&address) {
            Some(Route::Listening(queue)) => queue.push(Err(reason)),
            _ => panic!("no socket listens on {address}"),
        }
    }

    /// Runs a task concurrently with the future that is run.
    pub fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        self.0.spawned.borrow_mut().push(Box::pin(task));
    }

    /// The time since the start.
    pub fn elapsed(&self) -> Duration {
        Duration::from_nanos(self.0.now.get())
    }

    /// Runs `future` to its end, and the spawned tasks concurrently.
    pub fn run<F: Future>(&self, future: F) -> F::Output {
        let mut future = pin!(future);
        let flag = Arc::new(Flag(AtomicBool::new(true)));
        let waker = Waker::from(flag.clone());
        let mut cx = Context::from_waker(&waker);
        loop {
            while flag.0.swap(false, Ordering::Relaxed) {
                if let Poll::Ready(output) = future.as_mut().poll(&mut cx) {
                    return output;
                }
                let spawned = self.0.spawned.take();
                let mut tasks = self.0.tasks.borrow_mut();
                for task in spawned {
                    tasks.spawner().spawn(task);
                }
                tasks.poll(&mut cx);
                if !self.0.spawned.borrow().is_empty() {
                    flag.0.store(true, Ordering::Relaxed);
                }
            }
            let next = self.0.timers.borrow_mut().pop_first();
            let Some(((at, _), waker)) = next else {
                panic!("every task waits, and no timer is left");
            };
            self.0.now.set(self.0.now.get().max(at));
            waker.wake();
        }
    }
}

struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Net for MemoryNet {
    type Stream = MemoryStream;
    type Listener = MemoryListener;

    fn now(&self) -> Instant {
        Instant(self.0.now.get())
    }

    fn sleep_until(&self, deadline: Instant) -> impl Future<Output = ()> + 'static {
        Sleep {
            world: self.0.clone(),
            deadline,
            timer: None,
        }
    }

    async fn resolve(&self, name: &str) -> Result<Vec<IpAddr>, NetError> {
        self.0.resolved_names.borrow_mut().push(name.to_owned());
        let time = self.0.slow_names.borrow().get(name).copied();
        if let Some(time) = time {
            self.sleep_until(self.now().after(time)).await;
        }
        let names = self.0.names.borrow();
        names
            .get(name)
            .cloned()
            .unwrap_or(Err(NetError::NameUnresolvable))
    }

    fn connect(
        &self,
        remote: SocketAddr,
    ) -> impl Future<Output = Result<MemoryStream, NetError>> + 'static {
        let net = self.clone();
        async move {
            let world = &net.0;
            let _connecting = Connecting::begin(world.clone());
            world.attempts.borrow_mut().push((net.elapsed(), remote));
            let distance = world.distances.borrow().get(&remote).copied();
            if let Some(time) = distance {
                net.sleep_until(net.now().after(time)).await;
            }
            poll_fn(|_| match world.routes.borrow().get(&remote) {
                None => Poll::Ready(Err(NetError::ConnectionRefused)),
                Some(Route::Fails(reason)) => Poll::Ready(Err(*reason)),
                Some(Route::BlackHole) => Poll::Pending,
                Some(Route::Listening(queue)) => {
                    let local = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), world.port());
                    let (near, far) = MemoryStream::pair(local, remote);
                    if let Some(bytes) = world.capacity.get() {
                        near.receive_capacity(bytes);
                        far.receive_capacity(bytes);
                    }
                    queue.push(Ok(far));
                    Poll::Ready(Ok(near))
                }
            })
            .await
        }
    }

    const HAS_TLS: bool = true;

    async fn tls_handshake(
        &self,
        stream: MemoryStream,
        server: &str,
    ) -> Result<MemoryStream, TlsError> {
        let answer = self.0.tls.borrow().get(server).cloned();
        match answer {
            Some(TlsAnswer::Agreed) => Ok(stream),
            Some(TlsAnswer::Fails(error)) => Err(error),
            Some(TlsAnswer::Silence) => std::future::pending().await,
            None => Err(TlsError::Failed(format!("{server} has no TLS"))),
        }
    }

    async fn listen(&self, mut local: SocketAddr) -> Result<MemoryListener, NetError> {
        if local.port() == 0 {
            local.set_port(self.0.port());
        }
        let mut routes = self.0.routes.borrow_mut();
        match routes.get(&local) {
            Some(Route::Listening(_)) => return Err(NetError::AddressInUse),
            Some(Route::Fails(reason)) => return Err(*reason),
            Some(Route::BlackHole) | None => {}
        }
        let queue = Rc::new(Queue::default());
        routes.insert(local, Route::Listening(queue.clone()));
        Ok(MemoryListener {
            world: self.0.clone(),
            local,
            queue,
        })
    }
}

/// Counts an attempt while it is under way.
struct Connecting(Rc<World>);

impl Connecting {
    fn begin(world: Rc<World>) -> Self {
        world.connecting.set(world.connecting.get() + 1);
        Self(world)
    }
}

impl Drop for Connecting {
    fn drop(&mut self) {
        self.0.connecting.set(self.0.connecting.get() - 1);
    }
}

struct Sleep {
    world: Rc<World>,
    deadline: Instant,
    timer: Option<(u64, u64)>,
}

impl Sleep {
    fn withdraw(&mut self) {
        if let Some(key) = self.timer.take() {
            self.world.timers.borrow_mut().remove(&key);
        }
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.withdraw();
        if self.world.now.get() >= self.deadline.0 {
            return Poll::Ready(());
        }
        let key = (self.deadline.0, self.world.next_timer.get());
        self.world.next_timer.set(key.1 + 1);
        self.world
            .timers
            .borrow_mut()
            .insert(key, cx.waker().clone());
        self.timer = Some(key);
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.withdraw();
    }
}

impl World {
    fn port(&self) -> u16 {
        self.next_port.set(self.next_port.get() + 1);
        40_000 + self.next_port.get()
    }
}

/// A socket that listens in memory.
pub struct MemoryListener {
    world: Rc<World>,
    local: SocketAddr,
    queue: Rc<Queue>,
}

impl Listener for MemoryListener {
    type Stream = MemoryStream;

    fn local_addr(&self) -> SocketAddr {
        self.local
    }

    async fn accept(&self) -> Result<MemoryStream, NetError> {
        poll_fn(|cx| match self.queue.waiting.borrow_mut().pop_front() {
            Some(accepted) => Poll::Ready(accepted),
            None => {
                self.queue.waker.set(Some(cx.waker().clone()));
                Poll::Pending
            }
        })
        .await
    }
}

impl Drop for MemoryListener {
    fn drop(&mut self) {
        self.world.routes.borrow_mut().remove(&self.local);
    }
}

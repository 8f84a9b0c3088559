//! A network in memory, with a clock of its own, for tests of what runs over [`Net`].
//!
//! Nothing here waits: when no task can go on, the clock jumps to the next deadline. A test in
//! which nobody can ever go on fails at once and says so.

use super::{Instant, Listener, Net, NetError, Sink, SinkClosed, Source, SourceFailed};
use super::{Splice, SpliceError, Stream, TlsError, TryRead};
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
    lookups: RefCell<Vec<String>>,
    routes: RefCell<HashMap<SocketAddr, Route>>,
    distances: RefCell<HashMap<SocketAddr, Duration>>,
    attempts: RefCell<Vec<(Duration, SocketAddr)>>,
    connecting: Cell<usize>,
    tls: RefCell<HashMap<String, TlsAnswer>>,
    capacity: Cell<Option<usize>>,
    tasks: RefCell<TaskSet>,
    spawned: RefCell<Vec<Pin<Box<dyn Future<Output = ()>>>>>,
}

/// What comes of the attempt to agree upon TLS.
#[derive(Clone)]
enum TlsAnswer {
    Agreed,
    Fails(TlsError),
    Silence,
}

/// What is behind an address.
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
    /// Lets a name have these addresses, or fail so.
    pub fn name(&self, name: &str, answer: Result<Vec<IpAddr>, NetError>) {
        self.0.names.borrow_mut().insert(name.to_owned(), answer);
    }

    /// Lets the lookup of a name take so long.
    pub fn slow_name(&self, name: &str, time: Duration) {
        let mut names = self.0.slow_names.borrow_mut();
        names.insert(name.to_owned(), time);
    }

    /// The names that were looked up.
    pub fn lookups(&self) -> Vec<String> {
        self.0.lookups.borrow().clone()
    }

    /// Lets every attempt to connect to an address take so long, however it ends.
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

    /// Lets a server have TLS; from then on its bytes are as they are without.
    pub fn has_tls(&self, server: &str) {
        self.tls(server, TlsAnswer::Agreed);
    }

    /// Lets the attempt to agree upon TLS with a server fail so.
    pub fn fail_tls(&self, server: &str, error: TlsError) {
        self.tls(server, TlsAnswer::Fails(error));
    }

    /// Lets no attempt to agree upon TLS with a server ever come to an end.
    pub fn silent_tls(&self, server: &str) {
        self.tls(server, TlsAnswer::Silence);
    }

    fn tls(&self, server: &str, answer: TlsAnswer) {
        self.0.tls.borrow_mut().insert(server.to_owned(), answer);
    }

    /// Bounds what either end of a connection to come may send before the other has read it.
    pub fn capacity(&self, bytes: usize) {
        self.0.capacity.set(Some(bytes));
    }

    /// Lets every attempt to connect to an address fail so.
    pub fn refuse(&self, address: SocketAddr, reason: NetError) {
        self.0
            .routes
            .borrow_mut()
            .insert(address, Route::Fails(reason));
    }

    /// Lets no attempt to connect to an address ever come to an end.
    pub fn black_hole(&self, address: SocketAddr) {
        self.0.routes.borrow_mut().insert(address, Route::BlackHole);
    }

    /// Lets the next accept at an address fail so.
    pub fn fail_accept(&self, address: SocketAddr, reason: NetError) {
        match self.0.routes.borrow().get(&address) {
            Some(Route::Listening(queue)) => queue.push(Err(reason)),
            _ => panic!("nobody listens on {address}"),
        }
    }

    /// Runs a task beside whatever is run.
    pub fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        self.0.spawned.borrow_mut().push(Box::pin(task));
    }

    /// The time since the beginning.
    pub fn elapsed(&self) -> Duration {
        Duration::from_nanos(self.0.now.get())
    }

    /// Runs `future`, and the spawned tasks beside it, until it is done.
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
                panic!("everybody waits, and nothing will happen any more");
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

    async fn lookup(&self, name: &str) -> Result<Vec<IpAddr>, NetError> {
        self.0.lookups.borrow_mut().push(name.to_owned());
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
                    let (ours, theirs) = MemoryStream::pair(local, remote);
                    if let Some(bytes) = world.capacity.get() {
                        ours.receive_capacity(bytes);
                        theirs.receive_capacity(bytes);
                    }
                    queue.push(Ok(theirs));
                    Poll::Ready(Ok(ours))
                }
            })
            .await
        }
    }

    const HAS_TLS: bool = true;

    async fn secure(&self, stream: MemoryStream, server: &str) -> Result<MemoryStream, TlsError> {
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

/// Counts an attempt as long as it is under way.
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

/// One end of a connection in memory.
pub struct MemoryStream {
    local: SocketAddr,
    remote: SocketAddr,
    incoming: Rc<Pipe>,
    outgoing: Rc<Pipe>,
}

/// One direction of a connection: packets, each of which is read on its own.
struct Pipe {
    packets: RefCell<VecDeque<Vec<u8>>>,
    capacity: Cell<usize>,
    state: Cell<PipeState>,
    reader: Cell<Option<Waker>>,
    writer: Cell<Option<Waker>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum PipeState {
    Open,
    Ended,
    Broken(NetError),
}

impl Pipe {
    fn new() -> Rc<Self> {
        Rc::new(Self {
            packets: RefCell::default(),
            capacity: Cell::new(usize::MAX),
            state: Cell::new(PipeState::Open),
            reader: Cell::new(None),
            writer: Cell::new(None),
        })
    }

    fn wake(&self) {
        for waker in [self.reader.take(), self.writer.take()]
            .into_iter()
            .flatten()
        {
            waker.wake();
        }
    }

    fn end(&self, state: PipeState) {
        if self.state.get() == PipeState::Open {
            self.state.set(state);
        }
        self.wake();
    }

    fn size(&self) -> usize {
        self.packets.borrow().iter().map(Vec::len).sum()
    }
}

impl MemoryStream {
    /// A connection's two ends.
    pub fn pair(local: SocketAddr, remote: SocketAddr) -> (Self, Self) {
        let (there, back) = (Pipe::new(), Pipe::new());
        let ours = Self {
            local,
            remote,
            incoming: back.clone(),
            outgoing: there.clone(),
        };
        let theirs = Self {
            local: remote,
            remote: local,
            incoming: there,
            outgoing: back,
        };
        (ours, theirs)
    }

    /// Bounds what the other end may send before this end has read it.
    pub fn receive_capacity(&self, bytes: usize) {
        self.incoming.capacity.set(bytes);
    }

    /// Breaks the connection for the other end.
    pub fn break_off(&self, reason: NetError) {
        self.outgoing.packets.borrow_mut().clear();
        self.outgoing.end(PipeState::Broken(reason));
        self.incoming.end(PipeState::Broken(reason));
    }

    /// Reads until the end of input.
    pub async fn read_to_end(&self) -> Result<Vec<u8>, NetError> {
        let mut all = Vec::new();
        while let Some(bytes) = self.read(usize::MAX).await? {
            all.extend_from_slice(&bytes);
        }
        Ok(all)
    }
}

impl Stream for MemoryStream {
    fn local_addr(&self) -> SocketAddr {
        self.local
    }

    fn remote_addr(&self) -> SocketAddr {
        self.remote
    }

    fn try_read(&self, max: usize) -> Result<TryRead, NetError> {
        let mut packets = self.incoming.packets.borrow_mut();
        if let Some(mut packet) = packets.pop_front() {
            if packet.len() > max {
                packets.push_front(packet.split_off(max));
            }
            drop(packets);
            self.incoming.wake();
            return Ok(TryRead::Data(packet));
        }
        match self.incoming.state.get() {
            PipeState::Open => Ok(TryRead::Nothing),
            PipeState::Ended => Ok(TryRead::End),
            PipeState::Broken(reason) => Err(reason),
        }
    }

    async fn readable(&self) {
        poll_fn(|cx| {
            let pipe = &self.incoming;
            if pipe.state.get() != PipeState::Open || !pipe.packets.borrow().is_empty() {
                return Poll::Ready(());
            }
            pipe.reader.set(Some(cx.waker().clone()));
            Poll::Pending
        })
        .await;
    }

    async fn write_all(&self, bytes: &[u8]) -> Result<(), NetError> {
        let pipe = &self.outgoing;
        poll_fn(|cx| {
            if let PipeState::Broken(reason) = pipe.state.get() {
                return Poll::Ready(Err(reason));
            }
            if pipe.size() > 0 && pipe.size() + bytes.len() > pipe.capacity.get() {
                pipe.writer.set(Some(cx.waker().clone()));
                return Poll::Pending;
            }
            Poll::Ready(Ok(()))
        })
        .await?;
        if pipe.state.get() == PipeState::Ended {
            return Err(NetError::ConnectionReset);
        }
        if !bytes.is_empty() {
            pipe.packets.borrow_mut().push_back(bytes.to_vec());
        }
        pipe.wake();
        Ok(())
    }

    async fn flush(&self) -> Result<(), NetError> {
        // There is no system in between: what was written is the peer's.
        Ok(())
    }

    async fn finish(&self) -> Result<(), NetError> {
        self.outgoing.end(PipeState::Ended);
        Ok(())
    }
}

impl Drop for MemoryStream {
    fn drop(&mut self) {
        self.outgoing.end(PipeState::Ended);
        // Whoever still writes to us learns that nobody reads.
        self.incoming
            .end(PipeState::Broken(NetError::ConnectionReset));
    }
}

impl Sink for Vec<u8> {
    async fn ready(&mut self) -> Result<(), SinkClosed> {
        Ok(())
    }

    async fn write_all(&mut self, bytes: &[u8]) -> Result<(), SinkClosed> {
        self.extend_from_slice(bytes);
        Ok(())
    }
}

impl Splice<Vec<u8>> for MemoryStream {
    async fn splice(&self, sink: &mut Vec<u8>, max: u64) -> Result<Option<u64>, SpliceError> {
        let max = usize::try_from(max).unwrap_or(usize::MAX);
        let bytes = self.read(max).await.map_err(SpliceError::Source)?;
        Ok(bytes.map(|bytes| {
            sink.extend_from_slice(&bytes);
            bytes.len() as u64
        }))
    }
}

/// A body in memory: a packet at each read.
impl Source for VecDeque<Vec<u8>> {
    async fn read(&mut self, _max: usize) -> Result<Option<Vec<u8>>, SourceFailed> {
        Ok(self.pop_front())
    }
}

//! The listening sockets, the connections' tasks, and what happened.

use super::connection::{Closed, Connection, Opened};
use super::framing::DEFAULT_MAX_MESSAGE_SIZE;
use crate::net::{Instant, Listener, Net, NetError};
use crate::rt::{Spawner, TaskSet, yield_now};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

/// How many connections are accepted before those that are open have their turn.
const ACCEPTS_PER_TURN: u32 = 64;

/// How long the first and every further pause is when accepting fails. The connection stays in the
/// system's queue, so trying again at once would fail at once, for ever.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// How many events are told at once.
const EVENTS_AT_ONCE: usize = 256;

/// How to serve.
#[derive(Debug, Clone)]
pub struct Options {
    /// The addresses to listen on, at least one.
    pub listen: Vec<SocketAddr>,
    /// The most bytes of a message, without its newline.
    pub max_message_size: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: Vec::new(),
            max_message_size: DEFAULT_MAX_MESSAGE_SIZE,
        }
    }
}

/// Why the server could not start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StartError {
    /// No address to listen on was given.
    NoAddress,
    /// This address could not be listened on.
    Listen {
        address: SocketAddr,
        reason: NetError,
    },
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    Opened(Opened),
    Closed(Closed),
    AcceptFailed(AcceptFailed),
}

/// Accepting has begun to fail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcceptFailed {
    pub listen: SocketAddr,
    pub reason: NetError,
}

/// What the server has to tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// These happened, in this order; at least one.
    Events(Vec<Event>),
    /// It was told to stop, and every connection has ended.
    Stopped(Statistics),
}

/// Counts since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Statistics {
    pub accepted: u64,
    pub open: u64,
    pub messages: u64,
    pub bytes_received: u64,
    pub bytes_sent: u64,
    pub uptime: Duration,
}

/// What the server's tasks share.
pub(super) struct Shared {
    pub(super) max_message_size: u32,
    pub(super) messages: Cell<u64>,
    pub(super) bytes_received: Cell<u64>,
    pub(super) bytes_sent: Cell<u64>,
    accepted: Cell<u64>,
    open: Cell<u64>,
    stopping: Cell<bool>,
    events: RefCell<VecDeque<Event>>,
}

impl Shared {
    fn new(max_message_size: u32) -> Self {
        Self {
            max_message_size,
            messages: Cell::new(0),
            bytes_received: Cell::new(0),
            bytes_sent: Cell::new(0),
            accepted: Cell::new(0),
            open: Cell::new(0),
            stopping: Cell::new(false),
            events: RefCell::default(),
        }
    }

    /// Whether connections should end when they have answered what they were sent.
    pub(super) fn stopping(&self) -> bool {
        self.stopping.get()
    }

    /// Runs `future` until the server is told to stop; none if that came first.
    ///
    /// Stopping gives every task a turn, so there is no need to register for it.
    pub(super) async fn unless_stopping<F: Future>(&self, future: F) -> Option<F::Output> {
        let mut future = pin!(future);
        poll_fn(|cx| {
            if self.stopping() {
                return Poll::Ready(None);
            }
            future.as_mut().poll(cx).map(Some)
        })
        .await
    }

    /// Counts a new connection and gives it its number.
    pub(super) fn open(&self) -> u64 {
        self.open.set(self.open.get() + 1);
        self.accepted.set(self.accepted.get() + 1);
        self.accepted.get()
    }

    pub(super) fn close(&self, closed: Closed) {
        self.open.set(self.open.get().saturating_sub(1));
        self.tell(Event::Closed(closed));
    }

    pub(super) fn tell(&self, event: Event) {
        self.events.borrow_mut().push_back(event);
    }
}

/// A server that listens. It serves while [`progress`](Self::progress) is awaited; dropping it
/// closes everything at once.
pub struct Server<N: Net> {
    net: N,
    shared: Rc<Shared>,
    tasks: TaskSet,
    addresses: Vec<SocketAddr>,
    since: Instant,
    /// The end of the time that connections have to finish, once told to stop.
    drained: Option<Pin<Box<dyn Future<Output = ()>>>>,
}

impl<N: Net> Server<N> {
    /// Listens on every address, or on none.
    pub async fn start(net: N, options: &Options) -> Result<Self, StartError> {
        if options.listen.is_empty() {
            return Err(StartError::NoAddress);
        }
        let mut listeners = Vec::new();
        for &address in &options.listen {
            match net.listen(address).await {
                Ok(listener) => listeners.push(listener),
                Err(reason) => return Err(StartError::Listen { address, reason }),
            }
        }
        let shared = Rc::new(Shared::new(options.max_message_size));
        let tasks = TaskSet::default();
        let addresses = listeners.iter().map(Listener::local_addr).collect();
        for listener in listeners {
            let accepting = accept(net.clone(), listener, shared.clone(), tasks.spawner());
            tasks.spawner().spawn(accepting);
        }
        Ok(Self {
            since: net.now(),
            net,
            shared,
            tasks,
            addresses,
            drained: None,
        })
    }

    /// The addresses listened on, in the order given, with the real ports.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Serves until there is something to tell. Nothing is lost when the future is dropped.
    pub async fn progress(&mut self) -> Progress {
        poll_fn(|cx| self.poll_progress(cx)).await
    }

    fn poll_progress(&mut self, cx: &mut Context<'_>) -> Poll<Progress> {
        self.tasks.poll(cx);
        if let Some(drained) = &mut self.drained
            && !self.tasks.is_empty()
            && drained.as_mut().poll(cx).is_ready()
        {
            self.tasks.clear();
        }
        let mut events = self.shared.events.borrow_mut();
        if !events.is_empty() {
            let count = events.len().min(EVENTS_AT_ONCE);
            return Poll::Ready(Progress::Events(events.drain(..count).collect()));
        }
        drop(events);
        if self.drained.is_some() && self.tasks.is_empty() {
            return Poll::Ready(Progress::Stopped(self.statistics()));
        }
        Poll::Pending
    }

    /// Stops accepting, and gives connections `drain_timeout` to finish what they were sent.
    pub fn stop(&mut self, drain_timeout: Duration) {
        let deadline = self.net.now().after(drain_timeout);
        self.drained = Some(Box::pin(self.net.sleep_until(deadline)));
        self.shared.stopping.set(true);
        self.tasks.wake_all();
    }

    /// Counts since the start.
    pub fn statistics(&self) -> Statistics {
        let shared = &self.shared;
        Statistics {
            accepted: shared.accepted.get(),
            open: shared.open.get(),
            messages: shared.messages.get(),
            bytes_received: shared.bytes_received.get(),
            bytes_sent: shared.bytes_sent.get(),
            uptime: self.net.now().since(self.since),
        }
    }
}

/// Accepts connections and gives each a task, until the server is told to stop.
async fn accept<N: Net>(net: N, listener: N::Listener, shared: Rc<Shared>, spawner: Spawner) {
    let mut accepts = 0_u32;
    let mut pause = None;
    while let Some(accepted) = shared.unless_stopping(listener.accept()).await {
        match accepted {
            Ok(stream) => {
                pause = None;
                let connection = Connection::open(net.clone(), shared.clone(), &stream);
                spawner.spawn(connection.serve(stream));
                accepts = accepts.wrapping_add(1);
                if accepts.is_multiple_of(ACCEPTS_PER_TURN) {
                    yield_now().await;
                }
            }
            // The client has gone again while it was in the queue.
            Err(NetError::ConnectionAborted | NetError::ConnectionReset) => yield_now().await,
            Err(reason) => {
                let length = match pause {
                    None => {
                        let listen = listener.local_addr();
                        shared.tell(Event::AcceptFailed(AcceptFailed { listen, reason }));
                        FIRST_PAUSE
                    }
                    Some(last) => LONGEST_PAUSE.min(last * 2),
                };
                pause = Some(length);
                let sleep = net.sleep_until(net.now().after(length));
                if shared.unless_stopping(sleep).await.is_none() {
                    break;
                }
            }
        }
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoAddress => f.write_str("no address to listen on"),
            Self::Listen { address, reason } => write!(f, "can't listen on {address}: {reason}"),
        }
    }
}

impl std::error::Error for StartError {}

/// A line of a log.
impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Opened(Opened { id, local, remote }) => {
                write!(f, "#{id} {remote} -> {local} opened")
            }
            Self::Closed(closed) => write!(
                f,
                "#{} {} -> {} closed: {}, {} messages, {} bytes in, {} bytes out, {:.3} s",
                closed.id,
                closed.remote,
                closed.local,
                closed.reason,
                closed.messages,
                closed.bytes_received,
                closed.bytes_sent,
                closed.duration.as_secs_f64(),
            ),
            Self::AcceptFailed(AcceptFailed { listen, reason }) => {
                write!(
                    f,
                    "{listen}: can't accept connections, trying again: {reason}"
                )
            }
        }
    }
}

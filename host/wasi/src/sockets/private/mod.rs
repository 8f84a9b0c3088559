//! A run's own loopback: TCP sockets on 127.0.0.0/8 and `::1` that no rule grants, in memory.
//!
//! What the run binds there is reachable from the run alone, and nothing of it touches the machine's loopback.
//! Which addresses that is about is for the policy to say
//! ([`Policy::judge_private`](sockbox_policy::Policy::judge_private)).
//!
//! A private socket is one of wasmtime-wasi's, unbound and unconnected, whose place is taken here: it holds the
//! options that a component sets. So each counts as one of the run's sockets and as one file of this process. What
//! its connections hold is charged to the run's memory. Bytes and connections inside a run are neither metered
//! nor slowed down: no other process takes part in them.
//!
//! | file | content |
//! |---|---|
//! | `mod` | which addresses are in use, and what the run's private sockets are |
//! | `calls` | what the component's calls do with them |
//! | `pipe`, `streams` | a connection, and its streams |

mod calls;
mod pipe;
mod streams;

use crate::budget::Budget;
use pipe::Endpoint;
use std::collections::{HashMap, HashSet, VecDeque};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use wasmtime_wasi::async_trait;
use wasmtime_wasi::p2::Pollable;
use wasmtime_wasi::p2::bindings::sockets::network::ErrorCode;

/// The ports that are chosen where a component leaves the port open (RFC 6335 section 6).
const FIRST_PORT: u16 = 49_152;

/// How many connections wait to be accepted, unless the component sets another number: 128.
const BACKLOG: u64 = 128;

/// The most connections that wait to be accepted on one listener, whatever the component sets: 4,096, as on Linux.
const MOST_BACKLOG: u64 = 4096;

/// A run's private sockets.
pub(super) struct Loopback {
    memory: Arc<Budget>,
    /// By the number in the resource table.
    sockets: HashMap<u32, Socket>,
    /// What the component has set for sockets that may become private, by their number.
    backlogs: HashMap<u32, u64>,
    /// The addresses that can't be bound to.
    in_use: HashSet<SocketAddr>,
    listeners: HashMap<SocketAddr, Arc<Queue>>,
    /// The port that is tried next where it is left open.
    next_port: u16,
}

/// A private socket.
pub(super) struct Socket {
    pub(super) local: SocketAddr,
    /// Whether the socket keeps others from binding to `local`. An accepted one doesn't.
    holds_address: bool,
    pub(super) state: State,
}

/// States of a private socket: `Binding`, `Bound`, and then `Starting` and `Listening`, or `Connecting` and
/// `Connected`. An accepted socket is `Connected`.
pub(super) enum State {
    /// Bound to the address that was asked for; the component has not asked whether that is done.
    Binding {
        asked: SocketAddr,
    },
    Bound {
        asked: SocketAddr,
    },
    /// It listens; the component has not asked whether that is done.
    Starting(Arc<Queue>),
    Listening(Arc<Queue>),
    /// It is connected; the component has not asked whether that is done.
    Connecting(Peer),
    Connected(Peer),
}

#[derive(Clone)]
pub(super) struct Peer {
    remote: SocketAddr,
    endpoint: Arc<Endpoint>,
}

/// The connections that wait to be accepted on a listener.
pub(super) struct Queue(Mutex<Waiting>);

struct Waiting {
    backlog: u64,
    connections: VecDeque<Arrived>,
    wakers: Vec<Waker>,
}

/// A connection that waits to be accepted.
struct Arrived {
    from: SocketAddr,
    endpoint: Endpoint,
}

impl Loopback {
    pub(super) fn new(memory: &Arc<Budget>) -> Loopback {
        Loopback {
            memory: memory.clone(),
            sockets: HashMap::new(),
            backlogs: HashMap::new(),
            in_use: HashSet::new(),
            listeners: HashMap::new(),
            next_port: FIRST_PORT,
        }
    }

    /// The private socket with this number.
    pub(super) fn get(&self, rep: u32) -> Option<&Socket> {
        self.sockets.get(&rep)
    }

    /// Whether a private listener of the run is at this address.
    pub(super) fn listens(&self, address: SocketAddr) -> bool {
        self.listeners.contains_key(&address)
    }

    /// Bind the socket with this number. `avoided` tells which addresses are not chosen where others are left.
    ///
    /// # Errors
    /// [`ErrorCode::AddressInUse`].
    pub(super) fn bind(
        &mut self,
        rep: u32,
        asked: SocketAddr,
        avoided: impl Fn(SocketAddr) -> bool,
    ) -> Result<(), ErrorCode> {
        let local = match asked.port() {
            0 => self.choose(asked.ip(), avoided)?,
            _ if self.in_use.contains(&asked) => return Err(ErrorCode::AddressInUse),
            _ => asked,
        };
        self.in_use.insert(local);
        let state = State::Binding { asked };
        let socket = Socket {
            local,
            holds_address: true,
            state,
        };
        self.sockets.insert(rep, socket);
        Ok(())
    }

    /// A free port of this address.
    fn choose(
        &mut self,
        ip: IpAddr,
        avoided: impl Fn(SocketAddr) -> bool,
    ) -> Result<SocketAddr, ErrorCode> {
        let ports = (self.next_port..=u16::MAX).chain(FIRST_PORT..self.next_port);
        let mut free = ports
            .map(|port| SocketAddr::new(ip, port))
            .filter(|address| !self.in_use.contains(address));
        let first = free.clone().next();
        let chosen = free.find(|address| !avoided(*address)).or(first);
        let chosen = chosen.ok_or(ErrorCode::AddressInUse)?;
        self.next_port = chosen.port().checked_add(1).unwrap_or(FIRST_PORT);
        Ok(chosen)
    }

    /// Connect the socket with this number to a private listener.
    ///
    /// # Errors
    /// - [`ErrorCode::ConnectionRefused`]: no more connections may wait there.
    /// - [`ErrorCode::AddressInUse`]: no port is left for it.
    /// - [`ErrorCode::OutOfMemory`]: the run has too little memory left.
    pub(super) fn connect(&mut self, rep: u32, to: SocketAddr) -> Result<(), ErrorCode> {
        let queue = self.listeners.get(&to).cloned();
        let queue = queue.filter(|queue| queue.has_room());
        let queue = queue.ok_or(ErrorCode::ConnectionRefused)?;
        let local = match self.sockets.get(&rep) {
            Some(socket) => socket.local,
            None => {
                let ip = match to.ip() {
                    IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
                    IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
                };
                self.choose(ip, |_| false)?
            }
        };
        let connection = pipe::connection(&self.memory);
        let (endpoint, arriving) = connection.ok_or(ErrorCode::OutOfMemory)?;
        self.in_use.insert(local);
        let peer = Peer {
            remote: to,
            endpoint: Arc::new(endpoint),
        };
        let socket = Socket {
            local,
            holds_address: true,
            state: State::Connecting(peer),
        };
        self.sockets.insert(rep, socket);
        queue.push(Arrived {
            from: local,
            endpoint: arriving,
        });
        Ok(())
    }

    /// Let the socket with this number, which is bound, listen.
    pub(super) fn listen(&mut self, rep: u32) {
        let backlog = self.backlogs.get(&rep).copied().unwrap_or(BACKLOG);
        if let Some(socket) = self.sockets.get_mut(&rep) {
            let queue = Arc::new(Queue::new(backlog));
            self.listeners.insert(socket.local, queue.clone());
            socket.state = State::Starting(queue);
        }
    }

    /// Set how many connections wait to be accepted.
    pub(super) fn set_backlog(&mut self, rep: u32, backlog: u64) {
        self.backlogs.insert(rep, backlog);
        if let Some(State::Starting(queue) | State::Listening(queue)) =
            self.sockets.get(&rep).map(|socket| &socket.state)
        {
            queue.waiting().backlog = backlog.min(MOST_BACKLOG);
        }
    }

    /// The socket with this number is gone.
    pub(super) fn closed(&mut self, rep: u32) {
        self.backlogs.remove(&rep);
        let Some(socket) = self.sockets.remove(&rep) else {
            return;
        };
        if socket.holds_address {
            self.in_use.remove(&socket.local);
        }
        if let State::Starting(queue) | State::Listening(queue) = &socket.state {
            self.listeners.remove(&socket.local);
            queue.close();
        }
    }
}

impl Queue {
    fn new(backlog: u64) -> Queue {
        Queue(Mutex::new(Waiting {
            backlog: backlog.min(MOST_BACKLOG),
            connections: VecDeque::new(),
            wakers: Vec::new(),
        }))
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        // What it holds is valid at every moment, so a panic elsewhere spoils nothing.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn has_room(&self) -> bool {
        let waiting = self.waiting();
        (waiting.connections.len() as u64) < waiting.backlog
    }

    fn is_empty(&self) -> bool {
        self.waiting().connections.is_empty()
    }

    fn push(&self, arrived: Arrived) {
        let mut waiting = self.waiting();
        waiting.connections.push_back(arrived);
        let wakers = std::mem::take(&mut waiting.wakers);
        drop(waiting);
        wakers.into_iter().for_each(Waker::wake);
    }

    fn pop(&self) -> Option<Arrived> {
        self.waiting().connections.pop_front()
    }

    /// Nothing accepts them any more.
    fn close(&self) {
        let connections = std::mem::take(&mut self.waiting().connections);
        for arrived in connections {
            arrived.endpoint.reset();
        }
    }

    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut waiting = self.waiting();
        if !waiting.connections.is_empty() {
            return Poll::Ready(());
        }
        let too_many = pipe::remember(&mut waiting.wakers, cx.waker());
        drop(waiting);
        too_many.into_iter().for_each(Waker::wake);
        Poll::Pending
    }
}

/// What a component waits for on a private socket.
pub(super) enum Readiness {
    /// Nothing: it is ready.
    Now,
    /// A connection to be accepted.
    Arrival(Arc<Queue>),
}

#[async_trait]
impl Pollable for Readiness {
    async fn ready(&mut self) {
        if let Readiness::Arrival(queue) = self {
            std::future::poll_fn(|cx| queue.poll_ready(cx)).await;
        }
    }
}

impl Socket {
    pub(super) fn remote(&self) -> Result<SocketAddr, ErrorCode> {
        match &self.state {
            State::Connected(peer) => Ok(peer.remote),
            _ => Err(ErrorCode::InvalidState),
        }
    }

    pub(super) fn is_listening(&self) -> bool {
        matches!(self.state, State::Starting(_) | State::Listening(_))
    }

    /// Why it can't be bound, connected or made to listen once more.
    pub(super) fn refusal(&self) -> ErrorCode {
        match self.state {
            State::Binding { .. } | State::Starting(_) | State::Connecting(_) => {
                ErrorCode::ConcurrencyConflict
            }
            State::Bound { .. } | State::Listening(_) | State::Connected(_) => {
                ErrorCode::InvalidState
            }
        }
    }

    pub(super) fn readiness(&self) -> Readiness {
        match &self.state {
            State::Listening(queue) => Readiness::Arrival(queue.clone()),
            _ => Readiness::Now,
        }
    }
}

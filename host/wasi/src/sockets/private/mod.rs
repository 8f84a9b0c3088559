//! A run's private loopback: sockets on 127.0.0.0/8 and `::1` that no rule grants. Their connections and datagrams are in
//! memory. This file is about TCP, and `datagrams` about UDP.
//!
//! Only the run itself can connect to a socket that it binds there. These sockets do not use the machine's loopback.
//! The policy decides which sockets are private
//! ([`Policy::judge_private`](sockbox_policy::Policy::judge_private)).
//!
//! A private socket has an entry in [`Loopback`], and a socket of wasmtime-wasi, which stays unbound and unconnected.
//! That socket only holds the options that the component sets. Each private socket therefore counts as one of the
//! run's sockets and as one open file of this process. The buffers of its connections are charged to the run's memory.
//! The limits on bytes and connection rates do not apply, because no other process takes part.
//!
//! | file | content |
//! |---|---|
//! | `mod` | the private sockets and their states, and the addresses in use |
//! | `calls` | the component's calls on private sockets |
//! | `pipe`, `streams` | a connection, and its streams |
//! | `datagrams` | private UDP sockets, and the datagrams that wait to be received |
//! | `datagram_calls` | the component's calls on them |
//! | `ports` | the port that a component gets for port 0 |

mod calls;
mod datagram_calls;
mod datagrams;
mod pipe;
mod ports;
mod streams;

use crate::budget::Budget;
pub(super) use datagrams::{Datagrams, Inbox};
pub(super) use pipe::{Broken, Endpoint};
use ports::Ports;
use std::collections::{HashMap, HashSet, VecDeque};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::p2::Pollable;
use wasmtime_wasi::p2::bindings::sockets::network::ErrorCode;

/// How many connections can wait to be accepted on one listener, unless the component sets another number: 128.
const BACKLOG: u64 = 128;

/// The largest backlog that a component can set: 4,096, as on Linux.
const MOST_BACKLOG: u64 = 4096;

/// A run's private sockets. A socket's number is its number in the resource table.
pub(super) struct Loopback {
    memory: Arc<Budget>,
    /// The private sockets, by number.
    sockets: HashMap<u32, Socket>,
    /// The backlogs that the component has set, by the socket's number. The socket need not be private yet.
    backlogs: HashMap<u32, u64>,
    /// The addresses that private sockets hold.
    in_use: HashSet<SocketAddr>,
    listeners: HashMap<SocketAddr, Arc<Queue>>,
    ports: Ports,
}

/// A private socket.
pub(super) struct Socket {
    pub(super) local: SocketAddr,
    /// Whether no other private socket can bind to `local` while this one is open. False for an accepted socket.
    holds_address: bool,
    pub(super) state: State,
}

/// The state of a private socket: `Binding`, then `Bound`, then either `Starting` and `Listening`, or `Connecting` and
/// `Connected`. A socket that connects without a bind begins with `Connecting`. An accepted socket is `Connected`.
///
/// `Binding`, `Starting` and `Connecting` last until the component calls `finish-bind`, `finish-listen` or
/// `finish-connect`. The operation itself is already complete.
pub(super) enum State {
    /// `asked` is the address that the component gave. Its port may be 0.
    Binding {
        asked: SocketAddr,
    },
    Bound {
        asked: SocketAddr,
    },
    Starting(Arc<Queue>),
    Listening(Arc<Queue>),
    Connecting(Peer),
    Connected(Peer),
}

/// The other end of a connection: its address, and this end of the pipes to it.
#[derive(Clone)]
pub(super) struct Peer {
    remote: SocketAddr,
    endpoint: Arc<Endpoint>,
}

/// The connections that wait to be accepted on a listener.
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    /// Wakes the tasks that wait for a connection.
    arrivals: Notify,
}

struct Waiting {
    backlog: u64,
    connections: VecDeque<Arrived>,
    /// Whether the listener is closed.
    closed: bool,
}

/// A connection that waits to be accepted.
pub(super) struct Arrived {
    pub(super) from: SocketAddr,
    pub(super) endpoint: Endpoint,
    /// Whether the policy has allowed to accept it.
    is_allowed: bool,
}

impl Loopback {
    pub(super) fn new(memory: &Arc<Budget>) -> Loopback {
        Loopback {
            memory: memory.clone(),
            sockets: HashMap::new(),
            backlogs: HashMap::new(),
            in_use: HashSet::new(),
            listeners: HashMap::new(),
            ports: Ports::new(),
        }
    }

    /// The private socket with this number.
    pub(super) fn get(&self, rep: u32) -> Option<&Socket> {
        self.sockets.get(&rep)
    }

    /// Whether a private socket of the run listens on this address.
    pub(super) fn listens(&self, address: SocketAddr) -> bool {
        self.listeners.contains_key(&address)
    }

    /// Bind the socket with this number. For port 0, choose an address for which `avoided` returns false, if one is
    /// free, and otherwise any free one.
    ///
    /// # Errors
    /// [`ErrorCode::AddressInUse`]: another private socket holds the address, or for port 0 no port is free.
    pub(super) fn bind(
        &mut self,
        rep: u32,
        asked: SocketAddr,
        avoided: impl Fn(SocketAddr) -> bool,
    ) -> Result<(), ErrorCode> {
        let local = match asked.port() {
            0 => {
                let taken = |address: &SocketAddr| self.in_use.contains(address);
                self.ports.choose(asked.ip(), taken, avoided)?
            }
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

    /// Connect the socket with this number to a private listener.
    ///
    /// # Errors
    /// - [`ErrorCode::ConnectionRefused`]: no private socket listens on `to`, or its backlog is full.
    /// - [`ErrorCode::AddressInUse`]: the socket is not bound, and no port is free for it.
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
                let taken = |address: &SocketAddr| self.in_use.contains(address);
                self.ports.choose(ip, taken, |_| false)?
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
            is_allowed: false,
        });
        Ok(())
    }

    /// Make the socket with this number listen. The caller checks that it is bound.
    pub(super) fn listen(&mut self, rep: u32) {
        let backlog = self.backlogs.get(&rep).copied().unwrap_or(BACKLOG);
        if let Some(socket) = self.sockets.get_mut(&rep) {
            let queue = Arc::new(Queue::new(backlog));
            self.listeners.insert(socket.local, queue.clone());
            socket.state = State::Starting(queue);
        }
    }

    /// The queue of the socket with this number, if it listens.
    pub(super) fn queue(&self, rep: u32) -> Option<Arc<Queue>> {
        match &self.sockets.get(&rep)?.state {
            State::Starting(queue) | State::Listening(queue) => Some(queue.clone()),
            _ => None,
        }
    }

    /// This end of the connection of the socket with this number, if it is connected.
    pub(super) fn endpoint(&self, rep: u32) -> Option<Arc<Endpoint>> {
        match &self.sockets.get(&rep)?.state {
            State::Connecting(peer) | State::Connected(peer) => Some(peer.endpoint.clone()),
            _ => None,
        }
    }

    /// Set how many connections can wait to be accepted on the socket with this number.
    pub(super) fn set_backlog(&mut self, rep: u32, backlog: u64) {
        self.backlogs.insert(rep, backlog);
        if let Some(State::Starting(queue) | State::Listening(queue)) =
            self.sockets.get(&rep).map(|socket| &socket.state)
        {
            queue.waiting().backlog = backlog.min(MOST_BACKLOG);
        }
    }

    /// Forget the socket with this number, which the component has dropped. If it listens, reset the connections that
    /// wait to be accepted.
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
        let waiting = Waiting {
            backlog: backlog.min(MOST_BACKLOG),
            connections: VecDeque::new(),
            closed: false,
        };
        Queue {
            waiting: Mutex::new(waiting),
            arrivals: Notify::new(),
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        // The content is valid after every statement, so a panic in another thread leaves it usable.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn has_room(&self) -> bool {
        let waiting = self.waiting();
        (waiting.connections.len() as u64) < waiting.backlog
    }

    fn push(&self, arrived: Arrived) {
        self.waiting().connections.push_back(arrived);
        self.arrivals.notify_waiters();
    }

    fn pop(&self) -> Option<Arrived> {
        self.waiting().connections.pop_front()
    }

    /// Reset all connections, because the listener is closed.
    fn close(&self) {
        let mut waiting = self.waiting();
        waiting.closed = true;
        let connections = std::mem::take(&mut waiting.connections);
        drop(waiting);
        for arrived in connections {
            arrived.endpoint.reset();
        }
        self.arrivals.notify_waiters();
    }

    /// Whether the listener is closed.
    pub(super) fn is_closed(&self) -> bool {
        self.waiting().closed
    }

    /// Put a connection back that was not accepted after all.
    pub(super) fn put_back(&self, arrived: Arrived) {
        self.waiting().connections.push_front(arrived);
        self.arrivals.notify_waiters();
    }

    /// Wait until a connection waits to be accepted, or until the listener is closed.
    pub(super) async fn arrival(&self) {
        let is_ready = || {
            let waiting = self.waiting();
            !waiting.connections.is_empty() || waiting.closed
        };
        pipe::until(&self.arrivals, is_ready).await;
    }
}

/// The event that a pollable of a private socket waits for.
pub(super) enum Readiness {
    /// None: the socket is ready.
    Now,
    /// A connection that waits to be accepted.
    Arrival(Arc<Queue>),
}

#[async_trait]
impl Pollable for Readiness {
    async fn ready(&mut self) {
        if let Readiness::Arrival(queue) = self {
            queue.arrival().await;
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

    /// The error for a bind, connect or listen that is not possible in this state.
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

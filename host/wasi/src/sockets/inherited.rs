//! Sockets that listened before the component started, from systemd or an embedder.
//!
//! wasmtime-wasi has no way to adopt such a listener. So the listener waits here under its address.
//! When the component binds a socket to exactly that address, the listener takes the place of that
//! socket. Accepted connections are then [`Connection`]s of this crate. The component sees no
//! difference.

use super::connection::Connection;
use crate::authority::Authority;
use rustix::fd::{AsFd, BorrowedFd};
use socket2::SockRef;
use std::collections::{HashMap, VecDeque};
use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use wasmtime_wasi::async_trait;
use wasmtime_wasi::p2::Pollable;
use wasmtime_wasi::sockets::SocketAddrUse;

/// A run's inherited listeners.
#[derive(Default)]
pub(crate) struct Inherited {
    /// Listeners to which no socket has been bound yet, by address. An address may have several
    /// (SO_REUSEPORT).
    offered: HashMap<SocketAddr, VecDeque<TcpListener>>,
    /// Those that have taken the place of a socket, by its number in the resource table.
    taken: HashMap<u32, Listening>,
}

impl Inherited {
    /// Offer a listener to the component. Returns the address to bind to.
    ///
    /// # Errors
    /// It is not a listening TCP socket.
    pub(crate) fn offer(&mut self, listener: &std::net::TcpListener) -> io::Result<SocketAddr> {
        let address = listener.local_addr()?;
        self.offer_as(address, listener)?;
        Ok(address)
    }

    /// Offer a listener to the component for this address, which may differ from the listener's
    /// own.
    ///
    /// # Errors
    /// It is not a listening TCP socket.
    pub(crate) fn offer_as(
        &mut self,
        address: SocketAddr,
        listener: &std::net::TcpListener,
    ) -> io::Result<()> {
        let listener = listener.try_clone()?;
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        self.offered.entry(address).or_default().push_back(listener);
        Ok(())
    }

    /// Bind the socket with this number. Returns whether a listener was offered at the address.
    pub(super) fn take(&mut self, rep: u32, address: SocketAddr) -> bool {
        let Some(listener) = self.take_listener(address) else {
            return false;
        };
        self.taken.insert(rep, Listening::new(listener, address));
        true
    }

    /// Take a listener that was offered at the address. None: there is none.
    pub(super) fn take_listener(&mut self, address: SocketAddr) -> Option<TcpListener> {
        self.offered.get_mut(&address).and_then(VecDeque::pop_front)
    }

    /// The listener in the place of the socket with this number.
    pub(super) fn get(&self, rep: u32) -> Option<&Listening> {
        self.taken.get(&rep)
    }

    pub(super) fn close(&mut self, rep: u32) {
        self.taken.remove(&rep);
    }
}

/// A listener that has taken a socket's place.
#[derive(Clone)]
pub(super) struct Listening {
    pub(super) address: SocketAddr,
    listener: Arc<TcpListener>,
    queue: Arc<Mutex<Queue>>,
}

struct Queue {
    stage: Stage,
    /// A connection that was accepted early, to find out whether a client waits.
    first: Option<io::Result<Client>>,
}

/// A client that waits to be accepted.
struct Client {
    stream: TcpStream,
    remote: SocketAddr,
    /// Whether the policy has permitted it. It is judged once.
    is_permitted: bool,
}

/// The state of the socket as the component sees it: it does not know that the socket already
/// listens. Each stage leads to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    /// `start-bind` was called, and `finish-bind` was not.
    Binding,
    Bound,
    /// `start-listen` was called, and `finish-listen` was not.
    Starting,
    Listening,
}

impl Listening {
    fn new(listener: TcpListener, address: SocketAddr) -> Listening {
        Listening {
            address,
            listener: Arc::new(listener),
            queue: Arc::new(Mutex::new(Queue {
                stage: Stage::Binding,
                first: None,
            })),
        }
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }

    pub(super) fn stage(&self) -> Stage {
        self.queue().stage
    }

    /// Move from one stage to another. False: it is not at the first one.
    pub(super) fn go_on(&self, from: Stage, to: Stage) -> bool {
        let mut queue = self.queue();
        let goes_on = queue.stage == from;
        if goes_on {
            queue.stage = to;
        }
        goes_on
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        // What it holds is valid at every moment, so a panic elsewhere spoils nothing.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut queue = self.queue();
        if queue.first.is_none() {
            let accepted = ready!(self.listener.poll_accept(cx));
            queue.first = Some(accepted.map(|(stream, remote)| Client {
                stream,
                remote,
                is_permitted: false,
            }));
        }
        Poll::Ready(())
    }

    fn is_ready(&self) -> bool {
        self.poll_ready(&mut Context::from_waker(Waker::noop()))
            .is_ready()
    }

    /// Accept the next client that the policy permits; none if no client waits.
    pub(super) fn accept(&self, network: &Authority) -> Option<io::Result<Connection>> {
        let first = self.next_permitted(network)?;
        Some(first.and_then(|Client { stream, remote, .. }| {
            // A failure from here on concerns this connection, not the listener.
            let connection = Connection::new(stream, remote);
            connection.map_err(|_| ErrorKind::ConnectionAborted.into())
        }))
    }

    /// Whether [`Listening::accept`] would return something.
    pub(super) fn has_next(&self, network: &Authority) -> bool {
        let next = self.next_permitted(network);
        let has_next = next.is_some();
        self.queue().first = next;
        has_next
    }

    /// Take the first client that the policy permits, or the error of the system. Reset the clients before it.
    fn next_permitted(&self, network: &Authority) -> Option<io::Result<Client>> {
        while self.is_ready() {
            let mut client = match self.queue().first.take()? {
                Ok(client) => client,
                Err(error) => return Some(Err(error)),
            };
            if client.is_permitted
                || network.allows_address(client.remote, SocketAddrUse::TcpAccept)
            {
                client.is_permitted = true;
                return Some(Ok(client));
            }
            // Reset the connection, as wasmtime-wasi does, so that the peer learns that it was not
            // accepted.
            let _ = SockRef::from(&client.stream).set_linger(Some(Duration::ZERO));
        }
        None
    }
}

#[async_trait]
impl Pollable for Listening {
    async fn ready(&mut self) {
        // As in wasmtime-wasi, a socket that does not listen is always ready.
        if self.stage() == Stage::Listening {
            poll_fn(|cx| self.poll_ready(cx)).await;
        }
    }
}

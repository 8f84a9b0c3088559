//! Sockets that listened before the component was started: systemd's, or an embedder's.
//!
//! wasmtime-wasi can't be handed one. So such a listener waits here under its address; when the
//! component binds a socket to just that address, this socket takes the listener's place, and what it
//! accepts are connections of our own ([`Connection`]). The component sees no difference.

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
    /// Those that nobody has bound to yet, by address. There may be several on one (SO_REUSEPORT).
    offered: HashMap<SocketAddr, VecDeque<TcpListener>>,
    /// Those that have taken the place of a socket, by its number in the resource table.
    taken: HashMap<u32, Listening>,
}

impl Inherited {
    /// Let the component have a listener; gives the address to bind to.
    ///
    /// # Errors
    /// It isn't a TCP socket that listens.
    pub(crate) fn offer(&mut self, listener: &std::net::TcpListener) -> io::Result<SocketAddr> {
        let address = listener.local_addr()?;
        self.offer_as(address, listener)?;
        Ok(address)
    }

    /// Let the component have a listener when it binds to this address, wherever the listener is.
    ///
    /// # Errors
    /// It isn't a TCP socket that listens.
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

    /// Bind the socket with this number; tells whether a listener was waiting at the address.
    pub(super) fn take(&mut self, rep: u32, address: SocketAddr) -> bool {
        let Some(listener) = self.offered.get_mut(&address).and_then(VecDeque::pop_front) else {
            return false;
        };
        self.taken.insert(rep, Listening::new(listener, address));
        true
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
    /// What was accepted to see whether anybody is there.
    first: Option<io::Result<(TcpStream, SocketAddr)>>,
}

/// How far the component has got, which knows nothing of the socket's listening already. Each stage
/// leads to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    /// Bound, without having asked whether that is done.
    Binding,
    Bound,
    /// It listens, without having asked whether that is done.
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

    /// Go on from one stage to another; false if it isn't at the one.
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
            queue.first = Some(ready!(self.listener.poll_accept(cx)));
        }
        Poll::Ready(())
    }

    pub(super) fn is_ready(&self) -> bool {
        self.poll_ready(&mut Context::from_waker(Waker::noop()))
            .is_ready()
    }

    /// Accept whoever is there and may be accepted; none if nobody is.
    pub(super) fn accept(&self, network: &Authority) -> Option<io::Result<Connection>> {
        while self.is_ready() {
            let (stream, remote) = match self.queue().first.take()? {
                Ok(accepted) => accepted,
                Err(error) => return Some(Err(error)),
            };
            if network.allows_address(remote, SocketAddrUse::TcpAccept) {
                // Whatever fails now is about this connection, and not about the listener.
                let connection = Connection::new(stream, remote);
                return Some(connection.map_err(|_| ErrorKind::ConnectionAborted.into()));
            }
            // Reset, as wasmtime-wasi does: the peer is to know that nobody has heard it.
            let _ = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
        }
        None
    }
}

#[async_trait]
impl Pollable for Listening {
    async fn ready(&mut self) {
        // As with wasmtime-wasi's, there is nothing to wait for before it listens.
        if self.stage() == Stage::Listening {
            poll_fn(|cx| self.poll_ready(cx)).await;
        }
    }
}

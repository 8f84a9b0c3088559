//! The stream of the connections that a socket accepts.
//!
//! Where a limit prevents another connection, the clients wait in the queue of the system. As with WASI 0.2, one client
//! of each listener is accepted before, to find out whether a client waits.

use super::connection::Connection;
use super::socket::Socket;
use super::{View, Waiting, code, family_of, none_left, poll_event};
use crate::authority::{Account, Authority};
use crate::ctx::SockboxView;
use crate::sockets::count::Open;
use crate::sockets::guard::Guard;
use crate::sockets::private::Queue;
use crate::sockets::{accept_error, no_files_left};
use sockbox_policy::{Limit, Target};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpStream};
use wasmtime::component::{Destination, Resource, StreamProducer, StreamResult};
use wasmtime::{AsContextMut, StoreContextMut};
use wasmtime_wasi::p3::bindings::sockets::types::{ErrorCode, TcpSocket};
use wasmtime_wasi::sockets::SocketAddrUse;

type Client = (TcpStream, SocketAddr);

/// The connections that a socket accepts: its stream.
pub(super) struct Accepting {
    from: Source,
    /// Wakes the task when a limit may have room again.
    room: Option<Waiting<()>>,
}

enum Source {
    Machine(Machine),
    Private(Private),
}

/// A listener inside the run.
struct Private {
    local: SocketAddr,
    queue: Arc<Queue>,
    /// Wakes the task when a connection waits, or when the listener is closed.
    arrival: Option<Waiting<()>>,
}

/// A listener on the machine.
struct Machine {
    listener: Arc<TcpListener>,
    local: SocketAddr,
    authority: Arc<Authority>,
    account: Option<Arc<Account>>,
    accepting: Option<Waiting<io::Result<Client>>>,
    /// The client that comes next.
    first: Option<io::Result<Client>>,
}

impl Accepting {
    /// The clients of a listener at the address `local`, to which `account` belongs.
    pub(super) fn new(
        listener: Arc<TcpListener>,
        local: SocketAddr,
        authority: Arc<Authority>,
        account: Option<Arc<Account>>,
    ) -> Accepting {
        Accepting {
            from: Source::Machine(Machine {
                listener,
                local,
                authority,
                account,
                accepting: None,
                first: None,
            }),
            room: None,
        }
    }

    pub(super) fn private(local: SocketAddr, queue: Arc<Queue>) -> Accepting {
        Accepting {
            from: Source::Private(Private {
                local,
                queue,
                arrival: None,
            }),
            room: None,
        }
    }

    /// Wait until a client can be accepted.
    fn poll_client(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.from {
            Source::Private(private) => private.poll_client(cx),
            Source::Machine(machine) => machine.poll_client(cx),
        }
    }

    /// Whether no more clients come.
    fn has_ended(&self) -> bool {
        match &self.from {
            Source::Private(private) => private.queue.is_closed(),
            Source::Machine(_) => false,
        }
    }

    /// The limit that prevents another connection, if any.
    fn limit(&self, view: &mut View<'_>) -> Option<Limit> {
        view.0.make_room();
        let sockets = &mut view.0.ctx.sockets;
        match &self.from {
            Source::Machine(_) => sockets.keeps_from_accepting(),
            // The limits on rates do not apply inside the run.
            Source::Private(_) => sockets.are_used_up().then_some(Limit::Sockets),
        }
    }

    /// Wait until limits permit another connection.
    fn poll_room(&mut self, cx: &mut Context<'_>, view: &mut View<'_>) -> Poll<()> {
        while let Some(limit) = self.limit(view) {
            let sockets = &mut view.0.ctx.sockets;
            let authority = &view.0.ctx.authority;
            let room = self.room.get_or_insert_with(|| {
                authority.reached(limit, None);
                match limit {
                    Limit::AcceptsPerSecond => match sockets.wait_to_accept(Instant::now()) {
                        Some(wait) => Box::pin(tokio::time::sleep(wait)),
                        // The limit is 0 a second.
                        None => Box::pin(std::future::pending()),
                    },
                    _ => Box::pin(sockets.count.freed()),
                }
            });
            match room.as_mut().poll(cx) {
                Poll::Ready(()) => self.room = None,
                // Another thread may have closed a socket before the task was registered.
                Poll::Pending if self.limit(view).is_some() => return Poll::Pending,
                Poll::Pending => {}
            }
        }
        self.room = None;
        Poll::Ready(())
    }

    /// Accept the client that waits. None: there is none.
    fn accept(&mut self, view: &mut View<'_>) -> wasmtime::Result<Option<Socket>> {
        match &mut self.from {
            Source::Private(private) => view.accept_privately(private.local, &private.queue),
            Source::Machine(machine) => {
                let Some(client) = machine.first.take() else {
                    return Ok(None);
                };
                // There is room: that was asked before.
                let Some(open) = view.0.ctx.sockets.dialer.socket() else {
                    machine.first = Some(client);
                    return Ok(None);
                };
                Ok(Some(machine.socket(client, Arc::new(open), view)))
            }
        }
    }
}

impl Private {
    fn poll_client(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        poll_event(&mut self.arrival, cx, || {
            let queue = self.queue.clone();
            async move { queue.arrival().await }
        })
    }
}

impl Machine {
    fn poll_client(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.first.is_some() {
            return Poll::Ready(());
        }
        let client = ready!(poll_event(&mut self.accepting, cx, || {
            next_client(self.listener.clone(), self.authority.clone())
        }));
        self.first = Some(client);
        Poll::Ready(())
    }

    /// The socket of a client. If accepting failed, it is closed, and tells the reason.
    fn socket(&self, client: io::Result<Client>, open: Arc<Open>, view: &mut View<'_>) -> Socket {
        let family = family_of(self.local);
        match client {
            Ok((stream, remote)) => {
                let sockets = &mut view.0.ctx.sockets;
                sockets.take_accept();
                view.0.ctx.authority.has_room(Limit::AcceptsPerSecond);
                let meter = view.0.ctx.sockets.meter.clone();
                let recorded = &view.0.ctx.sockets.recorded;
                let traffic = self.account.clone().map(|account| recorded.open(account));
                let targets = [Target::Listen(self.local), Target::Accept(remote)];
                let guard = Guard::new(&view.0.ctx.authority, targets);
                let connection = Connection::new(stream, remote, open, meter, traffic);
                let connection = connection.guarded(guard);
                Socket::connected(family, connection)
            }
            Err(error) => {
                let reason = match code(accept_error(&error)) {
                    ErrorCode::Other(None) if no_files_left() => none_left(),
                    code => code,
                };
                Socket::failed(family, reason, open)
            }
        }
    }
}

/// The next client that the policy permits.
async fn next_client(listener: Arc<TcpListener>, authority: Arc<Authority>) -> io::Result<Client> {
    loop {
        let (stream, remote) = listener.accept().await?;
        if authority
            .ask_address(remote, SocketAddrUse::TcpAccept)
            .await
        {
            return Ok((stream, remote));
        }
        // Reset the connection, so that the peer learns that it was not accepted.
        let _ = socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO));
    }
}

impl<T: SockboxView> StreamProducer<T> for Accepting {
    type Item = Resource<TcpSocket>;
    type Buffer = Option<Self::Item>;

    fn poll_produce<'a>(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut store: StoreContextMut<'a, T>,
        mut destination: Destination<'a, Self::Item, Self::Buffer>,
        finish: bool,
    ) -> Poll<wasmtime::Result<StreamResult>> {
        let only_asks = destination.remaining(store.as_context_mut()) == Some(0);
        loop {
            let mut view = View(store.data_mut().sockbox());
            let mut ready = self.poll_client(cx);
            if ready.is_ready() && self.has_ended() {
                return Poll::Ready(Ok(StreamResult::Dropped));
            }
            if ready.is_ready() {
                ready = self.poll_room(cx, &mut view);
            }
            if ready.is_pending() {
                return match finish {
                    true => Poll::Ready(Ok(StreamResult::Cancelled)),
                    false => Poll::Pending,
                };
            }
            if only_asks {
                return Poll::Ready(Ok(StreamResult::Completed));
            }
            if let Some(socket) = self.accept(&mut view)? {
                let socket = view.0.table.push(socket)?;
                destination.set_buffer(Some(Resource::new_own(socket.rep())));
                return Poll::Ready(Ok(StreamResult::Completed));
            }
        }
    }
}

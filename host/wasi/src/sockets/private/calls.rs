//! The component's calls on private sockets.
//!
//! A function here returns None if the call is not about the private loopback. The caller then uses wasmtime-wasi.

use super::super::{Accepted, counted, may_be_bound, plain};
use super::streams::{Input, Output};
use super::{Arrived, Peer, Queue, Socket, State};
use crate::ctx::SockboxCtxView;
use sockbox_policy::{Limit, Target};
use std::net::{Shutdown, SocketAddr};
use std::sync::Arc;
use wasmtime::component::Resource;
use wasmtime_wasi::p2::bindings::sockets::network::{ErrorCode, IpAddressFamily};
use wasmtime_wasi::p2::bindings::sockets::tcp::HostTcpSocket;
use wasmtime_wasi::p2::bindings::sockets::tcp_create_socket::Host as _;
use wasmtime_wasi::p2::{
    DynInputStream, DynOutputStream, DynPollable, SocketResult, TcpSocket, subscribe,
};
use wasmtime_wasi::sockets::WasiSocketsCtxView;

type Done = Result<(), ErrorCode>;
type Streams = (Resource<DynInputStream>, Resource<DynOutputStream>);

impl SockboxCtxView<'_> {
    /// The entry of a private socket. None if the socket is not private.
    pub(in super::super) fn private(&self, socket: &Resource<TcpSocket>) -> Option<&Socket> {
        self.ctx.sockets.loopback.get(socket.rep())
    }

    /// Handle `start-bind`.
    pub(in super::super) fn bind_private(
        &mut self,
        socket: &Resource<TcpSocket>,
        address: SocketAddr,
    ) -> wasmtime::Result<Option<Done>> {
        if let Some(private) = self.private(socket) {
            return Ok(Some(Err(private.refusal())));
        }
        if !may_be_bound(&mut self.sockets(), socket.rep(), address)? {
            return Ok(None);
        }
        let authority = self.ctx.authority.clone();
        Ok(match authority.allows_private(Target::Bind(address)) {
            None => None,
            Some(false) => Some(Err(ErrorCode::AccessDenied)),
            Some(true) => {
                let avoided = |address| authority.may_reach_loopback(address);
                let loopback = &mut self.ctx.sockets.loopback;
                Some(loopback.bind(socket.rep(), address, avoided))
            }
        })
    }

    /// Handle `finish-bind`.
    pub(in super::super) fn finish_private_bind(
        &mut self,
        socket: &Resource<TcpSocket>,
    ) -> Option<Done> {
        let private = self.ctx.sockets.loopback.sockets.get_mut(&socket.rep())?;
        Some(match private.state {
            State::Binding { asked } => {
                private.state = State::Bound { asked };
                Ok(())
            }
            _ => Err(ErrorCode::NotInProgress),
        })
    }

    /// Handle `start-listen`.
    pub(in super::super) fn listen_privately(
        &mut self,
        socket: &Resource<TcpSocket>,
    ) -> Option<Done> {
        let private = self.private(socket)?;
        let State::Bound { .. } = private.state else {
            return Some(Err(private.refusal()));
        };
        let target = Target::Listen(private.local);
        Some(match self.ctx.authority.allows_private(target) {
            Some(true) => {
                self.ctx.sockets.loopback.listen(socket.rep());
                Ok(())
            }
            _ => Err(ErrorCode::AccessDenied),
        })
    }

    /// Handle `finish-listen`.
    pub(in super::super) fn finish_private_listen(
        &mut self,
        socket: &Resource<TcpSocket>,
    ) -> Option<Done> {
        let private = self.ctx.sockets.loopback.sockets.get_mut(&socket.rep())?;
        Some(match &private.state {
            State::Starting(queue) => {
                private.state = State::Listening(queue.clone());
                Ok(())
            }
            _ => Err(ErrorCode::NotInProgress),
        })
    }

    /// Handle `start-connect`, if the destination is a private listener or the socket is private.
    pub(in super::super) fn connect_privately(
        &mut self,
        socket: &Resource<TcpSocket>,
        to: SocketAddr,
    ) -> wasmtime::Result<Option<Done>> {
        let bound = match self.private(socket) {
            None => None,
            Some(Socket {
                local,
                state: State::Bound { asked },
                ..
            }) => Some((*local, *asked)),
            Some(other) => return Ok(Some(Err(other.refusal()))),
        };
        if let Some((local, asked)) = bound {
            if to.ip().is_unspecified() || to.port() == 0 || local.is_ipv4() != to.is_ipv4() {
                return Ok(Some(Err(ErrorCode::InvalidArgument)));
            }
            if !self.ctx.sockets.loopback.listens(to) {
                // A private socket reaches private listeners only. For another destination the component would need a
                // socket that is bound on the machine, so the denial names the bind.
                if self.ctx.authority.allows(Target::Connect(to)) {
                    self.ctx.authority.refuse(Target::Bind(asked));
                }
                return Ok(Some(Err(ErrorCode::AccessDenied)));
            }
        } else if !self.ctx.sockets.loopback.listens(to)
            || !may_be_bound(&mut self.sockets(), socket.rep(), to)?
        {
            return Ok(None);
        }
        let target = Target::Connect(to);
        if self.ctx.authority.allows_private(target.clone()) != Some(true) {
            return Ok(Some(Err(ErrorCode::AccessDenied)));
        }
        let connected = self.ctx.sockets.loopback.connect(socket.rep(), to);
        match connected {
            Err(ErrorCode::OutOfMemory) => {
                self.ctx.authority.reached(Limit::Memory, Some(target));
            }
            _ => self.ctx.authority.has_room(Limit::Memory),
        }
        Ok(Some(connected))
    }

    /// Handle `finish-connect`.
    pub(in super::super) fn finish_private_connect(
        &mut self,
        socket: &Resource<TcpSocket>,
    ) -> wasmtime::Result<Option<Result<Streams, ErrorCode>>> {
        let Some(private) = self.ctx.sockets.loopback.sockets.get_mut(&socket.rep()) else {
            return Ok(None);
        };
        let State::Connecting(peer) = &private.state else {
            return Ok(Some(Err(ErrorCode::NotInProgress)));
        };
        let peer = peer.clone();
        private.state = State::Connected(peer.clone());
        let streams = self.streams(socket, &peer)?;
        self.ctx.sockets.count.has_streams(socket.rep());
        Ok(Some(Ok(streams)))
    }

    /// Add the two streams of a connection to the resource table, as children of its socket.
    fn streams(&mut self, socket: &Resource<TcpSocket>, peer: &Peer) -> wasmtime::Result<Streams> {
        let input: DynInputStream = Box::new(Input(peer.endpoint.clone()));
        let output: DynOutputStream = Box::new(Output(peer.endpoint.clone()));
        let input = self.table.push_child(input, socket)?;
        Ok((input, self.table.push_child(output, socket)?))
    }

    /// Handle `accept` on a private listener.
    pub(in super::super) fn accept_privately(
        &mut self,
        listener: &Resource<TcpSocket>,
    ) -> wasmtime::Result<Option<Result<Accepted, ErrorCode>>> {
        let Some(private) = self.private(listener) else {
            return Ok(None);
        };
        let (local, queue) = match &private.state {
            State::Listening(queue) => (private.local, queue.clone()),
            _ => return Ok(Some(Err(ErrorCode::InvalidState))),
        };
        let Some(arrived) = self.next_arrived(&queue) else {
            return Ok(Some(Err(ErrorCode::WouldBlock)));
        };
        // This reports the limit on sockets, if it is reached.
        let made = counted(self, |state| state.like(listener, local))?;
        let socket = match made {
            Ok(socket) => socket,
            Err(code) => {
                queue.put_back(arrived);
                return Ok(Some(Err(code)));
            }
        };
        let peer = Peer {
            remote: arrived.from,
            endpoint: Arc::new(arrived.endpoint),
        };
        let (input, output) = self.streams(&socket, &peer)?;
        let accepted = Socket {
            local,
            holds_address: false,
            state: State::Connected(peer),
        };
        let sockets = &mut self.ctx.sockets;
        sockets.loopback.sockets.insert(socket.rep(), accepted);
        sockets.count.has_streams(socket.rep());
        Ok(Some(Ok((socket, input, output))))
    }

    /// Take the next connection that the policy allows. Reset those before it that the policy denies, as the machine's
    /// listeners do.
    pub(in super::super) fn next_arrived(&self, queue: &Queue) -> Option<Arrived> {
        while let Some(mut arrived) = queue.pop() {
            let target = Target::Accept(arrived.from);
            if arrived.is_allowed || self.ctx.authority.allows_private(target) == Some(true) {
                // If the run has no socket left for it, it waits again, and is not judged again.
                arrived.is_allowed = true;
                return Some(arrived);
            }
            arrived.endpoint.reset();
        }
        None
    }

    /// A new socket with the options of the listener at `local`. An accepted socket inherits them.
    fn like(
        &mut self,
        listener: &Resource<TcpSocket>,
        local: SocketAddr,
    ) -> SocketResult<Resource<TcpSocket>> {
        let family = match local {
            SocketAddr::V4(_) => IpAddressFamily::Ipv4,
            SocketAddr::V6(_) => IpAddressFamily::Ipv6,
        };
        let socket = self.sockets().create_tcp_socket(family)?;
        let copied = copy_options(&mut self.sockets(), listener.rep(), socket.rep());
        if let Err(error) = copied {
            self.table.delete(socket)?;
            return Err(error);
        }
        Ok(socket)
    }

    /// Handle `shutdown`.
    pub(in super::super) fn shut_privately(
        &self,
        socket: &Resource<TcpSocket>,
        how: Shutdown,
    ) -> Option<Done> {
        Some(match &self.private(socket)?.state {
            State::Connected(peer) => {
                peer.endpoint.shutdown(how);
                Ok(())
            }
            _ => Err(ErrorCode::InvalidState),
        })
    }

    /// Handle `subscribe`.
    pub(in super::super) fn subscribe_privately(
        &mut self,
        socket: &Resource<TcpSocket>,
    ) -> wasmtime::Result<Option<Resource<DynPollable>>> {
        let Some(readiness) = self.private(socket).map(Socket::readiness) else {
            return Ok(None);
        };
        let readiness = self.table.push_child(readiness, socket)?;
        Ok(Some(subscribe(self.table, readiness)?))
    }

    /// Handle `set-listen-backlog-size`, for a socket that is private or can become private.
    pub(in super::super) fn set_backlog(
        &mut self,
        socket: Resource<TcpSocket>,
        backlog: u64,
    ) -> wasmtime::Result<Done> {
        let rep = socket.rep();
        let done = match self.private(&socket) {
            Some(_) if backlog == 0 => Err(ErrorCode::InvalidArgument),
            Some(private) => match private.state {
                State::Connecting(_) | State::Connected(_) => Err(ErrorCode::InvalidState),
                _ => Ok(()),
            },
            None => plain(self.sockets().set_listen_backlog_size(socket, backlog))?,
        };
        if done.is_ok() {
            self.ctx.sockets.loopback.set_backlog(rep, backlog);
        }
        Ok(done)
    }
}

/// Copy the options of one socket to another. The options are those that a component can set.
fn copy_options(theirs: &mut WasiSocketsCtxView<'_>, from: u32, to: u32) -> SocketResult<()> {
    let (from, to) = (|| Resource::new_borrow(from), || Resource::new_borrow(to));
    let enabled = theirs.keep_alive_enabled(from())?;
    theirs.set_keep_alive_enabled(to(), enabled)?;
    let idle = theirs.keep_alive_idle_time(from())?;
    theirs.set_keep_alive_idle_time(to(), idle)?;
    let interval = theirs.keep_alive_interval(from())?;
    theirs.set_keep_alive_interval(to(), interval)?;
    let count = theirs.keep_alive_count(from())?;
    theirs.set_keep_alive_count(to(), count)?;
    let hops = theirs.hop_limit(from())?;
    theirs.set_hop_limit(to(), hops)?;
    let size = theirs.receive_buffer_size(from())?;
    theirs.set_receive_buffer_size(to(), size)?;
    let size = theirs.send_buffer_size(from())?;
    theirs.set_send_buffer_size(to(), size)
}

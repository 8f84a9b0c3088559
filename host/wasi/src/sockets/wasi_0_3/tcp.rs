//! The component's calls on TCP sockets.

use super::accepting::Accepting;
use super::connection::{Connection, Receiving, Sending};
use super::socket::{self, Socket, State};
use super::{HasSockets, View, none_left};
use crate::ctx::SockboxView;
use crate::sockets::fd_options as options;
use crate::sockets::guard::Guard;
use crate::sockets::no_files_left;
use rustix::fd::BorrowedFd;
use sockbox_policy::{Limit, Target, is_unbound};
use std::iter;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpSocket as System;
use wasmtime::component::{Access, Accessor, FutureReader, Resource, StreamReader};
use wasmtime_wasi::p2::bindings::sockets::network::ErrorCode as OldCode;
use wasmtime_wasi::p3::bindings::sockets::types::{
    Duration, ErrorCode, HostTcpSocket, HostTcpSocketWithStore, IpAddressFamily, IpSocketAddress,
    TcpSocket,
};
use wasmtime_wasi::p3::sockets::{SocketError, SocketResult};
use wasmtime_wasi::sockets::SocketAddrUse;

type Outcome = FutureReader<Result<(), ErrorCode>>;

impl View<'_> {
    /// The socket with this number.
    pub(super) fn socket(&mut self, rep: u32) -> wasmtime::Result<&mut Socket> {
        Ok(self.0.table.get_mut(&Resource::new_borrow(rep))?)
    }

    fn of(&mut self, socket: &Resource<TcpSocket>) -> SocketResult<&mut Socket> {
        self.socket(socket.rep()).map_err(SocketError::trap)
    }

    /// Get an option of the socket.
    fn get<V>(
        &mut self,
        socket: &Resource<TcpSocket>,
        option: impl FnOnce(BorrowedFd<'_>, bool) -> Result<V, OldCode>,
    ) -> SocketResult<V> {
        let socket = self.of(socket)?;
        let is_ipv4 = socket.family == IpAddressFamily::Ipv4;
        Ok(option(socket.fd()?, is_ipv4).map_err(super::code)?)
    }

    /// Let a socket that listened before the run take the place of the one with this number, if it is bound to that
    /// address.
    fn adopt(
        &mut self,
        rep: u32,
        address: SocketAddr,
    ) -> wasmtime::Result<Option<SocketResult<()>>> {
        let Some(listener) = self.0.ctx.inherited.take_listener(address) else {
            return Ok(None);
        };
        let allowed = [SocketAddrUse::TcpBind, SocketAddrUse::TcpListen]
            .into_iter()
            .all(|use_| self.0.ctx.authority.allows_address(address, use_));
        if !allowed {
            return Ok(Some(Err(ErrorCode::AccessDenied.into())));
        }
        self.socket(rep)?.state = State::Adopted(Arc::new(listener), address);
        Ok(Some(Ok(())))
    }

    /// Begin to connect: the system's socket, with which the caller does so. None: it is connected.
    fn begin_connect(
        &mut self,
        socket: &Resource<TcpSocket>,
        to: SocketAddr,
    ) -> SocketResult<Option<System>> {
        let rep = socket.rep();
        match &self.of(socket)?.state {
            State::Private(_) => {}
            _ => self.of(socket)?.may_connect(to)?,
        }
        if let Some(done) = self.connect_privately(rep, to).map_err(SocketError::trap)? {
            done?;
            return Ok(None);
        }
        if !self.0.ctx.sockets.dialer.may_connect(to) {
            return Err(none_left().into());
        }
        let socket = self.of(socket)?;
        match std::mem::replace(&mut socket.state, State::Connecting) {
            State::New(system) => Ok(Some(system)),
            other => {
                socket.state = other;
                Err(socket.refusal().into())
            }
        }
    }

    /// Note how connecting ended.
    fn end_connect(
        &mut self,
        socket: &Resource<TcpSocket>,
        to: SocketAddr,
        connected: Result<tokio::net::TcpStream, ErrorCode>,
    ) -> SocketResult<()> {
        match connected {
            Ok(stream) => {
                let account = self.0.ctx.authority.account(Target::Connect(to));
                let guard = Guard::new(&self.0.ctx.authority, [Target::Connect(to)]);
                let sockets = &self.0.ctx.sockets;
                let meter = sockets.meter.clone();
                let traffic = account.map(|account| sockets.recorded.open(account));
                let socket = self.of(socket)?;
                let open = socket.open.clone();
                let connection = Connection::new(stream, to, open, meter, traffic).guarded(guard);
                socket.state = State::connected(connection);
                Ok(())
            }
            Err(code) => {
                self.of(socket)?.state = State::Closed(code.clone());
                Err(code.into())
            }
        }
    }
}

impl<T: SockboxView> HostTcpSocketWithStore<T> for HasSockets {
    async fn connect(
        store: &Accessor<T, Self>,
        socket: Resource<TcpSocket>,
        remote_address: IpSocketAddress,
    ) -> SocketResult<()> {
        let to = SocketAddr::from(remote_address);
        let begun = store.with(|mut store| {
            let mut view = store.get();
            let system = view.begin_connect(&socket, to)?;
            SocketResult::Ok(system.map(|system| (system, view.0.ctx.authority.clone())))
        });
        let Some((system, authority)) = begun? else {
            return Ok(());
        };
        let connected = match authority.ask_address(to, SocketAddrUse::TcpConnect).await {
            true => system.connect(to).await.map_err(ErrorCode::from),
            false => Err(ErrorCode::AccessDenied),
        };
        store.with(|mut store| store.get().end_connect(&socket, to, connected))
    }

    async fn listen(
        mut store: Access<'_, T, Self>,
        socket: Resource<TcpSocket>,
    ) -> SocketResult<StreamReader<Resource<TcpSocket>>> {
        let accepting = store.get().listen(&socket).await?;
        StreamReader::new(&mut store, accepting).map_err(SocketError::trap)
    }

    fn send(
        mut store: Access<'_, T, Self>,
        socket: Resource<TcpSocket>,
        mut data: StreamReader<u8>,
    ) -> wasmtime::Result<Outcome> {
        let taken = store.get().socket(socket.rep())?.take_sending();
        match taken {
            Ok(connection) => {
                let (sending, outcome) = Sending::new(connection);
                data.pipe(&mut store, sending)?;
                FutureReader::new(&mut store, outcome)
            }
            Err(code) => {
                data.close(&mut store)?;
                failed(store, code)
            }
        }
    }

    fn receive(
        mut store: Access<'_, T, Self>,
        socket: Resource<TcpSocket>,
    ) -> wasmtime::Result<(StreamReader<u8>, Outcome)> {
        let taken = store.get().socket(socket.rep())?.take_receiving();
        match taken {
            Ok(connection) => {
                let (receiving, outcome) = Receiving::new(connection);
                let stream = StreamReader::new(&mut store, receiving)?;
                Ok((stream, FutureReader::new(&mut store, outcome)?))
            }
            Err(code) => {
                let nothing = StreamReader::new(&mut store, iter::empty())?;
                Ok((nothing, failed(store, code)?))
            }
        }
    }
}

/// The future of a stream that can't be had.
fn failed<T: SockboxView>(
    store: Access<'_, T, HasSockets>,
    code: ErrorCode,
) -> wasmtime::Result<Outcome> {
    FutureReader::new(store, async move { wasmtime::error::Ok(Err(code)) })
}

impl View<'_> {
    async fn listen(&mut self, socket: &Resource<TcpSocket>) -> SocketResult<Accepting> {
        let rep = socket.rep();
        let authority = self.0.ctx.authority.clone();
        if let Some(queue) = self.listen_privately(rep).map_err(SocketError::trap)? {
            let local = self.of(socket)?.local_address()?;
            return Ok(Accepting::private(local, queue?));
        }
        let this = self.of(socket)?;
        let (listener, local) = match &this.state {
            State::Adopted(listener, address) => (listener.clone(), *address),
            State::New(system) => {
                let asked = system.local_addr().map_err(ErrorCode::from)?;
                // As in wasmtime-wasi, what is asked of an unbound socket is the address that leaves all to the system.
                let target = match is_unbound(asked) {
                    true => this.unbound_address(),
                    false => asked,
                };
                if !authority
                    .ask_address(target, SocketAddrUse::TcpListen)
                    .await
                {
                    return Err(ErrorCode::AccessDenied.into());
                }
                let backlog = this.backlog();
                let State::New(system) = std::mem::replace(&mut this.state, State::Connecting)
                else {
                    return Err(ErrorCode::InvalidState.into());
                };
                if is_unbound(asked)
                    && let Err(code) = socket::bind(&system, this.unbound_address())
                {
                    this.state = State::New(system);
                    return Err(code.into());
                }
                let listener = match system.listen(backlog) {
                    Ok(listener) => Arc::new(listener),
                    Err(error) => {
                        let code = ErrorCode::from(error);
                        this.state = State::Closed(code.clone());
                        return Err(code.into());
                    }
                };
                let local = listener.local_addr().map_err(ErrorCode::from)?;
                (listener, local)
            }
            _ => return Err(this.refusal().into()),
        };
        this.state = State::Listening(listener.clone(), local);
        let account = authority.account(Target::Listen(local));
        Ok(Accepting::new(listener, local, authority, account))
    }
}

impl HostTcpSocket for View<'_> {
    async fn bind(
        &mut self,
        socket: Resource<TcpSocket>,
        local_address: IpSocketAddress,
    ) -> SocketResult<()> {
        let (rep, address) = (socket.rep(), SocketAddr::from(local_address));
        self.of(&socket)?.may_bind(address)?;
        if let Some(adopted) = self.adopt(rep, address).map_err(SocketError::trap)? {
            return adopted;
        }
        if let Some(done) = self
            .bind_privately(rep, address)
            .map_err(SocketError::trap)?
        {
            return Ok(done?);
        }
        let asked = self
            .0
            .ctx
            .authority
            .ask_address(address, SocketAddrUse::TcpBind);
        if !asked.await {
            return Err(ErrorCode::AccessDenied.into());
        }
        match self.of(&socket)?.as_new() {
            Some((system, _)) => Ok(socket::bind(system, address)?),
            None => Err(ErrorCode::InvalidState.into()),
        }
    }

    fn create(&mut self, address_family: IpAddressFamily) -> SocketResult<Resource<TcpSocket>> {
        self.0.make_room();
        let Some(open) = self.0.ctx.sockets.dialer.socket() else {
            self.0.ctx.authority.reached(Limit::Sockets, None);
            return Err(none_left().into());
        };
        let made =
            Socket::new(address_family, open).map_err(|error| match ErrorCode::from(error) {
                ErrorCode::Other(None) if no_files_left() => none_left(),
                code => code,
            })?;
        let made = self.0.table.push(made).map_err(SocketError::trap)?;
        Ok(Resource::new_own(made.rep()))
    }

    fn get_local_address(&mut self, socket: Resource<TcpSocket>) -> SocketResult<IpSocketAddress> {
        Ok(self.of(&socket)?.local_address()?.into())
    }

    fn get_remote_address(&mut self, socket: Resource<TcpSocket>) -> SocketResult<IpSocketAddress> {
        Ok(self.of(&socket)?.remote_address()?.into())
    }

    fn get_is_listening(&mut self, socket: Resource<TcpSocket>) -> wasmtime::Result<bool> {
        Ok(self.socket(socket.rep())?.is_listening())
    }

    fn get_address_family(
        &mut self,
        socket: Resource<TcpSocket>,
    ) -> wasmtime::Result<IpAddressFamily> {
        Ok(self.socket(socket.rep())?.family)
    }

    fn set_listen_backlog_size(
        &mut self,
        socket: Resource<TcpSocket>,
        value: u64,
    ) -> SocketResult<()> {
        let this = self.of(&socket)?;
        this.set_backlog(value)?;
        if matches!(this.state, State::Private(_)) {
            let loopback = &mut self.0.ctx.sockets.loopback;
            loopback.set_backlog(socket.rep(), value);
        }
        Ok(())
    }

    fn get_keep_alive_enabled(&mut self, socket: Resource<TcpSocket>) -> SocketResult<bool> {
        self.get(&socket, |fd, _| options::keep_alive_enabled(fd))
    }

    fn set_keep_alive_enabled(
        &mut self,
        socket: Resource<TcpSocket>,
        value: bool,
    ) -> SocketResult<()> {
        self.get(&socket, |fd, _| options::set_keep_alive_enabled(fd, value))
    }

    fn get_keep_alive_idle_time(&mut self, socket: Resource<TcpSocket>) -> SocketResult<Duration> {
        self.get(&socket, |fd, _| options::keep_alive_idle_time(fd))
    }

    fn set_keep_alive_idle_time(
        &mut self,
        socket: Resource<TcpSocket>,
        value: Duration,
    ) -> SocketResult<()> {
        self.get(&socket, |fd, _| {
            options::set_keep_alive_idle_time(fd, value)
        })
    }

    fn get_keep_alive_interval(&mut self, socket: Resource<TcpSocket>) -> SocketResult<Duration> {
        self.get(&socket, |fd, _| options::keep_alive_interval(fd))
    }

    fn set_keep_alive_interval(
        &mut self,
        socket: Resource<TcpSocket>,
        value: Duration,
    ) -> SocketResult<()> {
        self.get(&socket, |fd, _| options::set_keep_alive_interval(fd, value))
    }

    fn get_keep_alive_count(&mut self, socket: Resource<TcpSocket>) -> SocketResult<u32> {
        self.get(&socket, |fd, _| options::keep_alive_count(fd))
    }

    fn set_keep_alive_count(
        &mut self,
        socket: Resource<TcpSocket>,
        value: u32,
    ) -> SocketResult<()> {
        self.get(&socket, |fd, _| options::set_keep_alive_count(fd, value))
    }

    fn get_hop_limit(&mut self, socket: Resource<TcpSocket>) -> SocketResult<u8> {
        self.get(&socket, options::hop_limit)
    }

    fn set_hop_limit(&mut self, socket: Resource<TcpSocket>, value: u8) -> SocketResult<()> {
        self.get(&socket, |fd, is_ipv4| {
            options::set_hop_limit(fd, is_ipv4, value)
        })
    }

    fn get_receive_buffer_size(&mut self, socket: Resource<TcpSocket>) -> SocketResult<u64> {
        self.get(&socket, |fd, _| options::receive_buffer_size(fd))
    }

    fn set_receive_buffer_size(
        &mut self,
        socket: Resource<TcpSocket>,
        value: u64,
    ) -> SocketResult<()> {
        self.get(&socket, |fd, _| options::set_receive_buffer_size(fd, value))
    }

    fn get_send_buffer_size(&mut self, socket: Resource<TcpSocket>) -> SocketResult<u64> {
        self.get(&socket, |fd, _| options::send_buffer_size(fd))
    }

    fn set_send_buffer_size(
        &mut self,
        socket: Resource<TcpSocket>,
        value: u64,
    ) -> SocketResult<()> {
        self.get(&socket, |fd, _| options::set_send_buffer_size(fd, value))
    }

    fn drop(&mut self, socket: Resource<TcpSocket>) -> wasmtime::Result<()> {
        let rep = socket.rep();
        self.0.table.delete(Resource::<Socket>::new_own(rep))?;
        self.0.ctx.sockets.loopback.closed(rep);
        Ok(())
    }
}

//! What sockbox adds to wasmtime-wasi's sockets and streams: a count of the sockets that a run
//! holds and of the bytes that go through them, bounds on both and on how fast they may be used up, a
//! plain word when there are none left, streams that can be dropped without waiting, and listeners that
//! were there before the run.
//!
//! Only these few functions are replaced; each hands over to wasmtime-wasi's own.

mod addresses;
mod connecting;
mod connection;
pub(crate) mod count;
mod datagrams;
mod inherited;
mod meter;
mod options;
mod ours;
mod rate;
mod udp;
pub(crate) mod wasi_0_3;

#[cfg(test)]
mod calls;
#[cfg(test)]
mod tests;

pub(crate) use inherited::Inherited;

use crate::limits::{Limit, Limits};
use crate::network::Network;
use crate::policy::Target;
use crate::state::State;
use crate::traffic::Account;
use addresses::{Addresses, Ends};
use connection::Connection;
use count::Count;
use inherited::{Listening, Stage};
use meter::{Meter, Unsent};
use ours::Ours;
use rate::Bucket;
use rustix::io::Errno;
use std::collections::HashMap;
use std::future::Future;
use std::io::{self, ErrorKind};
use std::mem;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Instant;
use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, LinkerInstance, Resource, ResourceType};
use wasmtime_wasi::p2::bindings::sockets::network::{ErrorCode, IpAddressFamily, IpSocketAddress};
use wasmtime_wasi::p2::bindings::sockets::tcp::{HostTcpSocket, ShutdownType};
use wasmtime_wasi::p2::bindings::sockets::tcp_create_socket::Host as _;
use wasmtime_wasi::p2::pipe::{ClosedInputStream, ClosedOutputStream};
use wasmtime_wasi::p2::{
    DynInputStream, DynOutputStream, Network as NetworkHandle, Pollable, SocketResult, TcpSocket,
    subscribe,
};
use wasmtime_wasi::sockets::{SocketAddrUse, WasiSocketsCtxView, WasiSocketsView};

/// A run's sockets: how many are open, and how many may be; and what goes through them.
pub(crate) struct Sockets {
    pub(crate) count: Count,
    limit: usize,
    connects: Option<Bucket>,
    accepts: Option<Bucket>,
    meter: Arc<Meter>,
    /// Where sockets are connecting to, by their number, where anybody wants to know.
    connecting: HashMap<u32, SocketAddr>,
    /// The accounts of what sockets that listen accept, by their number.
    accepting: HashMap<u32, Arc<Account>>,
    addresses: Addresses,
    peers: udp::Peers,
    /// What was written to sockets and waits for bandwidth, by their number, where there is a bandwidth.
    unsent: HashMap<u32, Unsent>,
}

impl Sockets {
    pub(crate) fn new(limits: &Limits, network: &Arc<Network>) -> Sockets {
        let bucket = |rate: Option<u32>| Some(Bucket::of_events(rate?, Instant::now()));
        Sockets {
            count: Count::new(),
            limit: limits.sockets,
            connects: bucket(limits.connects_per_second),
            accepts: bucket(limits.accepts_per_second),
            meter: Arc::new(Meter::new(limits, network)),
            connecting: HashMap::new(),
            accepting: HashMap::new(),
            addresses: Addresses::default(),
            peers: udp::Peers::default(),
            unsent: HashMap::new(),
        }
    }

    fn are_used_up(&self) -> bool {
        self.open() >= self.limit
    }

    /// What keeps another connection from being accepted.
    fn keeps_from_accepting(&mut self) -> Option<Limit> {
        if self.are_used_up() {
            return Some(Limit::Sockets);
        }
        let accepts = self.accepts.as_mut()?;
        (accepts.available(Instant::now()) == 0).then_some(Limit::AcceptsPerSecond)
    }

    /// How many are open: those that listen, those of connections, and those that wait for either.
    pub(crate) fn open(&self) -> usize {
        self.count.open()
    }
}

type Accepted = (
    Resource<TcpSocket>,
    Resource<DynInputStream>,
    Resource<DynOutputStream>,
);

/// Replace what is ours in a linker that has all of WASI already.
pub(crate) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    let mut create = linker.instance("wasi:sockets/tcp-create-socket@0.2.12")?;
    create.func_wrap(
        "create-tcp-socket",
        |mut store: StoreContextMut<'_, State>, (family,): (IpAddressFamily,)| {
            let state = store.data_mut();
            Ok((counted(state, |state| {
                state.noted(|sockets| sockets.create_tcp_socket(family))
            })?,))
        },
    )?;

    udp::add_to_linker(linker)?;
    let mut tcp = linker.instance("wasi:sockets/tcp@0.2.12")?;
    options::add_to_linker(&mut tcp)?;
    connecting::add_to_linker(&mut tcp)?;
    add_listening(&mut tcp)?;
    tcp.func_wrap(
        "[method]tcp-socket.local-address",
        |mut store: StoreContextMut<'_, State>, (this,): (Resource<TcpSocket>,)| {
            let state = store.data_mut();
            let address = match state.ours(&this) {
                Some(ours) => Ok(ours.local_address().into()),
                None => state.local_address(this)?,
            };
            Ok((address,))
        },
    )?;
    tcp.func_wrap(
        "[method]tcp-socket.remote-address",
        |mut store: StoreContextMut<'_, State>, (this,): (Resource<TcpSocket>,)| {
            let state = store.data_mut();
            let address = match connection(state, &this) {
                Some(connection) => Ok(connection.remote.into()),
                None => state.remote_address(this)?,
            };
            Ok((address,))
        },
    )?;
    tcp.func_wrap_async(
        "[method]tcp-socket.shutdown",
        |mut store: StoreContextMut<'_, State>,
         (this, how): (Resource<TcpSocket>, ShutdownType)|
         -> Box<dyn Future<Output = _> + Send + '_> {
            Box::new(async move {
                let state = store.data_mut();
                // The end comes behind all that was written.
                if let Some(unsent) = state.tcp.unsent.get(&this.rep())
                    && how != ShutdownType::Receive
                {
                    unsent.gone().await;
                }
                let done = match connection(state, &this) {
                    Some(connection) => {
                        connection.shutdown(how.into());
                        Ok(())
                    }
                    None => plain(state.sockets().shutdown(this, how))?,
                };
                Ok((done,))
            })
        },
    )?;
    tcp.resource(
        "tcp-socket",
        ResourceType::host::<TcpSocket>(),
        |mut store: StoreContextMut<'_, State>, rep| {
            let state = store.data_mut();
            state.inherited.close(rep);
            let ours = Resource::<Connection>::new_own(rep);
            if state.table.get(&ours).is_ok() {
                state.table.delete(ours)?;
            } else {
                HostTcpSocket::drop(&mut state.sockets(), Resource::new_own(rep))?;
            }
            state.tcp.connecting.remove(&rep);
            state.tcp.accepting.remove(&rep);
            state.tcp.unsent.remove(&rep);
            state.tcp.addresses.closed(rep);
            state.tcp.count.dropped(rep);
            Ok(())
        },
    )?;

    let mut streams = linker.instance("wasi:io/streams@0.2.12")?;
    streams.resource_async(
        "output-stream",
        ResourceType::host::<DynOutputStream>(),
        |mut store: StoreContextMut<'_, State>, rep| -> Box<dyn Future<Output = _> + Send + '_> {
            Box::new(async move {
                let state = store.data_mut();
                let stream = Resource::<DynOutputStream>::new_own(rep);
                let mut stream = state.table.delete(stream)?;
                if !state.dropping_breaks_off {
                    stream.cancel().await;
                }
                Ok(())
            })
        },
    )
}

/// What a listening socket does, which may be an inherited one.
fn add_listening(tcp: &mut LinkerInstance<'_, State>) -> wasmtime::Result<()> {
    tcp.func_wrap_async(
        "[method]tcp-socket.start-bind",
        |mut store: StoreContextMut<'_, State>,
         (this, network, address): (
            Resource<TcpSocket>,
            Resource<NetworkHandle>,
            IpSocketAddress,
        )|
         -> Box<dyn Future<Output = _> + Send + '_> {
            Box::new(async move {
                let state = store.data_mut();
                let bound = match state.inherit(&this, address.into())? {
                    Some(bound) => bound,
                    None => plain(state.sockets().start_bind(this, network, address).await)?,
                };
                Ok((bound,))
            })
        },
    )?;
    tcp.func_wrap(
        "[method]tcp-socket.finish-bind",
        |mut store: StoreContextMut<'_, State>, (this,): (Resource<TcpSocket>,)| {
            let state = store.data_mut();
            Ok((match state.ours(&this) {
                Some(ours) => ours.go_on(Stage::Binding, Stage::Bound),
                None => plain(state.sockets().finish_bind(this))?,
            },))
        },
    )?;
    tcp.func_wrap_async(
        "[method]tcp-socket.start-listen",
        |mut store: StoreContextMut<'_, State>,
         (this,): (Resource<TcpSocket>,)|
         -> Box<dyn Future<Output = _> + Send + '_> {
            Box::new(async move {
                let state = store.data_mut();
                Ok((match state.ours(&this) {
                    Some(ours) => ours.go_on(Stage::Bound, Stage::Starting),
                    None => plain(state.sockets().start_listen(this).await)?,
                },))
            })
        },
    )?;
    tcp.func_wrap(
        "[method]tcp-socket.finish-listen",
        |mut store: StoreContextMut<'_, State>, (this,): (Resource<TcpSocket>,)| {
            let state = store.data_mut();
            Ok((match state.ours(&this) {
                Some(ours) => ours.go_on(Stage::Starting, Stage::Listening),
                None => plain(state.sockets().finish_listen(this))?,
            },))
        },
    )?;
    tcp.func_wrap(
        "[method]tcp-socket.subscribe",
        |mut store: StoreContextMut<'_, State>, (this,): (Resource<TcpSocket>,)| {
            let state = store.data_mut();
            let pollable = match state.ours(&this) {
                Some(Ours::Listening(listening)) => {
                    let listening = listening.clone();
                    let listening = state.table.push_child(listening, &this)?;
                    subscribe(&mut state.table, listening)?
                }
                Some(Ours::Connection(_)) => {
                    let connection = Resource::<Connection>::new_borrow(this.rep());
                    subscribe(&mut state.table, connection)?
                }
                None => state.sockets().subscribe(this)?,
            };
            Ok((pollable,))
        },
    )?;
    tcp.func_wrap(
        "[method]tcp-socket.accept",
        |mut store: StoreContextMut<'_, State>, (this,): (Resource<TcpSocket>,)| {
            let state = store.data_mut();
            let rep = this.rep();
            let listening = match state.ours(&this) {
                Some(Ours::Listening(listening)) if listening.stage() >= Stage::Starting => {
                    Some(listening.clone())
                }
                Some(_) => return Ok((Err(ErrorCode::InvalidState),)),
                None => None,
            };
            let limit = state.tcp.keeps_from_accepting();
            let accepted: Result<Accepted, ErrorCode> = if let Some(limit) = limit {
                let somebody_waits = match &listening {
                    Some(listening) => listening.is_ready(),
                    None => is_ready(state.table.get_mut(&this)?),
                };
                Err(match somebody_waits {
                    true => {
                        state.network.reached(limit, None);
                        ErrorCode::NewSocketLimit
                    }
                    false => ErrorCode::WouldBlock,
                })
            } else {
                counted(state, |state| match &listening {
                    Some(listening) => accept(state, listening),
                    None => state.sockets().accept(this),
                })?
            };
            if let Ok((socket, input, output)) = &accepted {
                state.tcp.count.has_streams(socket.rep());
                if listening.is_none() {
                    state.remember(rep, socket)?;
                }
                state.accepted(rep, socket.rep(), input, output)?;
            }
            Ok((accepted,))
        },
    )
}

impl State {
    /// Remember the ends of a connection that was accepted by the socket with this number.
    fn remember(&mut self, rep: u32, socket: &Resource<TcpSocket>) -> wasmtime::Result<()> {
        if let Some(remote) = self.tcp.addresses.let_in_by(rep) {
            let borrowed = Resource::new_borrow(socket.rep());
            let local = plain(self.sockets().local_address(borrowed))?;
            let local = local.ok().map(SocketAddr::from);
            let ends = Ends { local, remote };
            self.tcp.addresses.accepted(socket.rep(), ends);
        }
        Ok(())
    }

    /// The local address of a socket of wasmtime-wasi's.
    fn local_address(
        &mut self,
        socket: Resource<TcpSocket>,
    ) -> wasmtime::Result<Result<IpSocketAddress, ErrorCode>> {
        match self.tcp.addresses.ends(socket.rep()) {
            Some(Ends {
                local: Some(local), ..
            }) => Ok(Ok(local.into())),
            _ => plain(self.sockets().local_address(socket)),
        }
    }

    /// The address of the peer of a socket of wasmtime-wasi's: for as long as there is the socket, even if
    /// the peer has reset the connection.
    fn remote_address(
        &mut self,
        socket: Resource<TcpSocket>,
    ) -> wasmtime::Result<Result<IpSocketAddress, ErrorCode>> {
        let rep = socket.rep();
        if let Some(ends) = self.tcp.addresses.ends(rep) {
            return Ok(Ok(ends.remote.into()));
        }
        let known = plain(self.sockets().remote_address(socket))?;
        match (known, self.tcp.addresses.connecting(rep)) {
            // Before it is connected, and once that has failed, it has no address of its own either.
            (Err(_), Some(remote)) if self.has_local_address(rep)? => Ok(Ok(remote.into())),
            (known, _) => Ok(known),
        }
    }

    fn has_local_address(&mut self, rep: u32) -> wasmtime::Result<bool> {
        let local = self.sockets().local_address(Resource::new_borrow(rep));
        Ok(plain(local)?.is_ok())
    }

    /// Count a connection that was accepted by the socket with this number, and watch it.
    fn accepted(
        &mut self,
        rep: u32,
        socket: u32,
        input: &Resource<DynInputStream>,
        output: &Resource<DynOutputStream>,
    ) -> wasmtime::Result<()> {
        if let Some(accepts) = &mut self.tcp.accepts {
            accepts.take(1);
            self.network.has_room(Limit::AcceptsPerSecond);
        }
        let account = self.account_of_listener(rep)?;
        self.meter(socket, account, input, output)?;
        // One that is slowed down isn't ready when its waker is woken, and doesn't keep it.
        if !self.tcp.meter.is_slow() {
            self.readiness.watch(&mut self.table, input)?;
        }
        Ok(())
    }

    /// The account of what the socket with this number accepts, where anybody wants to know.
    fn account_of_listener(&mut self, rep: u32) -> wasmtime::Result<Option<Arc<Account>>> {
        if !self.network.keeps_accounts() {
            return Ok(None);
        }
        if let Some(account) = self.tcp.accepting.get(&rep) {
            return Ok(Some(account.clone()));
        }
        let address = match self.inherited.get(rep) {
            Some(listening) => listening.address,
            None => match plain(self.sockets().local_address(Resource::new_borrow(rep)))? {
                Ok(address) => address.into(),
                Err(_) => return Ok(None),
            },
        };
        let account = self.network.account(Target::Listen(address));
        if let Some(account) = &account {
            self.tcp.accepting.insert(rep, account.clone());
        }
        Ok(account)
    }

    /// Put a meter around the streams of a new connection, whose socket has this number, if there is
    /// anything to be counted.
    fn meter(
        &mut self,
        socket: u32,
        account: Option<Arc<Account>>,
        input: &Resource<DynInputStream>,
        output: &Resource<DynOutputStream>,
    ) -> wasmtime::Result<()> {
        if account.is_none() && !self.tcp.meter.is_bound() {
            return Ok(());
        }
        let place = self.table.get_mut(input)?;
        let inner_input = mem::replace(place, Box::new(ClosedInputStream));
        let place = self.table.get_mut(output)?;
        let inner_output = mem::replace(place, Box::new(ClosedOutputStream));
        let meter = &self.tcp.meter;
        let (outer_input, outer_output, unsent) = meter.around(account, inner_input, inner_output);
        if meter.is_slow() {
            self.tcp.unsent.insert(socket, unsent);
        }
        *self.table.get_mut(input)? = outer_input;
        *self.table.get_mut(output)? = outer_output;
        Ok(())
    }

    /// Whether one more socket may be had.
    fn has_socket_left(&self) -> bool {
        let left = !self.tcp.are_used_up();
        if !left {
            self.network.reached(Limit::Sockets, None);
        }
        left
    }

    /// Let an inherited listener take the place of a socket that is to be bound, if there is one at
    /// the address. None leaves the answer to wasmtime-wasi.
    fn inherit(
        &mut self,
        socket: &Resource<TcpSocket>,
        address: SocketAddr,
    ) -> wasmtime::Result<Option<Result<(), ErrorCode>>> {
        if let Some(ours) = self.ours(socket) {
            return Ok(Some(Err(ours.refusal())));
        }
        let rep = socket.rep();
        if !may_be_bound(&mut self.sockets(), rep, address)? || !self.inherited.take(rep, address) {
            return Ok(None);
        }
        let allowed = [SocketAddrUse::TcpBind, SocketAddrUse::TcpListen]
            .into_iter()
            .all(|use_| self.network.allows_address(address, use_));
        Ok(Some(match allowed {
            true => Ok(()),
            false => {
                self.inherited.close(rep);
                Err(ErrorCode::AccessDenied)
            }
        }))
    }
}

/// Whether a socket of wasmtime-wasi's could be bound to an address of this kind.
fn may_be_bound(
    theirs: &mut WasiSocketsCtxView<'_>,
    rep: u32,
    address: SocketAddr,
) -> wasmtime::Result<bool> {
    let socket = || Resource::new_borrow(rep);
    let is_ipv4 = theirs.address_family(socket())? == IpAddressFamily::Ipv4;
    // A socket that is connecting has no address yet, and no options.
    let is_new = theirs.local_address(socket()).is_err() && theirs.hop_limit(socket()).is_ok();
    Ok(is_new && is_ipv4 == address.is_ipv4())
}

/// Accept a connection on an inherited listener.
fn accept(state: &mut State, listening: &Listening) -> SocketResult<Accepted> {
    let connection = match listening.accept(&state.network) {
        None => return Err(ErrorCode::WouldBlock.into()),
        Some(Err(error)) => return Err(accept_error(&error).into()),
        Some(Ok(connection)) => connection,
    };
    let (input, output) = connection.streams();
    let socket = state.table.push(connection)?;
    let input: Resource<DynInputStream> = state.table.push_child(input, &socket)?;
    let output: Resource<DynOutputStream> = state.table.push_child(output, &socket)?;
    // The component knows of one kind of socket. Whatever it may do with this one looks for ours
    // first.
    Ok((Resource::new_own(socket.rep()), input, output))
}

/// What accepting failed of. Linux tells what is wrong with the connection there as well (accept(2)); to a
/// component that is one that was aborted, as with wasmtime-wasi, and no failure of the listener.
fn accept_error(error: &io::Error) -> ErrorCode {
    match error.kind() {
        ErrorKind::ConnectionAborted
        | ErrorKind::ConnectionReset
        | ErrorKind::NotConnected
        | ErrorKind::TimedOut
        | ErrorKind::HostUnreachable
        | ErrorKind::NetworkUnreachable
        | ErrorKind::NetworkDown => ErrorCode::ConnectionAborted,
        _ => match Errno::from_io_error(error) {
            Some(Errno::HOSTDOWN | Errno::PROTO | Errno::NOPROTOOPT | Errno::OPNOTSUPP) => {
                ErrorCode::ConnectionAborted
            }
            _ => ErrorCode::Unknown,
        },
    }
}

/// The connection of our own that a socket is, if it is one.
fn connection<'a>(state: &'a State, socket: &Resource<TcpSocket>) -> Option<&'a Connection> {
    let ours = Resource::new_borrow(socket.rep());
    state.table.get(&ours).ok()
}

fn plain<T>(result: SocketResult<T>) -> wasmtime::Result<Result<T, ErrorCode>> {
    match result {
        Ok(value) => Ok(Ok(value)),
        Err(error) => Ok(Err(error.downcast()?)),
    }
}

/// Whether somebody waits to be accepted.
fn is_ready(socket: &mut TcpSocket) -> bool {
    let mut cx = Context::from_waker(Waker::noop());
    pin!(socket.ready()).poll(&mut cx).is_ready()
}

/// Make a socket, if one more may be had.
fn counted<T>(
    state: &mut State,
    make: impl FnOnce(&mut State) -> SocketResult<T>,
) -> wasmtime::Result<Result<T, ErrorCode>> {
    if !state.has_socket_left() {
        return Ok(Err(ErrorCode::NewSocketLimit));
    }
    let made = make(state);
    settled(state, made)
}

/// Count a socket, if it could be made.
fn settled<T>(state: &mut State, made: SocketResult<T>) -> wasmtime::Result<Result<T, ErrorCode>> {
    match plain(made)? {
        Ok(made) => {
            state.tcp.count.opened();
            state.network.has_room(Limit::Sockets);
            Ok(Ok(made))
        }
        // wasmtime-wasi has no word of its own for it, though WASI has.
        Err(ErrorCode::Unknown) if no_files_left() => Ok(Err(ErrorCode::NewSocketLimit)),
        Err(code) => Ok(Err(code)),
    }
}

/// Whether the process, or the system, can open no more files.
#[cfg(unix)]
fn no_files_left() -> bool {
    use std::os::fd::AsFd;

    match std::io::stderr().as_fd().try_clone_to_owned() {
        Ok(_) => false,
        Err(error) => matches!(
            Errno::from_io_error(&error),
            Some(Errno::MFILE | Errno::NFILE)
        ),
    }
}

#[cfg(not(unix))]
fn no_files_left() -> bool {
    false
}

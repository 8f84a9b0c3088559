//! What sockbox adds to wasmtime-wasi's sockets and streams: a count of the sockets that a run holds
//! and of the bytes that go through them, bounds on both and on how fast they may be used up, an exact
//! error code when none are left, streams that can be dropped without waiting, and listeners from
//! before the run.
//!
//! Only these few functions are replaced. Each calls wasmtime-wasi's own.

mod addresses;
mod adopted;
mod connecting;
mod connection;
pub(crate) mod count;
mod datagrams;
mod dial;
mod fd_options;
mod guard;
mod inherited;
mod meter;
mod options;
mod private;
mod rate;
mod tcp;
mod tunnel;
mod udp;
pub(crate) mod wasi_0_3;

#[cfg(test)]
mod calls;
#[cfg(test)]
mod tests;

pub(crate) use dial::{DialError, Dialed, Dialer, MOST_ADDRESSES};
pub(crate) use inherited::Inherited;
pub use rate::AcceptRate;
pub(crate) use tcp::add_to_linker;
pub use tunnel::ProxiedBy;

use crate::authority::Account;
use crate::authority::Authority;
use crate::budget::Budget;
use crate::ctx::{SockboxCtxView, SockboxView};
use crate::replaced::{STREAMS, TCP, TCP_CREATE};
use addresses::{Addresses, Ends};
use adopted::AdoptedSocket;
use connection::Connection;
use count::Count;
use guard::Guard;
use inherited::{Listening, Stage};
use meter::{Meter, Unsent};
use private::{Datagrams, Loopback};
use rate::Bucket;
use rustix::io::Errno;
use sockbox_policy::Target;
use sockbox_policy::{Limit, Limits, Proxies};
use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::io::{self, ErrorKind};
use std::mem;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::{Duration, Instant};
use tunnel::Tunnels;
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
use wasmtime_wasi::sockets::{SocketAddrUse, WasiSocketsCtxView};

/// A run's sockets: how many are open, and how many may be; and what goes through them.
pub(crate) struct Sockets {
    pub(crate) count: Count,
    limit: usize,
    dialer: Dialer,
    accepts: Option<Bucket>,
    meter: Arc<Meter>,
    /// The addresses that sockets are connecting to, by socket number, if traffic is recorded.
    connecting: HashMap<u32, SocketAddr>,
    /// The accounts of what sockets that listen accept, by their number.
    accepting: HashMap<u32, Arc<Account>>,
    addresses: Addresses,
    peers: udp::Peers,
    loopback: Loopback,
    /// The private UDP sockets.
    datagrams: Datagrams,
    /// The sockets between `start-listen` and `finish-listen`, by number.
    starting: HashSet<u32>,
    pub(crate) tunnels: Tunnels,
    /// Written bytes that wait for bandwidth, by socket number, if there is a bandwidth limit.
    unsent: HashMap<u32, Unsent>,
    /// The connections of WASI 0.3 whose traffic is recorded.
    recorded: wasi_0_3::Recorded,
}

impl Sockets {
    /// `memory` is what the run's private connections draw from.
    pub(crate) fn new(
        limits: &Limits,
        network: &Arc<Authority>,
        memory: &Arc<Budget>,
        proxies: Proxies,
    ) -> Sockets {
        let bucket = |rate: Option<u32>| Some(Bucket::of_events(rate?, Instant::now()));
        let count = Count::new();
        let meter = Arc::new(Meter::new(limits, network));
        Sockets {
            dialer: Dialer::new(limits, network, &count, &meter),
            count,
            limit: limits.sockets,
            accepts: bucket(limits.accepts_per_second),
            meter,
            connecting: HashMap::new(),
            accepting: HashMap::new(),
            addresses: Addresses::default(),
            peers: udp::Peers::default(),
            loopback: Loopback::new(memory),
            datagrams: Datagrams::new(memory),
            starting: HashSet::new(),
            tunnels: Tunnels::of(proxies),
            unsent: HashMap::new(),
            recorded: wasi_0_3::Recorded::default(),
        }
    }

    /// Count a connection against the limit on accepts per second.
    fn take_accept(&mut self) {
        if let Some(accepts) = &mut self.accepts {
            accepts.take(1);
        }
    }

    /// How long it takes until that limit permits another connection. None: for ever.
    fn wait_to_accept(&mut self, now: Instant) -> Option<Duration> {
        match &mut self.accepts {
            Some(accepts) => accepts.wait(now),
            None => Some(Duration::ZERO),
        }
    }

    fn are_used_up(&self) -> bool {
        self.open() >= self.limit
    }

    /// The limit that prevents accepting another connection, if any.
    fn keeps_from_accepting(&mut self) -> Option<Limit> {
        if self.are_used_up() {
            return Some(Limit::Sockets);
        }
        let accepts = self.accepts.as_mut()?;
        (accepts.available(Instant::now()) == 0).then_some(Limit::AcceptsPerSecond)
    }

    /// What opens connections for the host's own clients, under the same limits.
    pub(crate) fn dialer(&self) -> &Dialer {
        &self.dialer
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

impl SockboxCtxView<'_> {
    /// Remember the ends of a connection that was accepted by the socket with this number.
    fn remember(&mut self, rep: u32, socket: &Resource<TcpSocket>) -> wasmtime::Result<()> {
        if let Some(remote) = self.ctx.sockets.addresses.let_in_by(rep) {
            let borrowed = Resource::new_borrow(socket.rep());
            let local = plain(self.sockets().local_address(borrowed))?;
            let local = local.ok().map(SocketAddr::from);
            let ends = Ends { local, remote };
            self.ctx.sockets.addresses.accepted(socket.rep(), ends);
        }
        Ok(())
    }

    /// The local address of a socket of wasmtime-wasi's.
    fn local_address(
        &mut self,
        socket: Resource<TcpSocket>,
    ) -> wasmtime::Result<Result<IpSocketAddress, ErrorCode>> {
        match self.ctx.sockets.addresses.ends(socket.rep()) {
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
        if let Some(ends) = self.ctx.sockets.addresses.ends(rep) {
            return Ok(Ok(ends.remote.into()));
        }
        let known = plain(self.sockets().remote_address(socket))?;
        match (known, self.ctx.sockets.addresses.connecting(rep)) {
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
        self.ctx.sockets.take_accept();
        self.ctx.authority.has_room(Limit::AcceptsPerSecond);
        let account = self.account_of_listener(rep)?;
        self.meter(socket, account, input, output)?;
        if self.ctx.authority.is_replaceable() {
            let targets = self.targets_of_client(rep, socket)?;
            // The guard wakes a task only while it waits, so nothing else may keep its waker.
            return self.guard(targets, input, output);
        }
        // One that is slowed down isn't ready when its waker is woken, and doesn't keep it.
        if !self.ctx.sockets.meter.is_slow() {
            self.ctx.readiness.watch(self.table, input)?;
        }
        Ok(())
    }

    /// The traffic account of connections that the socket with this number accepts, if traffic is
    /// recorded.
    fn account_of_listener(&mut self, rep: u32) -> wasmtime::Result<Option<Arc<Account>>> {
        if !self.ctx.authority.keeps_accounts() {
            return Ok(None);
        }
        if let Some(account) = self.ctx.sockets.accepting.get(&rep) {
            return Ok(Some(account.clone()));
        }
        let address = match self.ctx.inherited.get(rep) {
            Some(listening) => listening.address,
            None => match plain(self.sockets().local_address(Resource::new_borrow(rep)))? {
                Ok(address) => address.into(),
                Err(_) => return Ok(None),
            },
        };
        let account = self.ctx.authority.account(Target::Listen(address));
        if let Some(account) = &account {
            self.ctx.sockets.accepting.insert(rep, account.clone());
        }
        Ok(account)
    }

    /// Wrap the streams of a new connection, whose socket has this number, if there is anything to
    /// count.
    fn meter(
        &mut self,
        socket: u32,
        account: Option<Arc<Account>>,
        input: &Resource<DynInputStream>,
        output: &Resource<DynOutputStream>,
    ) -> wasmtime::Result<()> {
        if account.is_none() && !self.ctx.sockets.meter.is_bound() {
            return Ok(());
        }
        let place = self.table.get_mut(input)?;
        let inner_input = mem::replace(place, Box::new(ClosedInputStream));
        let place = self.table.get_mut(output)?;
        let inner_output = mem::replace(place, Box::new(ClosedOutputStream));
        let meter = &self.ctx.sockets.meter;
        let (outer_input, outer_output, unsent) = meter.around(account, inner_input, inner_output);
        if meter.is_slow() {
            self.ctx.sockets.unsent.insert(socket, unsent);
        }
        *self.table.get_mut(input)? = outer_input;
        *self.table.get_mut(output)? = outer_output;
        Ok(())
    }

    /// What a connection that the listener with this number has accepted is judged as.
    fn targets_of_client(&mut self, rep: u32, socket: u32) -> wasmtime::Result<Vec<Target>> {
        let listener = match self.ctx.inherited.get(rep) {
            Some(listening) => Ok(listening.address.into()),
            None => plain(self.sockets().local_address(Resource::new_borrow(rep)))?,
        };
        let client = Resource::new_borrow(socket);
        let remote = match connection(self, &client) {
            Some(connection) => Ok(connection.remote.into()),
            None => self.remote_address(client)?,
        };
        let listener = listener.ok().map(|address| Target::Listen(address.into()));
        let remote = remote.ok().map(|address| Target::Accept(address.into()));
        Ok(listener.into_iter().chain(remote).collect())
    }

    /// Wrap the streams of a new connection, if the policy can be replaced.
    fn guard(
        &mut self,
        targets: impl IntoIterator<Item = Target>,
        input: &Resource<DynInputStream>,
        output: &Resource<DynOutputStream>,
    ) -> wasmtime::Result<()> {
        let Some(guard) = Guard::new(&self.ctx.authority, targets) else {
            return Ok(());
        };
        let place = self.table.get_mut(input)?;
        let inner_input = mem::replace(place, Box::new(ClosedInputStream));
        let place = self.table.get_mut(output)?;
        let inner_output = mem::replace(place, Box::new(ClosedOutputStream));
        let (outer_input, outer_output) = guard.around(inner_input, inner_output);
        *self.table.get_mut(input)? = outer_input;
        *self.table.get_mut(output)? = outer_output;
        Ok(())
    }

    /// Make room for a socket where there is none, of connections for HTTP that nothing uses.
    fn make_room(&self) {
        if self.ctx.sockets.are_used_up() {
            self.ctx.http.close_idle();
        }
    }

    /// Whether one more socket is permitted.
    fn has_socket_left(&self) -> bool {
        self.make_room();
        let left = !self.ctx.sockets.are_used_up();
        if !left {
            self.ctx.authority.reached(Limit::Sockets, None);
        }
        left
    }

    /// Let an inherited listener at the address take the place of a socket that the component
    /// binds. None: wasmtime-wasi answers.
    fn inherit(
        &mut self,
        socket: &Resource<TcpSocket>,
        address: SocketAddr,
    ) -> wasmtime::Result<Option<Result<(), ErrorCode>>> {
        if let Some(adopted) = self.adopted(socket) {
            return Ok(Some(Err(adopted.refusal())));
        }
        let rep = socket.rep();
        if !may_be_bound(&mut self.sockets(), rep, address)?
            || !self.ctx.inherited.take(rep, address)
        {
            return Ok(None);
        }
        let allowed = [SocketAddrUse::TcpBind, SocketAddrUse::TcpListen]
            .into_iter()
            .all(|use_| self.ctx.authority.allows_address(address, use_));
        Ok(Some(match allowed {
            true => Ok(()),
            false => {
                self.ctx.inherited.close(rep);
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
fn accept(state: &mut SockboxCtxView<'_>, listening: &Listening) -> SocketResult<Accepted> {
    let connection = match listening.accept(&state.ctx.authority) {
        None => return Err(ErrorCode::WouldBlock.into()),
        Some(Err(error)) => return Err(accept_error(&error).into()),
        Some(Ok(connection)) => connection,
    };
    let (input, output) = connection.streams();
    let socket = state.table.push(connection)?;
    let input: Resource<DynInputStream> = state.table.push_child(input, &socket)?;
    let output: Resource<DynOutputStream> = state.table.push_child(output, &socket)?;
    // The component has only one type of socket. Each replaced function looks for an adopted socket
    // first.
    Ok((Resource::new_own(socket.rep()), input, output))
}

/// The error code of a failed accept. Linux also reports errors of the pending connection here
/// (accept(2)). For the component that is an aborted connection, as in wasmtime-wasi, and not a failure of
/// the listener.
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

/// The adopted connection, or the tunnel, of this number, if it is one.
fn connection<'a>(
    state: &'a SockboxCtxView<'_>,
    socket: &Resource<TcpSocket>,
) -> Option<&'a Connection> {
    let adopted = Resource::new_borrow(socket.rep());
    let tunnel = || state.ctx.sockets.tunnels.connection(socket.rep());
    state.table.get(&adopted).ok().or_else(tunnel)
}

fn plain<T>(result: SocketResult<T>) -> wasmtime::Result<Result<T, ErrorCode>> {
    match result {
        Ok(value) => Ok(Ok(value)),
        Err(error) => Ok(Err(error.downcast()?)),
    }
}

/// Whether a client waits to be accepted.
fn is_ready(socket: &mut TcpSocket) -> bool {
    let mut cx = Context::from_waker(Waker::noop());
    pin!(socket.ready()).poll(&mut cx).is_ready()
}

/// Make a socket, if one more is permitted.
fn counted<T>(
    state: &mut SockboxCtxView<'_>,
    make: impl FnOnce(&mut SockboxCtxView<'_>) -> SocketResult<T>,
) -> wasmtime::Result<Result<T, ErrorCode>> {
    if !state.has_socket_left() {
        return Ok(Err(ErrorCode::NewSocketLimit));
    }
    let made = make(state);
    settled(state, made)
}

/// Count a socket, if it could be made.
fn settled<T>(
    state: &mut SockboxCtxView<'_>,
    made: SocketResult<T>,
) -> wasmtime::Result<Result<T, ErrorCode>> {
    match plain(made)? {
        Ok(made) => {
            state.ctx.sockets.count.opened();
            state.ctx.authority.has_room(Limit::Sockets);
            Ok(Ok(made))
        }
        // wasmtime-wasi returns `unknown`, although WASI has an error code for this.
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

//! TCP connections of WASI 0.2 that go through an HTTP proxy.
//!
//! The component connects to the address of a server, and the policy judges that address. The host then connects to the
//! proxy, asks it for a connection to this address, and gives the component the streams behind the proxy's response. The
//! component cannot tell such a connection from another one, so it can neither use the proxy in another way nor see its
//! credentials.
//!
//! The host does this, and not the component, for two reasons. A component that spoke to the proxy itself would have to be granted
//! the proxy's address, and could then ask it for any target: the policy would rest on the component's honesty. And it would
//! have to be given the proxy's credentials. It also costs nothing in the component: redirects, TLS, reuse of connections
//! and several addresses work as they do without a proxy. A request to an `http` URL goes through a tunnel, too, because the
//! proxy would otherwise choose the address (RFC 9112 section 3.2.2), which no rule has judged.
//!
//! A tunnel has an entry in [`Tunnels`], and a socket of wasmtime-wasi, which stays unconnected. It counts as one of the run's
//! sockets, and takes two open files of this process.

use super::connection::Connection;
use super::dial::Dialed;
use super::{SockboxCtxView, may_be_bound};
use crate::authority::{Authority, Incident};
use crate::proxy::{self, ProxyProblem, TunnelError};
use crate::sockets::Dialer;
use sockbox_policy::audit::{self, EventKind};
use sockbox_policy::{Host, HttpScheme, Origin, Proxies, Proxy, Target};
use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use wasmtime::component::Resource;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::p2::bindings::sockets::network::ErrorCode;
use wasmtime_wasi::p2::bindings::sockets::tcp::HostTcpSocket;
use wasmtime_wasi::p2::{
    DynInputStream, DynOutputStream, DynPollable, Pollable, TcpSocket, subscribe,
};

/// A run's tunnels.
#[derive(Default)]
pub(crate) struct Tunnels {
    proxies: Proxies,
    /// The route of the connections that the component opens at present. None: they are direct.
    route: Option<Arc<Route>>,
    /// The tunnels, by the number of the component's socket.
    sockets: HashMap<u32, Tunnel>,
}

/// A way through a proxy.
struct Route {
    proxy: Proxy,
    /// Why the proxy can't be used on this way. Further attempts fail with the same problem, without a connection.
    spoiled: Mutex<Option<ProxyProblem>>,
}

/// The states of a tunnel: `Opening`, then `Open`. A tunnel that could not be opened stays `Opening`.
enum Tunnel {
    Opening(Arc<Opening>),
    Open(Open),
}

struct Open {
    /// The connection to the proxy. Its remote address is that of the server, as the component gave it.
    connection: Connection,
    /// What is known of the proxy.
    by: ProxiedBy,
}

/// The proxy that a connection goes through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProxiedBy {
    /// The proxy's address.
    pub address: SocketAddr,
    /// The status of its response to `CONNECT`.
    pub status: u16,
}

/// A tunnel that is being opened. It is polled by the component's calls, as a lookup is.
struct Opening {
    /// The address that the component gave.
    to: SocketAddr,
    /// What connecting to it is judged as.
    target: Target,
    state: Mutex<State>,
}

enum State {
    UnderWay(Pin<Box<dyn Future<Output = Opened> + Send>>),
    /// None: the component was told.
    Done(Option<Opened>),
}

type Opened = Result<(Dialed, u16), ErrorCode>;
type Streams = (Resource<DynInputStream>, Resource<DynOutputStream>);

impl Tunnels {
    /// Use these proxies.
    pub(crate) fn of(proxies: Proxies) -> Tunnels {
        Tunnels {
            proxies,
            ..Tunnels::default()
        }
    }

    /// Let the connections that the component opens from now on lead to this origin. They go through the proxy for it, if
    /// there is one. The name is left to the proxy if that is permitted, and the name has no static address.
    pub(crate) fn lead_to(
        &mut self,
        authority: &Authority,
        scheme: HttpScheme,
        origin: &Origin,
        ipv6: bool,
    ) {
        let proxy = self.proxies.for_origin(scheme, origin);
        let name = match &origin.host {
            Host::Name(name)
                if proxy.is_some()
                    && self.proxies.resolve
                    && authority.static_addresses(name).is_none() =>
            {
                Some(name)
            }
            _ => None,
        };
        authority.leave_to_proxy(name, ipv6);
        self.route = proxy.map(|proxy| {
            Arc::new(Route {
                proxy: proxy.clone(),
                spoiled: Mutex::default(),
            })
        });
    }

    /// Whether any request goes through a proxy.
    pub(crate) fn has_proxies(&self) -> bool {
        !self.proxies.is_empty()
    }

    /// The proxy of the open connection from this local address.
    pub(crate) fn proxied(&self, local: SocketAddr) -> Option<ProxiedBy> {
        self.sockets.values().find_map(|tunnel| match tunnel {
            Tunnel::Open(open) if open.connection.local == local => Some(open.by),
            _ => None,
        })
    }

    /// The connection of the socket with this number, if it is an open tunnel.
    pub(super) fn connection(&self, rep: u32) -> Option<&Connection> {
        match self.sockets.get(&rep)? {
            Tunnel::Open(open) => Some(&open.connection),
            Tunnel::Opening(_) => None,
        }
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.sockets.is_empty()
    }

    /// The component has dropped the socket with this number.
    pub(super) fn closed(&mut self, rep: u32) {
        self.sockets.remove(&rep);
    }
}

impl SockboxCtxView<'_> {
    /// Handle `start-connect`, if the connection goes through a proxy. None: it doesn't.
    pub(super) fn connect_through_proxy(
        &mut self,
        socket: &Resource<TcpSocket>,
        to: SocketAddr,
    ) -> wasmtime::Result<Option<Result<(), ErrorCode>>> {
        let rep = socket.rep();
        match self.ctx.sockets.tunnels.sockets.get(&rep) {
            Some(Tunnel::Opening(_)) => return Ok(Some(Err(ErrorCode::ConcurrencyConflict))),
            Some(Tunnel::Open(_)) => return Ok(Some(Err(ErrorCode::InvalidState))),
            None => {}
        }
        // A loopback address means this machine. The proxy would connect to its own.
        let Some(route) = self.ctx.sockets.tunnels.route.clone() else {
            return Ok(None);
        };
        if to.ip().to_canonical().is_loopback() {
            return Ok(None);
        }
        if !is_valid(to) {
            return Ok(Some(Err(ErrorCode::InvalidArgument)));
        }
        if !may_be_bound(&mut self.sockets(), rep, to)? {
            // The socket is bound, connects already, or is of the other family. wasmtime-wasi tells which one it is, or
            // the socket is bound: the local address is the system's to choose here.
            let bound = self
                .sockets()
                .local_address(Resource::new_borrow(rep))
                .is_ok();
            return Ok(bound.then_some(Err(ErrorCode::NotSupported)));
        }
        let authority = self.ctx.authority.clone();
        let dialer = self.ctx.sockets.dialer.clone();
        let target = authority.target_of(to);
        let opening = Opening::begin(to, target.clone(), async move {
            match authority.ask(target.clone()).await {
                true => open(&authority, &dialer, &route, &target).await,
                false => Err(ErrorCode::AccessDenied),
            }
        });
        let tunnel = Tunnel::Opening(Arc::new(opening));
        self.ctx.sockets.tunnels.sockets.insert(rep, tunnel);
        Ok(Some(Ok(())))
    }

    /// Handle `finish-connect`, if the socket is a tunnel.
    pub(super) fn finish_tunnel(
        &mut self,
        socket: &Resource<TcpSocket>,
    ) -> wasmtime::Result<Option<Result<Streams, ErrorCode>>> {
        let rep = socket.rep();
        let opening = match self.ctx.sockets.tunnels.sockets.get(&rep) {
            None => return Ok(None),
            Some(Tunnel::Open(_)) => return Ok(Some(Err(ErrorCode::NotInProgress))),
            Some(Tunnel::Opening(opening)) => opening.clone(),
        };
        let (dialed, status) = match opening.take() {
            None => return Ok(Some(Err(ErrorCode::WouldBlock))),
            Some(Err(code)) => return Ok(Some(Err(code))),
            Some(Ok(opened)) => opened,
        };
        let Dialed {
            address,
            input,
            output,
            mut connection,
            unsent,
        } = dialed;
        connection.remote = opening.to;
        let input = self.table.push_child(input, socket)?;
        let output = self.table.push_child(output, socket)?;
        let by = ProxiedBy { address, status };
        let sockets = &mut self.ctx.sockets;
        if let Some(unsent) = unsent.filter(|_| sockets.meter.is_slow()) {
            sockets.unsent.insert(rep, unsent);
        }
        let open = Tunnel::Open(Open { connection, by });
        sockets.tunnels.sockets.insert(rep, open);
        sockets.count.has_streams(rep);
        self.guard([opening.target.clone()], &input, &output)?;
        Ok(Some(Ok((input, output))))
    }

    /// Handle `subscribe`, if the socket is a tunnel.
    pub(super) fn subscribe_to_tunnel(
        &mut self,
        socket: &Resource<TcpSocket>,
    ) -> wasmtime::Result<Option<Resource<DynPollable>>> {
        let opening = match self.ctx.sockets.tunnels.sockets.get(&socket.rep()) {
            None => return Ok(None),
            Some(Tunnel::Open(_)) => None,
            Some(Tunnel::Opening(opening)) => Some(opening.clone()),
        };
        let waiting = self.table.push_child(Waiting(opening), socket)?;
        Ok(Some(subscribe(self.table, waiting)?))
    }
}

/// Open the tunnel to an allowed target, and record the result.
async fn open(authority: &Authority, dialer: &Dialer, route: &Route, target: &Target) -> Opened {
    if let Some(problem) = &*locked(&route.spoiled) {
        return Err(code(problem));
    }
    let goal = target.object();
    let opened = proxy::connect(dialer, authority, &route.proxy, &goal, Some(target)).await;
    let name = target
        .address()
        .and_then(|address| authority.name_of(address.ip()));
    let mut event = audit::Tunnel::new(target.clone(), name, route.proxy.to_string());
    let opened = match opened {
        Ok((dialed, status)) => {
            event.status = Some(status);
            Ok((dialed, status))
        }
        Err(TunnelError::Proxy(problem)) => {
            match problem {
                ProxyProblem::Refused { status } => event.status = Some(status),
                _ => event.error = Some(problem.to_string()),
            }
            let code = code(&problem);
            authority.note(Incident::Proxy {
                proxy: route.proxy.to_string(),
                problem: problem.clone(),
            });
            if problem.is_of_proxy() {
                *locked(&route.spoiled) = Some(problem);
            }
            Err(code)
        }
        // The limit is recorded already.
        Err(TunnelError::Dial(_) | TunnelError::Bytes(_)) => {
            return Err(ErrorCode::NewSocketLimit);
        }
    };
    authority.record(|| EventKind::Tunnel(event));
    opened
}

/// Whether a socket can connect to an address of this kind. These are the rules of wasmtime-wasi.
fn is_valid(to: SocketAddr) -> bool {
    let ip = to.ip();
    let is_usable = match ip {
        IpAddr::V4(ip) => !ip.is_broadcast(),
        IpAddr::V6(ip) => ip.to_ipv4_mapped().is_none(),
    };
    is_usable && !ip.is_unspecified() && !ip.is_multicast() && to.port() != 0
}

/// The error code that the component gets.
fn code(problem: &ProxyProblem) -> ErrorCode {
    match problem {
        ProxyProblem::NotConnected {
            kind: ErrorKind::ConnectionRefused,
        } => ErrorCode::ConnectionRefused,
        ProxyProblem::NotConnected {
            kind: ErrorKind::TimedOut,
        } => ErrorCode::Timeout,
        ProxyProblem::Closed | ProxyProblem::Broken { .. } => ErrorCode::ConnectionReset,
        _ => ErrorCode::RemoteUnreachable,
    }
}

impl Opening {
    /// Begin it, without waiting for the component to ask for the result.
    fn begin(
        to: SocketAddr,
        target: Target,
        opened: impl Future<Output = Opened> + Send + 'static,
    ) -> Opening {
        let opening = Opening {
            to,
            target,
            state: Mutex::new(State::UnderWay(Box::pin(opened))),
        };
        let _ = opening.poll(&mut Context::from_waker(Waker::noop()));
        opening
    }

    fn poll(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = locked(&self.state);
        if let State::UnderWay(opened) = &mut *state {
            match opened.as_mut().poll(cx) {
                Poll::Ready(opened) => *state = State::Done(Some(opened)),
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(())
    }

    /// The result. None: there is none yet. The error stays.
    fn take(&self) -> Option<Opened> {
        let _ = self.poll(&mut Context::from_waker(Waker::noop()));
        match &mut *locked(&self.state) {
            State::UnderWay(_) => None,
            State::Done(opened) => Some(match opened.take() {
                Some(Err(code)) => {
                    *opened = Some(Err(code));
                    Err(code)
                }
                Some(Ok(opened)) => Ok(opened),
                None => Err(ErrorCode::NotInProgress),
            }),
        }
    }
}

/// The event that a pollable of a tunnel waits for. None: it has happened.
struct Waiting(Option<Arc<Opening>>);

#[async_trait]
impl Pollable for Waiting {
    async fn ready(&mut self) {
        if let Some(opening) = &self.0 {
            poll_fn(|cx| opening.poll(cx)).await;
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // The value is consistent at every moment, so a panic while the lock was held did no harm.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

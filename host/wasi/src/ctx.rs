//! What a store holds besides its WASI, and how the adapters get at it.
//!
//! This module and the adapters import each other: the context has a field for what each adapter keeps, and an adapter
//! is written against the view of the context. wasmtime needs both in one type, the data of the store.

use crate::authority::Authority;
use crate::files::Files;
use crate::grant::Grant;
use crate::http::Http;
use crate::limiter::Limiter;
use crate::lookup::LookupView;
use crate::poll::Readiness;
use crate::sockets::{Inherited, ProxiedBy, Sockets};
use crate::tls::{self, TlsView};
use sockbox_policy::audit::RunId;
use sockbox_policy::{HttpScheme, Limits, Origin};
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use wasmtime::Store;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::sockets::WasiSocketsCtxView;
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder, WasiView};
use wasmtime_wasi_http::WasiHttpCtxView;

/// A store's data that has a [`SockboxCtx`], beside its WASI.
///
/// # Examples
/// ```
/// use sockbox_wasi::{SockboxCtx, SockboxCtxView, SockboxView};
/// use wasmtime_wasi::{ResourceTable, WasiCtx, WasiCtxView, WasiView};
///
/// struct MyState {
///     wasi: WasiCtx,
///     table: ResourceTable,
///     sockbox: SockboxCtx,
/// }
///
/// impl WasiView for MyState {
///     fn ctx(&mut self) -> WasiCtxView<'_> {
///         WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
///     }
/// }
///
/// impl SockboxView for MyState {
///     fn sockbox(&mut self) -> SockboxCtxView<'_> {
///         SockboxCtxView { ctx: &mut self.sockbox, table: &mut self.table }
///     }
/// }
/// ```
pub trait SockboxView: WasiView + 'static {
    /// The context, and the table that [`WasiView::ctx`] has too.
    fn sockbox(&mut self) -> SockboxCtxView<'_>;
}

/// What the adapters work on.
pub struct SockboxCtxView<'a> {
    /// The run's own data.
    pub ctx: &'a mut SockboxCtx,
    /// The resources of the store, which it shares with its WASI.
    pub table: &'a mut ResourceTable,
}

/// One run's data in its store: its [`Authority`], and what it has opened.
///
/// It is made from a [`Grant`]. Dropping it ends the run and records that. Make it the last field of the
/// store's data, after the resource table, so that all connections are recorded before.
pub struct SockboxCtx {
    pub(crate) authority: Arc<Authority>,
    pub(crate) limiter: Limiter,
    pub(crate) sockets: Sockets,
    pub(crate) inherited: Inherited,
    pub(crate) files: Files,
    pub(crate) readiness: Readiness,
    pub(crate) tls: tls::Client,
    pub(crate) tls_connections: tls::Connections,
    pub(crate) http: Http,
    pub(crate) dropping_breaks_off: bool,
    limits: Limits,
    /// Used only for sockets. They ask the authority, independent of the settings of the store's
    /// own WASI.
    wasi: WasiCtx,
    /// The last field, so it is dropped after all others.
    _ending: Ending,
}

/// Tells the run's end when it is dropped.
struct Ending(Arc<Authority>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.end();
    }
}

impl SockboxCtx {
    /// The data of the run with this number, which is given what `grant` says.
    pub fn new(run: RunId, grant: &Grant) -> SockboxCtx {
        SockboxCtx::with_authority(Authority::new(run, grant), grant)
    }

    /// The data of a run whose [`Authority`] was made from `grant`, for example with [`Authority::part`].
    pub fn with_authority(authority: Authority, grant: &Grant) -> SockboxCtx {
        let limits = grant.limits.clone();
        let authority = Arc::new(authority);
        let asked = authority.clone();
        // A socket without an address reaches nothing. Each use is judged with its address, so that a
        // denial can name it.
        let wasi = WasiCtxBuilder::new()
            .allow_tcp(true)
            .allow_udp(true)
            .socket_addr_check(move |address, use_| asked.ask_address(address, use_))
            .build();
        let limiter = Limiter::recording(&limits, authority.clone());
        let sockets = Sockets::new(&limits, &authority, limiter.memory(), grant.proxies.clone());
        SockboxCtx {
            http: Http::new(grant, &authority, sockets.dialer(), limiter.memory()),
            sockets,
            _ending: Ending(authority.clone()),
            limiter,
            tls: tls::Client::new(grant.tls.clone(), grant.protocols, authority.clone()),
            authority,
            inherited: Inherited::default(),
            files: Files::new(&limits),
            readiness: Readiness::default(),
            tls_connections: tls::Connections::default(),
            dropping_breaks_off: false,
            limits,
            wasi,
        }
    }

    /// What decides about the run's network.
    pub fn authority(&self) -> &Arc<Authority> {
        &self.authority
    }

    /// What decides about its memory and tables: for [`Store::limiter`].
    pub fn limiter(&mut self) -> &mut Limiter {
        &mut self.limiter
    }

    /// How much memory and tables it was refused.
    pub fn refusals(&self) -> &Limiter {
        &self.limiter
    }

    /// The run's limits.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// How many sockets the component has open, and those that are open for its HTTP requests.
    pub fn open_sockets(&self) -> usize {
        self.sockets.open()
    }

    /// Give the component a listening socket when it binds to the socket's address, which is returned.
    /// Binding to that address must be granted as well.
    ///
    /// # Errors
    /// It is not a listening TCP socket.
    pub fn offer_listener(&mut self, listener: &std::net::TcpListener) -> io::Result<SocketAddr> {
        self.inherited.offer(listener)
    }

    /// Give the component a listening socket when it binds to `address`, which may differ from the socket's
    /// address.
    ///
    /// # Errors
    /// It is not a listening TCP socket.
    pub fn offer_listener_as(
        &mut self,
        address: SocketAddr,
        listener: &std::net::TcpListener,
    ) -> io::Result<()> {
        self.inherited.offer_as(address, listener)
    }

    /// Let the TCP connections of WASI 0.2 that the component opens from now on lead to the server of a URL with this scheme and
    /// origin. They go through the proxy that the [`Grant`] has for it, if there is one. Without this call they are direct.
    ///
    /// The policy decides on the address that the component connects to. If the proxy is to resolve the origin's name
    /// ([`Proxies::resolve`](crate::policy::Proxies::resolve)), the component is told a placeholder: an IPv6 address if
    /// `ipv6`, and otherwise an IPv4 address. The policy then decides on the name
    /// ([`Target::ConnectName`](crate::policy::Target::ConnectName)).
    pub fn lead_connections_to(&mut self, scheme: HttpScheme, origin: &Origin, ipv6: bool) {
        let tunnels = &mut self.sockets.tunnels;
        if tunnels.has_proxies() {
            tunnels.lead_to(&self.authority, scheme, origin, ipv6);
        }
    }

    /// The proxy of the component's open connection from this local address. None: the connection is direct.
    pub fn proxied_by(&self, local: SocketAddr) -> Option<ProxiedBy> {
        self.sockets.tunnels.proxied(local)
    }

    /// Let dropping an output stream abort its pending write. By default the drop waits for the end of the
    /// write, as most programs expect.
    pub fn break_off_writes_on_drop(&mut self) {
        self.dropping_breaks_off = true;
    }
}

impl fmt::Debug for SockboxCtx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SockboxCtx")
            .field("run", &self.authority.run())
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

impl SockboxCtxView<'_> {
    /// wasmtime-wasi's sockets, which ask this run's authority.
    pub(crate) fn sockets(&mut self) -> WasiSocketsCtxView<'_> {
        WasiSocketsCtxView {
            ctx: self.ctx.wasi.sockets(),
            table: self.table,
        }
    }
}

impl<'a> SockboxCtxView<'a> {
    /// The same, for as long as the view itself could be used.
    pub(crate) fn into_sockets(self) -> WasiSocketsCtxView<'a> {
        WasiSocketsCtxView {
            ctx: self.ctx.wasi.sockets(),
            table: self.table,
        }
    }
}

/// What our own `wasi:sockets/ip-name-lookup` works on.
pub(crate) fn lookup<T: SockboxView>(data: &mut T) -> LookupView<'_> {
    let SockboxCtxView { ctx, table } = data.sockbox();
    LookupView {
        authority: &ctx.authority,
        table,
    }
}

/// What our own `wasi:tls` works on.
pub(crate) fn tls<T: SockboxView>(data: &mut T) -> TlsView<'_> {
    let SockboxCtxView { ctx, table } = data.sockbox();
    TlsView {
        client: &mut ctx.tls,
        connections: &mut ctx.tls_connections,
        authority: &ctx.authority,
        memory: ctx.limiter.memory(),
        sockets: &mut ctx.sockets,
        readiness: &mut ctx.readiness,
        table,
    }
}

/// What `wasi:http` works on.
pub(crate) fn http<T: SockboxView>(data: &mut T) -> WasiHttpCtxView<'_> {
    let SockboxCtxView { ctx, table } = data.sockbox();
    ctx.http.view(table)
}

/// Hold a store to the limits of its [`SockboxCtx`]: memory, tables, instances, resources, handles, and what
/// is handed over in one call.
pub fn limit_store<T: SockboxView>(store: &mut Store<T>) {
    let SockboxCtxView { ctx, table } = store.data_mut().sockbox();
    let limits = ctx.limits.clone();
    table.set_max_capacity(limits.resources);
    store.limiter(|data| data.sockbox().ctx.limiter());
    store.set_max_component_handles(limits.handles);
    store.set_hostcall_fuel(limits.hostcall_bytes);
}

//! A store for tests, like an embedder's.

use crate::{
    Authority, Grant, Mark, Refusal, SockboxCtx, SockboxCtxView, SockboxView, add_to_linker_async,
    limit_store,
};
use sockbox_policy::audit::RunId;
use sockbox_policy::{Origin, Policy, Target};
use wasmtime::component::{Linker, ResourceTable};
use wasmtime::{Config, Engine, Store};
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};

/// A store's data: the context comes last.
pub(crate) struct State {
    pub(crate) wasi: WasiCtx,
    pub(crate) table: ResourceTable,
    pub(crate) sockbox: SockboxCtx,
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

impl SockboxView for State {
    fn sockbox(&mut self) -> SockboxCtxView<'_> {
        SockboxCtxView {
            ctx: &mut self.sockbox,
            table: &mut self.table,
        }
    }
}

pub(crate) fn engine() -> Engine {
    Engine::new(&Config::new()).unwrap()
}

pub(crate) fn linker(engine: &Engine) -> Linker<State> {
    let mut linker = Linker::new(engine);
    add_to_linker_async(&mut linker).unwrap();
    linker
}

/// A store for a run with this grant, and nothing else of the machine.
pub(crate) fn store(engine: &Engine, grant: &Grant) -> Store<State> {
    store_with(engine, grant, WasiCtxBuilder::new().build())
}

pub(crate) fn store_with(engine: &Engine, grant: &Grant, wasi: WasiCtx) -> Store<State> {
    let state = State {
        wasi,
        table: ResourceTable::new(),
        sockbox: SockboxCtx::new(RunId::new(1), grant),
    };
    let mut store = Store::new(engine, state);
    limit_store(&mut store);
    store
}

/// An authority that has a policy, and else what there is by default.
pub(crate) fn authority(policy: Policy) -> Authority {
    Authority::new(RunId::new(1), &Grant::new().policy(policy))
}

/// The origin of a URL: `http://example.com:80/`.
pub(crate) fn origin(url: &str) -> Origin {
    let (scheme, rest) = url.split_once("://").unwrap();
    let authority = rest.split('/').next().unwrap();
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port.parse().unwrap()),
        _ if scheme == "https" => (authority, 443),
        _ => (authority, 80),
    };
    Origin::new(host.parse().unwrap(), port)
}

/// What was refused of this.
pub(crate) fn refusal(authority: &Authority, asked: &Target) -> Option<Refusal> {
    let incidents = authority.incidents_since(Mark::default());
    incidents.refusal_of(asked)
}

//! The data of a store of the sandbox.

use crate::audit::RunId;
use sockbox_wasi::{Grant, SockboxCtx, SockboxCtxView, SockboxView, limit_store};
use wasmtime::component::ResourceTable;
use wasmtime::{Engine, Store};
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};

/// One run's data in its store.
pub(crate) struct State {
    wasi: WasiCtx,
    pub(crate) table: ResourceTable,
    /// The last field, as [`SockboxCtx`] requires.
    pub(crate) sockbox: SockboxCtx,
}

impl State {
    /// A store for one run. `wasi` says what the component gets besides the network.
    pub(crate) fn store(
        engine: &Engine,
        run: RunId,
        grant: &Grant,
        wasi: WasiCtxBuilder,
    ) -> Store<State> {
        State::store_of(engine, SockboxCtx::new(run, grant), wasi)
    }

    /// A store for the run of `sockbox`.
    pub(crate) fn store_of(
        engine: &Engine,
        sockbox: SockboxCtx,
        mut wasi: WasiCtxBuilder,
    ) -> Store<State> {
        let state = State {
            wasi: wasi.build(),
            table: ResourceTable::new(),
            sockbox,
        };
        let mut store = Store::new(engine, state);
        limit_store(&mut store);
        store.set_epoch_deadline(1);
        store.epoch_deadline_async_yield_and_update(1);
        store
    }
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

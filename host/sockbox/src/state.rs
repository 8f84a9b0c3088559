//! The data of a store of the sandbox.

use crate::audit::RunId;
use sockbox_wasi::{Grant, SockboxCtx, SockboxCtxView, SockboxView, limit_store};
use std::fmt;
use wasmtime::component::ResourceTable;
use wasmtime::{Engine, Store};
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};

/// One run's data in its store. `T` is the embedder's own ([`Plugin::with`](crate::Plugin::with)).
pub struct State<T = ()> {
    data: T,
    wasi: WasiCtx,
    pub(crate) table: ResourceTable,
    /// The last field, as [`SockboxCtx`] requires.
    pub(crate) sockbox: SockboxCtx,
}

impl<T: Send + 'static> State<T> {
    /// A store for one run. `wasi` says what the component gets besides the network.
    pub(crate) fn store(
        engine: &Engine,
        run: RunId,
        grant: &Grant,
        wasi: WasiCtxBuilder,
        data: T,
    ) -> Store<State<T>> {
        State::store_of(engine, SockboxCtx::new(run, grant), wasi, data)
    }

    /// A store for the run of `sockbox`.
    pub(crate) fn store_of(
        engine: &Engine,
        sockbox: SockboxCtx,
        mut wasi: WasiCtxBuilder,
        data: T,
    ) -> Store<State<T>> {
        let state = State {
            data,
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

impl<T> State<T> {
    /// The embedder's data.
    pub fn data(&self) -> &T {
        &self.data
    }

    /// The embedder's data. [`Plugin::with`](crate::Plugin::with) has an example of its use.
    pub fn data_mut(&mut self) -> &mut T {
        &mut self.data
    }
}

impl<T> fmt::Debug for State<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State")
            .field("sockbox", &self.sockbox)
            .finish_non_exhaustive()
    }
}

impl<T: Send + 'static> WasiView for State<T> {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

impl<T: Send + 'static> SockboxView for State<T> {
    fn sockbox(&mut self) -> SockboxCtxView<'_> {
        SockboxCtxView {
            ctx: &mut self.sockbox,
            table: &mut self.table,
        }
    }
}

//! What components of one version of WASI are compiled for and linked with.

use crate::epoch::EpochTicker;
use crate::policy::Wasi;
use crate::reservation::Reservation;
use crate::state::State;
use sockbox_component::{code_memory, engine};
use wasmtime::Engine;
use wasmtime::component::Linker;

/// An engine, what it links components with, and what bounds their computing.
///
/// A component that uses nothing of WASI 0.3 runs on an engine without the component model's concurrency, because
/// the bookkeeping for that takes time in every call.
pub(crate) struct Runtime {
    pub(crate) wasi: Wasi,
    pub(crate) engine: Engine,
    pub(crate) linker: Linker<State>,
    pub(crate) ticker: EpochTicker,
}

impl Runtime {
    pub(crate) fn new(wasi: Wasi, reservation: Reservation) -> wasmtime::Result<Runtime> {
        let mut config = engine::config(wasi == Wasi::V0_3);
        reservation.configure(&mut config);
        code_memory::prepare(&mut config);
        let engine = Engine::new(&config)?;
        Ok(Runtime {
            wasi,
            ticker: EpochTicker::new(engine.clone()),
            linker: linker(&engine, wasi)?,
            engine,
        })
    }

    /// A linker with what sockbox provides, for stores with an embedder's data.
    pub(crate) fn linker_for<T: Send + 'static>(&self) -> wasmtime::Result<Linker<State<T>>> {
        linker(&self.engine, self.wasi)
    }
}

fn linker<T: Send + 'static>(engine: &Engine, wasi: Wasi) -> wasmtime::Result<Linker<State<T>>> {
    let mut linker = Linker::new(engine);
    sockbox_wasi::add_to_linker_async(&mut linker)?;
    if wasi == Wasi::V0_3 {
        sockbox_wasi::add_wasi_0_3_to_linker(&mut linker)?;
    }
    Ok(linker)
}

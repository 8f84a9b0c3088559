//! What a store holds besides the component: its WASI, its resources, its limits.

use crate::budget::Budget;
use crate::files::Files;
use crate::limits::{Limit, Limits};
use crate::lookup::LookupView;
use crate::network::Network;
use crate::readiness::Readiness;
use crate::sockets::{Inherited, Sockets};
use crate::tls::{self, TlsView};
use std::sync::Arc;
use wasmtime::component::ResourceTable;
use wasmtime::{Engine, ResourceLimiter, Store};
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};

/// One run's data in its store.
pub(crate) struct State {
    wasi: WasiCtx,
    pub(crate) table: ResourceTable,
    pub(crate) network: Arc<Network>,
    pub(crate) limiter: Limiter,
    pub(crate) tcp: Sockets,
    pub(crate) inherited: Inherited,
    pub(crate) files: Files,
    pub(crate) readiness: Readiness,
    pub(crate) tls: tls::Client,
    tls_connections: tls::Connections,
    /// Whether dropping an output stream breaks off the write that is under way on it. By default it
    /// waits for the write's end, as programs in general count on.
    pub(crate) dropping_breaks_off: bool,
    /// The last field: when it is dropped, everything else has been.
    _ending: Ending,
}

/// Tells the run's end when it is dropped.
struct Ending(Arc<Network>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.end();
    }
}

impl State {
    /// For tests: a store with nothing besides the network.
    #[cfg(test)]
    pub(crate) fn of(engine: &Engine, network: Network, limits: &Limits) -> Store<State> {
        let tls = tls::Client::new(tls::TlsConfig::new(), &[]);
        State::store(engine, WasiCtxBuilder::new(), network, limits, tls)
    }

    /// A store for one run. `wasi` says what the component gets besides the network.
    pub(crate) fn store(
        engine: &Engine,
        mut wasi: WasiCtxBuilder,
        network: Network,
        limits: &Limits,
        tls: tls::Client,
    ) -> Store<State> {
        let network = Arc::new(network);
        let check = network.clone();
        // A socket by itself reaches nothing. What it is used for is asked about with its address, so that
        // a refusal can say what was refused.
        wasi.allow_tcp(true)
            .allow_udp(true)
            .socket_addr_check(move |address, use_| check.ask_address(address, use_));
        let mut table = ResourceTable::new();
        table.set_max_capacity(limits.resources);
        let mut store = Store::new(
            engine,
            State {
                wasi: wasi.build(),
                table,
                tcp: Sockets::new(limits, &network),
                _ending: Ending(network.clone()),
                limiter: Limiter {
                    network: Some(network.clone()),
                    ..Limiter::new(limits)
                },
                network,
                inherited: Inherited::default(),
                files: Files::new(limits),
                readiness: Readiness::default(),
                tls,
                tls_connections: tls::Connections::default(),
                dropping_breaks_off: false,
            },
        );
        store.limiter(|state| &mut state.limiter);
        store.set_max_component_handles(limits.handles);
        store.set_hostcall_fuel(limits.hostcall_bytes);
        store.set_epoch_deadline(1);
        store.epoch_deadline_async_yield_and_update(1);
        store
    }

    /// What our own `wasi:sockets/ip-name-lookup` works on.
    pub(crate) fn lookup(&mut self) -> LookupView<'_> {
        LookupView {
            network: &self.network,
            table: &mut self.table,
        }
    }

    /// What our own `wasi:tls` works on.
    pub(crate) fn tls(&mut self) -> TlsView<'_> {
        TlsView {
            client: &mut self.tls,
            connections: &mut self.tls_connections,
            network: &self.network,
            memory: self.limiter.memory(),
            sockets: &mut self.tcp,
            readiness: &mut self.readiness,
            table: &mut self.table,
        }
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

/// Keeps a component within its memory and tables.
pub(crate) struct Limiter {
    memory: Quota,
    table: Quota,
    instances: usize,
    /// Who records that there was no more.
    network: Option<Arc<Network>>,
}

impl Limiter {
    fn new(limits: &Limits) -> Limiter {
        Limiter {
            memory: Quota::new(limits.memory_bytes),
            table: Quota::new(limits.table_elements),
            instances: limits.instances,
            network: None,
        }
    }

    /// What linear memory, and what the host keeps for the component, draw from.
    pub(crate) fn memory(&self) -> &Arc<Budget> {
        &self.memory.budget
    }

    /// Record a refusal, whether or not the component can do without.
    fn answered(&self, granted: bool, limit: Limit) -> bool {
        if let (false, Some(network)) = (granted, &self.network) {
            network.reached(limit, None);
        }
        granted
    }

    /// Forget that memory or a table's growth was refused: the component has coped with it.
    pub(crate) fn forget_refusal(&mut self) {
        self.memory.refused = false;
        self.memory.lacking = false;
        self.table.refused = false;
    }

    /// The bound on memory, if the component was refused memory for it since
    /// [`Limiter::forget_refusal`].
    pub(crate) fn memory_refused(&self) -> Option<u64> {
        self.memory.refused.then_some(self.memory.budget.limit())
    }

    /// Whether the system had no memory that the component was granted, since
    /// [`Limiter::forget_refusal`].
    pub(crate) fn memory_lacking(&self) -> bool {
        self.memory.lacking
    }

    /// Whether the component was refused a table's growth since [`Limiter::forget_refusal`].
    pub(crate) fn table_refused(&self) -> bool {
        self.table.refused
    }
}

/// An amount shared by all memories, or all tables, of a store.
struct Quota {
    budget: Arc<Budget>,
    /// What the growth took that was granted last, to be given back should it fail.
    latest: u64,
    refused: bool,
    /// Whether a growth that was granted failed all the same.
    lacking: bool,
}

impl Quota {
    fn new(limit: u64) -> Quota {
        Quota {
            budget: Budget::new(limit),
            latest: 0,
            refused: false,
            lacking: false,
        }
    }

    /// Answers a memory or table with this maximum of its own, which wants to grow.
    fn growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> bool {
        // Past its own maximum it is itself that can't grow, not the quota that is too small.
        if maximum.is_some_and(|maximum| desired > maximum) {
            self.latest = 0;
            return true;
        }
        self.grow(current, desired)
    }

    fn grow(&mut self, current: usize, desired: usize) -> bool {
        let more = desired.saturating_sub(current) as u64;
        let granted = self.budget.take(more);
        if granted {
            self.latest = more;
        } else {
            self.refused = true;
            self.latest = 0;
        }
        granted
    }

    fn failed(&mut self) {
        let latest = std::mem::take(&mut self.latest);
        self.lacking |= latest > 0;
        self.budget.give_back(latest);
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let granted = self.memory.growing(current, desired, maximum);
        Ok(self.answered(granted, Limit::Memory))
    }

    fn memory_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        self.memory.failed();
        Ok(())
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let granted = self.table.growing(current, desired, maximum);
        Ok(self.answered(granted, Limit::TableElements))
    }

    fn table_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        self.table.failed();
        Ok(())
    }

    fn instances(&self) -> usize {
        self.instances
    }

    fn tables(&self) -> usize {
        self.instances
    }

    fn memories(&self) -> usize {
        self.instances
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: usize = 64 * 1024;

    fn limiter(memory_bytes: u64) -> Limiter {
        Limiter::new(&Limits {
            memory_bytes,
            ..Limits::default()
        })
    }

    #[test]
    fn memory_is_granted_up_to_the_limit() {
        for (limit, expected) in [
            (2 * PAGE as u64 - 1, false),
            (2 * PAGE as u64, true),
            (2 * PAGE as u64 + 1, true),
        ] {
            let mut limiter = limiter(limit);
            assert!(limiter.memory_growing(0, PAGE, None).unwrap());
            assert_eq!(
                limiter.memory_growing(PAGE, 2 * PAGE, None).unwrap(),
                expected
            );
            assert_eq!(limiter.memory_refused(), (!expected).then_some(limit));
        }
    }

    #[test]
    fn all_memories_count_together() {
        let mut limiter = limiter(3 * PAGE as u64);
        assert!(limiter.memory_growing(0, 2 * PAGE, None).unwrap());
        assert!(limiter.memory_growing(0, PAGE, None).unwrap());
        assert!(!limiter.memory_growing(PAGE, 2 * PAGE, None).unwrap());
    }

    #[test]
    fn what_the_host_keeps_counts_with_linear_memory() {
        let mut limiter = limiter(3 * PAGE as u64);
        let kept = limiter.memory().charge(PAGE as u64).unwrap();
        assert!(limiter.memory_growing(0, 2 * PAGE, None).unwrap());
        assert!(!limiter.memory_growing(2 * PAGE, 3 * PAGE, None).unwrap());
        assert!(limiter.memory().charge(1).is_none());
        drop(kept);
        assert!(limiter.memory_growing(2 * PAGE, 3 * PAGE, None).unwrap());
    }

    #[test]
    fn a_growth_that_failed_is_given_back() {
        let mut limiter = limiter(2 * PAGE as u64);
        assert!(limiter.memory_growing(0, 2 * PAGE, None).unwrap());
        limiter
            .memory_grow_failed(wasmtime::format_err!("no memory"))
            .unwrap();
        assert!(limiter.memory_growing(0, 2 * PAGE, None).unwrap());
        assert_eq!(limiter.memory_refused(), None);
    }

    #[test]
    fn a_memorys_own_maximum_is_not_our_limit() {
        let mut limiter = limiter(2 * PAGE as u64);
        assert!(
            limiter
                .memory_growing(PAGE, 4 * PAGE, Some(2 * PAGE))
                .unwrap()
        );
        limiter
            .memory_grow_failed(wasmtime::format_err!("past its maximum"))
            .unwrap();
        assert_eq!(limiter.memory_refused(), None);
        assert!(limiter.memory_growing(0, 2 * PAGE, None).unwrap());
    }

    #[test]
    fn table_elements_are_granted_up_to_the_limit() {
        let mut limiter = Limiter::new(&Limits {
            table_elements: 10,
            ..Limits::default()
        });
        assert!(limiter.table_growing(0, 9, None).unwrap());
        assert!(limiter.table_growing(9, 10, None).unwrap());
        assert!(!limiter.table_growing(10, 11, None).unwrap());
    }
}

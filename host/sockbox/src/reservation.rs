//! How much address space a component's memories reserve.
//!
//! By default wasmtime reserves the full range of each linear memory, 4 GiB and guard pages, so that no access
//! needs a check. In a process with little address space (`ulimit -v`, `RLIMIT_AS`) that is not possible. There
//! a memory reserves only its size, and accesses are checked. Code that was compiled for one way does not run
//! with the other.

use wasmtime::Config;

/// The address space, in bytes, that the process needs for full reservations: enough for three memories,
/// and 2 GiB for everything else. Components that are composed of several have several memories.
const FULL: u64 = 16 << 30;
/// How much a small memory can grow until it has to be moved, in bytes.
const SMALL_GROWTH: u64 = 16 << 20;
/// The size of the guard region after a small memory, for accesses with a small offset.
const SMALL_GUARD: u64 = 64 << 10;

/// How much is reserved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reservation {
    /// The full range of a memory.
    Full,
    /// The size of a memory, and some more to grow.
    Small,
}

impl Reservation {
    /// The reservation that fits this process.
    pub(crate) fn fitting() -> Reservation {
        match address_limit() {
            Some(limit) if limit < FULL => Reservation::Small,
            _ => Reservation::Full,
        }
    }

    /// Have an engine of this configuration reserve so much.
    pub(crate) fn configure(self, config: &mut Config) {
        if self == Reservation::Small {
            config
                .memory_reservation(0)
                .memory_reservation_for_growth(SMALL_GROWTH)
                .memory_guard_size(SMALL_GUARD)
                .guard_before_linear_memory(false);
        }
    }
}

/// How many bytes of addresses the process may have; None is no bound.
#[cfg(unix)]
pub(crate) fn address_limit() -> Option<u64> {
    rustix::process::getrlimit(rustix::process::Resource::As).current
}

/// Other systems limit memory in other ways.
#[cfg(not(unix))]
pub(crate) fn address_limit() -> Option<u64> {
    None
}

/// A text for a process that got no memory: the limit that caused it, if it is known.
pub(crate) fn hint() -> String {
    match address_limit() {
        Some(limit) => format!(
            " (`ulimit -v` limits this process to {} KiB of address space: raise it)",
            limit >> 10
        ),
        None => String::new(),
    }
}

//! How much of the process's addresses a component's memories reserve.
//!
//! By default wasmtime reserves for each linear memory all that it could ever reach, 4 GiB and guard pages, so
//! that no access has to be checked. A process that may have few addresses (`ulimit -v`, `RLIMIT_AS`) can't have
//! that; there memories reserve what they have, and accesses are checked. Code that was compiled for the one
//! does not run with the other.

use wasmtime::Config;

/// What the process must be able to have of addresses for memories to reserve all that they could reach, in
/// bytes: three memories, and 2 GiB for everything else. Fewer would not do for components that are made of
/// several.
const FULL: u64 = 16 << 30;
/// What a small memory may grow by until it has to be moved, in bytes.
const SMALL_GROWTH: u64 = 16 << 20;
/// The bytes behind a small memory that can't be accessed, for accesses with a small offset.
const SMALL_GUARD: u64 = 64 << 10;

/// How much is reserved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reservation {
    /// All that a memory could ever reach.
    Full,
    /// What a memory has, and some more to grow.
    Small,
}

impl Reservation {
    /// What fits this process.
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

/// Other systems bound memory in other ways.
#[cfg(not(unix))]
pub(crate) fn address_limit() -> Option<u64> {
    None
}

/// What to tell people of a process that got no memory: what bounds it, where that is known.
pub(crate) fn hint() -> String {
    match address_limit() {
        Some(limit) => format!(
            " (`ulimit -v` limits this process to {} KiB of address space: raise it)",
            limit >> 10
        ),
        None => String::new(),
    }
}

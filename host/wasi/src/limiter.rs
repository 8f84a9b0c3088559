//! Memory and tables: what a component may take of them.

use crate::authority::Authority;
use crate::budget::Budget;
use sockbox_policy::{Limit, Limits};
use std::sync::Arc;
use wasmtime::ResourceLimiter;

/// Keeps a component within its memory and tables.
pub struct Limiter {
    memory: Quota,
    table: Quota,
    instances: usize,
    /// The authority that records refusals.
    authority: Option<Arc<Authority>>,
}

impl Limiter {
    /// One that records what it refuses.
    pub(crate) fn recording(limits: &Limits, authority: Arc<Authority>) -> Limiter {
        Limiter {
            authority: Some(authority),
            ..Limiter::new(limits)
        }
    }

    fn new(limits: &Limits) -> Limiter {
        Limiter {
            memory: Quota::new(limits.memory_bytes),
            table: Quota::new(limits.table_elements),
            instances: limits.instances,
            authority: None,
        }
    }

    /// The budget of linear memory and of the host's buffers for the component.
    pub(crate) fn memory(&self) -> &Arc<Budget> {
        &self.memory.budget
    }

    /// Record a refusal, whether or not the component can do without.
    fn answered(&self, granted: bool, limit: Limit) -> bool {
        if let (false, Some(authority)) = (granted, &self.authority) {
            authority.reached(limit, None);
        }
        granted
    }

    /// Note that the host was refused memory that a call needs.
    pub(crate) fn refuse_memory(&mut self) {
        self.memory.refused = true;
    }

    /// Forget that memory or a table's growth was refused: the component has coped with it.
    pub fn forget_refusal(&mut self) {
        self.memory.refused = false;
        self.memory.lacking = false;
        self.table.refused = false;
    }

    /// The bound on memory, if the component was refused memory for it since
    /// [`Limiter::forget_refusal`].
    pub fn memory_refused(&self) -> Option<u64> {
        self.memory.refused.then_some(self.memory.budget.limit())
    }

    /// Whether the system had no memory that the component was granted, since
    /// [`Limiter::forget_refusal`].
    pub fn memory_lacking(&self) -> bool {
        self.memory.lacking
    }

    /// Whether the component was refused a table's growth since [`Limiter::forget_refusal`].
    pub fn table_refused(&self) -> bool {
        self.table.refused
    }
}

/// An amount shared by all memories, or all tables, of a store.
struct Quota {
    budget: Arc<Budget>,
    /// The size of the last granted growth. It is given back if the growth fails.
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

    /// Decides whether a memory or table with this maximum may grow.
    fn growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> bool {
        // Growing past its own maximum fails because of the memory or table itself, not because of
        // the quota.
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
        Limiter::new(&Limits::default().memory_bytes(memory_bytes))
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
        let mut limiter = Limiter::new(&Limits::default().table_elements(10));
        assert!(limiter.table_growing(0, 9, None).unwrap());
        assert!(limiter.table_growing(9, 10, None).unwrap());
        assert!(!limiter.table_growing(10, 11, None).unwrap());
    }
}

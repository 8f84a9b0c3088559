//! A run's memory: one amount that the component's linear memory and what the host keeps for the
//! component draw from together.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// An amount that is used up and given back.
#[derive(Debug)]
pub(crate) struct Budget {
    limit: u64,
    used: AtomicU64,
}

impl Budget {
    pub(crate) fn new(limit: u64) -> Arc<Budget> {
        Arc::new(Budget {
            limit,
            used: AtomicU64::new(0),
        })
    }

    pub(crate) fn limit(&self) -> u64 {
        self.limit
    }

    /// Use up `amount`, unless there is less than that left.
    pub(crate) fn take(&self, amount: u64) -> bool {
        let more = |used: u64| {
            let used = used.checked_add(amount)?;
            (used <= self.limit).then_some(used)
        };
        self.used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more)
            .is_ok()
    }

    /// Give back what was taken.
    pub(crate) fn give_back(&self, amount: u64) {
        let less = |used: u64| Some(used.saturating_sub(amount));
        let _ = self
            .used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }

    /// Use up `amount` for as long as the [`Charge`] lives. None: there is less than that left.
    pub(crate) fn charge(self: &Arc<Self>, amount: u64) -> Option<Charge> {
        self.take(amount).then(|| Charge {
            budget: self.clone(),
            amount,
        })
    }
}

/// A part of a [`Budget`] that is in use. Dropping it gives the part back.
#[derive(Debug)]
pub(crate) struct Charge {
    budget: Arc<Budget>,
    amount: u64,
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.budget.give_back(self.amount);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_charge_is_granted_up_to_the_limit_and_given_back_when_dropped() {
        let budget = Budget::new(10);
        let first = budget.charge(6).unwrap();
        assert!(budget.charge(5).is_none());
        let second = budget.charge(4).unwrap();
        assert!(!budget.take(1));
        drop(first);
        assert!(budget.take(6));
        drop(second);
        assert!(budget.take(4));
        assert!(!budget.take(1));
        assert!(!Budget::new(u64::MAX - 1).take(u64::MAX));
    }
}

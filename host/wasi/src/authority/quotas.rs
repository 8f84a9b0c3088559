//! Limits that have been reached, and the remaining lookups.

use super::{Authority, Incident};
use sockbox_policy::audit::EventKind;
use sockbox_policy::{Limit, Limits, Target};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::Semaphore;

/// The quotas that the authority counts.
pub(crate) struct Quotas {
    /// The limits that have been reached, a bit for each.
    reached: AtomicU32,
    /// How many more names may be looked up; none: any number.
    resolutions_left: Option<AtomicU64>,
    /// How many names may be looked up at once.
    pub(crate) lookups: Arc<Semaphore>,
    pub(crate) resolve_timeout: Duration,
}

impl Quotas {
    pub(super) fn new(limits: &Limits) -> Quotas {
        Quotas {
            reached: AtomicU32::new(0),
            resolutions_left: limits.resolutions.map(AtomicU64::new),
            lookups: Arc::new(Semaphore::new(
                limits.resolutions_at_once.min(Semaphore::MAX_PERMITS),
            )),
            resolve_timeout: limits.resolve_timeout,
        }
    }
}

impl Authority {
    /// Note that a limit has been reached. It is recorded once until there is room again, because a
    /// component may reach it any number of times.
    pub fn reached(&self, limit: Limit, target: Option<Target>) {
        self.note(Incident::Limit {
            limit,
            target: target.clone(),
        });
        if self.quotas.reached.fetch_or(bit(limit), Ordering::Relaxed) & bit(limit) == 0 {
            tracing::debug!(run = %self.run, %limit, "limit reached");
            self.record(|| EventKind::Limit { limit, target });
        }
    }

    /// Note that a limit has room for one more again.
    pub(crate) fn has_room(&self, limit: Limit) {
        if self.has_reached(limit) {
            self.quotas
                .reached
                .fetch_and(!bit(limit), Ordering::Relaxed);
        }
    }

    /// Whether a limit has been reached and has had no room since.
    pub(crate) fn has_reached(&self, limit: Limit) -> bool {
        self.quotas.reached.load(Ordering::Relaxed) & bit(limit) != 0
    }

    /// Count one lookup. False: no lookup is left.
    pub(crate) fn counts_lookup(&self) -> bool {
        let Some(left) = &self.quotas.resolutions_left else {
            return true;
        };
        let one_less = |left: u64| left.checked_sub(1);
        left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less)
            .is_ok()
    }
}

pub(super) fn bit(limit: Limit) -> u32 {
    1 << limit as u32
}

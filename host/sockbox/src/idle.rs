//! Instances that wait to be used again.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Instances that wait for their next use, the one that has waited longest first.
pub(crate) struct Idle<L>(Mutex<Vec<(Instant, L)>>);

impl<L> Default for Idle<L> {
    fn default() -> Idle<L> {
        Idle(Mutex::default())
    }
}

impl<L> Idle<L> {
    fn all(&self) -> MutexGuard<'_, Vec<(Instant, L)>> {
        // The list is valid after every statement, so a panic in another thread leaves it usable.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Take the one that was used last: its memory is the most likely to be in the processor's cache.
    pub(crate) fn take(&self) -> Option<L> {
        self.all().pop().map(|(_, live)| live)
    }

    pub(crate) fn keep(&self, live: L) {
        self.all().push((Instant::now(), live));
    }

    /// How many wait.
    pub(crate) fn len(&self) -> usize {
        self.all().len()
    }

    /// Since when the one that has waited longest has waited. None: none waits.
    pub(crate) fn since(&self) -> Option<Instant> {
        self.all().first().map(|(since, _)| *since)
    }

    /// Drop those that have waited for `longest`, or longer.
    pub(crate) fn expire(&self, now: Instant, longest: Duration) {
        let mut idle = self.all();
        let waits_long =
            |(since, _): &(Instant, L)| now.saturating_duration_since(*since) >= longest;
        let expired = idle.iter().take_while(|it| waits_long(it)).count();
        let expired: Vec<_> = idle.drain(..expired).collect();
        drop(idle);
        drop(expired);
    }

    /// Drop all of them.
    pub(crate) fn clear(&self) {
        let idle = std::mem::take(&mut *self.all());
        drop(idle);
    }
}

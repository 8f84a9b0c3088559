//! Timers: many deadlines in the component, and one pollable in the host for the earliest of them.

use crate::bindings::wasi::clocks::monotonic_clock;
use crate::bindings::wasi::io::poll::Pollable;
use crate::net::Instant;

/// The pollable of the earliest deadline, kept while that deadline stays the same.
#[derive(Default)]
pub struct Timer {
    armed: Option<(Instant, Pollable)>,
}

impl Timer {
    /// A pollable that is ready at this time.
    pub fn at(&mut self, earliest: Instant) -> &Pollable {
        let kept = self.armed.take().filter(|(at, _)| *at == earliest);
        let (_, pollable) = self.armed.insert(
            kept.unwrap_or_else(|| (earliest, monotonic_clock::subscribe_instant(earliest.0))),
        );
        pollable
    }
}

//! Waiting with a deadline.

use std::time::{Duration, Instant};

/// How long an expected event may take. Only a failing test waits this long, so it is generous: the
/// machine may be slow, and busy with other tests. Compiling a component of Python takes 40 seconds of CPU time.
pub const PATIENCE: Duration = Duration::from_secs(180);

/// How often a condition is polled.
const PAUSE: Duration = Duration::from_millis(2);

/// A point in time by which something must have happened.
#[derive(Clone, Copy, Debug)]
pub struct Deadline(Instant);

impl Deadline {
    /// The point in time that lies `duration` ahead.
    pub fn after(duration: Duration) -> Self {
        Self(Instant::now() + duration)
    }

    /// What is left, zero once it has passed.
    pub fn left(&self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }

    /// Whether it has passed.
    pub fn passed(&self) -> bool {
        self.left().is_zero()
    }
}

/// Ask `condition` again and again until it has an answer.
///
/// # Panics
/// When there is none within [`PATIENCE`]; the message says what was waited for.
pub fn eventually<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let deadline = Deadline::after(PATIENCE);
    loop {
        if let Some(answer) = condition() {
            return answer;
        }
        assert!(!deadline.passed(), "waited {PATIENCE:?} in vain for {what}");
        std::thread::sleep(PAUSE);
    }
}

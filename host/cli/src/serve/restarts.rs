//! How often a component that traps is started anew.

use crate::args::Restart;
use sockbox::Error;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How many restarts there may be within [`WITHIN`]. A mistake that a client can call forth at will
/// is one to be known, not one to be covered up for ever.
const AT_MOST: usize = 5;
const WITHIN: Duration = Duration::from_secs(60);

/// The pause before the first restart of late; each further one doubles it.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// Decides on restarts.
pub struct Restarts {
    when: Restart,
    recent: VecDeque<Instant>,
}

impl Restarts {
    pub fn new(when: Restart) -> Restarts {
        Restarts {
            when,
            recent: VecDeque::new(),
        }
    }

    /// After what pause the component is started anew that has ended so; none if it isn't.
    pub fn pause_after(&mut self, error: &Error, now: Instant) -> Option<Duration> {
        let trapped = matches!(
            error,
            Error::Trapped { .. } | Error::MemoryLimit { .. } | Error::Exhausted { .. }
        );
        if self.when == Restart::Never || !trapped {
            return None;
        }
        while let Some(first) = self.recent.front()
            && now.duration_since(*first) >= WITHIN
        {
            self.recent.pop_front();
        }
        if self.recent.len() >= AT_MOST {
            return None;
        }
        let pause = FIRST_PAUSE * (1 << self.recent.len());
        self.recent.push_back(now);
        Some(pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trap() -> Error {
        Error::MemoryLimit { limit: 0 }
    }

    #[test]
    fn five_times_in_a_minute_and_no_more() {
        let mut restarts = Restarts::new(Restart::OnTrap);
        let start = Instant::now();
        let mut after = |seconds| {
            let pause = restarts.pause_after(&trap(), start + Duration::from_secs(seconds));
            pause.map(|pause| pause.as_millis())
        };
        for (seconds, expected) in [
            (0, Some(100)),
            (1, Some(200)),
            (2, Some(400)),
            (3, Some(800)),
            (4, Some(1600)),
            (59, None),
            (60, Some(1600)),
            (60, None),
            (61, Some(1600)),
            (200, Some(100)),
        ] {
            assert_eq!(after(seconds), expected, "after {seconds} s");
        }
    }

    #[test]
    fn only_a_trap_and_only_where_it_is_wanted() {
        let now = Instant::now();
        assert_eq!(
            Restarts::new(Restart::Never).pause_after(&trap(), now),
            None
        );
        let mut restarts = Restarts::new(Restart::OnTrap);
        let trapped = Error::Trapped {
            reason: String::new(),
            backtrace: None,
        };
        assert!(restarts.pause_after(&trapped, now).is_some());
        for error in [
            Error::Abandoned,
            Error::WallTime {
                limit: Duration::ZERO,
            },
        ] {
            assert_eq!(restarts.pause_after(&error, now), None, "{error:?}");
        }
    }
}

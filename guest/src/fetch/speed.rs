//! How fast one direction of a transfer may be, and has to be.

use crate::net::Instant;
use std::time::Duration;

/// How many parts the period of a [`MinSpeed`] is measured in: a transfer that stops is given up
/// within a tenth of the period behind its end.
const SLOTS: usize = 10;

/// The smallest step in which a body is sent where its speed is watched. It counts when it was taken
/// as a whole, and steps of a few bytes would cost more than they tell.
const MIN_STEP: u64 = 1024;

const NANOS_PER_SECOND: u128 = 1_000_000_000;

/// The slowest that a transfer may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MinSpeed {
    /// So many bytes a second, averaged over `period`; 0 for no bound.
    pub bytes_per_second: u64,
    /// For how long it may be slower; longer than nothing.
    pub period: Duration,
}

/// Watches one direction of a transfer, and slows it down.
#[derive(Debug)]
pub struct Speed {
    min: Option<Window>,
    max: Option<Pace>,
}

/// The last period of a transfer, as far as it was the peer's turn.
#[derive(Debug)]
struct Window {
    min: MinSpeed,
    /// What was moved in each part of the period, in a ring.
    slots: [u64; SLOTS],
    current: usize,
    /// How much of the current part has passed.
    passed: Duration,
    /// How many parts before it have.
    full: usize,
    /// What had been moved in all when this last was told.
    seen: u64,
    /// How long the peer took for what will be told next.
    pending: Duration,
}

/// When the next bytes may be moved.
#[derive(Debug)]
struct Pace {
    bytes_per_second: u64,
    next: Instant,
    seen: u64,
}

impl Speed {
    /// A direction in which nothing was moved yet.
    pub fn new(min: Option<MinSpeed>, max: Option<u64>) -> Self {
        let window = |min| Window {
            min,
            slots: [0; SLOTS],
            current: 0,
            passed: Duration::ZERO,
            full: 0,
            seen: 0,
            pending: Duration::ZERO,
        };
        let pace = |bytes_per_second| Pace {
            bytes_per_second,
            next: Instant(0),
            seen: 0,
        };
        Self {
            min: min.filter(|min| min.bytes_per_second > 0).map(window),
            max: max.map(pace),
        }
    }

    /// Takes note of how much was moved in all, and tells the bound that was fallen short of.
    pub fn moved(&mut self, total: u64) -> Option<MinSpeed> {
        let window = self.min.as_mut()?;
        let more = since(&mut window.seen, total);
        if let Some(slot) = window.slots.get_mut(window.current) {
            *slot = slot.saturating_add(more);
        }
        let time = std::mem::take(&mut window.pending);
        self.waited(time)
    }

    /// Takes note of time that the peer took until it moved what [`moved`](Self::moved) tells next.
    pub fn answered(&mut self, time: Duration) {
        if let Some(window) = &mut self.min {
            window.pending = window.pending.saturating_add(time);
        }
    }

    /// How long the peer may take until the speed has to be looked at; none for no bound.
    pub fn patience(&self) -> Option<Duration> {
        let window = self.min.as_ref()?;
        Some(window.slot_length().saturating_sub(window.passed))
    }

    /// Takes note of time in which the peer moved nothing, and tells the bound that was fallen short
    /// of.
    pub fn waited(&mut self, time: Duration) -> Option<MinSpeed> {
        let window = self.min.as_mut()?;
        let length = window.slot_length();
        // After a whole period in which nothing was moved, more of it tells nothing new.
        let time = time.min(length.saturating_mul(SLOTS as u32 + 1));
        window.passed = window.passed.saturating_add(time);
        while window.passed >= length {
            window.passed -= length;
            if window.end_slot() {
                return Some(window.min);
            }
        }
        None
    }

    /// When the next step may be taken, if `total` bytes were moved until `now`.
    pub fn next_step(&mut self, total: u64, now: Instant) -> Instant {
        let Some(pace) = &mut self.max else {
            return now;
        };
        let more = since(&mut pace.seen, total);
        let nanos = u128::from(more) * NANOS_PER_SECOND / u128::from(pace.bytes_per_second.max(1));
        let cost = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        // What a slow peer has left unused isn't made up for later.
        pace.next = pace.next.after(cost).max(now);
        pace.next
    }

    /// How many bytes to receive at once: at most `max`, at least one.
    pub fn receiving_step(&self, max: u64) -> u64 {
        match &self.max {
            Some(pace) => max.min(pace.bytes_per_second.div_ceil(10)).max(1),
            None => max,
        }
    }

    /// How many bytes to send at once: at most `max`, at least one.
    pub fn sending_step(&self, max: u64) -> u64 {
        let step = self.receiving_step(max);
        match &self.min {
            Some(window) => {
                let wanted = window.threshold() / SLOTS as u128;
                step.min(u64::try_from(wanted).map_or(u64::MAX, |wanted| wanted.max(MIN_STEP)))
            }
            None => step,
        }
    }
}

/// How much more `total` is than what was seen. One that is less is that of a request that was begun
/// anew.
fn since(seen: &mut u64, total: u64) -> u64 {
    let before = std::mem::replace(seen, total);
    total.checked_sub(before).unwrap_or(total)
}

impl Window {
    fn slot_length(&self) -> Duration {
        let length = self.min.period / SLOTS as u32;
        // A period of next to nothing must not have parts of nothing.
        length.max(Duration::from_nanos(1))
    }

    /// How many bytes a period has to bring.
    fn threshold(&self) -> u128 {
        u128::from(self.min.bytes_per_second).saturating_mul(self.min.period.as_nanos())
            / NANOS_PER_SECOND
    }

    /// Begins the next part, and tells whether the period that has ended was too slow.
    fn end_slot(&mut self) -> bool {
        self.full = (self.full + 1).min(SLOTS);
        let moved: u128 = self.slots.iter().copied().map(u128::from).sum();
        let too_slow = self.full == SLOTS && moved < self.threshold();
        self.current = (self.current + 1) % SLOTS;
        if let Some(slot) = self.slots.get_mut(self.current) {
            *slot = 0;
        }
        too_slow
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn min(bytes_per_second: u64, period: Duration) -> Speed {
        let min = MinSpeed {
            bytes_per_second,
            period,
        };
        Speed::new(Some(min), None)
    }

    #[test]
    fn a_transfer_is_too_slow_when_a_whole_period_was() {
        // What is moved in each second, and the second in whose end it is too slow.
        let cases: [(u64, u64, &[u64], Option<usize>); 8] = [
            (10, 10, &[10; 30], None),
            (10, 10, &[9; 30], Some(10)),
            (10, 10, &[0; 30], Some(10)),
            (10, 10, &[100, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], Some(11)),
            (
                10,
                10,
                &[50, 50, 0, 0, 0, 0, 0, 0, 0, 0, 50, 49, 0],
                Some(12),
            ),
            (10, 10, &[0, 0, 0, 0, 0, 0, 0, 0, 0, 100, 0, 0, 0], None),
            (0, 10, &[0; 30], None),
            (1, 10, &[1_000_000, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], Some(11)),
        ];
        for (bytes_per_second, seconds, seconds_moved, expected) in cases {
            let mut speed = min(bytes_per_second, SECOND * seconds as u32);
            let mut total = 0;
            let mut slow = None;
            for (index, moved) in seconds_moved.iter().enumerate() {
                total += moved;
                speed.answered(SECOND);
                if speed.moved(total).is_some() {
                    slow = Some(index + 1);
                    break;
                }
            }
            assert_eq!(slow, expected, "{bytes_per_second} {seconds_moved:?}");
        }
    }

    #[test]
    fn a_long_wait_is_judged_as_many_short_ones() {
        let mut speed = min(1, 10 * SECOND);
        assert_eq!(speed.waited(10 * SECOND - Duration::from_nanos(1)), None);
        assert_eq!(speed.patience(), Some(Duration::from_nanos(1)));
        assert!(speed.waited(Duration::from_nanos(1)).is_some());
        assert!(min(1, SECOND).waited(Duration::MAX).is_some());
        assert!(min(u64::MAX, Duration::MAX).waited(Duration::MAX).is_some());
        assert!(min(1 << 60, Duration::ZERO).waited(SECOND).is_none());
    }

    #[test]
    fn what_is_moved_once_more_counts_once_more() {
        let mut speed = min(100, 10 * SECOND);
        for total in [0, 500, 1000, 0, 500, 1000, 1500] {
            speed.answered(2 * SECOND);
            assert_eq!(speed.moved(total), None, "{total}");
        }
        let mut speed = Speed::new(None, Some(100));
        let starts = [0, 300, 0, 300].map(|total| speed.next_step(total, Instant(0)).0);
        assert_eq!(starts, [0, 3, 3, 6].map(|seconds| seconds * 1_000_000_000));
    }

    #[test]
    fn steps_come_no_faster_than_allowed() {
        let at = |seconds: u64| Instant(seconds * 1_000_000_000);
        let mut speed = Speed::new(None, Some(100));
        let cases = [
            // Moved in all, now, and when the next step may be.
            (0, 5, 5),
            (100, 5, 6),
            (200, 6, 7),
            (300, 20, 20),
            (400, 20, 21),
            (400, 21, 21),
        ];
        for (total, now, expected) in cases {
            let step = speed.next_step(total, at(now));
            assert_eq!(step, at(expected), "{total} bytes at {now} s");
        }
        let mut speed = Speed::new(None, Some(1));
        assert_eq!(speed.next_step(u64::MAX, at(0)), Instant(u64::MAX));
        assert_eq!(Speed::new(None, None).next_step(1, at(3)), at(3));
    }

    #[test]
    fn steps_are_small_enough_to_be_smooth() {
        let slowest = |bytes_per_second| {
            Some(MinSpeed {
                bytes_per_second,
                period: 10 * SECOND,
            })
        };
        let cases = [
            // Bounds, wanted, received and sent at once.
            (None, None, 65_536, 65_536, 65_536),
            (None, Some(1_000_000), 65_536, 65_536, 65_536),
            (None, Some(1000), 65_536, 100, 100),
            (None, Some(1001), 65_536, 101, 101),
            (None, Some(1), 65_536, 1, 1),
            (None, Some(1000), 7, 7, 7),
            (slowest(1), None, 65_536, 65_536, 1024),
            (slowest(5000), None, 65_536, 65_536, 5000),
            (slowest(u64::MAX), None, 65_536, 65_536, 65_536),
        ];
        for (min, max, wanted, received, sent) in cases {
            let speed = Speed::new(min, max);
            let steps = (speed.receiving_step(wanted), speed.sending_step(wanted));
            assert_eq!(steps, (received, sent), "{min:?} {max:?} {wanted}");
        }
    }
}

//! The lowest and the highest speed of one direction of a transfer.

use crate::net::Instant;
use std::time::Duration;

/// How many slots the period of a [`MinSpeed`] has. A transfer that stops is given up at most a
/// tenth of the period after the period's end.
const SLOTS: usize = 10;

/// The smallest step in which a body is sent while its speed is measured. A step counts when all of
/// it was taken, and steps of a few bytes would cost more than the precision is worth.
const MIN_STEP: u64 = 1024;

const NANOS_PER_SECOND: u128 = 1_000_000_000;

/// The lowest speed of a transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MinSpeed {
    /// Bytes per second, averaged over `period`; 0 for no limit.
    pub bytes_per_second: u64,
    /// How long the transfer may be slower; not zero.
    pub period: Duration,
}

/// Measures one direction of a transfer, and slows it down.
#[derive(Debug)]
pub struct Speed {
    min: Option<Window>,
    max: Option<Pace>,
}

/// The last period of a transfer. Only the time in which the peer had to act counts.
#[derive(Debug)]
struct Window {
    min: MinSpeed,
    /// The bytes moved in each slot of the period; a ring buffer.
    slots: [u64; SLOTS],
    current: usize,
    /// How much of the current slot has passed.
    passed: Duration,
    /// How many slots before the current one have passed.
    full: usize,
    /// The total at the last call of [`Speed::moved`].
    seen: u64,
    /// The time that the peer took for the bytes of the next call of [`Speed::moved`].
    pending: Duration,
}

/// Limits the speed: when the next bytes may be moved.
#[derive(Debug)]
struct Pace {
    bytes_per_second: u64,
    next: Instant,
    seen: u64,
}

impl Speed {
    /// The measurement of a direction in which no byte has moved yet.
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

    /// Records how many bytes have moved in total. Returns the limit if the speed was below it.
    pub fn moved(&mut self, total: u64) -> Option<MinSpeed> {
        let window = self.min.as_mut()?;
        let more = since(&mut window.seen, total);
        if let Some(slot) = window.slots.get_mut(window.current) {
            *slot = slot.saturating_add(more);
        }
        let time = std::mem::take(&mut window.pending);
        self.waited(time)
    }

    /// Records the time that the peer took for the bytes that the next call of
    /// [`moved`](Self::moved) reports.
    pub fn answered(&mut self, time: Duration) {
        if let Some(window) = &mut self.min {
            window.pending = window.pending.saturating_add(time);
        }
    }

    /// How long the peer may take until the speed has to be checked; `None` for no limit.
    pub fn patience(&self) -> Option<Duration> {
        let window = self.min.as_ref()?;
        Some(window.slot_length().saturating_sub(window.passed))
    }

    /// Records time in which the peer moved nothing. Returns the limit if the speed was below it.
    pub fn waited(&mut self, time: Duration) -> Option<MinSpeed> {
        let window = self.min.as_mut()?;
        let length = window.slot_length();
        // One period without a byte is already too slow, so more time adds nothing.
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

    /// When the next step may start, if `total` bytes have moved by `now`.
    pub fn next_step(&mut self, total: u64, now: Instant) -> Instant {
        let Some(pace) = &mut self.max else {
            return now;
        };
        let more = since(&mut pace.seen, total);
        let nanos = u128::from(more) * NANOS_PER_SECOND / u128::from(pace.bytes_per_second.max(1));
        let cost = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        // Time in which a slow peer was below the limit is not made up for later.
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

/// How many bytes `total` is above the last total. A lower total is that of a body that starts
/// again.
fn since(seen: &mut u64, total: u64) -> u64 {
    let before = std::mem::replace(seen, total);
    total.checked_sub(before).unwrap_or(total)
}

impl Window {
    fn slot_length(&self) -> Duration {
        let length = self.min.period / SLOTS as u32;
        // A very short period must not have slots of zero length.
        length.max(Duration::from_nanos(1))
    }

    /// How many bytes must move in a period.
    fn threshold(&self) -> u128 {
        u128::from(self.min.bytes_per_second).saturating_mul(self.min.period.as_nanos())
            / NANOS_PER_SECOND
    }

    /// Starts the next slot. Returns whether the period that ends with this slot was too slow.
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
        // The bytes moved in each second, and the second at whose end the transfer is too slow.
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
            // The total, the time, and when the next step may start.
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
            // The limits, the size wanted, and the sizes received and sent at once.
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

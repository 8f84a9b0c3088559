//! A bound on how much may happen in a second.

use sockbox_policy::Limits;
use std::time::{Duration, Instant};

/// Tokens are counted in billionths: a nanosecond brings as many of those as a second brings tokens.
const ONE: i128 = 1_000_000_000;

/// A token bucket: so many in a second, and never more than a burst at once.
///
/// It has no clock: the caller passes the time.
pub(super) struct Bucket {
    per_second: u64,
    burst: i128,
    /// What has to be there before any of it is given.
    least: i128,
    level: i128,
    filled: Instant,
}

impl Bucket {
    /// A bound on things that are counted one by one: `per_second` of them may come at once.
    pub(super) fn of_events(per_second: u32, now: Instant) -> Bucket {
        let burst = i128::from(per_second) * ONE;
        Bucket::new(u64::from(per_second), burst, ONE, now)
    }

    /// A limit on bytes. The bytes of a tenth of a second may come at once. None are given before
    /// half of that is available, so a waiting task is woken at most twenty times a second.
    pub(super) fn of_bytes(per_second: u64, now: Instant) -> Bucket {
        let burst = (i128::from(per_second) * ONE / 10).max(ONE);
        Bucket::new(per_second, burst, (burst / 2).max(ONE), now)
    }

    fn new(per_second: u64, burst: i128, least: i128, now: Instant) -> Bucket {
        let level = if per_second == 0 { 0 } else { burst };
        Bucket {
            per_second,
            burst,
            least,
            level,
            filled: now,
        }
    }

    fn fill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.filled).as_nanos();
        let more = i128::try_from(passed).unwrap_or(i128::MAX);
        let more = more.saturating_mul(i128::from(self.per_second));
        self.level = self.level.saturating_add(more).min(self.burst);
        self.filled = self.filled.max(now);
    }

    /// How many there are.
    pub(super) fn available(&mut self, now: Instant) -> u64 {
        self.fill(now);
        match self.level >= self.least {
            true => u64::try_from(self.level / ONE).unwrap_or(u64::MAX),
            false => 0,
        }
    }

    /// Take so many tokens. If there are fewer, the rest is a debt that is paid before any are
    /// given again.
    pub(super) fn take(&mut self, count: u64) {
        self.level = self.level.saturating_sub(i128::from(count) * ONE);
    }

    /// Take the available tokens, at most `most`. Returns how many: none before the minimum is
    /// available.
    pub(super) fn take_up_to(&mut self, most: u64, now: Instant) -> u64 {
        let taken = self.available(now).min(most);
        self.take(taken);
        taken
    }

    /// Take one, if there is one.
    pub(super) fn take_one(&mut self, now: Instant) -> bool {
        let there = self.available(now) > 0;
        if there {
            self.take(1);
        }
        there
    }

    /// How long it takes until there are any. None: for ever.
    pub(super) fn wait(&mut self, now: Instant) -> Option<Duration> {
        self.fill(now);
        let missing = (self.least - self.level).max(0);
        if missing == 0 {
            return Some(Duration::ZERO);
        }
        let per_second = i128::from(self.per_second);
        let nanoseconds = missing
            .checked_add(per_second - 1)?
            .checked_div(per_second)?;
        Some(Duration::from_nanos(
            u64::try_from(nanoseconds).unwrap_or(u64::MAX),
        ))
    }
}

/// Spaces out the connections that a server accepts: so many in a second, and as many at once after a second without any.
pub struct AcceptRate(Option<Bucket>);

impl AcceptRate {
    /// The rate that the limits allow.
    pub fn new(limits: &Limits) -> AcceptRate {
        let bucket = |rate| Bucket::of_events(rate, Instant::now());
        AcceptRate(limits.accepts_per_second.map(bucket))
    }

    /// Wait until one more may be accepted. Call [`AcceptRate::accepted`] for it.
    ///
    /// # Cancel safety
    /// The future can be dropped, and nothing is lost.
    pub async fn wait(&mut self) {
        while let Some(bucket) = &mut self.0 {
            match bucket.wait(Instant::now()) {
                Some(Duration::ZERO) => return,
                Some(wait) => tokio::time::sleep(wait).await,
                None => std::future::pending().await,
            }
        }
    }

    /// Whether one more may be accepted now.
    pub fn is_ready(&mut self) -> bool {
        let bucket = self.0.as_mut();
        bucket.is_none_or(|bucket| bucket.available(Instant::now()) > 0)
    }

    /// Count one that was accepted.
    pub fn accepted(&mut self) {
        if let Some(bucket) = &mut self.0 {
            bucket.take(1);
        }
    }
}

impl std::fmt::Debug for AcceptRate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AcceptRate").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_seconds_worth_may_come_at_once_and_no_more() {
        let start = Instant::now();
        for per_second in [0, 1, 3, 1000] {
            let mut bucket = Bucket::of_events(per_second, start);
            let taken = (0..2000).filter(|_| bucket.take_one(start)).count();
            assert_eq!(taken, per_second as usize);
            // A day without any brings no more than a second does.
            let later = start + Duration::from_secs(86_400);
            let taken = (0..2000).filter(|_| bucket.take_one(later)).count();
            assert_eq!(taken, per_second as usize);
        }
    }

    #[test]
    fn they_come_back_one_by_one() {
        let start = Instant::now();
        let mut bucket = Bucket::of_events(4, start);
        (0..4).for_each(|_| assert!(bucket.take_one(start)));
        assert_eq!(bucket.wait(start), Some(250 * MS));
        assert!(!bucket.take_one(start + 249 * MS));
        assert_eq!(bucket.wait(start + 249 * MS), Some(MS));
        assert!(bucket.take_one(start + 250 * MS));
        assert!(!bucket.take_one(start + 250 * MS));
        // A clock that goes back gives nothing away.
        assert!(!bucket.take_one(start));
        assert!(!bucket.take_one(start + 499 * MS));
        assert!(bucket.take_one(start + 500 * MS));
    }

    #[test]
    fn bytes_come_in_pieces_worth_waiting_for() {
        let start = Instant::now();
        let mut bucket = Bucket::of_bytes(1000, start);
        assert_eq!(bucket.available(start), 100);
        bucket.take(100);
        assert_eq!(bucket.available(start + 49 * MS), 0);
        assert_eq!(bucket.wait(start + 49 * MS), Some(MS));
        assert_eq!(bucket.available(start + 50 * MS), 50);
        assert_eq!(bucket.wait(start + 50 * MS), Some(Duration::ZERO));
        assert_eq!(bucket.available(start + 200 * MS), 100);
    }

    #[test]
    fn what_is_taken_and_not_there_is_owed() {
        let start = Instant::now();
        let mut bucket = Bucket::of_bytes(1000, start);
        bucket.take(1100);
        assert_eq!(bucket.wait(start), Some(1050 * MS));
        assert_eq!(bucket.available(start + 1049 * MS), 0);
        assert_eq!(bucket.available(start + 1050 * MS), 50);
    }

    #[test]
    fn the_extremes_are_no_mistakes() {
        let start = Instant::now();
        let mut none = Bucket::of_bytes(0, start);
        assert_eq!(none.available(start + Duration::from_secs(1)), 0);
        assert_eq!(none.wait(start), None);
        let mut few = Bucket::of_bytes(1, start);
        assert_eq!(few.available(start), 1);
        few.take(1);
        assert_eq!(few.wait(start), Some(1000 * MS));
        let mut many = Bucket::of_bytes(u64::MAX, start);
        assert!(many.available(start) > 1 << 60);
        many.take(u64::MAX);
        many.take(u64::MAX);
        let enough = many.wait(start).unwrap();
        assert!(many.available(start + enough) > 0);
    }
}

//! Which waits to poll at each turn of the reactor.
//!
//! `wasi:io/poll` takes a list of pollables and costs about a microsecond for each of them, every
//! time. With ten thousand idle connections in the list, each message of one busy connection would
//! take 10 ms. So a wait is either *hot*, having begun a short time ago, or *cold*. Hot waits are
//! polled at every turn. Cold waits are polled a few at a time, so that each of them is polled
//! within [`SWEEP`]. On a machine or a runtime that is too slow for that it takes longer, because
//! the cold waits never get more than a fixed part of the time ([`SHARE`]). Only when there are no
//! hot waits are all waits polled at once, and that poll blocks.
//!
//! The hot waits are polled in slices, for another reason. Runtimes built on tokio let a task learn
//! of 128 ready sockets before it has to yield. A poll that finds that many uses up the budget for
//! reading and writing them: those operations then find nothing ready, and the component would poll
//! for ever without progress. A slice with many ready waits is followed by small slices
//! ([`SMALLEST_SLICE`]), each of which leaves enough of the budget.

use std::collections::VecDeque;

/// How long a wait is hot: 20 ms, enough for the next message of a nearby client.
const HEAT: u64 = 20_000_000;

/// The longest time until each cold wait has been polled: 20 ms. Together with the length of a turn
/// and other load on the machine, a client that sends after a pause is noticed well within 50 ms.
const SWEEP: u64 = 20_000_000;

/// The part of the time that polling cold waits may take: a third. At least this many cold waits
/// are polled at each turn.
///
/// Without this limit, a component that needs longer than [`SWEEP`] to poll all waits would poll
/// all of them at every turn.
const SHARE: u64 = 3;
const SMALLEST_SHARE: usize = 16;

/// The cost of polling one wait in nanoseconds: assumed at first, lowest and highest. Some runtimes
/// need a tenth of a microsecond, others need one. The cost is measured while running.
const COST: u64 = 1_000;
const LOWEST_COST: u64 = 20;
const HIGHEST_COST: u64 = 10_000;

/// How slowly the measured cost rises: by a 32nd of the difference. It falls at once, because other
/// causes of delay (a blocking wait, another program's turn) only add to it.
const RISE: u64 = 32;

/// How many waits a poll must have had for its duration to be a measurement.
const SAMPLE: usize = 32;

/// The longest blocking poll before the next cold waits are due: 5 ms.
const STEP: u64 = 5_000_000;

/// The size of a small slice. A ready wait costs three of tokio's 128: one to find it ready, two to
/// write the answer.
const SMALLEST_SLICE: usize = 40;

/// The size of the largest slice. Where no wait is ready, one long slice costs no more than several
/// short ones.
const LARGEST_SLICE: usize = 1024;

/// A wait, as the schedule knows it. The generation distinguishes it from an earlier wait with the
/// same key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Item {
    pub key: usize,
    pub generation: u64,
    /// When the wait began, in nanoseconds.
    pub since: u64,
}

/// How long the next poll may block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// Not at all.
    Look,
    /// Until this time, when other waits are due.
    Until(u64),
    /// Until a wait is ready.
    Ready,
}

/// The waits, and which of them are in the current poll.
#[derive(Debug)]
pub struct Schedule {
    hot: VecDeque<Item>,
    cold: VecDeque<Item>,
    asked: Vec<Item>,
    /// How many of `asked` are hot; those come first.
    asked_hot: usize,
    slice: usize,
    /// The measured cost of polling one wait, in nanoseconds.
    cost: u64,
    /// When the last plan was made, and whether its poll was one that does not block.
    planned: u64,
    looked: bool,
    /// When the cold waits last got their share.
    swept: u64,
    /// What is left of that share: nanoseconds times the number of cold waits.
    credit: u128,
    next_step: u64,
}

impl Default for Schedule {
    fn default() -> Self {
        Self {
            hot: VecDeque::new(),
            cold: VecDeque::new(),
            asked: Vec::new(),
            asked_hot: 0,
            slice: LARGEST_SLICE,
            cost: COST,
            planned: 0,
            looked: false,
            swept: 0,
            credit: 0,
            next_step: 0,
        }
    }
}

impl Schedule {
    /// Adds a wait that has just begun.
    pub fn add(&mut self, item: Item) {
        self.hot.push_back(item);
    }

    /// Chooses the waits to poll; [`asked`](Self::asked) returns them. `alive` says of a wait
    /// whether it still exists; one that does not is forgotten. [`done`](Self::done) must be called
    /// next.
    pub fn plan(&mut self, now: u64, idle: bool, mut alive: impl FnMut(&Item) -> bool) -> Wait {
        let since = now.saturating_sub(self.planned);
        self.planned = now;
        let wait = self.choose(now, since, idle, &mut alive);
        self.looked = wait == Wait::Look;
        wait
    }

    fn choose(
        &mut self,
        now: u64,
        since: u64,
        idle: bool,
        alive: &mut impl FnMut(&Item) -> bool,
    ) -> Wait {
        self.asked.clear();
        take(&mut self.hot, self.slice, &mut self.asked, alive);
        self.asked_hot = self.asked.len();
        if self.asked.is_empty() && idle {
            take(&mut self.cold, usize::MAX, &mut self.asked, alive);
            self.rest(now);
            return Wait::Ready;
        }
        let share = self.share(now, since);
        take(&mut self.cold, share, &mut self.asked, alive);
        match (idle && self.hot.is_empty(), self.cold.is_empty()) {
            (false, _) => Wait::Look,
            (true, true) => Wait::Ready,
            (true, false) => {
                if self.next_step <= now {
                    self.next_step = now.saturating_add(STEP);
                }
                Wait::Until(self.next_step)
            }
        }
    }

    /// The waits to poll.
    pub fn asked(&self) -> &[Item] {
        &self.asked
    }

    /// Takes the result of the poll: `ready` says of each index in [`asked`](Self::asked) whether
    /// that wait has ended. The other waits go back into the schedule.
    pub fn done(&mut self, now: u64, ready: impl Fn(usize) -> bool) {
        if self.asked.len() >= SAMPLE {
            let cost = now.saturating_sub(self.planned) / self.asked.len() as u64;
            let cost = cost.clamp(LOWEST_COST, HIGHEST_COST);
            if cost < self.cost {
                self.cost = cost;
            } else if self.looked {
                self.cost += (cost - self.cost).div_ceil(RISE);
            }
        }
        let mut count = 0;
        for (index, item) in self.asked.drain(..).enumerate() {
            if ready(index) {
                count += 1;
            } else if index < self.asked_hot && now.saturating_sub(item.since) < HEAT {
                self.hot.push_back(item);
            } else {
                self.cold.push_back(item);
            }
        }
        self.slice = match count > SMALLEST_SLICE {
            true => SMALLEST_SLICE,
            false => (self.slice * 2).min(LARGEST_SLICE),
        };
    }

    /// How many cold waits are due, `since` nanoseconds after the last plan.
    fn share(&mut self, now: u64, since: u64) -> usize {
        let elapsed = now.saturating_sub(self.swept).min(SWEEP);
        let count = self.cold.len();
        let sweep = u128::from(SWEEP);
        self.credit += u128::from(elapsed) * count as u128;
        self.credit = self.credit.min(sweep * count as u128);
        self.swept = now;
        let due = usize::try_from(self.credit / sweep).unwrap_or(usize::MAX);
        let affordable = since / SHARE / self.cost.max(1);
        let affordable = usize::try_from(affordable).unwrap_or(usize::MAX);
        let share = due.min(affordable.max(SMALLEST_SHARE)).min(count);
        self.credit -= sweep * share as u128;
        share
    }

    /// Resets the share: all waits are polled.
    fn rest(&mut self, now: u64) {
        self.swept = now;
        self.credit = 0;
    }
}

/// Moves up to `count` waits that are alive, and drops those in front of them that are not.
fn take(
    from: &mut VecDeque<Item>,
    mut count: usize,
    to: &mut Vec<Item>,
    alive: &mut impl FnMut(&Item) -> bool,
) {
    while count > 0
        && let Some(item) = from.pop_front()
    {
        if alive(&item) {
            to.push(item);
            count -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn schedule(waits: usize, since: u64) -> Schedule {
        let mut schedule = Schedule::default();
        for key in 0..waits {
            schedule.add(Item {
                key,
                generation: 0,
                since,
            });
        }
        schedule
    }

    fn none_ready(_: usize) -> bool {
        false
    }

    fn keys(schedule: &Schedule) -> Vec<usize> {
        schedule.asked().iter().map(|item| item.key).collect()
    }

    /// A schedule in which all waits are cold.
    fn cold(waits: usize) -> Schedule {
        let mut schedule = schedule(waits, 0);
        while !schedule.hot.is_empty() {
            schedule.plan(HEAT, false, |_| true);
            let took = COST * schedule.asked().len() as u64;
            schedule.done(HEAT + took, none_ready);
        }
        schedule.rest(HEAT);
        schedule
    }

    #[test]
    fn few_waits_are_all_asked_about_for_as_long_as_it_takes() {
        let mut schedule = schedule(3, 0);
        for now in [0, HEAT - 1, HEAT, 100 * HEAT] {
            assert_eq!(schedule.plan(now, true, |_| true), Wait::Ready, "at {now}");
            assert_eq!(keys(&schedule).len(), 3, "at {now}");
            schedule.done(now, none_ready);
        }
    }

    #[test]
    fn the_cold_come_round_in_time_beside_a_hot_one_and_cost_little() {
        let mut schedule = cold(10_000);
        schedule.cost = 200;
        let mut seen = vec![false; 10_000];
        let mut now = HEAT;
        let mut most = 0;
        while now <= HEAT + SWEEP + MS {
            let busy = Item {
                key: usize::MAX,
                generation: 0,
                since: now,
            };
            schedule.add(busy);
            let wait = schedule.plan(now, true, |_| true);
            assert!(
                matches!(wait, Wait::Until(at) if at > now && at <= now + STEP),
                "{wait:?}"
            );
            assert_eq!(schedule.asked()[0], busy, "the hot wait is always polled");
            for item in &schedule.asked()[1..] {
                seen[item.key] = true;
            }
            most = most.max(schedule.asked().len() - 1);
            schedule.done(now + 200 * schedule.asked().len() as u64, |index| {
                index == 0
            });
            now += MS / 10;
        }
        assert!(seen.iter().all(|seen| *seen));
        assert!(
            most <= 10_000 / 200 + 1,
            "{most} in a tenth of a millisecond"
        );
    }

    #[test]
    fn the_cold_get_no_more_than_their_share_however_long_a_turn_takes() {
        for (cost, expected) in [
            (100, 10_000),
            (600, 10_000),
            (1_000, 6_666),
            (2_000, 3_333),
            (5_000, 1_333),
        ] {
            let mut schedule = cold(10_000);
            schedule.plan(HEAT, false, |_| true);
            schedule.done(HEAT, none_ready);
            schedule.cost = cost;
            // A turn that took as long as a whole sweep allows more.
            schedule.plan(HEAT + SWEEP, false, |_| true);
            assert_eq!(schedule.asked().len(), expected, "at {cost} ns each");
        }
    }

    #[test]
    fn what_it_costs_to_ask_is_measured() {
        let mut schedule = cold(10_000);
        let mut now = HEAT;
        for _ in 0..50 {
            now += SWEEP;
            schedule.plan(now, false, |_| true);
            now += 200 * schedule.asked().len() as u64;
            schedule.done(now, none_ready);
        }
        assert!((195..=210).contains(&schedule.cost), "{}", schedule.cost);
        // The duration of a blocking poll is no measurement.
        schedule.plan(now, true, |_| true);
        schedule.done(now + SWEEP, none_ready);
        assert!((195..=210).contains(&schedule.cost), "{}", schedule.cost);
    }

    /// Makes a turn in which all cold waits are polled, each at this cost.
    fn look(schedule: &mut Schedule, now: &mut u64, cost: u64) {
        *now += 10 * SWEEP;
        assert_eq!(schedule.plan(*now, false, |_| true), Wait::Look);
        assert!(schedule.asked().len() >= SAMPLE);
        schedule.done(*now + cost * schedule.asked().len() as u64, none_ready);
    }

    #[test]
    fn the_measured_cost_falls_at_once_and_rises_slowly() {
        let mut schedule = cold(1_000);
        let mut now = HEAT;
        look(&mut schedule, &mut now, 200);
        assert_eq!(schedule.cost, 200);
        // Another program ran in between: the measured cost soon falls again.
        look(&mut schedule, &mut now, 1_000_000);
        assert_eq!(schedule.cost, 200 + (HIGHEST_COST - 200).div_ceil(RISE));
        look(&mut schedule, &mut now, 210);
        assert_eq!(schedule.cost, 210);
        // A blocking poll that was short is a measurement of a lower cost.
        now += SWEEP;
        assert_ne!(schedule.plan(now, true, |_| true), Wait::Look);
        schedule.done(now + 100 * schedule.asked().len() as u64, none_ready);
        assert_eq!(schedule.cost, 100);
        // A lasting rise of the cost is measured in the end.
        for _ in 0..200 {
            look(&mut schedule, &mut now, 900);
        }
        assert!((890..=900).contains(&schedule.cost), "{}", schedule.cost);
        look(&mut schedule, &mut now, 0);
        assert_eq!(schedule.cost, LOWEST_COST);
    }

    #[test]
    fn without_hot_waits_all_waits_are_polled() {
        let mut schedule = cold(10_000);
        assert_eq!(schedule.plan(HEAT, true, |_| true), Wait::Ready);
        assert_eq!(schedule.asked().len(), 10_000);
        schedule.done(HEAT, |index| index == 7);
        assert_eq!(schedule.plan(HEAT, true, |_| true), Wait::Ready);
        assert_eq!(
            schedule.asked().len(),
            9_999,
            "the wait that was ready has ended"
        );
    }

    #[test]
    fn a_busy_component_polls_without_waiting_and_not_for_all_waits() {
        let mut schedule = cold(10_000);
        assert_eq!(schedule.plan(HEAT + MS, false, |_| true), Wait::Look);
        assert_eq!(schedule.asked().len(), 333);
    }

    #[test]
    fn after_many_ready_waits_come_small_slices_and_each_wait_is_polled() {
        let mut schedule = schedule(1000, 0);
        assert_eq!(schedule.plan(0, true, |_| true), Wait::Ready);
        schedule.done(0, |index| index < 500);
        let mut seen = Vec::new();
        while seen.len() < 500 {
            let wait = schedule.plan(0, true, |_| true);
            let asked = keys(&schedule);
            assert!(asked.len() <= SMALLEST_SLICE);
            seen.extend(asked);
            assert_eq!(wait == Wait::Look, seen.len() < 500);
            // All waits but one are ready: enough to keep the slices small.
            schedule.done(0, |_| true);
            schedule.slice = SMALLEST_SLICE;
        }
        assert_eq!(seen, (500..1000).collect::<Vec<_>>());
    }

    #[test]
    fn a_wait_that_has_ended_is_forgotten() {
        let mut schedule = schedule(10, 0);
        schedule.plan(0, true, |item| item.key % 2 == 0);
        assert_eq!(keys(&schedule), [0, 2, 4, 6, 8]);
        schedule.done(HEAT, none_ready);
        schedule.plan(HEAT, true, |item| item.key > 4);
        assert_eq!(keys(&schedule), [6, 8]);
        // Any number of ended waits does not hide a wait behind them.
        let last = 3 * LARGEST_SLICE;
        let mut schedule = self::schedule(last + 1, 0);
        assert_eq!(schedule.plan(0, true, |item| item.key == last), Wait::Ready);
        assert_eq!(keys(&schedule), [last]);
    }
}

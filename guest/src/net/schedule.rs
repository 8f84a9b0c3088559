//! Whom to ask at each turn.
//!
//! `wasi:io/poll` takes a list, and costs about a microsecond for each entry of it, every time. To
//! ask about ten thousand idle connections whenever one busy one has something to say would make
//! the busy one wait 10 ms for each message. So who waits is either *hot*, having begun to wait not
//! long ago, or *cold*: the hot are asked about at every turn, the cold in passing, a few at a
//! turn, so that all of them come round within [`SWEEP`]. Where the machine or the runtime is too
//! slow for that it takes longer, because the cold never get more than a part of the time
//! ([`SHARE`]). Only when nobody is hot is everybody asked about, with all the time there is to wait
//! for the answer.
//!
//! The hot are asked about in slices as well, for another reason. Runtimes built on tokio let a
//! task learn of 128 ready sockets before it has to yield, and a poll that finds that many uses up
//! what reading and writing them would have needed: those then find nothing ready either, and the
//! component would ask for ever and get nothing done. A slice that gives many ready ones is
//! followed by small ones ([`SMALLEST_SLICE`]), each of which leaves enough.

use std::collections::VecDeque;

/// How long a wait is hot: 20 ms, enough for the next message of a client nearby.
const HEAT: u64 = 20_000_000;

/// How long it may take until each of the cold has been asked about: 20 ms. With the time that a
/// turn takes on top of it, and what else goes on on the machine, somebody who wakes up is noticed well
/// within 50 ms.
const SWEEP: u64 = 20_000_000;

/// What part of the time goes into asking about the cold, at most: a third, and as many as this at
/// any turn.
///
/// Without a bound, who needs longer than [`SWEEP`] to ask about everybody would ask about everybody
/// at every turn.
const SHARE: u64 = 3;
const SMALLEST_SHARE: usize = 16;

/// What it costs to ask about one, to begin with, at least and at most: some runtimes need a tenth of a
/// microsecond, others need one. It is measured on the way.
const COST: u64 = 1_000;
const LOWEST_COST: u64 = 20;
const HIGHEST_COST: u64 = 10_000;

/// How slowly the measured cost rises: by a 32nd of the difference. It falls at once, since whatever
/// else takes time meanwhile, a wait or another program's turn, only adds to it.
const RISE: u64 = 32;

/// How many must have been asked about for the time that it took to tell what one costs.
const SAMPLE: usize = 32;

/// How long to wait, at most, before the next of the cold are due: 5 ms.
const STEP: u64 = 5_000_000;

/// A wait costs three of tokio's 128: one to be found ready, two to write the answer.
const SMALLEST_SLICE: usize = 40;

/// Where nothing is ready, a longer slice costs no more than several short ones.
const LARGEST_SLICE: usize = 1024;

/// Somebody's wait, as the schedule knows it. The generation tells it from an earlier one in the
/// same place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Item {
    pub key: usize,
    pub generation: u64,
    /// When the wait began, in nanoseconds.
    pub since: u64,
}

/// For how long to ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// Not at all: look, and come back.
    Look,
    /// Until this time, when others are due.
    Until(u64),
    /// Until something is ready.
    Ready,
}

/// Who waits, and who is asked about now.
#[derive(Debug)]
pub struct Schedule {
    hot: VecDeque<Item>,
    cold: VecDeque<Item>,
    asked: Vec<Item>,
    /// How many of those that are asked about were hot; they come first.
    asked_hot: usize,
    slice: usize,
    /// What it costs to ask about one, in nanoseconds.
    cost: u64,
    /// When the last plan was made, and whether it was to look without waiting.
    planned: u64,
    looked: bool,
    /// When the cold were last given their share.
    swept: u64,
    /// What is left of their share: nanoseconds times the number of cold waits.
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
    /// Takes in a wait that has just begun.
    pub fn add(&mut self, item: Item) {
        self.hot.push_back(item);
    }

    /// Chooses whom to ask about; [`asked`](Self::asked) tells. `alive` tells of each whether it
    /// still waits: who doesn't is forgotten. To be followed by [`done`](Self::done).
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

    /// Who is asked about.
    pub fn asked(&self) -> &[Item] {
        &self.asked
    }

    /// Takes the answer in: `ready` tells of each of [`asked`](Self::asked), by index, whether its
    /// wait is over. The others go on waiting.
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

    /// How many of the cold are due, `since` nanoseconds after the last plan.
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

    /// Everybody has been asked about.
    fn rest(&mut self, now: u64) {
        self.swept = now;
        self.credit = 0;
    }
}

/// Moves up to `count` of those that are alive, however many in front of them aren't.
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

    fn nobody(_: usize) -> bool {
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
            schedule.done(HEAT + took, nobody);
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
            schedule.done(now, nobody);
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
            assert_eq!(
                schedule.asked()[0],
                busy,
                "the hot one is always asked about"
            );
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
            schedule.done(HEAT, nobody);
            schedule.cost = cost;
            // A turn that took as long as a whole sweep may.
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
            schedule.done(now, nobody);
        }
        assert!((195..=210).contains(&schedule.cost), "{}", schedule.cost);
        // A wait takes as long as it takes, and tells nothing.
        schedule.plan(now, true, |_| true);
        schedule.done(now + SWEEP, nobody);
        assert!((195..=210).contains(&schedule.cost), "{}", schedule.cost);
    }

    /// Makes a turn in which all cold ones are asked about at this price each.
    fn look(schedule: &mut Schedule, now: &mut u64, cost: u64) {
        *now += 10 * SWEEP;
        assert_eq!(schedule.plan(*now, false, |_| true), Wait::Look);
        assert!(schedule.asked().len() >= SAMPLE);
        schedule.done(*now + cost * schedule.asked().len() as u64, nobody);
    }

    #[test]
    fn the_measured_cost_falls_at_once_and_rises_slowly() {
        let mut schedule = cold(1_000);
        let mut now = HEAT;
        look(&mut schedule, &mut now, 200);
        assert_eq!(schedule.cost, 200);
        // Another program had its turn meanwhile: soon made up for.
        look(&mut schedule, &mut now, 1_000_000);
        assert_eq!(schedule.cost, 200 + (HIGHEST_COST - 200).div_ceil(RISE));
        look(&mut schedule, &mut now, 210);
        assert_eq!(schedule.cost, 210);
        // A short wait tells as well, of less.
        now += SWEEP;
        assert_ne!(schedule.plan(now, true, |_| true), Wait::Look);
        schedule.done(now + 100 * schedule.asked().len() as u64, nobody);
        assert_eq!(schedule.cost, 100);
        // What has become slower for good is believed in the end.
        for _ in 0..200 {
            look(&mut schedule, &mut now, 900);
        }
        assert!((890..=900).contains(&schedule.cost), "{}", schedule.cost);
        look(&mut schedule, &mut now, 0);
        assert_eq!(schedule.cost, LOWEST_COST);
    }

    #[test]
    fn with_nobody_hot_all_are_asked_about() {
        let mut schedule = cold(10_000);
        assert_eq!(schedule.plan(HEAT, true, |_| true), Wait::Ready);
        assert_eq!(schedule.asked().len(), 10_000);
        schedule.done(HEAT, |index| index == 7);
        assert_eq!(schedule.plan(HEAT, true, |_| true), Wait::Ready);
        assert_eq!(
            schedule.asked().len(),
            9_999,
            "the one that was ready waits no more"
        );
    }

    #[test]
    fn a_component_that_has_something_to_do_only_looks_and_not_at_everybody() {
        let mut schedule = cold(10_000);
        assert_eq!(schedule.plan(HEAT + MS, false, |_| true), Wait::Look);
        assert_eq!(schedule.asked().len(), 333);
    }

    #[test]
    fn after_many_ready_ones_come_small_slices_and_everybody_has_a_turn() {
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
            // All but one: enough for the slices to stay small.
            schedule.done(0, |_| true);
            schedule.slice = SMALLEST_SLICE;
        }
        assert_eq!(seen, (500..1000).collect::<Vec<_>>());
    }

    #[test]
    fn who_waits_no_more_is_forgotten() {
        let mut schedule = schedule(10, 0);
        schedule.plan(0, true, |item| item.key % 2 == 0);
        assert_eq!(keys(&schedule), [0, 2, 4, 6, 8]);
        schedule.done(HEAT, nobody);
        schedule.plan(HEAT, true, |item| item.key > 4);
        assert_eq!(keys(&schedule), [6, 8]);
        // However many they are, they don't hide who waits behind them.
        let last = 3 * LARGEST_SLICE;
        let mut schedule = self::schedule(last + 1, 0);
        assert_eq!(schedule.plan(0, true, |item| item.key == last), Wait::Ready);
        assert_eq!(keys(&schedule), [last]);
    }
}

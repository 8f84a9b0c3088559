//! Which addresses the granted names of a run have resolved to.

use super::Name;
use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// The most addresses that are remembered of one answer, and the most of earlier ones; with more, the
/// oldest are forgotten.
///
/// A name of a large content network changes its few addresses every minute or so, and answers of
/// hundreds are unheard of. The bound keeps a component that asks for ever from growing the host.
pub const MAX_ADDRESSES_PER_NAME: usize = 256;

/// The most names that are remembered; with more, the one that was looked up longest ago is forgotten.
///
/// A rule such as `*.example.com` grants any number of names.
pub const MAX_NAMES: usize = 4096;

/// How long an address counts after another answer for its name has taken its place: 60 seconds.
///
/// A component tries the addresses of an answer one by one, and may wait half a minute for each. One
/// that looks the name up again meanwhile must not lose those that it still holds.
pub const GRACE: Duration = Duration::from_secs(60);

/// The addresses that names resolved to.
///
/// A connection shows an address and no name, so a policy that grants a name has to be told what
/// that name stands for. That is what its latest lookup in this run answered, or an earlier one at most
/// [`GRACE`] before. So an answer that changes opens no door for good.
#[derive(Clone, Debug, Default)]
pub struct Answers {
    by_name: HashMap<Name, Answer>,
    lookups: u64,
}

#[derive(Clone, Debug, Default)]
struct Answer {
    current: VecDeque<IpAddr>,
    /// What earlier answers had, and how long it still counts; what counts longest comes last.
    earlier: VecDeque<(IpAddr, Instant)>,
    /// The user said so, and nobody was asked.
    pinned: bool,
    /// Which lookup it was.
    number: u64,
}

impl Answers {
    /// No answers yet.
    pub fn new() -> Answers {
        Answers::default()
    }

    /// Remember that `name` resolved to `addresses` at `now`, in place of what it resolved to before.
    pub fn insert(
        &mut self,
        name: &Name,
        addresses: impl IntoIterator<Item = IpAddr>,
        now: Instant,
    ) {
        let answer = self.answer(name);
        let mut current = VecDeque::new();
        for address in addresses {
            let address = address.to_canonical();
            if !current.contains(&address) {
                current.push_back(address);
            }
            if current.len() > MAX_ADDRESSES_PER_NAME {
                current.pop_front();
            }
        }
        let until = now.checked_add(GRACE).unwrap_or(now);
        for address in std::mem::take(&mut answer.current) {
            answer.earlier.retain(|(other, _)| *other != address);
            if !current.contains(&address) {
                answer.earlier.push_back((address, until));
            }
        }
        while answer.earlier.len() > MAX_ADDRESSES_PER_NAME {
            answer.earlier.pop_front();
        }
        answer.current = current;
    }

    /// Remember that the user said what `name` resolves to: it counts even where a name's addresses have
    /// to be public.
    pub fn pin(&mut self, name: &Name, addresses: impl IntoIterator<Item = IpAddr>) {
        let answer = self.answer(name);
        answer.current = addresses.into_iter().map(|it| it.to_canonical()).collect();
        answer.pinned = true;
    }

    fn answer(&mut self, name: &Name) -> &mut Answer {
        self.lookups += 1;
        if self.by_name.len() >= MAX_NAMES && !self.by_name.contains_key(name) {
            let oldest = self.by_name.iter().filter(|(_, answer)| !answer.pinned);
            let oldest = oldest.min_by_key(|(_, answer)| answer.number);
            if let Some(oldest) = oldest.map(|(name, _)| name.clone()) {
                self.by_name.remove(&oldest);
            }
        }
        let answer = self.by_name.entry(name.clone()).or_default();
        answer.number = self.lookups;
        answer
    }

    /// Forget the names that `keep` says no to.
    pub fn retain(&mut self, mut keep: impl FnMut(&Name) -> bool) {
        self.by_name.retain(|name, _| keep(name));
    }

    /// Forget what no longer counts at `now`.
    pub fn expire(&mut self, now: Instant) {
        for answer in self.by_name.values_mut() {
            while let Some((_, until)) = answer.earlier.front()
                && *until <= now
            {
                answer.earlier.pop_front();
            }
        }
    }

    /// The names that resolved to `address`, as far as that was not [forgotten](Self::expire).
    pub fn names_of(&self, address: IpAddr) -> impl Iterator<Item = &Name> {
        let address = address.to_canonical();
        self.by_name
            .iter()
            .filter(move |(_, answer)| answer.has(address))
            .map(|(name, _)| name)
    }

    /// Of the [names](Self::names_of) that resolved to `address` the one that did so last.
    pub fn latest_name_of(&self, address: IpAddr) -> Option<&Name> {
        let number = |name: &&Name| self.by_name.get(*name).map(|answer| answer.number);
        self.names_of(address).max_by_key(number)
    }

    /// Whether the user said what `name` resolves to.
    pub fn is_pinned(&self, name: &Name) -> bool {
        self.by_name.get(name).is_some_and(|answer| answer.pinned)
    }
}

impl Answer {
    fn has(&self, address: IpAddr) -> bool {
        self.current.contains(&address) || self.earlier.iter().any(|(other, _)| *other == address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    fn address(n: usize) -> IpAddr {
        IpAddr::V4(Ipv4Addr::from(0x0a00_0000 + n as u32))
    }

    #[test]
    fn an_address_knows_its_names() {
        let (one, two) = (name("one.example"), name("two.example"));
        let shared: IpAddr = "192.0.2.1".parse().unwrap();
        let own: IpAddr = "192.0.2.2".parse().unwrap();
        let mut answers = Answers::new();
        answers.insert(&one, [shared, own], Instant::now());
        answers.insert(&two, [shared], Instant::now());

        let mut names: Vec<_> = answers.names_of(shared).collect();
        names.sort();
        assert_eq!(names, [&one, &two]);
        assert_eq!(answers.names_of(own).collect::<Vec<_>>(), [&one]);
        assert_eq!(answers.latest_name_of(shared), Some(&two));
        assert_eq!(answers.latest_name_of(own), Some(&one));
        assert_eq!(answers.names_of("192.0.2.3".parse().unwrap()).count(), 0);
    }

    #[test]
    fn mapped_addresses_are_the_ipv4_ones() {
        let one = name("one.example");
        let mut answers = Answers::new();
        answers.insert(&one, ["::ffff:192.0.2.1".parse().unwrap()], Instant::now());
        for text in ["192.0.2.1", "::ffff:192.0.2.1"] {
            let found: Vec<_> = answers.names_of(text.parse().unwrap()).collect();
            assert_eq!(found, [&one], "{text}");
        }
    }

    #[test]
    fn a_new_answer_takes_the_place_of_the_last_one_after_a_grace() {
        let one = name("one.example");
        let start = Instant::now();
        let mut answers = Answers::new();
        answers.insert(&one, [address(1), address(2)], start);
        answers.insert(&one, [address(2), address(3)], start);
        let known = |answers: &Answers| -> Vec<usize> {
            (1..=3)
                .filter(|n| answers.names_of(address(*n)).count() > 0)
                .collect()
        };
        assert_eq!(known(&answers), [1, 2, 3]);
        let before = start + GRACE - Duration::from_nanos(1);
        answers.expire(before);
        assert_eq!(known(&answers), [1, 2, 3]);
        answers.expire(start + GRACE);
        assert_eq!(known(&answers), [2, 3], "the latest answer counts on");
        // Back again: it is current, and not on its way out.
        answers.insert(&one, [address(1)], start + GRACE);
        answers.expire(start + 3 * GRACE);
        assert_eq!(known(&answers), [1]);
    }

    #[test]
    fn names_are_forgotten() {
        let (one, two) = (name("one.example"), name("two.example"));
        let mut answers = Answers::new();
        answers.insert(&one, [address(1)], Instant::now());
        answers.insert(&two, [address(1)], Instant::now());
        answers.retain(|name| *name == two);
        assert_eq!(answers.names_of(address(1)).collect::<Vec<_>>(), [&two]);
    }

    #[test]
    fn pins_stay_whatever_else_is_looked_up() {
        let pinned = name("pinned.example");
        let mut answers = Answers::new();
        answers.pin(&pinned, [address(0)]);
        for n in 1..=MAX_NAMES {
            answers.insert(
                &name(&format!("n{n}.example")),
                [address(n)],
                Instant::now(),
            );
        }
        assert!(answers.is_pinned(&pinned));
        assert_eq!(answers.names_of(address(0)).count(), 1);
        assert_eq!(answers.names_of(address(1)).count(), 0, "the oldest");
        assert_eq!(answers.names_of(address(2)).count(), 1);
        assert_eq!(answers.names_of(address(MAX_NAMES)).count(), 1);
    }

    #[test]
    fn the_oldest_addresses_are_forgotten() {
        let one = name("one.example");
        for (count, first_is_known) in [
            (MAX_ADDRESSES_PER_NAME - 1, true),
            (MAX_ADDRESSES_PER_NAME, true),
            (MAX_ADDRESSES_PER_NAME + 1, false),
        ] {
            let mut answers = Answers::new();
            answers.insert(&one, (0..count).map(address), Instant::now());
            assert_eq!(
                answers.names_of(address(0)).count() == 1,
                first_is_known,
                "{count}"
            );
            assert_eq!(answers.names_of(address(count - 1)).count(), 1, "{count}");
            // The same of earlier answers.
            answers.insert(&one, [], Instant::now());
            answers.insert(&one, [address(0)], Instant::now());
            answers.insert(&one, [], Instant::now());
            let earlier = (0..count).filter(|n| answers.names_of(address(*n)).count() == 1);
            assert_eq!(
                earlier.count(),
                count.min(MAX_ADDRESSES_PER_NAME),
                "{count}"
            );
        }
    }
}

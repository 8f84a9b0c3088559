//! Which addresses the granted names of a run have resolved to.

use crate::{LocalNetworks, Name, SpecialPurpose};
use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The most addresses that are remembered of one answer, and the most of earlier ones; with more, the
/// oldest are forgotten.
///
/// A name of a large content network changes its few addresses about every minute; answers with
/// hundreds of addresses do not occur. The limit keeps a component that resolves names in a loop
/// from using the host's memory without bound.
pub const MAX_ADDRESSES_PER_NAME: usize = 256;

/// The most names that are remembered; with more, the one that was looked up longest ago is forgotten.
///
/// A rule such as `*.example.com` grants any number of names.
pub const MAX_NAMES: usize = 4096;

/// How long an address counts after another answer for its name has taken its place: 60 seconds.
///
/// A component tries the addresses of an answer one by one, and may wait half a minute for each. If
/// it resolves the name again meanwhile, the addresses that it still uses must stay valid.
pub const GRACE: Duration = Duration::from_secs(60);

/// The addresses that names resolved to.
///
/// A connection has an address and no name, so a policy that grants a name needs the addresses of that
/// name. These are the addresses of the latest answer in this run, and of an answer that was replaced
/// at most [`GRACE`] ago. An answer that changes therefore grants no address permanently.
#[derive(Clone, Debug, Default)]
pub struct ResolvedNames {
    by_name: HashMap<Name, Answer>,
    lookups: u64,
    answered: AnsweredNames,
    /// A name for which only the addresses known so far count, and these addresses.
    held: Option<(Name, Vec<IpAddr>)>,
    local: Arc<LocalNetworks>,
}

/// The names of granted origins ([`Policy::allow_origin`](crate::Policy::allow_origin)) from whose servers a
/// response has come, and which of their addresses that aren't public they keep.
///
/// Runs that belong together share one, as clones do, so that a server's response in one run also
/// counts in the next one.
#[derive(Clone, Debug, Default)]
pub struct AnsweredNames(Arc<Mutex<HashMap<Name, Vec<IpAddr>>>>);

impl AnsweredNames {
    /// No response has come yet.
    pub fn new() -> AnsweredNames {
        AnsweredNames::default()
    }

    fn of<T>(&self, use_: impl FnOnce(&mut HashMap<Name, Vec<IpAddr>>) -> T) -> T {
        // The value is consistent at every moment, so a panic while the lock was held did no harm.
        use_(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[derive(Clone, Debug, Default)]
struct Answer {
    current: VecDeque<IpAddr>,
    /// Addresses of earlier answers, and until when each counts, in the order of that time.
    earlier: VecDeque<(IpAddr, Instant)>,
    /// The user gave these addresses; no resolver was asked.
    is_static: bool,
    /// Which lookup it was.
    number: u64,
}

impl ResolvedNames {
    /// No answers yet.
    pub fn new() -> ResolvedNames {
        ResolvedNames::default()
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

    /// Remember static addresses of `name`, given by the user. They count even if they are not public.
    pub fn set_static(&mut self, name: &Name, addresses: impl IntoIterator<Item = IpAddr>) {
        let answer = self.answer(name);
        answer.current = addresses.into_iter().map(|it| it.to_canonical()).collect();
        answer.is_static = true;
    }

    fn answer(&mut self, name: &Name) -> &mut Answer {
        self.lookups += 1;
        if self.by_name.len() >= MAX_NAMES && !self.by_name.contains_key(name) {
            let oldest = self.by_name.iter().filter(|(_, answer)| !answer.is_static);
            let oldest = oldest.min_by_key(|(_, answer)| answer.number);
            if let Some(oldest) = oldest.map(|(name, _)| name.clone()) {
                self.by_name.remove(&oldest);
            }
        }
        let answer = self.by_name.entry(name.clone()).or_default();
        answer.number = self.lookups;
        answer
    }

    /// Replace the addresses and networks of this machine.
    pub fn set_local_networks(&mut self, local: impl Into<Arc<LocalNetworks>>) {
        self.local = local.into();
    }

    /// Why `address` is not a public address of another network, if so: it has a
    /// [`SpecialPurpose`], or it is in this machine's [`LocalNetworks`].
    pub fn special(&self, address: IpAddr) -> Option<SpecialPurpose> {
        SpecialPurpose::of(address).or_else(|| self.local.special(address))
    }

    /// A response has come from `from`, an address of `name`. From now on the name may have public
    /// addresses, and the addresses that it had until now.
    ///
    /// If `from` is a public address, the name keeps no address that is not public, even if it had
    /// both kinds. Only the first response counts.
    pub fn settle(&mut self, name: &Name, from: IpAddr) {
        let kept = match self.special(from) {
            Some(_) => self.not_public(name, Some(from)),
            None => Vec::new(),
        };
        self.answered.of(|answered| {
            answered.entry(name.clone()).or_insert(kept);
        });
    }

    /// A server's redirect causes a lookup of `name`. Until [`ResolvedNames::release`], the name may have
    /// public addresses, and the addresses that it had before.
    pub fn hold(&mut self, name: Name) {
        let kept = self.not_public(&name, None);
        self.held = Some((name, kept));
    }

    /// End what [`ResolvedNames::hold`] began.
    pub fn release(&mut self) {
        self.held = None;
    }

    /// Share with other runs which names have answered.
    pub fn share(&mut self, answered: AnsweredNames) {
        self.answered = answered;
    }

    /// Whether `name`, which the user typed, may be at `address`, which isn't public.
    pub(crate) fn may_be_at(&self, name: &Name, address: IpAddr) -> bool {
        let address = address.to_canonical();
        let answered = self.answered.of(|answered| {
            let kept = answered.get(name);
            kept.map(|kept| kept.contains(&address))
        });
        let held = self.held.as_ref().filter(|(held, _)| held == name);
        let held = held.map(|(_, kept)| kept.contains(&address));
        answered.or(held).unwrap_or(true)
    }

    /// The addresses of `name` that aren't public, and `more`.
    fn not_public(&self, name: &Name, more: Option<IpAddr>) -> Vec<IpAddr> {
        let answer = self.by_name.get(name);
        let known = answer.into_iter().flat_map(|answer| {
            let earlier = answer.earlier.iter().map(|(address, _)| *address);
            answer.current.iter().copied().chain(earlier)
        });
        let mut found: Vec<IpAddr> = known
            .filter(|address| self.special(*address).is_some())
            .collect();
        found.extend(more.map(|it| it.to_canonical()));
        found
    }

    /// Forget the names for which `keep` returns false.
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

    /// Whether `name` resolved to `address`, as far as that was not [forgotten](Self::expire).
    pub fn is_at(&self, name: &Name, address: IpAddr) -> bool {
        let address = address.to_canonical();
        let answer = self.by_name.get(name);
        answer.is_some_and(|answer| answer.has(address))
    }

    /// The [name](Self::names_of) that resolved to `address` last.
    pub fn latest_name_of(&self, address: IpAddr) -> Option<&Name> {
        let number = |name: &&Name| self.by_name.get(*name).map(|answer| answer.number);
        self.names_of(address).max_by_key(number)
    }

    /// Whether the user said what `name` resolves to.
    pub fn is_static(&self, name: &Name) -> bool {
        self.by_name
            .get(name)
            .is_some_and(|answer| answer.is_static)
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
        let mut answers = ResolvedNames::new();
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
        let mut answers = ResolvedNames::new();
        answers.insert(&one, ["::ffff:192.0.2.1".parse().unwrap()], Instant::now());
        for text in ["192.0.2.1", "::ffff:192.0.2.1"] {
            let address = text.parse().unwrap();
            let found: Vec<_> = answers.names_of(address).collect();
            assert_eq!(found, [&one], "{text}");
            assert!(answers.is_at(&one, address), "{text}");
            assert!(!answers.is_at(&name("two.example"), address), "{text}");
        }
    }

    #[test]
    fn a_new_answer_takes_the_place_of_the_last_one_after_a_grace() {
        let one = name("one.example");
        let start = Instant::now();
        let mut answers = ResolvedNames::new();
        answers.insert(&one, [address(1), address(2)], start);
        answers.insert(&one, [address(2), address(3)], start);
        let known = |answers: &ResolvedNames| -> Vec<usize> {
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
        // The address is in the answer again, so it counts without a time limit.
        answers.insert(&one, [address(1)], start + GRACE);
        answers.expire(start + 3 * GRACE);
        assert_eq!(known(&answers), [1]);
    }

    #[test]
    fn a_name_that_has_answered_keeps_what_it_had() {
        let inside = "10.0.0.1".parse().unwrap();
        let other = "10.0.0.2".parse().unwrap();
        let public = "1.2.3.4".parse().unwrap();
        for (before, from, expected) in [
            // A server that responds from a private address keeps it.
            (vec![inside], inside, [true, false]),
            (vec![inside, other], inside, [true, true]),
            (vec![inside, public], inside, [true, false]),
            // A server that responds from a public address keeps no private one.
            (vec![public], public, [false, false]),
            (vec![inside, public], public, [false, false]),
            // Forgotten meanwhile.
            (vec![], inside, [true, false]),
        ] {
            let one = name("one.example");
            let mut answers = ResolvedNames::new();
            assert!(answers.may_be_at(&one, inside) && answers.may_be_at(&one, other));
            answers.insert(&one, before.clone(), Instant::now());
            answers.settle(&one, from);
            // A later answer, and a later response, change nothing.
            answers.insert(&one, [inside, other], Instant::now());
            answers.settle(&one, other);
            answers.settle(&one, inside);
            let found = [inside, other].map(|address| answers.may_be_at(&one, address));
            assert_eq!(found, expected, "{before:?}, then from {from}");
            assert!(
                answers.may_be_at(&name("two.example"), inside),
                "it is by name"
            );
        }
    }

    #[test]
    fn a_name_is_held_until_it_is_released() {
        let (one, inside) = (name("one.example"), address(1));
        let mut answers = ResolvedNames::new();
        answers.hold(one.clone());
        assert!(!answers.may_be_at(&one, inside));
        assert!(answers.may_be_at(&name("two.example"), inside));
        answers.release();
        assert!(answers.may_be_at(&one, inside));
        // A server can't choose the addresses from before its first response.
        answers.insert(&one, [inside], Instant::now());
        answers.hold(one.clone());
        assert!(answers.may_be_at(&one, inside));
        assert!(!answers.may_be_at(&one, address(2)));
        // The response ends the grace period too.
        answers.settle(&one, "1.2.3.4".parse().unwrap());
        answers.release();
        assert!(!answers.may_be_at(&one, inside));
    }

    #[test]
    fn runs_that_belong_together_know_which_names_have_answered() {
        let (one, inside) = (name("one.example"), address(1));
        let shared = AnsweredNames::new();
        let [mut first, mut second] = [(); 2].map(|()| ResolvedNames::new());
        first.share(shared.clone());
        second.share(shared);
        let apart = ResolvedNames::new();
        first.settle(&one, "1.2.3.4".parse().unwrap());
        assert!(!second.may_be_at(&one, inside));
        assert!(apart.may_be_at(&one, inside));
    }

    #[test]
    fn names_are_forgotten() {
        let (one, two) = (name("one.example"), name("two.example"));
        let mut answers = ResolvedNames::new();
        answers.insert(&one, [address(1)], Instant::now());
        answers.insert(&two, [address(1)], Instant::now());
        answers.retain(|name| *name == two);
        assert_eq!(answers.names_of(address(1)).collect::<Vec<_>>(), [&two]);
    }

    #[test]
    fn pins_stay_whatever_else_is_looked_up() {
        let pinned = name("pinned.example");
        let mut answers = ResolvedNames::new();
        answers.set_static(&pinned, [address(0)]);
        for n in 1..=MAX_NAMES {
            answers.insert(
                &name(&format!("n{n}.example")),
                [address(n)],
                Instant::now(),
            );
        }
        assert!(answers.is_static(&pinned));
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
            let mut answers = ResolvedNames::new();
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

//! Which addresses the granted names of a run have resolved to.

use super::Name;
use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;

/// The most addresses that are remembered of one name; with more, the oldest are forgotten.
///
/// A name of a large content network changes its few addresses every minute or so, and answers of
/// hundreds are unheard of. The bound keeps a component that asks for ever from growing the host.
pub const MAX_ADDRESSES_PER_NAME: usize = 256;

/// The addresses that names resolved to, as far as a policy needs them.
///
/// A connection shows an address and no name, so a policy that grants a name has to be told what
/// that name stood for. What was answered stays valid for the run: a connection that is under way
/// when a second lookup brings other addresses is as good as it was.
#[derive(Clone, Debug, Default)]
pub struct Answers {
    by_name: HashMap<Name, VecDeque<IpAddr>>,
}

impl Answers {
    /// No answers yet.
    pub fn new() -> Answers {
        Answers::default()
    }

    /// Remember that `name` resolved to `addresses`.
    pub fn insert(&mut self, name: &Name, addresses: impl IntoIterator<Item = IpAddr>) {
        let known = self.by_name.entry(name.clone()).or_default();
        for address in addresses {
            let address = address.to_canonical();
            known.retain(|other| *other != address);
            known.push_back(address);
            if known.len() > MAX_ADDRESSES_PER_NAME {
                known.pop_front();
            }
        }
    }

    /// Forget the names that `keep` says no to.
    pub fn retain(&mut self, mut keep: impl FnMut(&Name) -> bool) {
        self.by_name.retain(|name, _| keep(name));
    }

    /// The names that resolved to `address`.
    pub fn names_of(&self, address: IpAddr) -> impl Iterator<Item = &Name> {
        let address = address.to_canonical();
        self.by_name
            .iter()
            .filter(move |(_, addresses)| addresses.contains(&address))
            .map(|(name, _)| name)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Host;
    use super::*;
    use std::net::Ipv4Addr;

    fn name(text: &str) -> Name {
        match text.parse() {
            Ok(Host::Name(name)) => name,
            other => panic!("{text:?} is {other:?}"),
        }
    }

    #[test]
    fn an_address_knows_its_names() {
        let (one, two) = (name("one.example"), name("two.example"));
        let shared: IpAddr = "192.0.2.1".parse().unwrap();
        let own: IpAddr = "192.0.2.2".parse().unwrap();
        let mut answers = Answers::new();
        answers.insert(&one, [shared, own]);
        answers.insert(&two, [shared]);

        let mut names: Vec<_> = answers.names_of(shared).collect();
        names.sort();
        assert_eq!(names, [&one, &two]);
        assert_eq!(answers.names_of(own).collect::<Vec<_>>(), [&one]);
        assert_eq!(answers.names_of("192.0.2.3".parse().unwrap()).count(), 0);
    }

    #[test]
    fn mapped_addresses_are_the_ipv4_ones() {
        let one = name("one.example");
        let mut answers = Answers::new();
        answers.insert(&one, ["::ffff:192.0.2.1".parse().unwrap()]);
        for text in ["192.0.2.1", "::ffff:192.0.2.1"] {
            let found: Vec<_> = answers.names_of(text.parse().unwrap()).collect();
            assert_eq!(found, [&one], "{text}");
        }
    }

    #[test]
    fn names_are_forgotten() {
        let (one, two) = (name("one.example"), name("two.example"));
        let shared: IpAddr = "192.0.2.1".parse().unwrap();
        let mut answers = Answers::new();
        answers.insert(&one, [shared]);
        answers.insert(&two, [shared]);
        answers.retain(|name| *name == two);
        assert_eq!(answers.names_of(shared).collect::<Vec<_>>(), [&two]);
    }

    #[test]
    fn the_oldest_addresses_are_forgotten() {
        let one = name("one.example");
        let address = |n: usize| IpAddr::V4(Ipv4Addr::from(0x0a00_0000 + n as u32));
        for (count, first_is_known) in [
            (MAX_ADDRESSES_PER_NAME - 1, true),
            (MAX_ADDRESSES_PER_NAME, true),
            (MAX_ADDRESSES_PER_NAME + 1, false),
        ] {
            let mut answers = Answers::new();
            for n in 0..count {
                answers.insert(&one, [address(n)]);
            }
            assert_eq!(
                answers.names_of(address(0)).count() == 1,
                first_is_known,
                "{count}"
            );
            assert_eq!(answers.names_of(address(count - 1)).count(), 1, "{count}");
        }
    }

    #[test]
    fn an_address_that_comes_again_is_young_again() {
        let one = name("one.example");
        let address = |n: usize| IpAddr::V4(Ipv4Addr::from(0x0a00_0000 + n as u32));
        let mut answers = Answers::new();
        for n in 0..MAX_ADDRESSES_PER_NAME {
            answers.insert(&one, [address(n)]);
        }
        answers.insert(&one, [address(0)]);
        answers.insert(&one, [address(MAX_ADDRESSES_PER_NAME)]);
        assert_eq!(answers.names_of(address(0)).count(), 1);
        assert_eq!(answers.names_of(address(1)).count(), 0);
    }
}

//! The least that would have to be granted for what a run did.

use super::is_any;
use super::{
    Destination, Endpoint, Host, Hosts, LocalNetworks, Name, Names, Ports, Rule, SpecialPurpose,
    Target,
};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// Collects what a run does, and tells which rules would grant just that.
///
/// Fed from an audit record of a run that everything was granted, it says what to grant next time. A
/// name stands for the addresses that it resolved to where a granted name would reach them; where they
/// aren't public, the address is granted by its number.
///
/// # Examples
/// ```
/// use sockbox::policy::{Needed, Target};
///
/// let mut needed = Needed::new();
/// let name = "example.com".parse()?;
/// needed.note(&Target::Resolve("example.com".parse()?), None);
/// needed.note(&Target::Connect("1.1.1.1:443".parse()?), Some(&name));
/// needed.note(&Target::Connect("1.1.1.1:80".parse()?), Some(&name));
/// assert_eq!(needed.flags(), ["--allow-connect example.com:80,443"]);
/// assert_eq!(needed.to_toml(), "allow-connect = [\"example.com:80,443\"]\n");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Needed {
    resolved: BTreeSet<Name>,
    connects: Reached,
    sends: Reached,
    bound: BTreeSet<SocketAddr>,
    listens: BTreeSet<SocketAddr>,
    udp_bound: BTreeSet<SocketAddr>,
    sent_to: BTreeSet<SocketAddr>,
    received_from: BTreeSet<SocketAddr>,
    answered: BTreeSet<IpAddr>,
    local: Arc<LocalNetworks>,
}

/// Hosts, and the ports of each.
type Reached = BTreeMap<Place, BTreeSet<u16>>;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Name(Name),
    Address(IpAddr),
}

impl Needed {
    /// Nothing is needed yet.
    pub fn new() -> Needed {
        Needed::default()
    }

    /// Say which addresses and networks are this machine's own: a granted name doesn't reach them.
    pub fn set_local_networks(&mut self, local: impl Into<Arc<LocalNetworks>>) {
        self.local = local.into();
    }

    /// Note that a run did this. `name` is the one that its address was resolved from, where it was.
    pub fn note(&mut self, target: &Target, name: Option<&Name>) {
        match target {
            Target::Resolve(name) => {
                self.resolved.insert(name.clone());
            }
            Target::Connect(address) => reach(&mut self.connects, *address, name, &self.local),
            Target::Bind(address) => {
                self.bound.insert(*address);
            }
            Target::Listen(address) => {
                self.listens.insert(*address);
            }
            // Who may listen may accept.
            Target::Accept(_) => {}
            Target::UdpBind(address) => {
                self.udp_bound.insert(*address);
            }
            // A client that is answered has another port each time.
            Target::UdpSend(address)
                if self.received_from.contains(address) && !self.sent_to.contains(address) =>
            {
                self.answered.insert(address.ip().to_canonical());
            }
            Target::UdpSend(address) => {
                self.sent_to.insert(*address);
                reach(&mut self.sends, *address, name, &self.local);
            }
            Target::UdpReceive(address) => {
                self.received_from.insert(*address);
            }
        }
    }

    /// Whether it did nothing that needs a grant.
    pub fn is_empty(&self) -> bool {
        self.rules().is_empty()
    }

    /// The rules that grant it.
    pub fn rules(&self) -> Vec<Rule> {
        let mut rules: Vec<Rule> = destinations(&self.connects)
            .map(|to| Rule::Connect { to })
            .collect();
        rules.extend(destinations(&self.sends).map(|to| Rule::UdpSend { to }));
        rules.extend(self.answered.iter().map(|address| Rule::UdpSend {
            to: Destination {
                hosts: Hosts::One(Host::Address(*address)),
                ports: Ports::ANY,
            },
        }));
        let listens = self.listens.iter().map(|address| {
            // What it didn't ask for it was given by the system.
            let asked = self.bound.contains(address);
            let port = if asked { address.port() } else { 0 };
            SocketAddr::new(address.ip(), port)
        });
        let listens: BTreeSet<SocketAddr> = listens.collect();
        rules.extend(listens.into_iter().map(|address| Rule::Listen {
            on: Endpoint::one(address),
        }));
        // Who binds and doesn't listen: a client that says where it connects from.
        let others = self
            .bound
            .iter()
            .filter(|address| !rules.iter().any(|rule| rule.covers_bind(**address)));
        let others: Vec<Rule> = others
            .map(|address| Rule::Listen {
                on: Endpoint::one(*address),
            })
            .collect();
        rules.extend(others);
        // Who sends may have a socket to send from, and receive what is answered.
        let heard_others = !self.received_from.is_subset(&self.sent_to);
        let binds = self
            .udp_bound
            .iter()
            .filter(|address| heard_others || self.sends.is_empty() || !is_any(**address));
        rules.extend(binds.map(|address| Rule::UdpBind {
            on: Endpoint::one(*address),
        }));
        let looked_up = self.resolved.iter();
        let others: Vec<Rule> = looked_up
            .filter(|name| !rules.iter().any(|rule| rule.covers_lookup(name)))
            .map(|name| Rule::Resolve {
                names: Names::One(name.clone()),
            })
            .collect();
        rules.extend(others);
        rules
    }

    /// The flags that grant it.
    pub fn flags(&self) -> Vec<String> {
        self.rules()
            .iter()
            .map(|rule| format!("--{rule}"))
            .collect()
    }

    /// The same as a policy file.
    pub fn to_toml(&self) -> String {
        let mut keys: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for rule in self.rules() {
            let text = rule.to_string();
            if let Some((key, value)) = text.split_once(' ') {
                // Hosts, addresses and ports: nothing that TOML would want escaped.
                keys.entry(key.to_owned())
                    .or_default()
                    .push(format!("\"{value}\""));
            }
        }
        keys.iter().fold(String::new(), |mut text, (key, values)| {
            // Writing to a string can't fail.
            let _ = writeln!(text, "{key} = [{}]", values.join(", "));
            text
        })
    }
}

fn reach(reached: &mut Reached, address: SocketAddr, name: Option<&Name>, local: &LocalNetworks) {
    let ip = address.ip().to_canonical();
    let by_name = name.filter(|name| match name.is_localhost() {
        true => ip.is_loopback(),
        false => SpecialPurpose::of(ip).is_none() && local.special(ip).is_none(),
    });
    let place = match by_name {
        Some(name) => Place::Name(name.clone()),
        None => Place::Address(ip),
    };
    reached.entry(place).or_default().insert(address.port());
}

fn destinations(reached: &Reached) -> impl Iterator<Item = Destination> {
    reached.iter().map(|(place, ports)| Destination {
        hosts: Hosts::One(match place {
            Place::Name(name) => Host::Name(name.clone()),
            Place::Address(address) => Host::Address(*address),
        }),
        ports: Ports::list(ports.iter().copied()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{Answers, Policy};
    use std::time::Instant;

    #[test]
    fn a_name_in_a_network_of_ones_own_is_granted_by_its_number() {
        let named: Name = "own.example".parse().unwrap();
        let mut needed = Needed::new();
        needed.set_local_networks(LocalNetworks::new().network("1.2.3.0/24".parse().unwrap()));
        for address in ["1.2.3.4:80", "1.2.4.4:81"] {
            needed.note(&Target::Connect(address.parse().unwrap()), Some(&named));
        }
        let expected = [
            "--allow-connect own.example:81",
            "--allow-connect 1.2.3.4:80",
        ];
        assert_eq!(needed.flags(), expected);
    }

    /// What a run did, the flags that it takes, and that they are enough.
    #[test]
    fn the_least_is_told_and_is_enough() {
        let public: Name = "public.example".parse().unwrap();
        let private: Name = "private.example".parse().unwrap();
        let localhost: Name = "localhost".parse().unwrap();
        let mut answers = Answers::new();
        for (name, address) in [
            (&public, "1.1.1.1"),
            (&private, "10.0.0.1"),
            (&localhost, "127.0.0.1"),
        ] {
            answers.insert(name, [address.parse().unwrap()], Instant::now());
        }
        let address = |text: &str| -> SocketAddr { text.parse().unwrap() };
        let connect = |text| Target::Connect(address(text));
        let send = |text| Target::UdpSend(address(text));
        let receive = |text| Target::UdpReceive(address(text));
        let resolve = |name: &Name| (Target::Resolve(name.clone()), None);
        let table = [
            (vec![], &[][..]),
            (vec![resolve(&public)], &["--allow-resolve public.example"]),
            (
                vec![resolve(&public), (connect("1.1.1.1:80"), Some(&public))],
                &["--allow-connect public.example:80"],
            ),
            (
                vec![resolve(&private), (connect("10.0.0.1:80"), Some(&private))],
                &[
                    "--allow-connect 10.0.0.1:80",
                    "--allow-resolve private.example",
                ],
            ),
            (
                vec![
                    resolve(&localhost),
                    (connect("127.0.0.1:80"), Some(&localhost)),
                ],
                &["--allow-connect localhost:80"],
            ),
            (
                vec![
                    (connect("[::1]:2"), None),
                    (connect("[::1]:1"), None),
                    (connect("[::1]:2"), None),
                ],
                &["--allow-connect [::1]:1,2"],
            ),
            (
                vec![
                    (Target::Bind(address("127.0.0.1:80")), None),
                    (Target::Listen(address("127.0.0.1:80")), None),
                    (Target::Accept(address("127.0.0.1:5000")), None),
                ],
                &["--allow-listen 127.0.0.1:80"],
            ),
            (
                vec![
                    (Target::Bind(address("127.0.0.1:0")), None),
                    (Target::Listen(address("127.0.0.1:4711")), None),
                ],
                &["--allow-listen 127.0.0.1:0"],
            ),
            (
                vec![
                    (Target::Bind(address("127.0.0.1:0")), None),
                    (Target::Bind(address("127.0.0.1:99")), None),
                    (connect("1.1.1.1:80"), None),
                ],
                &[
                    "--allow-connect 1.1.1.1:80",
                    "--allow-listen 127.0.0.1:0",
                    "--allow-listen 127.0.0.1:99",
                ],
            ),
            (
                vec![
                    (Target::UdpBind(address("0.0.0.0:0")), None),
                    (send("1.1.1.1:53"), Some(&public)),
                    (receive("1.1.1.1:53"), None),
                ],
                &["--allow-udp-send public.example:53"],
            ),
            (
                vec![
                    (Target::UdpBind(address("0.0.0.0:0")), None),
                    (send("1.1.1.1:53"), None),
                    (receive("1.1.1.2:53"), None),
                ],
                &["--allow-udp-send 1.1.1.1:53", "--allow-udp-bind 0.0.0.0:0"],
            ),
            (
                vec![
                    (Target::UdpBind(address("127.0.0.1:53")), None),
                    (receive("127.0.0.1:5000"), None),
                ],
                &["--allow-udp-bind 127.0.0.1:53"],
            ),
            (
                vec![
                    (Target::UdpBind(address("127.0.0.1:53")), None),
                    (receive("127.0.0.1:5000"), None),
                    (send("127.0.0.1:5000"), None),
                ],
                &[
                    "--allow-udp-send 127.0.0.1:*",
                    "--allow-udp-bind 127.0.0.1:53",
                ],
            ),
        ];
        for (did, expected) in table {
            let mut needed = Needed::new();
            for (target, name) in &did {
                needed.note(target, *name);
            }
            assert_eq!(needed.flags(), expected);
            assert_eq!(needed.is_empty(), expected.is_empty());
            let policy = needed
                .rules()
                .into_iter()
                .fold(Policy::new(), Policy::grant);
            for (target, _) in &did {
                assert!(
                    policy.judge(target, &answers).is_allowed(),
                    "{target} by {expected:?}"
                );
            }
            let file = crate::profile::PolicyFile::parse(&needed.to_toml()).unwrap();
            let mut from_file = file.profile(None).unwrap().policy.rules().to_vec();
            let mut rules = needed.rules();
            rules.sort_by_key(Rule::to_string);
            from_file.sort_by_key(Rule::to_string);
            assert_eq!(from_file, rules);
        }
    }
}

//! The least that would have to be granted for what a run did.

use super::is_any;
use super::{
    Destination, Endpoint, Host, Hosts, LocalNetworks, Name, Names, Ports, Rule, SpecialPurpose,
    Target,
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Write;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// How many of each are remembered: hosts, ports of one host, addresses that were bound or listened on,
/// names that were looked up, peers that datagrams came from. 1,024.
///
/// A component decides how many there are, and each costs the host some hundred bytes. A policy with a
/// thousand rules for one component is none that people read.
pub const MAX_NEEDED: usize = 1024;

/// Collects what a run does, and tells which rules would grant just that.
///
/// Fed from an audit record of a run that everything was granted, it says what to grant next time. A
/// name stands for the addresses that it resolved to where a granted name would reach them; where they
/// aren't public, the address is granted by its number.
///
/// It remembers [`MAX_NEEDED`] of each and no more. A host with more ports than that is granted with all of
/// them; what else is too much is counted ([`Needed::omitted`]), and isn't in the rules.
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
    received_from: Latest,
    /// Whether a datagram came from where none had been sent to.
    heard_others: bool,
    answered: BTreeSet<IpAddr>,
    local: Arc<LocalNetworks>,
    omitted: u64,
}

/// Hosts, and the ports of each.
type Reached = BTreeMap<Place, PortsReached>;

/// Ports of a host.
#[derive(Clone, Debug)]
enum PortsReached {
    Some(BTreeSet<u16>),
    /// More than are remembered.
    Any,
}

/// The latest addresses that datagrams came from. Those that came long before are forgotten: what is sent
/// there then is no answer.
#[derive(Clone, Debug, Default)]
struct Latest {
    all: BTreeSet<SocketAddr>,
    order: VecDeque<SocketAddr>,
}

impl Latest {
    fn insert(&mut self, address: SocketAddr) {
        if !self.all.insert(address) {
            return;
        }
        self.order.push_back(address);
        if self.order.len() > MAX_NEEDED
            && let Some(oldest) = self.order.pop_front()
        {
            self.all.remove(&oldest);
        }
    }
}

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
        let remembered = match target {
            Target::Resolve(name) => insert(&mut self.resolved, name.clone()),
            Target::Connect(address) => reach(&mut self.connects, *address, name, &self.local),
            Target::Bind(address) => insert(&mut self.bound, *address),
            Target::Listen(address) => insert(&mut self.listens, *address),
            // Who may listen may accept.
            Target::Accept(_) => true,
            Target::UdpBind(address) => insert(&mut self.udp_bound, *address),
            // A client that is answered has another port each time.
            Target::UdpSend(address)
                if self.received_from.all.contains(address) && !self.sent_to.contains(address) =>
            {
                insert(&mut self.answered, address.ip().to_canonical())
            }
            Target::UdpSend(address) => {
                // What is forgotten of these makes more needed, not less.
                insert(&mut self.sent_to, *address);
                reach(&mut self.sends, *address, name, &self.local)
            }
            Target::UdpReceive(address) => {
                self.heard_others |= !self.sent_to.contains(address);
                self.received_from.insert(*address);
                true
            }
        };
        self.omitted = self.omitted.saturating_add(u64::from(!remembered));
    }

    /// Note that a run did something so many times that can't be told.
    pub fn note_omitted(&mut self, count: u64) {
        self.omitted = self.omitted.saturating_add(count);
    }

    /// How often it did what was too much to be remembered: what that takes isn't in the rules.
    pub fn omitted(&self) -> u64 {
        self.omitted
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
        let binds = self
            .udp_bound
            .iter()
            .filter(|address| self.heard_others || self.sends.is_empty() || !is_any(**address));
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

/// Remember an item, if it is or there is room for it. Tells whether it is remembered.
fn insert<T: Ord>(items: &mut BTreeSet<T>, item: T) -> bool {
    items.contains(&item) || (items.len() < MAX_NEEDED && items.insert(item))
}

fn reach(
    reached: &mut Reached,
    address: SocketAddr,
    name: Option<&Name>,
    local: &LocalNetworks,
) -> bool {
    let ip = address.ip().to_canonical();
    let by_name = name.filter(|name| match name.is_localhost() {
        true => ip.is_loopback(),
        false => SpecialPurpose::of(ip).is_none() && local.special(ip).is_none(),
    });
    let place = match by_name {
        Some(name) => Place::Name(name.clone()),
        None => Place::Address(ip),
    };
    if reached.len() >= MAX_NEEDED && !reached.contains_key(&place) {
        return false;
    }
    let ports = reached
        .entry(place)
        .or_insert_with(|| PortsReached::Some(BTreeSet::new()));
    if let PortsReached::Some(some) = ports
        && !insert(some, address.port())
    {
        *ports = PortsReached::Any;
    }
    true
}

fn destinations(reached: &Reached) -> impl Iterator<Item = Destination> {
    reached.iter().map(|(place, ports)| Destination {
        hosts: Hosts::One(match place {
            Place::Name(name) => Host::Name(name.clone()),
            Place::Address(address) => Host::Address(*address),
        }),
        ports: match ports {
            PortsReached::Some(ports) => Ports::list(ports.iter().copied()),
            PortsReached::Any => Ports::ANY,
        },
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

    fn address(n: usize, port: usize) -> SocketAddr {
        let ip = std::net::Ipv4Addr::from(0x0100_0000 + u32::try_from(n).unwrap());
        SocketAddr::from((ip, u16::try_from(port).unwrap()))
    }

    /// What a flood leaves behind.
    fn held(needed: &Needed) -> usize {
        let ports = |reached: &Reached| -> usize {
            let ports = reached.values().map(|ports| match ports {
                PortsReached::Some(ports) => ports.len(),
                PortsReached::Any => 0,
            });
            ports.sum::<usize>() + reached.len()
        };
        needed.resolved.len()
            + ports(&needed.connects)
            + ports(&needed.sends)
            + needed.bound.len()
            + needed.listens.len()
            + needed.udp_bound.len()
            + needed.sent_to.len()
            + needed.received_from.all.len()
            + needed.received_from.order.len()
            + needed.answered.len()
    }

    #[test]
    fn a_flood_is_remembered_up_to_a_bound_and_the_rest_is_counted() {
        for (count, omitted) in [
            (MAX_NEEDED, 0),
            (MAX_NEEDED + 1, 1),
            (300_000, 300_000 - MAX_NEEDED as u64),
        ] {
            // From everywhere, and each is answered.
            let mut needed = Needed::new();
            for n in 0..count {
                needed.note(&Target::UdpReceive(address(n, 53)), None);
                needed.note(&Target::UdpSend(address(n, 53)), None);
            }
            assert_eq!(needed.omitted(), omitted, "{count}");
            assert_eq!(needed.rules().len(), MAX_NEEDED);
            assert!(held(&needed) <= 10 * MAX_NEEDED, "{}", held(&needed));
            // To everywhere.
            let mut needed = Needed::new();
            for n in 0..count {
                needed.note(&Target::UdpSend(address(n, 53)), None);
                needed.note(&Target::Connect(address(n, 53)), None);
            }
            assert_eq!(needed.omitted(), 2 * omitted, "{count}");
            assert_eq!(needed.rules().len(), 2 * MAX_NEEDED);
            assert!(held(&needed) <= 10 * MAX_NEEDED, "{}", held(&needed));
        }
        let mut needed = Needed::new();
        needed.note_omitted(5);
        assert_eq!(needed.omitted(), 5);
        assert!(needed.is_empty());
    }

    #[test]
    fn a_host_with_too_many_ports_is_granted_with_all_of_them() {
        for (count, expected) in [
            (MAX_NEEDED, ",1023,1024"),
            (MAX_NEEDED + 1, "--allow-connect 1.0.0.0:*"),
            (65_535, "--allow-connect 1.0.0.0:*"),
        ] {
            let mut needed = Needed::new();
            for port in 1..=count {
                needed.note(&Target::Connect(address(0, port)), None);
            }
            let flags = needed.flags();
            assert_eq!(flags.len(), 1);
            assert!(flags[0].ends_with(expected), "{flags:?}");
            assert_eq!(needed.omitted(), 0);
        }
    }
}

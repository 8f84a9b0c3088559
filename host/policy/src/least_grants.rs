//! The smallest set of rules that grants what a run did.

use crate::http::Asked;
use crate::{
    Destination, Endpoint, Host, Hosts, HttpMethod, HttpRule, HttpTarget, HttpUrl, LocalNetworks,
    MAX_HTTP_METHODS, Name, Names, Ports, Rule, SpecialPurpose, Target, is_unbound,
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Write;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// How many of each kind are remembered: hosts, ports of one host, addresses that were bound or
/// listened on, names that were resolved, peers that sent datagrams, HTTP requests (a method and a URL). 1,024.
///
/// The component controls how many there are, and each costs the host some hundred bytes. A policy
/// with a thousand rules for one component is too long to be read.
pub const MAX_LEAST_GRANTS: usize = 1024;

/// The most bytes that the methods and the URLs of all remembered HTTP requests have together: 1 MiB. One URL may have
/// more than 8 KiB.
const MAX_REQUEST_BYTES: usize = 1024 * 1024;

/// Collects what a run does, and gives the rules that grant exactly that.
///
/// Its input is the audit record of a run that was granted everything. A connection to a resolved
/// address becomes a rule for the name if a granted name would reach that address. If the address is
/// not public, it becomes a rule for the address.
///
/// It remembers [`MAX_LEAST_GRANTS`] of each kind, and of one URL at most [`MAX_HTTP_METHODS`] methods. A host with more
/// ports than that is granted with all ports.
/// Everything else above that number is counted ([`LeastGrants::omitted`]) and is not in the rules.
///
/// # Examples
/// ```
/// use sockbox_policy::{LeastGrants, Target};
///
/// let mut needed = LeastGrants::new();
/// let name = "example.com".parse()?;
/// needed.note(&Target::Resolve("example.com".parse()?), None);
/// needed.note(&Target::Connect("1.1.1.1:443".parse()?), Some(&name));
/// needed.note(&Target::Connect("1.1.1.1:80".parse()?), Some(&name));
/// let rules: Vec<_> = needed.rules().iter().map(ToString::to_string).collect();
/// assert_eq!(rules, ["allow-connect example.com:80,443"]);
/// assert_eq!(needed.to_toml(), "allow-connect = [\"example.com:80,443\"]\n");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct LeastGrants {
    resolved: BTreeSet<Name>,
    connects: Reached,
    sends: Reached,
    bound: BTreeSet<SocketAddr>,
    listens: BTreeSet<SocketAddr>,
    udp_bound: BTreeSet<SocketAddr>,
    sent_to: BTreeSet<SocketAddr>,
    received_from: Latest,
    /// Whether a datagram came from a peer to which none had been sent.
    heard_others: bool,
    answered: BTreeSet<IpAddr>,
    requests: Requests,
    local: Arc<LocalNetworks>,
    omitted: u64,
}

/// The HTTP requests: the methods of each URL.
#[derive(Clone, Debug, Default)]
struct Requests {
    methods: BTreeMap<HttpUrl, BTreeSet<HttpMethod>>,
    /// How many pairs of a method and a URL there are.
    count: usize,
    /// The bytes of these pairs.
    bytes: usize,
}

impl Requests {
    /// Remember a request if there is room. Returns whether it is remembered.
    fn insert(&mut self, request: &HttpTarget) -> bool {
        let HttpTarget { method, url } = request;
        let methods = self.methods.get(url);
        if methods.is_some_and(|methods| methods.contains(method)) {
            return true;
        }
        let bytes = self.bytes + request.held_bytes();
        if self.count == MAX_LEAST_GRANTS
            || bytes > MAX_REQUEST_BYTES
            || methods.is_some_and(|methods| methods.len() == MAX_HTTP_METHODS)
        {
            return false;
        }
        self.count += 1;
        self.bytes = bytes;
        let methods = self.methods.entry(url.clone()).or_default();
        methods.insert(method.clone())
    }
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

/// The latest addresses that datagrams came from. Older ones are forgotten; a datagram sent to a
/// forgotten address does not count as an answer.
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
        if self.order.len() > MAX_LEAST_GRANTS
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

impl LeastGrants {
    /// Nothing is needed yet.
    pub fn new() -> LeastGrants {
        LeastGrants::default()
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
            Target::ConnectName { name, port } => {
                reach_place(&mut self.connects, Place::Name(name.clone()), *port)
            }
            Target::Bind(address) => insert(&mut self.bound, *address),
            Target::Listen(address) => insert(&mut self.listens, *address),
            // A grant to listen includes accepting.
            Target::Accept(_) => true,
            Target::UdpBind(address) => insert(&mut self.udp_bound, *address),
            // An answered client uses another port each time.
            Target::UdpSend(address)
                if self.received_from.all.contains(address) && !self.sent_to.contains(address) =>
            {
                insert(&mut self.answered, address.ip().to_canonical())
            }
            Target::UdpSend(address) => {
                // Forgetting one of these can only add rules, not remove them.
                insert(&mut self.sent_to, *address);
                reach(&mut self.sends, *address, name, &self.local)
            }
            Target::Http(request) => self.requests.insert(request),
            Target::UdpReceive(address) => {
                self.heard_others |= !self.sent_to.contains(address);
                self.received_from.insert(*address);
                true
            }
        };
        self.omitted = self.omitted.saturating_add(u64::from(!remembered));
    }

    /// Note that a request went to this address, by way of its URL's name: one that a granted name doesn't reach has
    /// to be granted by its number.
    pub fn note_http_address(&mut self, request: &HttpTarget, address: SocketAddr) {
        let ip = address.ip().to_canonical();
        let is_reached = |name: &Name| match name.is_localhost() {
            true => ip.is_loopback(),
            false => SpecialPurpose::of(ip).is_none() && self.local.special(ip).is_none(),
        };
        if request.url.name().is_none_or(is_reached) {
            return;
        }
        let remembered = reach(&mut self.connects, address, None, &self.local);
        self.omitted = self.omitted.saturating_add(u64::from(!remembered));
    }

    /// Note that a run did `count` operations that the record does not list.
    pub fn note_omitted(&mut self, count: u64) {
        self.omitted = self.omitted.saturating_add(count);
    }

    /// How many operations were not remembered. The rules do not grant them.
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
            // The system chose an address that the component did not ask for.
            let asked = self.bound.contains(address);
            let port = if asked { address.port() } else { 0 };
            SocketAddr::new(address.ip(), port)
        });
        let listens: BTreeSet<SocketAddr> = listens.collect();
        rules.extend(listens.into_iter().map(|address| Rule::Listen {
            on: Endpoint::one(address),
        }));
        // A component that binds and does not listen is a client that chooses its source address.
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
        // A grant to send includes a socket to send from, and receiving answers.
        let binds = self
            .udp_bound
            .iter()
            .filter(|address| self.heard_others || self.sends.is_empty() || !is_unbound(**address));
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
        rules.extend(self.http_rules(&rules));
        rules
    }

    /// The rules that grant its requests, as far as these don't.
    fn http_rules(&self, rules: &[Rule]) -> Vec<Rule> {
        let mut http = Vec::new();
        for (url, methods) in &self.requests.methods {
            let others = methods.iter().filter(|method| {
                let request = HttpTarget::new((*method).clone(), url.clone());
                let asked = Asked::of(&request);
                !rules.iter().any(|rule| rule.covers_http(&asked))
            });
            let mut others = others.cloned().peekable();
            if others.peek().is_some() {
                http.push(Rule::Http {
                    requests: HttpRule::exactly(others, url),
                });
            }
        }
        http
    }

    /// The same as a policy file.
    pub fn to_toml(&self) -> String {
        let mut keys: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for rule in self.rules() {
            let text = rule.to_string();
            if let Some((key, value)) = text.split_once(' ') {
                // Hosts, addresses, ports, methods and paths contain no character that TOML escapes.
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

/// Remember an item if there is room. Returns whether it is remembered.
fn insert<T: Ord>(items: &mut BTreeSet<T>, item: T) -> bool {
    items.contains(&item) || (items.len() < MAX_LEAST_GRANTS && items.insert(item))
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
    reach_place(reached, place, address.port())
}

fn reach_place(reached: &mut Reached, place: Place, port: u16) -> bool {
    if reached.len() >= MAX_LEAST_GRANTS && !reached.contains_key(&place) {
        return false;
    }
    let ports = reached
        .entry(place)
        .or_insert_with(|| PortsReached::Some(BTreeSet::new()));
    if let PortsReached::Some(some) = ports
        && !insert(some, port)
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
mod tests;

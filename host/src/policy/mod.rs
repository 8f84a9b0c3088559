//! What a run may do with the network.
//!
//! Everything here is plain data: a [`Policy`] is a list of [`Rule`]s and of [`Deny`]s, and
//! [`Policy::judge`] says what they make of a [`Target`]. Nothing here opens a socket, and nothing knows
//! of WebAssembly.
//!
//! - With no rule nothing is granted, and what is denied is denied whatever is granted.
//! - A granted *name* covers the addresses that it resolves to in this run ([`Answers`]), and of these
//!   the public ones: [`Policy::allow_private`].
//! - What a *server* names, by redirecting to it, is granted less than what the user names:
//!   [`Policy::allow_redirects`].

mod answers;
mod destination;
mod embedded;
mod local;
mod needed;
mod ports;
mod rule;
mod special;
mod verdict;

pub use answers::{AnsweredNames, Answers, GRACE, MAX_ADDRESSES_PER_NAME, MAX_NAMES};
pub use destination::{Destination, Endpoint, Hosts, Range};
pub use local::LocalNetworks;
pub use needed::{MAX_NEEDED, Needed};
pub use ports::Ports;
pub use rule::{Denied, Deny, Host, MAX_LABEL_BYTES, MAX_NAME_BYTES, Name, Names, Rule, RuleError};
pub use special::SpecialPurpose;
pub use verdict::{Basis, DenialReason, Verdict};

use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// What is asked of the network: the question that a policy answers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Target {
    /// Looking this name up.
    Resolve(Name),
    /// Connecting to this address over TCP.
    Connect(SocketAddr),
    /// Binding a TCP socket to this address, in order to listen on it.
    Bind(SocketAddr),
    /// Listening on this address over TCP.
    Listen(SocketAddr),
    /// Accepting a client that connects from this address.
    Accept(SocketAddr),
    /// Binding a UDP socket to this address.
    UdpBind(SocketAddr),
    /// Sending a datagram to this address.
    UdpSend(SocketAddr),
    /// Receiving a datagram from this address.
    UdpReceive(SocketAddr),
}

impl Target {
    /// What is done: `connect`.
    pub fn operation(&self) -> &'static str {
        match self {
            Target::Resolve(_) => "resolve",
            Target::Connect(_) => "connect",
            Target::Bind(_) => "bind",
            Target::Listen(_) => "listen",
            Target::Accept(_) => "accept",
            Target::UdpBind(_) => "udp-bind",
            Target::UdpSend(_) => "udp-send",
            Target::UdpReceive(_) => "udp-receive",
        }
    }

    /// The address that it is done with, where it is done with one.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        match self {
            Target::Resolve(_) => None,
            Target::Connect(address)
            | Target::Bind(address)
            | Target::Listen(address)
            | Target::Accept(address)
            | Target::UdpBind(address)
            | Target::UdpSend(address)
            | Target::UdpReceive(address) => Some(*address),
        }
    }

    /// The name or the address that it is done with: `192.0.2.1:80`.
    pub fn object(&self) -> String {
        match self {
            Target::Resolve(name) => name.to_string(),
            Target::Connect(address)
            | Target::Bind(address)
            | Target::Listen(address)
            | Target::Accept(address)
            | Target::UdpBind(address)
            | Target::UdpSend(address)
            | Target::UdpReceive(address) => address.to_string(),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Resolve(name) => write!(f, "look up {name}"),
            Target::Connect(address) => write!(f, "connect to {address}"),
            Target::Bind(address) => write!(f, "bind to {address}"),
            Target::Listen(address) => write!(f, "listen on {address}"),
            Target::Accept(address) => write!(f, "accept {address}"),
            Target::UdpBind(address) => write!(f, "bind a UDP socket to {address}"),
            Target::UdpSend(address) => write!(f, "send a datagram to {address}"),
            Target::UdpReceive(address) => write!(f, "receive a datagram from {address}"),
        }
    }
}

/// What a run may do with the network. The default, like [`Policy::new`], grants nothing.
///
/// # Examples
/// ```
/// use sockbox::policy::{Answers, Policy, Target};
///
/// let policy = Policy::new()
///     .allow_connect_to("10.0.0.0/8:80,443")?
///     .deny_connect("10.0.0.1")?;
/// let nothing_resolved = Answers::new();
/// let allows = |address: &str| {
///     let target = Target::Connect(address.parse().unwrap());
///     policy.judge(&target, &nothing_resolved).is_allowed()
/// };
/// assert!(allows("10.2.3.4:443"));
/// assert!(!allows("10.2.3.4:8443"));
/// assert!(!allows("10.0.0.1:443"));
/// # Ok::<(), sockbox::policy::RuleError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    rules: Vec<Rule>,
    denials: Vec<Deny>,
    redirects: bool,
    private: bool,
    /// The hosts of the URLs that were granted.
    typed: Vec<Host>,
}

impl Policy {
    /// Grant nothing.
    pub fn new() -> Policy {
        Policy::default()
    }

    /// Grant everything, UDP included.
    pub fn everything() -> Policy {
        Policy::new().grant(Rule::Everything)
    }

    /// Grant what `rule` says as well.
    #[must_use]
    pub fn grant(mut self, rule: Rule) -> Policy {
        if !self.rules.contains(&rule) {
            self.rules.push(rule);
        }
        self
    }

    /// Deny what `rule` says, whatever is granted.
    #[must_use]
    pub fn deny(mut self, rule: Deny) -> Policy {
        if !self.denials.contains(&rule) {
            self.denials.push(rule);
        }
        self
    }

    /// Grant what it takes to fetch `url`: looking its host's name up, and connecting to the
    /// addresses found, be they public or not, or to its host's address, at its port.
    ///
    /// That a name may be at addresses which aren't public ends with the first response that
    /// [`Instance::fetch`](crate::Instance::fetch) gets from its server: from then on it may be at public
    /// addresses, and where the response didn't come from one of these, at the others that it had up to
    /// then. Else a server could redirect to its own name, and have that name mean a neighbour of this
    /// machine's (DNS rebinding).
    ///
    /// # Errors
    /// - [`RuleError::Url`]: `url` can't be read as an absolute URL.
    /// - [`RuleError::NoHost`]: it has no host, or no port, and its scheme has none by default.
    pub fn allow_url(self, url: &str) -> Result<Policy, RuleError> {
        let parsed = url::Url::parse(url).map_err(|error| RuleError::Url {
            url: without_credentials(url),
            reason: error.to_string(),
        })?;
        let no_host = || RuleError::NoHost {
            url: without_credentials(url),
        };
        let host: Host = parsed.host_str().ok_or_else(no_host)?.parse()?;
        let port = parsed.port_or_known_default().ok_or_else(no_host)?;
        let mut policy = self.grant(Rule::Connect {
            to: Destination::one(host.clone(), port),
        });
        if !policy.typed.contains(&host) {
            policy.typed.push(host);
        }
        Ok(policy)
    }

    /// Grant what it takes to follow redirects, one at a time:
    /// [`Response::follow`](crate::Response::follow).
    ///
    /// Where a redirect leads to another port of a host that [`Policy::allow_url`] was given, it is
    /// granted wherever that host was found to be before; a name that wasn't looked up before is granted
    /// at public addresses. Any other host is one that the *server* named, and is granted at public
    /// addresses only: a name is told those of its addresses that aren't [`Answers::special`].
    /// Either grant ends with the next redirect, and with the [`Response`](crate::Response).
    ///
    /// What is granted anyway is not narrowed by it.
    ///
    /// # Examples
    /// ```
    /// use sockbox::Policy;
    ///
    /// let policy = Policy::new()
    ///     .allow_url("http://example.com/")?
    ///     .allow_redirects()
    ///     // A server may send us to this one too, which is not at a public address.
    ///     .allow_connect_to("10.0.0.1:80")?;
    /// # Ok::<(), sockbox::policy::RuleError>(())
    /// ```
    #[must_use]
    pub fn allow_redirects(mut self) -> Policy {
        self.redirects = true;
        self
    }

    /// Let granted names reach addresses that are not public, too.
    ///
    /// Without it a rule with a name covers those of its addresses that aren't [`Answers::special`]: who
    /// controls a name's answers, and that need not be who was meant, could make it any neighbour of this
    /// machine's, or a cloud's metadata service. An address that is granted by its number is granted
    /// whatever it is, and so is one that the user said a name resolves to
    /// ([`Answers::pin`]). `localhost` means loopback addresses, and nothing else, in any case.
    #[must_use]
    pub fn allow_private(mut self) -> Policy {
        self.private = true;
        self
    }

    /// Grant connecting to `address`.
    #[must_use]
    pub fn allow_connect(self, address: SocketAddr) -> Policy {
        let host = Host::Address(address.ip().to_canonical());
        self.grant(Rule::Connect {
            to: Destination::one(host, address.port()),
        })
    }

    /// Grant connecting to what `destination` says, in the form that [`Destination`] is read from:
    /// `HOST[:PORTS]`. A name may be looked up too.
    ///
    /// # Errors
    /// [`RuleError`], with the right form in its message where one can be told.
    ///
    /// # Examples
    /// ```
    /// use sockbox::Policy;
    ///
    /// let policy = Policy::new()
    ///     .allow_connect_to("example.com:443")?
    ///     .allow_connect_to("*.example.com:443")?
    ///     .allow_connect_to("10.0.0.0/8:8000-8100")?;
    /// assert!(Policy::new().allow_connect_to("http://example.com/").is_err());
    /// # Ok::<(), sockbox::policy::RuleError>(())
    /// ```
    pub fn allow_connect_to(self, destination: &str) -> Result<Policy, RuleError> {
        let to = destination.parse()?;
        Ok(self.grant(Rule::Connect { to }))
    }

    /// Deny connecting, and sending datagrams, to what `destination` says: addresses, and ports.
    ///
    /// # Errors
    /// [`RuleError`], with the right form in its message where one can be told;
    /// [`RuleError::NameDenied`] where it is a name.
    pub fn deny_connect(self, destination: &str) -> Result<Policy, RuleError> {
        let to = destination.parse()?;
        Ok(self.deny(Deny::Connect { to }))
    }

    /// Grant listening on `address`, and accepting whoever connects. [`Endpoint`] says what
    /// wildcard addresses and port 0 cover.
    #[must_use]
    pub fn allow_listen(self, address: SocketAddr) -> Policy {
        self.grant(Rule::Listen {
            on: Endpoint::one(address),
        })
    }

    /// Grant listening on what `endpoint` says: `ADDRESS[:PORTS]`.
    ///
    /// # Errors
    /// [`RuleError`], with the right form in its message where one can be told.
    pub fn allow_listen_on(self, endpoint: &str) -> Result<Policy, RuleError> {
        let on = endpoint.parse()?;
        Ok(self.grant(Rule::Listen { on }))
    }

    /// Accept clients from this range of addresses, where listening is granted, and from others only
    /// where there is another such rule.
    ///
    /// # Errors
    /// [`RuleError`], with the right form in its message where one can be told.
    pub fn allow_accept(self, range: &str) -> Result<Policy, RuleError> {
        let from = range.parse()?;
        Ok(self.grant(Rule::Accept { from }))
    }

    /// Accept nobody from this range of addresses.
    ///
    /// # Errors
    /// [`RuleError`], with the right form in its message where one can be told.
    pub fn deny_accept(self, range: &str) -> Result<Policy, RuleError> {
        let from = range.parse()?;
        Ok(self.deny(Deny::Accept { from }))
    }

    /// Grant looking names up: `NAME` or `*.NAME`. A name that is granted otherwise needs it not.
    ///
    /// # Errors
    /// [`RuleError`], with the right form in its message where one can be told.
    pub fn allow_resolve(self, names: &str) -> Result<Policy, RuleError> {
        let names = names.parse()?;
        Ok(self.grant(Rule::Resolve { names }))
    }

    /// Grant sending datagrams to what `destination` says, and receiving what comes from there.
    ///
    /// # Errors
    /// [`RuleError`], with the right form in its message where one can be told.
    pub fn allow_udp_send(self, destination: &str) -> Result<Policy, RuleError> {
        let to = destination.parse()?;
        Ok(self.grant(Rule::UdpSend { to }))
    }

    /// Grant binding UDP sockets to what `endpoint` says, and receiving from whoever sends.
    ///
    /// # Errors
    /// [`RuleError`], with the right form in its message where one can be told.
    pub fn allow_udp_bind(self, endpoint: &str) -> Result<Policy, RuleError> {
        let on = endpoint.parse()?;
        Ok(self.grant(Rule::UdpBind { on }))
    }

    /// Grant and deny what another policy does, as well.
    #[must_use]
    pub fn and(mut self, other: Policy) -> Policy {
        for rule in other.rules {
            self = self.grant(rule);
        }
        for rule in other.denials {
            self = self.deny(rule);
        }
        for host in other.typed {
            if !self.typed.contains(&host) {
                self.typed.push(host);
            }
        }
        self.redirects |= other.redirects;
        self.private |= other.private;
        self
    }

    /// What is granted, in the order granted.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// What is denied, in the order denied.
    pub fn denials(&self) -> &[Deny] {
        &self.denials
    }

    /// Whether granted names reach addresses that are not public: [`Policy::allow_private`].
    pub fn allows_private(&self) -> bool {
        self.private
    }

    /// Say whether `target` may be done, in a run in which names resolved to `answers`.
    ///
    /// IPv4-mapped IPv6 addresses are judged as the IPv4 addresses in them. An address that stands for an
    /// IPv4 address otherwise (IPv4-compatible, NAT64, 6to4, Teredo) is denied too where that one is; it
    /// is granted by a rule about itself alone.
    pub fn judge(&self, target: &Target, answers: &Answers) -> Verdict {
        if let Some(rule) = self.denied_by(target) {
            return Verdict::Denied {
                reason: DenialReason::Rule { rule: rule.clone() },
                name: None,
            };
        }
        let found = match target {
            Target::Resolve(name) => self.first(|rule| rule.covers_lookup(name)),
            Target::Connect(address) => self
                .first(|rule| {
                    rule.covers_connect(*address) && self.reaches_number(rule, *address, answers)
                })
                .or_else(|| self.by_name(*address, answers, Rule::covers_port_of)),
            Target::Bind(address) => self.first(|rule| rule.covers_bind(*address)),
            Target::Listen(address) => self.first(|rule| rule.covers_listen(*address)),
            Target::Accept(address) => self.accepts(*address, |rule| {
                matches!(rule, Rule::Everything | Rule::Listen { .. })
            }),
            Target::UdpBind(address) => {
                self.first(|rule| rule.covers_udp_bind(*address, is_any(*address)))
            }
            Target::UdpSend(address) => self.may_send(*address, answers),
            Target::UdpReceive(address) => self
                .may_send(*address, answers)
                .filter(|_| !self.is_denied(|rule| rule.covers_connect(*address)))
                .or_else(|| {
                    self.accepts(*address, |rule| {
                        matches!(rule, Rule::Everything | Rule::UdpBind { .. })
                    })
                }),
        };
        match (found, target) {
            (None, _) => self.refusal(target, answers),
            // Granted by its number, it may have a name all the same.
            (
                Some(Verdict::Allowed { by, name: None }),
                Target::Connect(address) | Target::UdpSend(address),
            ) => Verdict::Allowed {
                by,
                name: answers.latest_name_of(address.ip()).cloned(),
            },
            (Some(verdict), _) => verdict,
        }
    }

    /// The rule by which a name may be reached at a port, over TCP or `udp`, whatever it resolves to: of
    /// that those addresses which a granted name [reaches](Policy::allow_private), and which aren't denied.
    pub fn rule_for_name(&self, name: &Name, port: u16, udp: bool) -> Option<&Rule> {
        self.rules.iter().find(|rule| match udp {
            true => rule.covers_udp_port_of(name, port),
            false => rule.covers_port_of(name, port),
        })
    }

    /// What denies `target` in so many words.
    fn denied_by(&self, target: &Target) -> Option<&Deny> {
        self.denials.iter().find(|rule| match target {
            Target::Connect(address) | Target::UdpSend(address) => rule.covers_connect(*address),
            Target::Accept(address) | Target::UdpReceive(address) => {
                rule.covers_accept(address.ip())
            }
            Target::Resolve(_) | Target::Bind(_) | Target::Listen(_) | Target::UdpBind(_) => false,
        })
    }

    fn is_denied(&self, by: impl Fn(&Deny) -> bool) -> bool {
        self.denials.iter().any(by)
    }

    fn may_send(&self, address: SocketAddr, answers: &Answers) -> Option<Verdict> {
        self.first(|rule| rule.covers_udp_send(address))
            .or_else(|| self.by_name(address, answers, Rule::covers_udp_port_of))
    }

    /// Whether somebody may be heard, where `grants` tells which rules have the run listen to anybody.
    fn accepts(&self, address: SocketAddr, grants: impl Fn(&Rule) -> bool) -> Option<Verdict> {
        let listens = self.first(grants)?;
        if self.rules.contains(&Rule::Everything) {
            return Some(listens);
        }
        let says_whom = |rule: &Rule| matches!(rule, Rule::Accept { .. });
        match self.rules.iter().any(says_whom) {
            true => self.first(|rule| rule.covers_accept(address.ip())),
            false => Some(listens),
        }
    }

    /// Why `target` is denied, which nothing grants.
    fn refusal(&self, target: &Target, answers: &Answers) -> Verdict {
        let (names, latest): (Vec<&Name>, _) = match target {
            Target::Connect(address) | Target::UdpSend(address) | Target::UdpReceive(address) => (
                answers.names_of(address.ip()).collect(),
                answers.latest_name_of(address.ip()),
            ),
            _ => (Vec::new(), None),
        };
        let reason = match target {
            Target::Connect(address) => {
                self.why_not(*address, &names, answers, Rule::covers_port_of)
            }
            Target::UdpSend(address) => {
                self.why_not(*address, &names, answers, Rule::covers_udp_port_of)
            }
            _ => DenialReason::NoRule,
        };
        let name = match &reason {
            DenialReason::Special { name, .. } | DenialReason::Moved { name, .. } => {
                Some(name.clone())
            }
            _ => latest.cloned(),
        };
        Verdict::Denied { reason, name }
    }

    /// Why `address` may not be reached, which has these names.
    fn why_not(
        &self,
        address: SocketAddr,
        names: &[&Name],
        answers: &Answers,
        covers: impl Fn(&Rule, &Name, u16) -> bool,
    ) -> DenialReason {
        let Some(special) = answers.special(address.ip()) else {
            let strange = names.iter().find(|name| {
                name.is_localhost()
                    && self
                        .rules
                        .iter()
                        .any(|rule| covers(rule, name, address.port()))
            });
            return match strange {
                Some(name) => DenialReason::NotLoopback {
                    name: (*name).clone(),
                    address: address.ip(),
                },
                None => DenialReason::NoRule,
            };
        };
        let led_there = self.redirects_to(address.port()).any(|host| match host {
            Host::Address(_) => host.is_address(address.ip()),
            Host::Name(name) => names.contains(&name),
        });
        if led_there {
            return DenialReason::NotPublic { address, special };
        }
        let granted = names.iter().find(|name| {
            self.rules
                .iter()
                .any(|rule| covers(rule, name, address.port()))
        });
        match granted {
            Some(name) => self.not_there(name, address.ip(), special),
            None => DenialReason::NoRule,
        }
    }

    /// Why `name`, which is granted, reaches nothing at `address`, which isn't public.
    fn not_there(&self, name: &Name, address: IpAddr, special: SpecialPurpose) -> DenialReason {
        let name = name.clone();
        match self.is_typed(&name) {
            true => DenialReason::Moved {
                name,
                address,
                special,
            },
            false => DenialReason::Special {
                name,
                address,
                special,
            },
        }
    }

    /// The hosts that a redirect leads to, at this port, where they are public.
    fn redirects_to(&self, port: u16) -> impl Iterator<Item = &Host> {
        self.rules.iter().filter_map(move |rule| match rule {
            Rule::Redirect {
                host,
                port: own,
                public_only: true,
            } if *own == port => Some(host),
            _ => None,
        })
    }

    /// Whether some rule grants looking `name` up.
    pub(crate) fn grants_lookup(&self, name: &Name) -> bool {
        self.rules.iter().any(|rule| rule.covers_lookup(name))
    }

    /// Tell which of the addresses of `name`, whose lookup was asked for, may be told: those that
    /// something granted reaches, unless it is the lookup itself that is granted.
    ///
    /// While a redirect to that name is followed it is looked up for that redirect, so what it can't
    /// reach is left out, whatever else grants the lookup: a server that names an address of its
    /// choice gets no closer to a neighbour that the address is granted for.
    ///
    /// # Errors
    /// Why none of them is.
    pub(crate) fn usable(
        &self,
        name: &Name,
        addresses: Vec<IpAddr>,
        answers: &Answers,
    ) -> Result<Vec<IpAddr>, DenialReason> {
        if !self.grants_lookup(name) {
            return Err(DenialReason::NoRule);
        }
        let public_port = self.rules.iter().find_map(|rule| rule.public_port_of(name));
        let any_answer = self.rules.iter().any(|rule| rule.tells_any_answer(name));
        if any_answer && public_port.is_none() {
            return Ok(addresses);
        }
        let mut refused = None;
        let mut usable = addresses;
        usable.retain(|address| {
            let why_not = match (public_port, answers.special(*address)) {
                (Some(_), None) => return true,
                (Some(port), Some(special)) => DenialReason::NotPublic {
                    address: SocketAddr::new(*address, port),
                    special,
                },
                (None, special) => {
                    let by_number = |rule: &Rule| rule.reaches_by_number(*address);
                    if self.reaches(name, *address, answers) || self.rules.iter().any(by_number) {
                        return true;
                    }
                    match special {
                        Some(special) => self.not_there(name, *address, special),
                        None => DenialReason::NotLoopback {
                            name: name.clone(),
                            address: *address,
                        },
                    }
                }
            };
            refused.get_or_insert(why_not);
            false
        });
        match refused {
            Some(reason) if usable.is_empty() => Err(reason),
            _ => Ok(usable),
        }
    }

    /// Whether a grant of `name` reaches `address`, to which it resolves.
    pub(crate) fn reaches(&self, name: &Name, address: IpAddr, answers: &Answers) -> bool {
        if name.is_localhost() {
            return address.to_canonical().is_loopback();
        }
        self.private
            || answers.special(address).is_none()
            || (self.is_typed(name) && answers.may_be_at(name, address))
    }

    /// Whether it is the host of a URL that was granted.
    pub(crate) fn is_typed(&self, name: &Name) -> bool {
        let is_name = |host: &Host| matches!(host, Host::Name(own) if own == name);
        self.typed.iter().any(is_name)
    }

    /// Whether any URL that was granted has a name for its host.
    pub(crate) fn has_typed_names(&self) -> bool {
        self.typed.iter().any(|host| matches!(host, Host::Name(_)))
    }

    /// Whether what it grants at an address depends on whether that is a public one.
    pub(crate) fn asks_what_is_public(&self) -> bool {
        self.rules.iter().any(|rule| match rule {
            Rule::Connect { to } | Rule::UdpSend { to } => to.is_of_names(),
            Rule::Redirect { .. } => true,
            _ => false,
        })
    }

    /// Whether `rule`, which covers `address` by its number, reaches it.
    fn reaches_number(&self, rule: &Rule, address: SocketAddr, answers: &Answers) -> bool {
        match rule {
            Rule::Redirect {
                public_only: true, ..
            } => answers.special(address.ip()).is_none(),
            _ => true,
        }
    }

    /// This policy, and what it grants for following a redirect to `url`.
    pub(crate) fn redirected_to(&self, url: &str) -> Policy {
        match self.redirect_rule(url) {
            Some(rule) => self.clone().grant(rule),
            None => self.clone(),
        }
    }

    /// The rule that a redirect to `url` adds. None where there is nothing to add: it is granted
    /// already, or redirects aren't.
    fn redirect_rule(&self, url: &str) -> Option<Rule> {
        if !self.redirects {
            return None;
        }
        let url = url::Url::parse(url).ok()?;
        let host: Host = url.host_str()?.parse().ok()?;
        let port = url.port_or_known_default()?;
        let granted = |rule: &Rule| match &host {
            Host::Address(address) => rule.covers_connect(SocketAddr::new(*address, port)),
            Host::Name(name) => rule.covers_port_of(name, port),
        };
        (!self.rules.iter().any(granted)).then(|| Rule::Redirect {
            public_only: !self.typed.contains(&host),
            host,
            port,
        })
    }

    fn first(&self, covers: impl Fn(&Rule) -> bool) -> Option<Verdict> {
        let rule = self.rules.iter().find(|rule| covers(rule))?;
        Some(Verdict::Allowed {
            by: Basis::Rule(rule.clone()),
            name: None,
        })
    }

    fn by_name(
        &self,
        address: SocketAddr,
        answers: &Answers,
        covers: impl Fn(&Rule, &Name, u16) -> bool,
    ) -> Option<Verdict> {
        answers.names_of(address.ip()).find_map(|name| {
            let reaches = |rule: &&Rule| match rule {
                Rule::Redirect {
                    public_only: true, ..
                } => answers.special(address.ip()).is_none(),
                _ => answers.is_pinned(name) || self.reaches(name, address.ip(), answers),
            };
            let mut covering = self
                .rules
                .iter()
                .filter(|rule| covers(rule, name, address.port()));
            let rule = covering.find(reaches)?;
            Some(Verdict::Allowed {
                by: Basis::Rule(rule.clone()),
                name: Some(name.clone()),
            })
        })
    }
}

/// Whether an address leaves both the address and the port to the system.
pub(crate) fn is_any(address: SocketAddr) -> bool {
    address.port() == 0 && address.ip().to_canonical().is_unspecified()
}

/// A URL as far as it may be shown: without user name and password.
pub(crate) fn without_credentials(url: &str) -> String {
    match url::Url::parse(url) {
        Ok(mut parsed) if !parsed.username().is_empty() || parsed.password().is_some() => {
            // Both fail only for URLs without a host, and those have no credentials.
            let _ = parsed.set_username("");
            let _ = parsed.set_password(None);
            parsed.into()
        }
        Ok(_) => url.to_owned(),
        // What can't be read may still hold a password in what would be its authority.
        Err(_) => {
            let Some((scheme, rest)) = url.split_once("://") else {
                return url.to_owned();
            };
            let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
            let (authority, path) = rest.split_at(end);
            match authority.rsplit_once('@') {
                Some((_, host)) => format!("{scheme}://{host}{path}"),
                None => url.to_owned(),
            }
        }
    }
}

#[cfg(test)]
mod properties;

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    fn answers(known: &[(&str, &[&str])]) -> Answers {
        let mut answers = Answers::new();
        for (known, addresses) in known {
            let addresses = addresses.iter().map(|text| text.parse().unwrap());
            answers.insert(&name(known), addresses, Instant::now());
        }
        answers
    }

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn target(text: &str) -> Target {
        let (operation, rest) = text.split_once(' ').unwrap();
        match operation {
            "resolve" => Target::Resolve(name(rest)),
            "connect" => Target::Connect(address(rest)),
            "bind" => Target::Bind(address(rest)),
            "listen" => Target::Listen(address(rest)),
            "accept" => Target::Accept(address(rest)),
            "udp-bind" => Target::UdpBind(address(rest)),
            "udp-send" => Target::UdpSend(address(rest)),
            "udp-receive" => Target::UdpReceive(address(rest)),
            other => panic!("{other:?}"),
        }
    }

    const EVERY_OPERATION: [&str; 8] = [
        "resolve example.com",
        "connect 192.0.2.1:80",
        "bind 0.0.0.0:0",
        "listen 127.0.0.1:9999",
        "accept 127.0.0.1:40000",
        "udp-bind 0.0.0.0:0",
        "udp-send 192.0.2.1:53",
        "udp-receive 192.0.2.1:53",
    ];

    #[test]
    fn the_default_denies_everything() {
        for policy in [Policy::default(), Policy::new()] {
            for text in EVERY_OPERATION {
                assert_eq!(
                    policy.judge(&target(text), &Answers::new()),
                    Verdict::Denied {
                        reason: DenialReason::NoRule,
                        name: None,
                    },
                    "{text}"
                );
            }
        }
    }

    #[test]
    fn everything_is_everything() {
        let policy = Policy::everything();
        for text in EVERY_OPERATION {
            assert!(
                policy.judge(&target(text), &Answers::new()).is_allowed(),
                "{text}"
            );
        }
    }

    #[test]
    fn a_url_grants_its_host_and_port() {
        let answers = answers(&[
            ("example.com", &["192.0.2.1"]),
            ("other.example", &["192.0.2.9"]),
        ]);
        let table: &[(&str, &str, bool)] = &[
            ("http://example.com/", "resolve example.com", true),
            ("http://EXAMPLE.com./", "resolve example.com", true),
            ("http://example.com/", "resolve www.example.com", false),
            ("http://example.com/", "resolve com", false),
            ("http://example.com/", "connect 192.0.2.1:80", true),
            ("http://example.com/", "connect [::ffff:192.0.2.1]:80", true),
            ("http://example.com/", "connect 192.0.2.1:81", false),
            ("http://example.com/", "connect 192.0.2.2:80", false),
            ("http://example.com/", "connect 192.0.2.9:80", false),
            ("http://example.com:8080/", "connect 192.0.2.1:8080", true),
            ("http://example.com:8080/", "connect 192.0.2.1:80", false),
            ("https://example.com/", "connect 192.0.2.1:443", true),
            ("http://example.com/", "bind 0.0.0.0:0", false),
            ("http://example.com/", "bind 0.0.0.0:80", false),
            ("http://example.com/", "bind 127.0.0.1:0", false),
            ("http://example.com/", "listen 0.0.0.0:0", false),
            ("http://example.com/", "accept 127.0.0.1:1", false),
            ("http://example.com/", "udp-send 192.0.2.1:80", false),
            ("http://127.0.0.1:8080/", "connect 127.0.0.1:8080", true),
            (
                "http://127.0.0.1:8080/",
                "connect [::ffff:127.0.0.1]:8080",
                true,
            ),
            ("http://127.0.0.1:8080/", "connect [::1]:8080", false),
            ("http://127.0.0.1:8080/", "resolve localhost", false),
            ("http://2130706433/", "connect 127.0.0.1:80", true),
            ("http://[::1]/", "connect [::1]:80", true),
            ("http://[::ffff:127.0.0.1]/", "connect 127.0.0.1:80", true),
        ];
        for (url, asked, expected) in table {
            let policy = Policy::new().allow_url(url).unwrap();
            assert_eq!(
                policy.judge(&target(asked), &answers).is_allowed(),
                *expected,
                "{url} asked to {asked}"
            );
        }
    }

    #[test]
    fn an_address_of_a_granted_name_counts_only_after_its_lookup() {
        let policy = Policy::new().allow_url("http://example.com/").unwrap();
        let asked = Target::Connect(address("192.0.2.1:80"));
        assert!(!policy.judge(&asked, &Answers::new()).is_allowed());

        assert_eq!(
            policy.judge(&asked, &answers(&[("example.com", &["192.0.2.1"])])),
            Verdict::Allowed {
                by: Basis::Rule(policy.rules()[0].clone()),
                name: Some(name("example.com")),
            }
        );
    }

    #[test]
    fn a_name_granted_for_lookups_alone_opens_no_connection() {
        let policy = Policy::new().allow_resolve("example.com").unwrap();
        let answers = answers(&[("example.com", &["192.0.2.1"])]);
        assert!(
            policy
                .judge(&target("resolve example.com"), &answers)
                .is_allowed()
        );
        assert!(
            !policy
                .judge(&target("connect 192.0.2.1:80"), &answers)
                .is_allowed()
        );
    }

    #[test]
    fn destinations_grant_what_they_say() {
        let answers = answers(&[
            ("example.com", &["1.1.1.1"]),
            ("www.example.com", &["1.1.1.2"]),
        ]);
        for (granted, asked, expected) in [
            ("example.com", "resolve example.com", true),
            ("example.com", "resolve www.example.com", false),
            ("example.com", "connect 1.1.1.1:1", true),
            ("example.com:80-81", "connect 1.1.1.1:81", true),
            ("example.com:80-81", "connect 1.1.1.1:82", false),
            ("example.com:80,443", "connect 1.1.1.1:443", true),
            ("example.com", "connect 1.1.1.2:80", false),
            ("example.com", "udp-send 1.1.1.1:80", false),
            ("*.example.com", "resolve www.example.com", true),
            ("*.example.com", "resolve example.com", false),
            ("*.example.com:80", "connect 1.1.1.2:80", true),
            ("*.example.com:80", "connect 1.1.1.1:80", false),
            ("192.0.2.1", "resolve example.com", false),
            ("192.0.2.1:80", "connect 192.0.2.1:80", true),
            ("192.0.2.0/24:80", "connect 192.0.2.255:80", true),
            ("192.0.2.0/24:80", "connect 192.0.3.0:80", false),
            ("192.0.2.0/24:80", "connect 192.0.2.1:81", false),
            ("192.0.2.0/24", "listen 192.0.2.1:80", false),
            ("192.0.2.0/24", "bind 192.0.2.1:80", false),
            ("192.0.2.0/24", "udp-send 192.0.2.1:80", false),
            ("[2001:db8::/32]", "connect [2001:db8::1]:80", true),
            ("[2001:db8::/32]", "connect 192.0.2.1:80", false),
        ] {
            let policy = Policy::new().allow_connect_to(granted).unwrap();
            assert_eq!(
                policy.judge(&target(asked), &answers).is_allowed(),
                expected,
                "{granted} asked to {asked}"
            );
        }
    }

    /// What is granted at the start of the tests about redirects.
    fn typed() -> Policy {
        Policy::new()
            .allow_url("http://typed.example/")
            .unwrap()
            .allow_url("http://10.0.0.1/")
            .unwrap()
            .allow_connect_to("flagged.example:81")
            .unwrap()
            .allow_connect_to("192.168.0.0/16:80")
            .unwrap()
            .allow_redirects()
    }

    #[test]
    fn a_redirect_is_granted_by_who_named_its_host() {
        for (url, expected) in [
            // Granted as it is.
            ("http://typed.example/other", None),
            ("http://TYPED.example.:80/", None),
            ("http://10.0.0.1/other", None),
            ("http://flagged.example:81/", None),
            ("http://192.168.1.1/", None),
            // The user's host, at another port.
            (
                "http://typed.example:81/",
                Some("redirect to typed.example:81"),
            ),
            (
                "https://typed.example/",
                Some("redirect to typed.example:443"),
            ),
            ("http://10.0.0.1:81/", Some("redirect to 10.0.0.1:81")),
            ("http://0xa000001:81/", Some("redirect to 10.0.0.1:81")),
            (
                "http://[::ffff:10.0.0.1]:81/",
                Some("redirect to 10.0.0.1:81"),
            ),
            // The server's.
            (
                "http://named.example/",
                Some("redirect to named.example:80 (public addresses)"),
            ),
            (
                "http://www.typed.example/",
                Some("redirect to www.typed.example:80 (public addresses)"),
            ),
            (
                "http://flagged.example/",
                Some("redirect to flagged.example:80 (public addresses)"),
            ),
            (
                "http://192.168.1.1:81/",
                Some("redirect to 192.168.1.1:81 (public addresses)"),
            ),
            (
                "http://localhost/",
                Some("redirect to localhost:80 (public addresses)"),
            ),
            // No host, no port, no URL.
            ("file:///etc/passwd", None),
            ("mailto:someone@named.example", None),
            ("gopher://named.example/", None),
            ("//named.example/", None),
            ("", None),
        ] {
            let rule = typed().redirect_rule(url).map(|rule| rule.to_string());
            assert_eq!(rule.as_deref(), expected, "{url}");
        }
        let url = "http://named.example/";
        assert_eq!(Policy::new().redirect_rule(url), None);
        assert_eq!(Policy::new().redirected_to(url), Policy::new());
        let everything = Policy::everything().allow_redirects();
        assert_eq!(everything.redirect_rule(url), None);
    }

    #[test]
    fn a_host_that_the_server_named_is_reached_at_public_addresses() {
        let answers = answers(&[
            ("typed.example", &["10.1.1.1", "8.8.8.8"]),
            ("named.example", &["10.2.2.2", "1.1.1.1"]),
        ]);
        let not_public = |address: &str| {
            let address: SocketAddr = address.parse().unwrap();
            Some(DenialReason::NotPublic {
                address,
                special: SpecialPurpose::of(address.ip()).unwrap(),
            })
        };
        let no_rule = || Some(DenialReason::NoRule);
        let named = "http://named.example:8080/";
        for (url, asked, denied) in [
            (named, "resolve named.example", None),
            (named, "resolve other.example", no_rule()),
            (named, "connect 1.1.1.1:8080", None),
            (named, "connect [::ffff:1.1.1.1]:8080", None),
            (named, "connect 1.1.1.1:80", no_rule()),
            (named, "connect 8.8.8.8:8080", no_rule()),
            (named, "connect 10.2.2.2:8080", not_public("10.2.2.2:8080")),
            (named, "connect 10.2.2.2:80", no_rule()),
            (named, "connect 10.1.1.1:8080", no_rule()),
            (named, "listen 1.1.1.1:8080", no_rule()),
            (named, "udp-send 1.1.1.1:8080", no_rule()),
            // What the user typed stays granted.
            (named, "resolve typed.example", None),
            (named, "connect 10.1.1.1:80", None),
            // The user's own host, wherever it is.
            ("http://typed.example:81/", "connect 10.1.1.1:81", None),
            ("http://typed.example:81/", "connect 8.8.8.8:81", None),
            ("http://typed.example:81/", "connect 10.2.2.2:81", no_rule()),
            // Addresses, in every way to write them.
            ("http://1.0.0.1/", "connect 1.0.0.1:80", None),
            (
                "http://127.0.0.1/",
                "connect 127.0.0.1:80",
                not_public("127.0.0.1:80"),
            ),
            (
                "http://2130706433/",
                "connect 127.0.0.1:80",
                not_public("127.0.0.1:80"),
            ),
            (
                "http://0x7f.1/",
                "connect 127.0.0.1:80",
                not_public("127.0.0.1:80"),
            ),
            (
                "http://[::ffff:7f00:1]/",
                "connect 127.0.0.1:80",
                not_public("127.0.0.1:80"),
            ),
            (
                "http://[::1]:81/",
                "connect [::1]:81",
                not_public("[::1]:81"),
            ),
            (
                "http://[64:ff9b::169.254.169.254]/",
                "connect [64:ff9b::a9fe:a9fe]:80",
                not_public("[64:ff9b::a9fe:a9fe]:80"),
            ),
            (
                "http://[64:ff9b::8.8.8.8]/",
                "connect [64:ff9b::808:808]:80",
                None,
            ),
            (
                "http://[2002:7f00:1::]/",
                "connect [2002:7f00:1::]:80",
                not_public("[2002:7f00:1::]:80"),
            ),
            ("http://0/", "connect 0.0.0.0:80", not_public("0.0.0.0:80")),
            // Addresses that are granted already.
            ("http://10.0.0.1/", "connect 10.0.0.1:80", None),
            ("http://10.0.0.1:81/", "connect 10.0.0.1:81", None),
            ("http://192.168.1.1/", "connect 192.168.1.1:80", None),
            (
                "http://192.168.1.1:81/",
                "connect 192.168.1.1:81",
                not_public("192.168.1.1:81"),
            ),
        ] {
            let policy = typed().redirected_to(url);
            let found = match policy.judge(&target(asked), &answers) {
                Verdict::Allowed { .. } => None,
                Verdict::Denied { reason, .. } => Some(reason),
            };
            assert_eq!(found, denied, "{url} asked to {asked}");
        }
    }

    #[test]
    fn a_name_is_told_what_its_redirect_reaches() {
        let addresses = |texts: &[&str]| -> Vec<IpAddr> {
            texts.iter().map(|text| text.parse().unwrap()).collect()
        };
        let all = &["10.0.0.9", "1.1.1.1", "fe80::1", "2606:4700::1111"][..];
        let public = &["1.1.1.1", "2606:4700::1111"][..];
        let policy = typed().allow_resolve("known.example").unwrap();
        for (url, asked, expected) in [
            ("http://named.example/", "named.example", public),
            ("http://named.example/", "typed.example", all),
            ("http://named.example/", "flagged.example", public),
            ("http://named.example/", "known.example", all),
            ("http://typed.example:81/", "typed.example", all),
            ("http://flagged.example/", "flagged.example", public),
            ("http://flagged.example:81/", "flagged.example", public),
            ("http://known.example/", "known.example", public),
        ] {
            let policy = policy.redirected_to(url);
            assert_eq!(
                policy.usable(&name(asked), addresses(all), &Answers::new()),
                Ok(addresses(expected)),
                "{url} asked for {asked}"
            );
        }

        let policy = policy.redirected_to("http://named.example:81/");
        let denied = policy.usable(
            &name("named.example"),
            addresses(&["fe80::1", "10.0.0.9"]),
            &Answers::new(),
        );
        let reason = denied.unwrap_err();
        let asked = Target::Resolve(name("named.example"));
        assert_eq!(
            reason.told(&asked, None),
            "a redirect may lead to public addresses only, and fe80::1 is link-local (fe80::/10) \
             (--allow-connect named.example:81 --allow-private would allow it)"
        );
        assert_eq!(
            policy.usable(&name("other.example"), addresses(all), &Answers::new()),
            Err(DenialReason::NoRule)
        );
    }

    #[test]
    fn refusals_name_the_flag_that_would_allow_it() {
        let answers = answers(&[
            ("known.example", &["1.1.1.1"]),
            ("private.example", &["10.0.0.1"]),
            ("localhost", &["1.1.1.2"]),
        ]);
        let policy = Policy::new()
            .allow_connect_to("private.example:80")
            .unwrap()
            .allow_connect_to("localhost:80")
            .unwrap()
            .deny_connect("192.168.0.0/16")
            .unwrap()
            .deny_accept("10.0.0.0/8")
            .unwrap();
        for (asked, expected) in [
            (
                "resolve example.com",
                "no rule grants it (--allow-resolve example.com would)",
            ),
            (
                "connect 10.0.0.2:80",
                "no rule grants it (--allow-connect 10.0.0.2:80 would)",
            ),
            (
                "connect 1.1.1.1:80",
                "no rule grants it (--allow-connect known.example:80 would)",
            ),
            (
                "connect 10.0.0.1:80",
                "a granted name reaches public addresses only, and private.example is at 10.0.0.1, \
                 which is private-use (10.0.0.0/8) (--allow-connect 10.0.0.1:80 would allow it)",
            ),
            (
                "connect 10.0.0.1:81",
                "no rule grants it (--allow-connect private.example:81 would)",
            ),
            (
                "connect 1.1.1.2:80",
                "localhost means this machine, and 1.1.1.2 is not a loopback address",
            ),
            (
                "connect 192.168.0.1:80",
                "denied by deny-connect 192.168.0.0/16:*",
            ),
            (
                "connect [64:ff9b::192.168.0.1]:80",
                "denied by deny-connect 192.168.0.0/16:*",
            ),
            (
                "bind 127.0.0.1:80",
                "no rule grants it (--allow-listen 127.0.0.1:80 would)",
            ),
            (
                "listen [::1]:80",
                "no rule grants it (--allow-listen [::1]:80 would)",
            ),
            (
                "accept 192.0.2.1:5000",
                "no rule grants it (--allow-accept 192.0.2.1 would)",
            ),
            ("accept 10.0.0.1:5000", "denied by deny-accept 10.0.0.0/8"),
            (
                "udp-bind 0.0.0.0:0",
                "no rule grants it (--allow-udp-bind 0.0.0.0:0 would)",
            ),
            (
                "udp-send 1.1.1.1:53",
                "no rule grants it (--allow-udp-send known.example:53 would)",
            ),
            (
                "udp-send 192.168.0.1:53",
                "denied by deny-connect 192.168.0.0/16:*",
            ),
            (
                "udp-receive 192.0.2.1:53",
                "no rule grants it (--allow-udp-send 192.0.2.1:53 would)",
            ),
        ] {
            let target = target(asked);
            let Verdict::Denied { reason, name } = policy.judge(&target, &answers) else {
                panic!("{asked} is allowed");
            };
            assert_eq!(reason.told(&target, name.as_ref()), expected, "{asked}");
            // The flag's value is one that is understood, and does what is said.
            let Some(flag) = reason.flag(&target, name.as_ref()) else {
                continue;
            };
            let (flag, value) = flag.split_once(' ').unwrap();
            let policy = policy.clone();
            let policy = match flag {
                "--allow-resolve" => policy.allow_resolve(value),
                "--allow-connect" => policy.allow_connect_to(value),
                "--allow-listen" => policy.allow_listen_on(value),
                "--allow-accept" => policy
                    .allow_listen_on("127.0.0.1")
                    .and_then(|policy| policy.allow_accept(value)),
                "--allow-udp-bind" => policy.allow_udp_bind(value),
                "--allow-udp-send" => policy.allow_udp_send(value),
                other => panic!("{other}"),
            };
            let policy = match asked {
                // Its name reaches public addresses only, and it isn't at one.
                "connect 10.0.0.1:81" => policy.unwrap().allow_private(),
                _ => policy.unwrap(),
            };
            assert!(
                policy.judge(&target, &answers).is_allowed(),
                "{asked}: {flag}"
            );
        }
    }

    #[test]
    fn a_granted_name_reaches_public_addresses_unless_told_otherwise() {
        let mut answers = answers(&[
            ("named.example", &["1.1.1.1", "10.0.0.1", "169.254.169.254"]),
            ("localhost", &["127.0.0.1", "::1", "10.0.0.1", "1.1.1.1"]),
            ("a.localhost", &["127.0.0.2"]),
        ]);
        answers.pin(&name("pinned.example"), ["127.0.0.9".parse().unwrap()]);
        for (granted, private, asked, expected) in [
            ("named.example", false, "1.1.1.1:80", true),
            ("named.example", false, "10.0.0.1:80", false),
            ("named.example", false, "169.254.169.254:80", false),
            ("named.example", true, "10.0.0.1:80", true),
            ("named.example", true, "169.254.169.254:80", true),
            ("localhost", false, "127.0.0.1:80", true),
            ("localhost", false, "[::1]:80", true),
            ("localhost", false, "1.1.1.1:80", false),
            ("localhost", true, "10.0.0.1:80", false),
            ("localhost", true, "1.1.1.1:80", false),
            ("*.localhost", false, "127.0.0.2:80", true),
            ("pinned.example", false, "127.0.0.9:80", true),
            ("10.0.0.1", false, "10.0.0.1:80", true),
            ("0.0.0.0/0", false, "169.254.169.254:80", true),
        ] {
            let mut tcp = Policy::new().allow_connect_to(granted).unwrap();
            let mut udp = Policy::new().allow_udp_send(granted).unwrap();
            if private {
                tcp = tcp.allow_private();
                udp = udp.allow_private();
            }
            let address = address(asked);
            let found = tcp.judge(&Target::Connect(address), &answers).is_allowed();
            assert_eq!(found, expected, "{granted} asked to connect to {asked}");
            let found = udp.judge(&Target::UdpSend(address), &answers).is_allowed();
            assert_eq!(found, expected, "{granted} asked to send to {asked}");
        }
    }

    #[test]
    fn a_granted_name_is_told_what_it_reaches() {
        let addresses = |texts: &[&str]| -> Vec<IpAddr> {
            texts.iter().map(|text| text.parse().unwrap()).collect()
        };
        let all = &["10.0.0.9", "1.1.1.1", "127.0.0.1"][..];
        let granted = |destination: &str| Policy::new().allow_connect_to(destination).unwrap();
        for (policy, asked, expected) in [
            (granted("named.example"), "named.example", &["1.1.1.1"][..]),
            (granted("*.example"), "named.example", &["1.1.1.1"]),
            (
                granted("named.example").allow_private(),
                "named.example",
                all,
            ),
            (
                granted("named.example")
                    .allow_connect_to("10.0.0.0/8:1")
                    .unwrap(),
                "named.example",
                &["10.0.0.9", "1.1.1.1"],
            ),
            (granted("localhost"), "localhost", &["127.0.0.1"]),
            (
                granted("localhost").allow_private(),
                "localhost",
                &["127.0.0.1"],
            ),
            (
                Policy::new().allow_url("http://named.example/").unwrap(),
                "named.example",
                all,
            ),
            (
                Policy::new().allow_resolve("named.example").unwrap(),
                "named.example",
                all,
            ),
            (
                Policy::new().allow_udp_send("named.example").unwrap(),
                "named.example",
                &["1.1.1.1"],
            ),
            (Policy::everything(), "named.example", all),
        ] {
            let usable = policy.usable(&name(asked), addresses(all), &Answers::new());
            assert_eq!(
                usable,
                Ok(addresses(expected)),
                "{policy:?} asked for {asked}"
            );
        }
        let reason = granted("named.example")
            .usable(
                &name("named.example"),
                addresses(&["127.0.0.1"]),
                &Answers::new(),
            )
            .unwrap_err();
        assert_eq!(
            reason.told(&Target::Resolve(name("named.example")), None),
            "a granted name reaches public addresses only, and named.example is at 127.0.0.1, which \
             is loopback (127.0.0.0/8) (--allow-private would allow it)"
        );
        let reason = granted("localhost")
            .usable(&name("localhost"), addresses(&["1.1.1.1"]), &Answers::new())
            .unwrap_err();
        assert_eq!(
            reason.told(&Target::Resolve(name("localhost")), None),
            "localhost means this machine, and 1.1.1.1 is not a loopback address"
        );
    }

    #[test]
    fn who_is_accepted_can_be_said() {
        let listen = || Policy::new().allow_listen(address("127.0.0.1:80"));
        for (policy, asked, expected) in [
            (listen(), "accept 192.0.2.1:1", true),
            (listen(), "accept [2001:db8::1]:1", true),
            (
                Policy::new().allow_accept("10.0.0.0/8").unwrap(),
                "accept 10.0.0.1:1",
                false,
            ),
            (
                listen().allow_accept("10.0.0.0/8").unwrap(),
                "accept 10.0.0.1:1",
                true,
            ),
            (
                listen().allow_accept("10.0.0.0/8").unwrap(),
                "accept [::ffff:10.0.0.1]:1",
                true,
            ),
            (
                listen().allow_accept("10.0.0.0/8").unwrap(),
                "accept 11.0.0.1:1",
                false,
            ),
            (
                listen()
                    .allow_accept("10.0.0.0/8")
                    .unwrap()
                    .allow_accept("::1")
                    .unwrap(),
                "accept [::1]:1",
                true,
            ),
            (
                listen().deny_accept("10.0.0.0/8").unwrap(),
                "accept 10.0.0.1:1",
                false,
            ),
            (
                listen().deny_accept("10.0.0.0/8").unwrap(),
                "accept 11.0.0.1:1",
                true,
            ),
            (
                listen()
                    .allow_accept("10.0.0.0/8")
                    .unwrap()
                    .deny_accept("10.0.0.1")
                    .unwrap(),
                "accept 10.0.0.1:1",
                false,
            ),
            (
                Policy::everything().deny_accept("10.0.0.1").unwrap(),
                "accept 10.0.0.1:1",
                false,
            ),
            (
                Policy::everything().allow_accept("10.0.0.1").unwrap(),
                "accept 192.0.2.1:1",
                true,
            ),
        ] {
            let found = policy.judge(&target(asked), &Answers::new()).is_allowed();
            assert_eq!(found, expected, "{policy:?} asked to {asked}");
        }
    }

    #[test]
    fn datagrams_are_granted_apart_from_connections() {
        let send = || Policy::new().allow_udp_send("192.0.2.1:53").unwrap();
        let bind = || Policy::new().allow_udp_bind("127.0.0.1:53").unwrap();
        for (policy, asked, expected) in [
            (send(), "udp-send 192.0.2.1:53", true),
            (send(), "udp-send 192.0.2.1:54", false),
            (send(), "udp-bind 0.0.0.0:0", true),
            (send(), "udp-bind [::]:0", true),
            (send(), "udp-bind 127.0.0.1:0", false),
            (send(), "udp-receive 192.0.2.1:53", true),
            (send(), "udp-receive 192.0.2.2:53", false),
            (send(), "connect 192.0.2.1:53", false),
            (bind(), "udp-bind 127.0.0.1:53", true),
            (bind(), "udp-bind 127.0.0.1:54", false),
            (bind(), "udp-bind 0.0.0.0:0", false),
            (bind(), "udp-receive 192.0.2.2:5000", true),
            (bind(), "udp-send 192.0.2.2:5000", false),
            (bind(), "listen 127.0.0.1:53", false),
            (
                bind().allow_accept("10.0.0.0/8").unwrap(),
                "udp-receive 10.0.0.1:1",
                true,
            ),
            (
                bind().allow_accept("10.0.0.0/8").unwrap(),
                "udp-receive 11.0.0.1:1",
                false,
            ),
            (
                bind().deny_accept("10.0.0.0/8").unwrap(),
                "udp-receive 10.0.0.1:1",
                false,
            ),
            (
                send().deny_connect("192.0.2.1").unwrap(),
                "udp-receive 192.0.2.1:53",
                false,
            ),
        ] {
            let found = policy.judge(&target(asked), &Answers::new()).is_allowed();
            assert_eq!(found, expected, "{policy:?} asked to {asked}");
        }
    }

    #[test]
    fn listening_is_granted_where_it_says() {
        let table: &[(&str, &str, bool)] = &[
            ("127.0.0.1:9999", "bind 127.0.0.1:9999", true),
            ("127.0.0.1:9999", "listen 127.0.0.1:9999", true),
            ("127.0.0.1:9999", "accept 192.0.2.1:1", true),
            ("127.0.0.1:9999", "bind 127.0.0.1:9998", false),
            ("127.0.0.1:9999", "bind 127.0.0.1:0", false),
            ("127.0.0.1:9999", "bind 0.0.0.0:9999", false),
            ("127.0.0.1:9999", "bind 0.0.0.0:0", false),
            ("127.0.0.1:9999", "listen 0.0.0.0:9999", false),
            ("127.0.0.1:9999", "listen [::1]:9999", false),
            ("127.0.0.1:9999", "connect 127.0.0.1:9999", false),
            ("127.0.0.1:9999", "resolve localhost", false),
            ("127.0.0.1:9999", "udp-bind 127.0.0.1:9999", false),
            ("127.0.0.1:0", "bind 127.0.0.1:0", true),
            ("127.0.0.1:0", "bind 127.0.0.1:9999", false),
            ("127.0.0.1:0", "listen 127.0.0.1:40000", true),
            ("127.0.0.1:0", "listen 127.0.0.2:40000", false),
            ("0.0.0.0:80", "bind 0.0.0.0:80", true),
            ("0.0.0.0:80", "bind 127.0.0.1:80", true),
            ("0.0.0.0:80", "bind [::]:80", false),
            ("0.0.0.0:80", "bind [::1]:80", false),
            ("[::]:80", "bind [::1]:80", true),
            ("[::]:80", "bind 127.0.0.1:80", false),
        ];
        for (granted, asked, expected) in table {
            let policy = Policy::new().allow_listen(address(granted));
            assert_eq!(
                policy.judge(&target(asked), &Answers::new()).is_allowed(),
                *expected,
                "{granted} asked to {asked}"
            );
        }
    }

    #[test]
    fn urls_that_grant_nothing_are_refused() {
        let no_host = |url: &str| RuleError::NoHost {
            url: url.to_owned(),
        };
        for (url, expected) in [
            (
                "mailto:someone@example.com",
                no_host("mailto:someone@example.com"),
            ),
            ("file:///etc/passwd", no_host("file:///etc/passwd")),
            ("gopher://example.com/", no_host("gopher://example.com/")),
            (
                "example.com",
                RuleError::Url {
                    url: "example.com".to_owned(),
                    reason: "relative URL without a base".to_owned(),
                },
            ),
            (
                "http://me:secret@host:99999/",
                RuleError::Url {
                    url: "http://host:99999/".to_owned(),
                    reason: "invalid port number".to_owned(),
                },
            ),
        ] {
            assert_eq!(Policy::new().allow_url(url), Err(expected), "{url}");
        }
    }

    #[test]
    fn credentials_are_not_shown() {
        for (url, expected) in [
            ("http://example.com/", "http://example.com/"),
            ("http://me@example.com/", "http://example.com/"),
            (
                "http://me:secret@example.com/a?b#c",
                "http://example.com/a?b#c",
            ),
            ("http://me:secret@exa mple/", "http://exa mple/"),
            ("http://me:se@cret@exa mple/", "http://exa mple/"),
            ("http://example.com/@a", "http://example.com/@a"),
            ("http://exa mple/@a", "http://exa mple/@a"),
            ("http://me:secret@exa mple?@a", "http://exa mple?@a"),
            ("not a url", "not a url"),
            ("a@b", "a@b"),
        ] {
            assert_eq!(without_credentials(url), expected, "{url}");
        }
    }

    #[test]
    fn the_same_rule_is_kept_once() {
        let policy = Policy::new()
            .allow_listen(address("127.0.0.1:1"))
            .allow_listen(address("127.0.0.1:1"))
            .deny_accept("10.0.0.1")
            .unwrap()
            .deny_accept("10.0.0.1/32")
            .unwrap();
        assert_eq!((policy.rules().len(), policy.denials().len()), (1, 1));
        assert_eq!(policy.clone().and(policy.clone()), policy);
    }

    #[test]
    fn targets_can_be_read_by_people() {
        for (text, expected) in [
            ("resolve Example.COM", "look up example.com"),
            ("connect [::1]:80", "connect to [::1]:80"),
            ("bind 0.0.0.0:0", "bind to 0.0.0.0:0"),
            ("listen 127.0.0.1:9999", "listen on 127.0.0.1:9999"),
            ("accept 127.0.0.1:1", "accept 127.0.0.1:1"),
        ] {
            assert_eq!(target(text).to_string(), expected);
        }
    }
}

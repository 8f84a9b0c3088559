//! What a run may do with the network.
//!
//! Everything here is plain data: a [`Policy`] is a list of [`Rule`]s, and [`Policy::judge`] says
//! what they make of a [`Target`]. Nothing here opens a socket, and nothing knows of WebAssembly.
//!
//! With no rule nothing is granted. What a *server* names, by redirecting to it, is granted less than
//! what the user names: [`Policy::allow_redirects`].

mod answers;
mod destination;
mod rule;
mod special;

pub use answers::{Answers, MAX_ADDRESSES_PER_NAME};
pub use destination::{Destination, Hosts, Range};
pub use rule::{Host, Name, Ports, Rule, RuleError};
pub use special::SpecialPurpose;

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

/// A policy's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may be done.
    Allowed {
        /// The rule that grants it.
        rule: Rule,
        /// The name that the address was resolved from, where that is why it is granted.
        name: Option<Name>,
    },
    /// It may not be done.
    Denied {
        /// Why not.
        reason: DenialReason,
    },
}

impl Verdict {
    /// Whether it may be done.
    pub fn is_allowed(&self) -> bool {
        matches!(self, Verdict::Allowed { .. })
    }
}

/// Why something is denied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DenialReason {
    /// No rule grants it.
    NoRule,
    /// A server's redirect led there, which is granted at public addresses only, and this isn't one.
    NotPublic {
        /// The address, with the port that the redirect names.
        address: SocketAddr,
        /// What it is instead.
        special: SpecialPurpose,
    },
}

impl DenialReason {
    /// The command-line flag that would allow `target`, which was denied for this reason.
    pub fn flag(&self, target: &Target) -> String {
        match (self, target) {
            (DenialReason::NoRule, _) => "--allow-net".to_owned(),
            (DenialReason::NotPublic { address, .. }, Target::Resolve(name)) => {
                format!("--allow-connect {name}:{}", address.port())
            }
            (DenialReason::NotPublic { address, .. }, _) => format!("--allow-connect {address}"),
        }
    }

    /// The reason, and what would allow `target`: `no rule grants it (--allow-net would)`.
    pub(crate) fn told(&self, target: &Target) -> String {
        let flag = self.flag(target);
        match self {
            DenialReason::NoRule => format!("{self} ({flag} would)"),
            DenialReason::NotPublic { .. } => format!("{self} ({flag} would allow it)"),
        }
    }
}

impl fmt::Display for DenialReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DenialReason::NoRule => f.write_str("no rule grants it"),
            DenialReason::NotPublic { address, special } => write!(
                f,
                "a redirect may lead to public addresses only, and {} is {special}",
                address.ip()
            ),
        }
    }
}

/// What a run may do with the network. The default, like [`Policy::new`], grants nothing.
///
/// # Examples
/// ```
/// use sockbox::policy::{Answers, Policy, Target};
///
/// let policy = Policy::new().allow_url("http://127.0.0.1:8080/index.html")?;
/// let nothing_resolved = Answers::new();
/// let granted = Target::Connect("127.0.0.1:8080".parse()?);
/// let other = Target::Connect("127.0.0.1:8081".parse()?);
/// assert!(policy.judge(&granted, &nothing_resolved).is_allowed());
/// assert!(!policy.judge(&other, &nothing_resolved).is_allowed());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    rules: Vec<Rule>,
    redirects: bool,
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

    /// Grant what it takes to fetch `url`: looking its host's name up, and connecting to the
    /// addresses found, or to its host's address, at its port.
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
    /// granted wherever that host is. Any other host is one that the *server* named, and is granted at
    /// public addresses only: a name is told those of its addresses that have no [`SpecialPurpose`].
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
    ///     .allow_connect_to("intranet.example:80")?;
    /// # Ok::<(), sockbox::policy::RuleError>(())
    /// ```
    #[must_use]
    pub fn allow_redirects(mut self) -> Policy {
        self.redirects = true;
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
    ///     .allow_connect_to("10.0.0.0/8:8000-8100")?;
    /// assert!(Policy::new().allow_connect_to("http://example.com/").is_err());
    /// # Ok::<(), sockbox::policy::RuleError>(())
    /// ```
    pub fn allow_connect_to(self, destination: &str) -> Result<Policy, RuleError> {
        let to = destination.parse()?;
        Ok(self.grant(Rule::Connect { to }))
    }

    /// Grant listening on `address`, and accepting whoever connects. [`Rule::Listen`] says what
    /// wildcard addresses and port 0 cover.
    #[must_use]
    pub fn allow_listen(self, address: SocketAddr) -> Policy {
        self.grant(Rule::Listen { address })
    }

    /// The rules, in the order granted.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// Whether any use of UDP can be allowed.
    pub fn may_use_udp(&self) -> bool {
        self.rules.contains(&Rule::Everything)
    }

    /// Whether a lookup's answer can matter to a later question, and is to be remembered.
    pub fn needs_answers(&self) -> bool {
        !self.rules.contains(&Rule::Everything)
    }

    /// Say whether `target` may be done, in a run in which names resolved to `answers`.
    ///
    /// IPv4-mapped IPv6 addresses are judged as the IPv4 addresses in them.
    pub fn judge(&self, target: &Target, answers: &Answers) -> Verdict {
        let found = match target {
            Target::Resolve(name) => self.first(|rule| rule.covers_lookup(name)),
            Target::Connect(address) => self
                .first(|rule| rule.covers_address(*address))
                .or_else(|| self.by_name(*address, answers)),
            Target::Bind(address) => self.first(|rule| rule.covers_bind(*address)),
            Target::Listen(address) => self.first(|rule| rule.covers_listen(*address)),
            Target::Accept(_) => self.first(Rule::covers_accept),
            Target::UdpBind(_) | Target::UdpSend(_) | Target::UdpReceive(_) => {
                self.first(|rule| *rule == Rule::Everything)
            }
        };
        found.unwrap_or_else(|| Verdict::Denied {
            reason: match target {
                Target::Connect(address) => self.why_not(*address, answers),
                _ => DenialReason::NoRule,
            },
        })
    }

    /// Why connecting to `address` is denied.
    fn why_not(&self, address: SocketAddr, answers: &Answers) -> DenialReason {
        let led_there = self.redirects_to(address.port()).any(|host| match host {
            Host::Address(_) => host.is_address(address.ip()),
            Host::Name(name) => answers.names_of(address.ip()).any(|it| it == name),
        });
        match SpecialPurpose::of(address.ip()) {
            Some(special) if led_there => DenialReason::NotPublic { address, special },
            _ => DenialReason::NoRule,
        }
    }

    /// The hosts that a redirect leads to, at this port.
    fn redirects_to(&self, port: u16) -> impl Iterator<Item = &Host> {
        self.rules.iter().filter_map(move |rule| match rule {
            Rule::Redirect {
                host, port: own, ..
            } if *own == port => Some(host),
            _ => None,
        })
    }

    /// Whether some rule grants looking `name` up.
    pub(crate) fn grants_lookup(&self, name: &Name) -> bool {
        self.rules.iter().any(|rule| rule.covers_lookup(name))
    }

    /// Tell which of the addresses of `name`, whose lookup was asked for, may be told.
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
    ) -> Result<Vec<IpAddr>, DenialReason> {
        if !self.grants_lookup(name) {
            return Err(DenialReason::NoRule);
        }
        let Some(port) = self.rules.iter().find_map(|rule| rule.public_port_of(name)) else {
            return Ok(addresses);
        };
        let mut refused = None;
        let mut public = addresses;
        public.retain(|address| match SpecialPurpose::of(*address) {
            None => true,
            Some(special) => {
                refused.get_or_insert(DenialReason::NotPublic {
                    address: SocketAddr::new(*address, port),
                    special,
                });
                false
            }
        });
        match refused {
            Some(reason) if public.is_empty() => Err(reason),
            _ => Ok(public),
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
            Host::Address(address) => rule.covers_address(SocketAddr::new(*address, port)),
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
            rule: rule.clone(),
            name: None,
        })
    }

    fn by_name(&self, address: SocketAddr, answers: &Answers) -> Option<Verdict> {
        answers.names_of(address.ip()).find_map(|name| {
            let rule = self
                .rules
                .iter()
                .find(|rule| rule.covers_named(name, address))?;
            Some(Verdict::Allowed {
                rule: rule.clone(),
                name: Some(name.clone()),
            })
        })
    }
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
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        match text.parse() {
            Ok(Host::Name(name)) => name,
            other => panic!("{text:?} is {other:?}"),
        }
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
                        reason: DenialReason::NoRule
                    },
                    "{text}"
                );
            }
            assert!(!policy.may_use_udp());
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
        assert!(policy.may_use_udp());
        assert!(!policy.needs_answers());
    }

    #[test]
    fn a_url_grants_its_host_and_port() {
        let mut answers = Answers::new();
        answers.insert(&name("example.com"), ["192.0.2.1".parse().unwrap()]);
        answers.insert(&name("other.example"), ["192.0.2.9".parse().unwrap()]);
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

        let mut answers = Answers::new();
        answers.insert(&name("example.com"), ["192.0.2.1".parse().unwrap()]);
        assert_eq!(
            policy.judge(&asked, &answers),
            Verdict::Allowed {
                rule: policy.rules()[0].clone(),
                name: Some(name("example.com")),
            }
        );
    }

    #[test]
    fn a_name_granted_for_lookups_alone_opens_no_connection() {
        let policy = Policy::new().grant(Rule::Resolve {
            name: name("example.com"),
        });
        let mut answers = Answers::new();
        answers.insert(&name("example.com"), ["192.0.2.1".parse().unwrap()]);
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
        let mut answers = Answers::new();
        answers.insert(&name("example.com"), ["192.0.2.1".parse().unwrap()]);
        for (granted, asked, expected) in [
            ("example.com", "resolve example.com", true),
            ("example.com", "resolve www.example.com", false),
            ("example.com", "connect 192.0.2.1:1", true),
            ("example.com:80-81", "connect 192.0.2.1:81", true),
            ("example.com:80-81", "connect 192.0.2.1:82", false),
            ("example.com", "connect 192.0.2.2:80", false),
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
        let mut answers = Answers::new();
        for (known, addresses) in [
            ("typed.example", ["10.1.1.1", "8.8.8.8"]),
            ("named.example", ["10.2.2.2", "1.1.1.1"]),
        ] {
            answers.insert(
                &name(known),
                addresses.map(|address| address.parse().unwrap()),
            );
        }
        let not_public = |address: &str| {
            let address: SocketAddr = address.parse().unwrap();
            Some(DenialReason::NotPublic {
                address,
                special: SpecialPurpose::of(address.ip()).unwrap(),
            })
        };
        let no_rule = Some(DenialReason::NoRule);
        let named = "http://named.example:8080/";
        for (url, asked, denied) in [
            (named, "resolve named.example", None),
            (named, "resolve other.example", no_rule),
            (named, "connect 1.1.1.1:8080", None),
            (named, "connect [::ffff:1.1.1.1]:8080", None),
            (named, "connect 1.1.1.1:80", no_rule),
            (named, "connect 8.8.8.8:8080", no_rule),
            (named, "connect 10.2.2.2:8080", not_public("10.2.2.2:8080")),
            (named, "connect 10.2.2.2:80", no_rule),
            (named, "connect 10.1.1.1:8080", no_rule),
            (named, "listen 1.1.1.1:8080", no_rule),
            (named, "udp-send 1.1.1.1:8080", no_rule),
            // What the user typed stays granted.
            (named, "resolve typed.example", None),
            (named, "connect 10.1.1.1:80", None),
            // The user's own host, wherever it is.
            ("http://typed.example:81/", "connect 10.1.1.1:81", None),
            ("http://typed.example:81/", "connect 8.8.8.8:81", None),
            ("http://typed.example:81/", "connect 10.2.2.2:81", no_rule),
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
                Verdict::Denied { reason } => Some(reason),
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
        let resolve = Rule::Resolve {
            name: name("known.example"),
        };
        let policy = typed().grant(resolve);
        for (url, asked, expected) in [
            ("http://named.example/", "named.example", public),
            ("http://named.example/", "typed.example", all),
            ("http://named.example/", "flagged.example", all),
            ("http://named.example/", "known.example", all),
            ("http://typed.example:81/", "typed.example", all),
            ("http://flagged.example/", "flagged.example", public),
            ("http://flagged.example:81/", "flagged.example", all),
            ("http://known.example/", "known.example", public),
        ] {
            let policy = policy.redirected_to(url);
            assert_eq!(
                policy.usable(&name(asked), addresses(all)),
                Ok(addresses(expected)),
                "{url} asked for {asked}"
            );
        }

        let policy = policy.redirected_to("http://named.example:81/");
        let denied = policy.usable(&name("named.example"), addresses(&["fe80::1", "10.0.0.9"]));
        let reason = denied.unwrap_err();
        let asked = Target::Resolve(name("named.example"));
        assert_eq!(
            reason.told(&asked),
            "a redirect may lead to public addresses only, and fe80::1 is link-local (fe80::/10) \
             (--allow-connect named.example:81 would allow it)"
        );
        assert_eq!(
            policy.usable(&name("other.example"), addresses(all)),
            Err(DenialReason::NoRule)
        );
    }

    #[test]
    fn refusals_name_the_flag_that_would_allow_it() {
        let not_public = |text: &str| DenialReason::NotPublic {
            address: address(text),
            special: SpecialPurpose::of(address(text).ip()).unwrap(),
        };
        for (reason, asked, expected) in [
            (
                DenialReason::NoRule,
                "connect 10.0.0.1:80",
                "no rule grants it (--allow-net would)",
            ),
            (
                not_public("[::1]:80"),
                "connect [::1]:80",
                "a redirect may lead to public addresses only, and ::1 is loopback (::1/128) \
                 (--allow-connect [::1]:80 would allow it)",
            ),
        ] {
            assert_eq!(reason.told(&target(asked)), expected);
        }
        // The flag's value is one that is understood.
        let flag = not_public("[::1]:80").flag(&target("connect [::1]:80"));
        let value = flag.strip_prefix("--allow-connect ").unwrap();
        Policy::new().allow_connect_to(value).unwrap();
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
            .allow_listen(address("127.0.0.1:1"));
        assert_eq!(policy.rules().len(), 1);
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

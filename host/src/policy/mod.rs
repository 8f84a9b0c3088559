//! What a run may do with the network.
//!
//! Everything here is plain data: a [`Policy`] is a list of [`Rule`]s, and [`Policy::judge`] says
//! what they make of a [`Target`]. Nothing here opens a socket, and nothing knows of WebAssembly.
//!
//! With no rule nothing is granted.

mod answers;
mod rule;

pub use answers::{Answers, MAX_ADDRESSES_PER_NAME};
pub use rule::{Host, Name, Ports, Rule, RuleError};

use std::fmt;
use std::net::SocketAddr;

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
    /// The command-line flag that would allow it.
    pub fn flag(&self) -> &'static str {
        "--allow-net"
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
}

impl fmt::Display for DenialReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DenialReason::NoRule => f.write_str("no rule grants it"),
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
        let host = parsed.host_str().ok_or_else(no_host)?.parse()?;
        let port = parsed.port_or_known_default().ok_or_else(no_host)?;
        Ok(self.grant(Rule::Connect {
            host,
            ports: Ports::one(port),
        }))
    }

    /// Grant connecting to `address`.
    #[must_use]
    pub fn allow_connect(self, address: SocketAddr) -> Policy {
        self.grant(Rule::Connect {
            host: Host::Address(address.ip().to_canonical()),
            ports: Ports::one(address.port()),
        })
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
        found.unwrap_or(Verdict::Denied {
            reason: DenialReason::NoRule,
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
                .find(|rule| rule.covers_named(name, address.port()))?;
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

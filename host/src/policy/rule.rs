//! What can be granted: rules, and the names and port ranges that they are made of.

use super::{Destination, SpecialPurpose};
use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

/// A host name in the one form that names are compared in: lower-case ASCII (punycode where the
/// name isn't ASCII), without a dot at its end.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(String);

impl Name {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A host: one address, or a name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Host {
    /// This address. An IPv4-mapped IPv6 address is kept, and judged, as the IPv4 address in it.
    Address(IpAddr),
    /// This name, and whatever addresses it resolves to during the run.
    Name(Name),
}

impl Host {
    /// Whether it is this name.
    fn is_name(&self, name: &Name) -> bool {
        matches!(self, Host::Name(own) if own == name)
    }

    /// Whether it is `address`, by its number.
    pub(super) fn is_address(&self, address: IpAddr) -> bool {
        matches!(self, Host::Address(own) if *own == address.to_canonical())
    }
}

impl FromStr for Host {
    type Err = RuleError;

    /// Read a host as a URL's would be read: `example.com`, `EXAMPLE.com.`, `bücher.example`,
    /// `127.0.0.1`, `[::1]`, `::1`. All the old ways to write an IPv4 address (`2130706433`,
    /// `0x7f.1`, `0177.0.0.1`) are addresses, not names.
    ///
    /// # Errors
    /// [`RuleError::Host`] when it is neither a name nor an address.
    fn from_str(text: &str) -> Result<Host, RuleError> {
        let error = || RuleError::Host {
            text: text.to_owned(),
        };
        if let Ok(address) = text.parse::<Ipv6Addr>() {
            return Ok(Host::Address(IpAddr::V6(address).to_canonical()));
        }
        match url::Host::parse(text).map_err(|_| error())? {
            url::Host::Ipv4(address) => Ok(Host::Address(IpAddr::V4(address))),
            url::Host::Ipv6(address) => Ok(Host::Address(IpAddr::V6(address).to_canonical())),
            url::Host::Domain(name) => {
                let name = name.strip_suffix('.').unwrap_or(&name);
                if name.is_empty() {
                    return Err(error());
                }
                Ok(Host::Name(Name(name.to_ascii_lowercase())))
            }
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Host::Address(IpAddr::V4(address)) => write!(f, "{address}"),
            Host::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
            Host::Name(name) => write!(f, "{name}"),
        }
    }
}

/// A range of ports, both ends inclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ports {
    first: u16,
    last: u16,
}

impl Ports {
    /// Every port.
    pub const ANY: Ports = Ports {
        first: 0,
        last: u16::MAX,
    };

    /// This port alone.
    pub const fn one(port: u16) -> Ports {
        Ports {
            first: port,
            last: port,
        }
    }

    /// The ports from `first` to `last`, both included; none if `last` comes before `first`.
    pub const fn range(first: u16, last: u16) -> Option<Ports> {
        if first <= last {
            Some(Ports { first, last })
        } else {
            None
        }
    }

    /// Whether `port` is one of them.
    pub const fn contains(self, port: u16) -> bool {
        self.first <= port && port <= self.last
    }
}

impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Ports::ANY => f.write_str("*"),
            Ports { first, last } if first == last => write!(f, "{first}"),
            Ports { first, last } => write!(f, "{first}-{last}"),
        }
    }
}

/// One thing that is granted.
///
/// A rule is never compared with a rule, only asked about a
/// [`Target`](super::Target) through [`Policy::judge`](super::Policy::judge).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Rule {
    /// Everything that a network can be asked, UDP included.
    Everything,
    /// Connecting over TCP. A host that is a name may be looked up too, and the addresses that it
    /// resolves to during the run are the ones that may be connected to.
    Connect {
        /// Where to.
        to: Destination,
    },
    /// Going where a response redirected to: as `Connect`, for as long as that redirect is the one
    /// being followed. [`Policy::allow_redirects`](super::Policy::allow_redirects) has it granted.
    Redirect {
        /// The host.
        host: Host,
        /// The port there.
        port: u16,
        /// Whether it may be connected to at public addresses only, those without a
        /// [`SpecialPurpose`].
        public_only: bool,
    },
    /// Looking a name up, and nothing more.
    Resolve {
        /// The name.
        name: Name,
    },
    /// Listening on an address over TCP, and accepting whoever connects.
    ///
    /// A wildcard address (`0.0.0.0`, `[::]`) covers each address of its family, since whoever
    /// listens on it listens on them all. Port 0 covers whatever port the system chooses when it is
    /// asked to choose one, and no port that the component chooses.
    Listen {
        /// The address.
        address: SocketAddr,
    },
}

impl Rule {
    /// Whether connecting to `address` is granted by its number alone.
    pub(super) fn covers_address(&self, address: SocketAddr) -> bool {
        match self {
            Rule::Everything => true,
            Rule::Connect { to } => to.covers_address(address),
            Rule::Redirect { host, port, .. } => {
                host.is_address(address.ip())
                    && *port == address.port()
                    && self.reaches(address.ip())
            }
            Rule::Resolve { .. } | Rule::Listen { .. } => false,
        }
    }

    /// Whether connecting to `address` is granted because `name` resolved to it.
    pub(super) fn covers_named(&self, name: &Name, address: SocketAddr) -> bool {
        self.covers_port_of(name, address.port()) && self.reaches(address.ip())
    }

    /// Whether connecting to `port` of some address that `name` resolves to is granted.
    pub(super) fn covers_port_of(&self, name: &Name, port: u16) -> bool {
        match self {
            Rule::Everything => true,
            Rule::Connect { to } => to.covers_name(name) && to.ports.contains(port),
            Rule::Redirect {
                host, port: own, ..
            } => host.is_name(name) && *own == port,
            Rule::Resolve { .. } | Rule::Listen { .. } => false,
        }
    }

    /// Whether looking `name` up is granted.
    pub(super) fn covers_lookup(&self, name: &Name) -> bool {
        match self {
            Rule::Everything => true,
            Rule::Connect { to } => to.covers_name(name),
            Rule::Redirect { host, .. } => host.is_name(name),
            Rule::Resolve { name: own } => own == name,
            Rule::Listen { .. } => false,
        }
    }

    /// The port of `name` that may be connected to at public addresses only, where it is this rule
    /// that says so.
    pub(super) fn public_port_of(&self, name: &Name) -> Option<u16> {
        match self {
            Rule::Redirect {
                host,
                port,
                public_only: true,
            } if host.is_name(name) => Some(*port),
            _ => None,
        }
    }

    /// Whether `address` is of the kind that the rule is about, whoever has it.
    fn reaches(&self, address: IpAddr) -> bool {
        match self {
            Rule::Redirect {
                public_only: true, ..
            } => SpecialPurpose::of(address).is_none(),
            _ => true,
        }
    }

    /// Whether binding to `address`, in order to listen, is granted.
    pub(super) fn covers_bind(&self, address: SocketAddr) -> bool {
        match self {
            Rule::Everything => true,
            Rule::Listen { address: own } => {
                covers_ip(own.ip(), address.ip()) && own.port() == address.port()
            }
            Rule::Connect { .. } | Rule::Redirect { .. } | Rule::Resolve { .. } => false,
        }
    }

    /// Whether listening on `address`, to which the socket is bound already, is granted.
    ///
    /// A rule with port 0 covers any port here: the bind was asked for with port 0, or it would have
    /// been refused, so it is the system that chose the port.
    pub(super) fn covers_listen(&self, address: SocketAddr) -> bool {
        match self {
            Rule::Everything => true,
            Rule::Listen { address: own } => {
                covers_ip(own.ip(), address.ip())
                    && (own.port() == 0 || own.port() == address.port())
            }
            Rule::Connect { .. } | Rule::Redirect { .. } | Rule::Resolve { .. } => false,
        }
    }

    /// Whether a client may be accepted, whoever it is.
    pub(super) fn covers_accept(&self) -> bool {
        matches!(self, Rule::Everything | Rule::Listen { .. })
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Rule::Everything => f.write_str("everything"),
            Rule::Connect { to } => write!(f, "connect {to}"),
            Rule::Redirect {
                host,
                port,
                public_only,
            } => {
                let public = if *public_only {
                    " (public addresses)"
                } else {
                    ""
                };
                write!(f, "redirect to {host}:{port}{public}")
            }
            Rule::Resolve { name } => write!(f, "resolve {name}"),
            Rule::Listen { address } => write!(f, "listen {address}"),
        }
    }
}

/// Whether listening on `granted` includes listening on `asked`.
fn covers_ip(granted: IpAddr, asked: IpAddr) -> bool {
    let (granted, asked) = (granted.to_canonical(), asked.to_canonical());
    granted == asked || granted.is_unspecified() && granted.is_ipv4() == asked.is_ipv4()
}

/// Why a rule can't be made of a text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RuleError {
    /// It isn't a host.
    #[error("`{text}` is neither a host's name nor an address")]
    Host {
        /// What was given.
        text: String,
    },
    /// It is an IPv6 address, whose colons can't be told from the one before a port.
    #[error("an IPv6 address is written in brackets: `{instead}`")]
    NoBrackets {
        /// The right form.
        instead: String,
    },
    /// It is not a range of addresses.
    #[error("`{text}` is not a range of addresses: they are written `10.0.0.0/8` and `[fd00::/8]`")]
    Range {
        /// What was given.
        text: String,
    },
    /// It is a range of addresses with bits that the range leaves open.
    #[error("`{text}` has bits set behind its prefix: the range is `{instead}`")]
    HostBits {
        /// What was given.
        text: String,
        /// The right form.
        instead: String,
    },
    /// It is a pattern.
    #[error("`{text}` is a pattern: a rule names one host, or a range of addresses")]
    Wildcard {
        /// What was given.
        text: String,
    },
    /// They aren't ports.
    #[error(
        "`{text}` is neither a port from 1 to 65535 nor a range of them: they are written `443` and \
         `8000-8100`"
    )]
    Ports {
        /// What was given.
        text: String,
    },
    /// It is a range of ports with its last one first.
    #[error("the ports `{text}` are upside down: the range is `{instead}`")]
    UpsideDown {
        /// What was given.
        text: String,
        /// The right form.
        instead: String,
    },
    /// It is a URL where a host is wanted.
    #[error("a URL is not a host: write `{instead}`")]
    NotAUrl {
        /// The right form.
        instead: String,
    },
    /// It isn't a URL.
    #[error("`{url}` is not a URL: {reason}")]
    Url {
        /// What was given, without the password that it may hold.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// It is a URL of a kind that names no host, or no port is known for its scheme.
    #[error("`{url}` does not name a host to connect to")]
    NoHost {
        /// What was given, without the password that it may hold.
        url: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_read_in_every_form() {
        let address = |text: &str| Host::Address(text.parse().unwrap());
        let name = |text: &str| Host::Name(Name(text.to_owned()));
        let table = [
            ("example.com", name("example.com")),
            ("EXAMPLE.com", name("example.com")),
            ("example.com.", name("example.com")),
            ("bücher.example", name("xn--bcher-kva.example")),
            ("xn--bcher-kva.example", name("xn--bcher-kva.example")),
            ("localhost", name("localhost")),
            ("127.0.0.1", address("127.0.0.1")),
            ("2130706433", address("127.0.0.1")),
            ("0x7f.1", address("127.0.0.1")),
            ("0177.0.0.1", address("127.0.0.1")),
            ("127.1", address("127.0.0.1")),
            ("127.0.0.1.", address("127.0.0.1")),
            ("::1", address("::1")),
            ("[::1]", address("::1")),
            ("::ffff:10.0.0.1", address("10.0.0.1")),
            ("[::ffff:a00:1]", address("10.0.0.1")),
        ];
        for (input, expected) in table {
            assert_eq!(input.parse(), Ok(expected), "{input:?}");
        }
    }

    #[test]
    fn what_is_no_host_is_refused() {
        for input in [
            "",
            ".",
            " ",
            "a b",
            "a/b",
            "http://example.com",
            "example.com:80",
            "[::1",
            "::1]",
            "256.0.0.1",
            "1.2.3.4.5",
            "0x100000000",
            "a\0b",
            "a\nb",
            "user@example.com",
            "*.example.com/",
        ] {
            assert_eq!(
                input.parse::<Host>(),
                Err(RuleError::Host {
                    text: input.to_owned()
                }),
                "{input:?}"
            );
        }
    }

    #[test]
    fn port_ranges_include_both_ends() {
        let range = Ports::range(8000, 8100).unwrap();
        for (ports, port, expected) in [
            (Ports::one(80), 79, false),
            (Ports::one(80), 80, true),
            (Ports::one(80), 81, false),
            (range, 7999, false),
            (range, 8000, true),
            (range, 8050, true),
            (range, 8100, true),
            (range, 8101, false),
            (Ports::ANY, 0, true),
            (Ports::ANY, u16::MAX, true),
        ] {
            assert_eq!(ports.contains(port), expected, "{port} in {ports}");
        }
        assert_eq!(Ports::range(80, 80), Some(Ports::one(80)));
        assert_eq!(Ports::range(0, u16::MAX), Some(Ports::ANY));
        assert_eq!(Ports::range(81, 80), None);
        assert_eq!(range.to_string(), "8000-8100");
    }

    #[test]
    fn rules_can_be_read_by_people() {
        let listen = |text: &str| Rule::Listen {
            address: text.parse().unwrap(),
        };
        let connect = |text: &str| Rule::Connect {
            to: text.parse().unwrap(),
        };
        let redirect = |host: &str, public_only| Rule::Redirect {
            host: host.parse().unwrap(),
            port: 80,
            public_only,
        };
        for (rule, expected) in [
            (Rule::Everything, "everything"),
            (connect("Example.com:80"), "connect example.com:80"),
            (connect("[::1]"), "connect [::1]:*"),
            (connect("10.0.0.0/8:1-2"), "connect 10.0.0.0/8:1-2"),
            (connect("[fd00::/8]"), "connect [fd00::/8]:*"),
            (redirect("::1", false), "redirect to [::1]:80"),
            (
                redirect("Example.com", true),
                "redirect to example.com:80 (public addresses)",
            ),
            (listen("127.0.0.1:9999"), "listen 127.0.0.1:9999"),
            (listen("[::1]:0"), "listen [::1]:0"),
        ] {
            assert_eq!(rule.to_string(), expected);
        }
    }
}

//! What can be granted, and what can be denied: rules, and the names that they are made of.

use super::embedded::embedded;
use super::{Destination, Endpoint, Range};
use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

/// The most bytes of a name, in ASCII and without a dot at its end: 253. That is what fits in the 255
/// bytes of RFC 1035 section 3.1.
pub const MAX_NAME_BYTES: usize = 253;

/// The most bytes of a label, the part of a name between two dots: 63 (RFC 1035 section 3.1).
pub const MAX_LABEL_BYTES: usize = 63;

/// The most bytes of a text that is read as a name: 1,024. A name outside ASCII has at most four bytes of
/// UTF-8 for each of its characters, which in ASCII take one at least.
const MAX_NAME_TEXT_BYTES: usize = 1024;

/// A host name in the one form that names are compared in: lower-case ASCII (punycode where the
/// name isn't ASCII), without a dot at its end.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(String);

impl Name {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is a name below `parent`, however deep: not `parent` itself.
    pub(super) fn is_below(&self, parent: &Name) -> bool {
        self.0
            .strip_suffix(&parent.0)
            .is_some_and(|rest| rest.ends_with('.'))
    }

    /// Whether it is the machine itself, by its name (RFC 6761 section 6.3).
    pub(super) fn is_localhost(&self) -> bool {
        self.0 == "localhost" || self.0.ends_with(".localhost")
    }
}

impl FromStr for Name {
    type Err = RuleError;

    /// Read a name as [`Host`] does.
    ///
    /// # Errors
    /// [`RuleError::Host`]; [`RuleError::NotAName`] when it is an address.
    fn from_str(text: &str) -> Result<Name, RuleError> {
        match text.parse()? {
            Host::Name(name) => Ok(name),
            Host::Address(_) => Err(RuleError::NotAName {
                text: text.to_owned(),
            }),
        }
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
    /// [`RuleError::Host`] when it is neither a name nor an address, or a name that is too long
    /// ([`MAX_NAME_BYTES`], [`MAX_LABEL_BYTES`]).
    fn from_str(text: &str) -> Result<Host, RuleError> {
        let error = || RuleError::Host {
            text: text[..text.floor_char_boundary(MAX_NAME_TEXT_BYTES)].to_owned(),
        };
        // Before it is copied: a component may hand over a hundred megabytes.
        if text.len() > MAX_NAME_TEXT_BYTES {
            return Err(error());
        }
        if let Ok(address) = text.parse::<Ipv6Addr>() {
            return Ok(Host::Address(IpAddr::V6(address).to_canonical()));
        }
        match url::Host::parse(text).map_err(|_| error())? {
            url::Host::Ipv4(address) => Ok(Host::Address(IpAddr::V4(address))),
            url::Host::Ipv6(address) => Ok(Host::Address(IpAddr::V6(address).to_canonical())),
            url::Host::Domain(name) => {
                let name = name.strip_suffix('.').unwrap_or(&name);
                // A URL may have stranger ones, patterns among them, which no resolver knows.
                let usual = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
                let fits = name.len() <= MAX_NAME_BYTES
                    && name.split('.').all(|label| label.len() <= MAX_LABEL_BYTES);
                if name.is_empty() || !fits || !name.bytes().all(usual) {
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

/// Names that may be looked up.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Names {
    /// This name.
    One(Name),
    /// Every name below this one, however deep, and not this one: `*.example.com`.
    Below(Name),
}

impl Names {
    fn cover(&self, name: &Name) -> bool {
        match self {
            Names::One(own) => own == name,
            Names::Below(parent) => name.is_below(parent),
        }
    }
}

impl fmt::Display for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Names::One(name) => name.fmt(f),
            Names::Below(parent) => write!(f, "*.{parent}"),
        }
    }
}

impl FromStr for Names {
    type Err = RuleError;

    /// Read `example.com`, or `*.example.com`.
    ///
    /// # Errors
    /// [`RuleError`], with the right form in its message where one can be told.
    fn from_str(text: &str) -> Result<Names, RuleError> {
        match text.strip_prefix("*.") {
            Some(parent) => parent.parse().map(Names::Below),
            None => text.parse().map(Names::One),
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
        /// [`SpecialPurpose`](super::SpecialPurpose).
        public_only: bool,
    },
    /// Looking names up, and nothing more.
    Resolve {
        /// The names.
        names: Names,
    },
    /// Listening over TCP; and accepting whoever connects, unless an `Accept` says whom.
    Listen {
        /// Where.
        on: Endpoint,
    },
    /// Accepting clients from these addresses, where listening is granted. As soon as there is one such
    /// rule, nobody else is accepted.
    Accept {
        /// The addresses.
        from: Range,
    },
    /// Sending datagrams, and receiving those that come from there. A host that is a name may be looked
    /// up too, as with `Connect`.
    UdpSend {
        /// Where to.
        to: Destination,
    },
    /// Binding UDP sockets, and receiving from whoever sends, unless an `Accept` says who may. To answer
    /// them is for `UdpSend` to grant: anybody can put another's address on a datagram.
    UdpBind {
        /// Where.
        on: Endpoint,
    },
}

/// One thing that is denied, whatever is granted.
///
/// There are no names among them: nobody can tell beforehand which addresses a name will have, and a
/// denial that misses is worse than none. An address is denied too when the IPv4 address that it stands
/// for is ([`Policy::judge`](super::Policy::judge)).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Deny {
    /// Connecting over TCP, and sending datagrams.
    Connect {
        /// Where to.
        to: Denied,
    },
    /// Accepting clients, and receiving datagrams from who wasn't sent any.
    Accept {
        /// From whom.
        from: Range,
    },
}

/// Addresses that are denied, and ports there.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Denied {
    destination: Destination,
}

impl Denied {
    fn covers(&self, address: SocketAddr) -> bool {
        std::iter::once(address.ip())
            .chain(embedded(address.ip()))
            .any(|ip| {
                self.destination
                    .covers_address(SocketAddr::new(ip, address.port()))
            })
    }
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.destination.fmt(f)
    }
}

impl FromStr for Denied {
    type Err = RuleError;

    /// Read a [`Destination`] without names.
    ///
    /// # Errors
    /// [`RuleError`], with the right form in its message where one can be told.
    fn from_str(text: &str) -> Result<Denied, RuleError> {
        let destination: Destination = text.parse()?;
        match destination.is_of_names() {
            true => Err(RuleError::NameDenied {
                text: destination.hosts.to_string(),
            }),
            false => Ok(Denied { destination }),
        }
    }
}

impl Deny {
    /// Whether connecting to `address`, or sending a datagram there, is denied.
    pub(super) fn covers_connect(&self, address: SocketAddr) -> bool {
        matches!(self, Deny::Connect { to } if to.covers(address))
    }

    /// Whether accepting somebody from `address` is denied.
    pub(super) fn covers_accept(&self, address: IpAddr) -> bool {
        let Deny::Accept { from } = self else {
            return false;
        };
        from.contains(address) || embedded(address).any(|ip| from.contains(ip))
    }
}

impl fmt::Display for Deny {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Deny::Connect { to } => write!(f, "deny-connect {to}"),
            Deny::Accept { from } => write!(f, "deny-accept {from}"),
        }
    }
}

impl Rule {
    /// Whether connecting to `address` is granted by its number alone.
    pub(super) fn covers_connect(&self, address: SocketAddr) -> bool {
        match self {
            Rule::Everything => true,
            Rule::Connect { to } => to.covers_address(address),
            Rule::Redirect { host, port, .. } => {
                host.is_address(address.ip()) && *port == address.port()
            }
            _ => false,
        }
    }

    /// Whether sending a datagram to `address` is granted by its number alone.
    pub(super) fn covers_udp_send(&self, address: SocketAddr) -> bool {
        match self {
            Rule::Everything => true,
            Rule::UdpSend { to } => to.covers_address(address),
            _ => false,
        }
    }

    /// Whether connecting to `port` of some address that `name` resolves to is granted.
    pub(super) fn covers_port_of(&self, name: &Name, port: u16) -> bool {
        match self {
            Rule::Everything => true,
            Rule::Connect { to } => to.covers_name(name) && to.ports.contains(port),
            Rule::Redirect {
                host, port: own, ..
            } => host.is_name(name) && *own == port,
            _ => false,
        }
    }

    /// Whether sending a datagram to `port` of some address that `name` resolves to is granted.
    pub(super) fn covers_udp_port_of(&self, name: &Name, port: u16) -> bool {
        match self {
            Rule::Everything => true,
            Rule::UdpSend { to } => to.covers_name(name) && to.ports.contains(port),
            _ => false,
        }
    }

    /// Whether looking `name` up is granted.
    pub(super) fn covers_lookup(&self, name: &Name) -> bool {
        match self {
            Rule::Everything => true,
            Rule::Connect { to } | Rule::UdpSend { to } => to.covers_name(name),
            Rule::Redirect { host, .. } => host.is_name(name),
            Rule::Resolve { names } => names.cover(name),
            Rule::Listen { .. } | Rule::Accept { .. } | Rule::UdpBind { .. } => false,
        }
    }

    /// Whether it grants looking `name` up for the sake of the answer, whatever it is.
    pub(super) fn tells_any_answer(&self, name: &Name) -> bool {
        match self {
            Rule::Everything => true,
            Rule::Resolve { names } => names.cover(name),
            _ => false,
        }
    }

    /// Whether it grants something at `address`, at some port, by its number alone.
    pub(super) fn reaches_by_number(&self, address: IpAddr) -> bool {
        match self {
            Rule::Everything => true,
            Rule::Connect { to } | Rule::UdpSend { to } => to.hosts.cover_address(address),
            _ => false,
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

    /// Whether binding to `address`, in order to listen, is granted.
    pub(super) fn covers_bind(&self, address: SocketAddr) -> bool {
        match self {
            Rule::Everything => true,
            Rule::Listen { on } => on.covers_bind(address),
            _ => false,
        }
    }

    /// Whether listening on `address`, to which the socket is bound already, is granted.
    pub(super) fn covers_listen(&self, address: SocketAddr) -> bool {
        match self {
            Rule::Everything => true,
            Rule::Listen { on } => on.covers_bound(address),
            _ => false,
        }
    }

    /// Whether accepting somebody from `address` is granted in so many words.
    pub(super) fn covers_accept(&self, address: IpAddr) -> bool {
        match self {
            Rule::Everything => true,
            Rule::Accept { from } => from.contains(address),
            _ => false,
        }
    }

    /// Whether binding a UDP socket to `address` is granted. `is_any`: the system is to choose all of it.
    pub(super) fn covers_udp_bind(&self, address: SocketAddr, is_any: bool) -> bool {
        match self {
            Rule::Everything => true,
            Rule::UdpBind { on } => on.covers_bind(address),
            // Who may send needs a socket to send from. What it receives is asked about one by one.
            Rule::UdpSend { .. } => is_any,
            _ => false,
        }
    }
}

impl fmt::Display for Rule {
    /// As its flag and its key in a policy file are written: `allow-connect example.com:443`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Rule::Everything => f.write_str("allow-net"),
            Rule::Connect { to } => write!(f, "allow-connect {to}"),
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
            Rule::Resolve { names } => write!(f, "allow-resolve {names}"),
            Rule::Listen { on } => write!(f, "allow-listen {on}"),
            Rule::Accept { from } => write!(f, "allow-accept {from}"),
            Rule::UdpSend { to } => write!(f, "allow-udp-send {to}"),
            Rule::UdpBind { on } => write!(f, "allow-udp-bind {on}"),
        }
    }
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
    /// It is a pattern of another kind than `*.example.com`.
    #[error(
        "`{text}` is a pattern of a kind that isn't known: there are `*.example.com`, every name below \
         that one, and ranges of addresses"
    )]
    Wildcard {
        /// What was given.
        text: String,
    },
    /// They aren't ports.
    #[error(
        "`{text}` is neither a port from 1 to 65535 nor a range of them: they are written `443`, \
         `8000-8100` and `80,443`"
    )]
    Ports {
        /// What was given.
        text: String,
    },
    /// It is ports where a host is wanted.
    #[error(
        "`{text}` is a port where a host is wanted, as in `example.com:{text}`; for several ports of \
         one host name it with each: `example.com:80,example.com:443`"
    )]
    BarePorts {
        /// What was given.
        text: String,
    },
    /// It is a name where an address of this machine is wanted.
    #[error("`{text}` is not an address: write `127.0.0.1:8080` or `[::1]:8080`")]
    NotAnAddress {
        /// What was given.
        text: String,
    },
    /// It is an address where a name is wanted.
    #[error("`{text}` is an address, which needs no lookup: give the name of a host")]
    NotAName {
        /// What was given.
        text: String,
    },
    /// It is a name on the side of what is denied.
    #[error(
        "`{text}` is a name, and which addresses it will have can't be told beforehand: deny the \
         addresses, as in `192.0.2.1` or `10.0.0.0/8`"
    )]
    NameDenied {
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
            "*.example.com",
            "a,b",
            "a!b",
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
    fn rules_can_be_read_by_people() {
        let listen = |text: &str| Rule::Listen {
            on: text.parse().unwrap(),
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
            (Rule::Everything, "allow-net"),
            (connect("Example.com:80"), "allow-connect example.com:80"),
            (
                connect("*.Example.com:80"),
                "allow-connect *.example.com:80",
            ),
            (connect("[::1]"), "allow-connect [::1]:*"),
            (connect("10.0.0.0/8:1-2"), "allow-connect 10.0.0.0/8:1-2"),
            (connect("[fd00::/8]"), "allow-connect [fd00::/8]:*"),
            (redirect("::1", false), "redirect to [::1]:80"),
            (
                redirect("Example.com", true),
                "redirect to example.com:80 (public addresses)",
            ),
            (listen("127.0.0.1:9999"), "allow-listen 127.0.0.1:9999"),
            (listen("[::1]:0"), "allow-listen [::1]:0"),
        ] {
            assert_eq!(rule.to_string(), expected);
        }
    }

    #[test]
    fn names_are_not_denied() {
        for (text, expected) in [
            ("10.0.0.0/8", Ok("10.0.0.0/8:*")),
            ("[::1]:80", Ok("[::1]:80")),
            ("2130706433", Ok("127.0.0.1:*")),
            ("example.com", Err("example.com")),
            ("*.example.com:80", Err("*.example.com")),
        ] {
            let found = text.parse::<Denied>();
            let found = found.map(|it| it.to_string());
            let expected = expected
                .map(str::to_owned)
                .map_err(|name| RuleError::NameDenied {
                    text: name.to_owned(),
                });
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn what_stands_for_a_denied_address_is_denied() {
        let deny = Deny::Connect {
            to: "10.0.0.0/8:80".parse().unwrap(),
        };
        for (address, expected) in [
            ("10.0.0.1:80", true),
            ("10.0.0.1:81", false),
            ("11.0.0.1:80", false),
            ("[::ffff:10.0.0.1]:80", true),
            ("[::10.0.0.1]:80", true),
            ("[64:ff9b::10.0.0.1]:80", true),
            ("[64:ff9b::11.0.0.1]:80", false),
            ("[2002:a00:1::]:80", true),
            ("[2002:b00:1::]:80", false),
            // Teredo keeps its client's address inverted.
            ("[2001:0:102:304::f5ff:fffe]:80", true),
            ("[2001:0:a00:1::fefd:fcfb]:80", true),
        ] {
            assert_eq!(
                deny.covers_connect(address.parse().unwrap()),
                expected,
                "{address}"
            );
        }
    }
}

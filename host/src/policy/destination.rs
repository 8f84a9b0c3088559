//! Where a run may connect to, and where it may listen, as people write it: `HOST[:PORTS]`.

use super::{Host, Name, Ports, RuleError};
use ipnet::IpNet;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

/// Hosts, and ports there.
///
/// # Examples
/// ```
/// use sockbox::policy::Destination;
///
/// for text in [
///     "example.com:443",
///     "*.example.com:80,443",
///     "[::1]:8000-8100",
///     "10.0.0.0/8:*",
///     "[fd00::/8]:80",
/// ] {
///     let destination: Destination = text.parse()?;
///     assert_eq!(destination.to_string(), text);
/// }
/// assert_eq!("192.0.2.1".parse::<Destination>()?.to_string(), "192.0.2.1:*");
/// # Ok::<(), sockbox::policy::RuleError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Destination {
    /// The hosts.
    pub hosts: Hosts,
    /// The ports of each.
    pub ports: Ports,
}

/// One host, or several.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Hosts {
    /// This host.
    One(Host),
    /// Every name below this one, however deep, and not this one: `*.example.com`.
    Subdomains(Name),
    /// Every address of this range.
    Range(Range),
}

/// A range of addresses: a prefix, in CIDR notation.
///
/// No range of IPv6 covers an IPv4 address, mapped or not: a range of IPv4-mapped addresses is refused
/// when it is read, with the range of the IPv4 addresses in them as the right form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Range(IpNet);

/// Addresses of this machine's own, and ports there.
///
/// A wildcard address (`0.0.0.0`, `[::]`) covers each address of its family, since whoever listens on it
/// listens on them all. Port 0 covers whatever port the system chooses when it is asked to choose one,
/// and no port that the component chooses.
///
/// # Examples
/// ```
/// use sockbox::policy::Endpoint;
///
/// for text in ["127.0.0.1:8080", "[::1]:0", "0.0.0.0:8000-8100", "127.0.0.0/8:*"] {
///     assert_eq!(text.parse::<Endpoint>()?.to_string(), text);
/// }
/// # Ok::<(), sockbox::policy::RuleError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// The addresses.
    pub addresses: Range,
    /// The ports of each.
    pub ports: Ports,
}

impl Destination {
    /// This port of this host.
    pub(crate) fn one(host: Host, port: u16) -> Destination {
        Destination {
            hosts: Hosts::One(host),
            ports: Ports::one(port),
        }
    }

    /// Whether it covers `address` by its number alone.
    pub(super) fn covers_address(&self, address: SocketAddr) -> bool {
        self.hosts.cover_address(address.ip()) && self.ports.contains(address.port())
    }

    /// Whether it covers `name`, at some port.
    pub(super) fn covers_name(&self, name: &Name) -> bool {
        match &self.hosts {
            Hosts::One(Host::Name(own)) => own == name,
            Hosts::Subdomains(parent) => name.is_below(parent),
            Hosts::One(Host::Address(_)) | Hosts::Range(_) => false,
        }
    }

    /// Whether it has names, and not addresses.
    pub(super) fn is_of_names(&self) -> bool {
        matches!(self.hosts, Hosts::One(Host::Name(_)) | Hosts::Subdomains(_))
    }
}

impl Hosts {
    /// Whether `address` is one of them, by its number.
    pub(super) fn cover_address(&self, address: IpAddr) -> bool {
        match self {
            Hosts::One(host) => host.is_address(address),
            Hosts::Range(range) => range.contains(address),
            Hosts::Subdomains(_) => false,
        }
    }
}

impl Range {
    /// This address alone.
    pub fn one(address: IpAddr) -> Range {
        Range(address.to_canonical().into())
    }

    /// The range that `network` is, whatever bits it has behind its prefix.
    pub(crate) fn of(network: IpNet) -> Range {
        let network = network.trunc();
        Range(of_mapped(network).unwrap_or(network))
    }

    /// It, as one of addresses.
    pub(super) fn net(self) -> IpNet {
        self.0
    }

    /// Whether `address` is in it.
    pub fn contains(self, address: IpAddr) -> bool {
        self.0.contains(&address.to_canonical())
    }

    /// The address, if it is just one.
    fn single(self) -> Option<IpAddr> {
        (self.0.prefix_len() == self.0.max_prefix_len()).then(|| self.0.addr())
    }
}

impl Endpoint {
    /// This address and port.
    pub(crate) fn one(address: SocketAddr) -> Endpoint {
        Endpoint {
            addresses: Range::one(address.ip()),
            ports: Ports::one(address.port()),
        }
    }

    /// Whether binding to `address` is covered.
    pub(super) fn covers_bind(&self, address: SocketAddr) -> bool {
        self.covers_ip(address.ip()) && self.ports.contains(address.port())
    }

    /// Whether using `address`, to which a socket is bound already, is covered.
    ///
    /// With port 0 any port is covered here: the bind was asked for with port 0, or it would have
    /// been refused, so it is the system that chose the port.
    pub(super) fn covers_bound(&self, address: SocketAddr) -> bool {
        self.covers_ip(address.ip())
            && (self.ports.contains(address.port()) || self.ports.contains(0))
    }

    fn covers_ip(&self, asked: IpAddr) -> bool {
        let wildcard =
            |own: IpAddr| own.is_unspecified() && own.is_ipv4() == asked.to_canonical().is_ipv4();
        self.addresses.contains(asked) || self.addresses.single().is_some_and(wildcard)
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Destination { hosts, ports } = self;
        write!(f, "{hosts}:{ports}")
    }
}

impl fmt::Display for Hosts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Hosts::One(host) => host.fmt(f),
            Hosts::Subdomains(parent) => write!(f, "*.{parent}"),
            Hosts::Range(range) => range.fmt(f),
        }
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            IpNet::V4(range) => write!(f, "{range}"),
            IpNet::V6(range) => write!(f, "[{range}]"),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.addresses.single() {
            Some(address) => write!(f, "{}", Host::Address(address))?,
            None => write!(f, "{}", self.addresses)?,
        }
        write!(f, ":{}", self.ports)
    }
}

impl FromStr for Destination {
    type Err = RuleError;

    /// Read `HOST[:PORTS]`. HOST is a name, `*.NAME` (every name below it), an IPv4 address, an IPv6
    /// address in brackets, or a range in CIDR notation (`10.0.0.0/8`, `[fd00::/8]`), whose bits behind
    /// the prefix are zero. PORTS is one port, a range, both ends included (`8000-8100`), a list of
    /// these (`80,443`), or `*`; without it, every port.
    ///
    /// # Errors
    /// [`RuleError`], with the right form in its message where one can be told.
    fn from_str(text: &str) -> Result<Destination, RuleError> {
        let (hosts, ports) = split(text)?;
        Ok(Destination {
            hosts: hosts.parse()?,
            ports: ports.map_or(Ok(Ports::ANY), str::parse)?,
        })
    }
}

impl FromStr for Endpoint {
    type Err = RuleError;

    /// Read `ADDRESS[:PORTS]`. ADDRESS is an IPv4 address, an IPv6 address in brackets, or a range in CIDR
    /// notation. PORTS is as a [`Destination`]'s, and may be 0.
    ///
    /// # Errors
    /// [`RuleError`], with the right form in its message where one can be told.
    fn from_str(text: &str) -> Result<Endpoint, RuleError> {
        let (hosts, ports) = split(text)?;
        let addresses = match hosts.parse()? {
            Hosts::One(Host::Address(address)) => Range::one(address),
            Hosts::Range(range) => range,
            Hosts::One(Host::Name(_)) | Hosts::Subdomains(_) => {
                return Err(RuleError::NotAnAddress {
                    text: hosts.to_owned(),
                });
            }
        };
        Ok(Endpoint {
            addresses,
            ports: ports.map_or(Ok(Ports::ANY), Ports::with_zero)?,
        })
    }
}

/// The host's part of a text, and the ports' where there is one.
fn split(text: &str) -> Result<(&str, Option<&str>), RuleError> {
    if text.contains("://") {
        return Err(RuleError::NotAUrl {
            instead: of_url(text).unwrap_or_else(|| "example.com:80".to_owned()),
        });
    }
    // The colons of an IPv6 address are in brackets: `[::1]`, `[fd00::/8]` and `[fd00::]/8`.
    let behind_host = text.rfind(']').unwrap_or(0);
    match text[behind_host..].split_once(':') {
        None => Ok((text, None)),
        Some((rest, ports)) => {
            let (host, _) = text.split_at(behind_host + rest.len());
            if behind_host == 0 && ports.contains(':') {
                return Err(bare_ipv6(text));
            }
            Ok((host, Some(ports)))
        }
    }
}

/// What to write in place of a URL.
fn of_url(text: &str) -> Option<String> {
    let url = url::Url::parse(text).ok()?;
    let host: Host = url.host_str()?.parse().ok()?;
    let port = url.port_or_known_default()?;
    Some(Destination::one(host, port).to_string())
}

/// What has several colons and no bracket.
fn bare_ipv6(text: &str) -> RuleError {
    match text.parse::<Ipv6Addr>().is_ok() || text.parse::<IpNet>().is_ok() {
        true => RuleError::NoBrackets {
            instead: format!("[{text}]"),
        },
        false => RuleError::Host {
            text: text.to_owned(),
        },
    }
}

impl FromStr for Hosts {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Hosts, RuleError> {
        if text.contains('/') {
            return text.parse().map(Hosts::Range);
        }
        // Half of `example.com:80,443`, which was split at its comma. (Such numbers are addresses too, of
        // the block `0.0.0.0/16`, where nobody is.)
        if Ports::is_one_or_a_range(text) {
            return Err(RuleError::BarePorts {
                text: text.to_owned(),
            });
        }
        let wildcard = || RuleError::Wildcard {
            text: text.to_owned(),
        };
        match text.strip_prefix("*.") {
            Some(parent) if !parent.contains('*') => match parent.parse() {
                Ok(Host::Name(parent)) => Ok(Hosts::Subdomains(parent)),
                Ok(Host::Address(_)) => Err(wildcard()),
                Err(error) => Err(error.below()),
            },
            _ if text.contains('*') => Err(wildcard()),
            _ => text.parse().map(Hosts::One),
        }
    }
}

impl FromStr for Range {
    type Err = RuleError;

    /// Read a range in CIDR notation, `10.0.0.0/8` or `[fd00::/8]`, whose bits behind the prefix are
    /// zero; or one address.
    ///
    /// # Errors
    /// [`RuleError::Range`], [`RuleError::HostBits`], [`RuleError::MappedRange`].
    fn from_str(text: &str) -> Result<Range, RuleError> {
        let range = parse_range(text).ok_or_else(|| RuleError::Range {
            text: text.to_owned(),
        })?;
        if range.addr() != range.network() {
            return Err(RuleError::HostBits {
                text: text.to_owned(),
                instead: Range(range.trunc()).to_string(),
            });
        }
        match of_mapped(range) {
            None => Ok(Range(range)),
            // One address is one address, however it is written.
            Some(inner) if inner.prefix_len() == inner.max_prefix_len() => Ok(Range(inner)),
            Some(inner) => Err(RuleError::MappedRange {
                text: text.to_owned(),
                instead: inner.to_string(),
            }),
        }
    }
}

/// `10.0.0.0/8`, `[fd00::/8]`, `[fd00::]/8` or, since there is no port to be told from it, `fd00::/8`.
fn parse_range(text: &str) -> Option<IpNet> {
    let bare = match text.strip_prefix('[') {
        None => text.to_owned(),
        Some(rest) => {
            let (inside, behind) = rest.split_once(']')?;
            let v6 = format!("{inside}{behind}");
            if !v6.contains(':') {
                return None;
            }
            v6
        }
    };
    match bare.contains('/') {
        true => bare.parse().ok(),
        false => bare.parse::<IpAddr>().ok().map(IpNet::from),
    }
}

/// The IPv4 addresses in a range of IPv4-mapped ones; none for any other range.
fn of_mapped(range: IpNet) -> Option<IpNet> {
    const MAPPED: u8 = 96;
    let IpNet::V6(mapped) = range else {
        return None;
    };
    let inner = mapped.addr().to_ipv4_mapped()?;
    let prefix = mapped.prefix_len().checked_sub(MAPPED)?;
    IpNet::new(inner.into(), prefix).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_read() {
        for (text, expected) in [
            ("example.com", "example.com:*"),
            ("EXAMPLE.com.:80", "example.com:80"),
            ("bücher.example:80", "xn--bcher-kva.example:80"),
            ("localhost:8000-8100", "localhost:8000-8100"),
            ("example.com:80-80", "example.com:80"),
            ("example.com:1-65535", "example.com:1-65535"),
            ("example.com:*", "example.com:*"),
            ("example.com:80,443", "example.com:80,443"),
            (
                "example.com:443,8000-8100,80",
                "example.com:443,8000-8100,80",
            ),
            ("*.example.com", "*.example.com:*"),
            ("*.EXAMPLE.com.:443", "*.example.com:443"),
            ("*.bücher.example", "*.xn--bcher-kva.example:*"),
            ("192.0.2.1", "192.0.2.1:*"),
            ("192.0.2.1:443", "192.0.2.1:443"),
            ("2130706433:80", "127.0.0.1:80"),
            ("0x7f.1", "127.0.0.1:*"),
            ("[::1]", "[::1]:*"),
            ("[::1]:443", "[::1]:443"),
            ("[::ffff:10.0.0.1]:80", "10.0.0.1:80"),
            ("10.0.0.0/8", "10.0.0.0/8:*"),
            ("10.0.0.0/8:80", "10.0.0.0/8:80"),
            ("10.0.0.1/32", "10.0.0.1/32:*"),
            ("0.0.0.0/0", "0.0.0.0/0:*"),
            ("[fd00::/8]", "[fd00::/8]:*"),
            ("[fd00::]/8", "[fd00::/8]:*"),
            ("[fd00::/8]:1-2", "[fd00::/8]:1-2"),
            ("[fd00::]/8:1-2", "[fd00::/8]:1-2"),
            ("[::/0]", "[::/0]:*"),
            ("[::ffff:10.0.0.1/128]:80", "10.0.0.1/32:80"),
        ] {
            let found = text.parse::<Destination>().map(|it| it.to_string());
            assert_eq!(found.as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_destination_is_refused_with_the_right_form() {
        let host = |text: &str| format!("`{text}` is neither a host's name nor an address");
        let ports = |text: &str| {
            format!(
                "`{text}` is neither a port from 1 to 65535 nor a range of them: they are written \
                 `443`, `8000-8100` and `80,443`"
            )
        };
        let bare = |text: &str| {
            format!(
                "`{text}` is a port where a host is wanted, as in `example.com:{text}`; for several \
                 ports of one host name it with each: `example.com:80,example.com:443`"
            )
        };
        let range = |text: &str| {
            format!(
                "`{text}` is not a range of addresses: they are written `10.0.0.0/8` and \
                 `[fd00::/8]`"
            )
        };
        let pattern = |text: &str| {
            format!(
                "`{text}` is a pattern of a kind that isn't known: there are `*.example.com`, every \
                 name below that one, and ranges of addresses"
            )
        };
        let bits = |text: &str, instead: &str| {
            format!("`{text}` has bits set behind its prefix: the range is `{instead}`")
        };
        let mapped = |text: &str, instead: &str| {
            format!(
                "`{text}` is a range of IPv4-mapped addresses, which are judged as IPv4 addresses: \
                 write `{instead}` if all of these are meant"
            )
        };
        let dots = |text: &str, instead: &str| {
            format!(
                "`{text}` has nothing between two of its dots, or before the first: write `{instead}`"
            )
        };
        let url = |instead: &str| format!("a URL is not a host: write `{instead}`");
        let brackets =
            |instead: &str| format!("an IPv6 address is written in brackets: `{instead}`");
        for (text, expected) in [
            ("", host("")),
            (":80", host("")),
            (" example.com", host(" example.com")),
            ("exa mple.com", host("exa mple.com")),
            ("user@example.com", host("user@example.com")),
            ("256.0.0.1", host("256.0.0.1")),
            ("[::1", host("[::1")),
            ("[::1]x:80", host("[::1]x")),
            ("[]:80", host("[]")),
            ("a:b:c", host("a:b:c")),
            ("example.com:80:90", host("example.com:80:90")),
            ("example.com:", ports("")),
            ("example.com:0", ports("0")),
            ("example.com:65536", ports("65536")),
            ("example.com:+80", ports("+80")),
            ("example.com: 80", ports(" 80")),
            ("example.com:http", ports("http")),
            ("example.com:80,", ports("")),
            ("example.com:,80", ports("")),
            ("example.com:80,x", ports("x")),
            ("443", bare("443")),
            ("8000-8100", bare("8000-8100")),
            ("443:443", bare("443")),
            ("example.com:80-", ports("80-")),
            ("example.com:-80", ports("-80")),
            ("example.com:1-2-3", ports("1-2-3")),
            (
                "example.com:8100-8000",
                "the ports `8100-8000` are upside down: the range is `8000-8100`".to_owned(),
            ),
            ("*", pattern("*")),
            ("*:80", pattern("*")),
            ("*.", host("")),
            ("a.*.example", pattern("a.*.example")),
            ("*.*.example", pattern("*.*.example")),
            ("*example.com", pattern("*example.com")),
            ("*.127.0.0.1", pattern("*.127.0.0.1")),
            ("::1", brackets("[::1]")),
            ("fe80::1:80", brackets("[fe80::1:80]")),
            ("fd00::/8", brackets("[fd00::/8]")),
            ("10.0.0.1/8", bits("10.0.0.1/8", "10.0.0.0/8")),
            ("10.0.0.1/8:80", bits("10.0.0.1/8", "10.0.0.0/8")),
            ("[fd00::1/8]", bits("[fd00::1/8]", "[fd00::/8]")),
            ("[fd00::1]/8:80", bits("[fd00::1]/8", "[fd00::/8]")),
            ("[::ffff:0:0/96]", mapped("[::ffff:0:0/96]", "0.0.0.0/0")),
            ("[::ffff:0:0]/96:80", mapped("[::ffff:0:0]/96", "0.0.0.0/0")),
            (
                "[::ffff:10.0.0.0/104]:80",
                mapped("[::ffff:10.0.0.0/104]", "10.0.0.0/8"),
            ),
            (
                "[::ffff:10.0.0.0/127]",
                mapped("[::ffff:10.0.0.0/127]", "10.0.0.0/31"),
            ),
            ("deno.land..", dots("deno.land..", "deno.land")),
            ("deno.land..:443", dots("deno.land..", "deno.land")),
            ("1.1.1.1..", dots("1.1.1.1..", "1.1.1.1")),
            ("1.1.1.1..:53", dots("1.1.1.1..", "1.1.1.1")),
            ("..example.com", dots("..example.com", "example.com")),
            ("a..b", dots("a..b", "a.b")),
            ("*.deno.land..", dots("*.deno.land..", "*.deno.land")),
            ("*..deno.land:80", dots("*..deno.land", "*.deno.land")),
            ("*.1.1.1.1..", pattern("*.1.1.1.1..")),
            ("..", host("..")),
            ("10.0.0.0/33", range("10.0.0.0/33")),
            ("10.0.0.0/-1", range("10.0.0.0/-1")),
            ("10.0.0.0/", range("10.0.0.0/")),
            ("10.0.0/8", range("10.0.0/8")),
            ("0x0a.0.0.0/8", range("0x0a.0.0.0/8")),
            ("[10.0.0.0/8]", range("[10.0.0.0/8]")),
            ("[fd00::/129]", range("[fd00::/129]")),
            ("[fd00::/8", host("[fd00::/8")),
            ("example.com/8", range("example.com/8")),
            ("example.com/path", range("example.com/path")),
            ("http://example.com/", url("example.com:80")),
            ("https://me:secret@[::1]/a?b", url("[::1]:443")),
            ("http://127.1:8080", url("127.0.0.1:8080")),
            ("gopher://example.com/", url("example.com:80")),
            ("http://", url("example.com:80")),
        ] {
            let found = text
                .parse::<Destination>()
                .map_err(|error| error.to_string());
            assert_eq!(found, Err(expected), "{text:?}");
        }
    }

    #[test]
    fn a_range_covers_its_addresses_and_no_others() {
        for (range, address, expected) in [
            ("10.0.0.0/8", "9.255.255.255:80", false),
            ("10.0.0.0/8", "10.0.0.0:80", true),
            ("10.0.0.0/8", "10.255.255.255:80", true),
            ("10.0.0.0/8", "11.0.0.0:80", false),
            ("10.0.0.0/8", "[::ffff:10.1.2.3]:80", true),
            ("10.0.0.0/8", "[64:ff9b::a01:203]:80", false),
            ("10.0.0.0/8:443", "10.0.0.1:80", false),
            ("10.0.0.0/8:443", "10.0.0.1:443", true),
            ("[::ffff:10.1.2.3/128]", "10.1.2.3:80", true),
            ("[::/80]", "192.0.2.1:80", false),
            ("[::/80]", "[::ffff:192.0.2.1]:80", false),
            ("0.0.0.0/0", "192.0.2.1:80", true),
            ("0.0.0.0/0", "[::ffff:192.0.2.1]:80", true),
            ("0.0.0.0/0", "[2001:db8::1]:80", false),
            ("[::/0]", "[2001:db8::1]:80", true),
            ("[::/0]", "192.0.2.1:80", false),
            ("[::/0]", "[::ffff:192.0.2.1]:80", false),
            ("[fd00::/8]", "[fd00::1]:80", true),
            ("[fd00::/8]", "[fe00::1]:80", false),
        ] {
            let range: Destination = range.parse().unwrap();
            let covered = range.covers_address(address.parse().unwrap());
            assert_eq!(covered, expected, "{address} in {range}");
        }
    }

    #[test]
    fn a_pattern_covers_what_is_below_it() {
        for (pattern, name, expected) in [
            ("*.example.com", "www.example.com", true),
            ("*.example.com", "a.b.example.com", true),
            ("*.example.com", "example.com", false),
            ("*.example.com", "notexample.com", false),
            ("*.example.com", "example.com.evil.example", false),
            ("*.com", "example.com", true),
            ("*.com", "com", false),
            ("example.com", "example.com", true),
            ("example.com", "www.example.com", false),
            ("10.0.0.0/8", "example.com", false),
        ] {
            let destination: Destination = pattern.parse().unwrap();
            let covered = destination.covers_name(&name.parse().unwrap());
            assert_eq!(covered, expected, "{name} in {pattern}");
        }
    }

    #[test]
    fn endpoints_are_addresses_of_this_machine() {
        for (text, expected) in [
            ("127.0.0.1:9999", Ok("127.0.0.1:9999")),
            ("127.0.0.1", Ok("127.0.0.1:*")),
            ("[::1]:0", Ok("[::1]:0")),
            ("0.0.0.0:0,80", Ok("0.0.0.0:0,80")),
            ("[::ffff:127.0.0.1]:1", Ok("127.0.0.1:1")),
            ("127.0.0.0/8:80", Ok("127.0.0.0/8:80")),
            (
                "localhost:80",
                Err("`localhost` is not an address: write `127.0.0.1:8080` or `[::1]:8080`"),
            ),
            (
                "8080",
                Err(
                    "`8080` is a port where a host is wanted, as in `example.com:8080`; for several \
                     ports of one host name it with each: `example.com:80,example.com:443`",
                ),
            ),
            (
                "*.example:80",
                Err("`*.example` is not an address: write `127.0.0.1:8080` or `[::1]:8080`"),
            ),
        ] {
            let found = text.parse::<Endpoint>();
            let found = found.map(|it| it.to_string()).map_err(|it| it.to_string());
            let expected = expected.map(str::to_owned).map_err(str::to_owned);
            assert_eq!(found, expected, "{text:?}");
        }
    }

    #[test]
    fn single_addresses_and_bare_ipv6_are_ranges_too() {
        for (text, expected) in [
            ("10.0.0.1", Some("10.0.0.1/32")),
            ("[::1]", Some("[::1/128]")),
            ("::1", Some("[::1/128]")),
            ("fd00::/8", Some("[fd00::/8]")),
            ("::ffff:10.0.0.1", Some("10.0.0.1/32")),
            ("localhost", None),
            ("", None),
            ("[10.0.0.1]", None),
            ("10.0.0.1:80", None),
            ("::ffff:0:0/96", None),
            ("[::ffff:10.0.0.0/104]", None),
        ] {
            let found = text.parse::<Range>().ok().map(|it| it.to_string());
            assert_eq!(found.as_deref(), expected, "{text:?}");
        }
    }
}

//! Where a run may connect to, as people write it: `HOST[:PORTS]`.

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
/// for text in ["example.com:443", "[::1]:8000-8100", "10.0.0.0/8", "[fd00::/8]:80"] {
///     let destination: Destination = text.parse()?;
///     assert!(destination.to_string().starts_with(text));
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

/// One host, or a range of addresses.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Hosts {
    /// This host.
    One(Host),
    /// Every address of this range.
    Range(Range),
}

/// A range of addresses: a prefix, in CIDR notation.
///
/// A range of IPv4-mapped addresses is kept as the range of the IPv4 addresses in them, and no other
/// range of IPv6 covers an IPv4 address, mapped or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Range(IpNet);

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
        let covered = match &self.hosts {
            Hosts::One(host) => host.is_address(address.ip()),
            Hosts::Range(range) => range.contains(address.ip()),
        };
        covered && self.ports.contains(address.port())
    }

    /// Whether it covers `name`, at some port.
    pub(super) fn covers_name(&self, name: &Name) -> bool {
        matches!(&self.hosts, Hosts::One(Host::Name(own)) if own == name)
    }
}

impl Range {
    /// Whether `address` is in it.
    pub fn contains(self, address: IpAddr) -> bool {
        self.0.contains(&address.to_canonical())
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

impl FromStr for Destination {
    type Err = RuleError;

    /// Read `HOST[:PORTS]`. HOST is a name, an IPv4 address, an IPv6 address in brackets, or a range
    /// in CIDR notation (`10.0.0.0/8`, `[fd00::/8]`), whose bits behind the prefix are zero. PORTS is
    /// one port or a range, both ends included (`8000-8100`); without it, every port.
    ///
    /// # Errors
    /// [`RuleError`], with the right form in its message where one can be told.
    fn from_str(text: &str) -> Result<Destination, RuleError> {
        if text.contains("://") {
            return Err(RuleError::NotAUrl {
                instead: Self::of_url(text).unwrap_or_else(|| "example.com:80".to_owned()),
            });
        }
        let (hosts, ports) = split(text)?;
        Ok(Destination {
            hosts: hosts.parse()?,
            ports: ports.map_or(Ok(Ports::ANY), str::parse)?,
        })
    }
}

impl Destination {
    /// What to write in place of a URL.
    fn of_url(text: &str) -> Option<String> {
        let url = url::Url::parse(text).ok()?;
        let host: Host = url.host_str()?.parse().ok()?;
        let port = url.port_or_known_default()?;
        Some(Destination::one(host, port).to_string())
    }
}

/// The host's part of a text, and the ports' where there is one.
fn split(text: &str) -> Result<(&str, Option<&str>), RuleError> {
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
        if text.contains('*') {
            return Err(RuleError::Wildcard {
                text: text.to_owned(),
            });
        }
        text.parse().map(Hosts::One)
    }
}

impl FromStr for Range {
    type Err = RuleError;

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
        Ok(Range(canonical(range)))
    }
}

/// `10.0.0.0/8`, `[fd00::/8]` or `[fd00::]/8`.
fn parse_range(text: &str) -> Option<IpNet> {
    match text.strip_prefix('[') {
        None => text.parse().map(IpNet::V4).ok(),
        Some(rest) => {
            let (inside, behind) = rest.split_once(']')?;
            format!("{inside}{behind}").parse().map(IpNet::V6).ok()
        }
    }
}

/// A range of IPv4-mapped addresses as the range that it stands for.
fn canonical(range: IpNet) -> IpNet {
    const MAPPED: u8 = 96;
    let IpNet::V6(mapped) = range else {
        return range;
    };
    let inner = mapped.addr().to_ipv4_mapped();
    let prefix = mapped.prefix_len().checked_sub(MAPPED);
    match inner.zip(prefix) {
        Some((inner, prefix)) => IpNet::new(inner.into(), prefix).unwrap_or(range),
        None => range,
    }
}

impl FromStr for Ports {
    type Err = RuleError;

    /// Read `443`, or `8000-8100`.
    ///
    /// # Errors
    /// [`RuleError::Ports`], [`RuleError::UpsideDown`].
    fn from_str(text: &str) -> Result<Ports, RuleError> {
        let error = || RuleError::Ports {
            text: text.to_owned(),
        };
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let first = parse_port(first).ok_or_else(error)?;
        let last = parse_port(last).ok_or_else(error)?;
        Ports::range(first, last).ok_or_else(|| RuleError::UpsideDown {
            text: text.to_owned(),
            instead: format!("{last}-{first}"),
        })
    }
}

/// A port that can be connected to: digits, and not 0.
fn parse_port(text: &str) -> Option<u16> {
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok().filter(|port| *port != 0)
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
            ("[::ffff:10.0.0.0/104]:80", "10.0.0.0/8:80"),
            ("[::ffff:0:0/96]", "0.0.0.0/0:*"),
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
                 `443` and `8000-8100`"
            )
        };
        let range = |text: &str| {
            format!(
                "`{text}` is not a range of addresses: they are written `10.0.0.0/8` and \
                 `[fd00::/8]`"
            )
        };
        let pattern = |text: &str| {
            format!("`{text}` is a pattern: a rule names one host, or a range of addresses")
        };
        let bits = |text: &str, instead: &str| {
            format!("`{text}` has bits set behind its prefix: the range is `{instead}`")
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
            ("example.com:*", ports("*")),
            ("example.com:80,443", ports("80,443")),
            ("example.com:80-", ports("80-")),
            ("example.com:-80", ports("-80")),
            ("example.com:1-2-3", ports("1-2-3")),
            (
                "example.com:8100-8000",
                "the ports `8100-8000` are upside down: the range is `8000-8100`".to_owned(),
            ),
            ("*", pattern("*")),
            ("*.example.com", pattern("*.example.com")),
            ("*:80", pattern("*")),
            ("::1", brackets("[::1]")),
            ("fe80::1:80", brackets("[fe80::1:80]")),
            ("fd00::/8", brackets("[fd00::/8]")),
            ("10.0.0.1/8", bits("10.0.0.1/8", "10.0.0.0/8")),
            ("10.0.0.1/8:80", bits("10.0.0.1/8", "10.0.0.0/8")),
            ("[fd00::1/8]", bits("[fd00::1/8]", "[fd00::/8]")),
            ("[fd00::1]/8:80", bits("[fd00::1]/8", "[fd00::/8]")),
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
            ("[::ffff:10.0.0.0/104]", "10.1.2.3:80", true),
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
}

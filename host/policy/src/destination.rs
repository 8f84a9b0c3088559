//! Where a run may connect to, and where it may listen, as people write it: `HOST[:PORTS]`.

use crate::{Host, Name, Ports, RuleError};
use ipnet::IpNet;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

/// Hosts, and ports there.
///
/// # Examples
/// ```
/// use sockbox_policy::Destination;
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
/// # Ok::<(), sockbox_policy::RuleError>(())
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
/// A wildcard address (`0.0.0.0`, `[::]`) covers each address of its family, because a socket that
/// listens on it listens on all of them. Port 0 covers a port that the system chooses, and no port that
/// the component chooses.
///
/// # Examples
/// ```
/// use sockbox_policy::Endpoint;
///
/// for text in ["127.0.0.1:8080", "[::1]:0", "0.0.0.0:8000-8100", "127.0.0.0/8:*"] {
///     assert_eq!(text.parse::<Endpoint>()?.to_string(), text);
/// }
/// # Ok::<(), sockbox_policy::RuleError>(())
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
    pub(crate) fn covers_address(&self, address: SocketAddr) -> bool {
        self.hosts.cover_address(address.ip()) && self.ports.contains(address.port())
    }

    /// Whether it covers `name`, at some port.
    pub(crate) fn covers_name(&self, name: &Name) -> bool {
        match &self.hosts {
            Hosts::One(Host::Name(own)) => own == name,
            Hosts::Subdomains(parent) => name.is_below(parent),
            Hosts::One(Host::Address(_)) | Hosts::Range(_) => false,
        }
    }

    /// Whether it has names, and not addresses.
    pub(crate) fn is_of_names(&self) -> bool {
        matches!(self.hosts, Hosts::One(Host::Name(_)) | Hosts::Subdomains(_))
    }
}

impl Hosts {
    /// Whether `address` is one of them, by its number.
    pub(crate) fn cover_address(&self, address: IpAddr) -> bool {
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

    /// The range of `network`. Bits after its prefix are ignored.
    pub fn of(network: IpNet) -> Range {
        let network = network.trunc();
        Range(of_mapped(network).unwrap_or(network))
    }

    /// It, as one of addresses.
    pub(crate) fn net(self) -> IpNet {
        self.0
    }

    /// Whether `address` is in it.
    pub fn contains(self, address: IpAddr) -> bool {
        self.0.contains(&address.to_canonical())
    }

    /// The address, if it is just one.
    pub(crate) fn single(self) -> Option<IpAddr> {
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
    pub(crate) fn covers_bind(&self, address: SocketAddr) -> bool {
        self.covers_ip(address.ip()) && self.ports.contains(address.port())
    }

    /// Whether using `address`, to which a socket is bound already, is covered.
    ///
    /// With port 0 any port is covered here. The component bound with port 0 (another port would
    /// have been denied), so the system chose the port.
    pub(crate) fn covers_bound(&self, address: SocketAddr) -> bool {
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
        // The second half of `example.com:80,443`, which was split at its comma. (Such a number is also
        // an address of the block `0.0.0.0/16`, which no host uses.)
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
mod tests;

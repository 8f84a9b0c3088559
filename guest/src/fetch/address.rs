//! The caller's choice of addresses: a family, or static host addresses.

use super::origin::Origin;
use crate::url::Host;
use std::fmt;
use std::net::IpAddr;

/// The host name that stands for every host.
const ANY_HOST: &str = "*";

/// A family of IP addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    Ipv4,
    Ipv6,
}

impl Family {
    /// Whether an address is of this family.
    pub fn has(self, ip: IpAddr) -> bool {
        ip.is_ipv4() == (self == Self::Ipv4)
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ipv4 => "IPv4",
            Self::Ipv6 => "IPv6",
        })
    }
}

/// The addresses of a host, given by the caller. They are used instead of resolving the name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StaticHost {
    /// The host as a URL names it, in any case. `*` is every host that has no entry of its own.
    pub host: String,
    /// The port that the addresses are for.
    pub port: u16,
    pub addresses: Vec<IpAddr>,
}

impl StaticHost {
    /// The addresses that `static_hosts` has for `origin`, if one of its entries matches. The last
    /// matching entry counts.
    pub fn addresses<'a>(static_hosts: &'a [Self], origin: &Origin) -> Option<&'a [IpAddr]> {
        let mut here = static_hosts
            .iter()
            .filter(|entry| entry.port == origin.port);
        let own = here
            .clone()
            .rfind(|entry| Host::parse(&entry.host).is_ok_and(|host| host == origin.host));
        let entry = own.or_else(|| here.rfind(|entry| entry.host == ANY_HOST))?;
        Some(&entry.addresses)
    }
}

//! Blocks of addresses that are not public.

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A block of addresses that no public server has: of a machine itself, of private networks, for
/// documentation, or unassigned.
///
/// These are the blocks of IANA's special-purpose address registries of both families (RFC 6890 and
/// RFC 8190, as of October 2025), globally reachable or not; multicast; all of IPv6 outside of
/// `2000::/3`; and the metadata addresses of clouds, from which a machine gets its secrets.
/// `64:ff9b::/96`, through which networks with only IPv6 reach the IPv4 internet, is special if the
/// IPv4 address in it is.
///
/// A network may have a translation prefix of its own among the public addresses (RFC 6052 section
/// 2.2). It looks like any other public block, so it is the translator that has to refuse the private
/// IPv4 addresses behind it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SpecialPurpose {
    block: IpNet,
    purpose: &'static str,
}

impl SpecialPurpose {
    /// The smallest such block that `address` is in. None: it is a public address.
    ///
    /// An IPv4-mapped address is judged as the IPv4 address in it.
    ///
    /// # Examples
    /// ```
    /// use sockbox_policy::SpecialPurpose;
    ///
    /// let found = SpecialPurpose::of("169.254.169.254".parse()?).map(|it| it.to_string());
    /// assert_eq!(found.as_deref(), Some("link-local, cloud metadata (169.254.169.254/32)"));
    /// assert_eq!(SpecialPurpose::of("2606:4700::1111".parse()?), None);
    /// # Ok::<(), std::net::AddrParseError>(())
    /// ```
    pub fn of(address: IpAddr) -> Option<SpecialPurpose> {
        match address.to_canonical() {
            IpAddr::V4(address) => of_ipv4(address),
            IpAddr::V6(address) => of_ipv6(address),
        }
    }

    /// A block that is special to this machine alone.
    pub(crate) fn local(block: IpNet, purpose: &'static str) -> SpecialPurpose {
        SpecialPurpose { block, purpose }
    }

    /// What it is for, in a few words: `loopback`, `private-use`.
    pub fn purpose(&self) -> &'static str {
        self.purpose
    }
}

impl fmt::Display for SpecialPurpose {
    /// `private-use (10.0.0.0/8)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.purpose, self.block)
    }
}

impl fmt::Debug for SpecialPurpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SpecialPurpose({self})")
    }
}

fn of_ipv4(address: Ipv4Addr) -> Option<SpecialPurpose> {
    let (block, purpose) = IPV4.iter().find(|(block, _)| block.contains(&address))?;
    Some(SpecialPurpose {
        block: IpNet::V4(*block),
        purpose,
    })
}

fn of_ipv6(address: Ipv6Addr) -> Option<SpecialPurpose> {
    if NAT64.contains(&address) {
        let [.., a, b, c, d] = address.octets();
        return of_ipv4(Ipv4Addr::new(a, b, c, d));
    }
    let (block, purpose) = IPV6.iter().find(|(block, _)| block.contains(&address))?;
    Some(SpecialPurpose {
        block: IpNet::V6(*block),
        purpose,
    })
}

/// RFC 6052 section 2.1: the prefix that every translator may use.
const NAT64: Ipv6Net = v6([0x64, 0xff9b, 0, 0], 96);

/// Smaller blocks come before those that they are in.
const IPV4: &[(Ipv4Net, &str)] = &[
    // RFC 791 section 3.2.
    (v4([0, 0, 0, 0], 32), "unspecified"),
    (v4([0, 0, 0, 0], 8), "this network"),
    // RFC 1918.
    (v4([10, 0, 0, 0], 8), "private-use"),
    // Alibaba Cloud's.
    (
        v4([100, 100, 100, 200], 32),
        "shared address space, cloud metadata",
    ),
    // RFC 6598: carrier-grade NAT.
    (v4([100, 64, 0, 0], 10), "shared address space"),
    // RFC 1122 section 3.2.1.3.
    (v4([127, 0, 0, 0], 8), "loopback"),
    // Azure's, among the public addresses and routed nowhere else.
    (v4([168, 63, 129, 16], 32), "cloud metadata"),
    // That of nearly every other cloud.
    (v4([169, 254, 169, 254], 32), "link-local, cloud metadata"),
    // RFC 3927.
    (v4([169, 254, 0, 0], 16), "link-local"),
    (v4([172, 16, 0, 0], 12), "private-use"),
    // RFC 7335.
    (v4([192, 0, 0, 0], 29), "IPv4 service continuity"),
    // RFC 7600.
    (v4([192, 0, 0, 8], 32), "IPv4 dummy address"),
    // RFC 7723 and RFC 8155: the nearest server of the local network.
    (v4([192, 0, 0, 9], 32), "port control protocol anycast"),
    (v4([192, 0, 0, 10], 32), "TURN anycast"),
    // RFC 8880.
    (v4([192, 0, 0, 170], 31), "NAT64 discovery"),
    // Oracle Cloud's.
    (
        v4([192, 0, 0, 192], 32),
        "protocol assignments, cloud metadata",
    ),
    // RFC 6890 section 2.1.
    (v4([192, 0, 0, 0], 24), "protocol assignments"),
    // RFC 5737.
    (v4([192, 0, 2, 0], 24), "documentation"),
    // RFC 7535.
    (v4([192, 31, 196, 0], 24), "AS112"),
    // RFC 7450.
    (v4([192, 52, 193, 0], 24), "multicast tunnelling"),
    // RFC 6751, and RFC 7526 which ended the use of the block around it.
    (v4([192, 88, 99, 2], 32), "6a44 relay anycast"),
    (v4([192, 88, 99, 0], 24), "6to4 relay anycast"),
    (v4([192, 168, 0, 0], 16), "private-use"),
    // RFC 7534.
    (v4([192, 175, 48, 0], 24), "AS112"),
    // RFC 2544.
    (v4([198, 18, 0, 0], 15), "benchmarking"),
    (v4([198, 51, 100, 0], 24), "documentation"),
    (v4([203, 0, 113, 0], 24), "documentation"),
    // RFC 1112 section 4.
    (v4([224, 0, 0, 0], 4), "multicast"),
    // RFC 919 section 7, and RFC 1112 section 4.
    (v4([255, 255, 255, 255], 32), "limited broadcast"),
    (v4([240, 0, 0, 0], 4), "reserved"),
];

/// Smaller blocks come before those that they are in.
const IPV6: &[(Ipv6Net, &str)] = &[
    // RFC 4291 section 2.5.
    (v6_one([0, 0, 0, 0, 0, 0, 0, 0]), "unspecified"),
    (v6_one([0, 0, 0, 0, 0, 0, 0, 1]), "loopback"),
    // RFC 4291 section 2.5.5.1, which deprecates it: no host is reached by it.
    (v6([0, 0, 0, 0], 96), "IPv4-compatible"),
    // RFC 8215: within one network, which knows how much of it is an IPv4 address.
    (v6([0x64, 0xff9b, 1, 0], 48), "local NAT64"),
    // RFC 6666 and RFC 9780.
    (v6([0x100, 0, 0, 0], 64), "discard-only"),
    (v6([0x100, 0, 0, 1], 64), "dummy prefix"),
    // RFC 4380: a tunnel to the IPv4 address in it.
    (v6([0x2001, 0, 0, 0], 32), "Teredo"),
    // RFC 7723, RFC 8155 and RFC 9665: the nearest server of a network's own.
    (
        v6_one([0x2001, 1, 0, 0, 0, 0, 0, 1]),
        "port control protocol anycast",
    ),
    (v6_one([0x2001, 1, 0, 0, 0, 0, 0, 2]), "TURN anycast"),
    (
        v6_one([0x2001, 1, 0, 0, 0, 0, 0, 3]),
        "DNS-SD registration anycast",
    ),
    // RFC 5180.
    (v6([0x2001, 2, 0, 0], 48), "benchmarking"),
    // RFC 7450.
    (v6([0x2001, 3, 0, 0], 32), "multicast tunnelling"),
    // RFC 7535.
    (v6([0x2001, 4, 0x112, 0], 48), "AS112"),
    // RFC 4843, RFC 7343 and RFC 9374: identifiers that no packet is routed by.
    (v6([0x2001, 0x10, 0, 0], 28), "ORCHID"),
    (v6([0x2001, 0x20, 0, 0], 28), "ORCHIDv2"),
    (v6([0x2001, 0x30, 0, 0], 28), "drone identifiers"),
    // RFC 2928.
    (v6([0x2001, 0, 0, 0], 23), "protocol assignments"),
    // RFC 3849 and RFC 9637.
    (v6([0x2001, 0xdb8, 0, 0], 32), "documentation"),
    (v6([0x3fff, 0, 0, 0], 20), "documentation"),
    // RFC 3056: a tunnel to the IPv4 address in it.
    (v6([0x2002, 0, 0, 0], 16), "6to4"),
    // RFC 7534.
    (v6([0x2620, 0x4f, 0x8000, 0], 48), "AS112"),
    // RFC 9602.
    (v6([0x5f00, 0, 0, 0], 16), "segment routing"),
    // Those of Amazon's and of Google's clouds.
    (
        v6_one([0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254]),
        "unique-local, cloud metadata",
    ),
    (
        v6_one([0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254]),
        "unique-local, cloud metadata",
    ),
    // RFC 4193.
    (v6([0xfc00, 0, 0, 0], 7), "unique-local"),
    // RFC 4291 section 2.5.6, and RFC 3879 which ended the use of the second.
    (v6([0xfe80, 0, 0, 0], 10), "link-local"),
    (v6([0xfec0, 0, 0, 0], 10), "site-local"),
    // RFC 4291 section 2.7.
    (v6([0xff00, 0, 0, 0], 8), "multicast"),
    // What is left of everything that isn't in 2000::/3 (RFC 4291 section 2.4, and IANA's registry of
    // the address space).
    (v6([0, 0, 0, 0], 3), "reserved"),
    (v6([0x4000, 0, 0, 0], 2), "reserved"),
    (v6([0x8000, 0, 0, 0], 1), "reserved"),
];

const fn v4([a, b, c, d]: [u8; 4], prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix)
}

const fn v6([a, b, c, d]: [u16; 4], prefix: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0), prefix)
}

const fn v6_one([a, b, c, d, e, f, g, h]: [u16; 8]) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, d, e, f, g, h), 128)
}

#[cfg(test)]
mod tests;

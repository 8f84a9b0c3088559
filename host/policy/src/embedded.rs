//! The IPv4 addresses that IPv6 addresses stand for.
//!
//! A translator or a tunnel between two networks may deliver a packet for one of these IPv6 addresses
//! to the IPv4 address in it. A denial of the IPv4 address therefore also covers these IPv6 addresses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The IPv4 addresses that `address` contains, or may contain.
///
/// IPv4-mapped addresses are not included: they are treated as the IPv4 address everywhere.
pub(crate) fn embedded(address: IpAddr) -> impl Iterator<Item = IpAddr> {
    let found = match address.to_canonical() {
        IpAddr::V4(_) => [None; 2],
        IpAddr::V6(address) => of_ipv6(address),
    };
    found.into_iter().flatten().map(IpAddr::V4)
}

fn of_ipv6(address: Ipv6Addr) -> [Option<Ipv4Addr>; 2] {
    let [a, b, c, d, e, f, g, h] = address.segments();
    let pair = |high: u16, low: u16| Some(Ipv4Addr::from(u32::from(high) << 16 | u32::from(low)));
    match (a, b) {
        // RFC 4291 section 2.5.5.1: IPv4-compatible, but for `::` and `::1`.
        (0, 0) if [c, d, e, f] == [0; 4] && (g, h) > (0, 1) => [pair(g, h), None],
        // RFC 6052 section 2.1: the well-known prefix of NAT64.
        (0x64, 0xff9b) if [c, d, e, f] == [0; 4] => [pair(g, h), None],
        // RFC 8215: NAT64 prefixes that a network defines itself. Their length is not known here. The
        // address is at the end, or after the first 48 bits with a gap (RFC 6052 section 2.2).
        (0x64, 0xff9b) if c == 1 => [pair(g, h), pair(d, e << 8 | f >> 8)],
        // RFC 4380 section 4: Teredo, with the server's address and the client's, inverted.
        (0x2001, 0) => [pair(c, d), pair(!g, !h)],
        // RFC 3056 section 2: 6to4.
        (0x2002, _) => [pair(b, c), None],
        _ => [None; 2],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_unwrapped() {
        for (address, expected) in [
            ("192.0.2.1", &[][..]),
            ("::ffff:192.0.2.1", &[]),
            ("2001:db8::192.0.2.1", &[]),
            ("::192.0.2.1", &["192.0.2.1"]),
            ("::", &[]),
            ("::1", &[]),
            ("64:ff9b::192.0.2.1", &["192.0.2.1"]),
            ("64:ff9b:0:0:0:1:c000:201", &[]),
            ("64:ff9b:1:c000:2:100::", &["0.0.0.0", "192.0.2.1"]),
            ("64:ff9b:1::192.0.2.1", &["192.0.2.1", "0.0.0.0"]),
            ("64:ff9b:2::192.0.2.1", &[]),
            ("2002:c000:201::1", &["192.0.2.1"]),
            ("2001:0:c000:201:0:0:3fff:fdfd", &["192.0.2.1", "192.0.2.2"]),
            ("2001:1:c000:201::", &[]),
        ] {
            let found: Vec<_> = embedded(address.parse().unwrap())
                .map(|it| it.to_string())
                .collect();
            assert_eq!(found, expected, "{address}");
        }
    }
}

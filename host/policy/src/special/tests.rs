//! Every block, its ends and its neighbours.

use super::*;

/// A block, and what is found below it, at its first, middle and last address, and above it.
const IPV4_TABLE: &str = "
    0.0.0.0/32: none | unspecified | unspecified | unspecified | this network
    0.0.0.0/8: none | unspecified | this network | this network | public
    10.0.0.0/8: public | private-use | private-use | private-use | public
    100.100.100.200/32: shared address space | shared address space, cloud metadata | shared address space, cloud metadata | shared address space, cloud metadata | shared address space
    100.64.0.0/10: public | shared address space | shared address space | shared address space | public
    127.0.0.0/8: public | loopback | loopback | loopback | public
    168.63.129.16/32: public | cloud metadata | cloud metadata | cloud metadata | public
    169.254.169.254/32: link-local | link-local, cloud metadata | link-local, cloud metadata | link-local, cloud metadata | link-local
    169.254.0.0/16: public | link-local | link-local | link-local | public
    172.16.0.0/12: public | private-use | private-use | private-use | public
    192.0.0.0/29: public | IPv4 service continuity | IPv4 service continuity | IPv4 service continuity | IPv4 dummy address
    192.0.0.8/32: IPv4 service continuity | IPv4 dummy address | IPv4 dummy address | IPv4 dummy address | port control protocol anycast
    192.0.0.9/32: IPv4 dummy address | port control protocol anycast | port control protocol anycast | port control protocol anycast | TURN anycast
    192.0.0.10/32: port control protocol anycast | TURN anycast | TURN anycast | TURN anycast | protocol assignments
    192.0.0.170/31: protocol assignments | NAT64 discovery | NAT64 discovery | NAT64 discovery | protocol assignments
    192.0.0.192/32: protocol assignments | protocol assignments, cloud metadata | protocol assignments, cloud metadata | protocol assignments, cloud metadata | protocol assignments
    192.0.0.0/24: public | IPv4 service continuity | protocol assignments | protocol assignments | public
    192.0.2.0/24: public | documentation | documentation | documentation | public
    192.31.196.0/24: public | AS112 | AS112 | AS112 | public
    192.52.193.0/24: public | multicast tunnelling | multicast tunnelling | multicast tunnelling | public
    192.88.99.2/32: 6to4 relay anycast | 6a44 relay anycast | 6a44 relay anycast | 6a44 relay anycast | 6to4 relay anycast
    192.88.99.0/24: public | 6to4 relay anycast | 6to4 relay anycast | 6to4 relay anycast | public
    192.168.0.0/16: public | private-use | private-use | private-use | public
    192.175.48.0/24: public | AS112 | AS112 | AS112 | public
    198.18.0.0/15: public | benchmarking | benchmarking | benchmarking | public
    198.51.100.0/24: public | documentation | documentation | documentation | public
    203.0.113.0/24: public | documentation | documentation | documentation | public
    224.0.0.0/4: public | multicast | multicast | multicast | reserved
    255.255.255.255/32: reserved | limited broadcast | limited broadcast | limited broadcast | none
    240.0.0.0/4: multicast | reserved | reserved | limited broadcast | none
";

const IPV6_TABLE: &str = "
    ::/128: none | unspecified | unspecified | unspecified | loopback
    ::1/128: unspecified | loopback | loopback | loopback | IPv4-compatible
    ::/96: none | unspecified | IPv4-compatible | IPv4-compatible | reserved
    64:ff9b:1::/48: reserved | local NAT64 | local NAT64 | local NAT64 | reserved
    100::/64: reserved | discard-only | discard-only | discard-only | dummy prefix
    100:0:0:1::/64: discard-only | dummy prefix | dummy prefix | dummy prefix | reserved
    2001::/32: public | Teredo | Teredo | Teredo | protocol assignments
    2001:1::1/128: protocol assignments | port control protocol anycast | port control protocol anycast | port control protocol anycast | TURN anycast
    2001:1::2/128: port control protocol anycast | TURN anycast | TURN anycast | TURN anycast | DNS-SD registration anycast
    2001:1::3/128: TURN anycast | DNS-SD registration anycast | DNS-SD registration anycast | DNS-SD registration anycast | protocol assignments
    2001:2::/48: protocol assignments | benchmarking | benchmarking | benchmarking | protocol assignments
    2001:3::/32: protocol assignments | multicast tunnelling | multicast tunnelling | multicast tunnelling | protocol assignments
    2001:4:112::/48: protocol assignments | AS112 | AS112 | AS112 | protocol assignments
    2001:10::/28: protocol assignments | ORCHID | ORCHID | ORCHID | ORCHIDv2
    2001:20::/28: ORCHID | ORCHIDv2 | ORCHIDv2 | ORCHIDv2 | drone identifiers
    2001:30::/28: ORCHIDv2 | drone identifiers | drone identifiers | drone identifiers | protocol assignments
    2001::/23: public | Teredo | protocol assignments | protocol assignments | public
    2001:db8::/32: public | documentation | documentation | documentation | public
    3fff::/20: public | documentation | documentation | documentation | public
    2002::/16: public | 6to4 | 6to4 | 6to4 | public
    2620:4f:8000::/48: public | AS112 | AS112 | AS112 | public
    5f00::/16: reserved | segment routing | segment routing | segment routing | reserved
    fd00:ec2::254/128: unique-local | unique-local, cloud metadata | unique-local, cloud metadata | unique-local, cloud metadata | unique-local
    fd20:ce::254/128: unique-local | unique-local, cloud metadata | unique-local, cloud metadata | unique-local, cloud metadata | unique-local
    fc00::/7: reserved | unique-local | unique-local | unique-local | reserved
    fe80::/10: reserved | link-local | link-local | link-local | site-local
    fec0::/10: link-local | site-local | site-local | site-local | multicast
    ff00::/8: site-local | multicast | multicast | multicast | none
    ::/3: none | unspecified | reserved | reserved | public
    4000::/2: public | reserved | reserved | reserved | reserved
    8000::/1: reserved | reserved | reserved | multicast | none
";

fn purpose(address: IpAddr) -> &'static str {
    SpecialPurpose::of(address).map_or("public", |it| it.purpose())
}

/// The rows of a table: the block, and what is expected.
fn rows(table: &str) -> impl Iterator<Item = (&str, String)> {
    table.lines().filter_map(|line| {
        let (block, expected) = line.trim().split_once(": ")?;
        Some((block, expected.to_owned()))
    })
}

fn found<T, const N: usize>(numbers: [Option<T>; N], address: impl Fn(T) -> IpAddr) -> String {
    let purposes = numbers.map(|number| number.map_or("none", |number| purpose(address(number))));
    purposes.join(" | ")
}

#[test]
fn every_block_of_ipv4_ends_where_it_should() {
    let mut tested = Vec::new();
    for (text, expected) in rows(IPV4_TABLE) {
        let block: Ipv4Net = text.parse().unwrap();
        let (first, last) = (u32::from(block.network()), u32::from(block.broadcast()));
        let numbers = [
            first.checked_sub(1),
            Some(first),
            Some(first + (last - first).div_ceil(2)),
            Some(last),
            last.checked_add(1),
        ];
        let found = found(numbers, |number| Ipv4Addr::from(number).into());
        assert_eq!(found, expected, "{text}");
        tested.push(block);
    }
    let blocks: Vec<_> = IPV4.iter().map(|(block, _)| *block).collect();
    assert_eq!(blocks, tested);
}

#[test]
fn every_block_of_ipv6_ends_where_it_should() {
    let mut tested = Vec::new();
    for (text, expected) in rows(IPV6_TABLE) {
        let block: Ipv6Net = text.parse().unwrap();
        let (first, last) = (u128::from(block.network()), u128::from(block.broadcast()));
        let numbers = [
            first.checked_sub(1),
            Some(first),
            Some(first + (last - first).div_ceil(2)),
            Some(last),
            last.checked_add(1),
        ];
        let found = found(numbers, |number| Ipv6Addr::from(number).into());
        assert_eq!(found, expected, "{text}");
        tested.push(block);
    }
    let blocks: Vec<_> = IPV6.iter().map(|(block, _)| *block).collect();
    assert_eq!(blocks, tested);
}

#[test]
fn the_smallest_block_is_found() {
    for (index, (outer, _)) in IPV4.iter().enumerate() {
        for (inner, _) in &IPV4[index + 1..] {
            assert!(!outer.contains(inner), "{outer} hides {inner}");
        }
    }
    for (index, (outer, _)) in IPV6.iter().enumerate() {
        for (inner, _) in &IPV6[index + 1..] {
            assert!(!outer.contains(inner), "{outer} hides {inner}");
        }
    }
}

#[test]
fn ipv4_inside_ipv6_is_judged_as_ipv4() {
    let ends = IPV4
        .iter()
        .flat_map(|(block, _)| [block.network(), block.broadcast()]);
    for address in ends.chain([Ipv4Addr::new(1, 1, 1, 1), Ipv4Addr::new(8, 8, 8, 8)]) {
        let expected = purpose(address.into());
        let [a, b, c, d] = address.octets().map(u16::from);
        let nat64 = Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, a << 8 | b, c << 8 | d);
        for inside in [address.to_ipv6_mapped(), nat64] {
            assert_eq!(purpose(inside.into()), expected, "{inside}");
        }
    }
}

#[test]
fn addresses_in_every_form() {
    for (text, expected) in [
        ("1.1.1.1", "public"),
        ("8.8.8.8", "public"),
        ("100.63.255.255", "public"),
        ("2606:4700:4700::1111", "public"),
        ("2a00:1450:4001::200e", "public"),
        ("2001:4860:4860::8888", "public"),
        ("::ffff:127.0.0.1", "loopback"),
        ("::ffff:8.8.8.8", "public"),
        ("::127.0.0.1", "IPv4-compatible"),
        ("::8.8.8.8", "IPv4-compatible"),
        ("::ffff:0:127.0.0.1", "reserved"),
        ("64:ff9b::127.0.0.1", "loopback"),
        ("64:ff9b::169.254.169.254", "link-local, cloud metadata"),
        ("64:ff9b::8.8.8.8", "public"),
        ("64:ff9b:0:0:0:1::", "reserved"),
        ("64:ff9b:1::8.8.8.8", "local NAT64"),
        ("2002:7f00:1::", "6to4"),
        ("2002:808:808::1", "6to4"),
        ("2001:0:808:808::", "Teredo"),
        ("fe80::5efe:127.0.0.1", "link-local"),
    ] {
        assert_eq!(purpose(text.parse().unwrap()), expected, "{text}");
    }
}

#[test]
fn it_says_what_and_where() {
    let found = SpecialPurpose::of("10.1.2.3".parse().unwrap()).unwrap();
    assert_eq!(found.purpose(), "private-use");
    assert_eq!(found.to_string(), "private-use (10.0.0.0/8)");
    assert_eq!(
        format!("{found:?}"),
        "SpecialPurpose(private-use (10.0.0.0/8))"
    );
}

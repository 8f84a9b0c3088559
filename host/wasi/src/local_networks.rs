//! Reading which addresses and networks are this machine's own.

use ipnet::IpNet;
use sockbox_policy::{LocalNetworks, Range};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long the networks that were read are used: 1 second. Addresses change while a program runs (a
/// laptop that moves from one network to the next), and reading them takes some 0.1 ms.
pub(crate) const FRESH_FOR: Duration = Duration::from_secs(1);

/// The shortest prefix of a route without a router that is taken for a network of this machine's own: 64
/// bits, which is what IPv6 networks have (RFC 4291 section 2.5.1). The short prefixes that are routed into
/// a tunnel (`2000::/3`, `::/1`) are no networks, but most of the internet.
const SHORTEST_ROUTE: u8 = 64;

/// The most of the kernel's routes that is read: 1 MiB, some 7,000 of them. A machine with more is a
/// router of the internet's.
#[cfg(target_os = "linux")]
const MAX_ROUTES_BYTES: u64 = 1024 * 1024;

/// The networks that this machine has now, or had a second ago.
///
/// If they can't be read, the result is empty, and the log has a warning. Addresses are then judged
/// only by the special-purpose blocks.
pub fn local_networks() -> Arc<LocalNetworks> {
    static LAST: Mutex<Option<(Instant, Arc<LocalNetworks>)>> = Mutex::new(None);
    let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    let now = Instant::now();
    match &*last {
        Some((read, networks)) if now.duration_since(*read) < FRESH_FOR => networks.clone(),
        _ => {
            let networks = Arc::new(read());
            *last = Some((now, networks.clone()));
            networks
        }
    }
}

fn read() -> LocalNetworks {
    let mut found = LocalNetworks::new();
    match if_addrs::get_if_addrs() {
        Ok(interfaces) => {
            for interface in interfaces {
                let prefix = match &interface.addr {
                    if_addrs::IfAddr::V4(address) => u32::from(address.netmask).leading_ones(),
                    if_addrs::IfAddr::V6(address) => u128::from(address.netmask).leading_ones(),
                };
                found = with_address(found, interface.ip(), prefix);
            }
        }
        Err(error) => {
            tracing::warn!(%error, "cannot list the addresses of this machine");
            found = with_table(found, "/proc/self/net/if_inet6", of_if_inet6);
            found = with_table(found, "/proc/self/net/route", of_route);
        }
    }
    // An address may come with a prefix of 128 bits (DHCPv6), and the network's as a route.
    with_table(found, "/proc/self/net/ipv6_route", of_ipv6_route)
}

/// An address of an interface, and its network.
fn with_address(found: LocalNetworks, address: IpAddr, prefix: u32) -> LocalNetworks {
    let network = u8::try_from(prefix).ok();
    let network = network.and_then(|prefix| IpNet::new(address, prefix).ok());
    let found = found.address(address);
    match network {
        Some(network) => found.network(Range::of(network)),
        None => found,
    }
}

/// What one of the kernel's tables adds, line by line. Where there is none, there is nothing to add.
#[cfg(target_os = "linux")]
fn with_table(
    found: LocalNetworks,
    path: &str,
    line: impl Fn(LocalNetworks, &[&str]) -> Option<LocalNetworks>,
) -> LocalNetworks {
    use std::io::Read;

    let read = || -> io::Result<String> {
        let mut text = String::new();
        let file = std::fs::File::open(path)?;
        file.take(MAX_ROUTES_BYTES).read_to_string(&mut text)?;
        Ok(text)
    };
    match read() {
        Ok(text) => with_lines(found, &text, line),
        Err(error) => {
            tracing::debug!(%error, path, "cannot read the kernel's table");
            found
        }
    }
}

#[cfg(not(target_os = "linux"))]
fn with_table(
    found: LocalNetworks,
    _: &str,
    _: impl Fn(LocalNetworks, &[&str]) -> Option<LocalNetworks>,
) -> LocalNetworks {
    found
}

fn with_lines(
    found: LocalNetworks,
    text: &str,
    line: impl Fn(LocalNetworks, &[&str]) -> Option<LocalNetworks>,
) -> LocalNetworks {
    text.lines().fold(found, |found, text| {
        let words: Vec<&str> = text.split_whitespace().collect();
        line(found.clone(), &words).unwrap_or(found)
    })
}

/// A line of `/proc/net/if_inet6`: address, interface's number, prefix, scope, flags, interface.
fn of_if_inet6(found: LocalNetworks, words: &[&str]) -> Option<LocalNetworks> {
    let [address, _, prefix, ..] = words else {
        return None;
    };
    let prefix = u32::from_str_radix(prefix, 16).ok()?;
    Some(with_address(found, ipv6(address)?.into(), prefix))
}

/// A line of `/proc/net/route`: interface, destination, gateway, flags, 3 counters, mask, all of them
/// numbers as the machine keeps them.
fn of_route(found: LocalNetworks, words: &[&str]) -> Option<LocalNetworks> {
    let [_, destination, "00000000", flags, _, _, _, mask, ..] = words else {
        return None;
    };
    let flags = u32::from_str_radix(flags, 16).ok()?;
    let address = |text: &str| -> Option<Ipv4Addr> {
        let number = u32::from_str_radix(text, 16).ok()?;
        Some(number.to_ne_bytes().into())
    };
    let prefix = u32::from(address(mask)?).leading_ones();
    let network = IpNet::new(address(destination)?.into(), u8::try_from(prefix).ok()?);
    (flags & (UP | GATEWAY | REJECT) == UP).then_some(found.network(Range::of(network.ok()?)))
}

/// A line of `/proc/net/ipv6_route`: destination and its prefix, source and its prefix, next hop, 3
/// numbers, flags, interface. All of them are hexadecimal.
fn of_ipv6_route(found: LocalNetworks, words: &[&str]) -> Option<LocalNetworks> {
    let [destination, prefix, _, _, next_hop, _, _, _, flags, ..] = words else {
        return None;
    };
    let flags = u32::from_str_radix(flags, 16).ok()?;
    let prefix = u8::from_str_radix(prefix, 16).ok()?;
    let network = IpNet::new(ipv6(destination)?.into(), prefix).ok()?;
    let is_direct = ipv6(next_hop)?.is_unspecified() && flags & (UP | GATEWAY | REJECT) == UP;
    (is_direct && prefix >= SHORTEST_ROUTE).then_some(found.network(Range::of(network)))
}

/// The route can be used: `RTF_UP` of Linux's `route.h`, and those that follow there.
const UP: u32 = 0x1;
/// There is a router in between.
const GATEWAY: u32 = 0x2;
/// Nothing gets through.
const REJECT: u32 = 0x200;

/// 32 hexadecimal digits.
fn ipv6(text: &str) -> Option<Ipv6Addr> {
    let number = (text.len() == 32).then(|| u128::from_str_radix(text, 16));
    Some(number?.ok()?.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn local(addresses: &[&str], networks: &[&str]) -> LocalNetworks {
        let found = LocalNetworks::new();
        let found = addresses
            .iter()
            .fold(found, |found, it| found.address(it.parse().unwrap()));
        networks
            .iter()
            .fold(found, |found, it| found.network(it.parse().unwrap()))
    }

    #[test]
    fn this_machine_has_its_loopback_address() {
        assert!(local_networks().has_address(Ipv4Addr::LOCALHOST.into()));
    }

    #[test]
    fn an_address_has_its_network_and_a_default_route_is_none() {
        let found = with_address(LocalNetworks::new(), "1.2.3.4".parse().unwrap(), 24);
        let found = with_address(found, "2a00::1".parse().unwrap(), 64);
        let found = with_address(found, "5.6.7.8".parse().unwrap(), 32);
        let found = with_address(found, "9.9.9.9".parse().unwrap(), 0);
        let expected = local(
            &["1.2.3.4", "2a00::1", "5.6.7.8", "9.9.9.9"],
            &["1.2.3.0/24", "[2a00::/64]", "5.6.7.8/32"],
        );
        assert_eq!(found, expected);
    }

    #[test]
    fn ipv6_routes_without_a_router_are_networks() {
        // Taken from a machine: the prefix that a router announced, a default route, one by a router, one
        // into a tunnel, one that rejects, its own address, and noise.
        let table = "\
2a0001000000000000000000000000aa 80 00000000000000000000000000000000 00 00000000000000000000000000000000 00000000 00000001 00000000 80200001       lo
2a000100000000010000000000000000 40 00000000000000000000000000000000 00 00000000000000000000000000000000 00000100 00000001 00000000 00400001     eth0
00000000000000000000000000000000 00 00000000000000000000000000000000 00 fe800000000000000000000000000001 00000400 00000001 00000000 00450003     eth0
2a000200000000000000000000000000 40 00000000000000000000000000000000 00 fe800000000000000000000000000001 00000400 00000001 00000000 00000003     eth0
20000000000000000000000000000000 03 00000000000000000000000000000000 00 00000000000000000000000000000000 00000400 00000001 00000000 00000001     tun0
2a000300000000000000000000000000 40 00000000000000000000000000000000 00 00000000000000000000000000000000 ffffffff 00000001 00000000 00200200       lo
nonsense
2a00 40 0 0 0 0 0 0 1 eth0
";
        let found = with_lines(LocalNetworks::new(), table, of_ipv6_route);
        assert_eq!(
            found,
            local(&[], &["[2a00:100::aa/128]", "[2a00:100:0:1::/64]"])
        );
    }

    #[test]
    fn the_kernels_tables_stand_in_where_it_cannot_be_asked() {
        let table = "2a000100000000010000000000000001 02 40 00 80     eth0\nnonsense\n";
        let found = with_lines(LocalNetworks::new(), table, of_if_inet6);
        assert_eq!(found, local(&["2a00:100:0:1::1"], &["[2a00:100:0:1::/64]"]));

        let number = |text: &str| {
            let address: Ipv4Addr = text.parse().unwrap();
            format!("{:08X}", u32::from_ne_bytes(address.octets()))
        };
        let line = |destination: &str, gateway: &str, flags: &str, mask: &str| {
            let [destination, gateway, mask] = [destination, gateway, mask].map(number);
            format!("eth0\t{destination}\t{gateway}\t{flags}\t0\t0\t0\t{mask}\t0\t0\t0\n")
        };
        let table = [
            "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"
                .to_owned(),
            line("0.0.0.0", "1.2.3.1", "0003", "0.0.0.0"),
            line("1.2.3.0", "0.0.0.0", "0001", "255.255.255.0"),
            line("5.6.0.0", "1.2.3.1", "0003", "255.255.0.0"),
            line("7.7.0.0", "0.0.0.0", "0201", "255.255.0.0"),
        ];
        let found = with_lines(LocalNetworks::new(), &table.concat(), of_route);
        assert_eq!(found, local(&[], &["1.2.3.0/24"]));
    }
}

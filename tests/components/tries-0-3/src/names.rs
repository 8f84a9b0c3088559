//! Names and addresses.

use crate::attempt::{At, Attempt, Failure};
use crate::bindings::wasi::sockets::ip_name_lookup::resolve_addresses;
use crate::bindings::wasi::sockets::types::{
    IpAddress, IpAddressFamily, IpSocketAddress, Ipv4SocketAddress, Ipv6SocketAddress,
};
use std::net::{IpAddr, SocketAddr, SocketAddrV4, SocketAddrV6};

pub async fn resolve(name: &str) -> Attempt {
    let addresses = addresses(name).await?;
    let addresses: Vec<String> = addresses.iter().map(IpAddr::to_string).collect();
    Ok(addresses.join(" "))
}

pub async fn addresses(name: &str) -> Result<Vec<IpAddr>, Failure> {
    let addresses = resolve_addresses(name.to_owned()).await.at("resolve")?;
    Ok(addresses.into_iter().map(std_address).collect())
}

/// As the name of a host, that being something that the host of the component looks at and refuses.
pub async fn hand_over(count: usize) -> Attempt {
    match resolve_addresses("a".repeat(count)).await {
        Ok(_) => Err(Failure::new("no-error", "resolve")),
        Err(_) => Ok(String::new()),
    }
}

fn std_address(address: IpAddress) -> IpAddr {
    match address {
        IpAddress::Ipv4((a, b, c, d)) => IpAddr::from([a, b, c, d]),
        IpAddress::Ipv6((a, b, c, d, e, f, g, h)) => IpAddr::from([a, b, c, d, e, f, g, h]),
    }
}

pub fn family(address: SocketAddr) -> IpAddressFamily {
    match address {
        SocketAddr::V4(_) => IpAddressFamily::Ipv4,
        SocketAddr::V6(_) => IpAddressFamily::Ipv6,
    }
}

pub fn std_socket_address(address: IpSocketAddress) -> SocketAddr {
    match address {
        IpSocketAddress::Ipv4(it) => {
            let (a, b, c, d) = it.address;
            SocketAddr::from(([a, b, c, d], it.port))
        }
        IpSocketAddress::Ipv6(it) => {
            let (a, b, c, d, e, f, g, h) = it.address;
            let ip = [a, b, c, d, e, f, g, h].into();
            SocketAddrV6::new(ip, it.port, it.flow_info, it.scope_id).into()
        }
    }
}

pub fn wasi_address(address: SocketAddr) -> IpSocketAddress {
    match address {
        SocketAddr::V4(it) => IpSocketAddress::Ipv4(v4(it)),
        SocketAddr::V6(it) => IpSocketAddress::Ipv6(v6(it)),
    }
}

fn v4(address: SocketAddrV4) -> Ipv4SocketAddress {
    let [a, b, c, d] = address.ip().octets();
    Ipv4SocketAddress {
        port: address.port(),
        address: (a, b, c, d),
    }
}

fn v6(address: SocketAddrV6) -> Ipv6SocketAddress {
    let [a, b, c, d, e, f, g, h] = address.ip().segments();
    Ipv6SocketAddress {
        port: address.port(),
        flow_info: address.flowinfo(),
        address: (a, b, c, d, e, f, g, h),
        scope_id: address.scope_id(),
    }
}

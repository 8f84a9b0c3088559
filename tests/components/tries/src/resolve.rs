//! Names and addresses.

use crate::attempt::{At, Attempt, Failure};
use std::net::{IpAddr, SocketAddr, SocketAddrV4, SocketAddrV6};
use wasip2::sockets::instance_network::instance_network;
use wasip2::sockets::ip_name_lookup::resolve_addresses;
use wasip2::sockets::network::{
    ErrorCode, IpAddress, IpAddressFamily, IpSocketAddress, Ipv4SocketAddress, Ipv6SocketAddress,
};

pub fn resolve(name: &str) -> Attempt {
    let addresses = addresses(name)?;
    let addresses: Vec<String> = addresses.iter().map(IpAddr::to_string).collect();
    Ok(addresses.join(" "))
}

pub fn addresses(name: &str) -> Result<Vec<IpAddr>, Failure> {
    let stream = resolve_addresses(&instance_network(), name).at("resolve")?;
    let pollable = stream.subscribe();
    let mut addresses = Vec::new();
    loop {
        match stream.resolve_next_address() {
            Ok(Some(address)) => addresses.push(std_address(address)),
            Ok(None) => return Ok(addresses),
            Err(ErrorCode::WouldBlock) => pollable.block(),
            Err(code) => return Err(code).at("resolve"),
        }
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

pub fn wasi_address(address: SocketAddr) -> IpSocketAddress {
    match address {
        SocketAddr::V4(address) => {
            let [a, b, c, d] = address.ip().octets();
            IpSocketAddress::Ipv4(Ipv4SocketAddress {
                port: address.port(),
                address: (a, b, c, d),
            })
        }
        SocketAddr::V6(address) => {
            let [a, b, c, d, e, f, g, h] = address.ip().segments();
            IpSocketAddress::Ipv6(Ipv6SocketAddress {
                port: address.port(),
                flow_info: address.flowinfo(),
                address: (a, b, c, d, e, f, g, h),
                scope_id: address.scope_id(),
            })
        }
    }
}

pub fn std_socket_address(address: IpSocketAddress) -> SocketAddr {
    match address {
        IpSocketAddress::Ipv4(address) => {
            let (a, b, c, d) = address.address;
            SocketAddr::V4(SocketAddrV4::new([a, b, c, d].into(), address.port))
        }
        IpSocketAddress::Ipv6(address) => {
            let (a, b, c, d, e, f, g, h) = address.address;
            let ip = [a, b, c, d, e, f, g, h].into();
            let (flow, scope) = (address.flow_info, address.scope_id);
            SocketAddr::V6(SocketAddrV6::new(ip, address.port, flow, scope))
        }
    }
}

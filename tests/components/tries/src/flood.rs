//! As many as the host gives.

use crate::attempt::{At, Attempt, Failure};
use crate::resolve::addresses;
use crate::tcp::Connection;
use std::fs::File;
use std::mem::forget;
use std::net::SocketAddr;
use wasip2::clocks::monotonic_clock::subscribe_duration;
use wasip2::sockets::instance_network::instance_network;
use wasip2::sockets::ip_name_lookup::{ResolveAddressStream, resolve_addresses};
use wasip2::sockets::network::{ErrorCode, IpAddressFamily};
use wasip2::sockets::tcp_create_socket::create_tcp_socket;
use wasip2::sockets::udp_create_socket::create_udp_socket;

/// Longer than any test.
const HOURS: u64 = 10 * 3600 * 1_000_000_000;

pub fn sockets(count: u64) -> Attempt {
    keep(count, || {
        create_tcp_socket(IpAddressFamily::Ipv4).at("create")
    })
}

pub fn udp_sockets(count: u64) -> Attempt {
    keep(count, || {
        create_udp_socket(IpAddressFamily::Ipv4).at("create")
    })
}

pub fn connections(address: SocketAddr, count: u64) -> Attempt {
    keep(count, || Connection::to(address))
}

pub fn connect_often(address: SocketAddr, count: u64) -> Attempt {
    repeat(count, || Connection::to(address).map(drop))
}

pub fn lookups(name: &str, count: u64) -> Attempt {
    repeat(count, || addresses(name).map(drop))
}

pub fn lookups_at_once(name: &str, count: u64) -> Attempt {
    let network = instance_network();
    let mut streams = Vec::new();
    for started in 0..count {
        let stream = resolve_addresses(&network, name).at("resolve");
        streams.push(stream.map_err(|failure| failure.after(started))?);
    }
    for (answered, stream) in streams.iter().enumerate() {
        let answer = first_address(stream).at("resolve");
        answer.map_err(|failure| failure.after(answered as u64))?;
    }
    Ok(count.to_string())
}

fn first_address(stream: &ResolveAddressStream) -> Result<(), ErrorCode> {
    let pollable = stream.subscribe();
    loop {
        match stream.resolve_next_address() {
            Err(ErrorCode::WouldBlock) => pollable.block(),
            answer => return answer.map(drop),
        }
    }
}

pub fn pollables(count: u64) -> Attempt {
    keep(count, || Ok(subscribe_duration(HOURS)))
}

pub fn files(file: &str, count: u64) -> Attempt {
    keep(count, || File::open(file).at("open"))
}

/// Make so many and give none back: the host has to end them when the component ends.
fn keep<T>(count: u64, make: impl Fn() -> Result<T, Failure>) -> Attempt {
    repeat(count, || make().map(forget))
}

fn repeat(count: u64, step: impl Fn() -> Result<(), Failure>) -> Attempt {
    for done in 0..count {
        step().map_err(|failure| failure.after(done))?;
    }
    Ok(count.to_string())
}

//! UDP.

use crate::attempt::{At, Attempt, Failure};
use crate::resolve::{family, std_socket_address, wasi_address};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use wasip2::sockets::instance_network::instance_network;
use wasip2::sockets::network::ErrorCode;
use wasip2::sockets::udp::{
    IncomingDatagram, IncomingDatagramStream, OutgoingDatagram, OutgoingDatagramStream, UdpSocket,
};
use wasip2::sockets::udp_create_socket::create_udp_socket;

/// A bound socket. Streams have to go before their socket: fields are dropped in their order.
struct Bound {
    incoming: IncomingDatagramStream,
    outgoing: OutgoingDatagramStream,
    socket: UdpSocket,
}

impl Bound {
    fn new(address: SocketAddr, peer: Option<SocketAddr>) -> Result<Bound, Failure> {
        let socket = create_udp_socket(family(address)).at("create")?;
        let network = instance_network();
        socket
            .start_bind(&network, wasi_address(address))
            .at("bind")?;
        let pollable = socket.subscribe();
        loop {
            match socket.finish_bind() {
                Err(ErrorCode::WouldBlock) => pollable.block(),
                done => break done.at("bind")?,
            }
        }
        let (incoming, outgoing) = socket.stream(peer.map(wasi_address)).at("connect")?;
        Ok(Bound {
            incoming,
            outgoing,
            socket,
        })
    }

    /// One that may send to this address: bound to any address of its family.
    fn for_peer(peer: SocketAddr, connected: bool) -> Result<Bound, Failure> {
        let any = match peer {
            SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
            SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
        };
        Bound::new(any, connected.then_some(peer))
    }

    fn send(&self, data: &[u8], to: Option<SocketAddr>) -> Result<(), Failure> {
        let datagram = OutgoingDatagram {
            data: data.to_vec(),
            remote_address: to.map(wasi_address),
        };
        let pollable = self.outgoing.subscribe();
        while self.outgoing.check_send().at("send")? == 0 {
            pollable.block();
        }
        match self.outgoing.send(&[datagram]).at("send")? {
            0 => Err(Failure::new("not-sent", "send")),
            _ => Ok(()),
        }
    }

    fn receive(&self) -> Result<IncomingDatagram, Failure> {
        let pollable = self.incoming.subscribe();
        loop {
            if let Some(datagram) = self.incoming.receive(1).at("receive")?.pop() {
                return Ok(datagram);
            }
            pollable.block();
        }
    }

    fn local_address(&self) -> Result<SocketAddr, Failure> {
        let address = self.socket.local_address().at("local-address")?;
        Ok(std_socket_address(address))
    }
}

pub fn bind(address: SocketAddr) -> Attempt {
    Ok(Bound::new(address, None)?.local_address()?.to_string())
}

pub fn send(address: SocketAddr) -> Attempt {
    Bound::for_peer(address, false)?.send(b"ping", Some(address))?;
    Ok(String::new())
}

pub fn send_from(at: SocketAddr, to: SocketAddr) -> Attempt {
    Bound::new(at, None)?.send(b"ping", Some(to))?;
    Ok(String::new())
}

pub fn connect(address: SocketAddr) -> Attempt {
    Bound::for_peer(address, true)?.send(b"ping", None)?;
    Ok(String::new())
}

pub fn ask(address: SocketAddr) -> Attempt {
    let bound = Bound::for_peer(address, false)?;
    bound.send(b"ping", Some(address))?;
    let answer = bound.receive()?;
    Ok(String::from_utf8_lossy(&answer.data).into_owned())
}

pub fn serve(address: SocketAddr, count: u64) -> Attempt {
    let bound = Bound::new(address, None)?;
    println!("listening on {}", bound.local_address()?);
    for served in 0..count {
        let datagram = bound.receive().map_err(|failure| failure.after(served))?;
        let peer = std_socket_address(datagram.remote_address);
        println!("received from {peer}");
        let sent = bound.send(&datagram.data, Some(peer));
        sent.map_err(|failure| failure.after(served))?;
    }
    Ok(count.to_string())
}

/// A socket at the address, one that is connected to it, and one that names it with each datagram.
pub fn talk(address: SocketAddr) -> Attempt {
    let here = Bound::new(address, None)?;
    let at = here.local_address()?;
    let mut told = at.to_string();
    for connected in [false, true] {
        let other = Bound::for_peer(at, connected)?;
        other.send(b"ping", (!connected).then_some(at))?;
        let ping = here.receive()?;
        let from = std_socket_address(ping.remote_address);
        here.send(b"pong", Some(from))?;
        let pong = other.receive()?;
        if std_socket_address(pong.remote_address) != at {
            return Err(Failure::new("another-address", "receive"));
        }
        for data in [ping.data, pong.data] {
            told.push_str(&format!(" {}", String::from_utf8_lossy(&data)));
        }
    }
    Ok(told)
}

/// Send so many datagrams of 1 KiB to itself before the first one is received.
pub fn keep(address: SocketAddr, count: u64) -> Attempt {
    let here = Bound::new(address, None)?;
    let at = here.local_address()?;
    for sent in 0..count {
        let done = here.send(&[b'x'; 1024], Some(at));
        done.map_err(|failure| failure.after(sent))?;
    }
    let mut arrived = 0;
    loop {
        let datagrams = here.incoming.receive(16).at("receive")?;
        if datagrams.is_empty() {
            return Ok(arrived.to_string());
        }
        arrived += datagrams.len();
    }
}

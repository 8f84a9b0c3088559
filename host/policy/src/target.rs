//! What is asked of the network.

use crate::{HttpTarget, Name};
use std::fmt;
use std::net::SocketAddr;

/// What is asked of the network: the question that a policy answers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Target {
    /// Looking this name up.
    Resolve(Name),
    /// Connecting to this address over TCP.
    Connect(SocketAddr),
    /// Connecting over TCP to whatever address a proxy finds for a name ([`Proxies::resolve`](crate::Proxies::resolve)).
    ConnectName {
        /// The name, which is not resolved here.
        name: Name,
        /// The port.
        port: u16,
    },
    /// Binding a TCP socket to this address, in order to listen on it.
    Bind(SocketAddr),
    /// Listening on this address over TCP.
    Listen(SocketAddr),
    /// Accepting a client that connects from this address.
    Accept(SocketAddr),
    /// Binding a UDP socket to this address.
    UdpBind(SocketAddr),
    /// Sending a datagram to this address.
    UdpSend(SocketAddr),
    /// Receiving a datagram from this address.
    UdpReceive(SocketAddr),
    /// Sending this HTTP request, by way of the host.
    Http(HttpTarget),
}

impl Target {
    /// What is done: `connect`.
    pub fn operation(&self) -> &'static str {
        match self {
            Target::Resolve(_) => "resolve",
            Target::Connect(_) | Target::ConnectName { .. } => "connect",
            Target::Bind(_) => "bind",
            Target::Listen(_) => "listen",
            Target::Accept(_) => "accept",
            Target::UdpBind(_) => "udp-bind",
            Target::UdpSend(_) => "udp-send",
            Target::UdpReceive(_) => "udp-receive",
            Target::Http(_) => "http",
        }
    }

    /// The address that it is done with, where it is done with one. An HTTP request has one where its URL has.
    pub fn address(&self) -> Option<SocketAddr> {
        match self {
            Target::Resolve(_) | Target::ConnectName { .. } => None,
            Target::Http(request) => request.url.address(),
            Target::Connect(address)
            | Target::Bind(address)
            | Target::Listen(address)
            | Target::Accept(address)
            | Target::UdpBind(address)
            | Target::UdpSend(address)
            | Target::UdpReceive(address) => Some(*address),
        }
    }

    /// The name, the address or the request that it is done with: `192.0.2.1:80`, `GET https://example.com/`.
    pub fn object(&self) -> String {
        match self {
            Target::Resolve(name) => name.to_string(),
            Target::ConnectName { name, port } => format!("{name}:{port}"),
            Target::Http(request) => request.to_string(),
            Target::Connect(address)
            | Target::Bind(address)
            | Target::Listen(address)
            | Target::Accept(address)
            | Target::UdpBind(address)
            | Target::UdpSend(address)
            | Target::UdpReceive(address) => address.to_string(),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Resolve(name) => write!(f, "resolve {name}"),
            Target::Connect(address) => write!(f, "connect to {address}"),
            Target::ConnectName { name, port } => write!(f, "connect to {name}:{port}"),
            Target::Bind(address) => write!(f, "bind to {address}"),
            Target::Listen(address) => write!(f, "listen on {address}"),
            Target::Accept(address) => write!(f, "accept {address}"),
            Target::UdpBind(address) => write!(f, "bind a UDP socket to {address}"),
            Target::UdpSend(address) => write!(f, "send a datagram to {address}"),
            Target::UdpReceive(address) => write!(f, "receive a datagram from {address}"),
            Target::Http(request) => write!(f, "send {request}"),
        }
    }
}

/// Whether an address leaves both the address and the port to the system: `0.0.0.0:0`, `[::]:0`.
pub fn is_unbound(address: SocketAddr) -> bool {
    address.port() == 0 && address.ip().to_canonical().is_unspecified()
}

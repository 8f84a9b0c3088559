//! An address on which certainly no socket listens.

use socket2::{Domain, Socket, Type};
use std::net::SocketAddr;

/// Holds a port without listening on it: connecting to it is refused, and no other program can
/// listen there meanwhile.
pub struct Refuser {
    address: SocketAddr,
    _socket: Socket,
}

impl Refuser {
    /// Take a free port of 127.0.0.1.
    pub fn new() -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
        socket
            .bind(&any_port.into())
            .expect("a free port of 127.0.0.1");
        let address = socket.local_addr().expect("a bound socket has an address");
        Self {
            address: address.as_socket().expect("an IPv4 address"),
            _socket: socket,
        }
    }

    /// The address that refuses.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Default for Refuser {
    fn default() -> Self {
        Self::new()
    }
}

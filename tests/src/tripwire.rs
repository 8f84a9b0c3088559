//! The proof that nothing arrived.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};

/// Listens on a port of loopback and must not be connected to.
pub struct Tripwire {
    listener: TcpListener,
}

impl Tripwire {
    /// Listen on a free port of 127.0.0.1.
    pub fn new() -> Self {
        Self::on("127.0.0.1:0")
    }

    /// Listen on this address.
    pub fn on(address: &str) -> Self {
        let listener = TcpListener::bind(address)
            .unwrap_or_else(|error| panic!("can't listen on {address}: {error}"));
        listener
            .set_nonblocking(true)
            .expect("a listener that doesn't block");
        Self { listener }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.listener
            .local_addr()
            .expect("a listener has an address")
    }

    /// Assert that no client has connected.
    ///
    /// On loopback a connection is in the listener's queue before `connect` returns to the client. So
    /// once the client has ended, what isn't here won't come.
    #[track_caller]
    pub fn assert_untouched(&self) {
        match self.listener.accept() {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Ok((_, client)) => panic!("{client} has connected to {}", self.address()),
            Err(error) => panic!("accepting on {} failed: {error}", self.address()),
        }
    }
}

impl Default for Tripwire {
    fn default() -> Self {
        Self::new()
    }
}

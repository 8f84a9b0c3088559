//! Peers over UDP.

use crate::deadline::PATIENCE;
use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::thread::JoinHandle;

/// A UDP socket on loopback that must not get a datagram.
pub struct UdpTripwire(UdpSocket);

impl UdpTripwire {
    /// Take a free port of 127.0.0.1.
    pub fn new() -> Self {
        Self::on("127.0.0.1:0")
    }

    /// Take this address.
    pub fn on(address: &str) -> Self {
        let socket = UdpSocket::bind(address)
            .unwrap_or_else(|error| panic!("can't bind to {address}: {error}"));
        socket
            .set_nonblocking(true)
            .expect("a socket that doesn't block");
        Self(socket)
    }

    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        self.0.local_addr().expect("a socket has an address")
    }

    /// Assert that no datagram came.
    ///
    /// On loopback a datagram is in the receiver's queue before the call that sends it returns. So once
    /// the sender has ended, what isn't here won't come.
    #[track_caller]
    pub fn assert_untouched(&self) {
        match self.0.recv_from(&mut [0]) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Ok((_, sender)) => panic!("{sender} has sent something to {}", self.address()),
            Err(error) => panic!("receiving on {} failed: {error}", self.address()),
        }
    }
}

impl Default for UdpTripwire {
    fn default() -> Self {
        Self::new()
    }
}

/// A UDP socket on loopback that gives each datagram back. Stopped when dropped.
pub struct UdpEcho {
    address: SocketAddr,
    thread: Option<JoinHandle<()>>,
}

impl UdpEcho {
    /// Take a free port of 127.0.0.1.
    pub fn start() -> Self {
        Self::on("127.0.0.1:0")
    }

    /// Take this address.
    pub fn on(address: &str) -> Self {
        let socket = UdpSocket::bind(address)
            .unwrap_or_else(|error| panic!("can't bind to {address}: {error}"));
        let address = socket.local_addr().expect("a socket has an address");
        let thread = std::thread::spawn(move || {
            let mut datagram = [0; 65_535];
            // An empty datagram is the end.
            while let Ok((size @ 1.., sender)) = socket.recv_from(&mut datagram) {
                let _ = socket.send_to(&datagram[..size], sender);
            }
        });
        Self {
            address,
            thread: Some(thread),
        }
    }

    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for UdpEcho {
    fn drop(&mut self) {
        let any_port = SocketAddr::new(self.address.ip(), 0);
        let told = UdpSocket::bind(any_port).and_then(|socket| socket.send_to(&[], self.address));
        if let (Ok(_), Some(thread)) = (told, self.thread.take()) {
            let _ = thread.join();
        }
    }
}

/// Send a datagram from a socket of its own, and return what comes back.
///
/// # Panics
/// When nothing comes back in time.
pub fn ask(server: SocketAddr, datagram: &[u8]) -> Vec<u8> {
    let socket = UdpSocket::bind(SocketAddr::new(server.ip(), 0)).expect("a UDP socket");
    socket
        .set_read_timeout(Some(PATIENCE))
        .expect("a socket that doesn't wait for ever");
    socket.send_to(datagram, server).expect("a datagram sent");
    let mut answer = vec![0; 65_535];
    let (size, _) = socket
        .recv_from(&mut answer)
        .unwrap_or_else(|error| panic!("no answer from {server}: {error}"));
    answer.truncate(size);
    answer
}

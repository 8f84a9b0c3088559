//! Clients that reset before a server has accepted them, like port scans and health checks.

use crate::hello_client::HelloClient;
use crate::process::Process;
use std::net::SocketAddr;

/// Clients that have reset before the server accepts them, and one open client after them.
pub struct Resets {
    /// The addresses of the clients that have reset.
    pub gone: Vec<SocketAddr>,
    /// The open client.
    pub waiting: HelloClient,
}

impl Resets {
    /// Stop the server's process, let `count` clients connect and reset, and let another one connect
    /// after them. So none of them is accepted before it resets.
    pub fn before(server: &Process, address: SocketAddr, count: usize) -> Self {
        server.standing_still(|| Self {
            gone: (0..count)
                .map(|_| {
                    let client = HelloClient::connect(address);
                    let address = client.address();
                    client.reset();
                    address
                })
                .collect(),
            waiting: HelloClient::connect(address),
        })
    }
}

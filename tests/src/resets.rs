//! Clients that break off before a server has accepted them: port scans, health checks.

use crate::hello_client::HelloClient;
use crate::process::Process;
use std::net::SocketAddr;

/// Clients that were gone when the server came to accept them, and one that is there behind them.
pub struct Resets {
    /// The addresses of those that are gone.
    pub gone: Vec<SocketAddr>,
    /// The one that is there.
    pub waiting: HelloClient,
}

impl Resets {
    /// Let `count` clients connect to a server at this address and reset the connection, and another one
    /// connect behind them, while the server's process stands still: so none of them is accepted before
    /// it is gone.
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

//! Connecting to the server of a request: lookup, connect, TLS handshake.

use super::client::Client;
use super::connected::Connected;
use super::error::Failed;
use super::exchange::Exchange;
use super::io::Io;
use super::request_body::RequestBody;
use crate::lookup::look_up;
use crate::sockets::Dialed;
use crate::tls;
use hyper::client::conn::http1;
use sockbox_policy::{Host, HttpScheme, HttpTarget, Limit, Target};
use std::net::IpAddr;

/// How much of the run's memory a connection is charged: 192 KiB. hyper has a buffer for reading and one for writing,
/// of at most [`BUFFER_BYTES`] each. The stream below holds at most the same amount of received bytes.
const CONNECTION_BYTES: u64 = 192 * 1024;

/// The most bytes that hyper buffers in each direction: 64 KiB. This also limits the head of a response.
const BUFFER_BYTES: usize = 64 * 1024;

impl Client {
    /// Connect to the server of a request that the policy allows.
    pub(super) async fn reach(
        &self,
        target: &HttpTarget,
        exchange: &Exchange,
    ) -> Result<Connected, Failed> {
        let proxy = self.proxies.for_url(&target.url);
        let addresses = match proxy {
            Some(_) if self.leaves_to_proxy(target) => Vec::new(),
            _ => self.addresses(target).await?,
        };
        // A loopback address means this machine. The proxy would connect to its own.
        let is_local = |ip: &IpAddr| ip.to_canonical().is_loopback();
        let proxy = proxy.filter(|_| !addresses.iter().any(is_local));
        let charge = self.charge(CONNECTION_BYTES)?;
        let socket = match self.dialer.socket() {
            Some(socket) => socket,
            None => {
                // Idle connections count as sockets. Closing them can free one.
                self.pool.clear();
                let target = Target::Http(target.clone());
                self.dialer.socket().ok_or_else(|| {
                    self.authority.reached(Limit::Sockets, Some(target));
                    Failed::ConnectionLimit
                })?
            }
        };
        let (address, streams) = match proxy {
            None => {
                let connecting = self.dialer.connect(&addresses, target.url.port(), None);
                let Dialed {
                    address,
                    input,
                    output,
                    ..
                } = connecting.await.map_err(Failed::of_dial)?;
                (Some(address), (input, output))
            }
            Some(proxy) => {
                exchange.proxied(proxy, None);
                let answered = |status| exchange.proxied(proxy, Some(status));
                let tunnel = self.tunnel(proxy, target, &addresses, answered).await?;
                (tunnel.address, tunnel.streams)
            }
        };
        let streams = match target.url.scheme() {
            HttpScheme::Http => streams,
            HttpScheme::Https => {
                let server = match target.url.host() {
                    Host::Name(name) => name.to_string(),
                    Host::Address(address) => address.to_string(),
                };
                let charge = self.charge(tls::SESSION_BYTES)?;
                let spoken = tls::over(&self.tls, server, streams, charge).await;
                spoken.map_err(|failure| Failed::of_tls(&failure))?
            }
        };
        let handshake = http1::Builder::new()
            .max_buf_size(BUFFER_BYTES)
            .handshake::<_, RequestBody>(Io::new(streams, socket));
        let (sender, connection) = handshake.await.map_err(|error| Failed::of_hyper(&error))?;
        Ok(Connected::new(sender, connection, address, charge))
    }

    /// The addresses of a request's server that the policy allows.
    async fn addresses(&self, target: &HttpTarget) -> Result<Vec<IpAddr>, Failed> {
        let addresses = match target.url.host() {
            Host::Address(address) => vec![*address],
            Host::Name(name) => match self.authority.static_addresses(name) {
                Some(addresses) => addresses.to_vec(),
                None => {
                    let found = look_up(&self.authority, name).await;
                    found.map_err(Failed::of_lookup)?
                }
            },
        };
        let usable = self.authority.http_addresses(target, addresses);
        usable.ok_or(Failed::Prohibited)
    }
}

pub(super) type Streams = (
    wasmtime_wasi::p2::DynInputStream,
    wasmtime_wasi::p2::DynOutputStream,
);

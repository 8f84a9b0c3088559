//! The requests of `wasi:http` that go through a proxy.

use super::client::Client;
use super::error::Failed;
use super::reach::Streams;
use crate::proxy::{self, ProxyProblem, TunnelError};
use crate::sockets::{Dialed, MOST_ADDRESSES};
use sockbox_policy::{HttpTarget, Proxy};
use std::net::{IpAddr, SocketAddr};

/// A tunnel to a server.
pub(super) struct Tunnel {
    /// The address that the proxy was asked for. None if it was asked for a name.
    pub(super) address: Option<SocketAddr>,
    pub(super) streams: Streams,
}

impl Client {
    /// Whether the proxy is to resolve the name of this target, and not the host.
    pub(super) fn leaves_to_proxy(&self, target: &HttpTarget) -> bool {
        let name = target.url.name();
        self.proxies.resolve
            && name.is_some_and(|name| self.authority.static_addresses(name).is_none())
    }

    /// Open a tunnel to the server of a request: to the first of `addresses` that the proxy connects to, or to the server's
    /// name if there are none. `answered` is told the status of each response of the proxy.
    pub(super) async fn tunnel(
        &self,
        proxy: &Proxy,
        target: &HttpTarget,
        addresses: &[IpAddr],
        answered: impl Fn(u16),
    ) -> Result<Tunnel, Failed> {
        let port = target.url.port();
        let mut goals: Vec<(Option<SocketAddr>, String)> = addresses
            .iter()
            .take(MOST_ADDRESSES)
            .map(|ip| SocketAddr::new(*ip, port))
            .map(|address| (Some(address), address.to_string()))
            .collect();
        if goals.is_empty() {
            goals.push((None, format!("{}:{port}", target.url.host())));
        }
        for (address, goal) in goals {
            let tunnel = proxy::connect(&self.dialer, &self.authority, proxy, &goal, None).await;
            match tunnel {
                Ok((dialed, status)) => {
                    answered(status);
                    let Dialed { input, output, .. } = dialed;
                    let streams = (input, output);
                    return Ok(Tunnel { address, streams });
                }
                Err(TunnelError::Proxy(problem @ ProxyProblem::Refused { status })) => {
                    answered(status);
                    if problem.is_of_proxy() {
                        break;
                    }
                }
                Err(error) => return Err(Failed::of_tunnel(error)),
            }
        }
        Err(Failed::Unavailable)
    }
}

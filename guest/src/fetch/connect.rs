//! From a host to a connection.

use super::clock::Clock;
use super::error::{Denied, FetchError, Stage, Timeout};
use super::trace::Trace;
use crate::net::{Net, NetError, Stream};
use crate::url::Target;
use std::net::{IpAddr, SocketAddr};
use url::Host;

/// One address that could not be connected to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectFailure {
    pub address: SocketAddr,
    pub reason: NetError,
}

/// Connects to the first of the host's addresses that can be connected to.
pub async fn connect<N: Net>(
    clock: &Clock<N>,
    target: &Target,
    trace: &Trace,
) -> Result<N::Stream, FetchError> {
    let addresses = lookup(clock, target, trace).await?;
    let mut failures = Vec::new();
    let mut timeout = None;
    for ip in addresses {
        let address = SocketAddr::new(ip, target.port);
        match attempt(clock, address).await {
            Ok(stream) => {
                trace.fact(format_args!(
                    "connected to {address} from {}",
                    stream.local_addr()
                ));
                return Ok(stream);
            }
            Err(AttemptError::Failed(reason)) => {
                trace.fact(format_args!("could not connect to {address}: {reason}"));
                failures.push(ConnectFailure { address, reason });
            }
            Err(AttemptError::TimedOut(error)) if error.total => {
                return Err(FetchError::Timeout(error));
            }
            Err(AttemptError::TimedOut(error)) => {
                trace.fact(format_args!("no answer from {address}"));
                timeout = Some(error);
                let reason = NetError::TimedOut;
                failures.push(ConnectFailure { address, reason });
            }
        }
    }
    // A refusal is the one thing here that the caller can change, so it is told first.
    if let Some(denied) = failures
        .iter()
        .find(|failure| failure.reason == NetError::Denied)
    {
        return Err(FetchError::Denied(Denied::Connect(denied.address)));
    }
    match timeout {
        Some(timeout)
            if failures
                .iter()
                .all(|failure| failure.reason == NetError::TimedOut) =>
        {
            Err(FetchError::Timeout(timeout))
        }
        _ => Err(FetchError::ConnectFailed(failures)),
    }
}

enum AttemptError {
    Failed(NetError),
    TimedOut(Timeout),
}

async fn attempt<N: Net>(clock: &Clock<N>, address: SocketAddr) -> Result<N::Stream, AttemptError> {
    let limit = clock.timeouts.connect;
    let connecting = clock.net.connect(address);
    match clock.within(Stage::Connect, limit, 0, connecting).await {
        Ok(result) => result.map_err(AttemptError::Failed),
        Err(FetchError::Timeout(timeout)) => Err(AttemptError::TimedOut(timeout)),
        Err(_) => Err(AttemptError::Failed(NetError::Other)),
    }
}

async fn lookup<N: Net>(
    clock: &Clock<N>,
    target: &Target,
    trace: &Trace,
) -> Result<Vec<IpAddr>, FetchError> {
    let name = match &target.host {
        Host::Ipv4(ip) => return Ok(vec![(*ip).into()]),
        Host::Ipv6(ip) => return Ok(vec![(*ip).into()]),
        Host::Domain(name) => name,
    };
    let limit = clock.timeouts.lookup;
    let answer = clock
        .within(Stage::Lookup, limit, 0, clock.net.lookup(name))
        .await?;
    let addresses = answer.map_err(|reason| match reason {
        NetError::Denied => FetchError::Denied(Denied::Lookup(name.clone())),
        reason => FetchError::ResolveFailed {
            name: name.clone(),
            reason,
        },
    })?;
    for address in &addresses {
        trace.fact(format_args!("{name} has address {address}"));
    }
    Ok(addresses)
}

//! Establishing a connection: resolving the host, connecting, and the TLS handshake.

use super::address::{Family, StaticHost};
use super::clock::Clock;
use super::error::{ConnectFailure, Denied, FetchError, Stage, TimeBound, Timeout};
use super::options::Options;
use super::origin::Origin;
use super::trace::Trace;
use crate::net::{Instant, Net, NetError, Stream};
use crate::url::Host;
use std::borrow::Cow;
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

/// The most addresses of one host that are tried. Each attempt that hangs holds a socket, and no
/// real host needs more addresses.
const MAX_ATTEMPTS: usize = 64;

/// A new connection.
pub struct Connected<S> {
    pub stream: S,
    /// Whether the address is that of a static host.
    pub from_static_host: bool,
    /// The addresses that could not be connected to before this one.
    pub failures: Vec<ConnectFailure>,
    /// When the addresses of the host were known.
    pub resolved: Duration,
}

/// Connects to the first address of the host that accepts.
pub async fn connect<N: Net>(
    net: &N,
    clock: &Clock<N>,
    origin: &Origin,
    options: &Options,
    trace: &Trace,
) -> Result<Connected<N::Stream>, FetchError> {
    let (addresses, from_static_host) = match StaticHost::addresses(&options.static_hosts, origin) {
        Some(addresses) => (addresses.to_vec(), true),
        None => (resolve(net, clock, origin, trace).await?, false),
    };
    let resolved = clock.elapsed();
    let addresses = in_order(addresses, options.family);
    if addresses.is_empty() {
        return Err(FetchError::ResolveFailed {
            name: origin.host.to_string(),
            family: options.family,
            reason: NetError::NameUnresolvable,
        });
    }
    let mut attempts = Attempts {
        net,
        trace,
        waiting: addresses
            .into_iter()
            .map(|ip| SocketAddr::new(ip, origin.port))
            .collect(),
        delay: options.attempt_delay,
        running: Vec::new(),
        started: 0,
        failures: Vec::new(),
    };
    let limit = clock.timeouts.connect;
    let connected = clock.within(Stage::Connect, limit, 0, attempts.run()).await;
    match connected {
        Ok(Some(stream)) => Ok(Connected {
            stream,
            from_static_host,
            failures: attempts.failures(),
            resolved,
        }),
        Ok(None) => Err(attempts.failed(None)),
        Err(FetchError::Timeout(timeout)) => Err(attempts.failed(Some(timeout))),
        Err(error) => Err(error),
    }
}

/// Runs the TLS handshake on a new connection.
pub async fn tls_handshake<N: Net>(
    net: &N,
    clock: &Clock<N>,
    origin: &Origin,
    stream: N::Stream,
    trace: &Trace,
) -> Result<N::Stream, FetchError> {
    let server = match &origin.host {
        Host::Domain(name) => Cow::Borrowed(name.strip_suffix('.').unwrap_or(name)),
        // Without the brackets that surround an IPv6 address in a URL.
        Host::Ipv4(ip) => ip.to_string().into(),
        Host::Ipv6(ip) => ip.to_string().into(),
    };
    let limit = clock.timeouts.handshake;
    let handshake = net.tls_handshake(stream, &server);
    let stream = clock
        .within(Stage::Handshake, limit, 0, handshake)
        .await??;
    trace.fact(format_args!("TLS handshake with {server} completed"));
    Ok(stream)
}

async fn resolve<N: Net>(
    net: &N,
    clock: &Clock<N>,
    origin: &Origin,
    trace: &Trace,
) -> Result<Vec<IpAddr>, FetchError> {
    let name = match &origin.host {
        Host::Ipv4(ip) => return Ok(vec![(*ip).into()]),
        Host::Ipv6(ip) => return Ok(vec![(*ip).into()]),
        Host::Domain(name) => name,
    };
    let limit = clock.timeouts.resolve;
    let answer = clock
        .within(Stage::Resolve, limit, 0, net.resolve(name))
        .await?;
    let addresses = answer.map_err(|reason| match reason {
        NetError::Denied => FetchError::Denied(Denied::Resolve(name.clone())),
        reason => FetchError::ResolveFailed {
            name: name.clone(),
            family: None,
            reason,
        },
    })?;
    for address in &addresses {
        trace.fact(format_args!("{name} has address {address}"));
    }
    Ok(addresses)
}

/// The addresses of one family, or those of both families alternating, beginning with the family of
/// the first address (RFC 8305 section 4, with a First Address Family Count of 1).
fn in_order(addresses: Vec<IpAddr>, family: Option<Family>) -> Vec<IpAddr> {
    let mut kept: Vec<IpAddr> = Vec::new();
    for ip in addresses {
        // In WASI an IPv6 socket reaches no IPv4 address, not even an IPv4-mapped one.
        let ip = ip.to_canonical();
        // A second attempt at the same address would gain nothing.
        if family.is_none_or(|family| family.has(ip)) && !kept.contains(&ip) {
            kept.push(ip);
        }
    }
    let first_is_ipv4 = kept.first().is_some_and(IpAddr::is_ipv4);
    let (first, second): (Vec<_>, Vec<_>) = kept
        .into_iter()
        .partition(|ip| ip.is_ipv4() == first_is_ipv4);
    let mut second = second.into_iter();
    let mut ordered = Vec::new();
    for ip in first {
        ordered.push(ip);
        ordered.extend(second.next());
    }
    ordered.extend(second);
    ordered.truncate(MAX_ATTEMPTS);
    ordered
}

/// The attempts to connect to one host's addresses. They start one after the other and run
/// concurrently.
struct Attempts<'a, N: Net> {
    net: &'a N,
    trace: &'a Trace,
    waiting: VecDeque<SocketAddr>,
    delay: Duration,
    running: Vec<Attempt<N::Stream>>,
    started: usize,
    /// Each failure has the number of its attempt.
    failures: Vec<(usize, ConnectFailure)>,
}

struct Attempt<S> {
    number: usize,
    address: SocketAddr,
    connecting: Pin<Box<dyn Future<Output = Result<S, NetError>>>>,
}

impl<N: Net> Attempts<'_, N> {
    /// The first connection that succeeds; `None` if all attempts have failed.
    async fn run(&mut self) -> Option<N::Stream> {
        loop {
            self.start_next();
            if self.running.is_empty() {
                return None;
            }
            let next: Option<Instant> =
                (!self.waiting.is_empty()).then(|| self.net.now().after(self.delay));
            if let Some(stream) = self.until(next).await {
                return Some(stream);
            }
        }
    }

    fn start_next(&mut self) {
        if let Some(address) = self.waiting.pop_front() {
            self.trace.fact(format_args!("trying {address}"));
            self.running.push(Attempt {
                number: self.started,
                address,
                connecting: Box::pin(self.net.connect(address)),
            });
            self.started += 1;
        }
    }

    /// Waits for a connection. Returns `None` when the next attempt should start: at `next`, when
    /// the newest attempt has failed, or when all have.
    async fn until(&mut self, next: Option<Instant>) -> Option<N::Stream> {
        let mut turn = next.map(|next| Box::pin(self.net.sleep_until(next)));
        let newest = self.started.checked_sub(1);
        poll_fn(|cx| {
            let mut index = 0;
            while let Some(attempt) = self.running.get_mut(index) {
                let Poll::Ready(result) = attempt.connecting.as_mut().poll(cx) else {
                    index += 1;
                    continue;
                };
                let Attempt {
                    number, address, ..
                } = self.running.remove(index);
                match result {
                    Ok(stream) => {
                        let local = stream.local_addr();
                        self.trace
                            .fact(format_args!("connected to {address} from {local}"));
                        return Poll::Ready(Some(stream));
                    }
                    Err(reason) => {
                        self.trace
                            .fact(format_args!("could not connect to {address}: {reason}"));
                        self.failures
                            .push((number, ConnectFailure { address, reason }));
                    }
                }
            }
            let newest_runs = self
                .running
                .last()
                .is_some_and(|attempt| Some(attempt.number) == newest);
            match &mut turn {
                _ if self.running.is_empty() => Poll::Ready(None),
                Some(_) if !newest_runs => Poll::Ready(None),
                Some(turn) => turn.as_mut().poll(cx).map(|()| None),
                None => Poll::Pending,
            }
        })
        .await
    }

    /// The failures, in the order of the attempts.
    fn failures(mut self) -> Vec<ConnectFailure> {
        self.failures.sort_by_key(|(number, _)| *number);
        self.failures
            .into_iter()
            .map(|(_, failure)| failure)
            .collect()
    }

    /// The error when no attempt succeeded.
    fn failed(mut self, timeout: Option<Timeout>) -> FetchError {
        if let Some(timeout) = timeout {
            if timeout.bound == TimeBound::Total {
                return FetchError::Timeout(timeout);
            }
            for attempt in self.running.drain(..) {
                let address = attempt.address;
                self.trace.fact(format_args!("no answer from {address}"));
                let reason = NetError::TimedOut;
                self.failures
                    .push((attempt.number, ConnectFailure { address, reason }));
            }
        }
        let failures = self.failures();
        // A denial is the only failure that the caller can change, so it is reported first.
        if let Some(denied) = failures
            .iter()
            .find(|failure| failure.reason == NetError::Denied)
        {
            return FetchError::Denied(Denied::Connect(denied.address));
        }
        match timeout {
            Some(timeout)
                if failures
                    .iter()
                    .all(|failure| failure.reason == NetError::TimedOut) =>
            {
                FetchError::Timeout(timeout)
            }
            _ => FetchError::ConnectFailed(failures),
        }
    }
}

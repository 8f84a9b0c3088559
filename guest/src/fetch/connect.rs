//! From a host to a connection.

use super::Options;
use super::clock::Clock;
use super::error::{Bound, Denied, FetchError, Stage, Timeout};
use super::pool::Origin;
use super::trace::Trace;
use crate::net::{Instant, Net, NetError, Stream};
use crate::url::Host;
use std::borrow::Cow;
use std::collections::VecDeque;
use std::fmt;
use std::future::{Future, poll_fn};
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin as Pinned;
use std::task::Poll;
use std::time::Duration;

/// How long an attempt to connect has for itself, unless the caller says otherwise (RFC 8305 section 5).
pub const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// The most addresses of one host that are tried. Each attempt that hangs holds a socket, and no host
/// has as many addresses for its own good.
const MAX_ATTEMPTS: usize = 64;

/// A pin's host that is any.
const ANY_HOST: &str = "*";

/// A family of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    Ipv4,
    Ipv6,
}

impl Family {
    /// Whether an address is of this family.
    pub fn has(self, ip: IpAddr) -> bool {
        ip.is_ipv4() == (self == Self::Ipv4)
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ipv4 => "IPv4",
            Self::Ipv6 => "IPv6",
        })
    }
}

/// Addresses to use in place of a lookup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pin {
    /// The host as a URL names it, in any case; `*` is every host that has no pin of its own.
    pub host: String,
    /// The port that they are for.
    pub port: u16,
    pub addresses: Vec<IpAddr>,
}

impl Pin {
    /// The addresses that `pins` have for `origin`, if one of them is for it. The last one counts.
    pub fn addresses<'a>(pins: &'a [Self], origin: &Origin) -> Option<&'a [IpAddr]> {
        let mut here = pins.iter().filter(|pin| pin.port == origin.port);
        let own = here
            .clone()
            .rfind(|pin| Host::parse(&pin.host).is_ok_and(|host| host == origin.host));
        let pin = own.or_else(|| here.rfind(|pin| pin.host == ANY_HOST))?;
        Some(&pin.addresses)
    }
}

/// One address that could not be connected to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectFailure {
    pub address: SocketAddr,
    pub reason: NetError,
}

/// A new connection.
pub struct Connected<S> {
    pub stream: S,
    /// Whether the address was pinned.
    pub pinned: bool,
    /// What could not be connected to before.
    pub failures: Vec<ConnectFailure>,
    /// When the addresses were known.
    pub looked_up: Duration,
}

/// Connects to the first of the host's addresses that answers.
pub async fn connect<N: Net>(
    net: &N,
    clock: &Clock<N>,
    origin: &Origin,
    options: &Options,
    trace: &Trace,
) -> Result<Connected<N::Stream>, FetchError> {
    let (addresses, pinned) = match Pin::addresses(&options.pins, origin) {
        Some(addresses) => (addresses.to_vec(), true),
        None => (lookup(net, clock, origin, trace).await?, false),
    };
    let looked_up = clock.elapsed();
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
            pinned,
            failures: attempts.failures(),
            looked_up,
        }),
        Ok(None) => Err(attempts.failed(None)),
        Err(FetchError::Timeout(timeout)) => Err(attempts.failed(Some(timeout))),
        Err(error) => Err(error),
    }
}

/// Agrees upon TLS with the host at the other end of a new connection.
pub async fn secure<N: Net>(
    net: &N,
    clock: &Clock<N>,
    origin: &Origin,
    stream: N::Stream,
    trace: &Trace,
) -> Result<N::Stream, FetchError> {
    let server = match &origin.host {
        Host::Domain(name) => Cow::Borrowed(name.strip_suffix('.').unwrap_or(name)),
        // Without the brackets that an IPv6 address has in a URL.
        Host::Ipv4(ip) => ip.to_string().into(),
        Host::Ipv6(ip) => ip.to_string().into(),
    };
    let limit = clock.timeouts.handshake;
    let securing = net.secure(stream, &server);
    let stream = clock.within(Stage::Handshake, limit, 0, securing).await??;
    trace.fact(format_args!("there is TLS with {server}"));
    Ok(stream)
}

async fn lookup<N: Net>(
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
    let limit = clock.timeouts.lookup;
    let answer = clock
        .within(Stage::Lookup, limit, 0, net.lookup(name))
        .await?;
    let addresses = answer.map_err(|reason| match reason {
        NetError::Denied => FetchError::Denied(Denied::Lookup(name.clone())),
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

/// The addresses of one family, or those of both by turns, the first one's family first (RFC 8305
/// section 4, with a First Address Family Count of 1).
fn in_order(addresses: Vec<IpAddr>, family: Option<Family>) -> Vec<IpAddr> {
    let mut kept: Vec<IpAddr> = Vec::new();
    for ip in addresses {
        // An IPv6 socket reaches no IPv4 address in WASI, however it is written.
        let ip = ip.to_canonical();
        // Nothing is gained by asking the same twice.
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

/// Attempts to connect to one host's addresses, started one after the other.
struct Attempts<'a, N: Net> {
    net: &'a N,
    trace: &'a Trace,
    waiting: VecDeque<SocketAddr>,
    delay: Duration,
    running: Vec<Attempt<N::Stream>>,
    started: usize,
    /// With each attempt's number.
    failures: Vec<(usize, ConnectFailure)>,
}

struct Attempt<S> {
    number: usize,
    address: SocketAddr,
    connecting: Pinned<Box<dyn Future<Output = Result<S, NetError>>>>,
}

impl<N: Net> Attempts<'_, N> {
    /// The first connection that there is; none when all attempts have failed.
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

    /// Waits for a connection, until it's the next attempt's turn: at `next`, or when the newest has
    /// failed, or all have.
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

    /// What failed, in the order of the attempts.
    fn failures(mut self) -> Vec<ConnectFailure> {
        self.failures.sort_by_key(|(number, _)| *number);
        self.failures
            .into_iter()
            .map(|(_, failure)| failure)
            .collect()
    }

    /// Why there is no connection.
    fn failed(mut self, timeout: Option<Timeout>) -> FetchError {
        if let Some(timeout) = timeout {
            if timeout.bound == Bound::Total {
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
        // A refusal is the one thing here that the caller can change, so it is told first.
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

//! The events of a run: what it asked for, what was decided and why, and what came of it.
//!
//! An event can be read by people ([`Display`](std::fmt::Display)) and by programs
//! ([`AuditEvent::to_json`]).

mod json;

use crate::{
    DenialReason, GrantedBy, Hint, HttpTarget, Limit, MAX_NAME_BYTES, Name, Target, Verdict,
};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, SystemTime};

/// The number of a run, by which the events of one run are told from those of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RunId(u64);

impl RunId {
    /// The run with this number.
    pub fn new(number: u64) -> RunId {
        RunId(number)
    }

    /// The number.
    pub fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One entry of the record.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct AuditEvent {
    /// When it happened.
    pub time: SystemTime,
    /// The run that it is about.
    pub run: RunId,
    /// What happened.
    pub what: EventKind,
}

/// What an [`AuditEvent`] tells of.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum EventKind {
    /// A run asked something of the network, and it was decided whether it may.
    Decision {
        /// What it asked for.
        target: Target,
        /// What was decided, and why.
        verdict: Verdict,
    },
    /// A name whose lookup was allowed has been looked up.
    Resolved {
        /// The name.
        name: Name,
        /// The addresses that the component was told.
        addresses: Vec<IpAddr>,
        /// Those that it was not told, since nothing that is granted reaches them.
        withheld: Vec<IpAddr>,
    },
    /// A limit was reached.
    Limit {
        /// Which one.
        limit: Limit,
        /// What was being done, where it was something with the network.
        target: Option<Target>,
    },
    /// An HTTP request that was allowed is over: its response was read, or left, or there was none.
    Http(HttpExchange),
    /// The same has happened again since it was recorded. A peer that is refused is the same with any port.
    Repeated {
        /// What it was, as it was recorded: a decision, a lookup, or a limit.
        what: Box<EventKind>,
        /// How often it has happened again.
        count: u64,
    },
    /// So many different things happened that these were not recorded one by one.
    Omitted {
        /// The first of them: the others are the same operation, or limit, with the same outcome.
        like: Box<EventKind>,
        /// How many there were.
        count: u64,
    },
    /// The run is over: what went to and came from one target, all its connections together.
    Traffic(Traffic),
    /// The run is over, and what went through its connections was not counted, as it can't be on
    /// [`Wasi::V0_3`](crate::Wasi::V0_3). It takes the place of [`EventKind::Traffic`].
    NotCounted,
    /// The run is over, and nothing more of it follows.
    Ended,
}

/// What a run exchanged with one target.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Traffic {
    /// The target. Of connections that were accepted: the address that was listened on, as
    /// [`Target::Listen`]. Of a name with several addresses: the one that was used first.
    ///
    /// None: all those that were one too many to be told one by one, of which there are 10,000.
    pub target: Option<Target>,
    /// The name that the address was resolved from, where it was.
    pub name: Option<Name>,
    /// Connections; of UDP: datagrams, in both directions.
    pub connections: u64,
    /// Bytes received.
    pub received: u64,
    /// Bytes sent.
    pub sent: u64,
    /// How long its connections were open, added up.
    pub open: Duration,
}

/// An HTTP request that was sent by way of the host, and what came of it. Its URL has no query here, since secrets
/// are often in it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HttpExchange {
    /// The request.
    pub request: HttpTarget,
    /// The address of the server, where it came to a connection.
    pub address: Option<SocketAddr>,
    /// The status of the response, where there was one.
    pub status: Option<u16>,
    /// Why it has failed, in the words of WASI (`connection-refused`), where it has.
    pub error: Option<&'static str>,
    /// Bytes of the request's body that were sent.
    pub sent: u64,
    /// Bytes of the response's body that were received.
    pub received: u64,
    /// How long it took.
    pub time: Duration,
}

impl HttpExchange {
    /// A request of which nothing has been sent.
    pub fn new(request: HttpTarget) -> HttpExchange {
        HttpExchange {
            request,
            address: None,
            status: None,
            error: None,
            sent: 0,
            received: 0,
            time: Duration::ZERO,
        }
    }
}

impl Traffic {
    /// No connection yet, and not a byte.
    pub fn new(target: Option<Target>, name: Option<Name>) -> Traffic {
        Traffic {
            target,
            name,
            connections: 0,
            received: 0,
            sent: 0,
            open: Duration::ZERO,
        }
    }
}

impl AuditEvent {
    /// An event that happens now.
    pub fn now(run: RunId, what: EventKind) -> AuditEvent {
        AuditEvent {
            time: SystemTime::now(),
            run,
            what,
        }
    }

    /// How many bytes of memory it takes, roughly.
    pub fn held_bytes(&self) -> usize {
        size_of::<AuditEvent>() + self.what.held_bytes()
    }

    /// What was asked and what was decided, of an event that tells of a decision.
    pub fn decision(&self) -> Option<(&Target, &Verdict)> {
        match &self.what {
            EventKind::Decision { target, verdict } => Some((target, verdict)),
            _ => None,
        }
    }

    /// What would allow what was refused, or raise the limit that was reached. Its text is in the event's.
    pub fn hint(&self) -> Option<Hint> {
        self.what.hint()
    }

    /// Whether it tells of something that was denied.
    pub fn is_denial(&self) -> bool {
        self.decision()
            .is_some_and(|(_, verdict)| !verdict.is_allowed())
    }
}

impl EventKind {
    fn hint(&self) -> Option<Hint> {
        match self {
            EventKind::Decision {
                target,
                verdict: Verdict::Denied { reason, name },
            } => reason.hint(target, name.as_ref()),
            EventKind::Limit { limit, .. } => Some(Hint::Limit(*limit)),
            EventKind::Repeated { what, .. } | EventKind::Omitted { like: what, .. } => what.hint(),
            _ => None,
        }
    }

    /// How many bytes of memory it takes behind itself, roughly.
    fn held_bytes(&self) -> usize {
        let of_name = |name: Option<&Name>| name.map_or(0, |name| name.as_str().len());
        let of_target = |target: Option<&Target>| match target {
            Some(Target::Resolve(name)) => name.as_str().len(),
            Some(Target::Http(request)) => request.held_bytes(),
            _ => 0,
        };
        match self {
            EventKind::Decision { target, verdict } => {
                of_target(Some(target)) + of_name(verdict.name()) + of_reason(verdict)
            }
            EventKind::Resolved {
                name,
                addresses,
                withheld,
            } => of_name(Some(name)) + (addresses.len() + withheld.len()) * size_of::<IpAddr>(),
            EventKind::Limit { target, .. } => of_target(target.as_ref()),
            EventKind::Traffic(traffic) => {
                of_target(traffic.target.as_ref()) + of_name(traffic.name.as_ref())
            }
            EventKind::Repeated { what, .. } | EventKind::Omitted { like: what, .. } => {
                size_of::<EventKind>() + what.held_bytes()
            }
            EventKind::Http(exchange) => exchange.request.held_bytes(),
            EventKind::NotCounted | EventKind::Ended => 0,
        }
    }
}

/// What the reason of a verdict takes. A rule has some names at most; what a decider says may be long.
fn of_reason(verdict: &Verdict) -> usize {
    match verdict {
        Verdict::Allowed {
            by: GrantedBy::Decider { reason },
            ..
        }
        | Verdict::Denied {
            reason: DenialReason::Decider { reason },
            ..
        } => reason.len(),
        Verdict::Allowed { .. } | Verdict::Denied { .. } => MAX_NAME_BYTES,
    }
}

impl fmt::Display for AuditEvent {
    /// One line for people: `allowed: connect to 192.0.2.1:80 (example.com), by: allow-connect
    /// example.com:80`, or `denied: connect to 192.0.2.1:80: no rule grants it (allow-connect
    /// 192.0.2.1:80 would)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.what.fmt(f)
    }
}

impl fmt::Display for EventKind {
    /// As [`AuditEvent`]'s.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EventKind::Decision { target, verdict } => decision(f, target, verdict),
            EventKind::Resolved {
                name,
                addresses,
                withheld,
            } => {
                write!(f, "resolved: {name} is {}", Addresses(addresses))?;
                match withheld.is_empty() {
                    true => Ok(()),
                    false => write!(f, ", withheld: {}", Addresses(withheld)),
                }
            }
            EventKind::Limit { limit, target } => {
                write!(f, "limit: no more {limit}")?;
                if let Some(target) = target {
                    write!(f, " for this: {target}")?;
                }
                write!(f, " ({} bounds them)", Hint::Limit(*limit))
            }
            EventKind::Repeated { what, count } => {
                let times = if *count == 1 { "time" } else { "times" };
                write!(f, "repeated {count} {times}: {what}")
            }
            EventKind::Omitted { like, count } => write!(
                f,
                "{count} more were not told one by one, of which the first was: {like}"
            ),
            EventKind::Http(exchange) => exchange.fmt(f),
            EventKind::Traffic(traffic) => traffic.fmt(f),
            EventKind::NotCounted => f.write_str("total: bytes are not counted on WASI 0.3"),
            EventKind::Ended => f.write_str("ended"),
        }
    }
}

fn decision(f: &mut fmt::Formatter<'_>, target: &Target, verdict: &Verdict) -> fmt::Result {
    let named = |name: &Option<Name>| match name {
        Some(name) => format!(" ({name})"),
        None => String::new(),
    };
    match verdict {
        Verdict::Allowed { by, name } => write!(f, "allowed: {target}{}, by: {by}", named(name)),
        Verdict::Denied { reason, name } => {
            write!(f, "denied: {}", reason.refusal(target, name.as_ref()))
        }
    }
}

impl fmt::Display for HttpExchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http: {}", self.request)?;
        if let Some(address) = self.address {
            write!(f, " at {address}")?;
        }
        match (self.status, self.error) {
            (Some(status), None) => write!(f, ": {status}")?,
            (Some(status), Some(error)) => write!(f, ": {status}, then {error}")?,
            (None, error) => write!(f, ": {}", error.unwrap_or("no response"))?,
        }
        write!(
            f,
            ", {} bytes received, {} sent, {:.3} s",
            self.received,
            self.sent,
            self.time.as_secs_f64()
        )
    }
}

impl fmt::Display for Traffic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.target {
            Some(target) => write!(f, "total: {target}")?,
            None => f.write_str("total: all others")?,
        }
        if let Some(name) = &self.name {
            write!(f, " ({name})")?;
        }
        write!(
            f,
            ": {} connections, {} bytes received, {} sent, {:.3} s",
            self.connections,
            self.received,
            self.sent,
            self.open.as_secs_f64()
        )
    }
}

/// Addresses, with commas between.
struct Addresses<'a>(&'a [IpAddr]);

impl fmt::Display for Addresses<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, address) in self.0.iter().enumerate() {
            let comma = if index > 0 { ", " } else { "" };
            write!(f, "{comma}{address}")?;
        }
        match self.0.is_empty() {
            true => f.write_str("at no address that may be told"),
            false => Ok(()),
        }
    }
}

/// Where events are recorded. A closure that takes an [`AuditEvent`] is one.
///
/// It is called before what was decided happens, on the thread that runs the component, so it must
/// not wait for anything.
///
/// # Examples
/// ```
/// use sockbox_policy::audit::{AuditEvent, AuditSink};
/// use std::sync::{Arc, Mutex};
///
/// let denials = Arc::new(Mutex::new(Vec::new()));
/// let sink = {
///     let denials = denials.clone();
///     move |event: &AuditEvent| {
///         if event.is_denial() {
///             denials.lock().unwrap().push(event.to_string());
///         }
///     }
/// };
/// # fn takes_a_sink(_: impl AuditSink) {}
/// # takes_a_sink(sink);
/// ```
pub trait AuditSink: Send + Sync + 'static {
    /// Record one event.
    fn record(&self, event: &AuditEvent);
}

impl<F: Fn(&AuditEvent) + Send + Sync + 'static> AuditSink for F {
    fn record(&self, event: &AuditEvent) {
        self(event);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Origin, Policy, ResolvedNames};

    #[test]
    fn decisions_can_be_read_by_people() {
        let policy = Policy::new().allow_origin(Origin::new("127.0.0.1".parse().unwrap(), 80));
        for (address, expected) in [
            (
                "127.0.0.1:80",
                "allowed: connect to 127.0.0.1:80, by: allow-connect 127.0.0.1:80",
            ),
            (
                "127.0.0.1:81",
                "denied: connect to 127.0.0.1:81: no rule grants it (allow-connect \
                 127.0.0.1:81 would)",
            ),
        ] {
            let target = Target::Connect(address.parse().unwrap());
            let verdict = policy.judge(&target, &ResolvedNames::new());
            let event = AuditEvent::now(RunId(1), EventKind::Decision { target, verdict });
            assert_eq!(event.to_string(), expected);
        }
    }
}

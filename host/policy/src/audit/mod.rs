//! The events of a run: its requests, the decisions with their reasons, and the traffic.
//!
//! An event can be read by people ([`Display`](std::fmt::Display)) and by programs
//! ([`AuditEvent::to_json`]).

mod handled;
mod http;
mod json;
mod tunnel;

pub use handled::{HandledRequest, MAX_HANDLED_PATH_BYTES};
pub use http::{
    HttpExchange, HttpRefused, MAX_REFUSED_HEADER_BYTES, MAX_REFUSED_URL_BYTES, ProxyUse,
    SecretHeaderUse,
};
pub use tunnel::Tunnel;

use crate::{
    DenialReason, Deny, GrantedBy, Hint, Limit, MAX_NAME_BYTES, Name, Rule, Target, Verdict,
};
use std::fmt;
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

/// The number of a run. It identifies the events of that run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RunId(u64);

impl RunId {
    /// The run with this number.
    pub const fn new(number: u64) -> RunId {
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
    /// The policy decided on a request of the run.
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
        /// The addresses that were withheld from it, because no grant reaches them.
        withheld: Vec<IpAddr>,
    },
    /// A name whose lookup was allowed is not resolved here: a proxy resolves it.
    LeftToProxy {
        /// The name.
        name: Name,
        /// The address that the component was told. It stands for the name.
        placeholder: IpAddr,
    },
    /// A proxy was asked for a connection to an allowed target, and it has answered or failed.
    Tunnel(Tunnel),
    /// A limit was reached.
    Limit {
        /// Which one.
        limit: Limit,
        /// The network operation that reached the limit, if it was one.
        target: Option<Target>,
    },
    /// An allowed HTTP request has ended: the component has read or dropped the response, or the request has failed.
    Http(HttpExchange),
    /// The host refused an HTTP request, or a part of one, because its method, its URL or its headers are not valid. The
    /// policy was not asked.
    HttpRefused(HttpRefused),
    /// A request of an HTTP client to the component has ended: its response was sent, or it has failed.
    Handled(HandledRequest),
    /// The same event has happened again since it was recorded. Denials of one peer with different ports
    /// count as the same event.
    Repeated {
        /// What it was, as it was recorded: a decision, a lookup, or a limit.
        what: Box<EventKind>,
        /// How often it has happened again.
        count: u64,
    },
    /// Too many different events happened, so these were not recorded one by one.
    Omitted {
        /// The first of them. The others have the same operation, or limit, and the same outcome. Responses have the
        /// same outcome if the first digits of their statuses are the same.
        like: Box<EventKind>,
        /// How many there were.
        count: u64,
    },
    /// The run has ended: the traffic with one target, over all connections.
    Traffic(Traffic),
    /// The run has ended. This is its last event.
    Ended,
}

/// What a run exchanged with one target.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Traffic {
    /// The target. Of connections that were accepted: the address that was listened on, as
    /// [`Target::Listen`]. Of a name with several addresses: the one that was used first.
    ///
    /// None: the sum over all targets after the first 10,000.
    pub target: Option<Target>,
    /// The name that the address was resolved from, if any.
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

    /// Roughly how many bytes of memory the event takes.
    pub fn held_bytes(&self) -> usize {
        size_of::<AuditEvent>() + self.what.bytes_behind()
    }

    /// The target and the verdict, if the event is a decision.
    pub fn decision(&self) -> Option<(&Target, &Verdict)> {
        match &self.what {
            EventKind::Decision { target, verdict } => Some((target, verdict)),
            _ => None,
        }
    }

    /// The rule that would allow what was denied, or the limit that was reached. The text of the event
    /// contains it.
    pub fn hint(&self) -> Option<Hint> {
        self.what.hint()
    }

    /// Whether the event is a denial.
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

    /// Roughly how many bytes of memory it takes.
    pub fn held_bytes(&self) -> usize {
        size_of::<EventKind>() + self.bytes_behind()
    }

    /// How many bytes of memory it takes behind itself, roughly.
    fn bytes_behind(&self) -> usize {
        let of_name = |name: Option<&Name>| name.map_or(0, |name| name.as_str().len());
        let of_target = |target: Option<&Target>| match target {
            Some(Target::Resolve(name) | Target::ConnectName { name, .. }) => name.as_str().len(),
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
            EventKind::LeftToProxy { name, .. } => of_name(Some(name)),
            EventKind::Tunnel(tunnel) => tunnel.held_bytes(),
            EventKind::Limit { target, .. } => of_target(target.as_ref()),
            EventKind::Traffic(traffic) => {
                of_target(traffic.target.as_ref()) + of_name(traffic.name.as_ref())
            }
            EventKind::Repeated { what, .. } | EventKind::Omitted { like: what, .. } => {
                what.held_bytes()
            }
            EventKind::Http(exchange) => exchange.held_bytes(),
            EventKind::HttpRefused(refused) => refused.held_bytes(),
            EventKind::Handled(handled) => handled.held_bytes(),
            EventKind::Ended => 0,
        }
    }
}

/// The memory of a verdict's reason. A rule has few names, but the text of a decider and an HTTP rule may be long.
fn of_reason(verdict: &Verdict) -> usize {
    match verdict {
        Verdict::Allowed {
            by: GrantedBy::Decider { reason },
            ..
        } => reason.len(),
        Verdict::Allowed {
            by: GrantedBy::Rule(Rule::Http { requests }),
            ..
        } => requests.held_bytes(),
        Verdict::Allowed { .. } => MAX_NAME_BYTES,
        Verdict::Denied { reason, .. } => of_denial(reason),
    }
}

fn of_denial(reason: &DenialReason) -> usize {
    match reason {
        DenialReason::Decider { reason } => reason.len(),
        DenialReason::Rule {
            rule: Deny::Http { requests },
        } => requests.held_bytes(),
        DenialReason::Ceiling { reason } => size_of::<DenialReason>() + of_denial(reason),
        _ => MAX_NAME_BYTES,
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
            EventKind::LeftToProxy { name, placeholder } => write!(
                f,
                "not resolved: {name}, the proxy does it; {placeholder} stands for it"
            ),
            EventKind::Tunnel(tunnel) => tunnel.fmt(f),
            EventKind::Limit { limit, target } => {
                write!(f, "limit: no more {limit}")?;
                if let Some(target) = target {
                    write!(f, " for this: {target}")?;
                }
                write!(f, " ({} sets the limit)", Hint::Limit(*limit))
            }
            EventKind::Repeated { what, count } => {
                let times = if *count == 1 { "time" } else { "times" };
                write!(f, "repeated {count} {times}: {what}")
            }
            EventKind::Omitted { like, count } => write!(
                f,
                "{count} more events were not recorded one by one; the first of them: {like}"
            ),
            EventKind::Http(exchange) => exchange.fmt(f),
            EventKind::HttpRefused(refused) => refused.fmt(f),
            EventKind::Handled(handled) => write!(f, "request: {handled}"),
            EventKind::Traffic(traffic) => traffic.fmt(f),
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
            true => f.write_str("at no permitted address"),
            false => Ok(()),
        }
    }
}

/// Where events are recorded. A closure that takes an [`AuditEvent`] is one.
///
/// It is called before the decided operation happens, on the thread that runs the component. It
/// must not block.
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
    use crate::{HttpTarget, Origin, Policy, ResolvedNames};

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

    #[test]
    fn the_memory_of_an_event_includes_its_urls_and_rules() {
        let path = "a".repeat(8000);
        let request: HttpTarget = HttpTarget::new(
            "GET".parse().unwrap(),
            format!("http://a.example/{path}").parse().unwrap(),
        );
        let target = Target::Http(request.clone());
        let rule = format!("GET http://a.example/{path}");
        let allowed = Policy::new().allow_http(&rule).unwrap();
        let denied = Policy::new().deny_http(&rule).unwrap();
        for (policy, least) in [(Policy::new(), 8000), (allowed, 16_000), (denied, 16_000)] {
            let verdict = policy.judge(&target, &ResolvedNames::new());
            let event = EventKind::Decision {
                target: target.clone(),
                verdict,
            };
            let held = event.held_bytes();
            assert!((least..least + 2000).contains(&held), "{held}");
        }
        let event = EventKind::Http(HttpExchange::new(request));
        assert!((8000..10_000).contains(&event.held_bytes()));
    }
}

//! A record of what a run asked for, what was decided and why, and what came of it.

mod json;
mod lines;

pub use lines::{FINISH_TIMEOUT, JsonLines, MAX_WAITING, Written};

use crate::limits::Limit;
use crate::policy::{Name, Target, Verdict};
use std::fmt;
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

/// Tells the runs of one [`Sandbox`](crate::Sandbox) apart: counts from 1 on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RunId(pub(crate) u64);

impl RunId {
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
    pub what: What,
}

/// What an [`AuditEvent`] tells of.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum What {
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
    /// The run is over: what went to and came from one target, all its connections together.
    Traffic(Traffic),
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

impl AuditEvent {
    pub(crate) fn now(run: RunId, what: What) -> AuditEvent {
        AuditEvent {
            time: SystemTime::now(),
            run,
            what,
        }
    }

    /// What was asked and what was decided, of an event that tells of a decision.
    pub fn decision(&self) -> Option<(&Target, &Verdict)> {
        match &self.what {
            What::Decision { target, verdict } => Some((target, verdict)),
            _ => None,
        }
    }

    /// Whether it tells of something that was denied.
    pub fn is_denial(&self) -> bool {
        self.decision()
            .is_some_and(|(_, verdict)| !verdict.is_allowed())
    }
}

impl fmt::Display for AuditEvent {
    /// One line for people: `allowed: connect to 192.0.2.1:80 (example.com), by: allow-connect
    /// example.com:80`, or `denied: connect to 192.0.2.1:80: no rule grants it (--allow-connect
    /// 192.0.2.1:80 would)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.what {
            What::Decision { target, verdict } => decision(f, target, verdict),
            What::Resolved {
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
            What::Limit { limit, target } => {
                write!(f, "limit: no more {limit}")?;
                if let Some(target) = target {
                    write!(f, " for this: {target}")?;
                }
                write!(f, " (--{} bounds them)", limit.key())
            }
            What::Traffic(traffic) => traffic.fmt(f),
            What::Ended => f.write_str("ended"),
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
            true => f.write_str("at no address that may be told"),
            false => Ok(()),
        }
    }
}

/// Where events are recorded. A closure that takes an [`AuditEvent`] is one.
///
/// It is called before what was decided happens, on the thread that runs the component, so it must
/// not wait for anything. [`JsonLines`] is one that writes a file.
///
/// # Examples
/// ```
/// use sockbox::audit::{AuditEvent, AuditSink};
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
    use crate::policy::{Answers, Policy};

    #[test]
    fn decisions_can_be_read_by_people() {
        let policy = Policy::new().allow_url("http://127.0.0.1:80/").unwrap();
        for (address, expected) in [
            (
                "127.0.0.1:80",
                "allowed: connect to 127.0.0.1:80, by: allow-connect 127.0.0.1:80",
            ),
            (
                "127.0.0.1:81",
                "denied: connect to 127.0.0.1:81: no rule grants it (--allow-connect \
                 127.0.0.1:81 would)",
            ),
        ] {
            let target = Target::Connect(address.parse().unwrap());
            let verdict = policy.judge(&target, &Answers::new());
            let event = AuditEvent::now(RunId(1), What::Decision { target, verdict });
            assert_eq!(event.to_string(), expected);
        }
    }
}

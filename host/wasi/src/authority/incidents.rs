//! The log of a run's failures. Errors, hints and messages are made from this one log, so they name the same
//! rule, name and address.

use super::at_proxy::is_placeholder;
use super::{Authority, locked};
use crate::proxy::ProxyProblem;
use crate::tls::Failure;
use sockbox_policy::{DenialReason, Limit, Name, Target};
use std::collections::VecDeque;

/// How many incidents are remembered: the latest 64. A component reports a failure soon after it happens.
pub(super) const MAX_INCIDENTS: usize = 64;

/// Something that went wrong.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Incident {
    /// The policy refused something.
    Denied(Refusal),
    /// A limit was reached.
    Limit {
        /// Which one.
        limit: Limit,
        /// The network operation that reached the limit, if it was one.
        target: Option<Target>,
    },
    /// A TLS handshake has failed, or a TLS connection broke.
    Tls(Failure),
    /// A proxy gave a socket of the component no connection.
    Proxy {
        /// The proxy's host and port.
        proxy: String,
        /// Why not.
        problem: ProxyProblem,
    },
}

/// Something that was refused, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Refusal {
    /// What was asked for.
    pub target: Target,
    /// The name that its address was resolved from, if any.
    pub name: Option<Name>,
    /// Why it was refused.
    pub reason: DenialReason,
}

impl Refusal {
    /// The refusal of `target`, whose address `name` resolved to.
    pub fn new(target: Target, name: Option<Name>, reason: DenialReason) -> Refusal {
        Refusal {
            target,
            name,
            reason,
        }
    }
}

/// A position in the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark(u64);

/// The latest incidents of a run, in order.
#[derive(Clone, Debug, Default)]
pub struct Incidents {
    noted: u64,
    latest: VecDeque<(u64, Incident)>,
}

impl Incidents {
    fn note(&mut self, incident: Incident) {
        self.noted += 1;
        if let Incident::Limit { limit, .. } = incident {
            // A component may reach a limit any number of times. Only the last time is kept, so that it
            // displaces no denial.
            self.latest.retain(
                |(_, other)| !matches!(other, Incident::Limit { limit: other, .. } if *other == limit),
            );
        }
        if self.latest.len() == MAX_INCIDENTS {
            self.latest.pop_front();
        }
        self.latest.push_back((self.noted, incident));
    }

    /// The incidents, the latest first.
    pub fn latest(&self) -> impl Iterator<Item = &Incident> {
        self.latest.iter().rev().map(|(_, incident)| incident)
    }

    /// The refusal of `asked`. A refused bind counts as a refusal to listen, and port 0 matches the port that
    /// the system chose. None: the operating system refused, not this policy.
    pub fn refusal_of(&self, asked: &Target) -> Option<Refusal> {
        let mut refusals = self.latest().filter_map(|incident| match incident {
            Incident::Denied(refusal) => Some(refusal),
            _ => None,
        });
        let mut found = refusals.find(|refusal| is_of(refusal, asked)).cloned()?;
        if let Target::Listen(_) = asked {
            found.target = asked.clone();
        }
        Some(found)
    }

    /// Whether this limit was reached.
    pub fn has_reached(&self, limit: Limit) -> bool {
        self.latest()
            .any(|incident| matches!(incident, Incident::Limit { limit: reached, .. } if *reached == limit))
    }

    /// The last failure of a proxy, and that proxy.
    pub fn proxy_failure(&self) -> Option<(&str, &ProxyProblem)> {
        self.latest().find_map(|incident| match incident {
            Incident::Proxy { proxy, problem } => Some((proxy.as_str(), problem)),
            _ => None,
        })
    }

    /// The last failure of TLS.
    pub fn tls_failure(&self) -> Option<&Failure> {
        self.latest().find_map(|incident| match incident {
            Incident::Tls(failure) => Some(failure),
            _ => None,
        })
    }
}

fn is_of(refusal: &Refusal, asked: &Target) -> bool {
    match (asked, &refusal.target) {
        (Target::Listen(asked), Target::Bind(refused)) => refused == asked,
        // With port 0 the component reports the address that it asked for; the refusal has the port that
        // the system chose.
        (Target::Listen(asked), Target::Listen(refused)) => {
            refused.ip() == asked.ip() && (refused.port() == asked.port() || asked.port() == 0)
        }
        // The component knows the placeholder only.
        (Target::Connect(asked), Target::ConnectName { port, .. }) => {
            is_placeholder(asked.ip()) && *port == asked.port()
        }
        (asked, refused) => asked == refused,
    }
}

impl Authority {
    /// The current position in the log.
    pub fn mark(&self) -> Mark {
        Mark(locked(&self.incidents).noted)
    }

    /// The incidents since `mark`.
    pub fn incidents_since(&self, mark: Mark) -> Incidents {
        let mut incidents = locked(&self.incidents).clone();
        incidents.latest.retain(|(number, _)| *number > mark.0);
        incidents
    }

    /// Note something that went wrong.
    pub fn note(&self, incident: Incident) {
        locked(&self.incidents).note(incident);
    }
}

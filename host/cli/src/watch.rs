//! Where the events of a run go: to people, to a file, and to what is made of them in the end.

use crate::denials::Denials;
use crate::{stderr, words};
use sockbox::audit::JsonLines;
use sockbox::limits::Limit;
use sockbox::policy::{LeastGrants, Target};
use sockbox::{AuditEvent, AuditSink, EventKind, InstanceBuilder};
use std::sync::{Arc, Mutex, PoisonError};

/// Passes events on to those of its sinks that are set.
#[derive(Clone, Default)]
pub struct Watch {
    /// Tell each on standard error.
    pub verbose: bool,
    /// Write them down.
    pub record: Option<JsonLines>,
    /// Keep what was refused, for when the run has failed.
    pub denials: Option<Denials>,
    /// Keep which limits were reached, to say why a connection was closed.
    pub reached: Option<Reached>,
    /// Keep what was done, for a dry run's end.
    pub needed: Option<Arc<Mutex<LeastGrants>>>,
}

/// The limits that a run has reached.
#[derive(Clone, Default)]
pub struct Reached(Arc<Mutex<Vec<Limit>>>);

impl Reached {
    fn note(&self, limit: Limit) {
        let mut limits = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !limits.contains(&limit) {
            limits.push(limit);
        }
    }

    /// The first one of `limits` that was reached.
    pub fn first_of(&self, limits: &[Limit]) -> Option<Limit> {
        let reached = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        reached.iter().copied().find(|it| limits.contains(it))
    }
}

impl Watch {
    /// Have an instance watched, if any sink is set: what is not told needn't be found out.
    pub fn over(&self, builder: InstanceBuilder) -> InstanceBuilder {
        match self.verbose || self.record.is_some() || self.reached.is_some() {
            true => builder.audit(self.clone()),
            false => builder,
        }
    }
}

impl AuditSink for Watch {
    fn record(&self, event: &AuditEvent) {
        // People see that it has ended.
        if self.verbose && event.what != EventKind::Ended {
            stderr::line(format_args!("* {}", words::of_event(event)));
        }
        if let (false, Some(note)) = (self.verbose, words::of_private(event)) {
            stderr::line(format_args!("sockbox: {note}"));
        }
        if let Some(record) = &self.record {
            record.record(event);
        }
        if let Some(denials) = &self.denials {
            denials.record(event);
        }
        if let (Some(reached), EventKind::Limit { limit, .. }) = (&self.reached, &event.what) {
            reached.note(*limit);
        }
        if let Some(needed) = &self.needed {
            let mut needed = needed.lock().unwrap_or_else(PoisonError::into_inner);
            match &event.what {
                EventKind::Decision { verdict, .. } if verdict.is_private() => {}
                EventKind::Decision { target, verdict } if verdict.is_allowed() => {
                    needed.note(target, verdict.name());
                }
                EventKind::Http(exchange) => {
                    if let Some(address) = exchange.address {
                        needed.note_http_address(&exchange.request, address);
                    }
                }
                // Receiving needs no grant of its own, and accepting needs none for each client.
                EventKind::Omitted { like, count } => match &**like {
                    EventKind::Decision {
                        target: Target::Accept(_) | Target::UdpReceive(_),
                        ..
                    } => {}
                    EventKind::Decision { verdict, .. }
                        if verdict.is_allowed() && !verdict.is_private() =>
                    {
                        needed.note_omitted(*count);
                    }
                    _ => {}
                },
                _ => {}
            }
        }
    }
}

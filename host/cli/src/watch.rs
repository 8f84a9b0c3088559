//! Where the events of a run go: to people, to a file, and to what is made of them in the end.

use crate::denials::Denials;
use crate::{stderr, words};
use sockbox::audit::JsonLines;
use sockbox::policy::{LeastGrants, Target};
use sockbox::{AuditEvent, AuditSink, EventKind, InstanceBuilder};
use std::sync::{Arc, Mutex, PoisonError};

/// Passes events on to whoever wants them.
#[derive(Clone, Default)]
pub struct Watch {
    /// Tell each on standard error.
    pub verbose: bool,
    /// Write them down.
    pub record: Option<JsonLines>,
    /// Keep what was refused, for when the run has failed.
    pub denials: Option<Denials>,
    /// Keep what was done, for a dry run's end.
    pub needed: Option<Arc<Mutex<LeastGrants>>>,
}

impl Watch {
    /// Have an instance watched, if anybody wants to know: what is not told needn't be found out.
    pub fn over(&self, builder: InstanceBuilder) -> InstanceBuilder {
        match self.verbose || self.record.is_some() {
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
        if let Some(record) = &self.record {
            record.record(event);
        }
        if let Some(denials) = &self.denials {
            denials.record(event);
        }
        if let Some(needed) = &self.needed {
            let mut needed = needed.lock().unwrap_or_else(PoisonError::into_inner);
            match &event.what {
                EventKind::Decision { target, verdict } if verdict.is_allowed() => {
                    needed.note(target, verdict.name());
                }
                EventKind::Http(exchange) => {
                    if let Some(address) = exchange.address {
                        needed.note_http_address(&exchange.request, address);
                    }
                }
                // Of what was received nothing is needed, and who accepts needs nothing for each.
                EventKind::Omitted { like, count } => match &**like {
                    EventKind::Decision {
                        target: Target::Accept(_) | Target::UdpReceive(_),
                        ..
                    } => {}
                    EventKind::Decision { verdict, .. } if verdict.is_allowed() => {
                        needed.note_omitted(*count);
                    }
                    _ => {}
                },
                _ => {}
            }
        }
    }
}

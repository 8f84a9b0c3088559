//! Where the events of a run go: to people, to a file, and to what is made of them in the end.

use crate::denials::Denials;
use crate::stderr;
use sockbox::audit::JsonLines;
use sockbox::policy::{Needed, Target};
use sockbox::{AuditEvent, AuditSink, InstanceBuilder, What};
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
    pub needed: Option<Arc<Mutex<Needed>>>,
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
        if self.verbose && event.what != What::Ended {
            stderr::line(format_args!("* {event}"));
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
                What::Decision { target, verdict } if verdict.is_allowed() => {
                    needed.note(target, verdict.name());
                }
                // Of what was received nothing is needed, and who accepts needs nothing for each.
                What::Omitted { like, count } => match &**like {
                    What::Decision {
                        target: Target::Accept(_) | Target::UdpReceive(_),
                        ..
                    } => {}
                    What::Decision { verdict, .. } if verdict.is_allowed() => {
                        needed.note_omitted(*count);
                    }
                    _ => {}
                },
                _ => {}
            }
        }
    }
}

//! A record of every decision.

use crate::policy::{Target, Verdict};
use std::fmt;
use std::time::SystemTime;

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

/// One decision: what a run asked of the network, and what the policy said.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AuditEvent {
    /// When it was decided.
    pub time: SystemTime,
    /// The run that asked.
    pub run: RunId,
    /// What it asked for.
    pub target: Target,
    /// What the policy said, and by which rule.
    pub verdict: Verdict,
}

impl AuditEvent {
    pub(crate) fn now(run: RunId, target: Target, verdict: Verdict) -> AuditEvent {
        AuditEvent {
            time: SystemTime::now(),
            run,
            target,
            verdict,
        }
    }
}

impl fmt::Display for AuditEvent {
    /// `allowed: connect to 192.0.2.1:80 (example.com), by: connect example.com:80`, or
    /// `denied: connect to 192.0.2.1:80: no rule grants it (--allow-net would)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let target = &self.target;
        match &self.verdict {
            Verdict::Allowed { rule, name: None } => write!(f, "allowed: {target}, by: {rule}"),
            Verdict::Allowed {
                rule,
                name: Some(name),
            } => write!(f, "allowed: {target} ({name}), by: {rule}"),
            Verdict::Denied { reason } => {
                write!(f, "denied: {target}: {}", reason.told(target))
            }
        }
    }
}

/// Where decisions are recorded. A closure that takes an [`AuditEvent`] is one.
///
/// It is called before what was decided happens, on the thread that runs the component, so it must
/// not wait for anything.
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
///         if !event.verdict.is_allowed() {
///             denials.lock().unwrap().push(event.target.clone());
///         }
///     }
/// };
/// # fn takes_a_sink(_: impl AuditSink) {}
/// # takes_a_sink(sink);
/// ```
pub trait AuditSink: Send + Sync + 'static {
    /// Record one decision.
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
                "allowed: connect to 127.0.0.1:80, by: connect 127.0.0.1:80",
            ),
            (
                "127.0.0.1:81",
                "denied: connect to 127.0.0.1:81: no rule grants it (--allow-net would)",
            ),
        ] {
            let target = Target::Connect(address.parse().unwrap());
            let verdict = policy.judge(&target, &Answers::new());
            let event = AuditEvent::now(RunId(1), target, verdict);
            assert_eq!(event.to_string(), expected);
        }
    }
}

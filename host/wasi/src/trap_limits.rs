//! The limits that wasmtime enforces by a trap.

use crate::limiter::Limiter;
use sockbox_policy::Limit;
use wasmtime::component::ResourceTableError;

/// The texts of wasmtime's errors for limits that have no error type: the end of the text, and the
/// limit. Tests reach each of these limits.
const TEXTS: &[(&str, Limit)] = &[
    ("store handle limit exceeded", Limit::Handles),
    (
        "fuel allocated for hostcalls has been exhausted",
        Limit::HostcallBytes,
    ),
];

/// What wasmtime says before the kind of thing that there are too many of: core instances, memories
/// or tables.
const TOO_MANY: &str = "resource limit exceeded: ";

/// The limit that a call failed for, if it was one.
pub fn trap_limit(error: &wasmtime::Error, limiter: &Limiter) -> Option<Limit> {
    if let Some(ResourceTableError::Full) = error.downcast_ref() {
        return Some(Limit::Resources);
    }
    let text = error.root_cause().to_string();
    if let Some((_, limit)) = TEXTS.iter().find(|(end, _)| text.ends_with(end)) {
        return Some(*limit);
    }
    if text.starts_with(TOO_MANY) {
        return Some(Limit::Instances);
    }
    limiter.table_refused().then_some(Limit::TableElements)
}

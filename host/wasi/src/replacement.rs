//! Replacing the policy of runs that go on.

use sockbox_policy::Policy;
use std::fmt;
use std::sync::Arc;
use tokio::sync::watch;

/// Replaces the policy of all runs that were given a [replaceable grant](crate::Grant::replaceable).
///
/// Cloning it is cheap, and gives the same handle.
#[derive(Clone)]
pub struct GrantHandle(Arc<watch::Sender<Option<Policy>>>);

/// How a run learns of a new policy. None: there is none yet.
pub(crate) type Replacement = watch::Receiver<Option<Policy>>;

impl GrantHandle {
    pub(crate) fn new() -> (GrantHandle, Replacement) {
        let (sender, replacement) = watch::channel(None);
        (GrantHandle(Arc::new(sender)), replacement)
    }

    /// Grant what `policy` says from now on, in place of what was granted before, to runs that go on and to those that start
    /// later.
    ///
    /// - What a run does from now on is judged by the new policy: lookups, connecting, listening, accepting, each datagram,
    ///   and each HTTP request, also on a connection that is kept.
    /// - TCP connections of the component's own sockets that no rule of it grants end. The component gets
    ///   `connection-reset`, with its next read or write, or while it waits for one. A connection that a
    ///   [`Decider`](crate::Decider) had allowed ends, too.
    /// - Clients of a listener that is no longer granted are not served.
    /// - An HTTP request that was sent goes on to its end.
    pub fn replace(&self, policy: Policy) {
        self.0.send_replace(Some(policy));
    }
}

impl fmt::Debug for GrantHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GrantHandle").finish_non_exhaustive()
    }
}

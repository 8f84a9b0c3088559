//! Asking the embedder what no rule decides.

use sockbox_policy::audit::RunId;
use sockbox_policy::{Name, SpecialPurpose, Target};
use std::future::Future;
use std::pin::Pin;

/// What a [`Decider`] is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Question {
    /// The run that asks.
    pub run: RunId,
    /// What it asks for.
    pub target: Target,
    /// The name that the target's address was resolved from in this run, where it was, and where a rule
    /// with that name would reach the address: a public one, or of `localhost` a loopback address
    /// ([`Policy::allow_private`](sockbox_policy::Policy::allow_private)).
    pub name: Option<Name>,
    /// What the target's address is, where it isn't a public one.
    pub special: Option<SpecialPurpose>,
    /// The name that the target's address was resolved from, where a rule with it wouldn't reach the
    /// address. It is for showing to people: whoever answers for the name can make it mean any machine,
    /// so a decider that knows names and not addresses has to refuse this.
    pub led_by: Option<Name>,
}

/// What a [`Decider`] says. The reason is for the record, and for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It may be done, this time.
    Allow {
        /// Why.
        reason: String,
    },
    /// It may not be done, this time.
    Deny {
        /// Why not.
        reason: String,
    },
}

/// Decides what no rule of a run's [`Policy`](sockbox_policy::Policy) decides. A closure that takes a [`Question`]
/// and gives a future is one.
///
/// It is asked each time, so it is for the decider to remember what it said. It is not asked about what
/// a rule grants or denies, and not about an address that a granted name doesn't reach
/// ([`Policy::allow_private`](sockbox_policy::Policy::allow_private)). While it takes its time the operation
/// waits, and the component too if it waits for that operation; the run's limits on time go on counting.
/// A connection on a [listener](crate::SockboxCtx::offer_listener) that was handed in is decided by rules
/// alone.
///
/// # Examples
/// ```
/// use sockbox_wasi::policy::Target;
/// use sockbox_wasi::{Decision, Grant, Question};
///
/// let grant = Grant::new().decider(async |question: Question| match question.target {
///     Target::Resolve(name) => Decision::Allow {
///         reason: format!("{name} may be resolved by any component"),
///     },
///     _ => Decision::Deny {
///         reason: "no rule grants it".to_owned(),
///     },
/// });
/// ```
pub trait Decider: Send + Sync + 'static {
    /// Decide.
    fn decide(&self, question: Question) -> Pin<Box<dyn Future<Output = Decision> + Send>>;
}

impl<F, D> Decider for F
where
    F: Fn(Question) -> D + Send + Sync + 'static,
    D: Future<Output = Decision> + Send + 'static,
{
    fn decide(&self, question: Question) -> Pin<Box<dyn Future<Output = Decision> + Send>> {
        Box::pin(self(question))
    }
}

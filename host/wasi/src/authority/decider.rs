//! Asking the embedder about operations that no rule decides.

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
    /// The name that the target's address was resolved from in this run, if a rule with that name would
    /// reach the address: a public address, or for `localhost` a loopback address
    /// ([`Policy::allow_private`](sockbox_policy::Policy::allow_private)).
    pub name: Option<Name>,
    /// The kind of the target's address, if it is not public.
    pub special: Option<SpecialPurpose>,
    /// The name that the target's address was resolved from, if a rule with that name would not reach
    /// the address. Use it only to show it to a person. Its DNS server can let it resolve to any
    /// machine, so a decider that decides by name must deny this question.
    pub led_by: Option<Name>,
}

/// The answer of a [`Decider`]. The reason goes into the audit record and into messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The operation is allowed, this time.
    Allow {
        /// Why.
        reason: String,
    },
    /// The operation is denied, this time.
    Deny {
        /// Why not.
        reason: String,
    },
}

/// Decides operations that no rule of a run's [`Policy`](sockbox_policy::Policy) decides. A closure from
/// [`Question`] to a future implements it.
///
/// It is asked for each operation, so the decider itself remembers its answers. It is not asked about
/// operations that a rule grants or denies, nor about an address that a granted name does not reach
/// ([`Policy::allow_private`](sockbox_policy::Policy::allow_private)). Until it answers, the operation
/// waits, and the run's time limits continue to count. Connections on an [offered
/// listener](crate::SockboxCtx::offer_listener) are decided only by rules.
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

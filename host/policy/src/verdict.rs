//! What a policy answers, and why.

use crate::{Deny, Destination, Hint, Host, Name, Rule, SpecialPurpose, Target};
use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// A policy's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may be done.
    Allowed {
        /// What grants it.
        by: GrantedBy,
        /// The name that the address was resolved from, where it was.
        name: Option<Name>,
    },
    /// It may not be done.
    Denied {
        /// Why not.
        reason: DenialReason,
        /// The name that the address was resolved from, where it was.
        name: Option<Name>,
    },
}

impl Verdict {
    /// Whether it may be done.
    pub fn is_allowed(&self) -> bool {
        matches!(self, Verdict::Allowed { .. })
    }

    /// Whether it stays inside the run's own loopback, which takes no grant.
    pub fn is_private(&self) -> bool {
        matches!(
            self,
            Verdict::Allowed {
                by: GrantedBy::PrivateLoopback,
                ..
            }
        )
    }

    /// The name that the address was resolved from, where it was.
    pub fn name(&self) -> Option<&Name> {
        match self {
            Verdict::Allowed { name, .. } | Verdict::Denied { name, .. } => name.as_ref(),
        }
    }
}

/// What grants something.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum GrantedBy {
    /// This rule.
    Rule(Rule),
    /// The embedder's `Decider`, which was asked since no rule decided.
    Decider {
        /// What it said.
        reason: String,
    },
    /// No rule: it stays inside the run's own loopback ([`Policy::judge_private`](crate::Policy::judge_private)).
    PrivateLoopback,
}

impl fmt::Display for GrantedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            GrantedBy::Rule(rule) => rule.fmt(f),
            GrantedBy::Decider { reason } => f.write_str(reason),
            GrantedBy::PrivateLoopback => f.write_str("private"),
        }
    }
}

/// Why something is denied.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DenialReason {
    /// No rule grants it.
    NoRule,
    /// This denies it, whatever grants it.
    Rule {
        /// What denies it.
        rule: Deny,
    },
    /// A server's redirect led there, which is granted at public addresses only, and this isn't one.
    NotPublic {
        /// The address, with the port that the redirect names.
        address: SocketAddr,
        /// What it is instead.
        special: SpecialPurpose,
    },
    /// It is granted to a name, which covers public addresses only, and this isn't one.
    Special {
        /// The name.
        name: Name,
        /// The address that it resolved to.
        address: IpAddr,
        /// What it is instead.
        special: SpecialPurpose,
    },
    /// It is granted to a name that was typed ([`Policy::allow_origin`](crate::Policy::allow_origin)), which has
    /// answered before, and covers public addresses and those that it had then. This isn't one.
    Moved {
        /// The name.
        name: Name,
        /// The address that it resolves to now.
        address: IpAddr,
        /// What it is instead.
        special: SpecialPurpose,
    },
    /// It is granted to `localhost`, or to a name below it, and this isn't a loopback address.
    NotLoopback {
        /// The name.
        name: Name,
        /// The address that it resolved to.
        address: IpAddr,
    },
    /// A server's redirect led to this name, which is granted at public addresses only, and a proxy resolves the name, so
    /// its addresses are not known here.
    NotResolved {
        /// The name.
        name: Name,
    },
    /// The embedder's `Decider` refused, which was asked since no rule decided.
    Decider {
        /// What it said.
        reason: String,
    },
    /// The policy may grant it, but not the ceiling that it is [within](crate::Policy::within).
    Ceiling {
        /// Why the ceiling doesn't.
        reason: Box<DenialReason>,
    },
}

impl DenialReason {
    /// A reason of a ceiling's. Of a ceiling within a ceiling it is told once.
    pub(crate) fn of_ceiling(self) -> DenialReason {
        match self {
            DenialReason::Ceiling { .. } => self,
            reason => DenialReason::Ceiling {
                reason: Box::new(reason),
            },
        }
    }

    /// What would allow `target`, which was denied for this reason. `name` is the one that its address was
    /// resolved from.
    ///
    /// None where nothing would, as long as the denials and the ceiling are as they are.
    pub fn hint(&self, target: &Target, name: Option<&Name>) -> Option<Hint> {
        let connect = |host, port| Rule::Connect {
            to: Destination::one(host, port),
        };
        match self {
            DenialReason::NoRule | DenialReason::NotResolved { .. } => {
                Some(Hint::grant(target, name))
            }
            DenialReason::NotPublic { address, .. } => Some(match target {
                Target::Resolve(name) => {
                    let rule = connect(Host::Name(name.clone()), address.port());
                    match name.is_localhost() {
                        true => Hint::Grant(rule),
                        false => Hint::GrantPrivate(rule),
                    }
                }
                _ => Hint::Grant(connect(Host::Address(address.ip()), address.port())),
            }),
            DenialReason::Special { .. } | DenialReason::Moved { .. } => Some(match target {
                Target::Connect(_) | Target::UdpSend(_) => Hint::grant(target, None),
                _ => Hint::AllowPrivate,
            }),
            DenialReason::Rule { .. }
            | DenialReason::NotLoopback { .. }
            | DenialReason::Decider { .. }
            | DenialReason::Ceiling { .. } => None,
        }
    }

    /// The reason, and what would allow `target`: `no rule grants it (allow-connect 192.0.2.1:80 would)`.
    pub(crate) fn told(&self, target: &Target, name: Option<&Name>) -> String {
        match (self.hint(target, name), self) {
            (None, _) => self.to_string(),
            (Some(hint), DenialReason::NoRule) => format!("{self} ({hint} would)"),
            (Some(hint), _) => format!("{self} ({hint} would allow it)"),
        }
    }

    /// What was denied, why, and what would allow it: `connect to 192.0.2.1:80 (example.com): no rule
    /// grants it (allow-connect example.com:80 would)`.
    ///
    /// The one text of a refusal: errors, audit events and `sockbox policy explain` have it.
    pub fn refusal(&self, target: &Target, name: Option<&Name>) -> String {
        let of = name.map(|name| format!(" ({name})")).unwrap_or_default();
        format!("{target}{of}: {}", self.told(target, name))
    }
}

impl fmt::Display for DenialReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DenialReason::NoRule => f.write_str("no rule grants it"),
            DenialReason::Rule { rule } => write!(f, "denied by {rule}"),
            DenialReason::NotPublic { address, special } => write!(
                f,
                "a redirect may lead to public addresses only, and {} is {special}",
                address.ip()
            ),
            DenialReason::Special {
                name,
                address,
                special,
            } => write!(
                f,
                "a granted name reaches public addresses only, and {name} is at {address}, which is \
                 {special}"
            ),
            DenialReason::Moved {
                name,
                address,
                special,
            } => write!(
                f,
                "after its first response, the host of a given URL may change only to public addresses, and {name} is now at {address}, which is {special}"
            ),
            DenialReason::NotLoopback { name, address } => write!(
                f,
                "{name} means this machine, and {address} is not a loopback address"
            ),
            DenialReason::NotResolved { name } => write!(
                f,
                "a redirect may lead to public addresses only, and the proxy resolves {name}"
            ),
            DenialReason::Decider { reason } => f.write_str(reason),
            DenialReason::Ceiling { reason } => {
                write!(f, "the ceiling does not allow it: {reason}")
            }
        }
    }
}

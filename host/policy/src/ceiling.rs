//! A policy within another one: what a program asks for, and what an operator allows it.

use crate::contains::contains;
use crate::{
    DenialReason, Deny, Limit, Limits, Name, Policy, ResolvedNames, Rule, Target, Verdict,
};
use std::fmt;
use std::net::IpAddr;

/// Something that was asked for, and that a ceiling cuts.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cut {
    /// No rule of the ceiling grants all that this rule does. What it grants beyond the ceiling is denied.
    Rule {
        /// The rule that was asked for.
        rule: Rule,
    },
    /// The ceiling denies this, whatever was asked for.
    Denied {
        /// What it denies.
        rule: Deny,
    },
    /// Granted names were to reach addresses that are not public ([`Policy::allow_private`]). The ceiling does not allow
    /// that.
    Private,
    /// Following redirects was asked for ([`Policy::allow_redirects`]). The ceiling does not allow that.
    Redirects,
    /// A limit is lower than it was asked for.
    Limit {
        /// Which one.
        limit: Limit,
    },
    /// A static address of a name was asked for. The ceiling has not the same.
    StaticHost {
        /// The name.
        name: Name,
    },
    /// A secret header was asked for. The ceiling has not the same.
    SecretHeader {
        /// The name of the header.
        name: String,
    },
}

impl fmt::Display for Cut {
    /// `allow-connect 10.0.0.0/8:*: not all of it is allowed`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cut::Rule { rule } => write!(f, "{rule}: no rule of the ceiling grants all of it"),
            Cut::Denied { rule } => write!(f, "{rule}: added by the ceiling"),
            Cut::Private => f.write_str("allow-private: the ceiling does not allow it"),
            Cut::Redirects => f.write_str("redirects: the ceiling does not allow them"),
            Cut::Limit { limit } => write!(f, "{}: the ceiling's limit is lower", limit.key()),
            Cut::StaticHost { name } => {
                write!(f, "resolve {name}: the ceiling has no such address of it")
            }
            Cut::SecretHeader { name } => {
                write!(f, "secret-header {name}: the ceiling has no such header")
            }
        }
    }
}

impl Policy {
    /// This policy, as far as `ceiling` allows it: what the result allows, both policies allow. The denials of both hold, and
    /// the private loopback is off if one of them turns it off.
    ///
    /// Both are asked about each target, so no rule has to be compared with a rule. [`Policy::cuts`] compares them, to tell
    /// what was cut.
    ///
    /// Rules that are added to the result later are within the ceiling too. A ceiling that the policy had before still holds.
    ///
    /// # Examples
    /// ```
    /// use sockbox_policy::{Policy, ResolvedNames, Target};
    ///
    /// let ceiling = Policy::new().allow_connect_to("10.1.0.0/16:443")?;
    /// let asked = Policy::new().allow_connect_to("10.0.0.0/8:443")?;
    /// let policy = asked.clone().within(&ceiling);
    /// let allows = |address: &str| {
    ///     let target = Target::Connect(address.parse().unwrap());
    ///     policy.judge(&target, &ResolvedNames::new()).is_allowed()
    /// };
    /// assert!(allows("10.1.2.3:443"));
    /// assert!(!allows("10.2.2.3:443"));
    /// let cuts = asked.cuts(&ceiling);
    /// assert_eq!(
    ///     cuts[0].to_string(),
    ///     "allow-connect 10.0.0.0/8:443: no rule of the ceiling grants all of it"
    /// );
    /// # Ok::<(), sockbox_policy::RuleError>(())
    /// ```
    #[must_use]
    pub fn within(mut self, ceiling: &Policy) -> Policy {
        for rule in ceiling.denials() {
            self = self.deny(rule.clone());
        }
        let private_loopback = self.private_loopback.max(ceiling.private_loopback);
        self = self.private_loopback(private_loopback);
        let ceiling = match self.ceiling() {
            Some(own) if own == ceiling => return self,
            Some(own) => own.clone().within(ceiling),
            None => ceiling.clone(),
        };
        self.set_ceiling(ceiling);
        self
    }

    /// What of this policy `ceiling` cuts.
    ///
    /// Each rule is compared with each rule of the ceiling. A rule that several of these together grant is listed as well,
    /// although nothing of it is denied.
    pub fn cuts(&self, ceiling: &Policy) -> Vec<Cut> {
        let mut cuts = Vec::new();
        let says_whom = |policy: &Policy| {
            let mut rules = policy.rules().iter();
            rules.any(|rule| matches!(rule, Rule::Accept { .. }))
        };
        // Without a rule to accept, every client is accepted.
        let (own, theirs) = (says_whom(self), says_whom(ceiling));
        for rule in self.rules() {
            let is_within = match rule {
                Rule::Accept { .. } if !theirs => true,
                Rule::Listen { .. } | Rule::UdpBind { .. } if theirs && !own => {
                    ceiling.rules().contains(&Rule::Everything)
                }
                _ => ceiling.rules().iter().any(|wider| contains(wider, rule)),
            };
            if !is_within {
                cuts.push(Cut::Rule { rule: rule.clone() });
            }
        }
        for rule in ceiling.denials() {
            if !self.denials().contains(rule) {
                cuts.push(Cut::Denied { rule: rule.clone() });
            }
        }
        if self.allows_private() && !ceiling.allows_private() {
            cuts.push(Cut::Private);
        }
        if self.allows_redirects() && !ceiling.allows_redirects() {
            cuts.push(Cut::Redirects);
        }
        if let Some(above) = ceiling.ceiling() {
            cuts.extend(self.cuts(above));
        }
        cuts
    }

    /// The verdict, where `own` is the one without the ceiling.
    ///
    /// What no rule decides is denied by the ceiling, too, if that does not allow it: then no decider is asked.
    pub(crate) fn bounded(
        &self,
        own: Verdict,
        target: &Target,
        answers: &ResolvedNames,
    ) -> Verdict {
        let is_decided = match &own {
            Verdict::Allowed { .. } => false,
            Verdict::Denied { reason, .. } => *reason != DenialReason::NoRule,
        };
        let Some(ceiling) = self.ceiling().filter(|_| !is_decided) else {
            return own;
        };
        match ceiling.judge(target, answers) {
            Verdict::Allowed { .. } => own,
            Verdict::Denied { reason, name } => Verdict::Denied {
                reason: reason.of_ceiling(),
                name,
            },
        }
    }

    /// Those of the addresses of `name` that the ceiling lets a component see, where something else than a rule has granted
    /// the lookup.
    ///
    /// # Errors
    /// It lets it see none. The error says why.
    pub fn usable_by_ceiling(
        &self,
        name: &Name,
        addresses: Vec<IpAddr>,
        answers: &ResolvedNames,
    ) -> Result<Vec<IpAddr>, DenialReason> {
        match self.ceiling() {
            Some(ceiling) => ceiling
                .usable(name, addresses, answers)
                .map_err(DenialReason::of_ceiling),
            None => Ok(addresses),
        }
    }
}

impl Limits {
    /// The stricter one of each two limits.
    #[must_use]
    pub fn within(&self, ceiling: &Limits) -> Limits {
        /// The stricter one, where None is no limit.
        fn least<N: Ord + Copy>(own: Option<N>, ceiling: Option<N>) -> Option<N> {
            match (own, ceiling) {
                (Some(own), Some(ceiling)) => Some(own.min(ceiling)),
                (own, ceiling) => own.or(ceiling),
            }
        }
        Limits {
            memory_bytes: self.memory_bytes.min(ceiling.memory_bytes),
            table_elements: self.table_elements.min(ceiling.table_elements),
            instances: self.instances.min(ceiling.instances),
            instance_bytes: self.instance_bytes.min(ceiling.instance_bytes),
            component_items: self.component_items.min(ceiling.component_items),
            compile_time: self.compile_time.min(ceiling.compile_time),
            compile_memory: self.compile_memory.min(ceiling.compile_memory),
            resources: self.resources.min(ceiling.resources),
            handles: self.handles.min(ceiling.handles),
            sockets: self.sockets.min(ceiling.sockets),
            hostcall_bytes: self.hostcall_bytes.min(ceiling.hostcall_bytes),
            wall_time: least(self.wall_time, ceiling.wall_time),
            resolve_timeout: self.resolve_timeout.min(ceiling.resolve_timeout),
            resolutions_at_once: self.resolutions_at_once.min(ceiling.resolutions_at_once),
            cpu_time: least(self.cpu_time, ceiling.cpu_time),
            connects_per_second: least(self.connects_per_second, ceiling.connects_per_second),
            accepts_per_second: least(self.accepts_per_second, ceiling.accepts_per_second),
            received_bytes: least(self.received_bytes, ceiling.received_bytes),
            sent_bytes: least(self.sent_bytes, ceiling.sent_bytes),
            bandwidth: least(self.bandwidth, ceiling.bandwidth),
            resolutions: least(self.resolutions, ceiling.resolutions),
            files: self.files.min(ceiling.files),
        }
    }

    /// The limits of these that differ in the other ones.
    pub fn differing(&self, other: &Limits) -> Vec<Limit> {
        let differ = [
            (Limit::Memory, self.memory_bytes != other.memory_bytes),
            (
                Limit::TableElements,
                self.table_elements != other.table_elements,
            ),
            (Limit::Instances, self.instances != other.instances),
            (
                Limit::InstanceBytes,
                self.instance_bytes != other.instance_bytes,
            ),
            (
                Limit::ComponentItems,
                self.component_items != other.component_items,
            ),
            (Limit::CompileTime, self.compile_time != other.compile_time),
            (
                Limit::CompileMemory,
                self.compile_memory != other.compile_memory,
            ),
            (Limit::Resources, self.resources != other.resources),
            (Limit::Handles, self.handles != other.handles),
            (Limit::Sockets, self.sockets != other.sockets),
            (
                Limit::HostcallBytes,
                self.hostcall_bytes != other.hostcall_bytes,
            ),
            (Limit::WallTime, self.wall_time != other.wall_time),
            (
                Limit::ResolveTimeout,
                self.resolve_timeout != other.resolve_timeout,
            ),
            (
                Limit::ResolutionsAtOnce,
                self.resolutions_at_once != other.resolutions_at_once,
            ),
            (Limit::CpuTime, self.cpu_time != other.cpu_time),
            (
                Limit::ConnectsPerSecond,
                self.connects_per_second != other.connects_per_second,
            ),
            (
                Limit::AcceptsPerSecond,
                self.accepts_per_second != other.accepts_per_second,
            ),
            (
                Limit::ReceivedBytes,
                self.received_bytes != other.received_bytes,
            ),
            (Limit::SentBytes, self.sent_bytes != other.sent_bytes),
            (Limit::Bandwidth, self.bandwidth != other.bandwidth),
            (Limit::Resolutions, self.resolutions != other.resolutions),
            (Limit::Files, self.files != other.files),
        ];
        let differ = differ.into_iter().filter(|(_, differs)| *differs);
        differ.map(|(limit, _)| limit).collect()
    }
}

#[cfg(test)]
mod tests;

//! The addresses that the names of a run resolved to, and which of them the component may see.

use super::Authority;
use crate::grant::Grant;
use crate::local_networks::{self, local_networks};
use crate::replacement::Replacement;
use sockbox_policy::audit::EventKind;
use sockbox_policy::{Name, Policy, ResolvedNames, Target, Verdict};
use std::net::IpAddr;
use std::time::Instant;

/// The current grants.
pub(super) struct Granted {
    /// The policy of the run.
    pub(super) base: Policy,
    /// How a new policy comes. None: never.
    pub(super) replacement: Option<Replacement>,
    /// The policy of the run, plus the rule for the redirect that is being followed.
    pub(super) policy: Policy,
    /// The addresses of the resolved names.
    pub(super) names: ResolvedNames,
    /// When the local networks in `names` were read. None: never.
    pub(super) local_read: Option<Instant>,
}

impl Granted {
    /// Give `names` the local networks, if a decision can depend on them.
    pub(super) fn new(grant: &Grant) -> Granted {
        let mut names = ResolvedNames::new();
        names.share(grant.answered.clone());
        for (name, addresses) in &grant.static_hosts {
            names.set_static(name, addresses.iter().copied());
        }
        let mut granted = Granted {
            base: grant.policy.clone(),
            replacement: grant.replacement.clone(),
            policy: grant.policy.clone(),
            names,
            local_read: None,
        };
        granted.update();
        granted
    }

    /// Take a new policy, if there is one.
    pub(super) fn update(&mut self) {
        let Some(replacement) = &mut self.replacement else {
            return;
        };
        let latest = replacement.borrow_and_update();
        if latest.has_changed()
            && let Some(policy) = &*latest
        {
            self.base = policy.clone();
            self.policy = policy.clone();
            self.names.release();
        }
    }

    pub(super) fn refresh(&mut self, now: Instant, has_decider: bool) {
        let stale = |read: Instant| now.duration_since(read) >= local_networks::FRESH_FOR;
        if self.local_read.is_none_or(stale) && (has_decider || self.policy.asks_what_is_public()) {
            self.names.set_local_networks(local_networks());
            self.local_read = Some(now);
        }
    }
}

impl Authority {
    /// The name that resolved to an address, the latest one if there are several.
    pub fn name_of(&self, address: IpAddr) -> Option<Name> {
        self.granted().names.latest_name_of(address).cloned()
    }

    /// The addresses that the user said a name resolves to.
    pub(crate) fn static_addresses(&self, name: &Name) -> Option<&[IpAddr]> {
        self.static_hosts.get(name).map(Vec::as_slice)
    }

    /// Remember the addresses of `name`, whose lookup was allowed. Returns those that the component
    /// may see.
    ///
    /// None: the component may see no address. This is recorded as a denial.
    pub(crate) fn resolved(&self, name: &Name, addresses: Vec<IpAddr>) -> Option<Vec<IpAddr>> {
        let all = addresses.clone();
        let usable = {
            let mut granted = self.granted();
            let now = Instant::now();
            granted.refresh(now, self.has_decider());
            // If no rule grants the name, the decider has allowed the lookup itself, as
            // `allow-resolve` does. It is asked again, with the address, when the component connects.
            let usable = match self.has_decider() && !granted.policy.grants_lookup(name) {
                true => granted
                    .policy
                    .usable_by_ceiling(name, addresses, &granted.names),
                false => granted.policy.usable(name, addresses, &granted.names),
            };
            if let Ok(usable) = &usable {
                granted.names.insert(name, usable.iter().copied(), now);
            }
            usable
        };
        match usable {
            Ok(usable) => {
                self.record(|| EventKind::Resolved {
                    name: name.clone(),
                    withheld: without(all, &usable),
                    addresses: usable.clone(),
                });
                Some(usable)
            }
            Err(reason) => {
                self.record(|| EventKind::Resolved {
                    name: name.clone(),
                    withheld: all,
                    addresses: Vec::new(),
                });
                let verdict = Verdict::Denied { reason, name: None };
                self.decided(Target::Resolve(name.clone()), verdict);
                None
            }
        }
    }
}

/// What is in `all` and not in `some`.
fn without(mut all: Vec<IpAddr>, some: &[IpAddr]) -> Vec<IpAddr> {
    all.retain(|address| !some.contains(address));
    all
}

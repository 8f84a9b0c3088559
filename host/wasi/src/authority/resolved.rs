//! What the names of a run resolved to, and which of it the component may be told.

use super::{Authority, locked};
use crate::grant::Grant;
use crate::local_networks::{self, local_networks};
use sockbox_policy::audit::EventKind;
use sockbox_policy::{Name, Policy, ResolvedNames, Target, Verdict};
use std::net::IpAddr;
use std::time::Instant;

/// What is granted now.
pub(super) struct Granted {
    /// What was granted at the start, and what the redirect takes that is being followed.
    pub(super) policy: Policy,
    /// What the names resolved to that were looked up.
    pub(super) names: ResolvedNames,
    /// When it was read which networks are this machine's own, which `names` has; none: never.
    pub(super) local_read: Option<Instant>,
}

impl Granted {
    /// See to it that `names` know which networks are this machine's own, where that decides anything.
    pub(super) fn new(grant: &Grant) -> Granted {
        let mut names = ResolvedNames::new();
        names.share(grant.answered.clone());
        for (name, addresses) in &grant.static_hosts {
            names.set_static(name, addresses.iter().copied());
        }
        Granted {
            policy: grant.policy.clone(),
            names,
            local_read: None,
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
        locked(&self.granted).names.latest_name_of(address).cloned()
    }

    /// The addresses that the user said a name resolves to.
    pub(crate) fn static_addresses(&self, name: &Name) -> Option<&[IpAddr]> {
        self.static_hosts.get(name).map(Vec::as_slice)
    }

    /// Remember what `name`, whose lookup was allowed, resolved to, and say which of it may be told.
    ///
    /// None: nothing of it, which is recorded as a refusal.
    pub(crate) fn resolved(&self, name: &Name, addresses: Vec<IpAddr>) -> Option<Vec<IpAddr>> {
        let all = addresses.clone();
        let usable = {
            let mut granted = locked(&self.granted);
            let now = Instant::now();
            granted.refresh(now, self.has_decider());
            // What no rule grants the decider has allowed: the lookup alone, as `allow-resolve` does.
            // Connecting to what it answers is asked about once more, with the address.
            let usable = match self.has_decider() && !granted.policy.grants_lookup(name) {
                true => Ok(addresses),
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

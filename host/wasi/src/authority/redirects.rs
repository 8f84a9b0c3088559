//! The grants for following a redirect, and the protection against names that a server moves (DNS
//! rebinding).

use super::{Authority, Refusal};
use sockbox_policy::{DenialReason, Host, Name, Origin, Policy, Target, Verdict};
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

impl Authority {
    /// Whether the host of an origin may be resolved at all: a component that was told its addresses does not ask.
    ///
    /// # Errors
    /// It is a name whose lookup is denied, whatever grants it. That is recorded.
    pub fn check_name(&self, origin: &Origin) -> Result<(), Refusal> {
        let Host::Name(name) = &origin.host else {
            return Ok(());
        };
        if !self.granted().base.denies_lookup(name) {
            return Ok(());
        }
        let target = Target::Resolve(name.clone());
        let verdict = self.judge(&target);
        let Verdict::Denied { reason, name } = &verdict else {
            return Ok(());
        };
        let refusal = Refusal {
            target: target.clone(),
            name: name.clone(),
            reason: reason.clone(),
        };
        self.decided(target, verdict);
        Err(refusal)
    }

    /// Grant following a redirect to `origin`, as far as the policy permits, in place of the grant
    /// for the previous redirect. None: the redirect leads to no host and needs no grant.
    ///
    /// # Errors
    /// It leads to an address that a redirect may not lead to, or to a name whose lookup is denied.
    pub fn redirected(&self, origin: Option<&Origin>) -> Result<(), Refusal> {
        let Some(origin) = origin else {
            self.not_redirected();
            return Ok(());
        };
        let policy = self.granted().base.for_redirect(origin);
        self.replace(policy);
        let address = match &origin.host {
            Host::Name(name) => {
                self.check_name(origin)?;
                self.hold(name);
                return Ok(());
            }
            Host::Address(address) => SocketAddr::new(*address, origin.port),
        };
        // The address is refused here, because the component rejects some spellings of an address
        // before it opens a socket.
        let target = Target::Connect(address);
        let verdict = self.judge(&target);
        match &verdict {
            Verdict::Denied {
                reason: reason @ (DenialReason::NotPublic { .. } | DenialReason::Rule { .. }),
                name,
            } => {
                let refusal = Refusal {
                    target: target.clone(),
                    name: name.clone(),
                    reason: reason.clone(),
                };
                self.decided(target, verdict);
                Err(refusal)
            }
            _ => Ok(()),
        }
    }

    /// A server's redirect causes a lookup of `name`. If the user named it, it reaches only public
    /// addresses and addresses that it had before.
    fn hold(&self, name: &Name) {
        let mut granted = self.granted();
        if granted.base.has_named_name(name) {
            granted.refresh(Instant::now(), self.has_decider());
            granted.names.hold(name.clone());
        }
    }

    /// A response has come from the server at `from`, to which a request for `origin` was sent.
    pub fn answered(&self, origin: &Origin, from: IpAddr) {
        if let Host::Name(name) = &origin.host {
            let mut granted = self.granted();
            if granted.base.has_named_name(name) {
                granted.names.settle(name, from);
            }
        }
    }

    /// Revoke the grant of a redirect, because it is not being followed any more.
    pub fn not_redirected(&self) {
        let policy = self.granted().base.clone();
        self.replace(policy);
    }

    fn replace(&self, policy: Policy) {
        let mut granted = self.granted();
        granted.names.release();
        if granted.policy != policy {
            let static_hosts = &self.static_hosts;
            granted
                .names
                .retain(|name| policy.grants_lookup(name) || static_hosts.contains_key(name));
            granted.policy = policy;
        }
    }
}

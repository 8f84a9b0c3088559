//! The addresses that the policy allows for an HTTP request.

use super::Authority;
use super::resolved::Granted;
use sockbox_policy::audit::EventKind;
use sockbox_policy::{DenialReason, Host, HttpTarget, Target, Verdict};
use std::net::IpAddr;
use std::time::Instant;

impl Authority {
    /// Whether the policy allows sending `request` to this address now.
    pub(crate) fn http_reaches(&self, request: &HttpTarget, address: IpAddr) -> bool {
        let mut granted = self.granted();
        granted.refresh(Instant::now(), self.has_decider());
        let Granted { policy, names, .. } = &*granted;
        policy.http_reaches(request, address, names).is_ok()
    }

    /// Those of `addresses` to which the policy allows sending `request`. They are the addresses of the request's host.
    ///
    /// None if the policy refuses all of them. That is recorded as a denial of the request.
    pub(crate) fn http_addresses(
        &self,
        request: &HttpTarget,
        addresses: Vec<IpAddr>,
    ) -> Option<Vec<IpAddr>> {
        let mut refused: Option<DenialReason> = None;
        let (mut usable, mut withheld) = (Vec::new(), Vec::new());
        {
            let mut granted = self.granted();
            let now = Instant::now();
            granted.refresh(now, self.has_decider());
            for address in addresses {
                match granted
                    .policy
                    .http_reaches(request, address, &granted.names)
                {
                    Ok(()) => usable.push(address),
                    Err(reason) => {
                        refused.get_or_insert(reason);
                        withheld.push(address);
                    }
                }
            }
            if let Host::Name(name) = request.url.host()
                && !granted.names.is_static(name)
            {
                // An address that is withheld from this request may be one that another request or a socket may use. It
                // stays an address of the name if it was one before.
                let names = &granted.names;
                let known = withheld
                    .iter()
                    .filter(|address| names.is_at(name, **address));
                let all: Vec<IpAddr> = usable.iter().chain(known).copied().collect();
                // No address is no answer: it would end what the last one grants.
                if !all.is_empty() {
                    granted.names.insert(name, all, now);
                }
            }
        }
        if let Host::Name(name) = request.url.host() {
            self.record(|| EventKind::Resolved {
                name: name.clone(),
                addresses: usable.clone(),
                withheld,
            });
        }
        match refused {
            Some(reason) if usable.is_empty() => {
                let verdict = Verdict::Denied { reason, name: None };
                self.decided(Target::Http(request.clone()), verdict);
                None
            }
            _ => Some(usable),
        }
    }
}

//! The addresses that the policy allows for an HTTP request.

use super::{Authority, locked};
use sockbox_policy::audit::EventKind;
use sockbox_policy::{DenialReason, Host, HttpTarget, Target, Verdict};
use std::net::IpAddr;
use std::time::Instant;

impl Authority {
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
            let mut granted = locked(&self.granted);
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
                granted.names.insert(name, usable.iter().copied(), now);
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

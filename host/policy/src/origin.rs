//! Origins: where requests are sent.

use crate::{Host, Policy, Rule};
use std::fmt;
use std::net::SocketAddr;

/// A host and a port: the part of a URL that a grant is made for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Origin {
    /// The host.
    pub host: Host,
    /// The port.
    pub port: u16,
}

impl Origin {
    /// This port of this host.
    pub fn new(host: Host, port: u16) -> Origin {
        Origin { host, port }
    }
}

impl fmt::Display for Origin {
    /// `example.com:80`, `[::1]:80`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Name(name) => write!(f, "{name}:{}", self.port),
            Host::Address(address) => SocketAddr::new(*address, self.port).fmt(f),
        }
    }
}

impl Policy {
    /// The rule that following a redirect to `origin` needs. None if there is nothing to add, because it is
    /// granted already, or because redirects are not granted ([`Policy::allow_redirects`]).
    pub fn redirect_rule(&self, origin: &Origin) -> Option<Rule> {
        if !self.allows_redirects() {
            return None;
        }
        let Origin { host, port } = origin;
        let granted = |rule: &Rule| match host {
            Host::Address(address) => rule.covers_connect(SocketAddr::new(*address, *port)),
            Host::Name(name) => rule.covers_port_of(name, *port),
        };
        (!self.rules().iter().any(granted)).then(|| Rule::Redirect {
            public_only: !self.has_named_host(host),
            host: host.clone(),
            port: *port,
        })
    }

    /// This policy, with the rule that following a redirect to `origin` needs.
    #[must_use]
    pub fn for_redirect(&self, origin: &Origin) -> Policy {
        let policy = match self.redirect_rule(origin) {
            Some(rule) => self.clone().grant(rule),
            None => self.clone(),
        };
        policy.map_ceiling(|ceiling| ceiling.for_redirect(origin))
    }
}

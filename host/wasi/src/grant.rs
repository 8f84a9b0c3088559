//! The grants and limits of a run, for any component and embedder.

use crate::authority::Decider;
use crate::replacement::{GrantHandle, Replacement};
use crate::tls::{TlsConfig, TlsError};
use sockbox_policy::audit::AuditSink;
use sockbox_policy::limits::LimitError;
use sockbox_policy::profile::{Profile, ProxyVariableError, StaticHost};
use sockbox_policy::{
    AnsweredNames, Cut, Limits, Name, Policy, Proxies, SecretHeader, SecretHeaderError,
};
use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

/// Names that are not resolved, since the user said what their addresses are.
pub(crate) type StaticHosts = BTreeMap<Name, Vec<IpAddr>>;

/// What a run is given: a policy, limits, and how it speaks TLS. The default, like [`Grant::new`], grants
/// nothing, has the default limits, and trusts the system's certificate authorities.
///
/// # Examples
/// ```
/// use sockbox_wasi::Grant;
/// use sockbox_wasi::policy::Policy;
///
/// let grant = Grant::new()
///     .policy(Policy::new().allow_connect_to("example.com:443")?)
///     .audit(|event: &sockbox_wasi::policy::audit::AuditEvent| println!("{event}"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Default)]
#[must_use]
pub struct Grant {
    pub(crate) policy: Policy,
    pub(crate) limits: Limits,
    pub(crate) static_hosts: StaticHosts,
    pub(crate) answered: AnsweredNames,
    pub(crate) decider: Option<Arc<dyn Decider>>,
    pub(crate) audit: Option<Arc<dyn AuditSink>>,
    pub(crate) tls: TlsConfig,
    pub(crate) protocols: &'static [&'static [u8]],
    pub(crate) secret_headers: Vec<SecretHeader>,
    pub(crate) proxies: Proxies,
    /// None: the policy can't be replaced.
    pub(crate) replacement: Option<Replacement>,
}

/// Why a profile can't be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProfileError {
    /// A limit is set to a value that it can't have.
    #[error(transparent)]
    Limit(#[from] LimitError),
    /// A secret header has no value that can be sent.
    #[error(transparent)]
    SecretHeader(#[from] SecretHeaderError),
    /// A file of certificates can't be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// A variable names no proxy.
    #[error(transparent)]
    Proxy(#[from] ProxyVariableError),
}

impl Grant {
    /// Nothing but the default limits.
    pub fn new() -> Grant {
        Grant::default()
    }

    /// Grant what `policy` says, in place of what was granted before.
    pub fn policy(mut self, policy: Policy) -> Grant {
        self.policy = policy;
        self
    }

    /// Set the limits.
    pub fn limits(mut self, limits: Limits) -> Grant {
        self.limits = limits;
        self
    }

    /// Grant and limit what `profile` says, in place of what was granted before, and take its static host
    /// addresses, its secret headers, its certificates and its proxies as well. This reads the variables and files that they are in.
    ///
    /// Directories, environment variables and [`listen_as`](Profile::listen_as) are not part of this type:
    /// the embedder gives them to the component.
    ///
    /// # Errors
    /// - [`ProfileError::Limit`]: a limit is set to a value that it can't have.
    /// - [`ProfileError::SecretHeader`]: a variable or a file is missing, or its content can't be sent.
    /// - [`ProfileError::Tls`]: a file of certificates can't be used.
    /// - [`ProfileError::Proxy`]: a variable that is to name a proxy doesn't.
    pub fn profile(mut self, profile: &Profile) -> Result<Grant, ProfileError> {
        self.limits = profile.limits()?;
        self.policy = profile.policy.clone();
        for StaticHost {
            name, addresses, ..
        } in &profile.static_hosts
        {
            self.static_hosts.insert(name.clone(), addresses.clone());
        }
        for header in &profile.secret_headers {
            self.secret_headers.push(header.read()?);
        }
        self.tls = self.tls.files(&profile.tls)?;
        self.proxies = profile.proxy.proxies()?;
        Ok(self)
    }

    /// Set the addresses of `name`: no resolver is asked about it, and they count as its addresses even where
    /// those would have to be public. It grants nothing.
    pub fn static_host(mut self, name: Name, addresses: impl IntoIterator<Item = IpAddr>) -> Grant {
        self.static_hosts
            .insert(name, addresses.into_iter().collect());
        self
    }

    /// Share with other runs the names whose servers have responded ([`Policy::allow_origin`]). Use it for
    /// runs that fetch for the same user. By default each grant remembers its own names.
    pub fn answered_names(mut self, names: AnsweredNames) -> Grant {
        self.answered = names;
        self
    }

    /// Ask `decider` about operations that no rule of the policy decides. By default these are
    /// denied.
    pub fn decider(mut self, decider: impl Decider) -> Grant {
        self.decider = Some(Arc::new(decider));
        self
    }

    /// Record every decision, every limit that is reached, and what the run exchanged, in `sink`.
    pub fn audit(mut self, sink: impl AuditSink) -> Grant {
        self.audit = Some(Arc::new(sink));
        self
    }

    /// Set how TLS is spoken. By default the system's authorities are trusted: see [`TlsConfig`].
    pub fn tls(mut self, config: TlsConfig) -> Grant {
        self.tls = config;
        self
    }

    /// Offer servers these protocols above TLS (RFC 7301). By default none is named.
    pub fn tls_protocols(mut self, protocols: &'static [&'static [u8]]) -> Grant {
        self.protocols = protocols;
        self
    }

    /// Add a header to the component's HTTP requests (`wasi:http`) that its prefix covers. The component never sees the
    /// value. This grants nothing: a rule has to grant the request.
    ///
    /// The host can't keep a server from sending the value back in a response, which the component reads.
    pub fn secret_header(mut self, header: SecretHeader) -> Grant {
        self.secret_headers.push(header);
        self
    }

    /// Send the component's HTTP requests (`wasi:http`) through these proxies. Its sockets and its own TLS use none, unless the
    /// embedder says where their connections lead to ([`SockboxCtx::lead_connections_to`](crate::SockboxCtx::lead_connections_to)).
    pub fn proxies(mut self, proxies: Proxies) -> Grant {
        self.proxies = proxies;
        self
    }

    /// Let the policy be replaced while runs go on: the handle does it, for all runs that are given this grant or a clone of
    /// it. The limits and everything else in the grant stay as they are.
    ///
    /// # Examples
    /// ```
    /// use sockbox_wasi::Grant;
    /// use sockbox_wasi::policy::Policy;
    ///
    /// let policy = Policy::new().allow_connect_to("example.com:443")?;
    /// let (grant, handle) = Grant::new().policy(policy).replaceable();
    /// // ... while plugins run with `grant`:
    /// handle.replace(Policy::new());
    /// # let _ = grant;
    /// # Ok::<(), sockbox_wasi::policy::RuleError>(())
    /// ```
    pub fn replaceable(mut self) -> (Grant, GrantHandle) {
        let (handle, replacement) = GrantHandle::new();
        self.replacement = Some(replacement);
        (self, handle)
    }

    /// What this grant asks for, as far as `ceiling` allows it, and what that cuts. Nothing is allowed that either of the two
    /// does not allow.
    ///
    /// - Rules: [`Policy::within`] and [`Policy::cuts`].
    /// - Limits: the stricter one of each two.
    /// - Static host addresses and secret headers: those that the ceiling has too, with the same addresses, and with the
    ///   same value below the same prefix. The ceiling's other static addresses are added; its other headers are not.
    /// - TLS and proxies: those of the ceiling.
    /// - The audit sink: that of this grant, or else that of the ceiling. The decider: that of this grant. It is asked only
    ///   about what a rule of the ceiling allows.
    ///
    /// # Examples
    /// ```
    /// use sockbox_wasi::Grant;
    /// use sockbox_wasi::policy::{Limits, Policy};
    ///
    /// let ceiling = Grant::new()
    ///     .policy(Policy::new().allow_connect_to("*.example.com:443")?)
    ///     .limits(Limits::default().sockets(10));
    /// let asked = Grant::new()
    ///     .policy(Policy::new().allow_connect_to("api.example.com:443")?.allow_connect_to("10.0.0.1:22")?)
    ///     .limits(Limits::default().sockets(100));
    /// let (grant, cuts) = asked.within(&ceiling);
    /// let cuts: Vec<String> = cuts.iter().map(ToString::to_string).collect();
    /// assert_eq!(
    ///     cuts,
    ///     [
    ///         "allow-connect 10.0.0.1:22: no rule of the ceiling grants all of it",
    ///         "max-sockets: the ceiling's limit is lower",
    ///     ]
    /// );
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn within(&self, ceiling: &Grant) -> (Grant, Vec<Cut>) {
        let mut cuts = self.policy.cuts(&ceiling.policy);
        let limits = self.limits.within(&ceiling.limits);
        let lower = self.limits.differing(&limits).into_iter();
        cuts.extend(lower.map(|limit| Cut::Limit { limit }));
        for (name, addresses) in &self.static_hosts {
            if ceiling.static_hosts.get(name) != Some(addresses) {
                cuts.push(Cut::StaticHost { name: name.clone() });
            }
        }
        let is_allowed = |header: &SecretHeader| {
            let mut allowed = ceiling.secret_headers.iter();
            allowed.any(|it| {
                it.name() == header.name()
                    && it.prefix() == header.prefix()
                    && it.expose() == header.expose()
            })
        };
        let (secret_headers, refused): (Vec<_>, Vec<_>) =
            self.secret_headers.iter().cloned().partition(is_allowed);
        cuts.extend(refused.iter().map(|header| Cut::SecretHeader {
            name: header.name().to_string(),
        }));
        let grant = Grant {
            policy: self.policy.clone().within(&ceiling.policy),
            limits,
            static_hosts: ceiling.static_hosts.clone(),
            answered: self.answered.clone(),
            decider: self.decider.clone(),
            audit: self.audit.clone().or_else(|| ceiling.audit.clone()),
            tls: ceiling.tls.clone(),
            protocols: self.protocols,
            secret_headers,
            proxies: ceiling.proxies.clone(),
            replacement: None,
        };
        (grant, cuts)
    }

    /// Whether a proxy's URL has credentials.
    pub fn has_proxy_credentials(&self) -> bool {
        let proxies = [&self.proxies.http, &self.proxies.https];
        let mut proxies = proxies.into_iter().flatten();
        proxies.any(|proxy| proxy.authorization().is_some())
    }

    /// The secret headers.
    pub fn secret_headers(&self) -> &[SecretHeader] {
        &self.secret_headers
    }

    /// What is granted.
    pub fn granted_policy(&self) -> &Policy {
        &self.policy
    }

    /// The limits that are set.
    pub fn granted_limits(&self) -> &Limits {
        &self.limits
    }
}

impl fmt::Debug for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Grant")
            .field("policy", &self.policy)
            .field("limits", &self.limits)
            .field("static_hosts", &self.static_hosts)
            .field("secret_headers", &self.secret_headers)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;

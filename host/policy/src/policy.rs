//! Building a policy: what a run may do with the network.

use crate::{
    Deny, Destination, Endpoint, Host, HttpRuleError, Name, Origin, PrivateLoopback, Rule,
    RuleError,
};
use std::net::SocketAddr;

/// What a run may do with the network. The default, like [`Policy::new`], grants nothing.
///
/// # Examples
/// ```
/// use sockbox_policy::{ResolvedNames, Policy, Target};
///
/// let policy = Policy::new()
///     .allow_connect_to("10.0.0.0/8:80,443")?
///     .deny_connect("10.0.0.1")?;
/// let nothing_resolved = ResolvedNames::new();
/// let allows = |address: &str| {
///     let target = Target::Connect(address.parse().unwrap());
///     policy.judge(&target, &nothing_resolved).is_allowed()
/// };
/// assert!(allows("10.2.3.4:443"));
/// assert!(!allows("10.2.3.4:8443"));
/// assert!(!allows("10.0.0.1:443"));
/// # Ok::<(), sockbox_policy::RuleError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    pub(crate) rules: Vec<Rule>,
    pub(crate) denials: Vec<Deny>,
    redirects: bool,
    pub(crate) private: bool,
    pub(crate) private_loopback: PrivateLoopback,
    /// The hosts of the origins that the user named.
    named: Vec<Host>,
    /// What has to allow everything as well.
    ceiling: Option<Box<Policy>>,
}

impl Policy {
    /// Grant nothing.
    pub fn new() -> Policy {
        Policy::default()
    }

    /// Grant everything, UDP included.
    pub fn everything() -> Policy {
        Policy::new().grant(Rule::Everything)
    }

    /// Grant what `rule` says as well.
    #[must_use]
    pub fn grant(mut self, rule: Rule) -> Policy {
        if !self.rules.contains(&rule) {
            self.rules.push(rule);
        }
        self
    }

    /// Deny what `rule` says. A denial wins over every grant.
    #[must_use]
    pub fn deny(mut self, rule: Deny) -> Policy {
        if !self.denials.contains(&rule) {
            self.denials.push(rule);
        }
        self
    }

    /// Grant sending requests to `origin`: resolving its name, and connecting at its port to the resolved
    /// addresses, public or not. If the host is an address, grant connecting to it.
    ///
    /// Use it for origins that the user named. The name may have addresses that are not public only until the
    /// first response from its server ([`ResolvedNames::settle`](crate::ResolvedNames::settle)). From then on it
    /// may have public addresses. If the response did not come from a public address, it also keeps the other
    /// addresses that it had until then. Otherwise a server could redirect to its own name and let that name
    /// resolve to a neighbour of this machine (DNS rebinding).
    #[must_use]
    pub fn allow_origin(self, origin: Origin) -> Policy {
        let Origin { host, port } = origin;
        let mut policy = self.grant(Rule::Connect {
            to: Destination::one(host.clone(), port),
        });
        if !policy.named.contains(&host) {
            policy.named.push(host);
        }
        policy
    }

    /// Grant following redirects, one at a time.
    ///
    /// If a redirect leads to another port of a host given to [`Policy::allow_origin`], that port is granted at
    /// the addresses that the host had before. If its name was not resolved before, it is granted at public
    /// addresses. Any other host was named by the *server*, and is granted at public addresses only: of its
    /// addresses, the component sees those that are not [`ResolvedNames::special`](crate::ResolvedNames::special).
    /// Both grants end with the next redirect, and when the response is dropped.
    ///
    /// This does not narrow other grants.
    ///
    /// # Examples
    /// ```
    /// use sockbox_policy::{Origin, Policy};
    ///
    /// let policy = Policy::new()
    ///     .allow_origin(Origin::new("example.com".parse()?, 80))
    ///     .allow_redirects()
    ///     // A server may also redirect to this address, which is not public.
    ///     .allow_connect_to("10.0.0.1:80")?;
    /// # Ok::<(), sockbox_policy::RuleError>(())
    /// ```
    #[must_use]
    pub fn allow_redirects(mut self) -> Policy {
        self.redirects = true;
        self
    }

    /// Let granted names also reach addresses that are not public.
    ///
    /// Without it, a rule with a name covers only those of its addresses that are not
    /// [`ResolvedNames::special`](crate::ResolvedNames::special). The owner of a domain, or an attacker who
    /// controls its DNS answers, could otherwise let the name resolve to a neighbour of this machine or to a
    /// cloud's metadata service. An address that is granted by its number is granted even if it is not public, and
    /// so is a static address of a name ([`ResolvedNames::set_static`](crate::ResolvedNames::set_static)).
    /// `localhost` always means loopback addresses only.
    #[must_use]
    pub fn allow_private(mut self) -> Policy {
        self.private = true;
        self
    }

    /// Grant connecting to `address`.
    #[must_use]
    pub fn allow_connect(self, address: SocketAddr) -> Policy {
        let host = Host::Address(address.ip().to_canonical());
        self.grant(Rule::Connect {
            to: Destination::one(host, address.port()),
        })
    }

    /// Grant connecting to what `destination` says, in the form that [`Destination`] is read from:
    /// `HOST[:PORTS]`. A name may be looked up too.
    ///
    /// # Errors
    /// [`RuleError`], with the right form in its message where one can be told.
    ///
    /// # Examples
    /// ```
    /// use sockbox_policy::Policy;
    ///
    /// let policy = Policy::new()
    ///     .allow_connect_to("example.com:443")?
    ///     .allow_connect_to("*.example.com:443")?
    ///     .allow_connect_to("10.0.0.0/8:8000-8100")?;
    /// assert!(Policy::new().allow_connect_to("http://example.com/").is_err());
    /// # Ok::<(), sockbox_policy::RuleError>(())
    /// ```
    pub fn allow_connect_to(self, destination: &str) -> Result<Policy, RuleError> {
        let to = destination.parse()?;
        Ok(self.grant(Rule::Connect { to }))
    }

    /// Deny connecting, and sending datagrams, to what `destination` says: addresses, and ports.
    ///
    /// # Errors
    /// [`RuleError`], with the right form in its message where one can be told;
    /// [`RuleError::NameDenied`] where it is a name.
    pub fn deny_connect(self, destination: &str) -> Result<Policy, RuleError> {
        let to = destination.parse()?;
        Ok(self.deny(Deny::Connect { to }))
    }

    /// Grant HTTP requests that the host sends for the component. `requests` is an [`HttpRule`](crate::HttpRule):
    /// `METHODS URL`.
    ///
    /// The host resolves the name and connects to its public addresses ([`Policy::allow_private`]). The rule grants no
    /// socket and no lookup to the component.
    ///
    /// # Errors
    /// [`HttpRuleError`]. Its message says what to write instead, if that is known.
    ///
    /// # Examples
    /// ```
    /// use sockbox_policy::Policy;
    ///
    /// let policy = Policy::new()
    ///     .allow_http("GET,HEAD https://api.example.com/v1/*")?
    ///     .deny_http("* https://api.example.com/v1/admin/*")?;
    /// assert!(Policy::new().allow_http("https://api.example.com/").is_err());
    /// # Ok::<(), sockbox_policy::HttpRuleError>(())
    /// ```
    pub fn allow_http(self, requests: &str) -> Result<Policy, HttpRuleError> {
        let requests = requests.parse()?;
        Ok(self.grant(Rule::Http { requests }))
    }

    /// Deny HTTP requests that the host would send for the component. A denial wins over every grant. `requests` has the
    /// form of [`Policy::allow_http`].
    ///
    /// The denial does not cover sockets. It compares the host as it is written in the URL: a rule with an address does
    /// not cover a name that resolves to that address. Use [`Policy::deny_connect`] to deny an address.
    ///
    /// # Errors
    /// [`HttpRuleError`]. Its message says what to write instead, if that is known.
    pub fn deny_http(self, requests: &str) -> Result<Policy, HttpRuleError> {
        let requests = requests.parse()?;
        Ok(self.deny(Deny::Http { requests }))
    }

    /// Grant listening on `address`, and accepting every client. [`Endpoint`] says what wildcard
    /// addresses and port 0 cover.
    #[must_use]
    pub fn allow_listen(self, address: SocketAddr) -> Policy {
        self.grant(Rule::Listen {
            on: Endpoint::one(address),
        })
    }

    /// Grant listening on what `endpoint` says: `ADDRESS[:PORTS]`.
    ///
    /// # Errors
    /// [`RuleError`], with the right form in its message where one can be told.
    pub fn allow_listen_on(self, endpoint: &str) -> Result<Policy, RuleError> {
        let on = endpoint.parse()?;
        Ok(self.grant(Rule::Listen { on }))
    }

    /// Accept clients from this range of addresses, where listening is granted, and from others only
    /// where there is another such rule.
    ///
    /// # Errors
    /// [`RuleError`], with the right form in its message where one can be told.
    pub fn allow_accept(self, range: &str) -> Result<Policy, RuleError> {
        let from = range.parse()?;
        Ok(self.grant(Rule::Accept { from }))
    }

    /// Deny accepting clients from this range of addresses.
    ///
    /// # Errors
    /// [`RuleError`], with the right form in its message where one can be told.
    pub fn deny_accept(self, range: &str) -> Result<Policy, RuleError> {
        let from = range.parse()?;
        Ok(self.deny(Deny::Accept { from }))
    }

    /// Grant looking names up: `NAME` or `*.NAME`. A name that another rule grants does not need
    /// it.
    ///
    /// # Errors
    /// [`RuleError`], with the right form in its message where one can be told.
    pub fn allow_resolve(self, names: &str) -> Result<Policy, RuleError> {
        let names = names.parse()?;
        Ok(self.grant(Rule::Resolve { names }))
    }

    /// Deny the lookup of `NAME`, or of all names below it with `*.NAME`. A denial wins over every grant.
    ///
    /// A rule with a denied name grants no address, and neither does a static host address of that name. A rule can
    /// still grant an address by its number.
    ///
    /// # Errors
    /// [`RuleError`]. Its message says what to write instead, if that is known.
    ///
    /// # Examples
    /// ```
    /// use sockbox_policy::{Policy, ResolvedNames, Target};
    ///
    /// let policy = Policy::new()
    ///     .allow_connect_to("*.example.com:443")?
    ///     .deny_resolve("admin.example.com")?;
    /// let nothing_resolved = ResolvedNames::new();
    /// let allows = |name: &str| {
    ///     let target = Target::Resolve(name.parse().unwrap());
    ///     policy.judge(&target, &nothing_resolved).is_allowed()
    /// };
    /// assert!(allows("www.example.com"));
    /// assert!(!allows("admin.example.com"));
    /// # Ok::<(), sockbox_policy::RuleError>(())
    /// ```
    pub fn deny_resolve(self, names: &str) -> Result<Policy, RuleError> {
        let names = names.parse()?;
        Ok(self.deny(Deny::Resolve { names }))
    }

    /// Grant sending datagrams to `destination`, and receiving datagrams from it.
    ///
    /// # Errors
    /// [`RuleError`], with the right form in its message where one can be told.
    pub fn allow_udp_send(self, destination: &str) -> Result<Policy, RuleError> {
        let to = destination.parse()?;
        Ok(self.grant(Rule::UdpSend { to }))
    }

    /// Grant binding UDP sockets to `endpoint`, and receiving from every peer.
    ///
    /// # Errors
    /// [`RuleError`], with the right form in its message where one can be told.
    pub fn allow_udp_bind(self, endpoint: &str) -> Result<Policy, RuleError> {
        let on = endpoint.parse()?;
        Ok(self.grant(Rule::UdpBind { on }))
    }

    /// Set which listeners on loopback addresses are private. The default is [`PrivateLoopback::Ungranted`].
    #[must_use]
    pub fn private_loopback(mut self, which: PrivateLoopback) -> Policy {
        self.private_loopback = which;
        self
    }

    /// Add the grants and denials of another policy. Of the two settings of the private loopback the greater one is
    /// kept, in the order of [`PrivateLoopback`]. If one has a [ceiling](Policy::within), everything has to be allowed by that.
    #[must_use]
    pub fn and(mut self, other: Policy) -> Policy {
        for rule in other.rules {
            self = self.grant(rule);
        }
        for rule in other.denials {
            self = self.deny(rule);
        }
        for host in other.named {
            if !self.named.contains(&host) {
                self.named.push(host);
            }
        }
        self.redirects |= other.redirects;
        self.private |= other.private;
        self.private_loopback = self.private_loopback.max(other.private_loopback);
        match other.ceiling {
            Some(ceiling) => self.within(&ceiling),
            None => self,
        }
    }

    /// What has to allow everything as well: [`Policy::within`].
    pub(crate) fn ceiling(&self) -> Option<&Policy> {
        self.ceiling.as_deref()
    }

    pub(crate) fn set_ceiling(&mut self, ceiling: Policy) {
        self.ceiling = Some(Box::new(ceiling));
    }

    pub(crate) fn map_ceiling(mut self, change: impl FnOnce(&Policy) -> Policy) -> Policy {
        if let Some(ceiling) = self.ceiling.as_deref() {
            let changed = change(ceiling);
            self.set_ceiling(changed);
        }
        self
    }

    /// Whether redirects are granted: [`Policy::allow_redirects`].
    pub fn allows_redirects(&self) -> bool {
        self.redirects && self.ceiling().is_none_or(Policy::allows_redirects)
    }

    /// Whether an origin with this host was granted: [`Policy::allow_origin`].
    pub fn has_named_host(&self, host: &Host) -> bool {
        self.named.contains(host)
    }

    /// Whether an origin with this name as its host was granted.
    pub fn has_named_name(&self, name: &Name) -> bool {
        let is_name = |host: &Host| matches!(host, Host::Name(own) if own == name);
        self.named.iter().any(is_name)
    }

    /// Whether any origin was granted whose host is a name.
    pub fn has_named_names(&self) -> bool {
        self.named.iter().any(|host| matches!(host, Host::Name(_)))
    }

    /// What is granted, in the order granted.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// What is denied, in the order denied.
    pub fn denials(&self) -> &[Deny] {
        &self.denials
    }

    /// Which listeners on loopback addresses are private: see [`Policy::private_loopback`].
    pub fn which_private_loopback(&self) -> PrivateLoopback {
        self.private_loopback
    }

    /// Whether granted names reach addresses that are not public: [`Policy::allow_private`].
    pub fn allows_private(&self) -> bool {
        self.private && self.ceiling().is_none_or(Policy::allows_private)
    }
}

//! What a run may do with the network, as it is put together.

use crate::{Deny, Destination, Endpoint, Host, HttpRuleError, Name, Origin, Rule, RuleError};
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
    /// The hosts of the origins that a person named.
    named: Vec<Host>,
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

    /// Deny what `rule` says, whatever is granted.
    #[must_use]
    pub fn deny(mut self, rule: Deny) -> Policy {
        if !self.denials.contains(&rule) {
            self.denials.push(rule);
        }
        self
    }

    /// Grant what it takes to send requests to `origin`: resolving its host's name, and connecting at its port
    /// to the addresses found, be they public or not, or to its host's address.
    ///
    /// It is for origins that a person named. That a name may be at addresses which aren't public ends with the
    /// first response from its server ([`ResolvedNames::settle`](crate::ResolvedNames::settle)): from then on it may be at public addresses,
    /// and where the response didn't come from one of these, at the others that it had up to then. Else a server
    /// could redirect to its own name, and have that name mean a neighbour of this machine's (DNS rebinding).
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

    /// Grant what it takes to follow redirects, one at a time.
    ///
    /// Where a redirect leads to another port of a host that [`Policy::allow_origin`] was given, it is
    /// granted wherever that host was found to be before; a name that wasn't resolved before is granted
    /// at public addresses. Any other host is one that the *server* named, and is granted at public
    /// addresses only: a name is told those of its addresses that aren't [`ResolvedNames::special`](crate::ResolvedNames::special).
    /// Either grant ends with the next redirect, and when the response is dropped.
    ///
    /// What is granted anyway is not narrowed by it.
    ///
    /// # Examples
    /// ```
    /// use sockbox_policy::{Origin, Policy};
    ///
    /// let policy = Policy::new()
    ///     .allow_origin(Origin::new("example.com".parse()?, 80))
    ///     .allow_redirects()
    ///     // A server may send us to this one too, which is not at a public address.
    ///     .allow_connect_to("10.0.0.1:80")?;
    /// # Ok::<(), sockbox_policy::RuleError>(())
    /// ```
    #[must_use]
    pub fn allow_redirects(mut self) -> Policy {
        self.redirects = true;
        self
    }

    /// Let granted names reach addresses that are not public, too.
    ///
    /// Without it a rule with a name covers those of its addresses that aren't [`ResolvedNames::special`](crate::ResolvedNames::special): who
    /// controls a name's answers, and that need not be who was meant, could make it any neighbour of this
    /// machine's, or a cloud's metadata service. An address that is granted by its number is granted
    /// whatever it is, and so is one that the user said a name resolves to
    /// ([`ResolvedNames::set_static`](crate::ResolvedNames::set_static)). `localhost` means loopback addresses, and nothing else, in any case.
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

    /// Grant sending the HTTP requests that `requests` says, in the form that [`HttpRule`](crate::HttpRule) is read
    /// from: `METHODS URL`. The host resolves the name, and connects to its public addresses
    /// ([`Policy::allow_private`]); no socket is granted.
    ///
    /// # Errors
    /// [`HttpRuleError`], with the right form in its message where one can be told.
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

    /// Deny sending the HTTP requests that `requests` says, whatever is granted.
    ///
    /// # Errors
    /// [`HttpRuleError`], with the right form in its message where one can be told.
    pub fn deny_http(self, requests: &str) -> Result<Policy, HttpRuleError> {
        let requests = requests.parse()?;
        Ok(self.deny(Deny::Http { requests }))
    }

    /// Grant listening on `address`, and accepting whoever connects. [`Endpoint`] says what
    /// wildcard addresses and port 0 cover.
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

    /// Accept nobody from this range of addresses.
    ///
    /// # Errors
    /// [`RuleError`], with the right form in its message where one can be told.
    pub fn deny_accept(self, range: &str) -> Result<Policy, RuleError> {
        let from = range.parse()?;
        Ok(self.deny(Deny::Accept { from }))
    }

    /// Grant looking names up: `NAME` or `*.NAME`. A name that is granted otherwise needs it not.
    ///
    /// # Errors
    /// [`RuleError`], with the right form in its message where one can be told.
    pub fn allow_resolve(self, names: &str) -> Result<Policy, RuleError> {
        let names = names.parse()?;
        Ok(self.grant(Rule::Resolve { names }))
    }

    /// Grant sending datagrams to what `destination` says, and receiving what comes from there.
    ///
    /// # Errors
    /// [`RuleError`], with the right form in its message where one can be told.
    pub fn allow_udp_send(self, destination: &str) -> Result<Policy, RuleError> {
        let to = destination.parse()?;
        Ok(self.grant(Rule::UdpSend { to }))
    }

    /// Grant binding UDP sockets to what `endpoint` says, and receiving from whoever sends.
    ///
    /// # Errors
    /// [`RuleError`], with the right form in its message where one can be told.
    pub fn allow_udp_bind(self, endpoint: &str) -> Result<Policy, RuleError> {
        let on = endpoint.parse()?;
        Ok(self.grant(Rule::UdpBind { on }))
    }

    /// Grant and deny what another policy does, as well.
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
        self
    }

    /// Whether redirects are granted: [`Policy::allow_redirects`].
    pub fn allows_redirects(&self) -> bool {
        self.redirects
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

    /// Whether granted names reach addresses that are not public: [`Policy::allow_private`].
    pub fn allows_private(&self) -> bool {
        self.private
    }
}

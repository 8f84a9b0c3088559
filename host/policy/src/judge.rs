//! How a policy judges a target.

use crate::http::Asked;
use crate::{
    DenialReason, Deny, GrantedBy, Host, Name, Policy, ResolvedNames, Rule, SpecialPurpose, Target,
    Verdict, is_unbound,
};
use std::net::{IpAddr, SocketAddr};

impl Policy {
    /// Judge `target`, in a run in which names resolved to `answers`.
    ///
    /// IPv4-mapped IPv6 addresses are judged as the IPv4 addresses in them. An IPv6 address that contains
    /// an IPv4 address in another way (IPv4-compatible, NAT64, 6to4, Teredo) is denied if that IPv4
    /// address is denied. Only a rule for the IPv6 address itself grants it.
    ///
    /// A [ceiling](Policy::within) has to allow it as well.
    pub fn judge(&self, target: &Target, answers: &ResolvedNames) -> Verdict {
        let own = self.judge_alone(target, answers);
        self.bounded(own, target, answers)
    }

    /// The verdict without a ceiling.
    fn judge_alone(&self, target: &Target, answers: &ResolvedNames) -> Verdict {
        if let Some(rule) = self.denied_by(target) {
            return Verdict::Denied {
                reason: DenialReason::Rule { rule: rule.clone() },
                name: None,
            };
        }
        let found = match target {
            Target::Resolve(name) => self.first(|rule| rule.covers_lookup(name)),
            Target::Connect(address) => self
                .first(|rule| {
                    rule.covers_connect(*address) && self.reaches_number(rule, *address, answers)
                })
                .or_else(|| self.by_name(*address, answers, Rule::covers_port_of)),
            Target::ConnectName { name, port } => self.first(|rule| {
                rule.covers_port_of(name, *port) && rule.public_port_of(name) != Some(*port)
            }),
            Target::Http(request) => {
                let asked = Asked::of(request);
                self.first(|rule| rule.covers_http(&asked))
            }
            Target::Bind(address) => self.first(|rule| rule.covers_bind(*address)),
            Target::Listen(address) => self.first(|rule| rule.covers_listen(*address)),
            Target::Accept(address) => self.accepts(*address, |rule| {
                matches!(rule, Rule::Everything | Rule::Listen { .. })
            }),
            Target::UdpBind(address) => {
                self.first(|rule| rule.covers_udp_bind(*address, is_unbound(*address)))
            }
            Target::UdpSend(address) => self.may_send(*address, answers),
            Target::UdpReceive(address) => self
                .may_send(*address, answers)
                .filter(|_| !self.is_denied(|rule| rule.covers_connect(*address)))
                .or_else(|| {
                    self.accepts(*address, |rule| {
                        matches!(rule, Rule::Everything | Rule::UdpBind { .. })
                    })
                }),
        };
        match (found, target) {
            (None, _) => self.refusal(target, answers),
            // An address that is granted by its number may also have a name.
            (
                Some(Verdict::Allowed { by, name: None }),
                Target::Connect(address) | Target::UdpSend(address),
            ) => Verdict::Allowed {
                by,
                name: answers.latest_name_of(address.ip()).cloned(),
            },
            (Some(verdict), _) => verdict,
        }
    }

    /// The rule that grants `name` at a port, over TCP or `udp`. Of the addresses that the name resolves
    /// to, it covers those that a granted name [reaches](Policy::allow_private) and that are not denied.
    pub fn rule_for_name(&self, name: &Name, port: u16, udp: bool) -> Option<&Rule> {
        if let Some(ceiling) = self.ceiling() {
            ceiling.rule_for_name(name, port, udp)?;
        }
        let mut rules = self.rules.iter().filter(|_| !self.denies_lookup(name));
        rules.find(|rule| match udp {
            true => rule.covers_udp_port_of(name, port),
            false => rule.covers_port_of(name, port),
        })
    }

    /// The rule that denies `target` explicitly.
    pub(crate) fn denied_by(&self, target: &Target) -> Option<&Deny> {
        let asked = match target {
            Target::Http(request) => Some(Asked::of(request)),
            _ => None,
        };
        self.denials.iter().find(|rule| match target {
            Target::Connect(address) | Target::UdpSend(address) => rule.covers_connect(*address),
            Target::Accept(address) | Target::UdpReceive(address) => {
                rule.covers_accept(address.ip())
            }
            Target::Resolve(name) | Target::ConnectName { name, .. } => rule.covers_lookup(name),
            Target::Http(request) => {
                let name = request.url.name();
                asked.as_ref().is_some_and(|asked| rule.covers_http(asked))
                    || name.is_some_and(|name| rule.covers_lookup(name))
            }
            Target::Bind(_) | Target::Listen(_) | Target::UdpBind(_) => false,
        })
    }

    /// What denies looking `name` up.
    pub(crate) fn lookup_denied_by(&self, name: &Name) -> Option<&Deny> {
        self.denials.iter().find(|rule| rule.covers_lookup(name))
    }

    /// Whether looking `name` up is denied, whatever grants it.
    pub fn denies_lookup(&self, name: &Name) -> bool {
        self.lookup_denied_by(name).is_some()
    }

    fn is_denied(&self, by: impl Fn(&Deny) -> bool) -> bool {
        self.denials.iter().any(by)
    }

    fn may_send(&self, address: SocketAddr, answers: &ResolvedNames) -> Option<Verdict> {
        self.first(|rule| rule.covers_udp_send(address))
            .or_else(|| self.by_name(address, answers, Rule::covers_udp_port_of))
    }

    /// Whether a client or a datagram from `address` is accepted. `grants` says which rules let the
    /// run accept from every peer.
    fn accepts(&self, address: SocketAddr, grants: impl Fn(&Rule) -> bool) -> Option<Verdict> {
        let listens = self.first(grants)?;
        if self.rules.contains(&Rule::Everything) {
            return Some(listens);
        }
        let says_whom = |rule: &Rule| matches!(rule, Rule::Accept { .. });
        match self.rules.iter().any(says_whom) {
            true => self.first(|rule| rule.covers_accept(address.ip())),
            false => Some(listens),
        }
    }

    /// Why `target`, which no rule grants, is denied.
    fn refusal(&self, target: &Target, answers: &ResolvedNames) -> Verdict {
        let (mut names, mut latest): (Vec<&Name>, _) = match target {
            Target::Connect(address) | Target::UdpSend(address) | Target::UdpReceive(address) => (
                answers.names_of(address.ip()).collect(),
                answers.latest_name_of(address.ip()),
            ),
            _ => (Vec::new(), None),
        };
        if let Some(denied) = self.denied_name(target, &names) {
            return denied;
        }
        names.retain(|name| !self.denies_lookup(name));
        latest = latest.filter(|name| !self.denies_lookup(name));
        let reason = match target {
            Target::Connect(address) => {
                self.why_not(*address, &names, answers, Rule::covers_port_of)
            }
            Target::UdpSend(address) => {
                self.why_not(*address, &names, answers, Rule::covers_udp_port_of)
            }
            // Only a redirect grants it, and that only where the addresses can be judged.
            Target::ConnectName { name, port }
                if self
                    .first(|rule| rule.covers_port_of(name, *port))
                    .is_some() =>
            {
                DenialReason::NotResolved { name: name.clone() }
            }
            _ => DenialReason::NoRule,
        };
        let name = match &reason {
            DenialReason::Special { name, .. } | DenialReason::Moved { name, .. } => {
                Some(name.clone())
            }
            _ => latest.cloned(),
        };
        Verdict::Denied { reason, name }
    }

    /// Why `target`, whose address has these names, is denied, where a rule with a name would reach it and looking
    /// that name up is denied.
    fn denied_name(&self, target: &Target, names: &[&Name]) -> Option<Verdict> {
        let covers = |rule: &Rule, name: &Name| match target {
            Target::Connect(address) => rule.covers_port_of(name, address.port()),
            Target::UdpSend(address) => rule.covers_udp_port_of(name, address.port()),
            _ => false,
        };
        let mut granted = names
            .iter()
            .filter(|name| self.rules.iter().any(|rule| covers(rule, name)));
        granted.find_map(|name| {
            let rule = self.lookup_denied_by(name)?.clone();
            Some(Verdict::Denied {
                reason: DenialReason::Rule { rule },
                name: Some((*name).clone()),
            })
        })
    }

    /// Why `address`, which has these names, may not be reached.
    fn why_not(
        &self,
        address: SocketAddr,
        names: &[&Name],
        answers: &ResolvedNames,
        covers: impl Fn(&Rule, &Name, u16) -> bool,
    ) -> DenialReason {
        let Some(special) = answers.special(address.ip()) else {
            let strange = names.iter().find(|name| {
                name.is_localhost()
                    && self
                        .rules
                        .iter()
                        .any(|rule| covers(rule, name, address.port()))
            });
            return match strange {
                Some(name) => DenialReason::NotLoopback {
                    name: (*name).clone(),
                    address: address.ip(),
                },
                None => DenialReason::NoRule,
            };
        };
        let led_there = self.redirects_to(address.port()).any(|host| match host {
            Host::Address(_) => host.is_address(address.ip()),
            Host::Name(name) => names.contains(&name),
        });
        if led_there {
            return DenialReason::NotPublic { address, special };
        }
        let granted = names.iter().find(|name| {
            self.rules
                .iter()
                .any(|rule| covers(rule, name, address.port()))
        });
        match granted {
            Some(name) => self.not_there(name, address.ip(), special),
            None => DenialReason::NoRule,
        }
    }

    /// Why the granted `name` does not reach `address`, which is not public.
    pub(crate) fn not_there(
        &self,
        name: &Name,
        address: IpAddr,
        special: SpecialPurpose,
    ) -> DenialReason {
        let name = name.clone();
        match self.has_named_name(&name) {
            true => DenialReason::Moved {
                name,
                address,
                special,
            },
            false => DenialReason::Special {
                name,
                address,
                special,
            },
        }
    }

    /// The hosts that a redirect leads to, at this port, where they are public.
    fn redirects_to(&self, port: u16) -> impl Iterator<Item = &Host> {
        self.rules.iter().filter_map(move |rule| match rule {
            Rule::Redirect {
                host,
                port: own,
                public_only: true,
            } if *own == port => Some(host),
            _ => None,
        })
    }

    /// Whether some rule grants looking `name` up, and none denies it.
    pub fn grants_lookup(&self, name: &Name) -> bool {
        self.grants_lookup_alone(name) && self.ceiling().is_none_or(|it| it.grants_lookup(name))
    }

    fn grants_lookup_alone(&self, name: &Name) -> bool {
        !self.denies_lookup(name) && self.rules.iter().any(|rule| rule.covers_lookup(name))
    }

    /// The resolved addresses of `name` that the component may see: those that a grant reaches. If
    /// the lookup itself is granted, all of them.
    ///
    /// While a redirect to that name is followed, the lookup is for that redirect. Addresses that
    /// the redirect can't reach are left out, whatever else grants the lookup. Otherwise a server
    /// could use a name that it controls to reach a private address that is granted for another
    /// purpose.
    ///
    /// # Errors
    /// No address may be seen. The error says why.
    pub fn usable(
        &self,
        name: &Name,
        addresses: Vec<IpAddr>,
        answers: &ResolvedNames,
    ) -> Result<Vec<IpAddr>, DenialReason> {
        let usable = self.usable_alone(name, addresses, answers)?;
        self.usable_by_ceiling(name, usable, answers)
    }

    fn usable_alone(
        &self,
        name: &Name,
        addresses: Vec<IpAddr>,
        answers: &ResolvedNames,
    ) -> Result<Vec<IpAddr>, DenialReason> {
        if let Some(rule) = self.lookup_denied_by(name) {
            return Err(DenialReason::Rule { rule: rule.clone() });
        }
        if !self.grants_lookup_alone(name) {
            return Err(DenialReason::NoRule);
        }
        let public_port = self.rules.iter().find_map(|rule| rule.public_port_of(name));
        let any_answer = self.rules.iter().any(|rule| rule.tells_any_answer(name));
        if any_answer && public_port.is_none() {
            return Ok(addresses);
        }
        let mut refused = None;
        let mut usable = addresses;
        usable.retain(|address| {
            let why_not = match (public_port, answers.special(*address)) {
                (Some(_), None) => return true,
                (Some(port), Some(special)) => DenialReason::NotPublic {
                    address: SocketAddr::new(*address, port),
                    special,
                },
                (None, special) => {
                    let by_number = |rule: &Rule| rule.reaches_by_number(*address);
                    if self.reaches_alone(name, *address, answers)
                        || self.rules.iter().any(by_number)
                    {
                        return true;
                    }
                    match special {
                        Some(special) => self.not_there(name, *address, special),
                        None => DenialReason::NotLoopback {
                            name: name.clone(),
                            address: *address,
                        },
                    }
                }
            };
            refused.get_or_insert(why_not);
            false
        });
        match refused {
            Some(reason) if usable.is_empty() => Err(reason),
            _ => Ok(usable),
        }
    }

    /// Whether a grant of `name` reaches `address`, to which it resolves.
    pub fn reaches(&self, name: &Name, address: IpAddr, answers: &ResolvedNames) -> bool {
        self.reaches_alone(name, address, answers)
            && self
                .ceiling()
                .is_none_or(|it| it.reaches(name, address, answers))
    }

    /// Whether it does without a ceiling.
    pub(crate) fn reaches_alone(
        &self,
        name: &Name,
        address: IpAddr,
        answers: &ResolvedNames,
    ) -> bool {
        if self.denies_lookup(name) {
            return false;
        }
        if name.is_localhost() {
            return address.to_canonical().is_loopback();
        }
        self.private
            || answers.special(address).is_none()
            || (self.has_named_name(name) && answers.may_be_at(name, address))
    }

    /// Whether a decision of this policy can depend on whether an address is public.
    pub fn asks_what_is_public(&self) -> bool {
        let ceiling_asks = self.ceiling().is_some_and(Policy::asks_what_is_public);
        ceiling_asks
            || self.rules.iter().any(|rule| match rule {
                Rule::Connect { to } | Rule::UdpSend { to } => to.is_of_names(),
                Rule::Http { requests } => requests.is_of_names(),
                Rule::Redirect { .. } => true,
                _ => false,
            })
    }

    /// Whether `rule`, which covers `address` by its number, reaches it.
    fn reaches_number(&self, rule: &Rule, address: SocketAddr, answers: &ResolvedNames) -> bool {
        match rule {
            Rule::Redirect {
                public_only: true, ..
            } => answers.special(address.ip()).is_none(),
            _ => true,
        }
    }

    fn first(&self, covers: impl Fn(&Rule) -> bool) -> Option<Verdict> {
        let rule = self.rules.iter().find(|rule| covers(rule))?;
        Some(Verdict::Allowed {
            by: GrantedBy::Rule(rule.clone()),
            name: None,
        })
    }

    fn by_name(
        &self,
        address: SocketAddr,
        answers: &ResolvedNames,
        covers: impl Fn(&Rule, &Name, u16) -> bool,
    ) -> Option<Verdict> {
        let mut names = answers.names_of(address.ip());
        names.find_map(|name| {
            if self.denies_lookup(name) {
                return None;
            }
            let reaches = |rule: &&Rule| match rule {
                Rule::Redirect {
                    public_only: true, ..
                } => answers.special(address.ip()).is_none(),
                _ => answers.is_static(name) || self.reaches_alone(name, address.ip(), answers),
            };
            let mut covering = self
                .rules
                .iter()
                .filter(|rule| covers(rule, name, address.port()));
            let rule = covering.find(reaches)?;
            Some(Verdict::Allowed {
                by: GrantedBy::Rule(rule.clone()),
                name: Some(name.clone()),
            })
        })
    }
}

#[cfg(test)]
mod denied_names;
#[cfg(test)]
mod tests;

//! What a policy makes of a target.

use crate::{
    DenialReason, Deny, GrantedBy, Host, Name, Policy, ResolvedNames, Rule, SpecialPurpose, Target,
    Verdict, is_unbound,
};
use std::net::{IpAddr, SocketAddr};

impl Policy {
    /// Say whether `target` may be done, in a run in which names resolved to `answers`.
    ///
    /// IPv4-mapped IPv6 addresses are judged as the IPv4 addresses in them. An address that stands for an
    /// IPv4 address otherwise (IPv4-compatible, NAT64, 6to4, Teredo) is denied too where that one is; it
    /// is granted by a rule about itself alone.
    pub fn judge(&self, target: &Target, answers: &ResolvedNames) -> Verdict {
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
            Target::Http(request) => self.first(|rule| rule.covers_http(request)),
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
            // Granted by its number, it may have a name all the same.
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

    /// The rule by which a name may be reached at a port, over TCP or `udp`, whatever it resolves to: of
    /// that those addresses which a granted name [reaches](Policy::allow_private), and which aren't denied.
    pub fn rule_for_name(&self, name: &Name, port: u16, udp: bool) -> Option<&Rule> {
        self.rules.iter().find(|rule| match udp {
            true => rule.covers_udp_port_of(name, port),
            false => rule.covers_port_of(name, port),
        })
    }

    /// What denies `target` in so many words.
    pub(crate) fn denied_by(&self, target: &Target) -> Option<&Deny> {
        self.denials.iter().find(|rule| match target {
            Target::Connect(address) | Target::UdpSend(address) => rule.covers_connect(*address),
            Target::Accept(address) | Target::UdpReceive(address) => {
                rule.covers_accept(address.ip())
            }
            Target::Http(request) => rule.covers_http(request),
            Target::Resolve(_) | Target::Bind(_) | Target::Listen(_) | Target::UdpBind(_) => false,
        })
    }

    fn is_denied(&self, by: impl Fn(&Deny) -> bool) -> bool {
        self.denials.iter().any(by)
    }

    fn may_send(&self, address: SocketAddr, answers: &ResolvedNames) -> Option<Verdict> {
        self.first(|rule| rule.covers_udp_send(address))
            .or_else(|| self.by_name(address, answers, Rule::covers_udp_port_of))
    }

    /// Whether somebody may be heard, where `grants` tells which rules have the run listen to anybody.
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

    /// Why `target` is denied, which nothing grants.
    fn refusal(&self, target: &Target, answers: &ResolvedNames) -> Verdict {
        let (names, latest): (Vec<&Name>, _) = match target {
            Target::Connect(address) | Target::UdpSend(address) | Target::UdpReceive(address) => (
                answers.names_of(address.ip()).collect(),
                answers.latest_name_of(address.ip()),
            ),
            _ => (Vec::new(), None),
        };
        let reason = match target {
            Target::Connect(address) => {
                self.why_not(*address, &names, answers, Rule::covers_port_of)
            }
            Target::UdpSend(address) => {
                self.why_not(*address, &names, answers, Rule::covers_udp_port_of)
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

    /// Why `address` may not be reached, which has these names.
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

    /// Why `name`, which is granted, reaches nothing at `address`, which isn't public.
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

    /// Whether some rule grants looking `name` up.
    pub fn grants_lookup(&self, name: &Name) -> bool {
        self.rules.iter().any(|rule| rule.covers_lookup(name))
    }

    /// Tell which of the addresses of `name`, whose lookup was asked for, may be told: those that
    /// something granted reaches, unless it is the lookup itself that is granted.
    ///
    /// While a redirect to that name is followed it is looked up for that redirect, so what it can't
    /// reach is left out, whatever else grants the lookup: a server that names an address of its
    /// choice gets no closer to a neighbour that the address is granted for.
    ///
    /// # Errors
    /// Why none of them is.
    pub fn usable(
        &self,
        name: &Name,
        addresses: Vec<IpAddr>,
        answers: &ResolvedNames,
    ) -> Result<Vec<IpAddr>, DenialReason> {
        if !self.grants_lookup(name) {
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
                    if self.reaches(name, *address, answers) || self.rules.iter().any(by_number) {
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
        if name.is_localhost() {
            return address.to_canonical().is_loopback();
        }
        self.private
            || answers.special(address).is_none()
            || (self.has_named_name(name) && answers.may_be_at(name, address))
    }

    /// Whether what it grants at an address depends on whether that is a public one.
    pub fn asks_what_is_public(&self) -> bool {
        self.rules.iter().any(|rule| match rule {
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
        answers.names_of(address.ip()).find_map(|name| {
            let reaches = |rule: &&Rule| match rule {
                Rule::Redirect {
                    public_only: true, ..
                } => answers.special(address.ip()).is_none(),
                _ => answers.is_static(name) || self.reaches(name, address.ip(), answers),
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
mod tests;

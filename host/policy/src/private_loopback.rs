//! The private loopback of a run.
//!
//! A run can listen on a loopback address that no rule grants. Only the run itself can connect to such a listener, and
//! the listener does not use the machine's loopback. If a rule grants the address, the listener is on the machine. The
//! same holds for UDP sockets that are bound to a loopback address.

use crate::{DenialReason, GrantedBy, Policy, Rule, Target, Verdict, is_unbound};
use std::net::SocketAddr;

/// Which listeners and UDP sockets on loopback addresses are private: only their run can connect to them, or send to
/// them.
///
/// The variants are ordered. [`Policy::and`] keeps the greater of two settings, so `Off` wins over the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum PrivateLoopback {
    /// The listeners and UDP sockets that no rule grants.
    #[default]
    Ungranted,
    /// The listeners that no rule grants, and all listeners that the component binds to port 0.
    ///
    /// This is for a dry run, which grants everything. Some components connect to such a listener themselves to make a
    /// pair of connected sockets, as Python's `asyncio` does. They need no grant for that, so the dry run lists none. UDP
    /// sockets are not private then: one that is bound privately could not send to other destinations.
    PortZero,
    /// None. What no rule grants is denied.
    Off,
}

impl Policy {
    /// Judge `target` inside the run's private loopback. None if `target` does not belong to it: ask [`Policy::judge`]
    /// then.
    ///
    /// The caller has to check these conditions first:
    ///
    /// - [`Target::Listen`]: the socket is bound privately.
    /// - [`Target::Connect`]: the run listens privately on the address.
    /// - [`Target::Accept`]: the connection comes to a private listener.
    /// - [`Target::UdpBind`] of the unspecified address: the run has a private UDP socket. The socket can send to it then,
    ///   and to no other destination.
    /// - [`Target::UdpSend`]: the socket is bound privately, and so is one at the address.
    /// - [`Target::UdpReceive`]: the datagram comes from a private socket.
    ///
    /// A denial holds inside the private loopback too.
    pub fn judge_private(&self, target: &Target) -> Option<Verdict> {
        let address = target.address()?;
        // `is_loopback` is false for an IPv4-mapped address. No socket can be bound to one in WASI.
        let is_any = matches!(target, Target::UdpBind(_)) && is_unbound(address);
        if self.private_loopback == PrivateLoopback::Off || !(address.ip().is_loopback() || is_any)
        {
            return None;
        }
        let has_udp = self.private_loopback == PrivateLoopback::Ungranted;
        match target {
            Target::Bind(_) if self.grants_bind(target) => return None,
            Target::UdpBind(_) if self.grants_udp_bind(address) => return None,
            Target::Bind(_) | Target::Listen(_) | Target::Connect(_) | Target::Accept(_) => {}
            Target::UdpBind(_) | Target::UdpSend(_) | Target::UdpReceive(_) if has_udp => {}
            _ => return None,
        }
        Some(match self.denied_by(target) {
            Some(rule) => Verdict::Denied {
                reason: DenialReason::Rule { rule: rule.clone() },
                name: None,
            },
            None => Verdict::Allowed {
                by: GrantedBy::PrivateLoopback,
                name: None,
            },
        })
    }

    /// Whether `target` is a bind on the machine: a rule grants it, and the setting does not keep it private.
    fn grants_bind(&self, target: &Target) -> bool {
        let Target::Bind(address) = target else {
            return false;
        };
        let left_to_system =
            self.private_loopback == PrivateLoopback::PortZero && address.port() == 0;
        let ceiling_grants = self.ceiling().is_none_or(|it| it.grants_bind(target));
        !left_to_system
            && ceiling_grants
            && self.rules().iter().any(|rule| rule.covers_bind(*address))
    }

    /// Whether a rule grants binding a UDP socket to `address`.
    fn grants_udp_bind(&self, address: SocketAddr) -> bool {
        let is_any = is_unbound(address);
        let mut rules = self.rules().iter();
        rules.any(|rule| rule.covers_udp_bind(address, is_any))
    }

    /// Whether a rule may grant sending datagrams to `address`, a loopback address. For a rule with a name only the port
    /// counts. For port 0 the host chooses a port for which this is false, if one is free.
    pub fn may_send_to_loopback(&self, address: SocketAddr) -> bool {
        self.rules().iter().any(|rule| match rule {
            Rule::UdpSend { to } if to.is_of_names() => to.ports.contains(address.port()),
            rule => rule.covers_udp_send(address),
        })
    }

    /// Whether a rule may grant connecting to `address`, a loopback address. For a rule with a name only the port
    /// counts, because the name may resolve to the address.
    ///
    /// For port 0 the host chooses a port for which this is false, if one is free. A private listener on another port
    /// would hide the machine's listener on that port from the run.
    pub fn may_reach_loopback(&self, address: SocketAddr) -> bool {
        let ceiling_may = self
            .ceiling()
            .is_none_or(|it| it.may_reach_loopback(address));
        ceiling_may
            && self.rules().iter().any(|rule| match rule {
                Rule::Connect { to } if to.is_of_names() => to.ports.contains(address.port()),
                rule => rule.covers_connect(address),
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn told(policy: &Policy, target: Target) -> String {
        match policy.judge_private(&target) {
            None => "not private".to_owned(),
            Some(Verdict::Allowed { by, .. }) => format!("allowed by {by}"),
            Some(Verdict::Denied { reason, .. }) => reason.to_string(),
        }
    }

    #[test]
    fn what_no_rule_grants_on_a_loopback_address_is_private() {
        let nothing = Policy::new();
        for (text, expected) in [
            ("127.0.0.1:0", "allowed by private"),
            ("127.0.0.1:8080", "allowed by private"),
            ("127.255.255.254:1", "allowed by private"),
            ("[::1]:0", "allowed by private"),
            ("[::1]:65535", "allowed by private"),
            ("0.0.0.0:0", "not private"),
            ("0.0.0.0:8080", "not private"),
            ("[::]:0", "not private"),
            ("[::ffff:127.0.0.1]:0", "not private"),
            ("[::7f00:1]:80", "not private"),
            ("10.0.0.1:80", "not private"),
            ("128.0.0.1:80", "not private"),
            ("[::2]:80", "not private"),
        ] {
            for target in [
                Target::Bind,
                Target::Listen,
                Target::Connect,
                Target::Accept,
            ] {
                let target = target(address(text));
                assert_eq!(told(&nothing, target.clone()), expected, "{target}");
            }
            for target in [Target::UdpSend, Target::UdpReceive] {
                assert_eq!(told(&nothing, target(address(text))), expected);
            }
            // One that may send from any address is private where the caller says that there is a destination.
            let expected = match text {
                "0.0.0.0:0" | "[::]:0" => "allowed by private",
                _ => expected,
            };
            let bind = Target::UdpBind(address(text));
            assert_eq!(told(&nothing, bind.clone()), expected, "{bind}");
            let dry = Policy::new().private_loopback(PrivateLoopback::PortZero);
            assert_eq!(told(&dry, bind), "not private");
        }
        let name = Target::Resolve("localhost".parse().unwrap());
        assert_eq!(told(&nothing, name), "not private");
    }

    #[test]
    fn what_a_rule_grants_is_the_machines() {
        let listen = |text| Policy::new().allow_listen_on(text).unwrap();
        for (policy, text, expected) in [
            (listen("127.0.0.1:80"), "127.0.0.1:80", "not private"),
            (listen("127.0.0.1:80"), "127.0.0.1:81", "allowed by private"),
            (listen("127.0.0.1:80"), "127.0.0.1:0", "allowed by private"),
            (listen("127.0.0.1:80"), "[::1]:80", "allowed by private"),
            (listen("127.0.0.1:0"), "127.0.0.1:0", "not private"),
            (listen("0.0.0.0:80"), "127.0.0.1:80", "not private"),
            (listen("127.0.0.0/8:*"), "127.0.0.9:7", "not private"),
            (Policy::everything(), "127.0.0.1:0", "not private"),
        ] {
            assert_eq!(
                told(&policy, Target::Bind(address(text))),
                expected,
                "{policy:?} {text}"
            );
        }
    }

    #[test]
    fn a_udp_socket_that_a_rule_grants_is_the_machines() {
        let bind = |text| Policy::new().allow_udp_bind(text).unwrap();
        let send = |text| Policy::new().allow_udp_send(text).unwrap();
        for (policy, text, expected) in [
            (bind("127.0.0.1:80"), "127.0.0.1:80", "not private"),
            (bind("127.0.0.1:80"), "127.0.0.1:81", "allowed by private"),
            (bind("127.0.0.1:80"), "0.0.0.0:0", "allowed by private"),
            (send("192.0.2.1:53"), "127.0.0.1:0", "allowed by private"),
            (send("192.0.2.1:53"), "0.0.0.0:0", "not private"),
            (Policy::everything(), "127.0.0.1:0", "not private"),
            (Policy::everything(), "[::]:0", "not private"),
        ] {
            assert_eq!(
                told(&policy, Target::UdpBind(address(text))),
                expected,
                "{policy:?} {text}"
            );
        }
        for (policy, expected) in [
            (Policy::new(), false),
            (send("127.0.0.1:50000"), true),
            (send("127.0.0.1:50001"), false),
            (send("localhost:50000"), true),
            (send("10.0.0.1"), false),
        ] {
            let found = policy.may_send_to_loopback(address("127.0.0.1:50000"));
            assert_eq!(found, expected, "{policy:?}");
        }
    }

    #[test]
    fn a_denial_holds_inside_too() {
        let policy = Policy::new()
            .deny_connect("127.0.0.1:80")
            .unwrap()
            .deny_accept("127.0.0.2")
            .unwrap();
        for (target, expected) in [
            (
                Target::Connect(address("127.0.0.1:80")),
                "denied by deny-connect 127.0.0.1:80",
            ),
            (
                Target::Connect(address("127.0.0.1:81")),
                "allowed by private",
            ),
            (
                Target::Accept(address("127.0.0.2:80")),
                "denied by deny-accept 127.0.0.2/32",
            ),
            (
                Target::Accept(address("127.0.0.1:80")),
                "allowed by private",
            ),
            (Target::Bind(address("127.0.0.1:80")), "allowed by private"),
            (
                Target::UdpSend(address("127.0.0.1:80")),
                "denied by deny-connect 127.0.0.1:80",
            ),
            (
                Target::UdpReceive(address("127.0.0.2:80")),
                "denied by deny-accept 127.0.0.2/32",
            ),
            (
                Target::UdpBind(address("127.0.0.1:80")),
                "allowed by private",
            ),
        ] {
            assert_eq!(told(&policy, target.clone()), expected, "{target}");
        }
    }

    #[test]
    fn it_can_be_turned_off_and_the_later_setting_counts() {
        let bind = |policy: &Policy, text| told(policy, Target::Bind(address(text)));
        let off = Policy::new().private_loopback(PrivateLoopback::Off);
        assert_eq!(bind(&off, "127.0.0.1:0"), "not private");
        for both in [off.clone().and(Policy::new()), Policy::new().and(off)] {
            assert_eq!(bind(&both, "127.0.0.1:0"), "not private");
        }
        let dry = Policy::everything().private_loopback(PrivateLoopback::PortZero);
        assert_eq!(bind(&dry, "127.0.0.1:0"), "allowed by private");
        assert_eq!(bind(&dry, "127.0.0.1:80"), "not private");
        assert_eq!(bind(&dry, "0.0.0.0:0"), "not private");
    }

    #[test]
    fn what_the_run_may_reach_is_known() {
        let connect = |text| Policy::new().allow_connect_to(text).unwrap();
        for (policy, expected) in [
            (Policy::new(), false),
            (connect("127.0.0.1:50000"), true),
            (connect("127.0.0.1:50001"), false),
            (connect("127.0.0.0/8"), true),
            (connect("10.0.0.1"), false),
            (connect("localhost:50000"), true),
            (connect("localhost:50001"), false),
        ] {
            let found = policy.may_reach_loopback(address("127.0.0.1:50000"));
            assert_eq!(found, expected, "{policy:?}");
        }
    }

    #[test]
    fn nothing_private_is_granted_on_the_machine() {
        // `judge` decides about sockets of the machine. It must not allow an address because it is private.
        let answers = crate::ResolvedNames::new();
        for target in [
            Target::Bind,
            Target::Listen,
            Target::Connect,
            Target::Accept,
            Target::UdpBind,
            Target::UdpSend,
            Target::UdpReceive,
        ] {
            let target = target(address("127.0.0.1:80"));
            assert!(Policy::new().judge_private(&target).unwrap().is_allowed());
            assert!(!Policy::new().judge(&target, &answers).is_allowed());
        }
    }
}

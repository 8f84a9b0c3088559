//! Properties that hold for every policy.

use crate::embedded::embedded;
use crate::{
    Deny, Destination, Host, Name, Names, Policy, Range, ResolvedNames, Rule, Target, is_unbound,
};
use proptest::prelude::*;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Instant;

/// Addresses of few kinds, so that rules and targets often match.
fn ip() -> BoxedStrategy<IpAddr> {
    let v4 = (
        prop_oneof![Just(10), Just(127), Just(1), Just(169)],
        0..4_u8,
    )
        .prop_map(|(first, last)| Ipv4Addr::new(first, 0, 0, last));
    prop_oneof![
        v4.clone().prop_map(IpAddr::V4),
        v4.clone().prop_map(|ip| IpAddr::V6(ip.to_ipv6_mapped())),
        v4.clone()
            .prop_map(|ip| IpAddr::V6(standing_for(ip, 0x64, 0xff9b))),
        v4.clone().prop_map(|ip| IpAddr::V6(standing_for(ip, 0, 0))),
        v4.prop_map(|ip| {
            let [a, b] = halves(ip);
            IpAddr::V6(Ipv6Addr::new(0x2002, a, b, 0, 0, 0, 0, 1))
        }),
        (0..3_u16).prop_map(|last| IpAddr::V6(Ipv6Addr::new(0x2606, 0, 0, 0, 0, 0, 0, last))),
        Just(IpAddr::V6(Ipv6Addr::LOCALHOST)),
    ]
    .boxed()
}

fn halves(ip: Ipv4Addr) -> [u16; 2] {
    let [a, b, c, d] = ip.octets();
    [u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])]
}

fn standing_for(ip: Ipv4Addr, first: u16, second: u16) -> Ipv6Addr {
    let [a, b] = halves(ip);
    Ipv6Addr::new(first, second, 0, 0, 0, 0, a, b)
}

fn port() -> BoxedStrategy<u16> {
    prop_oneof![Just(80), Just(81), Just(443)].boxed()
}

fn name() -> BoxedStrategy<Name> {
    prop_oneof![
        Just("a.example"),
        Just("b.a.example"),
        Just("localhost"),
        Just("example"),
    ]
    .prop_map(|text| text.parse().unwrap())
    .boxed()
}

fn range() -> BoxedStrategy<Range> {
    (
        ip(),
        prop_oneof![Just(8_u8), Just(24), Just(32), Just(96), Just(128)],
    )
        .prop_map(|(ip, prefix)| {
            let prefix = if ip.is_ipv4() { prefix.min(32) } else { prefix };
            // A range of IPv4-mapped addresses is written as the one of IPv4.
            let (ip, prefix) = match ip.to_canonical() {
                inner if inner.is_ipv4() => (inner, prefix.min(32)),
                _ => (ip, prefix),
            };
            let net = ipnet::IpNet::new(ip, prefix).unwrap().trunc();
            net.to_string().parse().unwrap()
        })
        .boxed()
}

fn destination() -> BoxedStrategy<Destination> {
    let ports = prop_oneof![
        port().prop_map(|port| format!(":{port}")),
        Just(String::new()),
        Just(":80-443".to_owned()),
        Just(":81,443".to_owned()),
    ];
    let hosts = prop_oneof![
        ip().prop_map(|ip| Host::Address(ip.to_canonical()).to_string()),
        range().prop_map(|range| range.to_string()),
        name().prop_map(|name| name.to_string()),
        name().prop_map(|name| format!("*.{name}")),
    ];
    (hosts, ports)
        .prop_map(|(hosts, ports)| format!("{hosts}{ports}").parse().unwrap())
        .boxed()
}

fn rule() -> BoxedStrategy<Rule> {
    prop_oneof![
        1 => Just(Rule::Everything),
        4 => destination().prop_map(|to| Rule::Connect { to }),
        2 => destination().prop_map(|to| Rule::UdpSend { to }),
        2 => range().prop_map(|from| Rule::Accept { from }),
        2 => (ip(), port()).prop_map(|(ip, port)| {
            let endpoint = SocketAddr::new(ip.to_canonical(), port).to_string();
            Rule::Listen { on: endpoint.parse().unwrap() }
        }),
        1 => (ip(), port()).prop_map(|(ip, port)| {
            let endpoint = SocketAddr::new(ip.to_canonical(), port).to_string();
            Rule::UdpBind { on: endpoint.parse().unwrap() }
        }),
        1 => name().prop_map(|name| Rule::Resolve { names: name.to_string().parse().unwrap() }),
    ]
    .boxed()
}

fn deny() -> BoxedStrategy<Deny> {
    let to = destination().prop_filter_map("a name", |to| to.to_string().parse().ok());
    prop_oneof![
        to.prop_map(|to| Deny::Connect { to }),
        range().prop_map(|from| Deny::Accept { from }),
        (name(), any::<bool>()).prop_map(|(name, below)| {
            let star = if below { "*." } else { "" };
            Deny::Resolve {
                names: format!("{star}{name}").parse().unwrap(),
            }
        }),
    ]
    .boxed()
}

fn policy() -> BoxedStrategy<Policy> {
    let rules = prop::collection::vec(rule(), 0..6);
    let denials = prop::collection::vec(deny(), 0..4);
    (rules, denials, any::<bool>())
        .prop_map(|(rules, denials, private)| {
            let policy = rules.into_iter().fold(Policy::new(), Policy::grant);
            let policy = denials.into_iter().fold(policy, Policy::deny);
            if private {
                policy.allow_private()
            } else {
                policy
            }
        })
        .boxed()
}

fn answers() -> BoxedStrategy<ResolvedNames> {
    prop::collection::vec((name(), prop::collection::vec(ip(), 0..3)), 0..4)
        .prop_map(|known| {
            let mut answers = ResolvedNames::new();
            for (name, addresses) in known {
                answers.insert(&name, addresses, Instant::now());
            }
            answers
        })
        .boxed()
}

fn address() -> BoxedStrategy<SocketAddr> {
    (ip(), port())
        .prop_map(|(ip, port)| SocketAddr::new(ip, port))
        .boxed()
}

/// Whether the component may see this address of a name.
fn usable(policy: &Policy, name: &Name, address: IpAddr, answers: &ResolvedNames) -> bool {
    policy.usable(name, vec![address], answers).is_ok()
}

fn targets(address: SocketAddr) -> [Target; 7] {
    [
        Target::Connect(address),
        Target::Bind(address),
        Target::Listen(address),
        Target::Accept(address),
        Target::UdpBind(address),
        Target::UdpSend(address),
        Target::UdpReceive(address),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn no_rules_allow_what_a_denial_matches(
        policy in policy(), answers in answers(), address in address(),
    ) {
        // The same decision, written as plainly as possible.
        let forms: Vec<IpAddr> = std::iter::once(address.ip())
            .chain(embedded(address.ip()))
            .collect();
        let denied_to_connect = policy.denials().iter().any(|deny| match deny {
            Deny::Connect { to } => {
                let to: Destination = to.to_string().parse().unwrap();
                forms.iter().any(|ip| to.covers_address(SocketAddr::new(*ip, address.port())))
            }
            Deny::Accept { .. } | Deny::Resolve { .. } | Deny::Http { .. } => false,
        });
        let denied_to_accept = policy.denials().iter().any(|deny| match deny {
            Deny::Accept { from } => forms.iter().any(|ip| from.contains(*ip)),
            Deny::Connect { .. } | Deny::Resolve { .. } | Deny::Http { .. } => false,
        });
        for target in targets(address) {
            let denied = match target {
                Target::Connect(_) | Target::UdpSend(_) => denied_to_connect,
                Target::Accept(_) | Target::UdpReceive(_) => denied_to_accept,
                _ => false,
            };
            let allowed = policy.judge(&target, &answers).is_allowed();
            prop_assert!(!(denied && allowed), "{target} by {policy:?}");
        }
    }

    #[test]
    fn a_denial_more_never_allows_more(
        policy in policy(), deny in deny(), answers in answers(), address in address(),
    ) {
        let narrower = policy.clone().deny(deny);
        for target in targets(address) {
            let before = policy.judge(&target, &answers).is_allowed();
            let after = narrower.judge(&target, &answers).is_allowed();
            prop_assert!(before || !after, "{target} by {narrower:?}");
        }
    }

    #[test]
    fn a_name_that_may_not_be_looked_up_grants_nothing(
        policy in policy(), answers in answers(), address in address(), denied in name(),
    ) {
        let denies = |policy: Policy| policy.deny(Deny::Resolve { names: Names::One(denied.clone()) });
        let narrower = denies(policy.clone());
        prop_assert!(!narrower.judge(&Target::Resolve(denied.clone()), &answers).is_allowed());
        // It is the same to have no such name: what is granted then is granted by something else.
        let mut without = answers.clone();
        without.retain(|name| *name != denied);
        for target in targets(address) {
            let one = narrower.judge(&target, &answers).is_allowed();
            let other = narrower.judge(&target, &without).is_allowed();
            prop_assert_eq!(one, other, "{} by {:?}", target, narrower);
        }
    }

    #[test]
    fn what_is_private_is_never_on_the_machine(
        policy in policy(), answers in answers(), address in address(),
    ) {
        if let Some(verdict) = policy.judge_private(&Target::Bind(address)) {
            prop_assert!(address.ip().is_loopback());
            prop_assert!(!policy.judge(&Target::Bind(address), &answers).is_allowed());
            prop_assert!(verdict.is_allowed());
        }
        if let Some(verdict) = policy.judge_private(&Target::UdpBind(address)) {
            prop_assert!(address.ip().is_loopback() || is_unbound(address));
            prop_assert!(!policy.judge(&Target::UdpBind(address), &answers).is_allowed());
            prop_assert!(verdict.is_allowed());
        }
    }

    #[test]
    fn the_order_of_rules_decides_nothing(
        policy in policy(), answers in answers(), address in address(),
    ) {
        let reversed = policy.rules().iter().rev().cloned().fold(Policy::new(), Policy::grant);
        let reversed = policy.denials().iter().rev().cloned().fold(reversed, Policy::deny);
        let reversed = match policy.allows_private() {
            true => reversed.allow_private(),
            false => reversed,
        };
        for target in targets(address) {
            let (one, other) = (policy.judge(&target, &answers), reversed.judge(&target, &answers));
            prop_assert_eq!(one.is_allowed(), other.is_allowed(), "{} by {:?}", target, policy);
        }
    }

    #[test]
    fn mapped_addresses_are_judged_as_the_ipv4_ones(
        policy in policy(), answers in answers(), address in address(),
    ) {
        let canonical = SocketAddr::new(address.ip().to_canonical(), address.port());
        for (one, other) in targets(address).iter().zip(targets(canonical)) {
            let (one, other) = (policy.judge(one, &answers), policy.judge(&other, &answers));
            prop_assert_eq!(one.is_allowed(), other.is_allowed(), "{} by {:?}", address, policy);
        }
    }

    #[test]
    fn what_is_granted_within_a_ceiling_is_granted_by_both(
        asked in policy(), ceiling in policy(), third in policy(), answers in answers(), address in address(),
        name in name(), addresses in prop::collection::vec(ip(), 0..3),
    ) {
        let policy = asked.clone().within(&ceiling);
        let twice = policy.clone().within(&third);
        let later = ceiling.clone().within(&third);
        let resolve = Target::Resolve(name.clone());
        for target in targets(address).into_iter().chain([resolve]) {
            let allows = |policy: &Policy| policy.judge(&target, &answers).is_allowed();
            let both = allows(&asked) && allows(&ceiling);
            prop_assert!(both || !allows(&policy), "{} by {:?}", target, policy);
            prop_assert!((allows(&asked) && allows(&later)) || !allows(&twice), "{} by {:?}", target, twice);
            // A denial of one of them can make a rule of the other one worthless.
            if asked.denials().is_empty() && ceiling.denials().is_empty() {
                prop_assert_eq!(allows(&policy), both, "{} by {:?}", target, policy);
            }
            let private = |policy: &Policy| policy.judge_private(&target).is_some_and(|it| it.is_allowed());
            prop_assert!(!private(&policy) || target.address().is_some_and(|it| it.ip().is_loopback()));
            let may_be_private = policy.judge_private(&target).is_none_or(|it| it.is_allowed());
            prop_assert!(may_be_private || !allows(&policy));
            for denial in asked.denials().iter().chain(ceiling.denials()) {
                prop_assert!(policy.denials().contains(denial));
            }
        }
        let usable = |policy: &Policy| policy.usable(&name, addresses.clone(), &answers).unwrap_or_default();
        for usable in usable(&policy) {
            prop_assert!(self::usable(&asked, &name, usable, &answers), "{} by {:?}", usable, asked);
            prop_assert!(self::usable(&ceiling, &name, usable, &answers), "{} by {:?}", usable, ceiling);
        }
        if policy.reaches(&name, address.ip(), &answers) {
            prop_assert!(asked.reaches(&name, address.ip(), &answers));
            prop_assert!(ceiling.reaches(&name, address.ip(), &answers));
        }
        if policy.grants_lookup(&name) {
            prop_assert!(asked.grants_lookup(&name) && ceiling.grants_lookup(&name));
        }
    }

    #[test]
    fn what_is_cut_by_a_ceiling_is_told(
        asked in policy(), ceiling in policy(), answers in answers(), address in address(),
    ) {
        let policy = asked.clone().within(&ceiling);
        if asked.cuts(&ceiling).is_empty() {
            for target in targets(address) {
                let (one, other) = (asked.judge(&target, &answers), policy.judge(&target, &answers));
                prop_assert_eq!(one.is_allowed(), other.is_allowed(), "{} by {:?}", target, policy);
            }
        }
    }

    #[test]
    fn rules_are_read_as_they_are_written(destination in destination(), range in range()) {
        prop_assert_eq!(destination.to_string().parse(), Ok(destination));
        prop_assert_eq!(range.to_string().parse(), Ok(range));
    }
}

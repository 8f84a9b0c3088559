//! Tests of `deny-resolve`, which denies a name that a wider grant covers.

use crate::{DenialReason, Name, Names, Origin, Policy, ResolvedNames, Target, Verdict};
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn denied_by(policy: &Policy, target: &Target, answers: &ResolvedNames) -> Option<String> {
    match policy.judge(target, answers) {
        Verdict::Allowed { .. } => None,
        Verdict::Denied { reason, name } => Some(reason.refusal(target, name.as_ref())),
    }
}

/// Grants `*.example.com` except `admin.example.com` and the names below it.
fn policy() -> Policy {
    Policy::new()
        .allow_connect_to("*.example.com:443")
        .unwrap()
        .allow_udp_send("*.example.com:53")
        .unwrap()
        .deny_resolve("admin.example.com")
        .unwrap()
        .deny_resolve("*.admin.example.com")
        .unwrap()
}

#[test]
fn a_denied_name_is_not_looked_up_in_any_spelling() {
    for (text, denied) in [
        ("www.example.com", None),
        ("admin.example.com", Some("admin.example.com")),
        ("ADMIN.Example.COM.", Some("admin.example.com")),
        ("\u{ff41}dmin.example.com", Some("admin.example.com")),
        ("x.admin.example.com", Some("*.admin.example.com")),
        ("xadmin.example.com", None),
    ] {
        let target = Target::Resolve(name(text));
        let expected = denied.map(|rule| format!("{target}: denied by deny-resolve {rule}"));
        let found = denied_by(&policy(), &target, &ResolvedNames::new());
        assert_eq!(found, expected, "{text}");
        assert_eq!(
            policy().grants_lookup(&name(text)),
            denied.is_none(),
            "{text}"
        );
        let by_name = [false, true].map(|udp| {
            let port = if udp { 53 } else { 443 };
            policy().rule_for_name(&name(text), port, udp).is_some()
        });
        assert_eq!(by_name, [denied.is_none(); 2], "{text}");
    }
}

#[test]
fn everything_is_less_a_denied_name() {
    let policy = Policy::everything().deny_resolve("*.example").unwrap();
    let answers = ResolvedNames::new();
    let asked = |text| denied_by(&policy, &Target::Resolve(name(text)), &answers);
    let expected = "resolve a.example: denied by deny-resolve *.example";
    assert_eq!(asked("a.example").as_deref(), Some(expected));
    assert_eq!(asked("example"), None);
    // The denial covers the lookup and not the address, so a rule can still grant the address.
    let address = Target::Connect("1.2.3.4:80".parse().unwrap());
    assert_eq!(denied_by(&policy, &address, &answers), None);
}

#[test]
fn a_static_address_of_a_denied_name_is_not_reached() {
    let mut answers = ResolvedNames::new();
    answers.set_static(&name("admin.example.com"), [ip("10.0.0.1"), ip("1.2.3.4")]);
    let connect = |text: &str| Target::Connect(text.parse().unwrap());
    let send = |text: &str| Target::UdpSend(text.parse().unwrap());
    for (target, shown) in [
        (connect("10.0.0.1:443"), "connect to 10.0.0.1:443"),
        (connect("1.2.3.4:443"), "connect to 1.2.3.4:443"),
        (send("1.2.3.4:53"), "send a datagram to 1.2.3.4:53"),
    ] {
        let expected =
            format!("{shown} (admin.example.com): denied by deny-resolve admin.example.com");
        let found = denied_by(&policy(), &target, &answers);
        assert_eq!(found, Some(expected), "and there is no hint");
    }
    // No rule covers port 80. The reason names a rule that would allow it, and not the denied name.
    let found = denied_by(&policy(), &connect("1.2.3.4:80"), &answers);
    let expected = "connect to 1.2.3.4:80: no rule grants it (allow-connect 1.2.3.4:80 would)";
    assert_eq!(found.as_deref(), Some(expected));
    // Another granted name has the same address, so connecting is allowed.
    answers.insert(&name("www.example.com"), [ip("1.2.3.4")], Instant::now());
    assert_eq!(
        denied_by(&policy(), &connect("1.2.3.4:443"), &answers),
        None
    );
}

#[test]
fn no_answer_of_a_denied_name_is_told() {
    let found = policy().usable(
        &name("admin.example.com"),
        vec![ip("1.2.3.4")],
        &ResolvedNames::new(),
    );
    let Err(DenialReason::Rule { rule }) = found else {
        panic!("{found:?}");
    };
    assert_eq!(rule.to_string(), "deny-resolve admin.example.com");
    assert!(!policy().reaches(
        &name("admin.example.com"),
        ip("1.2.3.4"),
        &ResolvedNames::new()
    ));
}

#[test]
fn neither_a_typed_origin_nor_a_redirect_overrides_a_denial() {
    let origin = Origin::new("admin.example.com".parse().unwrap(), 443);
    let typed = policy().allow_origin(origin.clone());
    let led = policy()
        .allow_origin(Origin::new("www.example.com".parse().unwrap(), 443))
        .allow_redirects()
        .for_redirect(&origin);
    let mut answers = ResolvedNames::new();
    answers.set_static(&name("admin.example.com"), [ip("1.2.3.4")]);
    let address: SocketAddr = "1.2.3.4:443".parse().unwrap();
    for policy in [typed, led] {
        for target in [
            Target::Resolve(name("admin.example.com")),
            Target::Connect(address),
        ] {
            let found = denied_by(&policy, &target, &answers).unwrap();
            assert!(
                found.ends_with(": denied by deny-resolve admin.example.com"),
                "{found}"
            );
        }
    }
}

#[test]
fn only_names_can_be_denied() {
    for (text, expected) in [
        (
            "1.2.3.4",
            "`1.2.3.4` is an address, which needs no lookup: give a host name",
        ),
        (
            "2130706433",
            "`2130706433` is an address, which needs no lookup: give a host name",
        ),
        (
            "a.example:80",
            "`a.example:80` is neither a host name nor an address",
        ),
        (
            "a.*.example",
            "`a.*.example` is neither a host name nor an address",
        ),
    ] {
        let error = Policy::new().deny_resolve(text).unwrap_err().to_string();
        assert_eq!(error, expected);
    }
    let policy = Policy::new().deny_resolve("B\u{fc}cher.example").unwrap();
    let names = Names::One(name("xn--bcher-kva.example"));
    assert_eq!(policy.denials(), [crate::Deny::Resolve { names }]);
}

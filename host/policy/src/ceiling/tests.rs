use super::*;
use crate::{GrantedBy, HttpTarget, Origin, PrivateLoopback};
use std::time::Duration;

fn connect(text: &str) -> Policy {
    Policy::new().allow_connect_to(text).unwrap()
}

fn judged(policy: &Policy, address: &str) -> Verdict {
    let target = Target::Connect(address.parse().unwrap());
    policy.judge(&target, &ResolvedNames::new())
}

#[test]
fn a_denial_says_that_it_is_the_ceilings() {
    let ceiling = connect("10.0.0.0/8").deny_connect("10.9.0.0/16").unwrap();
    let asked = connect("10.0.0.0/8:80")
        .and(connect("11.0.0.1"))
        .deny_connect("10.0.0.1")
        .unwrap();
    let policy = asked.clone().within(&ceiling);
    for (address, expected) in [
        ("10.0.0.2:80", "allow-connect 10.0.0.0/8:80"),
        ("10.0.0.1:80", "denied by deny-connect 10.0.0.1:*"),
        ("10.9.0.1:80", "denied by deny-connect 10.9.0.0/16:*"),
        ("10.0.0.2:81", "no rule grants it"),
        (
            "11.0.0.1:80",
            "the ceiling does not allow it: no rule grants it",
        ),
        (
            "12.0.0.1:80",
            "the ceiling does not allow it: no rule grants it",
        ),
    ] {
        let told = match judged(&policy, address) {
            Verdict::Allowed { by, .. } => {
                assert!(matches!(by, GrantedBy::Rule(_)));
                by.to_string()
            }
            Verdict::Denied { reason, name } => {
                if let DenialReason::Ceiling { .. } = reason {
                    let target = Target::Connect(address.parse().unwrap());
                    assert_eq!(reason.hint(&target, name.as_ref()), None);
                }
                reason.to_string()
            }
        };
        assert_eq!(told, expected, "{address}");
    }
    // A ceiling within a ceiling is told of once.
    let twice = connect("11.0.0.1").within(&connect("11.0.0.1").within(&ceiling));
    let Verdict::Denied { reason, .. } = judged(&twice, "11.0.0.1:80") else {
        panic!("it is denied");
    };
    assert_eq!(
        reason.to_string(),
        "the ceiling does not allow it: no rule grants it"
    );
}

#[test]
fn what_is_added_later_is_within_the_ceiling_too() {
    let ceiling = connect("10.0.0.1:80");
    let policy = Policy::new().within(&ceiling).and(Policy::everything());
    assert!(judged(&policy, "10.0.0.1:80").is_allowed());
    assert!(!judged(&policy, "10.0.0.1:81").is_allowed());
    // The ceiling of either operand holds.
    let policy = Policy::everything().and(Policy::new().within(&ceiling));
    assert!(!judged(&policy, "10.0.0.1:81").is_allowed());
    // The same one twice is the same as once.
    let once = Policy::everything().within(&ceiling);
    assert_eq!(once.clone().within(&ceiling), once);
}

#[test]
fn a_redirect_stays_within_the_ceiling() {
    let origin = Origin::new("1.2.3.4".parse().unwrap(), 80);
    let asked = Policy::new().allow_redirects();
    let leads = |ceiling: &Policy| {
        let policy = asked.clone().within(ceiling).for_redirect(&origin);
        judged(&policy, "1.2.3.4:80").is_allowed()
    };
    assert!(!leads(&Policy::new()));
    assert!(leads(&Policy::new().allow_redirects()));
    assert!(!leads(&connect("1.2.3.4:80")), "redirects are not granted");
    assert!(leads(&connect("1.2.3.4:80").allow_redirects()));
}

#[test]
fn requests_are_within_the_ceiling_in_each_step() {
    let ceiling = Policy::new()
        .allow_http("GET https://a.example/v1/*")
        .unwrap()
        .deny_connect("9.9.9.9")
        .unwrap();
    let policy = Policy::everything().within(&ceiling);
    let answers = ResolvedNames::new();
    for (asked, expected) in [
        ("GET https://a.example/v1/x", true),
        ("PUT https://a.example/v1/x", false),
        ("GET https://a.example/v1/../x", false),
        ("GET https://b.example/v1/x", false),
    ] {
        let (method, url) = asked.split_once(' ').unwrap();
        let target = HttpTarget::new(method.parse().unwrap(), url.parse().unwrap());
        let verdict = policy.judge(&Target::Http(target.clone()), &answers);
        assert_eq!(verdict.is_allowed(), expected, "{asked}");
        for (address, expected) in [("1.2.3.4", true), ("10.0.0.1", false), ("9.9.9.9", false)] {
            let reached = policy.http_reaches(&target, address.parse().unwrap(), &answers);
            assert_eq!(reached.is_ok(), expected, "{asked} at {address}");
        }
    }
}

#[test]
fn the_private_loopback_is_off_if_one_of_them_says_so() {
    let off = Policy::new().private_loopback(PrivateLoopback::Off);
    let bind = Target::Bind("127.0.0.1:0".parse().unwrap());
    for (policy, expected) in [
        (Policy::new().within(&Policy::new()), true),
        (Policy::new().within(&off), false),
        (off.clone().within(&Policy::new()), false),
    ] {
        assert_eq!(policy.judge_private(&bind).is_some(), expected);
    }
}

#[test]
fn what_is_cut_is_listed() {
    let ceiling = connect("10.0.0.0/8:443")
        .allow_accept("10.0.0.0/8")
        .unwrap()
        .allow_listen_on("127.0.0.1:80")
        .unwrap()
        .deny_connect("10.0.0.9")
        .unwrap();
    let asked = connect("10.0.0.1:443")
        .and(connect("10.0.0.1:80"))
        .allow_private()
        .allow_redirects()
        .allow_listen_on("127.0.0.1:80")
        .unwrap();
    let told: Vec<String> = asked.cuts(&ceiling).iter().map(Cut::to_string).collect();
    assert_eq!(
        told,
        [
            "allow-connect 10.0.0.1:80: no rule of the ceiling grants all of it",
            "allow-listen 127.0.0.1:80: no rule of the ceiling grants all of it",
            "deny-connect 10.0.0.9:*: added by the ceiling",
            "allow-private: the ceiling does not allow it",
            "redirects: the ceiling does not allow them",
        ]
    );
    assert_eq!(
        asked.cuts(&Policy::everything().allow_private().allow_redirects()),
        []
    );
    assert_eq!(Policy::new().cuts(&connect("10.0.0.1")), []);
}

#[test]
fn the_stricter_one_of_two_limits_holds() {
    let ceiling = Limits::default()
        .memory_bytes(10)
        .sockets(5)
        .wall_time(Some(Duration::from_secs(1)))
        .cpu_time(None);
    let asked = Limits::default()
        .memory_bytes(5)
        .sockets(10)
        .wall_time(None)
        .cpu_time(Some(Duration::from_secs(2)));
    let limits = asked.within(&ceiling);
    assert_eq!(limits.memory_bytes, 5);
    assert_eq!(limits.sockets, 5);
    assert_eq!(limits.wall_time, Some(Duration::from_secs(1)));
    assert_eq!(limits.cpu_time, Some(Duration::from_secs(2)));
    assert_eq!(asked.differing(&limits), [Limit::Sockets, Limit::WallTime]);
    // Each limit counts in both, and each one is told.
    let least = Limits {
        memory_bytes: 0,
        table_elements: 0,
        instances: 0,
        instance_bytes: 0,
        component_items: 0,
        compile_time: Duration::ZERO,
        compile_memory: 0,
        resources: 0,
        handles: 0,
        sockets: 0,
        hostcall_bytes: 0,
        wall_time: Some(Duration::ZERO),
        resolve_timeout: Duration::ZERO,
        resolutions_at_once: 0,
        cpu_time: Some(Duration::ZERO),
        connects_per_second: Some(0),
        accepts_per_second: Some(0),
        received_bytes: Some(0),
        sent_bytes: Some(0),
        bandwidth: Some(0),
        resolutions: Some(0),
        files: 0,
    };
    let defaults = Limits::default();
    for limits in [defaults.within(&least), least.within(&defaults)] {
        assert_eq!(limits, least);
    }
    let mut told: Vec<Limit> = defaults.differing(&least);
    told.sort_by_key(|limit| *limit as u32);
    told.dedup();
    assert_eq!(told.len(), 22);
}

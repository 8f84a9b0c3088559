use super::*;
use crate::{Authority, Decision, Question};
use sockbox_policy::audit::RunId;
use sockbox_policy::{DenialReason, HttpPrefix, Limit, Target};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn secret(prefix: &str, name: &str, value: &str) -> SecretHeader {
    let prefix: HttpPrefix = prefix.parse().unwrap();
    SecretHeader::new(prefix, name, value).unwrap()
}

#[test]
fn static_addresses_and_secrets_are_those_of_both() {
    let ip = |text: &str| text.parse::<IpAddr>().unwrap();
    let ceiling = Grant::new()
        .static_host(name("a.example"), [ip("10.0.0.1")])
        .static_host(name("b.example"), [ip("10.0.0.2")])
        .secret_header(secret("https://a.example/", "authorization", "one"))
        .secret_header(secret("https://b.example/", "authorization", "two"));
    let asked = Grant::new()
        .static_host(name("a.example"), [ip("10.0.0.1")])
        .static_host(name("b.example"), [ip("127.0.0.1")])
        .static_host(name("c.example"), [ip("127.0.0.1")])
        .secret_header(secret("https://a.example/", "authorization", "one"))
        .secret_header(secret("https://a.example/", "x-token", "one"))
        .secret_header(secret("https://b.example/", "authorization", "other"))
        .secret_header(secret("https://b.example/v1/", "authorization", "two"));
    let (grant, cuts) = asked.within(&ceiling);
    assert_eq!(grant.static_hosts, ceiling.static_hosts);
    let kept: Vec<_> = grant
        .secret_headers()
        .iter()
        .map(|header| header.prefix().to_string())
        .collect();
    assert_eq!(kept, ["https://a.example/"]);
    let told: Vec<String> = cuts.iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "resolve b.example: the ceiling has no such address of it",
            "resolve c.example: the ceiling has no such address of it",
            "secret-header x-token: the ceiling has no such header",
            "secret-header authorization: the ceiling has no such header",
            "secret-header authorization: the ceiling has no such header",
        ]
    );
}

#[test]
fn limits_are_cut_and_told() {
    let ceiling = Grant::new().limits(Limits::default().sockets(5).sent_bytes(Some(10)));
    let asked = Grant::new().limits(Limits::default().sockets(3));
    let (grant, cuts) = asked.within(&ceiling);
    assert_eq!(grant.granted_limits().sockets, 3);
    assert_eq!(grant.granted_limits().sent_bytes, Some(10));
    let limit = Limit::SentBytes;
    assert_eq!(cuts, [Cut::Limit { limit }]);
    let (same, cuts) = grant.within(&ceiling);
    assert_eq!(
        (same.granted_limits(), cuts),
        (grant.granted_limits(), vec![])
    );
}

#[tokio::test]
async fn a_decider_cannot_allow_what_the_ceiling_does_not() {
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = asked.clone();
    let decider = move |_: Question| {
        counted.fetch_add(1, Ordering::SeqCst);
        async {
            Decision::Allow {
                reason: "always".to_owned(),
            }
        }
    };
    let ceiling = Grant::new().policy(Policy::new().allow_connect_to("10.0.0.1:80").unwrap());
    let (grant, _) = Grant::new().decider(decider).within(&ceiling);
    let authority = Arc::new(Authority::new(RunId::new(1), &grant));
    let ask = |address: &str| authority.ask(Target::Connect(address.parse().unwrap()));
    assert!(ask("10.0.0.1:80").await);
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    assert!(!ask("10.0.0.2:80").await);
    assert_eq!(asked.load(Ordering::SeqCst), 1, "it is not asked");
    let incidents = authority.incidents_since(Default::default());
    let target = Target::Connect("10.0.0.2:80".parse().unwrap());
    let refusal = incidents.refusal_of(&target).unwrap();
    let reason = refusal.reason;
    assert!(matches!(reason, DenialReason::Ceiling { .. }), "{reason:?}");
}

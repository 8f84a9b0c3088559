//! Names that a proxy resolves: judged by the name.

use super::*;
use crate::Names;

fn to(text: &str) -> Target {
    let (host, port) = text.split_once(':').unwrap();
    Target::ConnectName {
        name: name(host),
        port: port.parse().unwrap(),
    }
}

#[track_caller]
fn judged(policy: &Policy, asked: &str) -> String {
    let target = to(asked);
    let verdict = policy.judge(&target, &ResolvedNames::new());
    match verdict {
        Verdict::Allowed { by, name } => {
            assert_eq!(name, None);
            format!("by {by}")
        }
        Verdict::Denied { reason, name } => {
            assert_eq!(name, None);
            reason.refusal(&target, None)
        }
    }
}

#[test]
fn a_name_is_granted_by_rules_with_names_alone() {
    let policy = Policy::new()
        .allow_origin(origin("https://typed.example/"))
        .allow_connect_to("*.wide.example:80-90")
        .unwrap()
        .allow_connect_to("0.0.0.0/0")
        .unwrap()
        .allow_connect_to("[::/0]")
        .unwrap()
        .grant(Rule::Resolve {
            names: Names::Below(name("example")),
        });
    let none = |asked: &str| {
        format!("connect to {asked}: no rule grants it (allow-connect {asked} would)")
    };
    for (asked, expected) in [
        (
            "typed.example:443",
            "by allow-connect typed.example:443".to_owned(),
        ),
        ("typed.example:80", none("typed.example:80")),
        ("a.typed.example:443", none("a.typed.example:443")),
        (
            "a.wide.example:80",
            "by allow-connect *.wide.example:80-90".to_owned(),
        ),
        ("a.wide.example:443", none("a.wide.example:443")),
        ("other.example:443", none("other.example:443")),
    ] {
        assert_eq!(judged(&policy, asked), expected);
    }
    assert_eq!(judged(&Policy::everything(), "a.example:1"), "by allow-net");
}

#[test]
fn a_denied_name_is_denied_and_denied_addresses_do_not_count() {
    let policy = Policy::everything()
        .deny_connect("0.0.0.0/0")
        .unwrap()
        .deny(Deny::Resolve {
            names: Names::Below(name("inner.example")),
        });
    assert_eq!(
        judged(&policy, "a.inner.example:443"),
        "connect to a.inner.example:443: denied by deny-resolve *.inner.example"
    );
    assert_eq!(judged(&policy, "a.example:443"), "by allow-net");
}

#[test]
fn a_redirect_reaches_only_names_that_the_user_granted() {
    let policy = Policy::new()
        .allow_origin(origin("https://typed.example/"))
        .allow_redirects();
    let after = |url: &str| policy.for_redirect(&origin(url));
    assert_eq!(
        judged(&after("http://typed.example:81/"), "typed.example:81"),
        "by redirect to typed.example:81"
    );
    assert_eq!(
        judged(&after("https://server.example/"), "server.example:443"),
        "connect to server.example:443: a redirect may lead to public addresses only, and the proxy resolves \
         server.example (allow-connect server.example:443 would allow it)"
    );
    assert_eq!(
        judged(&after("https://server.example/"), "server.example:80"),
        "connect to server.example:80: no rule grants it (allow-connect server.example:80 would)"
    );
    let granted = policy.clone().allow_connect_to("server.example").unwrap();
    let granted = granted.for_redirect(&origin("https://server.example/"));
    assert_eq!(
        judged(&granted, "server.example:443"),
        "by allow-connect server.example:*"
    );
}

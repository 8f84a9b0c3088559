//! What a refusal says.

use super::*;

#[test]
fn refusals_name_the_rule_that_would_allow_it() {
    let answers = answers(&[
        ("known.example", &["1.1.1.1"]),
        ("private.example", &["10.0.0.1"]),
        ("localhost", &["1.1.1.2"]),
    ]);
    let policy = Policy::new()
        .allow_connect_to("private.example:80")
        .unwrap()
        .allow_connect_to("localhost:80")
        .unwrap()
        .deny_connect("192.168.0.0/16")
        .unwrap()
        .deny_accept("10.0.0.0/8")
        .unwrap();
    for (asked, expected) in [
        (
            "resolve example.com",
            "no rule grants it (allow-resolve example.com would)",
        ),
        (
            "connect 10.0.0.2:80",
            "no rule grants it (allow-connect 10.0.0.2:80 would)",
        ),
        (
            "connect 1.1.1.1:80",
            "no rule grants it (allow-connect known.example:80 would)",
        ),
        (
            "connect 10.0.0.1:80",
            "a granted name reaches public addresses only, and private.example is at 10.0.0.1, \
             which is private-use (10.0.0.0/8) (allow-connect 10.0.0.1:80 would allow it)",
        ),
        (
            "connect 10.0.0.1:81",
            "no rule grants it (allow-connect private.example:81 would)",
        ),
        (
            "connect 1.1.1.2:80",
            "localhost means this machine, and 1.1.1.2 is not a loopback address",
        ),
        (
            "connect 192.168.0.1:80",
            "denied by deny-connect 192.168.0.0/16:*",
        ),
        (
            "connect [64:ff9b::192.168.0.1]:80",
            "denied by deny-connect 192.168.0.0/16:*",
        ),
        (
            "bind 127.0.0.1:80",
            "no rule grants it (allow-listen 127.0.0.1:80 would)",
        ),
        (
            "listen [::1]:80",
            "no rule grants it (allow-listen [::1]:80 would)",
        ),
        (
            "accept 192.0.2.1:5000",
            "no rule grants it (allow-accept 192.0.2.1 would)",
        ),
        ("accept 10.0.0.1:5000", "denied by deny-accept 10.0.0.0/8"),
        (
            "udp-bind 0.0.0.0:0",
            "no rule grants it (allow-udp-bind 0.0.0.0:0 would)",
        ),
        (
            "udp-send 1.1.1.1:53",
            "no rule grants it (allow-udp-send known.example:53 would)",
        ),
        (
            "udp-send 192.168.0.1:53",
            "denied by deny-connect 192.168.0.0/16:*",
        ),
        (
            "udp-receive 192.0.2.1:53",
            "no rule grants it (allow-udp-send 192.0.2.1:53 would)",
        ),
    ] {
        let target = target(asked);
        let Verdict::Denied { reason, name } = policy.judge(&target, &answers) else {
            panic!("{asked} is allowed");
        };
        assert_eq!(reason.told(&target, name.as_ref()), expected, "{asked}");
        // The rule is one that is understood, and does what is said.
        let Some(hint) = reason.hint(&target, name.as_ref()) else {
            continue;
        };
        let hint = hint.to_string();
        let (flag, value) = hint.split_once(' ').unwrap();
        let policy = policy.clone();
        let policy = match flag {
            "allow-resolve" => policy.allow_resolve(value),
            "allow-connect" => policy.allow_connect_to(value),
            "allow-listen" => policy.allow_listen_on(value),
            "allow-accept" => policy
                .allow_listen_on("127.0.0.1")
                .and_then(|policy| policy.allow_accept(value)),
            "allow-udp-bind" => policy.allow_udp_bind(value),
            "allow-udp-send" => policy.allow_udp_send(value),
            other => panic!("{other}"),
        };
        let policy = match asked {
            // Its name reaches public addresses only, and it isn't at one.
            "connect 10.0.0.1:81" => policy.unwrap().allow_private(),
            _ => policy.unwrap(),
        };
        assert!(
            policy.judge(&target, &answers).is_allowed(),
            "{asked}: {flag}"
        );
    }
}

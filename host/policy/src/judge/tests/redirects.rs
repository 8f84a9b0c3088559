//! Redirects.

use super::*;

/// What is granted at the start of the tests about redirects.
fn typed() -> Policy {
    Policy::new()
        .allow_origin(origin("http://typed.example/"))
        .allow_origin(origin("http://10.0.0.1/"))
        .allow_connect_to("flagged.example:81")
        .unwrap()
        .allow_connect_to("192.168.0.0/16:80")
        .unwrap()
        .allow_redirects()
}

#[test]
fn a_redirect_is_granted_by_who_named_its_host() {
    for (url, expected) in [
        // Granted as it is.
        ("http://typed.example/other", None),
        ("http://TYPED.example.:80/", None),
        ("http://10.0.0.1/other", None),
        ("http://flagged.example:81/", None),
        ("http://192.168.1.1/", None),
        // The user's host, at another port.
        (
            "http://typed.example:81/",
            Some("redirect to typed.example:81"),
        ),
        (
            "https://typed.example/",
            Some("redirect to typed.example:443"),
        ),
        ("http://10.0.0.1:81/", Some("redirect to 10.0.0.1:81")),
        ("http://0xa000001:81/", Some("redirect to 10.0.0.1:81")),
        (
            "http://[::ffff:10.0.0.1]:81/",
            Some("redirect to 10.0.0.1:81"),
        ),
        // The server's.
        (
            "http://named.example/",
            Some("redirect to named.example:80 (public addresses)"),
        ),
        (
            "http://www.typed.example/",
            Some("redirect to www.typed.example:80 (public addresses)"),
        ),
        (
            "http://flagged.example/",
            Some("redirect to flagged.example:80 (public addresses)"),
        ),
        (
            "http://192.168.1.1:81/",
            Some("redirect to 192.168.1.1:81 (public addresses)"),
        ),
        (
            "http://localhost/",
            Some("redirect to localhost:80 (public addresses)"),
        ),
    ] {
        let rule = typed()
            .redirect_rule(&origin(url))
            .map(|rule| rule.to_string());
        assert_eq!(rule.as_deref(), expected, "{url}");
    }
    let url = "http://named.example/";
    assert_eq!(Policy::new().redirect_rule(&origin(url)), None);
    assert_eq!(Policy::new().for_redirect(&origin(url)), Policy::new());
    let everything = Policy::everything().allow_redirects();
    assert_eq!(everything.redirect_rule(&origin(url)), None);
}

#[test]
fn a_host_that_the_server_named_is_reached_at_public_addresses() {
    let answers = answers(&[
        ("typed.example", &["10.1.1.1", "8.8.8.8"]),
        ("named.example", &["10.2.2.2", "1.1.1.1"]),
    ]);
    let not_public = |address: &str| {
        let address: SocketAddr = address.parse().unwrap();
        Some(DenialReason::NotPublic {
            address,
            special: SpecialPurpose::of(address.ip()).unwrap(),
        })
    };
    let no_rule = || Some(DenialReason::NoRule);
    let named = "http://named.example:8080/";
    for (url, asked, denied) in [
        (named, "resolve named.example", None),
        (named, "resolve other.example", no_rule()),
        (named, "connect 1.1.1.1:8080", None),
        (named, "connect [::ffff:1.1.1.1]:8080", None),
        (named, "connect 1.1.1.1:80", no_rule()),
        (named, "connect 8.8.8.8:8080", no_rule()),
        (named, "connect 10.2.2.2:8080", not_public("10.2.2.2:8080")),
        (named, "connect 10.2.2.2:80", no_rule()),
        (named, "connect 10.1.1.1:8080", no_rule()),
        (named, "listen 1.1.1.1:8080", no_rule()),
        (named, "udp-send 1.1.1.1:8080", no_rule()),
        // What the user typed stays granted.
        (named, "resolve typed.example", None),
        (named, "connect 10.1.1.1:80", None),
        // The user's own host, wherever it is.
        ("http://typed.example:81/", "connect 10.1.1.1:81", None),
        ("http://typed.example:81/", "connect 8.8.8.8:81", None),
        ("http://typed.example:81/", "connect 10.2.2.2:81", no_rule()),
        // Addresses, in every way to write them.
        ("http://1.0.0.1/", "connect 1.0.0.1:80", None),
        (
            "http://127.0.0.1/",
            "connect 127.0.0.1:80",
            not_public("127.0.0.1:80"),
        ),
        (
            "http://2130706433/",
            "connect 127.0.0.1:80",
            not_public("127.0.0.1:80"),
        ),
        (
            "http://0x7f.1/",
            "connect 127.0.0.1:80",
            not_public("127.0.0.1:80"),
        ),
        (
            "http://[::ffff:7f00:1]/",
            "connect 127.0.0.1:80",
            not_public("127.0.0.1:80"),
        ),
        (
            "http://[::1]:81/",
            "connect [::1]:81",
            not_public("[::1]:81"),
        ),
        (
            "http://[64:ff9b::169.254.169.254]/",
            "connect [64:ff9b::a9fe:a9fe]:80",
            not_public("[64:ff9b::a9fe:a9fe]:80"),
        ),
        (
            "http://[64:ff9b::8.8.8.8]/",
            "connect [64:ff9b::808:808]:80",
            None,
        ),
        (
            "http://[2002:7f00:1::]/",
            "connect [2002:7f00:1::]:80",
            not_public("[2002:7f00:1::]:80"),
        ),
        ("http://0/", "connect 0.0.0.0:80", not_public("0.0.0.0:80")),
        // Addresses that are granted already.
        ("http://10.0.0.1/", "connect 10.0.0.1:80", None),
        ("http://10.0.0.1:81/", "connect 10.0.0.1:81", None),
        ("http://192.168.1.1/", "connect 192.168.1.1:80", None),
        (
            "http://192.168.1.1:81/",
            "connect 192.168.1.1:81",
            not_public("192.168.1.1:81"),
        ),
    ] {
        let policy = typed().for_redirect(&origin(url));
        let found = match policy.judge(&target(asked), &answers) {
            Verdict::Allowed { .. } => None,
            Verdict::Denied { reason, .. } => Some(reason),
        };
        assert_eq!(found, denied, "{url} asked to {asked}");
    }
}

#[test]
fn a_name_is_told_what_its_redirect_reaches() {
    let addresses = |texts: &[&str]| -> Vec<IpAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    };
    let all = &["10.0.0.9", "1.1.1.1", "fe80::1", "2606:4700::1111"][..];
    let public = &["1.1.1.1", "2606:4700::1111"][..];
    let policy = typed().allow_resolve("known.example").unwrap();
    for (url, asked, expected) in [
        ("http://named.example/", "named.example", public),
        ("http://named.example/", "typed.example", all),
        ("http://named.example/", "flagged.example", public),
        ("http://named.example/", "known.example", all),
        ("http://typed.example:81/", "typed.example", all),
        ("http://flagged.example/", "flagged.example", public),
        ("http://flagged.example:81/", "flagged.example", public),
        ("http://known.example/", "known.example", public),
    ] {
        let policy = policy.for_redirect(&origin(url));
        assert_eq!(
            policy.usable(&name(asked), addresses(all), &ResolvedNames::new()),
            Ok(addresses(expected)),
            "{url} asked for {asked}"
        );
    }

    let policy = policy.for_redirect(&origin("http://named.example:81/"));
    let denied = policy.usable(
        &name("named.example"),
        addresses(&["fe80::1", "10.0.0.9"]),
        &ResolvedNames::new(),
    );
    let reason = denied.unwrap_err();
    let asked = Target::Resolve(name("named.example"));
    assert_eq!(
        reason.told(&asked, None),
        "a redirect may lead to public addresses only, and fe80::1 is link-local (fe80::/10) \
         (allow-connect named.example:81 and allow-private would allow it)"
    );
    assert_eq!(
        policy.usable(
            &name("other.example"),
            addresses(all),
            &ResolvedNames::new()
        ),
        Err(DenialReason::NoRule)
    );
}

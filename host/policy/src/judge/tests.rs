use super::*;
use crate::Origin;
use std::time::Instant;
mod at_proxy;
mod redirects;
mod refusals;

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn answers(known: &[(&str, &[&str])]) -> ResolvedNames {
    let mut answers = ResolvedNames::new();
    for (known, addresses) in known {
        let addresses = addresses.iter().map(|text| text.parse().unwrap());
        answers.insert(&name(known), addresses, Instant::now());
    }
    answers
}

/// The origin of a URL: `http://example.com:80/`.
fn origin(url: &str) -> Origin {
    let url = url::Url::parse(url).unwrap();
    let host = url.host_str().unwrap().parse().unwrap();
    Origin::new(host, url.port_or_known_default().unwrap())
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn target(text: &str) -> Target {
    let (operation, rest) = text.split_once(' ').unwrap();
    match operation {
        "resolve" => Target::Resolve(name(rest)),
        "connect" => Target::Connect(address(rest)),
        "bind" => Target::Bind(address(rest)),
        "listen" => Target::Listen(address(rest)),
        "accept" => Target::Accept(address(rest)),
        "udp-bind" => Target::UdpBind(address(rest)),
        "udp-send" => Target::UdpSend(address(rest)),
        "udp-receive" => Target::UdpReceive(address(rest)),
        other => panic!("{other:?}"),
    }
}

const EVERY_OPERATION: [&str; 8] = [
    "resolve example.com",
    "connect 192.0.2.1:80",
    "bind 0.0.0.0:0",
    "listen 127.0.0.1:9999",
    "accept 127.0.0.1:40000",
    "udp-bind 0.0.0.0:0",
    "udp-send 192.0.2.1:53",
    "udp-receive 192.0.2.1:53",
];

#[test]
fn the_default_denies_everything() {
    for policy in [Policy::default(), Policy::new()] {
        for text in EVERY_OPERATION {
            assert_eq!(
                policy.judge(&target(text), &ResolvedNames::new()),
                Verdict::Denied {
                    reason: DenialReason::NoRule,
                    name: None,
                },
                "{text}"
            );
        }
    }
}

#[test]
fn everything_is_everything() {
    let policy = Policy::everything();
    for text in EVERY_OPERATION {
        assert!(
            policy
                .judge(&target(text), &ResolvedNames::new())
                .is_allowed(),
            "{text}"
        );
    }
}

#[test]
fn a_url_grants_its_host_and_port() {
    let answers = answers(&[
        ("example.com", &["192.0.2.1"]),
        ("other.example", &["192.0.2.9"]),
    ]);
    let table: &[(&str, &str, bool)] = &[
        ("http://example.com/", "resolve example.com", true),
        ("http://EXAMPLE.com./", "resolve example.com", true),
        ("http://example.com/", "resolve www.example.com", false),
        ("http://example.com/", "resolve com", false),
        ("http://example.com/", "connect 192.0.2.1:80", true),
        ("http://example.com/", "connect [::ffff:192.0.2.1]:80", true),
        ("http://example.com/", "connect 192.0.2.1:81", false),
        ("http://example.com/", "connect 192.0.2.2:80", false),
        ("http://example.com/", "connect 192.0.2.9:80", false),
        ("http://example.com:8080/", "connect 192.0.2.1:8080", true),
        ("http://example.com:8080/", "connect 192.0.2.1:80", false),
        ("https://example.com/", "connect 192.0.2.1:443", true),
        ("http://example.com/", "bind 0.0.0.0:0", false),
        ("http://example.com/", "bind 0.0.0.0:80", false),
        ("http://example.com/", "bind 127.0.0.1:0", false),
        ("http://example.com/", "listen 0.0.0.0:0", false),
        ("http://example.com/", "accept 127.0.0.1:1", false),
        ("http://example.com/", "udp-send 192.0.2.1:80", false),
        ("http://127.0.0.1:8080/", "connect 127.0.0.1:8080", true),
        (
            "http://127.0.0.1:8080/",
            "connect [::ffff:127.0.0.1]:8080",
            true,
        ),
        ("http://127.0.0.1:8080/", "connect [::1]:8080", false),
        ("http://127.0.0.1:8080/", "resolve localhost", false),
        ("http://2130706433/", "connect 127.0.0.1:80", true),
        ("http://[::1]/", "connect [::1]:80", true),
        ("http://[::ffff:127.0.0.1]/", "connect 127.0.0.1:80", true),
    ];
    for (url, asked, expected) in table {
        let policy = Policy::new().allow_origin(origin(url));
        assert_eq!(
            policy.judge(&target(asked), &answers).is_allowed(),
            *expected,
            "{url} asked to {asked}"
        );
    }
}

#[test]
fn an_address_of_a_granted_name_counts_only_after_its_lookup() {
    let policy = Policy::new().allow_origin(origin("http://example.com/"));
    let asked = Target::Connect(address("192.0.2.1:80"));
    assert!(!policy.judge(&asked, &ResolvedNames::new()).is_allowed());

    assert_eq!(
        policy.judge(&asked, &answers(&[("example.com", &["192.0.2.1"])])),
        Verdict::Allowed {
            by: GrantedBy::Rule(policy.rules()[0].clone()),
            name: Some(name("example.com")),
        }
    );
}

#[test]
fn a_name_granted_for_lookups_alone_opens_no_connection() {
    let policy = Policy::new().allow_resolve("example.com").unwrap();
    let answers = answers(&[("example.com", &["192.0.2.1"])]);
    assert!(
        policy
            .judge(&target("resolve example.com"), &answers)
            .is_allowed()
    );
    assert!(
        !policy
            .judge(&target("connect 192.0.2.1:80"), &answers)
            .is_allowed()
    );
}

#[test]
fn destinations_grant_what_they_say() {
    let answers = answers(&[
        ("example.com", &["1.1.1.1"]),
        ("www.example.com", &["1.1.1.2"]),
    ]);
    for (granted, asked, expected) in [
        ("example.com", "resolve example.com", true),
        ("example.com", "resolve www.example.com", false),
        ("example.com", "connect 1.1.1.1:1", true),
        ("example.com:80-81", "connect 1.1.1.1:81", true),
        ("example.com:80-81", "connect 1.1.1.1:82", false),
        ("example.com:80,443", "connect 1.1.1.1:443", true),
        ("example.com", "connect 1.1.1.2:80", false),
        ("example.com", "udp-send 1.1.1.1:80", false),
        ("*.example.com", "resolve www.example.com", true),
        ("*.example.com", "resolve example.com", false),
        ("*.example.com:80", "connect 1.1.1.2:80", true),
        ("*.example.com:80", "connect 1.1.1.1:80", false),
        ("192.0.2.1", "resolve example.com", false),
        ("192.0.2.1:80", "connect 192.0.2.1:80", true),
        ("192.0.2.0/24:80", "connect 192.0.2.255:80", true),
        ("192.0.2.0/24:80", "connect 192.0.3.0:80", false),
        ("192.0.2.0/24:80", "connect 192.0.2.1:81", false),
        ("192.0.2.0/24", "listen 192.0.2.1:80", false),
        ("192.0.2.0/24", "bind 192.0.2.1:80", false),
        ("192.0.2.0/24", "udp-send 192.0.2.1:80", false),
        ("[2001:db8::/32]", "connect [2001:db8::1]:80", true),
        ("[2001:db8::/32]", "connect 192.0.2.1:80", false),
    ] {
        let policy = Policy::new().allow_connect_to(granted).unwrap();
        assert_eq!(
            policy.judge(&target(asked), &answers).is_allowed(),
            expected,
            "{granted} asked to {asked}"
        );
    }
}

#[test]
fn a_granted_name_reaches_public_addresses_unless_told_otherwise() {
    let mut answers = answers(&[
        ("named.example", &["1.1.1.1", "10.0.0.1", "169.254.169.254"]),
        ("localhost", &["127.0.0.1", "::1", "10.0.0.1", "1.1.1.1"]),
        ("a.localhost", &["127.0.0.2"]),
    ]);
    answers.set_static(&name("pinned.example"), ["127.0.0.9".parse().unwrap()]);
    for (granted, private, asked, expected) in [
        ("named.example", false, "1.1.1.1:80", true),
        ("named.example", false, "10.0.0.1:80", false),
        ("named.example", false, "169.254.169.254:80", false),
        ("named.example", true, "10.0.0.1:80", true),
        ("named.example", true, "169.254.169.254:80", true),
        ("localhost", false, "127.0.0.1:80", true),
        ("localhost", false, "[::1]:80", true),
        ("localhost", false, "1.1.1.1:80", false),
        ("localhost", true, "10.0.0.1:80", false),
        ("localhost", true, "1.1.1.1:80", false),
        ("*.localhost", false, "127.0.0.2:80", true),
        ("pinned.example", false, "127.0.0.9:80", true),
        ("10.0.0.1", false, "10.0.0.1:80", true),
        ("0.0.0.0/0", false, "169.254.169.254:80", true),
    ] {
        let mut tcp = Policy::new().allow_connect_to(granted).unwrap();
        let mut udp = Policy::new().allow_udp_send(granted).unwrap();
        if private {
            tcp = tcp.allow_private();
            udp = udp.allow_private();
        }
        let address = address(asked);
        let found = tcp.judge(&Target::Connect(address), &answers).is_allowed();
        assert_eq!(found, expected, "{granted} asked to connect to {asked}");
        let found = udp.judge(&Target::UdpSend(address), &answers).is_allowed();
        assert_eq!(found, expected, "{granted} asked to send to {asked}");
    }
}

#[test]
fn a_granted_name_is_told_what_it_reaches() {
    let addresses = |texts: &[&str]| -> Vec<IpAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    };
    let all = &["10.0.0.9", "1.1.1.1", "127.0.0.1"][..];
    let granted = |destination: &str| Policy::new().allow_connect_to(destination).unwrap();
    for (policy, asked, expected) in [
        (granted("named.example"), "named.example", &["1.1.1.1"][..]),
        (granted("*.example"), "named.example", &["1.1.1.1"]),
        (
            granted("named.example").allow_private(),
            "named.example",
            all,
        ),
        (
            granted("named.example")
                .allow_connect_to("10.0.0.0/8:1")
                .unwrap(),
            "named.example",
            &["10.0.0.9", "1.1.1.1"],
        ),
        (granted("localhost"), "localhost", &["127.0.0.1"]),
        (
            granted("localhost").allow_private(),
            "localhost",
            &["127.0.0.1"],
        ),
        (
            Policy::new().allow_origin(origin("http://named.example/")),
            "named.example",
            all,
        ),
        (
            Policy::new().allow_resolve("named.example").unwrap(),
            "named.example",
            all,
        ),
        (
            Policy::new().allow_udp_send("named.example").unwrap(),
            "named.example",
            &["1.1.1.1"],
        ),
        (Policy::everything(), "named.example", all),
    ] {
        let usable = policy.usable(&name(asked), addresses(all), &ResolvedNames::new());
        assert_eq!(
            usable,
            Ok(addresses(expected)),
            "{policy:?} asked for {asked}"
        );
    }
    let reason = granted("named.example")
        .usable(
            &name("named.example"),
            addresses(&["127.0.0.1"]),
            &ResolvedNames::new(),
        )
        .unwrap_err();
    assert_eq!(
        reason.told(&Target::Resolve(name("named.example")), None),
        "a granted name reaches public addresses only, and named.example is at 127.0.0.1, which \
         is loopback (127.0.0.0/8) (allow-private would allow it)"
    );
    let reason = granted("localhost")
        .usable(
            &name("localhost"),
            addresses(&["1.1.1.1"]),
            &ResolvedNames::new(),
        )
        .unwrap_err();
    assert_eq!(
        reason.told(&Target::Resolve(name("localhost")), None),
        "localhost means this machine, and 1.1.1.1 is not a loopback address"
    );
}

#[test]
fn who_is_accepted_can_be_said() {
    let listen = || Policy::new().allow_listen(address("127.0.0.1:80"));
    for (policy, asked, expected) in [
        (listen(), "accept 192.0.2.1:1", true),
        (listen(), "accept [2001:db8::1]:1", true),
        (
            Policy::new().allow_accept("10.0.0.0/8").unwrap(),
            "accept 10.0.0.1:1",
            false,
        ),
        (
            listen().allow_accept("10.0.0.0/8").unwrap(),
            "accept 10.0.0.1:1",
            true,
        ),
        (
            listen().allow_accept("10.0.0.0/8").unwrap(),
            "accept [::ffff:10.0.0.1]:1",
            true,
        ),
        (
            listen().allow_accept("10.0.0.0/8").unwrap(),
            "accept 11.0.0.1:1",
            false,
        ),
        (
            listen()
                .allow_accept("10.0.0.0/8")
                .unwrap()
                .allow_accept("::1")
                .unwrap(),
            "accept [::1]:1",
            true,
        ),
        (
            listen().deny_accept("10.0.0.0/8").unwrap(),
            "accept 10.0.0.1:1",
            false,
        ),
        (
            listen().deny_accept("10.0.0.0/8").unwrap(),
            "accept 11.0.0.1:1",
            true,
        ),
        (
            listen()
                .allow_accept("10.0.0.0/8")
                .unwrap()
                .deny_accept("10.0.0.1")
                .unwrap(),
            "accept 10.0.0.1:1",
            false,
        ),
        (
            Policy::everything().deny_accept("10.0.0.1").unwrap(),
            "accept 10.0.0.1:1",
            false,
        ),
        (
            Policy::everything().allow_accept("10.0.0.1").unwrap(),
            "accept 192.0.2.1:1",
            true,
        ),
    ] {
        let found = policy
            .judge(&target(asked), &ResolvedNames::new())
            .is_allowed();
        assert_eq!(found, expected, "{policy:?} asked to {asked}");
    }
}

#[test]
fn datagrams_are_granted_apart_from_connections() {
    let send = || Policy::new().allow_udp_send("192.0.2.1:53").unwrap();
    let bind = || Policy::new().allow_udp_bind("127.0.0.1:53").unwrap();
    for (policy, asked, expected) in [
        (send(), "udp-send 192.0.2.1:53", true),
        (send(), "udp-send 192.0.2.1:54", false),
        (send(), "udp-bind 0.0.0.0:0", true),
        (send(), "udp-bind [::]:0", true),
        (send(), "udp-bind 127.0.0.1:0", false),
        (send(), "udp-receive 192.0.2.1:53", true),
        (send(), "udp-receive 192.0.2.2:53", false),
        (send(), "connect 192.0.2.1:53", false),
        (bind(), "udp-bind 127.0.0.1:53", true),
        (bind(), "udp-bind 127.0.0.1:54", false),
        (bind(), "udp-bind 0.0.0.0:0", false),
        (bind(), "udp-receive 192.0.2.2:5000", true),
        (bind(), "udp-send 192.0.2.2:5000", false),
        (bind(), "listen 127.0.0.1:53", false),
        (
            bind().allow_accept("10.0.0.0/8").unwrap(),
            "udp-receive 10.0.0.1:1",
            true,
        ),
        (
            bind().allow_accept("10.0.0.0/8").unwrap(),
            "udp-receive 11.0.0.1:1",
            false,
        ),
        (
            bind().deny_accept("10.0.0.0/8").unwrap(),
            "udp-receive 10.0.0.1:1",
            false,
        ),
        (
            send().deny_connect("192.0.2.1").unwrap(),
            "udp-receive 192.0.2.1:53",
            false,
        ),
    ] {
        let found = policy
            .judge(&target(asked), &ResolvedNames::new())
            .is_allowed();
        assert_eq!(found, expected, "{policy:?} asked to {asked}");
    }
}

#[test]
fn listening_is_granted_where_it_says() {
    let table: &[(&str, &str, bool)] = &[
        ("127.0.0.1:9999", "bind 127.0.0.1:9999", true),
        ("127.0.0.1:9999", "listen 127.0.0.1:9999", true),
        ("127.0.0.1:9999", "accept 192.0.2.1:1", true),
        ("127.0.0.1:9999", "bind 127.0.0.1:9998", false),
        ("127.0.0.1:9999", "bind 127.0.0.1:0", false),
        ("127.0.0.1:9999", "bind 0.0.0.0:9999", false),
        ("127.0.0.1:9999", "bind 0.0.0.0:0", false),
        ("127.0.0.1:9999", "listen 0.0.0.0:9999", false),
        ("127.0.0.1:9999", "listen [::1]:9999", false),
        ("127.0.0.1:9999", "connect 127.0.0.1:9999", false),
        ("127.0.0.1:9999", "resolve localhost", false),
        ("127.0.0.1:9999", "udp-bind 127.0.0.1:9999", false),
        ("127.0.0.1:0", "bind 127.0.0.1:0", true),
        ("127.0.0.1:0", "bind 127.0.0.1:9999", false),
        ("127.0.0.1:0", "listen 127.0.0.1:40000", true),
        ("127.0.0.1:0", "listen 127.0.0.2:40000", false),
        ("0.0.0.0:80", "bind 0.0.0.0:80", true),
        ("0.0.0.0:80", "bind 127.0.0.1:80", true),
        ("0.0.0.0:80", "bind [::]:80", false),
        ("0.0.0.0:80", "bind [::1]:80", false),
        ("[::]:80", "bind [::1]:80", true),
        ("[::]:80", "bind 127.0.0.1:80", false),
    ];
    for (granted, asked, expected) in table {
        let policy = Policy::new().allow_listen(address(granted));
        assert_eq!(
            policy
                .judge(&target(asked), &ResolvedNames::new())
                .is_allowed(),
            *expected,
            "{granted} asked to {asked}"
        );
    }
}

#[test]
fn the_same_rule_is_kept_once() {
    let policy = Policy::new()
        .allow_listen(address("127.0.0.1:1"))
        .allow_listen(address("127.0.0.1:1"))
        .deny_accept("10.0.0.1")
        .unwrap()
        .deny_accept("10.0.0.1/32")
        .unwrap();
    assert_eq!((policy.rules().len(), policy.denials().len()), (1, 1));
    assert_eq!(policy.clone().and(policy.clone()), policy);
}

#[test]
fn targets_can_be_read_by_people() {
    for (text, expected) in [
        ("resolve Example.COM", "resolve example.com"),
        ("connect [::1]:80", "connect to [::1]:80"),
        ("bind 0.0.0.0:0", "bind to 0.0.0.0:0"),
        ("listen 127.0.0.1:9999", "listen on 127.0.0.1:9999"),
        ("accept 127.0.0.1:1", "accept 127.0.0.1:1"),
    ] {
        assert_eq!(target(text).to_string(), expected);
    }
}

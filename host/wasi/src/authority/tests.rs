use super::incidents::MAX_INCIDENTS;
use super::quotas::bit;
use super::*;
use crate::testing::{self, origin, refusal};
use sockbox_policy::audit::AuditEvent;
use sockbox_policy::{Host, HttpTarget, Limit, Limits, Origin, Policy};
use std::net::IpAddr;
use std::time::Duration;

mod redirects;

/// A refusal as a person reads it.
fn text(refusal: Refusal) -> String {
    let what = refusal
        .reason
        .refusal(&refusal.target, refusal.name.as_ref());
    format!("not allowed to {what}")
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

#[test]
fn a_reported_refusal_is_traced_to_our_decision() {
    let network = testing::authority(Policy::new());
    assert!(!network.allows(Target::Resolve(name("example.com"))));
    assert!(!network.allows(Target::Connect(address("192.0.2.1:80"))));
    assert!(!network.allows(Target::Bind(address("127.0.0.1:80"))));
    assert!(!network.allows(Target::Listen(address("127.0.0.1:40000"))));

    for (reported, expected) in [
        (
            Target::Resolve(name("EXAMPLE.com")),
            Some(Target::Resolve(name("example.com"))),
        ),
        (Target::Resolve(name("other.example")), None),
        (
            Target::Connect(address("192.0.2.1:80")),
            Some(Target::Connect(address("192.0.2.1:80"))),
        ),
        (
            Target::Listen(address("127.0.0.1:80")),
            Some(Target::Listen(address("127.0.0.1:80"))),
        ),
        (
            Target::Listen(address("127.0.0.1:0")),
            Some(Target::Listen(address("127.0.0.1:0"))),
        ),
        (Target::Connect(address("192.0.2.1:81")), None),
        (Target::Listen(address("127.0.0.1:81")), None),
    ] {
        let found = refusal(&network, &reported).map(|denied| denied.target);
        assert_eq!(found, expected, "{reported:?}");
    }
}

#[test]
fn a_refusal_by_the_system_is_not_ours() {
    let network = testing::authority(Policy::new().allow_listen(address("127.0.0.1:80")));
    assert!(network.allows(Target::Bind(address("127.0.0.1:80"))));
    let reported = Target::Listen(address("127.0.0.1:80"));
    assert_eq!(refusal(&network, &reported), None);
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn addresses(texts: &[&str]) -> Vec<IpAddr> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

#[tokio::test]
async fn a_decider_is_given_a_name_only_where_the_name_may_stand_for_the_address() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let decider = {
        let asked = asked.clone();
        // One that knows names, and nothing of addresses.
        move |question: Question| {
            let allowed = question.name.is_some();
            locked(&asked).push(question);
            let reason = "by name".to_owned();
            std::future::ready(match allowed {
                true => Decision::Allow { reason },
                false => Decision::Deny { reason },
            })
        }
    };
    let pinned = name("pinned.example");
    let network = Arc::new(Authority::new(
        RunId::new(1),
        &Grant::new()
            .static_host(pinned, addresses(&["10.0.0.9"]))
            .decider(decider),
    ));
    for (of, answer) in [
        (
            "evil.example",
            &["1.2.3.4", "127.0.0.1", "169.254.169.254"][..],
        ),
        ("app.localhost", &["127.0.0.2", "5.6.7.8"]),
    ] {
        let answer = addresses(answer);
        assert_eq!(network.resolved(&name(of), answer.clone()), Some(answer));
    }
    for (to, given, led_by) in [
        ("1.2.3.4:80", Some("evil.example"), None),
        ("127.0.0.1:80", None, Some("evil.example")),
        ("169.254.169.254:80", None, Some("evil.example")),
        ("127.0.0.2:80", Some("app.localhost"), None),
        ("5.6.7.8:80", None, Some("app.localhost")),
        ("10.0.0.9:80", Some("pinned.example"), None),
        ("10.0.0.8:80", None, None),
    ] {
        for target in [Target::Connect(address(to)), Target::UdpSend(address(to))] {
            let allowed = network.ask(target.clone()).await;
            assert_eq!(allowed, given.is_some(), "{target}");
            let question = locked(&asked).pop().unwrap();
            assert_eq!(question.target, target);
            assert_eq!(question.name, given.map(name), "{target}");
            assert_eq!(question.led_by, led_by.map(name), "{target}");
            let special = sockbox_policy::SpecialPurpose::of(address(to).ip());
            assert_eq!(question.special, special, "{target}");
        }
    }
}

#[test]
fn a_refusal_has_one_text() {
    let texts = Arc::new(Mutex::new(Vec::new()));
    let sink = {
        let texts = texts.clone();
        move |event: &AuditEvent| {
            if event.is_denial() {
                let json: serde_json::Value = serde_json::from_str(&event.to_json()).unwrap();
                let flag = json["hint"].as_str().unwrap().to_owned();
                locked(&texts).push((event.to_string(), flag));
            }
        }
    };
    let policy = Policy::new().allow_resolve("a.example").unwrap();
    let network = Authority::new(RunId::new(1), &Grant::new().policy(policy).audit(sink));
    network
        .resolved(&name("a.example"), addresses(&["1.2.3.4"]))
        .unwrap();
    let wit = |text| Target::Connect(address(text));
    let listen = |text| Target::Listen(address(text));
    for (target, reported, flag) in [
        (
            Target::Connect(address("1.2.3.4:80")),
            wit("1.2.3.4:80"),
            "allow-connect a.example:80",
        ),
        (
            Target::Connect(address("1.2.3.5:80")),
            wit("1.2.3.5:80"),
            "allow-connect 1.2.3.5:80",
        ),
        (
            Target::Resolve(name("b.example")),
            Target::Resolve(name("B.example.")),
            "allow-resolve b.example",
        ),
        (
            Target::Bind(address("127.0.0.1:0")),
            listen("127.0.0.1:0"),
            "allow-listen 127.0.0.1:0",
        ),
        // The system's choice, which differs from one run to the next.
        (
            Target::Listen(address("0.0.0.0:40123")),
            listen("0.0.0.0:0"),
            "allow-listen 0.0.0.0:0",
        ),
    ] {
        assert!(!network.allows(target));
        let error = text(refusal(&network, &reported).unwrap());
        let (line, audited) = locked(&texts).pop().unwrap();
        assert_eq!(audited, flag);
        assert!(error.ends_with(&format!(" ({flag} would)")), "{error}");
        assert!(line.ends_with(&format!(" ({flag} would)")), "{line}");
        if let Target::Connect(_) | Target::Resolve(_) = reported {
            let told = error.strip_prefix("not allowed to ");
            assert_eq!(told, line.strip_prefix("denied: "));
        }
    }
}

#[test]
fn an_answer_that_changes_opens_no_other_door() {
    let network = testing::authority(Policy::new().allow_redirects());
    network
        .redirected(Some(&origin("http://turning.example/")))
        .unwrap();
    let Ok(Host::Name(name)) = "turning.example".parse() else {
        panic!("a name")
    };
    let parsed = |texts: &[&str]| -> Vec<IpAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    };
    for (answer, told) in [
        (&["1.1.1.1"][..], Some(&["1.1.1.1"][..])),
        (&["127.0.0.1"], None),
        (&["127.0.0.1", "1.1.1.2"], Some(&["1.1.1.2"])),
        (&["::ffff:169.254.169.254", "fd00:ec2::254"], None),
    ] {
        network
            .redirected(Some(&origin("http://turning.example/again")))
            .unwrap();
        assert!(network.allows(Target::Resolve(name.clone())));
        let found = network.resolved(&name, parsed(answer));
        assert_eq!(found, told.map(parsed), "{answer:?}");
        for address in parsed(answer) {
            let allowed = network.allows(Target::Connect(SocketAddr::new(address, 80)));
            let expected = told.is_some_and(|told| parsed(told).contains(&address));
            assert_eq!(allowed, expected, "{address}");
        }
    }
}

#[test]
fn only_the_latest_refusals_are_kept() {
    let network = testing::authority(Policy::new());
    for port in 1..=(MAX_INCIDENTS as u16 + 1) {
        network.allows(Target::Connect(SocketAddr::from(([192, 0, 2, 1], port))));
    }
    for (port, known) in [(1, false), (2, true), (65, true)] {
        let reported = Target::Connect(SocketAddr::from(([192, 0, 2, 1], port)));
        let found = refusal(&network, &reported);
        assert_eq!(found.is_some(), known, "{port}");
    }
}

#[test]
fn every_decision_is_recorded() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sink = {
        let seen = seen.clone();
        move |event: &AuditEvent| {
            let (target, verdict) = event.decision().unwrap();
            locked(&seen).push((target.clone(), verdict.is_allowed()));
        }
    };
    let network = Authority::new(
        RunId::new(7),
        &Grant::new()
            .policy(Policy::new().allow_connect(address("192.0.2.1:80")))
            .audit(sink),
    );
    for (text, use_, expected) in [
        ("0.0.0.0:0", SocketAddrUse::TcpBind, true),
        ("[::]:0", SocketAddrUse::TcpBind, true),
        ("0.0.0.0:80", SocketAddrUse::TcpBind, false),
        ("127.0.0.1:0", SocketAddrUse::TcpBind, false),
        ("192.0.2.1:80", SocketAddrUse::TcpConnect, true),
        ("192.0.2.1:81", SocketAddrUse::TcpConnect, false),
        ("0.0.0.0:81", SocketAddrUse::TcpListen, false),
        ("192.0.2.1:9", SocketAddrUse::TcpAccept, false),
        ("0.0.0.0:0", SocketAddrUse::UdpBind, false),
        ("192.0.2.1:80", SocketAddrUse::UdpSend, false),
        ("192.0.2.1:80", SocketAddrUse::UdpReceive, false),
    ] {
        assert_eq!(
            network.allows_address(address(text), use_),
            expected,
            "{text} {use_:?}"
        );
    }
    let seen: Vec<_> = locked(&seen)
        .iter()
        .map(|(target, allowed)| format!("{target}: {allowed}"))
        .collect();
    assert_eq!(
        seen,
        [
            "bind to 0.0.0.0:80: false",
            "bind to 127.0.0.1:0: false",
            "connect to 192.0.2.1:80: true",
            "connect to 192.0.2.1:81: false",
            "listen on 0.0.0.0:81: false",
            "accept 192.0.2.1:9: false",
            "bind a UDP socket to 0.0.0.0:0: false",
            "send a datagram to 192.0.2.1:80: false",
            "receive a datagram from 192.0.2.1:80: false",
        ]
    );
}

/// A network that records, and what it has recorded.
fn recording(limits: &Limits) -> (Authority, Arc<Mutex<Vec<String>>>) {
    let record = Arc::new(Mutex::new(Vec::new()));
    let sink = record.clone();
    let sink = move |event: &AuditEvent| sink.lock().unwrap().push(event.to_string());
    let policy = Policy::everything();
    let grant = Grant::new()
        .policy(policy)
        .limits(limits.clone())
        .audit(sink);
    let network = Authority::new(RunId::new(1), &grant);
    (network, record)
}

#[test]
fn a_limit_is_told_when_it_is_reached_and_not_each_time() {
    let (network, record) = recording(&Limits::default());
    for _ in 0..3 {
        network.reached(Limit::Sockets, None);
        network.reached(Limit::Resolutions, None);
    }
    assert!(network.has_reached(Limit::Sockets));
    assert!(!network.has_reached(Limit::Handles));
    network.has_room(Limit::Sockets);
    assert!(!network.has_reached(Limit::Sockets));
    let target = Target::Connect(address("192.0.2.1:80"));
    network.reached(Limit::Sockets, Some(target));
    network.reached(Limit::Resolutions, None);
    assert_eq!(
        *locked(&record),
        [
            "limit: no more sockets (max-sockets sets the limit)",
            "limit: no more resolutions (max-resolutions sets the limit)",
            "limit: no more sockets for this: connect to 192.0.2.1:80 (max-sockets sets \
             the limit)",
        ]
    );
}

#[test]
fn every_limit_has_a_bit_of_its_own() {
    let bits = Limit::all().fold(0, |bits, limit| {
        assert_eq!(bits & bit(limit), 0, "{limit:?}");
        bits | bit(limit)
    });
    assert_eq!(bits.count_ones() as usize, Limit::all().count());
}

#[test]
fn lookups_are_counted() {
    for (limit, expected) in [
        (None, [true, true, true]),
        (Some(0), [false, false, false]),
        (Some(2), [true, true, false]),
    ] {
        let (network, _) = recording(&Limits::default().resolutions(limit));
        let counted = [(); 3].map(|()| network.counts_lookup());
        assert_eq!(counted, expected, "{limit:?}");
    }
}

#[test]
fn nothing_comes_behind_the_end() {
    let (network, record) = recording(&Limits::default());
    let named = address("192.0.2.1:80");
    network.resolved(&"example.com".parse().unwrap(), vec![named.ip()]);
    let account = network.account(Target::Connect(named)).unwrap();
    account.add_received(5);
    network.account(Target::Listen(named)).unwrap().add_sent(6);
    locked(&record).clear();
    network.end();
    network.end();
    network.reached(Limit::Memory, None);
    network.allows(Target::Connect(named));
    assert_eq!(
        *locked(&record),
        [
            "total: connect to 192.0.2.1:80 (example.com): 0 connections, 5 bytes received, 0 \
             sent, 0.000 s",
            "total: listen on 192.0.2.1:80: 0 connections, 0 bytes received, 6 sent, 0.000 s",
            "ended",
        ]
    );
}

#[test]
fn accounts_are_kept_only_where_somebody_wants_to_know() {
    let network = testing::authority(Policy::new());
    assert!(!network.keeps_accounts());
    let target = Target::Connect(address("192.0.2.1:80"));
    assert!(network.account(target).is_none());
}

#[test]
fn a_request_that_may_reach_no_address_takes_none_from_a_name() {
    let policy = Policy::new()
        .allow_connect_to("a.example:443")
        .unwrap()
        .allow_http("* http://a.example/*")
        .unwrap()
        .deny_connect("1.2.3.4:80")
        .unwrap();
    let network = Authority::new(RunId::new(1), &Grant::new().policy(policy));
    let a = name("a.example");
    let allows = |address: &str| network.allows(Target::Connect(address.parse().unwrap()));
    network.resolved(&a, addresses(&["1.2.3.4"])).unwrap();
    assert!(allows("1.2.3.4:443"));
    let url = "http://a.example/".parse().unwrap();
    let request = HttpTarget::new("GET".parse().unwrap(), url);
    let known = |address: &str| {
        let granted = locked(&network.granted);
        let mut names = granted.names.clone();
        // What an earlier answer had counts for a time.
        names.expire(Instant::now() + 2 * sockbox_policy::GRACE);
        names.is_at(&a, address.parse().unwrap())
    };

    // No address of this answer may be used on port 80.
    let found = network.http_addresses(&request, addresses(&["1.2.3.4"]));
    assert_eq!(found, None);
    assert!(known("1.2.3.4") && allows("1.2.3.4:443"));
    // One may, and the other one is still an address of the name.
    let found = network.http_addresses(&request, addresses(&["1.2.3.4", "1.2.3.5"]));
    assert_eq!(found, Some(addresses(&["1.2.3.5"])));
    assert!(known("1.2.3.4") && known("1.2.3.5"));
    // An address that no request and no socket was told is none that the component may use.
    let found = network.http_addresses(&request, addresses(&["10.0.0.1", "1.2.3.5"]));
    assert_eq!(found, Some(addresses(&["1.2.3.5"])));
    assert!(!known("10.0.0.1") && !known("1.2.3.4") && known("1.2.3.5"));
}

#[test]
fn a_kept_connection_is_judged_again() {
    let origin = Origin::new("a.example".parse().unwrap(), 80);
    let policy = Policy::new().allow_origin(origin.clone());
    let network = Authority::new(RunId::new(1), &Grant::new().policy(policy));
    let url = "http://a.example/".parse().unwrap();
    let request = HttpTarget::new("GET".parse().unwrap(), url);
    let inside = "10.0.0.1".parse().unwrap();
    network.resolved(&name("a.example"), addresses(&["10.0.0.1", "1.2.3.4"]));
    assert!(network.http_reaches(&request, inside));
    // The name's server is at a public address, so the name may not be inside any more.
    network.answered(&origin, "1.2.3.4".parse().unwrap());
    assert!(!network.http_reaches(&request, inside));
    assert!(network.http_reaches(&request, "1.2.3.4".parse().unwrap()));
}

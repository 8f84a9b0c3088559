//! Attempts to connect.

use super::*;

const MS: Duration = Duration::from_millis(1);

/// The result of an attempt to connect to an address, and how long it takes.
#[derive(Debug, Clone, Copy)]
enum At {
    Server(u32),
    Refuses(u32),
    Denied,
    Unreachable,
    Nowhere,
}

/// Sets the addresses of a name, and the results of attempts to connect to them.
fn place(net: &MemoryNet, name: &str, addresses: &[(&str, At)]) {
    net.name(
        name,
        Ok(addresses.iter().map(|(text, _)| ip(text)).collect()),
    );
    for (text, at) in addresses {
        let address = SocketAddr::new(ip(text), 80);
        let (distance, failure) = match at {
            At::Server(distance) => (*distance, None),
            At::Refuses(distance) => (*distance, Some(NetError::ConnectionRefused)),
            At::Denied => (0, Some(NetError::Denied)),
            At::Unreachable => (0, Some(NetError::Unreachable)),
            At::Nowhere => {
                net.black_hole(address);
                continue;
            }
        };
        if distance > 0 {
            net.distance(address, distance * MS);
        }
        match failure {
            Some(reason) => net.refuse(address, reason),
            None => {
                let body = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
                play(
                    net,
                    &address.to_string(),
                    vec![vec![Step::Read(0), send(body)]],
                );
            }
        }
    }
}

fn attempts(net: &MemoryNet) -> Vec<(u128, String)> {
    let attempts = net.attempts().into_iter();
    attempts
        .map(|(time, address)| (time.as_millis(), address.ip().to_string()))
        .collect()
}

/// A host, the attempts with their times in milliseconds, the address that wins, and when.
type Race<'a> = (&'a [(&'a str, At)], &'a [(u128, &'a str)], &'a str, u128);

#[test]
fn the_addresses_race_and_the_first_that_answers_wins() {
    use At::{Nowhere, Refuses, Server, Unreachable};
    let cases: &[Race<'_>] = &[
        // The only address, and the first of several.
        (&[("::1", Server(10))], &[(0, "::1")], "::1", 10),
        (
            &[("::1", Server(249)), ("127.0.0.1", Server(0))],
            &[(0, "::1")],
            "::1",
            249,
        ),
        // The families alternate, beginning with that of the first address.
        (
            &[
                ("::1", Nowhere),
                ("::2", Nowhere),
                ("::3", Nowhere),
                ("127.0.0.1", Nowhere),
                ("127.0.0.2", Server(0)),
            ],
            &[
                (0, "::1"),
                (250, "127.0.0.1"),
                (500, "::2"),
                (750, "127.0.0.2"),
            ],
            "127.0.0.2",
            750,
        ),
        (
            &[
                ("127.0.0.1", Nowhere),
                ("127.0.0.2", Nowhere),
                ("::1", Nowhere),
                ("127.0.0.3", Server(0)),
            ],
            &[
                (0, "127.0.0.1"),
                (250, "::1"),
                (500, "127.0.0.2"),
                (750, "127.0.0.3"),
            ],
            "127.0.0.3",
            750,
        ),
        // A slow first attempt may still win, if it succeeds first.
        (
            &[("::1", Server(300)), ("127.0.0.1", Server(100))],
            &[(0, "::1"), (250, "127.0.0.1")],
            "::1",
            300,
        ),
        (
            &[("::1", Server(400)), ("127.0.0.1", Server(100))],
            &[(0, "::1"), (250, "127.0.0.1")],
            "127.0.0.1",
            350,
        ),
        // A failure of the newest attempt starts the next one at once, whatever the older ones do.
        (
            &[("::1", Refuses(7)), ("127.0.0.1", Server(0))],
            &[(0, "::1"), (7, "127.0.0.1")],
            "127.0.0.1",
            7,
        ),
        (
            &[
                ("::1", Nowhere),
                ("127.0.0.1", Refuses(5)),
                ("127.0.0.2", Server(0)),
            ],
            &[(0, "::1"), (250, "127.0.0.1"), (255, "127.0.0.2")],
            "127.0.0.2",
            255,
        ),
        // The failure of an older attempt does not change when the next one starts.
        (
            &[
                ("::1", Refuses(300)),
                ("127.0.0.1", Server(200)),
                ("::2", Server(0)),
            ],
            &[(0, "::1"), (250, "127.0.0.1")],
            "127.0.0.1",
            450,
        ),
        (
            &[
                ("::1", Unreachable),
                ("::2", Unreachable),
                ("127.0.0.1", Unreachable),
                ("127.0.0.2", Server(0)),
            ],
            &[(0, "::1"), (0, "127.0.0.1"), (0, "::2"), (0, "127.0.0.2")],
            "127.0.0.2",
            0,
        ),
        // A repeated address is tried once.
        (
            &[("::1", Refuses(0)), ("::1", Refuses(0)), ("::2", Server(0))],
            &[(0, "::1"), (0, "::2")],
            "::2",
            0,
        ),
    ];
    for (addresses, expected, winner, at) in cases {
        let net = MemoryNet::default();
        place(&net, "many.test", addresses);
        let response = net
            .run(fetch(&net, request("http://many.test/")))
            .unwrap_or_else(|error| panic!("{addresses:?}: {error}"));
        let expected: Vec<_> = expected
            .iter()
            .map(|(time, ip)| (*time, (*ip).to_owned()))
            .collect();
        assert_eq!(attempts(&net), expected, "{addresses:?}");
        assert_eq!(response.info().remote.ip(), ip(winner), "{addresses:?}");
        assert_eq!(net.elapsed().as_millis(), *at, "{addresses:?}");
        assert_eq!(net.connecting(), 0, "losers are given up: {addresses:?}");
        let failed: Vec<_> = addresses
            .iter()
            .filter(|(text, at)| {
                let tried = expected.iter().any(|(_, ip)| ip == text);
                tried && matches!(at, Refuses(_) | Unreachable)
            })
            .map(|(text, _)| ip(text))
            .collect();
        let reported = response.info().failures.iter();
        let mut reported: Vec<_> = reported.map(|failure| failure.address.ip()).collect();
        reported.sort();
        let mut failed_once = failed.clone();
        failed_once.sort();
        failed_once.dedup();
        assert_eq!(reported, failed_once, "{addresses:?}");
    }
}

#[test]
fn the_delay_between_attempts_is_the_callers() {
    for (delay, expected) in [(0, [0, 0, 0]), (10, [0, 10, 20]), (1000, [0, 1000, 2000])] {
        let net = MemoryNet::default();
        let addresses = [
            ("::1", At::Nowhere),
            ("127.0.0.1", At::Nowhere),
            ("::2", At::Server(1)),
        ];
        place(&net, "many.test", &addresses);
        let options = Options {
            attempt_delay: delay * MS,
            ..Options::default()
        };
        let asked = Request {
            options,
            ..request("http://many.test/")
        };
        let response = net.run(fetch(&net, asked)).expect("a response");
        let times: Vec<_> = attempts(&net).into_iter().map(|(time, _)| time).collect();
        assert_eq!(times, expected, "{delay}");
        assert_eq!(response.info().remote.ip(), ip("::2"), "{delay}");
    }
}

fn failure(text: &str, reason: NetError) -> ConnectFailure {
    ConnectFailure {
        address: SocketAddr::new(ip(text), 80),
        reason,
    }
}

#[test]
fn failures_are_reported_in_the_order_of_the_attempts() {
    use At::{Denied, Nowhere, Refuses, Unreachable};
    let timeout = |limit: u64, bound| {
        FetchError::Timeout(Timeout {
            stage: Stage::Connect,
            bound,
            limit: Duration::from_secs(limit),
            received: 0,
        })
    };
    let refused = |text| failure(text, NetError::ConnectionRefused);
    let silent = |text| failure(text, NetError::TimedOut);
    let denied = |text| {
        let address = SocketAddr::new(ip(text), 80);
        FetchError::Denied(super::super::Denied::Connect(address))
    };
    type Case<'a> = (&'a [(&'a str, At)], Option<u64>, FetchError, u64);
    let cases: &[Case<'_>] = &[
        (
            &[("::1", Refuses(300)), ("127.0.0.1", Unreachable)],
            None,
            FetchError::ConnectFailed(vec![
                refused("::1"),
                failure("127.0.0.1", NetError::Unreachable),
            ]),
            300,
        ),
        (
            &[
                ("::1", Nowhere),
                ("127.0.0.1", Refuses(0)),
                ("::2", Nowhere),
            ],
            None,
            FetchError::ConnectFailed(vec![silent("::1"), refused("127.0.0.1"), silent("::2")]),
            30_000,
        ),
        (
            &[("::1", Nowhere), ("127.0.0.1", Nowhere)],
            None,
            timeout(30, TimeBound::Stage),
            30_000,
        ),
        (
            &[("::1", Nowhere), ("127.0.0.1", Refuses(0))],
            Some(3),
            timeout(3, TimeBound::Total),
            3000,
        ),
        // A denial is reported before all other failures, and the other addresses are still tried.
        (
            &[
                ("::1", Refuses(0)),
                ("127.0.0.1", Denied),
                ("::2", Refuses(9)),
            ],
            None,
            denied("127.0.0.1"),
            9,
        ),
        (
            &[("::1", Denied), ("127.0.0.1", Nowhere)],
            None,
            denied("::1"),
            30_000,
        ),
    ];
    for (addresses, total, expected, at) in cases {
        let net = MemoryNet::default();
        place(&net, "many.test", addresses);
        let mut asked = request("http://many.test/");
        asked.options.timeouts.total = total.map(Duration::from_secs);
        let got = net.run(fetch(&net, asked)).map(drop);
        assert_eq!(got, Err(expected.clone()), "{addresses:?}");
        assert_eq!(net.elapsed(), Duration::from_millis(*at), "{addresses:?}");
        assert_eq!(net.connecting(), 0, "{addresses:?}");
    }
}

#[test]
fn a_denied_address_is_no_obstacle_to_another() {
    let net = MemoryNet::default();
    place(
        &net,
        "many.test",
        &[("::1", At::Denied), ("127.0.0.1", At::Server(0))],
    );
    let response = net.run(fetch(&net, request("http://many.test/")));
    let info = response.expect("a response").info().clone();
    assert_eq!(info.remote, address(ADDRESS));
    assert_eq!(info.failures, [failure("::1", NetError::Denied)]);
}

#[test]
fn a_host_of_ever_so_many_addresses_is_not_tried_for_ever() {
    let net = MemoryNet::default();
    let all: Vec<IpAddr> = (0..5000_u16)
        .map(|n| IpAddr::from([127, 1, n.to_be_bytes()[0], n.to_be_bytes()[1]]))
        .collect();
    for ip in &all {
        net.black_hole(SocketAddr::new(*ip, 80));
    }
    net.name("many.test", Ok(all));
    let mut asked = request("http://many.test/");
    asked.options.attempt_delay = Duration::ZERO;
    let error = net
        .run(fetch(&net, asked))
        .map(drop)
        .expect_err("no address accepts");
    assert!(matches!(error, FetchError::Timeout(_)), "{error:?}");
    assert_eq!(net.attempts().len(), 64);
}

#[test]
fn the_family_is_the_callers() {
    let both = [
        ("::1", At::Server(0)),
        ("127.0.0.1", At::Server(0)),
        ("::2", At::Server(0)),
    ];
    let none = |family| {
        Err(FetchError::ResolveFailed {
            name: "many.test".to_owned(),
            family: Some(family),
            reason: NetError::NameUnresolvable,
        })
    };
    let (v4, v6) = (Family::Ipv4, Family::Ipv6);
    type Case<'a> = (&'a [(&'a str, At)], Family, Result<&'a str, FetchError>);
    let cases: &[Case<'_>] = &[
        (&both, v4, Ok("127.0.0.1")),
        (&both, v6, Ok("::1")),
        (&both[..1], v4, none(v4)),
        (&both[1..2], v6, none(v6)),
    ];
    for (addresses, family, expected) in cases {
        let net = MemoryNet::default();
        place(&net, "many.test", addresses);
        let mut asked = request("http://many.test/");
        asked.options.family = Some(*family);
        let got = net.run(fetch(&net, asked));
        let got = got.map(|response| response.info().remote.ip());
        assert_eq!(got, expected.clone().map(ip), "{addresses:?} {family}");
    }
    for (url, family, text) in [
        (
            "http://[::1]/",
            v4,
            "could not resolve host [::1]: it has no IPv4 address",
        ),
        (
            "http://127.0.0.1/",
            v6,
            "could not resolve host 127.0.0.1: it has no IPv6 address",
        ),
    ] {
        let net = MemoryNet::default();
        let mut asked = request(url);
        asked.options.family = Some(family);
        let error = net.run(fetch(&net, asked)).map(drop).expect_err(url);
        assert_eq!(error.to_string(), text);
        assert_eq!(net.attempts(), []);
    }
}

#[test]
fn the_trace_has_a_line_for_each_step() {
    let net = MemoryNet::default();
    place(
        &net,
        "many.test",
        &[("::1", At::Refuses(0)), ("127.0.0.1", At::Server(0))],
    );
    let mut asked = request("http://many.test/");
    asked.options.trace = Some(record_trace);
    net.run(fetch(&net, asked)).expect("a response");
    let expected = [
        "* many.test has address ::1",
        "* many.test has address 127.0.0.1",
        "* trying [::1]:80",
        "* could not connect to [::1]:80: connection refused",
        "* trying 127.0.0.1:80",
        "* connected to 127.0.0.1:80 from 127.0.0.1:40001",
        "> GET / HTTP/1.1",
        "> Host: many.test",
        concat!("> User-Agent: sockbox/", env!("CARGO_PKG_VERSION")),
        "> Accept: */*",
        ">",
        "< HTTP/1.1 200 OK",
        "< Content-Length: 0",
        "<",
        "* the connection to 127.0.0.1:80 is left intact",
    ];
    assert_eq!(take_trace(), expected);
}

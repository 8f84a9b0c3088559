//! Resolving names, and static hosts.

use super::*;

#[test]
fn static_hosts_are_not_resolved() {
    // The static host, its port, the URL, and whether the static host is for that URL.
    let cases = [
        ("many.test", 80, "http://many.test/", true),
        ("MANY.Test", 80, "http://many.TEST/", true),
        ("many.test", 8080, "http://many.test:8080/", true),
        ("m\u{fc}nchen.test", 80, "http://M\u{dc}NCHEN.test/", true),
        ("many.test", 80, "http://many.test:8080/", false),
        ("many.test", 80, "http://other.test/", false),
        ("test", 80, "http://many.test/", false),
        ("*", 80, "http://many.test/", true),
        ("*", 80, "http://192.0.2.1/", true),
        ("*", 80, "http://many.test:8080/", false),
        ("*.test", 80, "http://many.test/", false),
    ];
    for (host, port, url, is_static) in cases {
        let net = MemoryNet::default();
        let mut asked = request(url);
        asked.options.static_hosts = vec![
            StaticHost {
                host: "unrelated.test".to_owned(),
                port: 80,
                addresses: vec![ip("127.0.0.9")],
            },
            StaticHost {
                host: host.to_owned(),
                port,
                addresses: vec![ip("127.0.0.7")],
            },
        ];
        let error = net.run(fetch(&net, asked)).map(drop).expect_err(url);
        let expected = match is_static {
            true => "could not connect to 127.0.0.7:",
            false => "could not resolve host ",
        };
        assert!(
            error.to_string().starts_with(expected),
            "{host} {url}: {error}"
        );
        assert_eq!(net.resolved_names().is_empty(), is_static, "{host} {url}");
    }
    // The host's own entry has precedence over that of every host, in any order.
    for own_is_last in [true, false] {
        let net = MemoryNet::default();
        let mut asked = request("http://many.test/");
        asked.options.static_hosts = [("*", "127.0.0.8"), ("many.test", "127.0.0.7")]
            .map(|(host, address)| StaticHost {
                host: host.to_owned(),
                port: 80,
                addresses: vec![ip(address)],
            })
            .into();
        if !own_is_last {
            asked.options.static_hosts.reverse();
        }
        let error = net.run(fetch(&net, asked)).map(drop).expect_err("refused");
        assert!(
            error
                .to_string()
                .starts_with("could not connect to 127.0.0.7:"),
            "{error}"
        );
    }
    let net = MemoryNet::default();
    let mut asked = request("http://many.test/");
    asked.options.static_hosts = vec![StaticHost {
        host: "many.test".to_owned(),
        port: 80,
        addresses: Vec::new(),
    }];
    let error = net.run(fetch(&net, asked)).map(drop);
    assert!(
        matches!(error, Err(FetchError::InvalidRequest(_))),
        "{error:?}"
    );
}

#[test]
fn a_failed_resolution_keeps_its_reason() {
    let net = MemoryNet::default();
    net.name("secret.test", Err(NetError::Denied));
    net.name("slow.test", Ok(vec![ip("127.0.0.1")]));
    net.slow_name("slow.test", 20 * SECOND);
    let failed = |name: &str, reason| FetchError::ResolveFailed {
        name: name.to_owned(),
        family: None,
        reason,
    };
    let cases = [
        (
            "http://secret.test/",
            FetchError::Denied(Denied::Resolve("secret.test".to_owned())),
        ),
        (
            "http://unknown.test/",
            failed("unknown.test", NetError::NameUnresolvable),
        ),
        (
            "http://slow.test/",
            FetchError::Timeout(Timeout {
                stage: Stage::Resolve,
                bound: TimeBound::Stage,
                limit: 10 * SECOND,
                received: 0,
            }),
        ),
    ];
    for (url, expected) in cases {
        assert_eq!(
            net.run(fetch(&net, request(url))).map(drop),
            Err(expected),
            "{url}"
        );
    }
}

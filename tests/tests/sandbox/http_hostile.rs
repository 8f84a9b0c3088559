//! Requests that are to get past the policy, or to make a server take one for two: each with the proof that nothing
//! was sent that wasn't granted.

use crate::http::{OK, assert_lines, run};
use sockbox_tests::{Finished, Foreign, Internet, RawPeer, Seen, Tripwire};

const V4: &str = Internet::PUBLIC_V4;
const METADATA: &str = Internet::METADATA;
const DENIED: &str = "HttpRequestDenied at response";
const PROHIBITED: &str = "DestinationIpProhibited at response";

#[track_caller]
fn on(internet: &Internet, flags: &[&str], attempts: &str) -> (Finished, Seen) {
    let outcome = internet.run(Foreign::Requests.run(flags, attempts));
    eprintln!("{flags:?} {attempts}: {:?}", outcome.0.stdout_text());
    outcome
}

/// Where a name must not lead: of each kind, and in disguise.
const NOT_PUBLIC: &[&str] = &[
    "10.0.0.1",
    "127.0.0.1",
    METADATA,
    "192.168.1.1",
    Internet::OWN_V4,
    Internet::NEIGHBOUR_V4,
    "0.0.0.0",
    "::1",
    "::ffff:127.0.0.1",
    "::127.0.0.1",
    "64:ff9b::169.254.169.254",
    "2002:7f00:1::",
    "2001:0:7f00:1::",
    "fd00:ec2::254",
    "fe80::1",
    Internet::NEIGHBOUR_V6,
];

#[test]
fn a_name_that_turns_to_the_inside_reaches_nothing() {
    let Some(_) = Internet::new() else {
        return;
    };
    for inside in NOT_PUBLIC {
        let internet = Internet::default()
            .name("rebind.example", &[&[V4], &[inside]])
            .name("inside.example", &[&[inside]]);
        let send = |name: &str| format!("send GET http {name} /");
        let attempts = [
            send("rebind.example"),
            send("rebind.example"),
            send("inside.example"),
        ];
        for flags in [
            ["--allow-connect", "rebind.example:80,inside.example:80"].as_slice(),
            &[
                "--allow-http",
                "GET http://rebind.example/",
                "--allow-http",
                "* http://inside.example/*",
            ],
        ] {
            let (finished, seen) = on(&internet, flags, &attempts.join(" then "));
            assert_lines(
                &finished,
                &["ok 200 hello from 1.2.3.4:80", PROHIBITED, PROHIBITED],
            );
            seen.assert(&["rebind.example", "inside.example"], &["tcp 1.2.3.4:80"]);
            let stderr = finished.stderr();
            assert!(
                stderr.contains("--allow-private would allow it"),
                "{stderr}"
            );
        }
    }
}

#[test]
fn what_is_inside_is_reached_where_that_is_granted() {
    let Some(internet) = Internet::new() else {
        return;
    };
    let internet = internet.name("inside.example", &[&["10.0.0.1"]]);
    let attempt = "send GET http inside.example /";
    let hello = "ok 200 hello from 10.0.0.1:80";
    for flags in [
        [
            "--allow-http",
            "GET http://inside.example/",
            "--allow-private",
            "-v",
        ],
        [
            "--allow-http",
            "GET http://inside.example/",
            "--allow-connect",
            "10.0.0.1:80",
        ],
        [
            "--allow-http",
            "GET http://inside.example/",
            "--resolve",
            "inside.example:10.0.0.1",
        ],
    ] {
        let (finished, seen) = on(&internet, &flags, attempt);
        assert_lines(&finished, &[hello]);
        assert_eq!(seen.packets, ["tcp 10.0.0.1:80"]);
    }
    // Among other addresses the public ones are taken.
    let internet = internet.name("mixed.example", &[&["127.0.0.1", V4, METADATA]]);
    let flags = ["--allow-http", "GET http://mixed.example/"];
    let (finished, seen) = on(&internet, &flags, "send GET http mixed.example /");
    assert_lines(&finished, &["ok 200 hello from 1.2.3.4:80"]);
    seen.assert(&["mixed.example"], &["tcp 1.2.3.4:80"]);
}

#[test]
fn a_denied_address_is_denied_behind_every_name_and_number() {
    let Some(internet) = Internet::new() else {
        return;
    };
    let internet = internet
        .name("a.example", &[&[METADATA]])
        .name("b.example", &[&["64:ff9b::169.254.169.254"]]);
    let flags = [
        "--allow-net",
        "--allow-private",
        "--deny-connect",
        "169.254.0.0/16",
    ];
    let by_number = [
        "169.254.169.254",
        "2852039166",
        "0xa9fea9fe",
        "0251.0376.0251.0376",
        "169.254.43518",
        "[::ffff:169.254.169.254]",
        "[::169.254.169.254]",
        "[64:ff9b::a9fe:a9fe]",
        "[2002:a9fe:a9fe::]",
    ];
    let attempts: Vec<String> = ["a.example", "b.example"]
        .iter()
        .chain(&by_number)
        .map(|host| format!("send GET http {host} /latest/meta-data"))
        .collect();
    let (finished, seen) = on(&internet, &flags, &attempts.join(" then "));
    let mut expected = vec![PROHIBITED; 2];
    expected.resize(attempts.len(), DENIED);
    assert_lines(&finished, &expected);
    seen.assert(&["a.example", "b.example"], &[]);
}

#[test]
fn a_redirect_is_judged_as_any_other_request() {
    let Some(internet) = Internet::new() else {
        return;
    };
    let internet = internet
        .name("a.example", &[&[V4]])
        .name("evil.example", &[&[METADATA]]);
    let flags = [
        "--allow-http",
        "GET http://a.example/*",
        "--allow-http",
        "GET http://evil.example/*",
    ];
    for (to, expected) in [
        ("http://169.254.169.254/latest", DENIED),
        ("http://2852039166/latest", DENIED),
        ("http://[::ffff:a9fe:a9fe]/latest", DENIED),
        ("http://evil.example/latest", PROHIBITED),
        ("http://a.example/", "ok 200 hello from 1.2.3.4:80"),
    ] {
        let attempt = format!("send GET http a.example /to?{to} follow");
        let (finished, seen) = on(&internet, &flags, &attempt);
        assert_lines(&finished, &[expected]);
        assert!(
            seen.packets.iter().all(|packet| packet == "tcp 1.2.3.4:80"),
            "{to}: {:?}",
            seen.packets
        );
    }
}

#[test]
fn nothing_is_asked_for_a_name_that_is_not_granted() {
    let Some(internet) = Internet::new() else {
        return;
    };
    let internet = internet.name("a.example", &[&[V4]]);
    let flags = ["--allow-http", "GET http://a.example/v1/*"];
    let attempts = "send GET http b.example /v1/x then send GET http a.example /v2 then send POST http a.example \
                    /v1/x then send GET http a.example:81 /v1/x then send GET http a.example.evil /v1/x";
    let (finished, seen) = on(&internet, &flags, attempts);
    assert_lines(&finished, &[DENIED; 5]);
    seen.assert_nothing();
}

#[test]
fn a_name_that_is_nowhere_is_told_as_that() {
    let Some(internet) = Internet::new() else {
        return;
    };
    let flags = ["--allow-http", "GET http://nowhere.example/"];
    let (finished, seen) = on(&internet, &flags, "send GET http nowhere.example /");
    let stdout = finished.stdout_text();
    assert!(
        stdout.starts_with("DnsError(") && stdout.contains("NXDOMAIN"),
        "{stdout}"
    );
    seen.assert(&["nowhere.example"], &[]);
}

#[test]
fn what_is_no_url_is_sent_nowhere() {
    let tripwire = Tripwire::new();
    let address = tripwire.address().to_string();
    let port = tripwire.address().port();
    let allow = ["--allow-net"];
    for (attempt, expected) in [
        // A target in absolute form, and others that are no path.
        (
            format!("send GET http {address} http://127.0.0.1:{port}/"),
            "invalid at path",
        ),
        (format!("send OPTIONS http {address} *"), "invalid at path"),
        (format!("send GET http {address} x"), "invalid at path"),
        // A user's name in the authority, and more than an authority.
        (
            format!("send GET http evil@{address} /"),
            "HttpRequestUriInvalid",
        ),
        (
            format!("send GET http a:b@{address} /"),
            "HttpRequestUriInvalid",
        ),
        (format!("send GET http {address}:1 /"), ""),
        (format!("send GET http {address}/x /"), ""),
        ("send GET http - /".to_owned(), ""),
        // Another host in a header.
        (
            format!("send GET http {address} / header=host:evil.example"),
            "HeaderError::Forbidden at header",
        ),
        // Lines of its own in what becomes lines.
        (
            format!("send GET http {address} / header=x:a%0d%0aHost:%20evil.example"),
            "HeaderError::InvalidSyntax at header",
        ),
        (
            format!("send GET http {address} / header=x:a%0ab"),
            "HeaderError::InvalidSyntax at header",
        ),
        (
            format!("send GET http {address} / header=x:a%00b"),
            "HeaderError::InvalidSyntax at header",
        ),
        (
            format!("send GET http {address} / header=x@y:a"),
            "HeaderError::InvalidSyntax at header",
        ),
        (
            format!("send GET http {address} /a%0d%0aX:y"),
            "HttpRequestUriInvalid",
        ),
        (
            format!("send GET http {address} /%00"),
            "HttpRequestUriInvalid",
        ),
        (
            format!("send GET http {address} /%zz"),
            "HttpRequestUriInvalid",
        ),
        (
            format!("send GET http {address} /%25252525252e"),
            "HttpRequestUriInvalid",
        ),
        // Methods that are none, or ask for something else.
        (
            format!("send CONNECT http {address} /"),
            "HttpRequestMethodInvalid",
        ),
        (format!("send G(T http {address} /"), ""),
        (format!("send GET ftp {address} /"), "HttpProtocolError"),
        (
            format!("send GET http {address} /{}", "x".repeat(9000)),
            "HttpRequestUriTooLong",
        ),
        // Where the body ends.
        (
            format!("send POST http {address} / header=transfer-encoding:chunked body=x"),
            "HeaderError::Forbidden at header",
        ),
        (
            format!("send POST http {address} / header=connection:keep-alive body=x"),
            "HeaderError::Forbidden at header",
        ),
        (
            format!("send GET http {address} / header=upgrade:websocket"),
            "HeaderError::Forbidden at header",
        ),
        (
            format!("send GET http {address} / header=content-length:5"),
            "HttpRequestBodySize",
        ),
    ] {
        let finished = run(&allow, &attempt);
        finished.assert_code(1);
        let stdout = finished.stdout_text();
        assert!(stdout.starts_with(expected), "{attempt}: {stdout}");
        tripwire.assert_untouched();
    }
}

#[test]
fn one_request_is_one_request_to_the_server() {
    let smuggled = "x%0d%0a%0d%0aGET%20/evil%20HTTP/1.1%0d%0aHost:%20a%0d%0a%0d%0a";
    for options in [
        // More than was said, nothing was said, and more than none was said.
        format!("header=content-length:5 body=hello{smuggled}"),
        format!("body={smuggled}"),
        format!("header=content-length:0 body={smuggled}"),
    ] {
        let peer = RawPeer::start(|peer| {
            peer.read_request()?;
            peer.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")?;
            peer.wait_for_close()
        });
        let address = peer.address();
        let attempt = format!("send POST http {address} / {options}");
        run(&["--allow-connect", &address.to_string()], &attempt);
        let requests = peer.requests();
        assert_eq!(requests.len(), 1, "{requests:?}");
        let head = requests[0].to_ascii_lowercase();
        let ends = ["content-length:", "transfer-encoding:"].map(|it| head.matches(it).count());
        assert_eq!(ends.iter().sum::<usize>(), 1, "{head}");
        assert_eq!(head.matches("\r\nhost:").count(), 1, "{head}");
    }
    let framed = RawPeer::start(|peer| {
        peer.read_request()?;
        let body = peer.read_bytes(5)?;
        assert_eq!(body, b"hello");
        peer.send(OK)?;
        let behind = peer.read_some()?;
        assert!(behind.is_empty(), "{behind:?}");
        Ok(())
    });
    let address = framed.address();
    let attempt =
        format!("send POST http {address} / header=content-length:5 body=hello{smuggled}");
    run(&["--allow-connect", &address.to_string()], &attempt);
    assert_eq!(framed.requests().len(), 1);
}

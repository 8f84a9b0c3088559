//! Connections of `wasi:http`: timeouts, streaming, trailers, reuse, and limits.

use crate::http::{OK, run};
use sockbox_tests::{Finished, Nginx, RawPeer};

#[track_caller]
fn lines(finished: &Finished) -> Vec<String> {
    let stdout = finished.stdout_text();
    stdout.lines().map(str::to_owned).collect()
}

#[test]
fn the_components_own_timeouts_hold() {
    let silent = RawPeer::start(|peer| {
        peer.read_request()?;
        peer.wait_for_close()
    });
    let address = silent.address();
    let allow = ["--allow-connect", "127.0.0.1"];
    for timeout in [0, 100] {
        let finished = run(
            &allow,
            &format!("send GET http {address} / first-byte-ms={timeout}"),
        );
        assert_eq!(lines(&finished), ["ConnectionReadTimeout at response"]);
    }
    let stalling = RawPeer::start(|peer| {
        peer.read_request()?;
        peer.send("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\npage")?;
        peer.wait_for_close()
    });
    let address = stalling.address();
    let finished = run(
        &allow,
        &format!("send GET http {address} / between-bytes-ms=100"),
    );
    assert_eq!(lines(&finished), ["ConnectionReadTimeout at body"]);
    // Nobody speaks TLS here.
    let finished = run(
        &allow,
        &format!("send GET https {} / connect-ms=100", silent.address()),
    );
    assert_eq!(lines(&finished), ["ConnectionTimeout at response"]);
}

#[test]
fn the_wall_time_of_the_run_holds() {
    let silent = RawPeer::start(|peer| {
        peer.read_request()?;
        peer.wait_for_close()
    });
    let address = silent.address().to_string();
    let flags = ["--allow-connect", &address, "--max-wall-time", "1"];
    let attempt = format!("send GET http {address} /");
    run(&flags, &attempt).assert_code(124);
}

#[test]
fn bodies_of_any_size_are_streamed_in_bounded_memory() {
    const LENGTH: usize = 64 << 20;
    let peer = RawPeer::start(|peer| {
        let head = peer.read_request()?;
        assert!(head.starts_with(b"POST"), "{head:?}");
        peer.read_bytes(LENGTH)?;
        peer.send(format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {LENGTH}\r\n\r\n"
        ))?;
        peer.send_zeros(LENGTH as u64)
    });
    let address = peer.address().to_string();
    let flags = ["--allow-connect", &address, "--max-memory", "8M"];
    let attempt =
        format!("send POST http {address} / header=content-length:{LENGTH} bytes={LENGTH} count");
    let finished = run(&flags, &attempt);
    finished.assert_quiet_success();
    assert_eq!(lines(&finished), [format!("ok 200 {LENGTH} bytes")]);
}

#[test]
fn trailers_go_both_ways() {
    let peer = RawPeer::start(|peer| {
        peer.read_request()?;
        let mut body = Vec::new();
        while !body.ends_with(b"\r\n\r\n") {
            body.extend(peer.read_bytes(1)?);
        }
        let text = String::from_utf8_lossy(&body).to_ascii_lowercase();
        let sum = text.contains("\r\n0\r\nx-sum: 5\r\n");
        peer.send(format!(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n4\r\n{sum}\r\n0\r\nX-Sum: 7\r\n\r\n"
        ))
    });
    let address = peer.address().to_string();
    let attempt =
        format!("send POST http {address} / header=trailer:x-sum body=hello trailer=x-sum:5");
    let finished = run(&["--allow-connect", &address], &attempt);
    assert_eq!(lines(&finished), ["ok 200 true trailer x-sum:7"]);
}

#[test]
fn a_trailer_that_cannot_be_sent_ends_the_request() {
    let peer = RawPeer::start(|peer| {
        let mut request = Vec::new();
        loop {
            let bytes = peer.read_some()?;
            if bytes.is_empty() {
                break;
            }
            request.extend(bytes);
        }
        // Without the last chunk, the server knows that the request is not complete.
        assert!(!request.ends_with(b"0\r\n\r\n"), "{request:?}");
        Ok(())
    });
    let address = peer.address().to_string();
    for options in [
        "trailer=x-sum:5",
        "header=trailer:x-other trailer=x-sum:5",
        "header=trailer:cache-control trailer=cache-control:no-store",
    ] {
        let attempt = format!("send POST http {address} / body=hello {options}");
        let finished = run(&["--allow-connect", &address], &attempt);
        assert_eq!(
            lines(&finished),
            ["HttpProtocolError at response"],
            "{options}"
        );
    }
}

#[test]
fn the_body_of_a_get_request_is_sent() {
    let peer = RawPeer::start(|peer| {
        let head = peer.read_request()?;
        let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
        let chunked = head.contains("\r\ntransfer-encoding: chunked\r\n");
        let text = match chunked {
            true => {
                let mut body = Vec::new();
                while !body.ends_with(b"0\r\n\r\n") {
                    body.extend(peer.read_bytes(1)?);
                }
                format!("{:?}", String::from_utf8_lossy(&body))
            }
            false => "none".to_owned(),
        };
        let length = text.len();
        peer.send(format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{text}"
        ))
    });
    let address = peer.address().to_string();
    for (options, expected) in [
        ("body=hello", r#"ok 200 "5\r\nhello\r\n0\r\n\r\n""#),
        // Most servers do not expect an empty chunked body, and some leave it unread.
        ("body=", "ok 200 none"),
        ("", "ok 200 none"),
    ] {
        let attempt = format!("send GET http {address} / {options}");
        let finished = run(&["--allow-connect", &address], &attempt);
        assert_eq!(lines(&finished), [expected], "{options}");
    }
}

#[test]
fn a_get_request_whose_body_stays_open_gets_its_response() {
    let peer = RawPeer::start(|peer| {
        let head = peer.read_request()?;
        let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
        assert!(
            head.contains("\r\ntransfer-encoding: chunked\r\n"),
            "{head}"
        );
        peer.send(OK)?;
        let mut body = Vec::new();
        while !body.ends_with(b"0\r\n\r\n") {
            body.extend(peer.read_bytes(1)?);
        }
        assert_eq!(body, b"5\r\nhello\r\n0\r\n\r\n");
        Ok(())
    });
    let address = peer.address().to_string();
    let attempt = format!("send GET http {address} / body=hello open");
    let finished = run(&["--allow-connect", &address], &attempt);
    assert_eq!(lines(&finished), ["ok 200 page"]);
    assert_eq!(peer.requests().len(), 1);
}

#[test]
fn a_body_waits_to_be_asked_for_where_that_was_said() {
    let peer = RawPeer::start(|peer| {
        peer.read_request()?;
        peer.send("HTTP/1.1 100 Continue\r\n\r\n")?;
        let body = peer.read_bytes(5)?;
        assert_eq!(body, b"hello");
        peer.send(OK)
    });
    let refusing = RawPeer::start(|peer| {
        peer.read_request()?;
        peer.send(
            "HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        )
    });
    let allow = ["--allow-connect", "127.0.0.1"];
    for (address, expected) in [
        (peer.address(), "ok 200 page"),
        (refusing.address(), "ok 417"),
    ] {
        let attempt = format!(
            "send POST http {address} / header=expect:100-continue header=content-length:5 body=hello"
        );
        assert_eq!(lines(&run(&allow, &attempt)), [expected]);
    }
}

#[test]
fn a_connection_is_used_again_by_the_same_run_alone() {
    let nginx = Nginx::start();
    let address = nginx.address().to_string();
    let attempts = format!(
        "send GET http {address} /page.html count then send GET http {address} /1m.bin count then send HEAD http \
         {address} /page.html then send GET http {address} /chunked/page.html count"
    );
    let allow = ["--allow-connect", &address];
    for _ in 0..2 {
        run(&allow, &attempts).assert_quiet_success();
    }
    let log = nginx.access_log();
    let connections: Vec<&str> = log
        .lines()
        // By which the test knew that it is the server that it started.
        .filter(|line| !line.contains("token"))
        .filter_map(|line| line.rsplit_once('#')?.1.split_once('.'))
        .map(|(connection, _)| connection)
        .collect();
    assert_eq!(connections.len(), 8, "{log}");
    assert!(
        connections[..4].iter().all(|it| *it == connections[0]),
        "{log}"
    );
    assert!(
        connections[4..].iter().all(|it| *it == connections[4]),
        "{log}"
    );
    assert_ne!(connections[0], connections[4], "{log}");
    // What wasn't read to its end is in the way of what follows.
    let attempts = format!(
        "send GET http {address} /1m.bin leave then send GET http {address} /page.html count"
    );
    let finished = run(&allow, &attempts);
    assert_eq!(lines(&finished), ["ok 200", "ok 200 268 bytes"]);
    let log = nginx.access_log();
    let last: Vec<&str> = log.lines().rev().take(2).collect();
    assert!(last.iter().all(|line| line.ends_with(".1")), "{log}");
}

#[test]
fn a_connection_that_its_server_has_closed_is_not_used_again() {
    let peer = RawPeer::answering(OK);
    let address = peer.address().to_string();
    let attempts = [(); 5].map(|()| format!("send GET http {address} /"));
    let finished = run(&["--allow-connect", &address], &attempts.join(" then "));
    assert_eq!(lines(&finished), ["ok 200 page"; 5]);
    assert_eq!(peer.connections(), 5);
}

#[test]
fn the_limits_of_sockets_hold() {
    let peer = RawPeer::answering(OK);
    let address = peer.address().to_string();
    let one = format!("send GET http {address} /");
    let large = RawPeer::answering(format!(
        "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n{}",
        "x".repeat(100_000)
    ));
    let post = format!("send POST http {address} / body={}", "x".repeat(2000));
    let get_large = format!("send GET http {} / count", large.address());
    for (flags, attempts, expected) in [
        (
            ["--max-sockets", "0"],
            &one,
            &["ConnectionLimitReached at response"][..],
        ),
        (
            ["--max-connects-per-second", "1"],
            &format!("{one} then {one}"),
            &["ok 200 page", "ConnectionLimitReached at response"],
        ),
        (["--max-sent", "1000"], &post, &[""]),
        (
            ["--max-received", "50000"],
            &get_large,
            &["HttpResponseBodySize(None) at body"],
        ),
    ] {
        let allow = ["--allow-connect", "127.0.0.1", flags[0], flags[1]];
        let finished = run(&allow, attempts);
        let found = lines(&finished);
        match expected {
            // Whether it is the write or the response that tells it first.
            [""] => assert!(
                !found[0].starts_with("ok")
                    && finished.stderr().contains("(--max-sent sets the limit)"),
                "{found:?}"
            ),
            expected => assert_eq!(found, expected, "{flags:?}"),
        }
    }
}

#[test]
fn one_socket_is_enough_for_one_request_at_a_time() {
    let nginx = Nginx::start();
    let other = RawPeer::answering(OK);
    let attempts = format!(
        "send GET http {0} /page.html count then send GET http {1} / then send GET http {0} /page.html count",
        nginx.address(),
        other.address()
    );
    let finished = run(
        &["--allow-connect", "127.0.0.1", "--max-sockets", "1"],
        &attempts,
    );
    assert_eq!(
        lines(&finished),
        ["ok 200 268 bytes", "ok 200 page", "ok 200 268 bytes"]
    );
}

#[test]
fn broken_responses_are_told_as_what_they_are() {
    for (answer, expected) in [
        ("", "HttpResponseIncomplete at response"),
        ("HTTP/1.1 200", "HttpResponseIncomplete at response"),
        ("nonsense\r\n\r\n", "HttpProtocolError at response"),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\npage!",
            "HttpProtocolError at response",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
            "HttpProtocolError at response",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\npage",
            "HttpResponseIncomplete at body",
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npage\r\n",
            "HttpResponseIncomplete at body",
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\npage\r\n",
            "HttpProtocolError at body",
        ),
        ("HTTP/1.1 200 OK\r\n\r\npage", "ok 200 page"),
        ("HTTP/1.1 204 No Content\r\n\r\n", "ok 204"),
    ] {
        let peer = RawPeer::answering(answer);
        let address = peer.address().to_string();
        let attempt = format!("send GET http {address} /");
        let finished = run(&["--allow-connect", &address], &attempt);
        assert_eq!(lines(&finished), [expected], "{answer:?}");
    }
    let peer = RawPeer::answering(format!(
        "HTTP/1.1 200 OK\r\nX: {}\r\n\r\n",
        "x".repeat(100_000)
    ));
    let address = peer.address().to_string();
    let finished = run(
        &["--allow-connect", &address],
        &format!("send GET http {address} /"),
    );
    assert_eq!(
        lines(&finished),
        ["HttpResponseHeaderSectionSize(None) at response"]
    );
}

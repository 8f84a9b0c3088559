//! Proxies that fail, and what `sockbox fetch` says of them.

use crate::proxy::{OK, STATIC, fetch, url};
use sockbox_tests::{ConnectProxy, Internet, Program, RawPeer, Refuser};

#[test]
fn a_proxy_that_fails_is_told_of() {
    let page = [&STATIC[..], &["http://a.example/"]].concat();
    let through = |at: &str, more: &[&str]| fetch(&[&page[..], &["-x", at], more].concat());
    let told = |code: u8, at: &str, why: &str| {
        format!("sockbox: ({code}) no connection to a.example through the proxy {at}: {why}\n")
    };
    let refuser = Refuser::new();
    let at = refuser.address().to_string();
    let finished = through(&at, &[]);
    finished.assert_code(7);
    assert_eq!(
        finished.stderr(),
        told(7, &at, "could not connect to it: connection refused")
    );
    for (answer, why) in [
        (
            String::new(),
            "it closed the connection without a complete answer",
        ),
        (
            "HTTP/1.1 200".to_owned(),
            "it closed the connection without a complete answer",
        ),
        ("SSH-2.0-x\r\n\r\n".to_owned(), "its answer is not HTTP/1"),
        (
            format!("HTTP/1.1 200 OK\r\nA: {}", "x".repeat(200_000)),
            "the head of its answer has more than 16384 bytes",
        ),
        (
            "HTTP/1.1 100 Continue\r\n\r\n".repeat(2000),
            "the head of its answer has more than 16384 bytes",
        ),
        (
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 403 No\r\nContent-Length: 3\r\n\r\nabc"
                .to_owned(),
            "it answered 403",
        ),
        (
            "HTTP/1.1 502 Bad\r\n\r\nHTTP/1.1 200 OK\r\n\r\n".to_owned(),
            "it answered 502",
        ),
    ] {
        let broken = RawPeer::answering(answer);
        let at = broken.address().to_string();
        let finished = through(&at, &[]);
        finished.assert_code(56).assert_stdout(b"");
        assert_eq!(finished.stderr(), told(56, &at, why));
        assert_eq!(broken.connections(), 1);
    }
    let reset = RawPeer::start(|peer| {
        peer.read_request()?;
        peer.reset_at_end()
    });
    let finished = through(&reset.address().to_string(), &[]);
    finished.assert_failure(56, &["the connection to it broke: ConnectionReset"]);
    // The bytes behind the head are those of the server.
    let early = RawPeer::start(|peer| {
        peer.read_request()?;
        peer.send(format!("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n{OK}"))?;
        peer.wait_for_close()
    });
    let finished = through(&early.address().to_string(), &[]);
    finished.assert_quiet_success().assert_stdout(b"hello");
    // The time for connecting counts for the proxy, too.
    let silent = RawPeer::start(|peer| {
        peer.read_request()?;
        peer.wait_for_close()
    });
    let at = silent.address().to_string();
    through(&at, &["--connect-timeout", "0.1"]).assert_failure(28, &["connecting"]);
    through(&at, &["-m", "0.1"]).assert_code(28);
    // So do the bytes that the run may receive.
    let long = RawPeer::answering(format!("HTTP/1.1 200 OK\r\nA: {}", "x".repeat(1000)));
    let finished = through(&long.address().to_string(), &["--max-received", "100"]);
    finished.assert_failure(63, &["--max-received sets the limit"]);
}

#[test]
fn a_proxy_without_an_address_is_told_of() {
    let Some(internet) = Internet::new() else {
        return;
    };
    let internet = internet.name("a.example", &[&[Internet::PUBLIC_V4]]);
    let program = Program::sockbox([
        "fetch",
        "-x",
        "http://proxy.example:80",
        "http://a.example/",
    ]);
    let (finished, seen) = internet.run(program);
    finished.assert_failure(
        5,
        &["no connection to a.example through the proxy proxy.example:80: its name could not be resolved"],
    );
    seen.assert(&["a.example", "proxy.example"], &[]);
    let program = Program::sockbox(["fetch", "-x", "http://1.2.3.4:80", "http://b.example/"]);
    let (finished, _) = internet.run(program);
    finished.assert_failure(
        6,
        &[
            "could not resolve host: b.example",
            "(--allow-proxy-resolve lets the proxy resolve it)",
        ],
    );
}

#[test]
fn the_next_address_is_tried_when_the_proxy_cannot_reach_one() {
    let plain = RawPeer::answering(OK);
    let proxy = ConnectProxy::start([("192.0.2.2:80", plain.address())]);
    let at = url(&proxy);
    let finished = fetch(&[
        "-x",
        &at,
        "--resolve",
        "a.example:192.0.2.1,192.0.2.2",
        "http://a.example/",
    ]);
    finished.assert_quiet_success().assert_stdout(b"hello");
    assert_eq!(proxy.asked(), ["192.0.2.1:80", "192.0.2.2:80"]);
}

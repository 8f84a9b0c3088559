//! What reaches a handler, and what reaches the client.

use super::HANDLER;
use crate::client::{Response, exchange, got, request, unchunked};
use sockbox_tests::{HelloClient, Program, pattern};
use std::fs;

#[test]
fn curl_gets_what_the_component_says() {
    let server = HANDLER.serve(&[]);
    let address = server.address();
    let url = |path: &str| format!("http://{address}{path}");
    let curl = |args: &[&str]| Program::curl(args.iter().copied()).run();
    let hello = curl(&["-i", &url("/hello?secret=1")]);
    hello.assert_code(0);
    let text = hello.stdout_text();
    assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "{text}");
    assert!(text.contains("\r\ncontent-type: text/plain\r\n"), "{text}");
    assert!(text.ends_with("\r\n\r\nHello, world!\n"), "{text}");
    for (status, expected) in [
        ("201", "status 201\n"),
        ("404", "status 404\n"),
        ("599", "status 599\n"),
        ("204", ""),
        ("304", ""),
    ] {
        let found = curl(&["-w", "%{http_code}", &url(&format!("/status/{status}"))]);
        assert_eq!(found.stdout_text(), format!("{expected}{status}"));
    }
    let log = server.wait_for_log(&["GET /hello: 200, 0 bytes received, 14 sent"]);
    assert!(!log.contains("secret"), "{log}");
    let finished = server.terminate();
    finished.assert_code(0);
    assert!(
        finished
            .stdout_text()
            .contains("served 6 connections, 0 refused, 6 requests, 0 failed"),
        "{}",
        finished.stdout_text()
    );
}

#[test]
fn the_component_gets_the_request() {
    let server = HANDLER.serve(&[]);
    let address = server.address();
    let more =
        "X-Own: 1\r\nx-own: 2\r\nTE: trailers\r\nKeep-Alive: 1\r\nUpgrade: h2c\r\nExpect: x\r\n";
    let response = exchange(address, request("PURGE", "/request?a=b", more));
    let body = unchunked(&Response::parse(&response).body);
    // The headers that belong to the connection are the host's. The authority is passed on in another way.
    let mut lines: Vec<_> = body.lines().collect();
    assert_eq!(
        lines.remove(0),
        "Method::Other(\"PURGE\") Some(Scheme::Http) a.example /request?a=b"
    );
    lines.sort_unstable();
    assert_eq!(lines, ["expect: x", "te: trailers", "x-own: 1", "x-own: 2"]);
    // HTTP/1.0 knows no Host header, and no chunked body.
    let response = exchange(address, "GET /request HTTP/1.0\r\n\r\n");
    let response = Response::parse(&response);
    assert_eq!(response.header("transfer-encoding"), None);
    assert_eq!(
        response.body,
        format!("Method::Get Some(Scheme::Http) {address} /request\n")
    );
    // The target's authority counts, and not the header's.
    let absolute =
        "GET http://b.example/request HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n";
    let response = Response::parse(&exchange(address, absolute));
    assert!(
        unchunked(&response.body)
            .starts_with("Method::Get Some(Scheme::Http) b.example /request\n"),
        "{response:?}"
    );
}

#[test]
fn bodies_are_streamed_both_ways_in_little_memory() {
    let server = HANDLER.serve(&["--max-memory", "4M"]);
    let address = server.address();
    let folder = tempfile::tempdir().unwrap();
    let (sent, received) = (folder.path().join("sent"), folder.path().join("received"));
    fs::write(&sent, pattern(10_000_000)).unwrap();
    for chunked in [false, true] {
        let mut args = vec![
            "-T".to_owned(),
            sent.to_str().unwrap().to_owned(),
            "-o".to_owned(),
            received.to_str().unwrap().to_owned(),
        ];
        if chunked {
            args.extend(["-H".to_owned(), "Transfer-Encoding: chunked".to_owned()]);
        }
        args.push(format!("http://{address}/echo"));
        Program::curl(args).run().assert_code(0);
        assert!(
            fs::read(&received).unwrap() == pattern(10_000_000),
            "{chunked}"
        );
    }
    server.wait_for_log(&["PUT /echo: 200, 10000000 bytes received, 10000000 sent"]);
    assert_eq!(got(address, "/bytes/5000000").1.len(), 5_000_000);
}

#[test]
fn trailers_pass_in_both_directions() {
    let server = HANDLER.serve(&[]);
    let address = server.address();
    let more = "Transfer-Encoding: chunked\r\nTrailer: X-Sum\r\n";
    let body = "3\r\nabc\r\n0\r\nX-Sum: 5\r\n\r\n";
    let response = exchange(address, request("POST", "/size", more) + body);
    assert_eq!(
        unchunked(&Response::parse(&response).body),
        "3 bytes x-sum:5\n"
    );
    let response = exchange(address, request("GET", "/trailers", "TE: trailers\r\n"));
    let response = Response::parse(&response);
    assert_eq!(response.header("trailer"), Some("x-sum"));
    assert_eq!(response.body, "5\r\nbody\n\r\n0\r\nx-sum: 5\r\n\r\n");
    server.wait_for_log(&["GET /trailers: 200, 0 bytes received, 5 sent"]);
}

#[test]
fn head_has_no_body_and_the_component_may_write_one() {
    let server = HANDLER.serve(&[]);
    let address = server.address();
    for path in ["/hello", "/bytes/100000", "/length/5"] {
        let response = exchange(address, request("HEAD", path, ""));
        let response = Response::parse(&response);
        assert_eq!(
            (response.status, response.body.as_str()),
            (200, ""),
            "{path}"
        );
        let length = (path == "/length/5").then_some("5");
        assert_eq!(response.header("content-length"), length, "{path}");
        server.wait_for_log(&[&format!("HEAD {path}: 200, 0 bytes received, 0 sent")]);
    }
    assert_eq!(server.count_in_log(&["failed"]), 0);
}

#[test]
fn a_client_that_expects_continue_is_told_when_the_body_is_read() {
    let server = HANDLER.serve(&[]);
    let more = "Expect: 100-continue\r\nContent-Length: 3\r\n";
    let mut client = HelloClient::connect(server.address());
    client
        .send(request("POST", "/size", more))
        .expect("HTTP/1.1 100 Continue\r\n\r\n")
        .send("abc");
    let response = Response::parse(&client.read_to_end());
    assert_eq!(unchunked(&response.body), "3 bytes\n");
    // A component that does not read the body does not ask for it.
    let response = exchange(server.address(), request("POST", "/hello", more));
    assert_eq!(Response::parse(&response).status, 200);
}

#[test]
fn requests_on_one_connection_are_answered_in_order() {
    let server = HANDLER.serve(&[]);
    let one = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
    let requests = one("/sleep/100") + &one("/count") + &request("GET", "/hello", "");
    let received = exchange(server.address(), requests);
    let text = String::from_utf8_lossy(&received);
    let places: Vec<_> = ["slept\n", "1\n", "Hello, world!\n"]
        .iter()
        .map(|body| {
            text.find(&format!("\r\n{body}"))
                .unwrap_or_else(|| panic!("{text}"))
        })
        .collect();
    assert!(places.is_sorted(), "{text}");
}

#[test]
fn each_request_has_an_instance_of_its_own_unless_it_is_reused() {
    let server = HANDLER.serve(&[]);
    let counts =
        |address, times| -> Vec<String> { (0..times).map(|_| got(address, "/count").1).collect() };
    assert_eq!(counts(server.address(), 3), ["1\n", "1\n", "1\n"]);
    // A request waits until the call before it is over, which may be after its response.
    let one_by_one = ["--max-requests", "1", "--queue-timeout", "60"];
    let flags = [&["--max-instance-reuse", "3"][..], &one_by_one].concat();
    let server = HANDLER.serve(&flags);
    let address = server.address();
    assert_eq!(counts(address, 5), ["1\n", "2\n", "3\n", "1\n", "2\n"]);
    // One that has failed is not used again.
    assert_eq!(got(address, "/trap").0, 500);
    assert_eq!(counts(address, 1), ["1\n"]);
}

#[test]
fn many_at_once_are_served() {
    let server = HANDLER.serve(&[]);
    let address = server.address();
    let clients: Vec<_> = (0..200)
        .map(|_| {
            let mut client = HelloClient::connect(address);
            client.send(request("GET", "/sleep/300", ""));
            client
        })
        .collect();
    for mut client in clients {
        let response = Response::parse(&client.read_to_end());
        assert_eq!(unchunked(&response.body), "slept\n");
    }
}

//! Limits on requests, connections and what is handled at once.

use super::HANDLER;
use crate::client::{Response, exchange, got, request, unchunked};
use sockbox_tests::{HelloClient, eventually};
use std::time::{Duration, Instant};

#[test]
fn the_body_of_a_request_has_a_limit() {
    let server = HANDLER.serve(&["--max-request-body", "1000"]);
    let address = server.address();
    let sized = |size: usize| {
        let head = request("POST", "/size", &format!("Content-Length: {size}\r\n"));
        head + &"x".repeat(size)
    };
    let chunked = |size: usize| {
        let head = request("POST", "/size", "Transfer-Encoding: chunked\r\n");
        head + &format!("{size:x}\r\n{}\r\n0\r\n\r\n", "x".repeat(size))
    };
    for bytes in [sized(1000), chunked(1000)] {
        let response = Response::parse(&exchange(address, bytes));
        assert_eq!(unchunked(&response.body), "1000 bytes\n");
    }
    let response = Response::parse(&exchange(address, sized(1001)));
    assert_eq!(
        (response.status, response.body.as_str()),
        (413, "413 Payload Too Large\n")
    );
    assert_eq!(response.header("connection"), Some("close"));
    // Nothing was run for it.
    server.wait_for_log(&[
        "POST /size: 413, the request's body is larger than 1000 bytes, 0 bytes received",
    ]);
    // A body of unknown length is found out while the component reads it, and this one responds with the error.
    let response = Response::parse(&exchange(address, chunked(1001)));
    assert_eq!(response.status, 200);
    assert_eq!(
        unchunked(&response.body),
        "Some(ErrorCode::HttpRequestBodySize(Some(1000))) after 0 bytes\n"
    );
    // One that sets no response leaves it to the server.
    let strict = chunked(1001).replace("/size", "/strict");
    assert_eq!(Response::parse(&exchange(address, strict)).status, 413);
    server.wait_for_log(&["POST /strict: 413, the request's body is larger than 1000 bytes"]);

    let server = HANDLER.serve(&["--max-request-body", "none"]);
    let huge = 20_000_000;
    let response = Response::parse(&exchange(server.address(), sized(huge)));
    assert_eq!(unchunked(&response.body), format!("{huge} bytes\n"));
}

#[test]
fn a_huge_body_that_is_not_read_leaves_the_client_its_response() {
    let server = HANDLER.serve(&["--max-request-body", "none"]);
    let mut client = HelloClient::connect(server.address());
    client.send(request("POST", "/hello", "Content-Length: 1000000000\r\n"));
    client.send("x".repeat(200_000));
    let response = Response::parse(&client.read_to_end());
    assert_eq!(response.status, 200);
    assert_eq!(unchunked(&response.body), "Hello, world!\n");
}

#[test]
fn the_head_of_a_request_has_a_limit() {
    let server = HANDLER.serve(&["--max-request-head", "8K"]);
    let address = server.address();
    let with = |bytes: usize| request("GET", "/hello", &format!("X: {}\r\n", "x".repeat(bytes)));
    let base = with(0).len();
    let response = Response::parse(&exchange(address, with(8192 - base)));
    assert_eq!(response.status, 200);
    let many = request("GET", "/hello", &"a: b\r\n".repeat(200));
    let endless = "GET /hello HTTP/1.1\r\n".to_owned() + &"a: b\r\n".repeat(100_000);
    for bytes in [with(8193 - base), many, endless] {
        let mut client = HelloClient::connect(address);
        client.send(bytes);
        assert_eq!(Response::parse(&client.read_to_end()).status, 431);
    }
    server.wait_for_log(&["the head of the request is too large"]);
    assert_eq!(got(address, "/hello").0, 200);
}

#[test]
fn slow_clients_are_closed() {
    let flags = ["--header-timeout", "0.5", "--body-timeout", "0.5"];
    let server = HANDLER.serve(&flags);
    let address = server.address();
    // A part of a head.
    let mut client = HelloClient::connect(address);
    client.send("GET /hello HTTP/1.1\r\nHost: a");
    client.wait_for_any_end();
    server.wait_for_log(&["the head of the request did not arrive in time"]);
    // Nothing at all, and nothing after a request: that is no problem to report.
    let before = server.count_in_log(&["in time"]);
    HelloClient::connect(address).wait_for_any_end();
    let mut client = HelloClient::connect(address);
    client.send("GET /status/204 HTTP/1.1\r\nHost: a\r\n\r\n");
    let response = Response::parse(&client.read_to_end());
    assert_eq!(response.status, 204);
    assert_eq!(server.count_in_log(&["in time"]), before);
    // A part of a body.
    let part = request("POST", "/size", "Content-Length: 10\r\n") + "abc";
    let response = Response::parse(&exchange(address, part));
    assert_eq!(
        unchunked(&response.body),
        "Some(ErrorCode::ConnectionReadTimeout) after 3 bytes\n"
    );
    let part = request("POST", "/strict", "Content-Length: 10\r\n") + "abc";
    assert_eq!(Response::parse(&exchange(address, part)).status, 408);
}

#[test]
fn a_client_that_does_not_read_is_closed() {
    let server = HANDLER.serve(&["--write-timeout", "0.5"]);
    let mut client = HelloClient::connect(server.address());
    client.send(request("GET", "/endless", ""));
    server.wait_for_log(&["GET /endless: 200, the client did not take the response in time"]);
    client.wait_for_any_end();
    eventually("the instance to be gone", || {
        server.statistics().contains(" 0 under way").then_some(())
    });
}

#[test]
fn requests_wait_for_their_turn_and_then_are_refused() {
    let flags = ["--max-requests", "1", "--queue-timeout", "0.3"];
    let server = HANDLER.serve(&flags);
    let address = server.address();
    let mut first = HelloClient::connect(address);
    first.send(request("GET", "/sleep/1000000", ""));
    eventually("the first request to be under way", || {
        server.statistics().contains(" 1 under way").then_some(())
    });
    let response = Response::parse(&exchange(address, request("GET", "/hello", "")));
    assert_eq!(response.status, 503);
    assert_eq!(response.header("retry-after"), Some("1"));
    server.wait_for_log(&["GET /hello: 503, too many requests are being handled"]);
    drop(first);
    eventually("the first request to be over", || {
        server.statistics().contains(" 0 under way").then_some(())
    });
    assert_eq!(got(address, "/hello").0, 200);

    // Within their time they all get their turn.
    let server = HANDLER.serve(&["--max-requests", "2"]);
    let mut clients: Vec<_> = (0..10)
        .map(|_| {
            let mut client = HelloClient::connect(server.address());
            client.send(request("GET", "/sleep/20", ""));
            client
        })
        .collect();
    for client in &mut clients {
        assert_eq!(Response::parse(&client.read_to_end()).status, 200);
    }
}

#[test]
fn connections_have_a_limit_in_all_and_for_each_address() {
    let server = HANDLER.serve(&["--max-connections", "1"]);
    let address = server.address();
    let first = HelloClient::connect(address);
    eventually("the first connection to be open", || {
        server.statistics().contains(" 1 open").then_some(())
    });
    let mut second = HelloClient::connect(address);
    second.send(request("GET", "/hello", ""));
    second.expect_silence(Duration::from_millis(200));
    drop(first);
    assert_eq!(Response::parse(&second.read_to_end()).status, 200);

    let server = HANDLER.serve(&["--max-per-peer", "1"]);
    let address = server.address();
    let first = HelloClient::connect(address);
    eventually("the first connection to be open", || {
        server.statistics().contains(" 1 open").then_some(())
    });
    let response = Response::parse(&exchange(address, request("GET", "/hello", "")));
    assert_eq!(
        (response.status, response.body.as_str()),
        (429, "429 Too Many Requests\n")
    );
    server.wait_for_log(&["refused: ", "too many connections from this address"]);
    let mut other = HelloClient::connect_from("127.0.0.2", address);
    other.send(request("GET", "/hello", ""));
    assert_eq!(Response::parse(&other.read_to_end()).status, 200);
    drop(first);
}

#[test]
fn clients_are_accepted_at_the_rate_that_is_set() {
    let server = HANDLER.serve(&["--max-accepts-per-second", "2"]);
    let start = Instant::now();
    for _ in 0..4 {
        assert_eq!(got(server.address(), "/hello").0, 200);
    }
    // Two at once, and then one each half second.
    assert!(start.elapsed() >= Duration::from_millis(900));
}

//! Components that fail, and those that go past their limits. The others go on.

use super::HANDLER;
use crate::client::{Response, exchange, get, got, request};
use sockbox_tests::{HelloClient, Serving, eventually};

/// The server still handles requests.
#[track_caller]
fn assert_serves(server: &Serving) {
    assert_eq!(got(server.address(), "/hello").1, "Hello, world!\n");
}

#[test]
fn a_failure_is_a_response_that_does_not_say_why_and_a_line_that_does() {
    let server = HANDLER.serve(&["--max-memory", "16M"]);
    for (path, status, reason, body) in [
        (
            "/trap",
            500,
            "the component trapped: it aborted",
            "500 Internal Server Error\n",
        ),
        (
            "/exit",
            500,
            "the component trapped: it exited with code",
            "500 Internal Server Error\n",
        ),
        (
            "/memory",
            500,
            "the component needs more memory than its limit of 16777216 bytes",
            "500 Internal Server Error\n",
        ),
        (
            "/code",
            502,
            "the component set the error code ConnectionRefused",
            "502 Bad Gateway\n",
        ),
        (
            "/status/101",
            502,
            "the component responded with the status 101, which is not final",
            "502 Bad Gateway\n",
        ),
    ] {
        let response = get(server.address(), path);
        assert_eq!(
            (response.status, response.body.as_str()),
            (status, body),
            "{path}"
        );
        server.wait_for_log(&[&format!("GET {path}: {status}, {reason}")]);
        assert_serves(&server);
    }
}

#[test]
fn a_component_that_computes_or_waits_without_end_is_ended_and_the_others_go_on() {
    let server = HANDLER.serve(&["--max-cpu-time", "0.5", "--max-wall-time", "20"]);
    let address = server.address();
    let mut loops: Vec<_> = (0..4)
        .map(|_| {
            let mut client = HelloClient::connect(address);
            client.send(request("GET", "/loop", ""));
            client
        })
        .collect();
    assert_serves(&server);
    for client in &mut loops {
        assert_eq!(Response::parse(&client.read_to_end()).status, 504);
    }
    server.wait_for_log(&[
        "GET /loop: 504, the component used more CPU time than its limit of 500ms",
    ]);
    // The time counts for each request, and not for the server.
    assert_serves(&server);

    let server = HANDLER.serve(&["--max-wall-time", "0.3", "--max-instance-reuse", "10"]);
    for _ in 0..3 {
        assert_serves(&server);
        assert_eq!(get(server.address(), "/sleep/100000").status, 504);
    }
    server.wait_for_log(&["GET /sleep/100000: 504, the run took longer than its limit of 300ms"]);
}

#[test]
fn a_response_that_is_cut_short_does_not_look_complete() {
    let server = HANDLER.serve(&["--max-wall-time", "2"]);
    for (path, reason) in [
        ("/trap-late", "the component trapped: it aborted"),
        (
            "/abort",
            "the component did not finish the body of its response",
        ),
        (
            "/length/6",
            "the component did not finish the body of its response",
        ),
        ("/endless", "the run took longer than its limit of 2s"),
    ] {
        let received = exchange(server.address(), request("GET", path, ""));
        let response = Response::parse(&received);
        assert_eq!(response.status, 200, "{path}");
        match response.header("content-length") {
            // 6 bytes are announced.
            Some("6") => assert_eq!(response.body, "12345"),
            // The last chunk is missing.
            _ => assert!(!response.body.ends_with("0\r\n\r\n"), "{path}"),
        }
        server.wait_for_log(&[&format!("GET {path}: 200, {reason}")]);
    }
    assert_serves(&server);
}

#[test]
fn a_component_may_work_on_after_its_response() {
    let server = HANDLER.serve(&[]);
    let address = server.address();
    assert_eq!(got(address, "/sleep-after/300").1, "sleeping\n");
    server
        .process()
        .wait_for_stdout("the end of the work", |stdout| {
            stdout.contains("slept\n").then_some(())
        });
    assert_eq!(got(address, "/trap-after").1, "complete\n");
    server.wait_for_log(&["failed after its response: the component trapped: it aborted"]);
    server.wait_for_log(&["GET /trap-after: 200, 0 bytes received"]);
}

#[test]
fn a_client_that_leaves_ends_its_instance() {
    // The next request can be handled only when the instance of the one before has gone.
    let server = HANDLER.serve(&["--max-requests", "1", "--queue-timeout", "60"]);
    let address = server.address();
    let part = request("POST", "/size", "Content-Length: 1000\r\n") + "abc";
    let unread = request("POST", "/sleep/1000000", "Content-Length: 3\r\n") + "abc";
    let left = ": the client closed the connection";
    for (ends, bytes) in [
        (["/loop", left], request("GET", "/loop", "")),
        (
            ["/sleep/1000000", left],
            request("GET", "/sleep/1000000", ""),
        ),
        // The component sees the end of the body, and responds.
        (["/size", "3 bytes received"], part),
        // hyper does not see the end behind a body that nothing reads.
        (["/sleep/1000000", left], unread),
    ] {
        let before = server.count_in_log(&ends);
        let mut client = HelloClient::connect(address);
        client.send(bytes);
        eventually("the request to be under way", || {
            server.statistics().contains(" 1 under way").then_some(())
        });
        drop(client);
        eventually("the request to be over", || {
            (server.count_in_log(&ends) > before).then_some(())
        });
        assert_serves(&server);
    }
    let mut client = HelloClient::connect(address);
    client
        .send(request("GET", "/endless", ""))
        .expect("HTTP/1.1 200 OK\r\n");
    drop(client);
    server.wait_for_log(&["GET /endless: 200, the client closed the connection"]);
    assert_serves(&server);
}

#[test]
fn what_it_prints_is_printed_in_whole_lines() {
    let server = HANDLER.serve(&[]);
    assert_eq!(got(server.address(), "/print").1, "printed\n");
    server.wait_for_log(&["printed on standard error"]);
    let finished = server.terminate();
    let stdout = finished.stdout_text();
    assert!(
        stdout
            .lines()
            .any(|line| line == "printed on standard output"),
        "{stdout}"
    );
}

//! What only handlers for WASI 0.3 can do.

use crate::client::{Response, exchange, got, request};
use sockbox_tests::{Foreign, HelloClient, Program, eventually, pattern};
use std::fs;

const HANDLER: Foreign = Foreign::HandlerOn0_3;

#[test]
fn a_stream_of_the_host_can_be_the_body_of_the_response() {
    let folder = tempfile::tempdir().unwrap();
    let (sent, received) = (folder.path().join("sent"), folder.path().join("received"));
    fs::write(&sent, pattern(3_000_000)).unwrap();
    let origin = Foreign::Handler.serve(&[]);
    let origin = origin.address();
    let rule = format!("GET http://{origin}/*");
    let dir = format!("{}:ro", folder.path().to_str().unwrap());
    // The stream outlives the task of the component that has passed it on.
    for reuse in ["1", "10"] {
        let server = HANDLER.serve(&[
            "--allow-http",
            &rule,
            "--dir",
            &dir,
            "--max-instance-reuse",
            reuse,
            // A request waits until the call before it is over.
            "--max-requests",
            "1",
            "--queue-timeout",
            "60",
        ]);
        let address = server.address();
        let curl = |args: &[&str]| {
            Program::curl(["-o", received.to_str().unwrap()])
                .args(args)
                .run()
                .assert_code(0);
            fs::read(&received).unwrap()
        };
        let sent = sent.to_str().unwrap();
        let passed = curl(&["-T", sent, &format!("http://{address}/pass")]);
        assert!(passed == pattern(3_000_000), "{} bytes", passed.len());
        let filed = curl(&[&format!("http://{address}/file?sent")]);
        assert!(filed == pattern(3_000_000), "{} bytes", filed.len());
        let url = format!("http://{address}/forward?{origin}/bytes/3000000");
        assert_eq!(curl(&[&url]).len(), 3_000_000);
        let url = format!("/forward?{origin}/status/404");
        assert_eq!(got(address, &url), (404, "status 404\n".to_owned()));
        // An instance is used again only when the body is sent.
        let is_new = got(address, "/count").1 == "1\n";
        assert_eq!(is_new, reuse == "1");
    }
}

#[test]
fn trailers_pass_with_a_stream_of_the_host() {
    let server = HANDLER.serve(&[]);
    let more = "Transfer-Encoding: chunked\r\nTrailer: X-Sum\r\nTE: trailers\r\n";
    let body = "3\r\nabc\r\n0\r\nX-Sum: 5\r\n\r\n";
    let response = exchange(server.address(), request("POST", "/pass", more) + body);
    assert_eq!(
        Response::parse(&response).body,
        "3\r\nabc\r\n0\r\nx-sum: 5\r\n\r\n"
    );
}

#[test]
fn a_body_of_the_client_that_is_cut_short_is_not_passed_on_as_complete() {
    let server = HANDLER.serve(&["--body-timeout", "0.5"]);
    for path in ["/pass", "/echo"] {
        let part = request("POST", path, "Content-Length: 10\r\n") + "abc";
        let response = Response::parse(&exchange(server.address(), part));
        assert_eq!(response.status, 200, "{path}");
        assert!(response.body.contains("abc"), "{path}: {response:?}");
        assert!(!response.body.ends_with("0\r\n\r\n"), "{path}");
        server.wait_for_log(&[&format!(
            "POST {path}: 200, the component did not finish the body of its response"
        )]);
    }
}

#[test]
fn the_component_is_told_that_its_response_was_sent() {
    let server = HANDLER.serve(&[]);
    let address = server.address();
    for method in ["GET", "HEAD"] {
        let before = server.process().stdout().matches("sent: Ok(())").count();
        let response = exchange(address, request(method, "/sent", ""));
        assert_eq!(Response::parse(&response).status, 200);
        server
            .process()
            .wait_for_stdout("the result of sending", |stdout| {
                (stdout.matches("sent: Ok(())").count() > before).then_some(())
            });
    }
}

#[test]
fn a_body_that_never_ends_is_ended_by_the_limit_or_by_the_client() {
    let server = HANDLER.serve(&["--max-wall-time", "0.5"]);
    let response = exchange(server.address(), request("GET", "/never", ""));
    let response = Response::parse(&response);
    assert_eq!(
        (response.status, response.body.as_str()),
        (200, "6\r\nbegun\n\r\n")
    );
    server.wait_for_log(&["GET /never: 200, the run took longer than its limit of 500ms"]);

    let server = HANDLER.serve(&["--max-requests", "1", "--queue-timeout", "60"]);
    let mut client = HelloClient::connect(server.address());
    client
        .send(request("GET", "/never", ""))
        .expect("HTTP/1.1 200 OK\r\n");
    drop(client);
    server.wait_for_log(&["GET /never: 200, the client closed the connection"]);
    eventually("the instance to be gone", || {
        server.statistics().contains(" 0 under way").then_some(())
    });
    assert_eq!(got(server.address(), "/hello").0, 200);
}

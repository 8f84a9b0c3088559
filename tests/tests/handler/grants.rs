//! What a handler may reach, and what is recorded of it.

use super::HANDLER;
use crate::client::got;
use sockbox_tests::{Json, Program, RawPeer, Tripwire};
use std::fs;
use std::io::Read;
use std::net::TcpStream;

#[test]
fn a_handler_reaches_what_is_granted_and_nothing_else() {
    let tripwire = Tripwire::new();
    let server = HANDLER.serve(&[]);
    let address = server.address();
    let target = tripwire.address();
    let denied = got(address, &format!("/fetch?{target}/x"));
    assert_eq!(denied.1, "ErrorCode::HttpRequestDenied\n");
    assert_eq!(
        got(address, &format!("/connect?{target}")).1,
        "PermissionDenied\n"
    );
    // Its own server is no exception.
    assert_eq!(
        got(address, &format!("/connect?{address}")).1,
        "PermissionDenied\n"
    );
    server.wait_for_log(&[&format!(
        "denied: send GET http://{target}/x: no rule grants it (--allow-http 'GET http://{target}/x' would)"
    )]);
    server.wait_for_log(&[&format!("denied: connect to {target}")]);
    tripwire.assert_untouched();

    let other = HANDLER.serve(&[]);
    let rule = format!("GET http://{}/hello", other.address());
    let server = HANDLER.serve(&["--allow-http", &rule]);
    let address = server.address();
    let fetch = |path: &str| got(address, &format!("/fetch?{}{path}", other.address())).1;
    assert_eq!(fetch("/hello"), "200\n");
    assert_eq!(fetch("/status/404"), "ErrorCode::HttpRequestDenied\n");
}

#[test]
fn the_policy_decides_which_clients_are_accepted() {
    let server = HANDLER.serve(&["--deny-accept", "127.0.0.0/8"]);
    let mut client = TcpStream::connect(server.address()).unwrap();
    let mut received = Vec::new();
    // The connection is reset, before or after the read begins.
    let _ = client.read_to_end(&mut received);
    assert!(received.is_empty());
    server.wait_for_log(&["refused: 127.0.0.1:", "denied by the policy"]);
    let server = HANDLER.serve(&["--allow-accept", "127.0.0.0/8"]);
    assert_eq!(got(server.address(), "/hello").0, 200);
}

#[test]
fn the_record_has_each_request_and_what_its_instance_did() {
    let folder = tempfile::tempdir().unwrap();
    let record = folder.path().join("audit.jsonl");
    let flags = ["--audit", record.to_str().unwrap()];
    let server = HANDLER.serve(&flags);
    let address = server.address();
    got(address, "/hello?secret=1");
    got(address, "/connect?127.0.0.1:1");
    got(address, "/connect?127.0.0.1:1");
    got(address, "/trap");
    server.terminate().assert_code(0);
    let text = fs::read_to_string(&record).unwrap();
    assert!(!text.contains("secret"), "{text}");
    let lines: Vec<Json> = text.lines().map(Json::parse).collect();
    let requests: Vec<_> = lines
        .iter()
        .filter(|it| it.text("event") == "request")
        .collect();
    let told: Vec<_> = requests
        .iter()
        .map(|it| {
            format!(
                "{} {} {}",
                it.text("method"),
                it.text("path"),
                it.number("status")
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            "GET /hello 200",
            "GET /connect 200",
            "GET /connect 200",
            "GET /trap 500"
        ]
    );
    assert!(requests[0].text("client").starts_with("127.0.0.1:"));
    assert_eq!(requests[0].number("sent"), 14.0);
    assert_eq!(
        requests[3].text("error"),
        "the component trapped: it aborted (wasm `unreachable` instruction executed)"
    );
    // Each instance is a run of its own. A denial has the number of the one that met it first.
    let runs: Vec<_> = requests.iter().map(|it| it.number("run")).collect();
    assert!(runs.windows(2).all(|pair| pair[0] < pair[1]), "{runs:?}");
    let denial = lines
        .iter()
        .find(|it| it.text("event") == "decision" && it.text("verdict") == "denied")
        .unwrap();
    assert_eq!(denial.number("run"), runs[1]);
    assert_eq!(denial.text("target"), "127.0.0.1:1");
    // The rest is the server's: what was counted, the traffic of its clients, and the end, once.
    let server_run = lines.last().unwrap().number("run");
    let of = |event: &str| {
        lines
            .iter()
            .filter(|it| it.text("event") == event)
            .collect::<Vec<_>>()
    };
    assert!(
        of("repeated")
            .iter()
            .any(|it| it.text("of") == "decision" && it.number("count") == 1.0)
    );
    let [traffic] = of("traffic")[..] else {
        panic!("{text}");
    };
    assert_eq!(traffic.text("operation"), "listen");
    assert_eq!(traffic.number("connections"), 4.0);
    assert_eq!(traffic.number("run"), server_run);
    assert_eq!(of("ended").len(), 1);
}

#[test]
fn a_dry_run_tells_what_the_handler_needs() {
    let peer = RawPeer::answering("");
    let server = HANDLER.serve(&["--dry-run"]);
    let target = peer.address();
    assert_eq!(
        got(server.address(), &format!("/connect?{target}")).1,
        "connected\n"
    );
    let finished = server.terminate();
    let stderr = finished.stderr();
    assert!(
        stderr.contains(&format!("  --allow-connect {target}\n")),
        "{stderr}"
    );
    assert!(!stderr.contains("--allow-listen"), "{stderr}");
}

#[test]
fn environment_and_directories_are_given_to_each_instance() {
    let server = HANDLER.serve(&["--env", "A=b", "--dir", "/nonexistent"]);
    assert_eq!(got(server.address(), "/hello").0, 500);
    server.wait_for_log(&["the directory /nonexistent can't be opened"]);
    let finished = HANDLER.server(&["--dir", "/proc"]).run();
    finished.assert_failure(2, &["/proc"]);
    let refused =
        Program::sockbox(["run", "--listen-http", "127.0.0.1:0", "--prompt", "a.wasm"]).run();
    refused.assert_code(2);
    assert!(
        refused.stderr().contains("--prompt"),
        "{}",
        refused.stderr()
    );
}

//! `wasi:http/client` of WASI 0.3, under the same policy, limits and audit as that of WASI 0.2.

use crate::http::{OK, assert_lines};
use sockbox_tests::{Finished, Foreign, RawPeer, Tripwire};
use std::fs;

fn run(flags: &[&str], attempts: &str) -> Finished {
    Foreign::RequestsOn0_3.run(flags, attempts).run()
}

#[test]
fn requests_are_judged_and_sent() {
    let peer = RawPeer::answering(OK);
    let address = peer.address().to_string();
    let grant = format!("GET,POST http://{address}/v1/*");
    let attempts = [
        format!("GET http://{address}/v1/x"),
        format!("POST http://{address}//v1/%7Ex/../y content"),
        format!("PUT http://{address}/v1/x"),
        format!("GET http://{address}/v1/../v2"),
        format!("GET https://{address}/v1/x"),
    ];
    let finished = run(&["--allow-http", &grant], &attempts.join(" then "));
    finished.assert_code(1);
    let denied = "HttpRequestDenied at request";
    assert_lines(
        &finished,
        &["ok 200 page", "ok 200 page", denied, denied, denied],
    );
    let requests = peer.requests();
    assert_eq!(requests.len(), 2, "{requests:?}");
    assert!(
        requests[0].starts_with("GET /v1/x HTTP/1.1\r\n"),
        "{requests:?}"
    );
    assert!(
        requests[1].starts_with("POST /v1/y HTTP/1.1\r\n"),
        "{requests:?}"
    );
    let hint = format!("(--allow-http 'PUT http://{address}/v1/x' would)");
    assert!(finished.stderr().contains(&hint), "{}", finished.stderr());
}

#[test]
fn nothing_arrives_of_what_is_denied() {
    let tripwire = Tripwire::new();
    let address = tripwire.address();
    for flags in [vec![], vec!["--allow-net", "--deny-connect", "127.0.0.0/8"]] {
        let finished = run(&flags, &format!("GET http://{address}/"));
        finished.assert_code(1);
        assert_lines(&finished, &["HttpRequestDenied at request"]);
    }
    tripwire.assert_untouched();
}

#[test]
fn limits_and_the_record() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("audit");
    let peer = RawPeer::answering(OK);
    let address = peer.address().to_string();
    let attempt = format!("GET http://{address}/");
    let flags = [
        "--allow-net",
        "--max-sockets",
        "0",
        "--audit",
        file.to_str().unwrap(),
    ];
    let finished = run(&flags, &attempt);
    finished.assert_code(1);
    assert_lines(&finished, &["ConnectionLimitReached at request"]);
    assert!(finished.stderr().contains("--max-sockets"));
    let flags = ["--allow-net", "--audit", file.to_str().unwrap()];
    run(&flags, &attempt).assert_code(0);
    let record = fs::read_to_string(&file).unwrap();
    let events = record.lines().map(|line| {
        let event: serde_json::Value = serde_json::from_str(line).unwrap();
        event
    });
    let statuses: Vec<_> = events
        .filter(|event| event["event"] == "http")
        .map(|event| (event["status"].clone(), event["error"].clone()))
        .collect();
    let nothing = serde_json::Value::Null;
    assert!(statuses.contains(&(200.into(), nothing)), "{record}");
}

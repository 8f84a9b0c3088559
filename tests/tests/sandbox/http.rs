//! Requests through `wasi:http`: what is granted, and what becomes of them.

use sockbox_tests::{Authority, Finished, Foreign, Nginx, RawPeer, TlsPeer, TlsSettings, Tripwire};
use std::fs;

/// A response whose body is `page`.
pub(crate) const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\npage";

/// Run the component that sends requests.
#[track_caller]
pub(crate) fn run(flags: &[&str], attempts: &str) -> Finished {
    let finished = Foreign::Requests.run(flags, attempts).run();
    eprintln!("{flags:?} {attempts}: {:?}", finished.stdout_text());
    finished
}

/// Assert what the component has printed: a line for each attempt.
#[track_caller]
pub(crate) fn assert_lines(finished: &Finished, expected: &[&str]) {
    let stdout = finished.stdout_text();
    assert_eq!(stdout.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn a_grant_to_connect_includes_http() {
    let peer = RawPeer::answering(OK);
    let address = peer.address().to_string();
    let attempt = format!("send GET http {address} /a?b=c header=X-Own:yes");
    for flags in [["--allow-connect", &address], ["--allow-net", "-v"]] {
        let finished = run(&flags, &attempt);
        finished.assert_code(0);
        assert_lines(&finished, &["ok 200 page"]);
    }
    let request = peer.requests().remove(0);
    assert!(request.starts_with("GET /a?b=c HTTP/1.1\r\n"), "{request}");
    assert!(
        request.contains(&format!("\r\nhost: {address}\r\n")),
        "{request}"
    );
    assert!(request.contains("\r\nx-own: yes\r\n"), "{request}");
}

#[test]
fn a_grant_of_requests_is_for_those_alone() {
    let peer = RawPeer::answering(OK);
    let address = peer.address().to_string();
    let grant = format!("GET,HEAD http://{address}/v1/*");
    let attempts = [
        format!("send GET http {address} /v1/x"),
        format!("send GET http {address} //v1/%7Ex/../y"),
        format!("send POST http {address} /v1/x"),
        format!("send GET http {address} /v1"),
        format!("send GET http {address} /v2/x"),
        format!("send GET http {address} /v1/../v2"),
        format!("send GET http {address} /v1/..%2Fz;p%2F..%2Fv1%2Fq"),
        format!("send GET https {address} /v1/x"),
        format!("send GET http localhost:{} /v1/x", peer.address().port()),
    ];
    let finished = run(&["--allow-http", &grant], &attempts.join(" then "));
    finished.assert_code(1);
    let denied = "HttpRequestDenied at response";
    let mut expected = vec!["ok 200 page", "ok 200 page"];
    expected.resize(attempts.len(), denied);
    assert_lines(&finished, &expected);
    let lines: Vec<String> = peer
        .requests()
        .iter()
        .map(|request| request.lines().next().unwrap_or_default().to_owned())
        .collect();
    assert_eq!(lines, ["GET /v1/x HTTP/1.1", "GET /v1/y HTTP/1.1"]);
    let hint = format!("(--allow-http 'POST http://{address}/v1/x' would)");
    assert!(finished.stderr().contains(&hint), "{}", finished.stderr());
}

#[test]
fn requests_grant_no_sockets_and_no_lookups() {
    let tripwire = Tripwire::new();
    let address = tripwire.address();
    let grant = format!("* http://{address}/*");
    let by_name = format!("* http://localhost:{}/*", address.port());
    let flags = ["--allow-http", &grant, "--allow-http", &by_name];
    let attempts = format!("connect {address} then resolve localhost");
    let finished = Foreign::Rust.run(&flags, &attempts).run();
    assert_lines(
        &finished,
        &["access-denied at connect", "access-denied at resolve"],
    );
    tripwire.assert_untouched();
}

#[test]
fn what_is_denied_wins() {
    let tripwire = Tripwire::new();
    let address = tripwire.address().to_string();
    let deny = format!("* http://{address}/admin/*");
    let attempts = [
        format!("send GET http {address} /admin/x"),
        format!("send GET http {address} /admin"),
        format!("send get http {address} /ADMIN/x"),
        format!("send GET http {address} /x/..%2Fadmin/y"),
        format!("send GET http {address} /x/%2e%2e/admin/y"),
        format!("send GET http {address} /x/..;/admin/y"),
        format!("send GET http {address} /%2561dmin/y"),
        format!("send GET http {address} /admin%2Fz;p%2F..%2F..%2Fok"),
        format!("send GET http {address} /admin%3Fx"),
    ];
    let finished = run(
        &["--allow-net", "--deny-http", &deny],
        &attempts.join(" then "),
    );
    assert_lines(&finished, &["HttpRequestDenied at response"; 9]);
    let told = format!("denied by deny-http {deny}");
    assert!(finished.stderr().contains(&told), "{}", finished.stderr());
    let attempt = format!("send GET http {address} /x");
    let finished = run(&["--allow-net", "--deny-connect", "127.0.0.0/8"], &attempt);
    assert_lines(&finished, &["HttpRequestDenied at response"]);
    tripwire.assert_untouched();
}

#[test]
fn a_policy_file_and_explain_know_requests() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("policy.toml");
    let text = "allow-http = [\"GET https://a.example/v1/*\"]\n\
                deny-http = [\"* https://a.example/v1/admin/*\"]\n";
    fs::write(&file, text).unwrap();
    for (asked, code, expected) in [
        (
            "GET https://a.example/v1/x?token=secret",
            0,
            "allowed: send GET https://a.example/v1/x, by allow-http GET https://a.example/v1/*, at the public \
             addresses that a.example resolves to, except for deny-http * https://a.example/v1/admin/*\n",
        ),
        (
            "POST https://a.example/v1/x",
            126,
            "denied: send POST https://a.example/v1/x: no rule grants it (--allow-http 'POST \
             https://a.example/v1/x' would)\n",
        ),
        (
            "GET https://a.example/v1/admin",
            126,
            "denied: send GET https://a.example/v1/admin: denied by deny-http * https://a.example/v1/admin/*\n",
        ),
    ] {
        let program = sockbox_tests::Program::sockbox(["policy", "explain"]);
        let finished = program.args([&file]).args(["http", asked]).run();
        finished
            .assert_code(code)
            .assert_stdout(expected.as_bytes());
    }
    let check = sockbox_tests::Program::sockbox(["policy", "check"]);
    let finished = check.args([&file]).run();
    finished.assert_quiet_success();
    let stdout = finished.stdout_text();
    assert!(
        stdout.contains("  allow-http GET https://a.example/v1/*\n"),
        "{stdout}"
    );
}

#[test]
fn a_dry_run_prints_the_least_that_it_took() {
    let peer = RawPeer::answering(OK);
    let port = peer.address().port();
    let attempts = format!(
        "send GET http localhost:{port} /a?token=secret then send HEAD http localhost:{port} /a then send GET \
         http 127.0.0.1:{port} /b'*"
    );
    let finished = run(&["--dry-run"], &attempts);
    finished.assert_code(0);
    let stderr = finished.stderr();
    let first = format!("  --allow-http 'GET http://127.0.0.1:{port}/b%27%2A'\n");
    let second = format!("  --allow-http 'GET,HEAD http://localhost:{port}/a'\n");
    let file = format!("\"GET,HEAD http://localhost:{port}/a\"");
    for expected in [&first, &second, &file] {
        assert!(
            stderr.contains(expected.as_str()),
            "{expected} isn't in {stderr}"
        );
    }
    assert!(
        !stderr.contains("allow-connect") && !stderr.contains("secret"),
        "{stderr}"
    );
}

#[test]
fn the_record_has_each_request_without_its_query() {
    let peer = RawPeer::answering(OK);
    let address = peer.address().to_string();
    let folder = tempfile::tempdir().unwrap();
    let audit = folder.path().join("audit.jsonl");
    let attempts = format!(
        "send POST http {address} /a?token=secret body=hello then send GET http 127.0.0.1:1 /b then send GET \
         http 127.0.0.1:2 /c"
    );
    let flags = [
        "--allow-connect",
        &address,
        "--allow-connect",
        "127.0.0.1:1",
        "--audit",
        audit.to_str().unwrap(),
    ];
    let finished = run(&flags, &attempts);
    assert_lines(
        &finished,
        &[
            "ok 200 page",
            "ConnectionRefused at response",
            "HttpRequestDenied at response",
        ],
    );
    let record = fs::read_to_string(&audit).unwrap();
    assert!(!record.contains("secret"), "{record}");
    let events: Vec<serde_json::Value> = record
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let https: Vec<_> = events.iter().filter(|it| it["event"] == "http").collect();
    assert_eq!(https.len(), 2, "{record}");
    assert_eq!(https[0]["method"], "POST");
    assert_eq!(https[0]["url"], format!("http://{address}/a"));
    assert_eq!(https[0]["address"], address);
    assert_eq!(https[0]["status"], 200);
    assert_eq!(
        (&https[0]["sent"], &https[0]["received"]),
        (&5.into(), &4.into())
    );
    assert_eq!(https[1]["error"], "connection-refused");
    let traffic = events.iter().find(|it| it["event"] == "traffic").unwrap();
    assert_eq!(traffic["connections"], 1);
    assert_eq!(traffic["received"], OK.len());
    let denied = events.iter().find(|it| it["verdict"] == "denied").unwrap();
    assert_eq!(denied["operation"], "http");
    assert_eq!(denied["hint"], "allow-http GET http://127.0.0.1:2/c");
    assert_eq!(events.last().unwrap()["event"], "ended");
}

#[test]
fn the_record_has_each_request_that_is_not_valid() {
    let tripwire = Tripwire::new();
    let address = tripwire.address().to_string();
    let folder = tempfile::tempdir().unwrap();
    let audit = folder.path().join("audit.jsonl");
    let long = "x".repeat(9000);
    let many = "/%2F%3B%3F%23%5C/%252F%253B%253F%2523%255C";
    let attempts = format!(
        "send CONNECT http {address} /a?token=secret then send GET http me:secret@{address} /b then send GET http \
         {address} /%00 then send GET http {address} /%00 then send GET http {address} /{long} then send GET http \
         {address} {many}"
    );
    let flags = ["--allow-net", "--audit", audit.to_str().unwrap()];
    let finished = run(&flags, &attempts);
    assert_lines(
        &finished,
        &[
            "HttpRequestMethodInvalid at response",
            "HttpRequestUriInvalid at response",
            "HttpRequestUriInvalid at response",
            "HttpRequestUriInvalid at response",
            "HttpRequestUriTooLong at response",
            "HttpRequestUriInvalid at response",
        ],
    );
    tripwire.assert_untouched();
    let record = fs::read_to_string(&audit).unwrap();
    assert!(!record.contains("secret"), "{record}");
    let events: Vec<serde_json::Value> = record
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let refused = events.iter().filter(|it| it["event"] == "http-refused");
    let refused: Vec<[&str; 3]> = refused
        .map(|it| ["method", "url", "error"].map(|field| it[field].as_str().unwrap()))
        .collect();
    let url = |path: &str| format!("http://{address}{path}");
    let shortened = format!("{}...", &url(&format!("/{long}"))[..1021]);
    let invalid = "HTTP-request-URI-invalid";
    assert_eq!(
        refused,
        [
            ["CONNECT", &url("/a"), "HTTP-request-method-invalid"],
            ["GET", &url("/b"), invalid],
            ["GET", &url("/%00"), invalid],
            ["GET", &shortened, "HTTP-request-URI-too-long"],
            ["GET", &url(many), invalid],
        ]
    );
    let repeated: Vec<_> = events
        .iter()
        .filter(|it| it["event"] == "repeated")
        .collect();
    assert_eq!(repeated.len(), 1, "{record}");
    assert_eq!(repeated[0]["of"], "http-refused");
    assert_eq!(repeated[0]["url"], url("/%00"));
}

#[test]
fn a_denied_address_is_denied_where_it_is_embedded() {
    let finished = run(
        &["--allow-net", "--deny-http", "* http://169.254.169.254/*"],
        "send GET http 169.254.169.254 / then send GET http [64:ff9b::a9fe:a9fe] / then send GET http \
         [2002:a9fe:a9fe::1] / then send GET http [::ffff:169.254.169.254] /x",
    );
    assert_lines(&finished, &["HttpRequestDenied at response"; 4]);
    let told = "denied by deny-http * http://169.254.169.254/*";
    assert_eq!(
        finished.stderr().matches(told).count(),
        4,
        "{}",
        finished.stderr()
    );
}

#[test]
fn tls_is_spoken_with_what_the_run_trusts() {
    let authority = Authority::new();
    let peer = TlsPeer::start(
        &authority.server(&["127.0.0.1"]),
        TlsSettings::default(),
        OK,
    );
    let port = peer.port();
    let grant = format!("GET https://127.0.0.1:{port}/");
    let attempt = format!("send GET https 127.0.0.1:{port} /");
    let file = authority.file();
    let finished = run(
        &["--allow-http", &grant, "--cacert", file.to_str().unwrap()],
        &attempt,
    );
    finished.assert_quiet_success();
    assert_lines(&finished, &["ok 200 page"]);
    let finished = run(&["--allow-http", &grant], &attempt);
    assert_lines(&finished, &["TlsCertificateError at response"]);
    assert!(
        finished.stderr().contains("sockbox: TLS: "),
        "{}",
        finished.stderr()
    );
    // Plain HTTP on that port is none of TLS.
    let plain = RawPeer::start(|peer| {
        peer.read_bytes(1)?;
        peer.send(OK)
    });
    let address = plain.address();
    let finished = run(
        &["--allow-connect", &address.to_string()],
        &format!("send GET https {address} /"),
    );
    let stdout = finished.stdout_text();
    assert!(
        [
            "TlsProtocolError at response\n",
            "ConnectionTerminated at response\n"
        ]
        .contains(&stdout.as_str()),
        "{stdout}"
    );
}

#[test]
fn pages_of_a_real_server_come_whole() {
    let nginx = Nginx::start();
    let address = nginx.address().to_string();
    let attempts = [
        "/page.html",
        "/chunked/page.html",
        "/close/page.html",
        "/1m.bin",
        "/chunked/1m.bin",
        "/close/1m.bin",
        "/empty.txt",
        "/moved",
    ]
    .map(|path| format!("send GET http {address} {path} count follow"));
    let finished = run(&["--allow-connect", &address], &attempts.join(" then "));
    finished.assert_quiet_success();
    let (page, large) = ("ok 200 268 bytes", "ok 200 1048576 bytes");
    assert_lines(
        &finished,
        &[
            page,
            page,
            page,
            large,
            large,
            large,
            "ok 200 0 bytes",
            page,
        ],
    );
}

#[test]
fn javascript_fetches() {
    let nginx = Nginx::start();
    nginx.write_page("hello.txt", "hello");
    let urls = [
        nginx.url("/hello.txt"),
        nginx.url("/secret.txt"),
        "http://10.0.0.1/".to_owned(),
    ];
    let grant = format!("GET {}", nginx.url("/hello.txt"));
    // It is 12 MB, and compiled once.
    let time = ["--max-compile-time", "600"];
    let flags = [time[0], time[1], "--allow-http", &grant];
    let finished = Foreign::Fetch.run(&flags, &urls.join(" ")).run();
    let stdout = finished.stdout_text();
    let lines: Vec<&str> = stdout.lines().collect();
    assert_eq!(lines[0], "ok 200 hello", "{stdout}");
    assert_eq!(lines.len(), 3, "{stdout}");
    assert!(
        lines[1..].iter().all(|line| line.starts_with("failed ")),
        "{stdout}"
    );
    assert!(!nginx.access_log().contains("secret"));
    // One that never fetches runs all the same.
    Foreign::Fetch.run(&time, "").run().assert_quiet_success();
}

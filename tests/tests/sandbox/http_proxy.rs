//! HTTP requests through a proxy: what the proxy is asked for, and what the policy still decides.

use crate::http::{OK, assert_lines};
use sockbox_tests::{
    Authority, ConnectProxy, Finished, Foreign, Internet, Program, RawPeer, Tinyproxy, TlsPeer,
    TlsSettings, Tripwire,
};
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};

const UNAVAILABLE: &str = "DestinationUnavailable at response";

/// An address of a documentation range, which nothing has.
const ELSEWHERE: &str = "192.0.2.1";

fn loopback(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

#[track_caller]
fn run(flags: &[&str], attempts: &str) -> Finished {
    run_with(flags, attempts, &[])
}

#[track_caller]
fn run_with(flags: &[&str], attempts: &str, env: &[(&str, &str)]) -> Finished {
    let program = Foreign::Requests.run(flags, attempts);
    let program = env
        .iter()
        .fold(program, |program, (name, value)| program.env(name, value));
    let finished = program.run();
    eprintln!("{flags:?} {attempts}: {:?}", finished.stdout_text());
    finished
}

#[test]
fn a_name_is_resolved_here_and_the_proxy_is_asked_for_its_address() {
    let authority = Authority::new();
    let file = authority.file();
    let tls = TlsPeer::start(
        &authority.server(&["a.example"]),
        TlsSettings::default(),
        OK,
    );
    let plain = RawPeer::answering(OK);
    let proxy = ConnectProxy::start([
        ("192.0.2.1:443", loopback(tls.port())),
        ("192.0.2.1:80", plain.address()),
    ]);
    let url = format!("http://{}", proxy.address());
    let folder = tempfile::tempdir().unwrap();
    let audit = folder.path().join("audit.jsonl");
    let flags = [
        "--allow-http",
        "GET https://a.example/*",
        "--allow-http",
        "GET http://a.example/*",
        "--resolve",
        "a.example:192.0.2.1",
        "--cacert",
        file.to_str().unwrap(),
        "--proxy",
        &url,
        "--audit",
        audit.to_str().unwrap(),
    ];
    let attempts = "send GET https a.example /x then send GET http a.example /y then send POST https a.example /x";
    let finished = run(&flags, attempts);
    assert_lines(
        &finished,
        &[
            "ok 200 page",
            "ok 200 page",
            "HttpRequestDenied at response",
        ],
    );
    assert_eq!(proxy.asked(), ["192.0.2.1:443", "192.0.2.1:80"]);
    for head in proxy.requests() {
        assert!(
            !head.contains("a.example") && !head.contains("uthorization"),
            "{head}"
        );
    }
    assert!(tls.requests()[0].starts_with("GET /x HTTP/1.1\r\nhost: a.example\r\n"));
    assert!(plain.requests()[0].starts_with("GET /y HTTP/1.1\r\nhost: a.example\r\n"));
    let record = fs::read_to_string(&audit).unwrap();
    let events: Vec<serde_json::Value> = record
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let first = events.iter().find(|it| it["event"] == "http").unwrap();
    assert_eq!(first["address"], "192.0.2.1:443");
    assert_eq!(first["proxy"], proxy.address().to_string());
    assert_eq!(first["proxy_status"], 200);
    assert_eq!(first["status"], 200);
}

#[test]
fn a_proxy_resolves_names_only_where_that_is_granted() {
    let plain = RawPeer::answering(OK);
    let proxy = ConnectProxy::start([
        ("a.example:80", plain.address()),
        ("192.0.2.1:80", plain.address()),
    ]);
    let url = format!("http://{}", proxy.address());
    let grant = "GET http://a.example/*";
    let flags = [
        "--allow-http",
        grant,
        "--proxy",
        &url,
        "--allow-proxy-resolve",
    ];
    let folder = tempfile::tempdir().unwrap();
    let audit = folder.path().join("audit.jsonl");
    let audited = [&flags[..], &["--audit", audit.to_str().unwrap()]].concat();
    let attempts = "send GET http a.example /x then send GET http b.example /x";
    let finished = run(&audited, attempts);
    assert_lines(&finished, &["ok 200 page", "HttpRequestDenied at response"]);
    assert_eq!(proxy.asked(), ["a.example:80"]);
    let record = fs::read_to_string(&audit).unwrap();
    assert!(!record.contains("\"event\":\"resolved\""), "{record}");
    assert!(record.contains("\"proxy_status\":200"), "{record}");
    // A static address is not left to the proxy, and a denied name is not sent to it.
    let pinned = [&flags[..], &["--resolve", "a.example:192.0.2.1"]].concat();
    let finished = run(&pinned, "send GET http a.example /x");
    assert_lines(&finished, &["ok 200 page"]);
    let denied = [&flags[..], &["--deny-resolve", "*.example"]].concat();
    let finished = run(&denied, "send GET http a.example /x");
    assert_lines(&finished, &["HttpRequestDenied at response"]);
    assert_eq!(proxy.asked(), ["a.example:80", "192.0.2.1:80"]);
    // The dry run names what it took, and not the proxy.
    let finished = run(
        &["--dry-run", "--proxy", &url, "--allow-proxy-resolve"],
        "send GET http a.example /x",
    );
    finished.assert_code(0);
    let stderr = finished.stderr();
    assert!(
        stderr.contains("  --allow-http 'GET http://a.example/x'\n"),
        "{stderr}"
    );
    assert!(
        !stderr.contains("allow-connect") && !stderr.contains("allow-private"),
        "{stderr}"
    );
}

#[test]
fn a_name_that_leads_inside_is_not_sent_to_the_proxy() {
    let Some(internet) = Internet::new() else {
        return;
    };
    let internet = internet
        .name("inside.example", &[&["10.0.0.1"]])
        .name("denied.example", &[&[Internet::PUBLIC_V4]]);
    let flags = [
        "--allow-http",
        "GET http://inside.example/*",
        "--allow-http",
        "GET http://denied.example/*",
        "--deny-connect",
        Internet::PUBLIC_V4,
        "--proxy",
        "http://9.9.9.9:3128",
    ];
    let attempts = "send GET http inside.example / then send GET http denied.example /";
    let (finished, seen) = internet.run(Foreign::Requests.run(&flags, attempts));
    let prohibited = "DestinationIpProhibited at response";
    assert_lines(&finished, &[prohibited, prohibited]);
    seen.assert(&["inside.example", "denied.example"], &[]);
}

#[test]
fn an_address_is_judged_as_an_address() {
    let plain = RawPeer::answering(OK);
    let proxy = ConnectProxy::start([("192.0.2.1:80", plain.address())]);
    let url = format!("http://{}", proxy.address());
    let flags = ["--allow-connect", "192.0.2.0/28:80", "--proxy", &url];
    let attempts = [ELSEWHERE, "192.0.2.17", "3221225985", "[::ffff:192.0.2.17]"]
        .map(|host| format!("send GET http {host} /"));
    let finished = run(&flags, &attempts.join(" then "));
    let denied = "HttpRequestDenied at response";
    assert_lines(&finished, &["ok 200 page", denied, "ok 200 page", denied]);
    assert_eq!(proxy.asked(), ["192.0.2.1:80"; 2]);
}

#[test]
fn what_is_local_or_named_is_reached_without_the_proxy() {
    let tripwire = Tripwire::new();
    let peer = RawPeer::answering(OK);
    let port = peer.address().port();
    let url = format!("http://{}", tripwire.address());
    let hosts = ["127.0.0.1", "localhost", "a.example", "local.test"];
    let attempts = hosts.map(|host| format!("send GET http {host}:{port} /"));
    let flags = [
        "--allow-net",
        "--proxy",
        &url,
        "--noproxy",
        "b.example,example",
        "--resolve",
        "a.example:127.0.0.1",
        "--resolve",
        "local.test:127.0.0.1",
    ];
    let finished = run(&flags, &attempts.join(" then "));
    assert_lines(&finished, &["ok 200 page"; 4]);
    tripwire.assert_untouched();
}

#[test]
fn credentials_are_for_the_proxy_alone_and_shown_nowhere() {
    let plain = RawPeer::answering(OK);
    let proxy = ConnectProxy::start_for(
        Some("Basic dXNlcjpodW50ZXIy"),
        [("a.example:80", plain.address())],
    );
    let at = proxy.address();
    let with = format!("http://user:hunter2@{at}");
    let folder = tempfile::tempdir().unwrap();
    let audit = folder.path().join("audit.jsonl");
    let attempt = "send GET http a.example / readback";
    let flags = [
        "--allow-http",
        "GET http://a.example/",
        "--allow-proxy-resolve",
        "-v",
        "--audit",
    ];
    let flags = [&flags[..], &[audit.to_str().unwrap(), "--proxy"]].concat();
    let finished = run(&[&flags[..], &[&with]].concat(), attempt);
    finished.assert_code(0);
    assert_lines(&finished, &["ok 200 page"]);
    assert!(
        !plain.requests()[0].contains("roxy"),
        "{}",
        plain.requests()[0]
    );
    let record = fs::read_to_string(&audit).unwrap();
    for text in [&record, finished.stderr()] {
        assert!(
            !text.contains("hunter2") && !text.contains("dXNlcjpodW50ZXIy"),
            "{text}"
        );
    }
    for (credentials, url) in [
        ("none", format!("http://{at}")),
        ("wrong", format!("http://user:hunter3@{at}")),
    ] {
        let flags = [
            "--allow-http",
            "GET http://a.example/",
            "--allow-proxy-resolve",
            "--proxy",
            &url,
        ];
        let finished = run(&flags, attempt);
        assert_lines(&finished, &[UNAVAILABLE]);
        let told = format!(
            "sockbox: proxy: {at} wants other credentials for a.example (--proxy http://USER:PASSWORD@{at} gives them)\n"
        );
        assert_eq!(finished.stderr(), told, "{credentials}");
    }
    let finished = run(&["--proxy", "https://user:hunter2@a.example"], attempt);
    finished.assert_failure(
        2,
        &["--proxy: a proxy is reached with http, and not with `https`"],
    );
    assert!(!finished.stderr().contains("hunter2"));
}

#[test]
fn a_proxy_that_fails_is_told_of() {
    let flags = |url: &str| {
        [
            "--allow-http",
            "GET http://a.example/*",
            "--allow-proxy-resolve",
            "--proxy",
            url,
        ]
        .map(str::to_owned)
    };
    let attempt = "send GET http a.example /";
    let try_with = |url: &str| {
        let flags = flags(url);
        run(&flags.each_ref().map(String::as_str), attempt)
    };
    let proxy = ConnectProxy::start([]);
    let at = proxy.address();
    let finished = try_with(&format!("http://{at}"));
    assert_lines(&finished, &[UNAVAILABLE]);
    let told = format!("sockbox: proxy: {at} does not connect to a.example: it answered 502\n");
    assert_eq!(finished.stderr(), told);
    let finished = try_with("http://127.0.0.1:1");
    assert_lines(&finished, &["ConnectionRefused at response"]);
    let told = "sockbox: proxy: 127.0.0.1:1 can't be used for a.example: connection-refused\n";
    assert_eq!(finished.stderr(), told);
    for (answer, expected) in [
        ("".to_owned(), "ConnectionTerminated at response"),
        (
            "HTTP/1.1 200".to_owned(),
            "ConnectionTerminated at response",
        ),
        (
            "SSH-2.0-x\r\n\r\n".to_owned(),
            "HttpProtocolError at response",
        ),
        (
            format!("HTTP/1.1 200 OK\r\nA: {}", "x".repeat(20_000)),
            "HttpResponseHeaderSectionSize(None) at response",
        ),
        (
            "HTTP/1.1 100 Continue\r\n\r\n".repeat(2000),
            "HttpResponseHeaderSectionSize(None) at response",
        ),
        (
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 403 No\r\n\r\n".to_owned(),
            UNAVAILABLE,
        ),
    ] {
        let broken = RawPeer::answering(answer.clone());
        let finished = try_with(&format!("http://{}", broken.address()));
        let shown: String = answer.chars().take(40).collect();
        eprintln!("{shown:?}");
        assert_lines(&finished, &[expected]);
    }
    // The component's timeout counts for the proxy, too.
    let silent = RawPeer::start(|peer| {
        peer.read_request()?;
        peer.wait_for_close()
    });
    let flags = flags(&format!("http://{}", silent.address()));
    let attempt = "send GET http a.example / connect-ms=50";
    let finished = run(&flags.each_ref().map(String::as_str), attempt);
    assert_lines(&finished, &["ConnectionTimeout at response"]);
}

#[test]
fn the_environment_counts_where_it_is_asked_for() {
    let plain = RawPeer::answering(OK);
    let proxy = ConnectProxy::start_for(
        Some("Basic dTpodW50ZXIy"),
        [
            ("a.example:80", plain.address()),
            ("a.example:443", plain.address()),
        ],
    );
    let url = format!("http://u:hunter2@{}", proxy.address());
    let flags = ["--allow-net", "--allow-proxy-resolve", "--proxy-env"];
    let attempt = "send GET http a.example / then env";
    for variable in ["http_proxy", "all_proxy", "ALL_PROXY"] {
        let finished = run_with(&flags, attempt, &[(variable, &url)]);
        // The component has no variables.
        assert_lines(&finished, &["ok 200 page", "ok "]);
    }
    assert_eq!(proxy.asked().len(), 3);
    // As with curl, HTTP_PROXY does not count, and HTTPS_PROXY does.
    let tripwire = Tripwire::new();
    let trap = format!("http://{}", tripwire.address());
    let bypassing = [
        "--allow-net",
        "--proxy-env",
        "--resolve",
        "a.example:127.0.0.1",
    ];
    let port = plain.address().port();
    let direct = format!("send GET http a.example:{port} /");
    for env in [
        &[("HTTP_PROXY", trap.as_str())][..],
        &[("https_proxy", &trap)],
        &[("http_proxy", &trap), ("NO_PROXY", "example")],
    ] {
        let finished = run_with(&bypassing, &direct, env);
        assert_lines(&finished, &["ok 200 page"]);
    }
    // Without the option the environment does not count.
    let without = ["--allow-net", "--resolve", "a.example:127.0.0.1"];
    let finished = run_with(
        &without,
        &direct,
        &[("http_proxy", &trap), ("ALL_PROXY", &trap)],
    );
    assert_lines(&finished, &["ok 200 page"]);
    tripwire.assert_untouched();
    let finished = run_with(&flags, attempt, &[("HTTPS_PROXY", "socks5://u:hunter2@a")]);
    finished.assert_failure(
        2,
        &["the environment variable `HTTPS_PROXY` can't be used: a proxy is reached with http, and not with `socks5`"],
    );
    let inheriting = [&flags[..], &["--inherit-env"]].concat();
    let finished = run_with(&inheriting, attempt, &[("HTTPS_PROXY", &url)]);
    finished.assert_failure(
        2,
        &["`inherit-env` would give the component the proxy's credentials"],
    );
    assert_eq!(proxy.asked().len(), 3);
}

#[test]
fn a_real_proxy_lets_pages_through() {
    let proxy = Tinyproxy::start();
    let authority = Authority::new();
    let file = authority.file();
    let tls = TlsPeer::start(
        &authority.server(&["a.example"]),
        TlsSettings::default(),
        OK,
    );
    let plain = RawPeer::answering(OK);
    let url = proxy.url("user:p%61ss");
    let flags = [
        "--allow-connect",
        "a.example",
        "--allow-proxy-resolve",
        "--cacert",
        file.to_str().unwrap(),
        "--proxy",
        &url,
    ];
    let attempts = format!(
        "send GET https a.example:{} /x then send GET http a.example:{} /y then send GET http a.example:1 /",
        tls.port(),
        plain.address().port()
    );
    let finished = run(&flags, &attempts);
    assert_lines(&finished, &["ok 200 page", "ok 200 page", UNAVAILABLE]);
    assert!(
        proxy.log().contains("CONNECT a.example:"),
        "{}",
        proxy.log()
    );
    let wrong = proxy.url("user:wrong");
    let flags = [
        "--allow-connect",
        "a.example",
        "--allow-proxy-resolve",
        "--proxy",
        &wrong,
    ];
    let finished = run(&flags, "send GET http a.example /");
    assert_lines(&finished, &[UNAVAILABLE]);
    assert!(
        finished.stderr().contains("wants other credentials"),
        "{}",
        finished.stderr()
    );
}

#[test]
fn a_policy_file_has_proxies() {
    let plain = RawPeer::answering(OK);
    let proxy = ConnectProxy::start([("a.example:80", plain.address())]);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("policy.toml");
    let text = format!(
        "allow-http = [\"GET http://a.example/*\"]\nproxy = \"http://u:hunter2@{}\"\nnoproxy = \
         [\"b.example\"]\nallow-proxy-resolve = true\n",
        proxy.address()
    );
    fs::write(&file, text).unwrap();
    let policy = file.to_str().unwrap();
    let finished = run(&["--policy", policy], "send GET http a.example /");
    finished.assert_quiet_success();
    assert_lines(&finished, &["ok 200 page"]);
    let check = Program::sockbox(["policy", "check", policy]).run();
    let stdout = check.stdout_text();
    let lines = format!(
        "  proxy {}\n  noproxy b.example\n  allow-proxy-resolve\n",
        proxy.address()
    );
    assert!(
        stdout.contains(&lines) && !stdout.contains("hunter2"),
        "{stdout}"
    );
}

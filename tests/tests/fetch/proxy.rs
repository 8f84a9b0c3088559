//! `sockbox fetch` through a proxy: what the proxy is asked for, and what the policy still decides.

use serde_json::Value;
use sockbox_tests::{
    Authority, ConnectProxy, Finished, Internet, Program, RawPeer, Tinyproxy, TlsPeer, TlsSettings,
    Tripwire,
};
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};

pub const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

/// Where the names of these tests are, by `--resolve`: at an address of a documentation range, which nothing has.
pub const STATIC: [&str; 2] = ["--resolve", "a.example:192.0.2.1"];

fn loopback(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

pub fn url(proxy: &ConnectProxy) -> String {
    format!("http://{}", proxy.address())
}

#[track_caller]
pub fn fetch(args: &[&str]) -> Finished {
    with_env(args, &[])
}

#[track_caller]
pub fn with_env(args: &[&str], env: &[(&str, &str)]) -> Finished {
    let program = Program::sockbox(["fetch"]).args(args);
    let program = env
        .iter()
        .fold(program, |program, (name, value)| program.env(name, value));
    program.run()
}

/// The events of a record, by the name of the event.
fn events(record: &str, name: &str) -> Vec<Value> {
    let all = record.lines().map(serde_json::from_str);
    let all = all.map(|event: Result<Value, _>| event.expect("JSON"));
    all.filter(|event| event["event"] == name).collect()
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
    let folder = tempfile::tempdir().unwrap();
    let audit = folder.path().join("audit.jsonl");
    let at = url(&proxy);
    let base = [
        &STATIC[..],
        &["-x", &at, "--cacert", file.to_str().unwrap()],
    ]
    .concat();
    let format =
        "%{stderr}%{http_connect} %{proxy_used} %{remote_ip}:%{remote_port} %{num_connects}\n";
    let seen = ["-w", format, "--audit", audit.to_str().unwrap()];
    let args = [
        &base[..],
        &seen,
        &["https://a.example/x", "http://a.example/y"],
    ]
    .concat();
    let finished = fetch(&args);
    finished.assert_code(0).assert_stdout(b"hellohello");
    let shown = format!("200 1 {} 1\n", proxy.address());
    assert_eq!(finished.stderr(), shown.repeat(2));
    assert_eq!(proxy.asked(), ["192.0.2.1:443", "192.0.2.1:80"]);
    for head in proxy.requests() {
        assert!(
            !head.contains("a.example") && !head.contains("uthorization"),
            "{head}"
        );
    }
    assert!(tls.requests()[0].starts_with("GET /x HTTP/1.1\r\nHost: a.example\r\n"));
    assert!(plain.requests()[0].starts_with("GET /y HTTP/1.1\r\nHost: a.example\r\n"));
    let record = fs::read_to_string(&audit).unwrap();
    let tunnels = events(&record, "tunnel");
    assert_eq!(tunnels.len(), 2, "{record}");
    assert_eq!(tunnels[0]["target"], "192.0.2.1:443");
    assert_eq!(tunnels[0]["name"], "a.example");
    assert_eq!(tunnels[0]["proxy"], proxy.address().to_string());
    assert_eq!(tunnels[0]["proxy_status"], 200);
    // The traffic is with the server, and not with the proxy.
    let targets: Vec<Value> = events(&record, "traffic")
        .iter()
        .map(|event| event["target"].clone())
        .collect();
    assert_eq!(targets, ["192.0.2.1:443", "192.0.2.1:80"]);
    let finished = fetch(&[&base[..], &["-v", "http://a.example/y"]].concat());
    let told = format!(
        "* proxy: connect to 192.0.2.1:80 through {} (a.example): 200\n",
        proxy.address()
    );
    assert!(finished.stderr().contains(&told), "{}", finished.stderr());
}

#[test]
fn a_connection_through_the_proxy_is_used_again() {
    let plain = RawPeer::start(|peer| {
        while !peer.read_request()?.is_empty() {
            peer.send(OK)?;
        }
        Ok(())
    });
    let proxy = ConnectProxy::start([("192.0.2.1:80", plain.address())]);
    let at = url(&proxy);
    let page = "http://a.example/";
    let format = "%{http_connect} %{proxy_used} %{remote_port} %{num_connects}\n";
    let args = [
        &STATIC[..],
        &[
            "-x",
            &at,
            "-w",
            format,
            "-o",
            "/dev/null",
            "-o",
            "/dev/null",
            page,
            page,
        ],
    ]
    .concat();
    let finished = fetch(&args);
    let port = proxy.address().port();
    let shown = format!("200 1 {port} 1\n000 1 {port} 0\n");
    finished
        .assert_quiet_success()
        .assert_stdout(shown.as_bytes());
    assert_eq!(proxy.asked(), ["192.0.2.1:80"]);
}

#[test]
fn a_denied_target_sends_nothing_to_the_proxy() {
    let Some(internet) = Internet::new() else {
        return;
    };
    let internet = internet
        .name("public.example", &[&[Internet::PUBLIC_V4]])
        .name("inside.example", &[&["10.0.0.1"]]);
    let proxy = format!("http://{}:80", Internet::OTHER_V4);
    let run = |args: &[&str]| {
        let program = Program::sockbox(["fetch", "-x", &proxy]).args(args);
        internet.run(program)
    };
    // The policy decides as without a proxy.
    let (finished, seen) = run(&["--deny-connect", "1.2.3.0/24", "http://public.example/"]);
    finished.assert_failure(126, &["denied by deny-connect 1.2.3.0/24:*"]);
    seen.assert(&["public.example"], &[]);
    let (finished, seen) = run(&[
        "--deny-resolve",
        "*.example",
        "--allow-proxy-resolve",
        "http://public.example/",
    ]);
    finished.assert_failure(
        126,
        &["resolve public.example: denied by deny-resolve *.example"],
    );
    seen.assert_nothing();
    // A denied address stays denied.
    let (finished, seen) = run(&["--deny-connect", "10.0.0.0/8", "http://inside.example/"]);
    finished.assert_failure(
        126,
        &["connect to 10.0.0.1:80: denied by deny-connect 10.0.0.0/8:*"],
    );
    seen.assert(&["inside.example"], &[]);
    // Nothing goes to the server itself. This proxy never answers.
    let (finished, seen) = run(&["--connect-timeout", "1", "http://public.example/"]);
    finished.assert_failure(28, &["connecting"]);
    seen.assert(
        &["public.example"],
        &[&format!("tcp {}:80", Internet::OTHER_V4)],
    );
}

#[test]
fn a_redirect_goes_through_the_proxy_and_is_judged_as_without_it() {
    let last = RawPeer::answering(OK);
    let first = RawPeer::answering(
        "HTTP/1.1 302 Found\r\nLocation: http://b.example/\r\nContent-Length: 0\r\n\r\n",
    );
    let proxy = ConnectProxy::start([
        ("192.0.2.1:80", first.address()),
        ("192.0.2.2:80", last.address()),
        ("a.example:80", first.address()),
        ("b.example:80", last.address()),
    ]);
    let at = url(&proxy);
    let follow = ["-L", "-x", &at, "http://a.example/"];
    let second = ["--resolve", "b.example:192.0.2.2"];
    // A static address grants nothing by itself.
    let finished = fetch(&[&STATIC[..], &second, &follow].concat());
    finished.assert_failure(126, &["connect to 192.0.2.2:80"]);
    let allowed = ["--allow-connect", "b.example"];
    let finished = fetch(&[&STATIC[..], &second, &allowed, &follow].concat());
    finished.assert_quiet_success().assert_stdout(b"hello");
    assert_eq!(
        proxy.asked(),
        ["192.0.2.1:80", "192.0.2.1:80", "192.0.2.2:80"]
    );
    // The proxy would resolve a name that only the server has named: that is no public address for certain.
    let leave = ["--allow-proxy-resolve"];
    let finished = fetch(&[&leave[..], &follow].concat());
    finished.assert_failure(
        126,
        &[
            "not allowed to connect to b.example:80: a redirect may lead to public addresses only, and the proxy resolves \
             b.example (--allow-connect b.example:80 would allow it)",
        ],
    );
    let finished = fetch(&[&leave[..], &allowed, &follow].concat());
    finished.assert_quiet_success().assert_stdout(b"hello");
    let asked = proxy.asked();
    assert_eq!(asked[3..], ["a.example:80", "a.example:80", "b.example:80"]);
}

#[test]
fn a_proxy_resolves_names_only_where_that_is_granted() {
    let plain = RawPeer::answering(OK);
    let proxy = ConnectProxy::start([
        ("a.example:80", plain.address()),
        ("192.0.2.1:80", plain.address()),
    ]);
    let at = url(&proxy);
    let folder = tempfile::tempdir().unwrap();
    let audit = folder.path().join("audit.jsonl");
    let base = [
        "-x",
        &at,
        "--allow-proxy-resolve",
        "--audit",
        audit.to_str().unwrap(),
    ];
    for family in ["-4", "-6"] {
        let _ = fs::remove_file(&audit);
        let format = "%{stderr}%{remote_ip}";
        let args = [&base[..], &[family, "-w", format, "http://a.example/"]].concat();
        let finished = fetch(&args);
        finished.assert_code(0).assert_stdout(b"hello");
        assert_eq!(finished.stderr(), "127.0.0.1");
        let record = fs::read_to_string(&audit).unwrap();
        assert_eq!(events(&record, "resolved").len(), 0, "{record}");
        let left = &events(&record, "left-to-proxy")[0];
        assert_eq!(left["name"], "a.example");
        assert_eq!(
            left["placeholder"],
            if family == "-4" {
                "192.0.0.8"
            } else {
                "100:0:0:1::1"
            }
        );
        for event in ["tunnel", "traffic"] {
            assert_eq!(
                events(&record, event)[0]["target"],
                "a.example:80",
                "{record}"
            );
        }
        let connects = events(&record, "decision");
        assert_eq!(connects[1]["target"], "a.example:80", "{record}");
        assert_eq!(connects[1]["by"], "allow-connect a.example:80", "{record}");
    }
    assert_eq!(proxy.asked(), ["a.example:80"; 2]);
    // A static address is not left to the proxy.
    for host in [
        "a.example:192.0.2.1",
        "a.example:80:192.0.2.1",
        "*:80:192.0.2.1",
    ] {
        let finished = fetch(&[
            "-x",
            &at,
            "--allow-proxy-resolve",
            "--resolve",
            host,
            "http://a.example/",
        ]);
        finished.assert_quiet_success().assert_stdout(b"hello");
    }
    assert_eq!(proxy.asked()[2..], ["192.0.2.1:80"; 3]);
    // An address in the URL is judged as an address.
    let finished = fetch(&[
        "-x",
        &at,
        "--allow-proxy-resolve",
        "--deny-connect",
        "192.0.2.0/28",
        "http://3221225985/",
    ]);
    finished.assert_failure(126, &["denied by deny-connect 192.0.2.0/28:*"]);
    assert_eq!(proxy.asked().len(), 5);
}

#[test]
fn what_is_local_or_named_is_reached_without_the_proxy() {
    let tripwire = Tripwire::new();
    let peer = RawPeer::answering(OK);
    let port = peer.address().port();
    let trap = format!("http://{}", tripwire.address());
    let hosts = ["127.0.0.1", "localhost", "a.example", "b.local.test"];
    let urls = hosts.map(|host| format!("http://{host}:{port}/"));
    let args = [
        "--proxy",
        &trap,
        "--noproxy",
        "other.example,local.test",
        "--resolve",
        "a.example:127.0.0.1",
        "--resolve",
        "b.local.test:127.0.0.1",
    ];
    let finished = fetch(&[&args[..], &urls.each_ref().map(String::as_str)].concat());
    finished
        .assert_quiet_success()
        .assert_stdout("hello".repeat(4).as_bytes());
    tripwire.assert_untouched();
}

#[test]
fn several_urls_at_once_go_through_the_proxy() {
    let plain = RawPeer::answering(OK);
    let proxy = ConnectProxy::start([
        ("192.0.2.1:80", plain.address()),
        ("192.0.2.1:81", plain.address()),
    ]);
    let at = url(&proxy);
    let urls = ["http://a.example/", "http://a.example:81/"];
    let finished = fetch(&[&STATIC[..], &["-Z", "-x", &at], &urls].concat());
    finished.assert_quiet_success().assert_stdout(b"hellohello");
    let mut asked = proxy.asked();
    asked.sort();
    assert_eq!(asked, ["192.0.2.1:80", "192.0.2.1:81"]);
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
    let base = [
        "--allow-proxy-resolve",
        "--cacert",
        file.to_str().unwrap(),
        "-x",
    ];
    let urls = [
        tls.url_at("a.example"),
        format!("http://a.example:{}/", plain.address().port()),
    ];
    let right = proxy.url("user:p%61ss");
    for url in &urls {
        let finished = fetch(&[&base[..], &[&right, url]].concat());
        finished.assert_quiet_success().assert_stdout(b"hello");
    }
    let log = proxy.log();
    assert!(
        log.contains(&format!("CONNECT a.example:{}", tls.port())),
        "{log}"
    );
    let finished = fetch(&[&base[..], &[&right, "http://a.example:1/"]].concat());
    finished.assert_failure(56, &["it answered 500"]);
    let wrong = proxy.url("user:wrong");
    let finished = fetch(&[&base[..], &[&wrong, &urls[1]]].concat());
    finished.assert_failure(56, &["it answered 401 (it wants other credentials: -U"]);
}

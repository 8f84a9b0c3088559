//! The reports of `sockbox fetch`: `--json`, `-w`, `-v`, progress bars.
//!
//! The variables of `-w` are compared with curl's in `beside_curl`.

use serde_json::{Value, json};
use sockbox_tests::{Finished, Node, Peer, Program, RawPeer, Refuser};
use std::fs;
use std::time::Duration;

fn fetch(args: &[&str]) -> Finished {
    Program::sockbox(["fetch"]).args(args).run()
}

#[test]
fn all_facts_are_a_line_of_json() {
    let node = Node::start();
    let refuser = Refuser::new();
    let refused = format!("http://{}/", refuser.address());
    let urls = [
        "-o",
        "/dev/null",
        &node.url("/hops/2"),
        "-o",
        "/dev/null",
        &refused,
        "-o",
        "/dev/null",
        &node.url("/status/404"),
    ];
    let finished = fetch(&[&["-s", "-L", "--json"], &urls[..]].concat());
    finished.assert_code(7);
    let text = finished.stdout_text();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 3, "{text}");
    let [arrived, refused, missing] =
        [0, 1, 2].map(|line| serde_json::from_str::<Value>(lines[line]).expect("JSON"));
    let port = u64::from(node.port());
    for (facts, name, expected) in [
        (&arrived, "url", json!(node.url("/hops/2"))),
        (&arrived, "url_effective", json!(node.url("/hops/0"))),
        (&arrived, "response_code", json!(200)),
        (&arrived, "num_redirects", json!(2)),
        (&arrived, "num_connects", json!(1)),
        (&arrived, "size_download", json!(8)),
        (&arrived, "remote_ip", json!("127.0.0.1")),
        (&arrived, "remote_port", json!(port)),
        (&arrived, "http_version", json!("1.1")),
        (&arrived, "content_type", json!("text/plain")),
        (&arrived, "exitcode", json!(0)),
        (&arrived, "errormsg", Value::Null),
        (&arrived, "method", json!("GET")),
        (&arrived, "urlnum", json!(0)),
        (
            &arrived,
            "redirects",
            json!([node.url("/hops/1"), node.url("/hops/0")]),
        ),
        (&refused, "exitcode", json!(7)),
        (&refused, "response_code", json!(0)),
        (&refused, "urlnum", json!(1)),
        (&missing, "response_code", json!(404)),
        (&missing, "exitcode", json!(0)),
    ] {
        assert_eq!(facts[name], expected, "{name} in {facts:#}");
    }
    let why = refused["errormsg"].as_str().expect("a message");
    assert!(why.contains("refused"), "{why}");
    let attempt = &refused["connect_failures"][0];
    assert_eq!(attempt["address"], json!(refuser.address().to_string()));
    assert_eq!(arrived["headers"]["content-length"], json!(["8"]));
    // curl's own names, all of them.
    let curl = Program::curl(["-o", "/dev/null", "-w", "%{json}", &node.url("/page")]).run();
    let curl: Value = serde_json::from_str(&curl.stdout_text()).expect("JSON");
    // Those of TLS are left out.
    let none_of_ours = [
        "certs",
        "num_certs",
        "curl_version",
        "proxy_ssl_verify_result",
        "ssl_verify_result",
        "ftp_entry_path",
    ];
    for name in curl.as_object().expect("an object").keys() {
        let known = arrived.get(name).is_some() || none_of_ours.contains(&name.as_str());
        assert!(known, "curl tells {name}");
    }
}

#[test]
fn header_fields_are_json_as_curls_are() {
    let peer = RawPeer::answering(
        "HTTP/1.1 200 OK\r\nX-B: 1\r\nx-a: \"2\"\r\nX-C: 3\r\nx-c: 4\r\nContent-Length: 0\r\n\r\n",
    );
    let args = ["-s", "-w", "%{header_json}", &peer.url("/")];
    let (ours, curls) = (fetch(&args), Program::curl(args).run());
    let read =
        |told: &Finished| -> Value { serde_json::from_str(&told.stdout_text()).expect("JSON") };
    assert_eq!(read(&ours), read(&curls));
}

#[test]
fn stages_are_in_order() {
    let node = Node::start();
    let peer = RawPeer::start(|peer: &mut Peer| {
        peer.read_request()?;
        std::thread::sleep(Duration::from_millis(200));
        peer.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe")?;
        std::thread::sleep(Duration::from_millis(200));
        peer.send("llo")
    });
    let format = "%{time_namelookup} %{time_connect} %{time_pretransfer} %{time_starttransfer} %{time_total}";
    for (url, waits) in [(peer.url("/"), true), (node.url("/page"), false)] {
        let finished = fetch(&["-s", "-o", "/dev/null", "-w", format, &url]);
        finished.assert_quiet_success();
        let told = finished.stdout_text();
        let times: Vec<f64> = told.split(' ').map(|time| time.parse().unwrap()).collect();
        assert_eq!(times.len(), 5, "{told}");
        assert!(times.is_sorted(), "{told}");
        assert!(times[4] > 0.0, "{told}");
        assert!(times[4] <= finished.elapsed().as_secs_f64(), "{told}");
        if waits {
            // The server's delay counts in the stage in which it occurs.
            assert!(times[3] - times[2] >= 0.1, "{told}");
            assert!(times[4] - times[3] >= 0.1, "{told}");
        }
    }
}

/// A page of 2 MB that takes 0.6 seconds.
fn slow() -> RawPeer {
    RawPeer::start(|peer: &mut Peer| {
        peer.read_request()?;
        peer.send("HTTP/1.1 200 OK\r\nContent-Length: 2000000\r\n\r\n")?;
        for _ in 0..10 {
            peer.send_zeros(200_000)?;
            std::thread::sleep(Duration::from_millis(60));
        }
        Ok(())
    })
}

#[test]
fn a_bar_is_for_terminals() {
    let peer = slow();
    let url = peer.url("/");
    let dir = tempfile::tempdir().unwrap();
    let fetch = |args: &[&str]| {
        Program::sockbox(["fetch"])
            .args(args)
            .current_dir(dir.path())
    };
    let on_terminal = |args: &[&str]| {
        let finished = fetch(args).on_a_terminal().current_dir(dir.path()).run();
        finished.assert_code(0);
        finished.stdout_text()
    };
    let shown = on_terminal(&["-o", "one", &url]);
    for sign in ["%", "MiB", "left"] {
        assert!(shown.contains(sign), "{sign:?} isn't shown: {shown:?}");
    }
    // 2 MB in 0.6 seconds.
    assert!(!shown.contains("GiB/s"), "as fast as no network: {shown:?}");
    for quiet in ["-s", "--no-progress-meter"] {
        let shown = on_terminal(&["-o", "one", quiet, &url]);
        assert!(
            !shown.contains('%') && !shown.contains("MiB"),
            "{quiet}: {shown:?}"
        );
    }
    // A bar each.
    let shown = on_terminal(&["-Z", "-o", "one", &url, "-o", "two", &url]);
    for name in ["one", "two"] {
        assert!(shown.contains(name), "no bar for {name}: {shown:?}");
    }
    // None without a terminal.
    let finished = fetch(&["-o", "one", &url]).run();
    finished.assert_quiet_success();
}

#[test]
fn a_bar_is_seen_though_bytes_are_moved_seldom() {
    let peer = RawPeer::start(|peer: &mut Peer| {
        peer.read_request()?;
        peer.read_bytes(1500)?;
        peer.send("HTTP/1.1 204 No Content\r\n\r\n")
    });
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("file"), [b'x'; 1500]).unwrap();
    // It is all read before the first of it is sent.
    for (what, sign) in [
        (["-T", "file"], "of 1.46 KiB"),
        (["--data-binary", "@file"], "sending 1.46 KiB"),
    ] {
        let finished = Program::sockbox(["fetch", "-s", "--limit-rate", "1000"])
            .args(["-o", "page"])
            .args(what)
            .args([peer.url("/in")])
            .on_a_terminal()
            .current_dir(dir.path())
            .run();
        finished.assert_code(0);
        assert!(!finished.stdout_text().contains(sign), "-s is silent");
        let finished = Program::sockbox(["fetch", "--limit-rate", "1000", "-o", "page"])
            .args(what)
            .args([peer.url("/in")])
            .on_a_terminal()
            .current_dir(dir.path())
            .run();
        finished.assert_code(0);
        let shown = finished.stdout_text();
        assert!(shown.contains(sign), "{what:?}: no bar: {shown:?}");
    }
}

#[test]
fn verbose_tells_of_redirects_and_of_interim_responses() {
    let node = Node::start();
    let finished = fetch(&[
        "-v",
        "-L",
        "-o",
        "/dev/null",
        &node.url("/redirect/302?/hints"),
    ]);
    finished.assert_code(0);
    for sign in [
        "> GET /redirect/302?/hints HTTP/1.1",
        "< HTTP/1.1 302 Found",
        "< HTTP/1.1 103 Early Hints",
        "< Link: </style.css>; rel=preload; as=style",
        "> GET /hints HTTP/1.1",
        "< HTTP/1.1 200 OK",
    ] {
        let lines = finished.stderr().matches(&format!("\n{sign}")).count();
        assert_eq!(lines, 1, "{sign:?} is told {lines} times");
    }
}

#[test]
fn secrets_are_not_told() {
    let node = Node::start();
    let url = format!("http://me:secret@127.0.0.1:{}/page", node.port());
    for args in [&["-v"][..], &["-v", "-u", "me:secret"]] {
        let finished = fetch(&[args, &["-o", "/dev/null", &url]].concat());
        finished.assert_code(0);
        assert!(
            !finished.stderr().contains("secret"),
            "the password is told"
        );
    }
}

#[test]
fn a_server_cannot_steer_the_terminal() {
    let peer = RawPeer::answering(
        "HTTP/1.1 200 \u{1b}[31mred\r\nX-A: \u{1b}]0;title\u{7}\r\nContent-Length: 0\r\n\r\n",
    );
    let finished = Program::sockbox(["fetch", "-v", "-o", "/dev/null", &peer.url("/")])
        .on_a_terminal()
        .run();
    finished.assert_code(0);
    let shown = finished.stdout_text();
    assert!(
        !shown.contains("\u{1b}[31m") && !shown.contains("\u{1b}]0;"),
        "{shown:?}"
    );
}

#[test]
fn errors_are_silent_unless_asked_for() {
    let refuser = Refuser::new();
    let url = format!("http://{}/", refuser.address());
    let silent = fetch(&["-s", &url]);
    silent.assert_code(7);
    assert_eq!(silent.stderr(), "");
    fetch(&["-s", "-S", &url]).assert_failure(7, &["refused"]);
    fetch(&["-sS", &url]).assert_failure(7, &["refused"]);
    // With `-f`, the status is the reason.
    let node = Node::start();
    fetch(&["-sSf", &node.url("/status/404")])
        .assert_failure(22, &["404"])
        .assert_stdout(b"");
}

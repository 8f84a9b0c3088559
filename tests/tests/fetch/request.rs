//! `sockbox fetch`: the requests that it sends, byte by byte.
//!
//! What fields and bodies the options make is compared with curl in `beside_curl`.

use sockbox_tests::{Finished, Node, Peer, Program, RawPeer, Tripwire, pattern};
use std::fs;
use std::io::Write;
use std::sync::{Mutex, mpsc};

fn fetch(args: &[&str]) -> Finished {
    Program::sockbox(["fetch"]).args(args).run()
}

const NO_CONTENT: &str = "HTTP/1.1 204 No Content\r\n\r\n";

/// The only request that a peer got.
#[track_caller]
fn only_request(peer: &RawPeer) -> String {
    let requests = peer.requests();
    assert_eq!(requests.len(), 1, "{requests:?}");
    requests.concat()
}

fn request_line(request: &str) -> &str {
    request.split("\r\n").next().unwrap_or_default()
}

/// The values of a field.
fn values<'a>(request: &'a str, name: &str) -> Vec<&'a str> {
    let lines = request.split("\r\n").skip(1);
    let fields = lines.filter_map(|line| line.split_once(": "));
    fields
        .filter(|(field, _)| field.eq_ignore_ascii_case(name))
        .map(|(_, value)| value)
        .collect()
}

#[test]
fn urls_are_sent_as_the_url_standard_says() {
    for (written, sent) in [
        ("", "/"),
        ("/", "/"),
        ("?a", "/?a"),
        ("#a", "/"),
        ("/a#b?c", "/a"),
        ("/a b", "/a%20b"),
        ("/\u{e4}?\u{f6}", "/%C3%A4?%C3%B6"),
        ("/%c3%a4", "/%c3%a4"),
        ("/a%", "/a%"),
        ("/a/./b/../c", "/a/c"),
        ("/a/%2e%2e/c", "/c"),
        ("/../../a", "/a"),
        ("//a", "//a"),
        ("/a\\b", "/a/b"),
        ("/a\tb\nc", "/abc"),
        ("/\"<>`{}", "/%22%3C%3E%60%7B%7D"),
        ("/?\"<>'", "/?%22%3C%3E%27"),
    ] {
        let peer = RawPeer::answering(NO_CONTENT);
        let url = format!("http://{}{written}", peer.address());
        fetch(&[&url]).assert_quiet_success();
        assert_eq!(
            request_line(&only_request(&peer)),
            format!("GET {sent} HTTP/1.1"),
            "{written:?}"
        );
    }
}

#[test]
fn names_in_any_script_are_sent_in_ascii() {
    for (written, sent) in [
        ("b\u{fc}cher.example", "xn--bcher-kva.example"),
        ("B\u{dc}CHER.Example", "xn--bcher-kva.example"),
        ("\u{ff45}xample.example", "example.example"),
        ("ex%61mple.example", "example.example"),
    ] {
        let peer = RawPeer::answering(NO_CONTENT);
        let port = peer.address().port();
        let pin = format!("{sent}:{port}:127.0.0.1");
        let url = format!("http://{written}:{port}/");
        fetch(&["--resolve", &pin, &url]).assert_quiet_success();
        let request = only_request(&peer);
        assert_eq!(values(&request, "Host"), [format!("{sent}:{port}")]);
    }
}

#[test]
fn nothing_that_is_typed_adds_a_line() {
    // Refused, or sent in a harmless form; never as a separate line.
    for args in [
        &["-H", "X-A: 1\r\nX-Injected: 1"][..],
        &["-H", "X-A: 1\nX-Injected: 1"],
        &["-H", "X-A: 1\rX-Injected: 1"],
        &["-H", "X-A\r\nX-Injected: 1"],
        &["-H", "X A: 1"],
        &["-H", "X-A\u{e4}: 1"],
        &["-H", ": 1"],
        &["-X", "GET / HTTP/1.1\r\nX-Injected: 1\r\n\r\nGET"],
        &["-X", "GET /injected"],
        &["-X", "G\u{e4}T"],
        &["-X", ""],
        &["-X", "CONNECT"],
        &["-A", "x\r\nX-Injected: 1"],
        &["-A", "x\nX-Injected: 1"],
        &["-e", "x\r\nX-Injected: 1"],
    ] {
        eprintln!("{args:?}");
        let tripwire = Tripwire::new();
        let url = format!("http://{}/", tripwire.address());
        let finished = fetch(&[&["-m", "10"], args, &[url.as_str()]].concat());
        finished.assert_code(2).assert_stdout(b"");
        tripwire.assert_untouched();
    }
    for (args, path) in [
        (&["-u", "me:secret\r\nX-Injected: 1"][..], "/".to_owned()),
        (&[], "/ HTTP/1.1\r\nX-Injected: 1\r\n\r\n".to_owned()),
        (&[], "/?a\r\nX-Injected: 1".to_owned()),
        (
            &["-G", "--data-urlencode", "a\r\nX-Injected: 1"],
            "/".to_owned(),
        ),
        (&["-G", "-d", "a\r\nX-Injected: 1"], "/".to_owned()),
    ] {
        eprintln!("{args:?} {path:?}");
        let peer = RawPeer::answering(NO_CONTENT);
        let url = peer.url(&path);
        fetch(&[args, &[url.as_str()]].concat()).assert_quiet_success();
        let request = only_request(&peer);
        assert_eq!(values(&request, "X-Injected"), [""; 0], "{request:?}");
        assert_eq!(values(&request, "Host").len(), 1, "{request:?}");
    }
}

#[test]
fn what_frames_the_body_is_not_for_callers() {
    for field in [
        "Content-Length: 5",
        "Transfer-Encoding: gzip, chunked",
        "TE: trailers",
        "Upgrade: websocket",
        "Keep-Alive: timeout=5",
        "Connection: upgrade",
        "Expect: 100-continue",
    ] {
        let tripwire = Tripwire::new();
        let url = format!("http://{}/", tripwire.address());
        let (name, _) = field.split_once(':').unwrap();
        fetch(&["-m", "10", "-H", field, &url]).assert_failure(2, &[name]);
        tripwire.assert_untouched();
    }
}

#[test]
fn a_field_is_added_replaced_and_left_out() {
    let peer = RawPeer::answering(NO_CONTENT);
    fetch(&[
        "-H",
        "x-mine:  a  ",
        "-H",
        "Accept: text/html",
        "-H",
        "User-Agent:",
        "-H",
        "X-Empty;",
        "-H",
        "X-Latin: \u{e4}",
        &peer.url("/"),
    ])
    .assert_quiet_success();
    let request = only_request(&peer);
    assert_eq!(values(&request, "x-mine"), ["a"]);
    assert_eq!(values(&request, "Accept"), ["text/html"]);
    assert_eq!(values(&request, "User-Agent"), [""; 0]);
    assert!(request.contains("\r\nX-Empty:"), "{request}");
    assert_eq!(values(&request, "X-Latin"), ["\u{e4}"]);
    // Persistent connections are the default of HTTP/1.1, so no field is sent.
    assert_eq!(values(&request, "Connection"), [""; 0]);
}

#[test]
fn a_form_has_its_length_and_its_type() {
    let peer = RawPeer::start(|peer: &mut Peer| {
        peer.read_request()?;
        assert_eq!(peer.read_bytes(7)?, b"a=1&b=2");
        peer.send(NO_CONTENT)
    });
    fetch(&["-d", "a=1", "-d", "b=2", &peer.url("/")]).assert_quiet_success();
    let request = only_request(&peer);
    assert_eq!(request_line(&request), "POST / HTTP/1.1");
    assert_eq!(values(&request, "Content-Length"), ["7"]);
    assert_eq!(
        values(&request, "Content-Type"),
        ["application/x-www-form-urlencoded"]
    );
}

#[test]
fn standard_input_is_sent_in_chunks_as_it_comes() {
    let peer = RawPeer::start(|peer: &mut Peer| {
        peer.read_request()?;
        peer.send("HTTP/1.1 100 Continue\r\n\r\n")?;
        let mut body = Vec::new();
        while !body.ends_with(b"0\r\n\r\n") {
            let some = peer.read_some()?;
            assert!(!some.is_empty(), "the body ends after {body:?}");
            body.extend(some);
        }
        // Answer with the body's own bytes, framing and all.
        peer.send(format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n",
            body.len()
        ))?;
        peer.send(body)
    });
    let mut process = Program::sockbox(["fetch", "-T", "-", &peer.url("/in")])
        .with_stdin()
        .start();
    let mut stdin = process.stdin();
    stdin.write_all(b"standard").unwrap();
    stdin.write_all(b" input").unwrap();
    drop(stdin);
    let finished = process.wait();
    finished.assert_quiet_success();
    let request = only_request(&peer);
    assert_eq!(request_line(&request), "PUT /in HTTP/1.1");
    assert_eq!(values(&request, "Transfer-Encoding"), ["chunked"]);
    assert_eq!(values(&request, "Content-Length"), [""; 0]);
    let sent = finished.stdout_text();
    // RFC 9112 section 7.1: sizes in hexadecimal, in one chunk or in two.
    assert!(
        [
            "e\r\nstandard input\r\n0\r\n\r\n",
            "8\r\nstandard\r\n6\r\n input\r\n0\r\n\r\n"
        ]
        .contains(&sent.to_lowercase().as_str()),
        "{sent:?}"
    );
}

/// A file of 3 MiB.
fn large_file(dir: &tempfile::TempDir) -> String {
    let path = dir.path().join("large");
    fs::write(&path, pattern(3 << 20)).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn a_large_body_waits_for_leave() {
    let dir = tempfile::tempdir().unwrap();
    let file = large_file(&dir);
    let peer = RawPeer::start(|peer: &mut Peer| {
        peer.read_request()?;
        // Other interim responses are ignored: they are not `100 Continue`.
        peer.send("HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n")?;
        let body = peer.read_bytes(3 << 20)?;
        let same = body == pattern(3 << 20);
        peer.send(format!(
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n{same:5}"
        ))
    });
    fetch(&["--expect100-timeout", "60", "-T", &file, &peer.url("/")])
        .assert_quiet_success()
        .assert_stdout(b"true ");
    let request = only_request(&peer);
    assert_eq!(values(&request, "Expect"), ["100-continue"]);
    assert_eq!(values(&request, "Content-Length"), ["3145728"]);
}

#[test]
fn leave_that_never_comes_is_not_waited_for() {
    // RFC 9110 section 10.1.1: an older server sends nothing until it has received the body.
    let dir = tempfile::tempdir().unwrap();
    let file = large_file(&dir);
    let peer = RawPeer::start(|peer: &mut Peer| {
        peer.read_request()?;
        peer.read_bytes(3 << 20)?;
        peer.send(NO_CONTENT)
    });
    for args in [&["--expect100-timeout", "0.1"][..], &[]] {
        fetch(&[args, &["-T", &file, &peer.url("/")]].concat()).assert_quiet_success();
    }
    fetch(&["-H", "Expect:", "-T", &file, &peer.url("/")]).assert_quiet_success();
    let expects = peer.requests();
    let expects: Vec<_> = expects.iter().map(|head| values(head, "Expect")).collect();
    assert_eq!(
        expects,
        [vec!["100-continue"], vec!["100-continue"], vec![]]
    );
}

#[test]
fn a_server_without_expectations_gets_the_body_all_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let file = large_file(&dir);
    let node = Node::start();
    let finished = fetch(&["-T", &file, &node.url("/no-expect")]);
    finished.assert_quiet_success();
    assert!(
        finished.stdout_text().contains("\"size\":3145728"),
        "{}",
        finished.stdout_text()
    );
}

#[test]
fn a_body_that_nobody_wants_is_not_sent() {
    let dir = tempfile::tempdir().unwrap();
    let file = large_file(&dir);
    let peer = RawPeer::start(|peer: &mut Peer| {
        peer.read_request()?;
        peer.send("HTTP/1.1 413 Too Large\r\nContent-Length: 5\r\n\r\nlarge")?;
        let more = peer.read_some()?;
        assert!(
            more.is_empty(),
            "it sends {} bytes all the same",
            more.len()
        );
        Ok(())
    });
    fetch(&["--expect100-timeout", "60", "-T", &file, &peer.url("/")])
        .assert_quiet_success()
        .assert_stdout(b"large");
}

#[test]
fn an_early_answer_is_heard_while_the_body_is_sent() {
    // The server has responded and reads no more. A client that first sends everything would wait
    // for ever.
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("huge");
    let file = fs::File::create(&path).unwrap();
    file.set_len(64 << 20).unwrap();
    let path = path.to_str().unwrap();
    let (over, is_over) = mpsc::channel::<()>();
    let is_over = Mutex::new(is_over);
    let peer = RawPeer::start(move |peer: &mut Peer| {
        peer.read_request()?;
        peer.read_bytes(1000)?;
        peer.send("HTTP/1.1 413 Too Large\r\nContent-Length: 5\r\nConnection: close\r\n\r\nlarge")?;
        // Nothing is received any more. Ends with the test, whether it passes or not.
        let _ = is_over.lock().expect("a receiver").recv();
        Ok(())
    });
    let finished = fetch(&["-m", "30", "-H", "Expect:", "-T", path, &peer.url("/")]);
    drop(over);
    finished.assert_quiet_success().assert_stdout(b"large");
}

#[test]
fn a_file_that_is_not_there_is_no_request() {
    let tripwire = Tripwire::new();
    let url = format!("http://{}/", tripwire.address());
    for args in [
        &["-T", "/no/such/file"][..],
        &["-d", "@/no/such/file"],
        &["--data-binary", "@/no/such/file"],
        &["--data-urlencode", "@/no/such/file"],
        &["-H", "@/no/such/file"],
        &["-w", "@/no/such/file"],
    ] {
        eprintln!("{args:?}");
        let finished = fetch(&[&["-m", "10"], args, &[url.as_str()]].concat());
        assert_ne!(finished.code(), 0, "{args:?}");
        assert!(finished.stderr().contains("/no/such/file"), "{args:?}");
        tripwire.assert_untouched();
    }
}

#[test]
fn a_files_name_is_sent_byte_by_byte() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let peer = RawPeer::answering(NO_CONTENT);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join(OsStr::from_bytes(b"na\xefve \xff%"));
    fs::write(&file, "content").unwrap();
    let program = Program::sockbox(["fetch", "-T"]).args([&file]);
    let finished = program.args([peer.url("/in/")]).run();
    finished.assert_quiet_success();
    let request = only_request(&peer);
    assert_eq!(request_line(&request), "PUT /in/na%EFve%20%FF%25 HTTP/1.1");
    assert_eq!(values(&request, "Content-Length"), ["7"]);
}

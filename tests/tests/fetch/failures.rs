//! `sockbox fetch`: failures, their exit codes and messages.

use sockbox_tests::{Finished, Peer, Program, RawPeer, Refuser};
use std::io;
use std::net::TcpListener;
use std::time::Duration;

fn fetch(args: &[&str]) -> Finished {
    Program::sockbox(["fetch"]).args(args).run()
}

/// Fetch from a peer that answers so, to standard output and to a file, and assert the exit code and
/// the words of the message. Neither a new file nor an old one shows any trace of it.
fn assert_failure(
    script: impl Fn(&mut Peer) -> io::Result<()> + Send + Sync + 'static,
    code: i32,
    words: &[&str],
) {
    let peer = RawPeer::start(script);
    let url = peer.url("/");
    fetch(&[&url]).assert_failure(code, words);

    let dir = tempfile::tempdir().unwrap();
    let (new, old) = (dir.path().join("new"), dir.path().join("old"));
    std::fs::write(&old, "as it was").unwrap();
    for file in [&new, &old] {
        fetch(&["-o", file.to_str().unwrap(), &url]).assert_failure(code, words);
    }
    assert_eq!(std::fs::read_to_string(&old).unwrap(), "as it was");
    let left: Vec<_> = std::fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(left, ["old"]);
}

#[test]
fn a_response_cut_short() {
    const LENGTH: &str = "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n";
    const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (head, body, words) in [
        (LENGTH, "half a page", &["11", "1000"][..]),
        (LENGTH, "", &["0", "1000"]),
        (CHUNKED, "", &[]),
        (CHUNKED, "5", &[]),
        (CHUNKED, "5\r\nhel", &["3"]),
        (CHUNKED, "5\r\nhello", &["5"]),
        (CHUNKED, "5\r\nhello\r\n", &["5"]),
        (CHUNKED, "5\r\nhello\r\n0\r\n", &["5"]),
        (CHUNKED, "5\r\nhello\r\n0\r\nTrailer: x\r\n", &["5"]),
    ] {
        eprintln!("{head:?} and {body:?}");
        let response = format!("{head}{body}");
        assert_failure(
            move |peer| {
                peer.read_request()?;
                peer.send(&response)
            },
            18,
            words,
        );
    }
}

#[test]
fn an_answer_without_a_byte() {
    assert_failure(|peer| peer.read_request().map(drop), 52, &[]);
}

#[test]
fn a_connection_that_breaks() {
    assert_failure(
        |peer| {
            peer.read_request()?;
            peer.reset_at_end()
        },
        56,
        &["reset"],
    );
    // In the middle of a page: earlier bytes may be read or lost.
    let half = |peer: &mut Peer| {
        peer.read_request()?;
        peer.send("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf a page")?;
        peer.reset_at_end()
    };
    assert_failure(half, 56, &["reset"]);
}

#[test]
fn a_server_that_resets_at_once() {
    // The new connection may or may not be reset before the client uses it.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // Without time to linger, closing is a reset.
            let linger = socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO));
            linger.unwrap();
        }
    });
    let url = format!("http://{address}/");
    for runtime in [
        Program::sockbox(["fetch", "--no-progress-meter"]).args([&url; 50]),
        Program::sockbox(["fetch", "--no-progress-meter", "-Z"]).args([&url; 50]),
    ] {
        let finished = runtime.run();
        assert!(
            [7, 55, 56].contains(&finished.code()),
            "{}",
            finished.code()
        );
        finished.assert_stdout(b"");
        let lines: Vec<&str> = finished.stderr().lines().collect();
        assert_eq!(lines.len(), 50);
        for line in lines {
            assert!(line.contains("connection reset by the peer"), "{line}");
        }
    }
    for _ in 0..30 {
        let args = ["fetch", &url];
        let finished = Program::wasmtime_run(&["-S", "inherit-network"], args).run();
        let stderr = finished.stderr();
        assert!(stderr.contains("connection reset by the peer"), "{stderr}");
    }
}

#[test]
fn an_answer_that_is_not_http() {
    for answer in [
        &b"SSH-2.0-OpenSSH_9.2\r\n"[..],
        b"220 mail.example.com ESMTP\r\n",
        b"\x15\x03\x01\x00\x02\x02\x46",
        b"<!doctype html><p>HTTP/0.9",
        b"HTTP/2 200\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
        b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nno colon here\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nName: a\0b\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\nhello\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello?\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\nhello\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nhello\r\n0\r\n\r\n",
    ] {
        eprintln!("{}", answer.escape_ascii());
        assert_failure(
            move |peer| {
                peer.read_request()?;
                peer.send(answer)
            },
            8,
            &["HTTP"],
        );
    }
}

#[test]
fn garbage_is_not_waited_for() {
    // A server that sends first, and then waits for a request that it understands.
    let peer = RawPeer::start(|peer: &mut Peer| {
        peer.send("220 mail.example.com ESMTP\r\n")?;
        peer.wait_for_close()
    });
    fetch(&["--max-time", "30", &peer.url("/")]).assert_failure(8, &["HTTP"]);
}

#[test]
fn a_head_without_end() {
    assert_failure(
        |peer| {
            peer.read_request()?;
            peer.send("HTTP/1.1 200 OK\r\n")?;
            let line = format!("X-Filler: {}\r\n", "x".repeat(1000));
            loop {
                peer.send(&line)?;
            }
        },
        63,
        &[],
    );
}

#[test]
fn nobody_listens() {
    let refuser = Refuser::new();
    let address = refuser.address().to_string();
    fetch(&[&format!("http://{address}/")]).assert_failure(7, &[&address, "refused"]);
}

#[test]
fn a_name_that_nobody_has() {
    // RFC 6761 section 6.4 keeps it unknown for ever.
    fetch(&["http://nonexistent.invalid/"]).assert_failure(6, &["nonexistent.invalid"]);
}

#[test]
fn urls_that_cannot_be_read() {
    for url in [
        "http://",
        "http://[::1/",
        "http://a b/",
        "http://127.0.0.1:99999/",
        "http://%zz/",
        "",
    ] {
        eprintln!("{url:?}");
        fetch(&[url]).assert_failure(3, &[]);
    }
}

#[test]
fn schemes_that_are_not_ours() {
    for (url, scheme) in [
        ("gopher://127.0.0.1/", "gopher"),
        ("ftp://127.0.0.1/", "ftp"),
        ("file:///etc/passwd", "file"),
    ] {
        fetch(&[url]).assert_failure(1, &[scheme]);
    }
}

#[test]
fn a_server_that_says_nothing() {
    let peer = RawPeer::start(Peer::wait_for_close);
    let finished = fetch(&["--max-time", "0.5", &peer.url("/")]);
    finished.assert_failure(28, &[]);
    assert!(
        finished.elapsed() >= Duration::from_millis(500),
        "too early: {:?}",
        finished.elapsed()
    );
}

#[test]
fn a_server_that_stops_in_the_middle() {
    for head in [
        "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n",
        "HTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.1 200 ",
    ] {
        let peer = RawPeer::start(move |peer: &mut Peer| {
            peer.read_request()?;
            peer.send(head)?;
            peer.wait_for_close()
        });
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("page");
        fetch(&[
            "--max-time",
            "0.5",
            "-o",
            file.to_str().unwrap(),
            &peer.url("/"),
        ])
        .assert_failure(28, &[]);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}

#[test]
fn a_server_that_dribbles_for_ever() {
    // It is never silent, so only the bound on the whole ends it.
    let peer = RawPeer::start(|peer: &mut Peer| {
        peer.read_request()?;
        peer.send("HTTP/1.1 200 OK\r\n\r\n")?;
        loop {
            peer.dribble("never ending ")?;
        }
    });
    fetch(&["--max-time", "0.5", &peer.url("/")]).assert_failure(28, &[]);
}

#[test]
fn silence_when_asked_for() {
    let refuser = Refuser::new();
    let finished = fetch(&["-s", &format!("http://{}/", refuser.address())]);
    finished.assert_code(7);
    assert_eq!(finished.stderr(), "");
}

#[test]
fn addresses_that_cannot_be_meant_say_what_is_wrong() {
    for (url, code, words) in [
        ("http://0.0.0.0:1/", 7, &["0.0.0.0:1", "127.0.0.1"][..]),
        ("http://0:1/", 7, &["0.0.0.0:1", "127.0.0.1"]),
        ("http://[::]:1/", 7, &["[::]:1", "[::1]"]),
        ("http://[fe80::1%25eth0]/", 3, &["zone"]),
        ("http://[fe80::1%eth0]:8080/", 3, &["zone"]),
    ] {
        let finished = Program::sockbox(["fetch", url]).run();
        finished.assert_failure(code, words);
    }
}

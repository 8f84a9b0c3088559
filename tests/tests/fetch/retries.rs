//! `sockbox fetch --retry`.

use crate::again::{Folder, fetch};
use sockbox_tests::{Node, Peer, Program, RawPeer, Refuser, Signal, eventually, pattern};
use std::fs;
use std::io::Write;
use std::time::Duration;

#[test]
fn a_retry_goes_on_where_it_ended() {
    // The first connection fails in the middle. The second one sends the rest, if the page is the
    // same.
    let page = pattern(100_000);
    let (first, second) = (page.clone(), page.clone());
    let folder = Folder::new();
    let growing = folder.page();
    let peer = RawPeer::start(move |peer: &mut Peer| {
        let head = peer.read_request()?;
        let head = String::from_utf8_lossy(&head).into_owned();
        let range = head
            .lines()
            .find_map(|line| line.strip_prefix("Range: bytes="));
        let Some(range) = range else {
            peer.send("HTTP/1.1 200 OK\r\nETag: \"v1\"\r\nContent-Length: 100000\r\n\r\n")?;
            peer.send(&first[..50_000])?;
            // The reset must not arrive before the bytes.
            eventually("half of the page to be saved", || {
                let saved = fs::metadata(&growing).ok()?.len();
                (saved == 50_000).then_some(())
            });
            return peer.reset_at_end();
        };
        let from: usize = range.split('-').next().unwrap().parse().unwrap();
        peer.send(format!(
            "HTTP/1.1 206 Partial Content\r\nETag: \"v1\"\r\nContent-Range: bytes {from}-99999/100000\r\nContent-Length: {}\r\n\r\n",
            100_000 - from
        ))?;
        peer.send(&second[from..])
    });
    let args = [
        "-s",
        "-S",
        "--retry",
        "1",
        "--retry-all-errors",
        "-C",
        "-",
        "-o",
        &folder.argument(),
    ];
    fetch(&[&args[..], &[&peer.url("/")]].concat()).assert_code(0);
    folder.assert_page(&page);
    let requests = peer.requests();
    assert_eq!(requests.len(), 2, "{requests:?}");
    assert!(requests[1].contains("\r\nRange: bytes="), "{}", requests[1]);
}

#[test]
fn a_wait_that_goes_past_a_bound_is_not_begun() {
    let busy = "HTTP/1.1 503 Busy\r\nRetry-After: 21600\r\nContent-Length: 4\r\n\r\nbusy";
    let peer = RawPeer::answering(busy);
    for (bound, told) in [
        (["-m", "5"], "--max-time is 5 s"),
        (["--retry-max-time", "5"], "--retry-max-time leaves "),
        (["--max-wall-time", "5"], "--max-wall-time leaves "),
    ] {
        let args = [&bound[..], &["--retry", "1"]].concat();
        let finished = fetch(&[&args[..], &[&peer.url("/")]].concat());
        // As in curl, the last response is the page.
        finished.assert_code(0).assert_stdout(b"busy");
        for words in ["asks for a wait of 21600 s", told] {
            let stderr = finished.stderr();
            assert!(stderr.contains(words), "{bound:?}: {stderr}");
        }
        let finished = fetch(&[&args[..], &["-f", &peer.url("/")]].concat());
        finished.assert_code(22);
    }
}

#[test]
fn retries_get_further_though_each_connection_brings_little() {
    // Less than what is asked for again, to be compared.
    const LITTLE: usize = 1000;
    let page = pattern(10_000);
    let whole = page.clone();
    let folder = Folder::with(&page[..6_000]);
    let peer = RawPeer::start(move |peer: &mut Peer| {
        let head = String::from_utf8_lossy(&peer.read_request()?).into_owned();
        let mut lines = head.lines();
        let range = lines.find_map(|line| line.strip_prefix("Range: bytes="));
        let from: usize = range.unwrap().split('-').next().unwrap().parse().unwrap();
        peer.send(format!(
            "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes {from}-9999/10000\r\nContent-Length: {}\r\n\r\n",
            10_000 - from
        ))?;
        peer.send(&whole[from..10_000.min(from + LITTLE)])
    });
    let args = ["-s", "-S", "--retry", "20", "--retry-delay", "0.01"];
    let resume = ["--retry-all-errors", "-C", "-", "-o", &folder.argument()];
    fetch(&[&args[..], &resume, &[&peer.url("/")]].concat()).assert_code(0);
    folder.assert_page(&page);
}

#[test]
fn each_retry_is_told_and_waited_for() {
    let node = Node::start();
    let url = node.url("/flaky/told/2/503");
    let finished = fetch(&["--retry", "3", "--retry-delay", "1", &url]);
    finished.assert_code(0).assert_stdout(b"at last\n");
    let told = finished.stderr();
    assert!(told.contains("503"), "why isn't told");
    assert_eq!(told.matches("503").count(), 2, "{told}");
    assert!(
        finished.elapsed() >= Duration::from_secs(2),
        "{:?}",
        finished.elapsed()
    );
    // Silently, when asked to be.
    let url = node.url("/flaky/silent/1/503");
    fetch(&["-s", "--retry", "3", &url])
        .assert_quiet_success()
        .assert_stdout(b"at last\n");
}

#[test]
fn every_status_that_passes_is_tried_again() {
    let node = Node::start();
    // At the same time: each waits for a second.
    std::thread::scope(|scope| {
        for (status, again) in [
            (408, true),
            (429, true),
            (500, true),
            (502, true),
            (503, true),
            (504, true),
            (522, true),
            (524, true),
            (400, false),
            (401, false),
            (404, false),
            (501, false),
            (505, false),
        ] {
            let url = node.url(&format!("/flaky/{status}/1/{status}"));
            scope.spawn(move || {
                let finished = fetch(&["-s", "--retry", "1", &url]);
                let expected = if again { "at last\n" } else { "not yet\n" };
                assert_eq!(finished.stdout_text(), expected, "{status}");
            });
        }
    });
}

#[test]
fn the_server_says_when() {
    let node = Node::start();
    // In a second, and not in the minutes that the option says.
    let url = node.url("/flaky/seconds/1/429?1");
    fetch(&[
        "-s",
        "-m",
        "30",
        "--retry",
        "1",
        "--retry-delay",
        "600",
        &url,
    ])
    .assert_quiet_success()
    .assert_stdout(b"at last\n");
    // The wait would exceed the time limit, so it does not wait at all.
    let url = node.url("/flaky/late/1/503?3600");
    fetch(&["-s", "-f", "--retry", "1", "--retry-max-time", "5", &url]).assert_code(22);
}

#[test]
fn timeouts_are_tried_again_and_refusals_when_asked() {
    let peer = RawPeer::start(|peer: &mut Peer| {
        peer.read_request()?;
        match peer.number() {
            1 => peer.wait_for_close(),
            _ => peer.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"),
        }
    });
    fetch(&["-s", "-m", "0.5", "--retry", "1", &peer.url("/")])
        .assert_quiet_success()
        .assert_stdout(b"hello");
    assert_eq!(peer.connections(), 2);

    let refuser = Refuser::new();
    let url = format!("http://{}/", refuser.address());
    let finished = fetch(&["--retry", "1", "--retry-connrefused", &url]);
    finished.assert_code(7);
    assert!(
        finished.elapsed() >= Duration::from_secs(1),
        "it wasn't tried again"
    );
}

#[test]
fn ctrl_c_ends_the_wait() {
    let node = Node::start();
    let url = node.url("/flaky/waiting/1/503?3600");
    let process = Program::sockbox(["fetch", "--retry", "1", &url]).start();
    process.wait_for_stderr("that it waits", |stderr| {
        stderr.contains("503").then_some(())
    });
    process.signal(Signal::INT);
    process.wait().assert_code(130).assert_stdout(b"");
}

#[test]
fn what_was_printed_is_not_printed_twice() {
    // Half a page is already in the pipe. Bytes of another response must not follow it.
    let node = Node::start();
    let url = node.url("/cut-short");
    let finished = fetch(&["-s", "--retry", "1", "--retry-all-errors", &url]);
    finished.assert_code(18);
    finished.assert_stdout(&Node::text().as_bytes()[..100]);
}

#[test]
fn bodies_are_sent_again() {
    let node = Node::start();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, pattern(100_000)).unwrap();
    let peer = RawPeer::start(|peer: &mut Peer| {
        peer.read_request()?;
        peer.read_bytes(100_000)?;
        match peer.number() {
            1 => peer.send("HTTP/1.1 503 Busy\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"),
            _ => {
                peer.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello")
            }
        }
    });
    let args = [
        "-s",
        "--retry",
        "1",
        "-T",
        file.to_str().unwrap(),
        &peer.url("/"),
    ];
    fetch(&args).assert_quiet_success().assert_stdout(b"hello");
    let requests = peer.requests();
    assert_eq!(requests.len(), 2);
    for request in requests {
        assert!(
            request.contains("\r\nContent-Length: 100000\r\n"),
            "{request}"
        );
    }
    // Redirected, too.
    let args = [
        "-s",
        "-L",
        "-T",
        file.to_str().unwrap(),
        &node.url("/redirect/307?/upload"),
    ];
    let finished = fetch(&args);
    finished.assert_quiet_success();
    assert!(
        finished.stdout_text().contains("\"size\":100000"),
        "{}",
        finished.stdout_text()
    );
}

#[test]
fn standard_input_cannot_be_sent_again() {
    let peer = RawPeer::start(|peer: &mut Peer| {
        peer.read_request()?;
        let mut body = Vec::new();
        while !body.ends_with(b"0\r\n\r\n") {
            let some = peer.read_some()?;
            assert!(!some.is_empty(), "the body ends after {body:?}");
            body.extend(some);
        }
        peer.send("HTTP/1.1 307 Over There\r\nLocation: /there\r\nContent-Length: 0\r\n\r\n")
    });
    let args = ["fetch", "-L", "-H", "Expect:", "-T", "-", &peer.url("/")];
    let mut process = Program::sockbox(args).with_stdin().start();
    process.stdin().write_all(b"a body").unwrap();
    // curl's code for that.
    process.wait().assert_failure(65, &["standard input"]);
    assert_eq!(peer.requests().len(), 1);
}

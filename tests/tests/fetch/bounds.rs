//! `sockbox fetch`: the limits on time, speed and size, and their errors.

use sockbox_tests::{Finished, Nginx, Node, Peer, Program, RawPeer, pattern};
use std::fs;
use std::time::Duration;

fn fetch(args: &[&str]) -> Finished {
    Program::sockbox(["fetch"]).args(args).run()
}

/// 10 GB, which no program keeps in memory.
const TEN_GB: u64 = 10_000_000_000;

/// How much more memory a page of any size may need than a small one, in KiB.
const MEMORY_GROWTH: u64 = 16 << 10;

/// A peer that sends 10 GB of zeros, or as many as the client reads.
fn zeros(head: &'static str) -> RawPeer {
    RawPeer::start(move |peer: &mut Peer| {
        peer.read_request()?;
        peer.send(head)?;
        if !head.contains("chunked") {
            return peer.send_zeros(TEN_GB);
        }
        for _ in 0..TEN_GB >> 30 {
            peer.send("40000000\r\n")?;
            peer.send_zeros(1 << 30)?;
            peer.send("\r\n")?;
        }
        peer.send("0\r\n\r\n")
    })
}

const WITH_LENGTH: &str = "HTTP/1.1 200 OK\r\nContent-Length: 10000000000\r\n\r\n";
const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
const UNTIL_CLOSE: &str = "HTTP/1.1 200 OK\r\n\r\n";

/// Fetch with these arguments into a file and to the null device. Assert the exit code, that it needed
/// little memory, and that no file stays.
fn assert_ends(peer: &RawPeer, args: &[&str], code: i32, words: &[&str]) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("page");
    let small = Node::start();
    let (finished, usual) =
        Program::sockbox(["fetch", "-s", "-o", "/dev/null", &small.url("/page")])
            .start()
            .wait_watching_memory();
    finished.assert_quiet_success();
    for output in [file.to_str().unwrap(), "/dev/null"] {
        let program = Program::sockbox(["fetch", "-s", "-S", "-o", output]).args(args);
        let (finished, memory) = program.args([peer.url("/")]).start().wait_watching_memory();
        finished.assert_failure(code, words);
        assert!(
            memory <= usual + MEMORY_GROWTH,
            "{memory} KiB, and {usual} KiB for a small page"
        );
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn ten_gigabytes_end_with_the_time() {
    for head in [WITH_LENGTH, CHUNKED, UNTIL_CLOSE] {
        let peer = zeros(head);
        assert_ends(&peer, &["-m", "0.5"], 28, &["500ms", "bytes"]);
    }
}

#[test]
fn ten_gigabytes_end_with_the_size() {
    for head in [WITH_LENGTH, CHUNKED, UNTIL_CLOSE] {
        let peer = zeros(head);
        assert_ends(&peer, &["--max-filesize", "20M"], 63, &[]);
    }
}

#[test]
fn ten_gigabytes_end_at_the_speed_that_is_allowed() {
    let peer = zeros(WITH_LENGTH);
    assert_ends(&peer, &["--limit-rate", "1M", "-m", "1"], 28, &["1s"]);
}

#[test]
fn a_large_body_takes_no_more_memory_than_a_small_one() {
    let node = Node::start();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    let memory = |size: u64| {
        fs::File::create(&file).unwrap().set_len(size).unwrap();
        let args = [
            "fetch",
            "-s",
            "-T",
            file.to_str().unwrap(),
            &node.url("/upload"),
        ];
        let (finished, memory) = Program::sockbox(args).start().wait_watching_memory();
        finished.assert_quiet_success();
        let size = format!("\"size\":{size},");
        assert!(finished.stdout_text().contains(&size), "{size}");
        memory
    };
    let (small, large) = (memory(1000), memory(64 << 20));
    assert!(
        large <= small + MEMORY_GROWTH,
        "{large} KiB for 64 MiB, {small} KiB for 1000 bytes"
    );
}

#[test]
fn the_stage_that_ended_it_is_told() {
    let node = Node::start();
    for (path, words) in [
        (
            "/hang",
            &["waiting for the response", "500ms", "0 bytes"][..],
        ),
        ("/hang-in-body", &["body", "500ms", "100 bytes"]),
    ] {
        fetch(&["-m", "0.5", "-o", "/dev/null", "-s", "-S", &node.url(path)])
            .assert_failure(28, words);
    }
    let peer = RawPeer::start(|peer: &mut Peer| {
        peer.read_request()?;
        peer.send("HTTP/1.1 200 ")?;
        peer.wait_for_close()
    });
    fetch(&["-m", "0.5", &peer.url("/")]).assert_failure(28, &["head", "500ms"]);
}

#[test]
fn time_is_not_up_before_it_is() {
    let node = Node::start();
    let finished = fetch(&["-s", "-m", "0.5", &node.url("/hang")]);
    finished.assert_code(28);
    assert!(
        finished.elapsed() >= Duration::from_millis(500),
        "{:?}",
        finished.elapsed()
    );
    // 0 means no limit.
    fetch(&["-m", "0", "--connect-timeout", "0", &node.url("/page")])
        .assert_quiet_success()
        .assert_stdout(Node::text().as_bytes());
}

#[test]
fn a_page_that_drips_is_too_slow_although_it_is_never_silent() {
    let node = Node::start();
    let url = node.url("/drip/20");
    let args = ["-Y", "1000", "-y", "1", "-s", "-S", "-o", "/dev/null", &url];
    let finished = fetch(&args);
    finished.assert_failure(28, &["body", "too slow", "1s", "bytes"]);
    assert!(
        finished.elapsed() >= Duration::from_secs(1),
        "{:?}",
        finished.elapsed()
    );
    // A response that hangs is too slow as well.
    let url = node.url("/hang-in-body");
    fetch(&["-Y", "1", "-y", "1", "-s", "-S", "-o", "/dev/null", &url]).assert_failure(28, &["1s"]);
    // A page that is fast enough is received.
    let peer = RawPeer::start(|peer: &mut Peer| {
        peer.read_request()?;
        peer.send("HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n")?;
        for _ in 0..15 {
            std::thread::sleep(Duration::from_millis(100));
            peer.send("x")?;
        }
        Ok(())
    });
    fetch(&["-Y", "1", "-y", "1", &peer.url("/")])
        .assert_quiet_success()
        .assert_stdout(b"xxxxxxxxxxxxxxx");
}

#[test]
fn sending_may_be_too_slow_as_well() {
    // The server neither reads the body nor responds.
    let dir = tempfile::tempdir().unwrap();
    let large = dir.path().join("large");
    fs::File::create(&large).unwrap().set_len(64 << 20).unwrap();
    let large = large.to_str().unwrap();
    let node = Node::start();
    let args = ["-Y", "1000", "-y", "1", "-H", "Expect:", "-T", large];
    fetch(&[&args[..], &[&node.url("/hang")]].concat()).assert_failure(28, &["send"]);
}

#[test]
fn a_page_comes_no_faster_than_allowed() {
    let nginx = Nginx::start();
    let page = pattern(200_000);
    nginx.write_page("page.bin", &page);
    let finished = fetch(&["--limit-rate", "200k", &nginx.url("/page.bin")]);
    finished.assert_quiet_success().assert_stdout(&page);
    // Almost a second; a little may come ahead of its time.
    assert!(
        finished.elapsed() >= Duration::from_millis(700),
        "{:?}",
        finished.elapsed()
    );
    // The request body is limited too.
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, &page).unwrap();
    let node = Node::start();
    let args = [
        "--limit-rate",
        "200k",
        "-T",
        file.to_str().unwrap(),
        &node.url("/upload"),
    ];
    let finished = fetch(&args);
    finished.assert_quiet_success();
    assert!(finished.stdout_text().contains("\"size\":200000"));
    assert!(
        finished.elapsed() >= Duration::from_millis(700),
        "{:?}",
        finished.elapsed()
    );
}

#[test]
fn a_size_is_a_limit_to_the_byte() {
    for (size, answer, code) in [
        ("5", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", 0),
        ("4", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", 63),
        ("5", "HTTP/1.1 200 OK\r\n\r\nhello", 0),
        ("4", "HTTP/1.1 200 OK\r\n\r\nhello", 63),
        (
            "5",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
            0,
        ),
        (
            "4",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
            63,
        ),
        (
            "4",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n",
            63,
        ),
    ] {
        let peer = RawPeer::answering(answer);
        let finished = fetch(&["-s", "--max-filesize", size, &peer.url("/")]);
        eprintln!("at most {size} of {answer:?}");
        finished.assert_code(code);
        if code == 0 {
            finished.assert_stdout(b"hello");
        }
    }
    // A response without a body is not too large.
    let peer = RawPeer::answering("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
    fetch(&["-s", "-I", "--max-filesize", "5", &peer.url("/")]).assert_quiet_success();
}

#[test]
fn heads_have_their_limits() {
    let line = |size: usize| format!("X-Filler: {}\r\n", "x".repeat(size - 12));
    // 256 KiB from the status line to the blank line, both included.
    let head = |size: usize| {
        let (start, end) = ("HTTP/1.1 200 OK\r\n", "Content-Length: 5\r\n\r\n");
        let mut filler = size - start.len() - end.len();
        let mut lines = String::new();
        while filler > 3000 {
            lines.push_str(&line(1000));
            filler -= 1000;
        }
        format!("{start}{lines}{}{end}", line(filler))
    };
    let interim = |count: usize| {
        let one = "HTTP/1.1 102 Processing\r\n\r\n";
        format!(
            "{}HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
            one.repeat(count)
        )
    };
    for (response, code) in [
        (head(256 << 10), 0),
        (head((256 << 10) + 1), 63),
        (interim(100), 0),
        (interim(101), 63),
    ] {
        let size = response.len();
        let peer = RawPeer::start(move |peer: &mut Peer| {
            peer.read_request()?;
            peer.send(&response)?;
            peer.send("hello")
        });
        let finished = fetch(&["-s", &peer.url("/")]);
        assert_eq!(finished.code(), code, "a head of {size} bytes");
    }
}

#[test]
fn values_that_cannot_be_read() {
    for (option, value) in [
        ("-m", "soon"),
        ("-m", "-1"),
        ("--connect-timeout", "1s"),
        ("-y", ""),
        ("-Y", "fast"),
        ("--limit-rate", "1q"),
        ("--max-filesize", "-1"),
        ("--max-redirs", "many"),
        ("--retry", "-1"),
        ("--retry", "1.5"),
        ("--retry-delay", "x"),
        ("--parallel-max", "0"),
        ("--happy-eyeballs-timeout-ms", "x"),
        ("--expect100-timeout", "x"),
    ] {
        let finished = fetch(&["-m", "10", option, value, "http://127.0.0.1:1/"]);
        eprintln!("{option} {value:?}");
        finished.assert_code(2).assert_stdout(b"");
    }
}

#[test]
fn an_upload_beyond_max_sent_fails_when_the_limit_is_reached() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, vec![b'x'; 1_000_000]).unwrap();
    let file = file.to_str().unwrap();
    for options in [
        &["-T", file][..],
        &["-T", file, "-H", "Expect:"],
        &["--data-binary", &format!("@{file}")],
    ] {
        // It answers nothing, and closes when the client does.
        let peer = RawPeer::start(|peer: &mut Peer| {
            peer.read_request()?;
            peer.send("HTTP/1.1 100 Continue\r\n\r\n")?;
            peer.wait_for_close()
        });
        // Without an end of its own the attempt would wait for a response until this time limit, which is 28.
        let program = Program::sockbox(["fetch", "--max-sent", "100k", "-m", "40"]);
        let finished = program.args(options).args([peer.url("/")]).run();
        finished.assert_failure(63, &["more bytes sent than its limit allows (--max-sent"]);
    }
}

//! `sockbox fetch --compressed`: coded pages, broken ones, and bombs.
//!
//! Whole pages are compared with curl in `beside_curl`.

use sockbox_tests::{Finished, Nginx, Node, Program, RawPeer, pattern};
use std::fs;

fn fetch(args: &[&str]) -> Finished {
    Program::sockbox(["fetch"]).args(args).run()
}

/// More than a page may take that is received piece by piece, and less than one that is kept, in KiB.
const MEMORY_GROWTH: u64 = 16 << 10;

#[test]
fn nginx_is_asked_for_it_and_does_it() {
    let nginx = Nginx::start();
    nginx.write_page("text.txt", Node::text());
    let url = nginx.url("/gzip/text.txt");
    let dir = tempfile::tempdir().unwrap();
    let head = dir.path().join("head");
    let head_option = head.to_str().unwrap();
    fetch(&["-s", "-D", head_option, "--compressed", &url])
        .assert_quiet_success()
        .assert_stdout(Node::text().as_bytes());
    let coded = fs::read_to_string(&head).unwrap();
    assert!(coded.contains("\r\nContent-Encoding: gzip\r\n"), "{coded}");
    // Without --compressed no coding is requested.
    fetch(&["-s", "-D", head_option, &url])
        .assert_quiet_success()
        .assert_stdout(Node::text().as_bytes());
    let plain = fs::read_to_string(&head).unwrap();
    assert!(!plain.contains("Content-Encoding"), "{plain}");
}

#[test]
fn what_can_be_decoded_is_asked_for() {
    let node = Node::start();
    let finished = fetch(&["--compressed", &node.url("/echo")]);
    finished.assert_quiet_success();
    let seen = finished.stdout_text();
    assert!(
        seen.contains("\naccept-encoding: gzip, deflate, br\n"),
        "{seen}"
    );
    let seen = fetch(&[&node.url("/echo")]).stdout_text();
    assert!(!seen.contains("accept-encoding"), "{seen}");
    // If the user sets Accept-Encoding, only that is sent.
    let own = [
        "--compressed",
        "-H",
        "Accept-Encoding: br",
        &node.url("/echo"),
    ];
    let seen = fetch(&own).stdout_text();
    assert!(seen.contains("\naccept-encoding: br\n"), "{seen}");
}

#[test]
fn a_page_that_is_cut_short_or_broken_is_no_page() {
    let node = Node::start();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("page");
    let file = file.to_str().unwrap();
    for coding in ["gzip", "deflate", "br"] {
        let url = node.url(&format!("/coded-cut/{coding}"));
        fetch(&["--compressed", "-s", "-S", "-o", file, &url]).assert_failure(61, &[coding]);
        // Text that isn't what it is said to be.
        let peer = RawPeer::answering(format!(
            "HTTP/1.1 200 OK\r\nContent-Encoding: {coding}\r\nContent-Length: 20\r\n\r\nnothing of the kind!"
        ));
        let url = peer.url("/");
        fetch(&["--compressed", "-s", "-S", "-o", file, &url]).assert_failure(61, &[coding]);
        // Without --compressed the same bytes are saved unchanged.
        fetch(&["-s", &url])
            .assert_quiet_success()
            .assert_stdout(b"nothing of the kind!");
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn a_coding_that_nobody_knows_is_named() {
    let node = Node::start();
    fetch(&["--compressed", &node.url("/coded/gzip,nonsense")]).assert_failure(61, &["nonsense"]);
    // More codings than any server has a reason to use.
    let many = ["gzip"; 6].join(",");
    let url = node.url(&format!("/coded/{many}"));
    fetch(&["--compressed", &url]).assert_failure(61, &[]);
    let five = ["gzip"; 5].join(",");
    let url = node.url(&format!("/coded/{five}"));
    fetch(&["--compressed", &url])
        .assert_quiet_success()
        .assert_stdout(Node::text().as_bytes());
}

#[test]
fn an_empty_page_needs_no_decoding() {
    for head in [
        "200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 0",
        "204 No Content\r\nContent-Encoding: gzip",
        "304 Not Modified\r\nContent-Encoding: br",
    ] {
        let peer = RawPeer::answering(format!("HTTP/1.1 {head}\r\n\r\n"));
        fetch(&["--compressed", &peer.url("/")])
            .assert_quiet_success()
            .assert_stdout(b"");
    }
}

#[test]
fn a_page_may_come_byte_by_byte() {
    let coded = Program::curl(["-o", "-", &Node::start().url("/coded/gzip,br")]).run();
    let mut response = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip, br\r\n\r\n".to_vec();
    response.extend_from_slice(coded.stdout());
    let peer = RawPeer::start(move |peer| {
        peer.read_request()?;
        peer.dribble(&response)
    });
    fetch(&["--compressed", &peer.url("/")])
        .assert_quiet_success()
        .assert_stdout(Node::text().as_bytes());
}

#[test]
fn a_bomb_stops_at_the_size_that_is_allowed() {
    let node = Node::start();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("page");
    let file = file.to_str().unwrap();
    for coding in ["gzip", "deflate", "br"] {
        // 10 GB of zeros when decoded.
        let url = node.url(&format!("/bomb/{coding}/10240"));
        let args = [
            "--compressed",
            "--max-filesize",
            "5M",
            "-s",
            "-S",
            "-o",
            file,
            &url,
        ];
        fetch(&args).assert_failure(63, &[]);
        let args = ["--compressed", "-m", "1", "-s", "-S", "-o", file, &url];
        fetch(&args).assert_failure(28, &["1s"]);
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn decoding_takes_no_more_memory_for_a_large_page() {
    let node = Node::start();
    for coding in ["gzip", "br"] {
        let memory = |size: &str| {
            let url = node.url(&format!("/bomb/{coding}/{size}"));
            let args = ["fetch", "--compressed", "-s", "-o", "/dev/null", &url];
            let (finished, memory) = Program::sockbox(args).start().wait_watching_memory();
            finished.assert_quiet_success();
            memory
        };
        let (small, large) = (memory("1"), memory("64"));
        assert!(
            large <= small + MEMORY_GROWTH,
            "{coding}: {large} KiB for 64 MiB, {small} KiB for 1 MiB"
        );
    }
}

#[test]
fn a_page_that_cannot_be_made_smaller() {
    let page = pattern(1 << 20);
    let nginx = Nginx::start();
    assert_eq!(nginx.page("1m.bin"), page);
    fetch(&["--compressed", &nginx.url("/gzip/1m.bin")])
        .assert_quiet_success()
        .assert_stdout(&page);
}

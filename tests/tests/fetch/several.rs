//! `sockbox fetch` of several pages, one after the other and at the same time (`-Z`), and where their
//! files go.

use serde_json::Value;
use sockbox_tests::{
    Finished, Nginx, Node, Peer, Program, RawPeer, Refuser, Signal, Tripwire, eventually,
};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::time::Duration;

fn fetch_in(dir: &Path, args: &[&str]) -> Finished {
    Program::sockbox(["fetch"])
        .args(args)
        .current_dir(dir)
        .run()
}

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

const HELLO: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

#[test]
fn all_transfers_at_once_have_the_policy_that_was_read_once() {
    let peer = RawPeer::answering("HTTP/1.1 204 No Content\r\n\r\n");
    let tripwire = Tripwire::new();
    // A pipe can be read once. A second read would find an empty policy, and so no denial.
    let (policy, mut writer) = std::io::pipe().unwrap();
    let denied = format!("deny-connect = [\"{}\"]\n", tripwire.address());
    std::io::Write::write_all(&mut writer, denied.as_bytes()).unwrap();
    drop(writer);
    let denied = format!("http://{}/", tripwire.address());
    let urls = [denied.clone(), peer.url("/"), denied.clone(), denied];
    let finished = Program::sockbox(["fetch", "-Z", "--policy", "/dev/stdin"])
        .args(&urls)
        .stdin(policy)
        .run();
    finished.assert_code(126);
    let refused = finished.stderr().matches("deny-connect").count();
    assert_eq!(refused, 3, "{}", finished.stderr());
    tripwire.assert_untouched();
}

#[test]
fn pages_at_the_same_time_are_fetched_at_the_same_time() {
    // No request is answered before all have arrived.
    const COUNT: usize = 20;
    let barrier = Arc::new(Barrier::new(COUNT));
    let peer = RawPeer::start(move |peer: &mut Peer| {
        peer.read_request()?;
        barrier.wait();
        peer.send(HELLO)
    });
    let dir = tempfile::tempdir().unwrap();
    let mut args = vec![
        "-s".to_owned(),
        "-Z".to_owned(),
        "-m".to_owned(),
        "30".to_owned(),
    ];
    for number in 0..COUNT {
        args.extend([
            "-o".to_owned(),
            format!("{number:02}"),
            peer.url(&format!("/{number}")),
        ]);
    }
    Program::sockbox(["fetch"])
        .args(&args)
        .current_dir(dir.path())
        .run()
        .assert_quiet_success();
    let expected: Vec<String> = (0..COUNT).map(|number| format!("{number:02}")).collect();
    assert_eq!(names(dir.path()), expected);
    for name in expected {
        assert_eq!(fs::read_to_string(dir.path().join(name)).unwrap(), "hello");
    }
}

#[test]
fn not_more_at_the_same_time_than_allowed() {
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let most_seen = Arc::clone(&most);
    let peer = RawPeer::start(move |peer: &mut Peer| {
        peer.read_request()?;
        let here = now.fetch_add(1, Ordering::SeqCst) + 1;
        most_seen.fetch_max(here, Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(50));
        now.fetch_sub(1, Ordering::SeqCst);
        peer.send(HELLO)
    });
    let dir = tempfile::tempdir().unwrap();
    let url = peer.url("/");
    let urls = ["-o", "/dev/null", url.as_str()].repeat(12);
    fetch_in(
        dir.path(),
        &[&["-s", "-Z", "--parallel-max", "3"], &urls[..]].concat(),
    )
    .assert_quiet_success();
    assert_eq!(peer.requests().len(), 12);
    assert!((2..=3).contains(&most.load(Ordering::SeqCst)), "{most:?}");
}

#[test]
fn pages_at_the_same_time_use_connections_again() {
    let node = Node::start();
    let url = node.url("/hints");
    let urls = ["-o", "/dev/null", url.as_str()].repeat(12);
    let options = ["-s", "-Z", "--parallel-max", "3", "-w", "%{num_connects}\n"];
    let finished = fetch_in(Path::new("."), &[&options, &urls[..]].concat());
    finished.assert_code(0);
    let counts = finished.stdout_text();
    let connected = counts.lines().filter(|count| *count == "1").count();
    assert_eq!(counts.lines().count(), 12, "{counts}");
    assert!((1..=3).contains(&connected), "{counts}");
}

#[test]
fn a_sandbox_fetches_from_one_origin() {
    let dir = tempfile::tempdir().unwrap();
    let peers = [RawPeer::answering(HELLO), RawPeer::answering(HELLO)];
    let urls: Vec<String> = (0..8).map(|number| peers[number % 2].url("/")).collect();
    let urls: Vec<&str> = urls
        .iter()
        .flat_map(|url| ["-o", "/dev/null", url])
        .collect();
    let options = ["-s", "-Z", "--parallel-max", "3", "--audit", "record"];
    fetch_in(dir.path(), &[&options, &urls[..]].concat()).assert_quiet_success();
    let record = fs::read_to_string(dir.path().join("record")).unwrap();
    let mut origins: BTreeMap<u64, BTreeSet<String>> = BTreeMap::new();
    for line in record.lines() {
        let event: Value = serde_json::from_str(line).unwrap();
        if event["event"] == "decision" && event["operation"] == "connect" {
            let run = event["run"].as_u64().unwrap();
            let address = event["target"].as_str().unwrap().to_owned();
            origins.entry(run).or_default().insert(address);
        }
    }
    assert!(origins.len() >= 2, "{record}");
    assert!(
        origins.values().all(|origins| origins.len() == 1),
        "{record}"
    );
}

#[test]
fn a_page_that_fails_takes_no_other_with_it() {
    let (node, refuser) = (Node::start(), Refuser::new());
    let refused = format!("http://{}/", refuser.address());
    for parallel in [&[][..], &["-Z"]] {
        let dir = tempfile::tempdir().unwrap();
        let urls = [
            "-o",
            "1",
            &node.url("/hints"),
            "-o",
            "2",
            &refused,
            "-o",
            "3",
            &node.url("/cut-short"),
            "-o",
            "4",
            &node.url("/trailers"),
        ];
        let finished = fetch_in(dir.path(), &[&["-s", "-S"], parallel, &urls].concat());
        let code = finished.code();
        assert!(
            code == 18 || (code == 7 && !parallel.is_empty()),
            "exit code {code}"
        );
        assert_eq!(names(dir.path()), ["1", "4"]);
        // Each failure is reported on a separate line.
        assert_eq!(
            finished.stderr().lines().count(),
            2,
            "{}",
            finished.stderr()
        );
        for word in ["(7)", "(18)"] {
            assert!(finished.stderr().contains(word), "{word} isn't told");
        }
    }
}

#[test]
fn what_one_may_reach_the_other_may_not() {
    // With -Z each URL has its own sandbox. Without it they share one, including the grants for all
    // URLs.
    let aim = RawPeer::answering(HELLO);
    let there = format!("http://localhost:{}/", aim.address().port());
    let peer = RawPeer::answering(format!(
        "HTTP/1.1 302 Found\r\nLocation: {there}\r\nContent-Length: 0\r\n\r\n"
    ));
    let dir = tempfile::tempdir().unwrap();
    let urls = ["-o", "1", &peer.url("/"), "-o", "2", &there];
    let finished = fetch_in(dir.path(), &[&["-s", "-Z", "-L"], &urls[..]].concat());
    finished.assert_code(126);
    assert_eq!(names(dir.path()), ["2"]);
}

#[test]
fn ctrl_c_ends_all_and_leaves_no_half_file() {
    let node = Node::start();
    let dir = tempfile::tempdir().unwrap();
    let process = Program::sockbox(["fetch", "-s", "-Z"])
        .args(["-o", "whole", &node.url("/page")])
        .args([
            "-o",
            "1",
            &node.url("/hang-in-body"),
            "-o",
            "2",
            &node.url("/hang-in-body"),
        ])
        .current_dir(dir.path())
        .start();
    eventually("the first page, and parts of the others", || {
        let files = fs::read_dir(dir.path()).unwrap().flatten();
        let sizes = files.filter_map(|file| Some(file.metadata().ok()?.len()));
        let parts = sizes.filter(|size| *size >= 100).count();
        (parts == 3 && dir.path().join("whole").exists()).then_some(())
    });
    process.signal(Signal::INT);
    process.wait().assert_code(130);
    assert_eq!(names(dir.path()), ["whole"]);
}

#[test]
fn a_name_from_the_url_stays_in_the_folder() {
    let peer = RawPeer::answering(HELLO);
    let outside = tempfile::tempdir().unwrap();
    for (path, name) in [
        ("/page", "page"),
        ("/a/b/page?c/d#e/f", "page"),
        ("/%70age", "%70age"),
        ("/..%2f..%2fpage", "..%2f..%2fpage"),
        ("/a/..%5c..%5cpage", "..%5c..%5cpage"),
        ("/.hidden", ".hidden"),
        ("/-o", "-o"),
    ] {
        let dir = outside.path().join("inside");
        fs::create_dir(&dir).unwrap();
        fetch_in(&dir, &["-s", "-O", &peer.url(path)]).assert_quiet_success();
        assert_eq!(names(&dir), [name], "{path}");
        fs::remove_dir_all(&dir).unwrap();
    }
    assert_eq!(names(outside.path()), [""; 0]);
    // A URL without a name has none to give.
    for path in ["/", "/a/", "/?name", ""] {
        let url = format!("http://{}{path}", peer.address());
        let finished = fetch_in(outside.path(), &["-s", "-S", "-O", &url]);
        assert_ne!(finished.code(), 0, "{path:?}");
        assert!(finished.stderr().contains("-O") || finished.stderr().contains("name"));
    }
    assert_eq!(names(outside.path()), [""; 0]);
}

#[test]
fn folders_are_made_when_asked_for() {
    let nginx = Nginx::start();
    let dir = tempfile::tempdir().unwrap();
    let url = nginx.url("/page.html");
    fetch_in(dir.path(), &["-s", "-o", "a/b/page", &url]).assert_code(23);
    assert_eq!(names(dir.path()), [""; 0]);
    fetch_in(dir.path(), &["-s", "--create-dirs", "-o", "a/b/page", &url]).assert_quiet_success();
    fetch_in(
        dir.path(),
        &["-s", "--create-dirs", "--output-dir", "c/d", "-O", &url],
    )
    .assert_quiet_success();
    for path in ["a/b/page", "c/d/page.html"] {
        assert_eq!(
            fs::read(dir.path().join(path)).unwrap(),
            nginx.page("page.html")
        );
    }
    // A file is in the way.
    fetch_in(
        dir.path(),
        &["-s", "--create-dirs", "-o", "a/b/page/x", &url],
    )
    .assert_code(23);
}

#[test]
fn nothing_is_replaced_when_asked_not_to() {
    let peer = RawPeer::answering(HELLO);
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("page"), "as it was").unwrap();
    let url = peer.url("/page");
    for _ in 0..3 {
        fetch_in(dir.path(), &["-s", "--no-clobber", "-O", &url]).assert_quiet_success();
    }
    assert_eq!(names(dir.path()), ["page", "page.1", "page.2", "page.3"]);
    assert_eq!(
        fs::read_to_string(dir.path().join("page")).unwrap(),
        "as it was"
    );
    assert_eq!(
        fs::read_to_string(dir.path().join("page.3")).unwrap(),
        "hello"
    );
    // Not by several at the same time, either.
    let four = ["-o", "page", url.as_str()].repeat(4);
    fetch_in(
        dir.path(),
        &[&["-s", "-Z", "--no-clobber"], &four[..]].concat(),
    )
    .assert_quiet_success();
    assert_eq!(names(dir.path()).len(), 8);
    for number in 1..8 {
        let page = dir.path().join(format!("page.{number}"));
        assert_eq!(fs::read_to_string(page).unwrap(), "hello");
    }
}

//! `sockbox fetch`: the output, and its state after failures.

use sockbox_tests::{Finished, Nginx, Peer, Program, RawPeer, Signal, eventually, pattern};
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::sync::{Arc, Mutex, mpsc};

/// A page that is too large to be kept in memory unnoticed.
const LARGE: usize = 64 << 20;

/// How much more memory a large page may take than a small one, in KiB.
const MEMORY_GROWTH: u64 = 16 << 10;

fn fetch(args: &[&str]) -> Finished {
    Program::sockbox(["fetch"]).args(args).run()
}

/// The names of the files in a folder.
fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = entries.collect();
    names.sort();
    names
}

#[test]
fn a_saved_page_is_byte_for_byte_curls() {
    let nginx = Nginx::start();
    nginx.write_page("64m.bin", pattern(LARGE));
    let dir = tempfile::tempdir().unwrap();
    let (ours, curls) = (dir.path().join("ours"), dir.path().join("curls"));
    for path in [
        "/page.html",
        "/empty.txt",
        "/chunked/1m.bin",
        "/close/1m.bin",
        "/64m.bin",
    ] {
        let url = nginx.url(path);
        let finished = fetch(&["-o", ours.to_str().unwrap(), &url]);
        finished.assert_quiet_success();
        let head = finished.stdout_text();
        assert!(
            head.starts_with("HTTP/1.1 200 OK\r\n"),
            "{path}: the head isn't printed"
        );
        assert!(
            head.ends_with("\r\n\r\n"),
            "{path}: more than the head is printed, or less"
        );
        Program::curl(["-o", curls.to_str().unwrap(), &url])
            .run()
            .assert_quiet_success();
        assert!(
            fs::read(&ours).unwrap() == fs::read(&curls).unwrap(),
            "{path} differs from curl's"
        );
    }
    assert_eq!(names(dir.path()), ["curls", "ours"]);
}

#[test]
fn a_saved_page_has_a_files_usual_permissions() {
    let peer = RawPeer::answering("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
    let dir = tempfile::tempdir().unwrap();
    let (page, usual) = (dir.path().join("page"), dir.path().join("usual"));
    File::create(&usual).unwrap();
    fetch(&["-o", page.to_str().unwrap(), &peer.url("/")]).assert_quiet_success();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode();
    assert_eq!(format!("{:o}", mode(&page)), format!("{:o}", mode(&usual)));
}

#[test]
fn what_was_there_before_is_replaced() {
    let peer = RawPeer::answering("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
    let dir = tempfile::tempdir().unwrap();
    let (page, link, aim) = (
        dir.path().join("page"),
        dir.path().join("link"),
        dir.path().join("aim"),
    );
    fs::write(&page, "what was there before").unwrap();
    fs::write(&aim, "what the link leads to").unwrap();
    symlink(&aim, &link).unwrap();
    for file in [&page, &link] {
        fetch(&["-o", file.to_str().unwrap(), &peer.url("/")]).assert_quiet_success();
        assert_eq!(fs::read_to_string(file).unwrap(), "hello");
    }
    // The page is where the link leads to, and the link is still one.
    assert_eq!(fs::read_to_string(&aim).unwrap(), "hello");
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(names(dir.path()), ["aim", "link", "page"]);
}

#[test]
fn a_name_without_a_folder_is_in_this_one() {
    let peer = RawPeer::answering("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
    let dir = tempfile::tempdir().unwrap();
    Program::sockbox(["fetch", "-o", "page", &peer.url("/")])
        .current_dir(dir.path())
        .run()
        .assert_quiet_success();
    assert_eq!(names(dir.path()), ["page"]);
    assert_eq!(
        fs::read_to_string(dir.path().join("page")).unwrap(),
        "hello"
    );
}

#[test]
fn a_dash_is_standard_output() {
    let peer = RawPeer::answering("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
    let dir = tempfile::tempdir().unwrap();
    let program = Program::sockbox(["fetch", "-o", "-", &peer.url("/")]).current_dir(dir.path());
    program.run().assert_quiet_success().assert_stdout(b"hello");
    assert_eq!(names(dir.path()), [""; 0]);
}

#[test]
fn a_device_is_written_to_and_stays_a_device() {
    let peer = RawPeer::answering("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
    fetch(&["-o", "/dev/null", &peer.url("/")]).assert_quiet_success();
    assert!(!fs::metadata("/dev/null").unwrap().is_file());
}

#[test]
fn a_folder_that_is_not_there() {
    let peer = RawPeer::answering("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("missing/page");
    // Whether the server is asked before that is noticed doesn't matter; the raw peer wants a client.
    fetch(&[&peer.url("/")]).assert_quiet_success();
    fetch(&["-o", file.to_str().unwrap(), &peer.url("/")])
        .assert_failure(23, &[file.to_str().unwrap()]);
    // A folder in the file's place.
    let folder = dir.path().join("folder");
    fs::create_dir(&folder).unwrap();
    fetch(&["-o", folder.to_str().unwrap(), &peer.url("/")])
        .assert_failure(23, &[folder.to_str().unwrap()]);
    assert_eq!(names(dir.path()), ["folder"]);
}

#[test]
fn a_disk_that_is_full() {
    let page = pattern(1 << 20);
    let mut response = b"HTTP/1.1 200 OK\r\nContent-Length: 1048576\r\n\r\n".to_vec();
    response.extend_from_slice(&page);
    let peer = RawPeer::answering(response);
    fetch(&["-o", "/dev/full", &peer.url("/")]).assert_failure(23, &["/dev/full"]);

    // The same behind standard output.
    for args in [&["fetch"][..], &["fetch", "-i"]] {
        let full = File::options().write(true).open("/dev/full").unwrap();
        Program::sockbox(args)
            .args([peer.url("/")])
            .stdout(full)
            .run()
            .assert_failure(23, &[]);
    }
}

#[test]
fn a_reader_that_has_seen_enough() {
    let mut response = format!("HTTP/1.1 200 OK\r\nContent-Length: {LARGE}\r\n\r\n").into_bytes();
    response.resize(response.len() + LARGE, b'x');
    let peer = RawPeer::answering(response);
    let (process, mut pipe) = Program::sockbox(["fetch", &peer.url("/")]).start_with_pipe();
    pipe.read_exact(&mut [0; 10]).unwrap();
    drop(pipe);
    // As with `head`, a closed pipe is not reported.
    let finished = process.wait();
    finished.assert_code(23);
    assert_eq!(finished.stderr(), "");
}

/// A peer that sends a page of `size` bytes, the last of them only when it is told to.
fn peer_that_holds_the_last_byte(size: usize) -> (RawPeer, mpsc::Sender<()>) {
    let (release, released) = mpsc::channel();
    let released = Arc::new(Mutex::new(released));
    let peer = RawPeer::start(move |peer: &mut Peer| {
        peer.read_request()?;
        peer.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n"))?;
        let block = pattern(size.min(1 << 20));
        let mut left = size - 1;
        while left > 0 {
            let part = left.min(block.len());
            peer.send(&block[..part])?;
            left -= part;
        }
        // The sender may already be dropped if its test has failed.
        let _ = released.lock().unwrap().recv();
        peer.send("!")
    });
    (peer, release)
}

/// The most memory that a fetch of a page of this size took until the last byte, in KiB.
fn memory_of_printing(size: usize) -> u64 {
    let (peer, release) = peer_that_holds_the_last_byte(size);
    let (process, mut pipe) = Program::sockbox(["fetch", &peer.url("/")]).start_with_pipe();
    let mut buffer = vec![0; 1 << 20];
    let mut left = size - 1;
    while left > 0 {
        let part = left.min(buffer.len());
        pipe.read_exact(&mut buffer[..part]).unwrap();
        left -= part;
    }
    let memory = process.peak_memory();
    release.send(()).unwrap();
    let mut rest = Vec::new();
    pipe.read_to_end(&mut rest).unwrap();
    assert_eq!(rest, b"!");
    process.wait().assert_quiet_success();
    memory
}

/// The same of a page that is saved.
fn memory_of_saving(size: usize) -> u64 {
    let (peer, release) = peer_that_holds_the_last_byte(size);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("page");
    let process = Program::sockbox(["fetch", "-o", file.to_str().unwrap(), &peer.url("/")]).start();
    process.wait_for_stdout("the head", |stdout| {
        stdout.ends_with("\r\n\r\n").then_some(())
    });
    // All but what may be on its way through a buffer.
    let nearly_all = (size - 1).saturating_sub(1 << 20).max(1) as u64;
    eventually("nearly all of the page to be saved", || {
        let saved: u64 = fs::read_dir(dir.path())
            .unwrap()
            .map(|entry| entry.unwrap().metadata().unwrap().len())
            .sum();
        (saved >= nearly_all && names(dir.path()).len() == 1).then_some(())
    });
    let memory = process.peak_memory();
    assert!(!file.exists(), "the page has its name before it is whole");
    release.send(()).unwrap();
    process.wait().assert_quiet_success();
    assert_eq!(fs::metadata(&file).unwrap().len(), size as u64);
    memory
}

#[test]
fn a_large_page_takes_no_more_memory_than_a_small_one() {
    for (how, memory) in [
        ("printing", memory_of_printing as fn(usize) -> u64),
        ("saving", memory_of_saving),
    ] {
        let (small, large) = (memory(1000), memory(LARGE));
        assert!(
            large <= small + MEMORY_GROWTH,
            "{how}: {large} KiB for 64 MiB, {small} KiB for 1000 bytes"
        );
    }
}

/// Interrupt a fetch with half a page in the file, and assert that no file stays.
fn interrupt(signal: Signal, code: i32) {
    let (peer, _never) = peer_that_holds_the_last_byte(1 << 20);
    let dir = tempfile::tempdir().unwrap();
    let old = dir.path().join("old");
    fs::write(&old, "as it was").unwrap();
    for file in [&old, &dir.path().join("new")] {
        let process =
            Program::sockbox(["fetch", "-o", file.to_str().unwrap(), &peer.url("/")]).start();
        eventually("a part of the page to be saved", || {
            let mut sizes = fs::read_dir(dir.path())
                .unwrap()
                .filter_map(|entry| entry.unwrap().metadata().ok());
            sizes.any(|metadata| metadata.len() > 100_000).then_some(())
        });
        process.signal(signal);
        process.wait().assert_code(code);
        assert_eq!(names(dir.path()), ["old"]);
        assert_eq!(fs::read_to_string(&old).unwrap(), "as it was");
    }
}

#[test]
fn ctrl_c_leaves_no_half_page() {
    interrupt(Signal::INT, 130);
}

#[test]
fn sigterm_leaves_no_half_page() {
    interrupt(Signal::TERM, 143);
}

#[test]
fn a_closed_terminal_leaves_no_half_page() {
    interrupt(Signal::HUP, 129);
}

#[test]
fn ctrl_c_ends_a_fetch_that_waits() {
    let peer = RawPeer::start(|peer: &mut Peer| {
        peer.read_request()?;
        peer.wait_for_close()
    });
    let process = Program::sockbox(["fetch", &peer.url("/")]).start();
    eventually("the request to arrive", || {
        (!peer.requests().is_empty()).then_some(())
    });
    process.signal(Signal::INT);
    process.wait().assert_code(130);
}

//! `sockbox fetch`: retries, resuming a download, and conditional requests.

use sockbox_tests::{
    Finished, Lighttpd, Nginx, Node, Peer, Program, PythonHttp, RawPeer, Refuser, Signal,
    eventually, pattern,
};
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

fn fetch(args: &[&str]) -> Finished {
    Program::sockbox(["fetch"]).args(args).run()
}

/// A folder with one file in it, named `page`.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn with(content: &[u8]) -> Self {
        let folder = Self::new();
        fs::write(folder.page(), content).unwrap();
        folder
    }

    fn page(&self) -> PathBuf {
        self.0.path().join("page")
    }

    fn argument(&self) -> String {
        self.page().to_str().unwrap().to_owned()
    }

    /// Assert that the page has this content, and that there is nothing beside it.
    #[track_caller]
    fn assert_page(&self, content: &[u8]) {
        let page = fs::read(self.page()).expect("a page");
        assert!(
            page == content,
            "{} bytes, not {}",
            page.len(),
            content.len()
        );
        assert_eq!(names(self.0.path()), ["page"]);
    }

    /// When the page was last written.
    fn written(&self) -> SystemTime {
        fs::metadata(self.page()).unwrap().modified().unwrap()
    }
}

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// Resume the folder's page.
fn go_on(folder: &Folder, url: &str) -> Finished {
    fetch(&["-s", "-S", "-C", "-", "-o", &folder.argument(), url])
}

#[test]
fn half_a_page_becomes_a_whole_one() {
    let (nginx, lighttpd) = (Nginx::start(), Lighttpd::start());
    let page = nginx.page("1m.bin");
    for url in [nginx.url("/1m.bin"), lighttpd.url("/1m.bin")] {
        for have in [1, 100, 4096, 5000, 1 << 19, (1 << 20) - 1] {
            let folder = Folder::with(&page[..have]);
            go_on(&folder, &url).assert_quiet_success();
            folder.assert_page(&page);
        }
    }
    // Only the rest was sent.
    let folder = Folder::with(&page[..1 << 19]);
    let args = [
        "-s",
        "-C",
        "-",
        "-o",
        &folder.argument(),
        "-w",
        "%{http_code} %{size_download}",
    ];
    let finished = fetch(&[&args[..], &[&nginx.url("/1m.bin")]].concat());
    finished.assert_quiet_success();
    let told = finished.stdout_text();
    let (code, size) = told.split_once(' ').expect("two facts");
    assert_eq!(code, "206");
    let size: usize = size.parse().unwrap();
    assert!((1 << 19..1 << 20).contains(&size), "{size} bytes were sent");
}

#[test]
fn a_page_that_is_not_there_is_fetched() {
    let nginx = Nginx::start();
    let folder = Folder::new();
    go_on(&folder, &nginx.url("/1m.bin")).assert_quiet_success();
    folder.assert_page(&nginx.page("1m.bin"));
    let folder = Folder::with(b"");
    go_on(&folder, &nginx.url("/1m.bin")).assert_quiet_success();
    folder.assert_page(&nginx.page("1m.bin"));
}

#[test]
fn a_page_that_is_complete_is_left_alone() {
    let (nginx, lighttpd) = (Nginx::start(), Lighttpd::start());
    for (url, page) in [
        (nginx.url("/1m.bin"), nginx.page("1m.bin")),
        (lighttpd.url("/page.html"), lighttpd.page("page.html")),
    ] {
        let folder = Folder::with(&page);
        let written = folder.written();
        go_on(&folder, &url).assert_quiet_success();
        folder.assert_page(&page);
        assert_eq!(folder.written(), written);
    }
}

#[test]
fn what_is_not_the_pages_beginning_is_replaced() {
    let nginx = Nginx::start();
    let page = nginx.page("1m.bin");
    let mut changed_at_the_end = page[..5000].to_vec();
    changed_at_the_end[4999] ^= 1;
    let mut longer = page.clone();
    longer.extend_from_slice(b"and more");
    for (what, have) in [
        ("another page", b"nothing of the kind".to_vec()),
        ("another end", changed_at_the_end),
        ("a longer page", longer),
    ] {
        eprintln!("{what}");
        let folder = Folder::with(&have);
        go_on(&folder, &nginx.url("/1m.bin")).assert_quiet_success();
        folder.assert_page(&page);
    }
    // The page is newer than the file, so an equal end proves nothing.
    let folder = Folder::with(&page[..5000]);
    let long_ago = SystemTime::UNIX_EPOCH + sockbox_tests::OLD;
    let file = File::options().write(true).open(folder.page()).unwrap();
    file.set_modified(long_ago).unwrap();
    let args = [
        "-s",
        "-C",
        "-",
        "-o",
        &folder.argument(),
        "-w",
        "%{http_code}",
    ];
    let finished = fetch(&[&args[..], &[&nginx.url("/1m.bin")]].concat());
    finished.assert_quiet_success();
    folder.assert_page(&page);
    assert_eq!(finished.stdout_text(), "200");
}

#[test]
fn a_server_without_ranges_sends_all_of_it_again() {
    let dir = tempfile::tempdir().unwrap();
    let page = pattern(100_000);
    fs::write(dir.path().join("page.bin"), &page).unwrap();
    let python = PythonHttp::serving(dir.path());
    let folder = Folder::with(&page[..5000]);
    go_on(&folder, &python.url("/page.bin")).assert_quiet_success();
    folder.assert_page(&page);
}

#[test]
fn ranges_that_nobody_asked_for_are_not_believed() {
    // The file has "hello wo", and the page is "hello world".
    for answer in [
        "206 Partial Content\r\nContent-Range: bytes 0-2/11\r\nContent-Length: 3\r\n\r\nevi",
        "206 Partial Content\r\nContent-Range: bytes 9-10/11\r\nContent-Length: 2\r\n\r\nld",
        "206 Partial Content\r\nContent-Range: bytes 4-3/11\r\nContent-Length: 2\r\n\r\nld",
        "206 Partial Content\r\nContent-Range: bytes 0-10/5\r\nContent-Length: 11\r\n\r\nhello world",
        "206 Partial Content\r\nContent-Range: lines 0-10/11\r\nContent-Length: 11\r\n\r\nhello world",
        "206 Partial Content\r\nContent-Length: 3\r\n\r\nrld",
        "206 Partial Content\r\nContent-Type: multipart/byteranges; boundary=x\r\nContent-Length: 3\r\n\r\nrld",
        "416 Range Not Satisfiable\r\nContent-Range: bytes */5\r\nContent-Length: 0\r\n\r\n",
        "416 Range Not Satisfiable\r\nContent-Length: 0\r\n\r\n",
    ] {
        eprintln!("{answer:?}");
        let peer = RawPeer::start(move |peer: &mut Peer| {
            while let Ok(head) = peer.read_request() {
                let ranged = String::from_utf8_lossy(&head).contains("\r\nRange: ");
                let whole = "200 OK\r\nContent-Length: 11\r\n\r\nhello world";
                peer.send(format!("HTTP/1.1 {}", if ranged { answer } else { whole }))?;
            }
            Ok(())
        });
        let folder = Folder::with(b"hello wo");
        go_on(&folder, &peer.url("/")).assert_quiet_success();
        folder.assert_page(b"hello world");
    }
}

#[test]
fn what_has_come_is_kept_for_the_next_time() {
    let node = Node::start();
    let text = Node::text();
    for (path, code) in [("/cut-short", 18), ("/reset-in-body", 56)] {
        let folder = Folder::new();
        go_on(&folder, &node.url(path)).assert_code(code);
        folder.assert_page(&text.as_bytes()[..100]);
        // And without -C it isn't.
        let folder = Folder::new();
        fetch(&["-s", "-o", &folder.argument(), &node.url(path)]).assert_code(code);
        assert_eq!(names(folder.0.path()), [""; 0]);
    }
    let folder = Folder::new();
    let args = ["-s", "-m", "0.5", "-C", "-", "-o", &folder.argument()];
    fetch(&[&args[..], &[&node.url("/hang-in-body")]].concat()).assert_code(28);
    folder.assert_page(&text.as_bytes()[..100]);
}

#[test]
fn ctrl_c_keeps_what_has_come_if_one_will_go_on() {
    let nginx = Nginx::start();
    let page = nginx.page("1m.bin");
    let folder = Folder::new();
    let args = [
        "fetch",
        "-s",
        "--limit-rate",
        "200k",
        "-C",
        "-",
        "-o",
        &folder.argument(),
    ];
    let process = Program::sockbox(args).args([nginx.url("/1m.bin")]).start();
    eventually("a part of the page", || {
        let length = fs::metadata(folder.page()).ok()?.len();
        (length > 1000).then_some(())
    });
    process.signal(Signal::INT);
    process.wait().assert_code(130);
    let half = fs::read(folder.page()).unwrap();
    assert!(half.len() < page.len() && page.starts_with(&half));
    go_on(&folder, &nginx.url("/1m.bin")).assert_quiet_success();
    folder.assert_page(&page);
}

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
fn going_on_does_not_go_with_everything() {
    for args in [
        &["-C", "100", "-o", "/tmp/never"][..],
        &["-C", "-", "-I", "-o", "/tmp/never"],
        &["-C", "-", "-d", "x", "-o", "/tmp/never"],
        &["-C", "-", "-T", "/dev/null", "-o", "/tmp/never"],
        &["-C", "-", "--compressed", "-o", "/tmp/never"],
        &["-C", "-", "--no-clobber", "-o", "/tmp/never"],
    ] {
        let finished = fetch(&[args, &["http://127.0.0.1:1/"]].concat());
        finished.assert_code(2).assert_stdout(b"");
        let told = finished.stderr();
        assert!(
            told.contains("-C") || told.contains("--continue-at"),
            "{args:?}"
        );
    }
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

#[test]
fn only_what_is_new_is_fetched() {
    let nginx = Nginx::start();
    let page = nginx.page("page.html");
    let folder = Folder::new();
    let tag = folder.0.path().join("tag");
    let tag = tag.to_str().unwrap();
    let url = nginx.url("/page.html");
    let file = folder.argument();
    let args = ["-s", "--etag-save", tag, "--etag-compare", tag, "-o", &file];
    // The first time there is no tag, the second time it is the same, the third time another.
    fetch(&[&args[..], &[&url]].concat()).assert_quiet_success();
    assert_eq!(fs::read(folder.page()).unwrap(), page);
    let first_tag = fs::read_to_string(tag).unwrap();
    assert!(first_tag.starts_with('"'), "{first_tag:?}");
    fs::write(folder.page(), "as it was").unwrap();
    fetch(&[&args[..], &[&url]].concat()).assert_quiet_success();
    assert_eq!(fs::read(folder.page()).unwrap(), b"as it was");
    assert_eq!(fs::read_to_string(tag).unwrap(), first_tag);
    nginx.write_page("page.html", "a new page");
    fetch(&[&args[..], &[&url]].concat()).assert_quiet_success();
    assert_eq!(fs::read(folder.page()).unwrap(), b"a new page");
    assert_ne!(fs::read_to_string(tag).unwrap(), first_tag);
}

#[test]
fn a_file_is_compared_by_its_date() {
    let lighttpd = Lighttpd::start();
    let url = lighttpd.url("/page.html");
    let folder = Folder::with(b"as it was");
    let file = folder.argument();
    // The file is younger than the page.
    fetch(&["-s", "-z", &file, "-o", &file, &url]).assert_quiet_success();
    folder.assert_page(b"as it was");
    // And now it is older.
    let long_ago = SystemTime::UNIX_EPOCH + sockbox_tests::OLD;
    let handle = File::options().write(true).open(folder.page()).unwrap();
    handle.set_modified(long_ago).unwrap();
    fetch(&["-s", "-z", &file, "-o", &file, &url]).assert_quiet_success();
    folder.assert_page(&lighttpd.page("page.html"));
    // A file that isn't there is no reason not to fetch it.
    let folder = Folder::new();
    let file = folder.argument();
    fetch(&["-s", "-z", &file, "-o", &file, &url]).assert_code(0);
    folder.assert_page(&lighttpd.page("page.html"));
}

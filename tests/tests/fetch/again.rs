//! `sockbox fetch`: resuming a download, and conditional requests.

use sockbox_tests::{
    Finished, Lighttpd, Nginx, Node, Peer, Program, PythonHttp, RawPeer, Signal, eventually,
    pattern,
};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

pub fn fetch(args: &[&str]) -> Finished {
    Program::sockbox(["fetch"]).args(args).run()
}

/// A folder with one file in it, named `page`.
pub struct Folder(tempfile::TempDir);

impl Folder {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub fn with(content: &[u8]) -> Self {
        let folder = Self::new();
        fs::write(folder.page(), content).unwrap();
        folder
    }

    pub fn page(&self) -> PathBuf {
        self.0.path().join("page")
    }

    pub fn argument(&self) -> String {
        self.page().to_str().unwrap().to_owned()
    }

    /// Assert that the page has this content, and that there is nothing beside it.
    #[track_caller]
    pub fn assert_page(&self, content: &[u8]) {
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
    pub fn written(&self) -> SystemTime {
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

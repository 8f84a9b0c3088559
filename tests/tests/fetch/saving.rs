//! `sockbox fetch`: saving to paths of several kinds.

use sockbox_tests::{Finished, Peer, Program, RawPeer, eventually};
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, mpsc};

const ANSWER: &str = "HTTP/1.1 200 OK\r\nETag: \"tag\"\r\nLast-Modified: Thu, 01 Jan 1970 00:00:00 GMT\r\nContent-Length: 5\r\n\r\nhello";

/// The user and the group `nobody`.
const NOBODY: u32 = 65534;

/// The options that write to a file, and what they write there.
const SAVING: [(&[&str], &str); 3] = [
    (&["-o"], "hello"),
    (&["-s", "--etag-save"], "\"tag\"\n"),
    (&["-s", "-D"], ""),
];

/// A page is saved by `option` in `file`.
fn saving(option: &[&str], file: &Path, url: &str) -> Program {
    Program::sockbox(["fetch"])
        .args(option)
        .args([file.to_str().unwrap(), url])
}

fn fetch(program: Program) -> Finished {
    let finished = program.run();
    finished.assert_code(0);
    finished
}

#[track_caller]
fn assert_saved(file: &Path, expected: &str, context: &str) {
    let found = fs::read_to_string(file).unwrap();
    match expected {
        // The head.
        "" => assert!(found.starts_with("HTTP/1.1 200 OK"), "{context}: {found:?}"),
        expected => assert_eq!(found, expected, "{context}"),
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

/// A folder with the file `page` in it, which has `old` content and this mode.
fn folder(mode: u32) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let page = dir.path().join("page");
    fs::write(&page, "old").unwrap();
    fs::set_permissions(&page, Permissions::from_mode(mode)).unwrap();
    (dir, page)
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o7777
}

#[test]
fn links_are_followed_and_stay() {
    let peer = RawPeer::answering(ANSWER);
    for (option, expected) in SAVING {
        for aim_is_there in [true, false] {
            let dir = tempfile::tempdir().unwrap();
            let at = |name: &str| dir.path().join(name);
            fs::create_dir(at("folder")).unwrap();
            symlink("folder/aim", at("one")).unwrap();
            symlink(at("one"), at("two")).unwrap();
            if aim_is_there {
                fs::write(at("folder/aim"), "old").unwrap();
            }
            let context = format!("{option:?}, {aim_is_there}");
            fetch(saving(option, &at("two"), &peer.url("/")));
            assert_saved(&at("folder/aim"), expected, &context);
            for link in ["one", "two"] {
                let link = fs::symlink_metadata(at(link)).unwrap();
                assert!(link.is_symlink(), "{context}");
            }
            assert_eq!(names(&at("folder")), ["aim"], "{context}");
            assert_eq!(names(dir.path()), ["folder", "one", "two"], "{context}");
        }
    }
}

#[test]
fn links_that_lead_in_a_circle() {
    let peer = RawPeer::answering(ANSWER);
    let dir = tempfile::tempdir().unwrap();
    let (one, two) = (dir.path().join("one"), dir.path().join("two"));
    symlink(&two, &one).unwrap();
    symlink(&one, &two).unwrap();
    for (option, _) in SAVING {
        let finished = saving(option, &one, &peer.url("/")).run();
        finished.assert_code(23);
    }
    assert_eq!(names(dir.path()), ["one", "two"]);
}

#[test]
fn the_name_of_an_open_file_is_that_file() {
    let peer = RawPeer::answering(ANSWER);
    let (dir, page) = folder(0o644);
    let opened = fs::File::options().write(true).open(&page).unwrap();
    let before = fs::metadata(&page).unwrap().ino();
    Program::sockbox(["fetch", "-s", "-o", "/dev/stdout", &peer.url("/")])
        .stdout(opened)
        .run()
        .assert_code(0);
    assert_saved(&page, "hello", "/dev/stdout");
    assert_eq!(fs::metadata(&page).unwrap().ino(), before);
    assert_eq!(names(dir.path()), ["page"]);
    assert!(fs::symlink_metadata("/dev/stdout").unwrap().is_symlink());
}

#[test]
fn what_may_not_be_written_is_refused_whatever_its_folder_allows() {
    let peer = RawPeer::answering(ANSWER);
    for option in [
        &["-o"][..],
        &["-sS", "--etag-save"],
        &["-sS", "-D"],
        &["-C", "-", "-o"],
    ] {
        let (dir, page) = folder(0o444);
        let finished = saving(option, &page, &peer.url("/"))
            .held_by_permissions()
            .run();
        finished.assert_failure(23, &[page.to_str().unwrap(), "ermission denied"]);
        assert_eq!(fs::read_to_string(&page).unwrap(), "old", "{option:?}");
        assert_eq!(names(dir.path()), ["page"]);
    }
}

#[test]
fn a_folder_that_takes_no_file() {
    let peer = RawPeer::answering(ANSWER);
    let cut_short = RawPeer::answering("HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello");
    let unwritten = RawPeer::answering("HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\n\r\nhello");
    for (option, expected) in SAVING {
        let (dir, page) = folder(0o640);
        fs::set_permissions(dir.path(), Permissions::from_mode(0o555)).unwrap();
        let fetch = |peer: &RawPeer| {
            let program = saving(option, &page, &peer.url("/")).held_by_permissions();
            program.run().code()
        };
        let before = fs::metadata(&page).unwrap().ino();
        if expected == "hello" {
            // Nothing is lost before there is something to be written.
            let failing = Program::sockbox(["fetch", "-f", "-o", page.to_str().unwrap()]);
            let failing = failing.args([unwritten.url("/")]).held_by_permissions();
            failing.run().assert_code(22);
            assert_saved(&page, "old", "-f");
            assert_eq!(fetch(&cut_short), 18);
            assert_saved(&page, "hello", "what came of a page that was cut short");
            fs::write(&page, "longer than the page").unwrap();
        }
        assert_eq!(fetch(&peer), 0, "{option:?}");
        assert_saved(&page, expected, &format!("{option:?}"));
        assert_eq!(fs::metadata(&page).unwrap().ino(), before);
        assert_eq!(mode(&page), 0o640);
        fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
        assert_eq!(names(dir.path()), ["page"]);
        // A new file has no place there.
        fs::remove_file(&page).unwrap();
        fs::set_permissions(dir.path(), Permissions::from_mode(0o555)).unwrap();
        assert_eq!(fetch(&peer), 23, "{option:?}");
        fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
    }
}

#[test]
fn a_file_with_two_names_keeps_both_and_what_it_has_until_the_page_is_whole() {
    let peer = RawPeer::answering(ANSWER);
    let cut_short = RawPeer::answering("HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello");
    let (dir, page) = folder(0o640);
    let other = dir.path().join("other");
    fs::hard_link(&page, &other).unwrap();
    saving(&["-o"], &page, &cut_short.url("/"))
        .run()
        .assert_code(18);
    assert_saved(&other, "old", "cut short");
    fetch(saving(&["-o"], &page, &peer.url("/")));
    assert_saved(&page, "hello", "the name that was given");
    assert_saved(&other, "hello", "the other one");
    let (page, other) = (fs::metadata(&page).unwrap(), fs::metadata(&other).unwrap());
    assert_eq!(page.ino(), other.ino());
    assert_eq!(names(dir.path()), ["other", "page"]);
}

#[test]
fn a_file_of_somebody_elses_stays_theirs() {
    let peer = RawPeer::answering(ANSWER);
    // In a folder with the sticky bit, and in a folder of the user.
    for sticky in [0o1777, 0o777] {
        for held in [true, false] {
            let (dir, page) = folder(0o666);
            fs::set_permissions(dir.path(), Permissions::from_mode(sticky)).unwrap();
            // Only root can give files away. Other users' file gets a second name, which is as good a
            // reason not to replace it.
            match rustix::process::geteuid().is_root() {
                true => {
                    chown(&page, Some(NOBODY), Some(NOBODY)).unwrap();
                    chown(dir.path(), Some(NOBODY), Some(NOBODY)).unwrap();
                }
                false => fs::hard_link(&page, dir.path().join("other")).unwrap(),
            }
            let before = fs::metadata(&page).unwrap();
            let program = saving(&["-o"], &page, &peer.url("/"));
            fetch(match held {
                true => program.held_by_permissions(),
                false => program,
            });
            assert_saved(&page, "hello", &format!("{sticky:o}, {held}"));
            let after = fs::metadata(&page).unwrap();
            let facts = |it: &fs::Metadata| (it.uid(), it.gid(), it.mode(), it.nlink());
            assert_eq!(facts(&after), facts(&before), "{sticky:o}, {held}");
        }
    }
}

#[test]
fn a_file_that_is_mounted_is_written_where_it_is() {
    let peer = RawPeer::answering(ANSWER);
    let dir = tempfile::tempdir().unwrap();
    let (outside, inside) = (dir.path().join("outside"), dir.path().join("inside"));
    for file in [&outside, &inside] {
        fs::write(file, "old").unwrap();
    }
    fetch(saving(&["-o"], &inside, &peer.url("/")).with_file_mounted(&outside, &inside));
    assert_saved(&outside, "hello", "what was mounted");
    assert_saved(&inside, "old", "what lay below it");
    assert_eq!(names(dir.path()), ["inside", "outside"]);
}

#[test]
fn what_replaces_a_private_file_is_private_from_the_beginning() {
    let (release, released) = mpsc::channel::<()>();
    let released = Arc::new(Mutex::new(released));
    let peer = RawPeer::start(move |peer: &mut Peer| {
        peer.read_request()?;
        peer.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell")?;
        // The sender may be gone when its test has failed.
        let _ = released.lock().unwrap().recv();
        peer.send("o")
    });
    for kept in [0o600, 0o640] {
        let (dir, page) = folder(kept);
        let process = saving(&["-o"], &page, &peer.url("/")).start();
        let temporary = eventually("a part of the page to be saved", || {
            let mut files = fs::read_dir(dir.path()).unwrap();
            files.find_map(|entry| {
                let entry = entry.unwrap();
                let metadata = entry.metadata().ok()?;
                (metadata.len() == 4).then_some(metadata.mode() & 0o777)
            })
        });
        assert_eq!(format!("{temporary:o}"), "600");
        release.send(()).unwrap();
        process.wait().assert_code(0);
        assert_eq!(mode(&page), kept);
        assert_saved(&page, "hello", "in the end");
    }
}

#[test]
fn what_comes_from_the_network_runs_as_nobody_else() {
    let peer = RawPeer::answering(ANSWER);
    let (_dir, page) = folder(0o6755);
    fetch(saving(&["-o"], &page, &peer.url("/")));
    assert_eq!(format!("{:o}", mode(&page)), "755");
}

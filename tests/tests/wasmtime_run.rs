//! The same component under the real `wasmtime run`: it needs no host of ours.

use sockbox_tests::{Nginx, Program, Serving, Tripwire, TutorialClient, pattern};
use std::fs;

/// What `wasmtime run` needs to be told for the network.
const NETWORK: &[&str] = &["-S", "inherit-network", "-S", "allow-ip-name-lookup"];

#[test]
fn a_page_is_printed() {
    let nginx = Nginx::start();
    for path in [
        "/page.html",
        "/empty.txt",
        "/1m.bin",
        "/chunked/1m.bin",
        "/close/page.html",
    ] {
        let url = nginx.url(path);
        let curl = Program::curl([&url]).run();
        Program::wasmtime_run(NETWORK, ["fetch", &url])
            .run()
            .assert_quiet_success()
            .assert_stdout(curl.stdout());
    }
    let by_name = nginx.url_at("localhost", "/page.html");
    let finished = Program::wasmtime_run(NETWORK, ["fetch", &by_name]).run();
    finished
        .assert_quiet_success()
        .assert_stdout(&nginx.page("page.html"));
}

#[test]
fn a_page_is_saved() {
    let nginx = Nginx::start();
    nginx.write_page("16m.bin", pattern(16 << 20));
    let dir = tempfile::tempdir().unwrap();
    let mapped = format!("{}::.", dir.path().display());
    let flags = [NETWORK, &["--dir", &mapped]].concat();
    for (path, page) in [
        ("/page.html", "page.html"),
        ("/chunked/1m.bin", "1m.bin"),
        ("/16m.bin", "16m.bin"),
    ] {
        let finished = Program::wasmtime_run(&flags, ["fetch", "-o", page, &nginx.url(path)]).run();
        finished.assert_quiet_success();
        let head = finished.stdout_text();
        assert!(
            head.starts_with("HTTP/1.1 200 OK\r\n") && head.ends_with("\r\n\r\n"),
            "{head:?}"
        );
        assert!(
            fs::read(dir.path().join(page)).unwrap() == nginx.page(page),
            "{path} differs"
        );
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 3);
}

#[test]
fn a_failure_leaves_no_file() {
    let peer = sockbox_tests::RawPeer::answering(
        "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf a page",
    );
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("old"), "as it was").unwrap();
    let mapped = format!("{}::.", dir.path().display());
    let flags = [NETWORK, &["--dir", &mapped]].concat();
    for file in ["old", "new"] {
        let finished = Program::wasmtime_run(&flags, ["fetch", "-o", file, &peer.url("/")]).run();
        finished.assert_failure(1, &["11", "1000"]);
    }
    assert_eq!(
        fs::read_to_string(dir.path().join("old")).unwrap(),
        "as it was"
    );
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn a_hundred_tutorial_clients_at_once() {
    let server = Serving::started(
        Program::wasmtime_run(NETWORK, ["serve", "--listen", "127.0.0.1:0"]),
        1,
    );
    let client = TutorialClient::run(server.address());
    client
        .assert_quiet_success()
        .assert_stdout(TutorialClient::ANSWERS.as_bytes());
    TutorialClient::run_together(server.address(), 100);
    let mut client = server.client();
    client
        .ask("a\nb\r\n", "Hello, a!\nHello, b!\r\n")
        .send("exit\n")
        .expect_end();
}

#[test]
fn without_network_flags_everything_is_denied() {
    let tripwire = Tripwire::new();
    let target = tripwire.address().to_string();
    let finished = Program::wasmtime_run(&[], ["fetch", &format!("http://{target}/")]).run();
    finished.assert_failure(1, &[&target]).assert_stdout(b"");
    let by_name = format!("http://localhost:{}/", tripwire.address().port());
    Program::wasmtime_run(&[], ["fetch", &by_name])
        .run()
        .assert_failure(1, &["localhost"])
        .assert_stdout(b"");
    Program::wasmtime_run(&[], ["serve", "--listen", "127.0.0.1:0"])
        .run()
        .assert_failure(1, &[])
        .assert_stdout(b"");
    tripwire.assert_untouched();
}

#[test]
fn its_own_help_and_version() {
    let help = Program::wasmtime_run(&[], ["--help"]).run();
    help.assert_quiet_success();
    for word in ["fetch", "serve", "wasmtime run"] {
        assert!(
            help.stdout_text().contains(word),
            "{word:?} is not in the help"
        );
    }
    let version = Program::wasmtime_run(&[], ["--version"]).run();
    version
        .assert_quiet_success()
        .assert_stdout(format!("sockbox {}\n", env!("CARGO_PKG_VERSION")).as_bytes());
    Program::wasmtime_run(&[], ["nonsense"])
        .run()
        .assert_failure(1, &["nonsense"]);
}

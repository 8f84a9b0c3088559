//! The same component under the real `wasmtime run`, without sockbox's host.

use sockbox_tests::{Authority, Nginx, Node, Program, TlsPeer, TlsSettings, Tripwire, pattern};
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
        Program::wasmtime_run_compiled(NETWORK, ["fetch", &url])
            .run()
            .assert_quiet_success()
            .assert_stdout(curl.stdout());
    }
    let by_name = nginx.url_at("localhost", "/page.html");
    let finished = Program::wasmtime_run_compiled(NETWORK, ["fetch", &by_name]).run();
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
        let finished =
            Program::wasmtime_run_compiled(&flags, ["fetch", "-o", file, &peer.url("/")]).run();
        finished.assert_failure(1, &["11", "1000"]);
    }
    assert_eq!(
        fs::read_to_string(dir.path().join("old")).unwrap(),
        "as it was"
    );
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn its_options_are_curls() {
    let node = Node::start();
    for (args, path) in [
        (&["-i"][..], "/page"),
        (&["-I"], "/page"),
        (&["--head"], "/page"),
        (&["-i", "-L"], "/hops/2"),
        (&["-L"], "/hops/3"),
        (&["-sL"], "/hops/3"),
        (&["--location"], "/redirect/302?../page"),
        (&[], "/redirect/302?page"),
        (&["-A", "x", "-d", "a=1", "-d", "b=2"], "/echo"),
        (&["-A", "x", "--data", "a=1"], "/echo"),
        (&["-A", "x", "-d", "a=1", "-L"], "/redirect/302?/echo"),
        (&["-A", "x", "-d", "a=1", "-L"], "/redirect/307?/echo"),
        (&["-Ax", "-XPUT", "-da=1"], "/echo"),
        (&["-A", "x", "-X", "DELETE"], "/echo"),
        (
            &[
                "-H",
                "User-Agent: x",
                "-H",
                "X-A: 1",
                "-H",
                "Accept:",
                "-H",
                "X-B;",
            ],
            "/echo",
        ),
        (&["-A", "x", "-u", "me:secret"], "/echo"),
        (&["-A", "x", "-e", "http://a.example/"], "/echo"),
        (&["-A", "x", "-H", "Connection: close"], "/echo"),
        (&["--compressed"], "/coded/gzip"),
        (&["--compressed"], "/coded/deflate"),
        (&["--compressed"], "/coded/raw-deflate"),
        (&["--compressed"], "/coded/br"),
        (&["--compressed"], "/coded/br,gzip"),
        (&["--fail"], "/page"),
        (&["--max-time", "30", "--connect-timeout", "10"], "/page"),
        (&["-4"], "/page"),
        (&[], "/status/404"),
        (&["--"], "/page"),
    ] {
        let url = node.url(path);
        let curl = Program::curl(args).args([&url]).run();
        curl.assert_code(0);
        eprintln!("{args:?} {path}");
        Program::wasmtime_run_compiled(NETWORK, ["fetch"])
            .args(args)
            .args([&url])
            .run()
            .assert_quiet_success()
            .assert_stdout(curl.stdout());
    }
}

#[test]
fn its_failures_are_told() {
    let node = Node::start();
    for (args, path, words) in [
        (&["-f"][..], "/status/404", &["404"][..]),
        (&["-f"], "/status/503", &["503"]),
        (&["-m", "0.5"], "/hang", &["0.5"]),
        (&["--max-time", "0.5"], "/hang-in-body", &["0.5", "100"]),
        (
            &["-L", "--max-redirs", "3", "-o", "page"],
            "/loop",
            &["3", "redirect"],
        ),
        (&["--compressed"], "/coded/nonsense", &["nonsense"]),
        (&[], "/cut-short", &["100", "35000"]),
        (&["-6"], "/page", &["127.0.0.1"]),
        (&["-L"], "/redirect/302?https://127.0.0.1/", &["https"]),
    ] {
        eprintln!("{args:?} {path}");
        let finished = Program::wasmtime_run_compiled(NETWORK, ["fetch"])
            .args(args)
            .args([node.url(path)])
            .run();
        finished.assert_failure(1, words);
        // The same, silently; or not so silently.
        let silent = Program::wasmtime_run_compiled(NETWORK, ["fetch", "-s"])
            .args(args)
            .args([node.url(path)])
            .run();
        silent.assert_code(1);
        assert_eq!(silent.stderr(), "");
        Program::wasmtime_run_compiled(NETWORK, ["fetch", "-sS"])
            .args(args)
            .args([node.url(path)])
            .run()
            .assert_failure(1, words);
    }
    for args in [
        &["fetch", "--nonsense", "http://127.0.0.1/"][..],
        &["fetch"],
        &["fetch", "-o"],
    ] {
        let finished = Program::wasmtime_run_compiled(NETWORK, args).run();
        finished.assert_code(1).assert_stdout(b"");
        assert!(
            finished.stderr().contains("--help"),
            "nothing leads to the right usage"
        );
    }
}

#[test]
fn verbose_tells_what_is_sent_and_received() {
    let node = Node::start();
    let url = node.url("/redirect/302?/page");
    let finished =
        Program::wasmtime_run_compiled(NETWORK, ["fetch", "-v", "-L", "-A", "x", &url]).run();
    finished
        .assert_code(0)
        .assert_stdout(Node::text().as_bytes());
    for sign in [
        "> GET /redirect/302?/page HTTP/1.1",
        "> User-Agent: x",
        "< HTTP/1.1 302 Found",
        "> GET /page HTTP/1.1",
        "< HTTP/1.1 200 OK",
    ] {
        assert!(finished.stderr().contains(sign), "{sign:?} isn't told");
    }
}

#[test]
fn redirected_pages_are_saved() {
    let node = Node::start();
    let dir = tempfile::tempdir().unwrap();
    let mapped = format!("{}::.", dir.path().display());
    let flags = [NETWORK, &["--dir", &mapped]].concat();
    let url = node.url("/hops/2");
    for args in [
        &["-s", "-L", "-o", "page"][..],
        &["-sL", "--output=page"],
        &["-sLopage"],
    ] {
        Program::wasmtime_run_compiled(&flags, ["fetch"])
            .args(args)
            .args([&url])
            .run()
            .assert_quiet_success();
        let page = dir.path().join("page");
        assert_eq!(fs::read_to_string(&page).unwrap(), "arrived\n");
        fs::remove_file(page).unwrap();
    }
    // A body from a file, as curl reads it.
    fs::write(dir.path().join("file"), "a=1\r\nb=2\n").unwrap();
    let finished = Program::wasmtime_run_compiled(
        &flags,
        ["fetch", "-d", "@file", "-d", "c", &node.url("/body")],
    )
    .run();
    finished.assert_quiet_success().assert_stdout(b"a=1b=2&c");
}

#[test]
fn without_network_flags_everything_is_denied() {
    let tripwire = Tripwire::new();
    let target = tripwire.address().to_string();
    let finished =
        Program::wasmtime_run_compiled(&[], ["fetch", &format!("http://{target}/")]).run();
    finished.assert_failure(1, &[&target]).assert_stdout(b"");
    let by_name = format!("http://localhost:{}/", tripwire.address().port());
    Program::wasmtime_run_compiled(&[], ["fetch", &by_name])
        .run()
        .assert_failure(1, &["localhost"])
        .assert_stdout(b"");
    Program::wasmtime_run_compiled(&[], ["serve", "--listen", "127.0.0.1:0"])
        .run()
        .assert_failure(1, &[])
        .assert_stdout(b"");
    tripwire.assert_untouched();
}

#[test]
fn its_own_help_and_version() {
    let help = Program::wasmtime_run_compiled(&[], ["--help"]).run();
    help.assert_quiet_success();
    for word in ["fetch", "serve", "wasmtime run"] {
        assert!(
            help.stdout_text().contains(word),
            "{word:?} is not in the help"
        );
    }
    let version = Program::wasmtime_run_compiled(&[], ["--version"]).run();
    version
        .assert_quiet_success()
        .assert_stdout(format!("sockbox {}\n", env!("CARGO_PKG_VERSION")).as_bytes());
    Program::wasmtime_run_compiled(&[], ["nonsense"])
        .run()
        .assert_failure(1, &["nonsense"]);
}

#[test]
fn over_tls_it_is_told_whom_the_runtime_does_not_trust() {
    // That runtime trusts only Mozilla's authorities, so it can't fetch a page of a test server.
    let authority = Authority::new();
    let identity = authority.server(&["127.0.0.1"]);
    let peer = TlsPeer::start(&identity, TlsSettings::default(), "");
    let flags = [NETWORK, &["-S", "tls"]].concat();
    Program::wasmtime_run_with_tls(&flags, ["fetch", &peer.url()])
        .run()
        .assert_failure(1, &["certificate is not accepted", "UnknownIssuer"]);
    // The same component fetches `http` URLs, under the same policy.
    let nginx = Nginx::start();
    Program::wasmtime_run_with_tls(&flags, ["fetch", &nginx.url("/page.html")])
        .run()
        .assert_quiet_success()
        .assert_stdout(&nginx.page("page.html"));
}

#[test]
fn without_tls_https_is_refused() {
    Program::wasmtime_run_compiled(NETWORK, ["fetch", "https://127.0.0.1/"])
        .run()
        .assert_failure(1, &["https"]);
}

//! The same component under the real `wasmtime run`: it needs no host of ours.

use sockbox_tests::{Json, Nginx, Node, Program, Serving, Tripwire, TutorialClient, pattern};
use std::fs;
use std::time::Duration;

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

/// `serve` under `wasmtime run`, with these options and a standard input.
fn serving(options: &[&str]) -> Serving {
    let args = ["serve", "--listen", "127.0.0.1:0"];
    let program = Program::wasmtime_run(NETWORK, args).args(options);
    Serving::started(program.with_stdin(), 1)
}

#[test]
fn the_end_of_standard_input_stops_the_server_if_asked_to() {
    let server = serving(&["--stop-on-eof"]);
    let mut idle = server.client();
    idle.ask("Michael", "Hello, Michael!");
    let messages: String = (0..10_000).map(|number| format!("{number}\n")).collect();
    let answers: String = (0..10_000)
        .map(|number| format!("Hello, {number}!\n"))
        .collect();
    let mut busy = server.client();
    busy.ask("ready?\n", "Hello, ready?!\n").send(&messages);
    let mut process = server.into_process();
    drop(process.stdin());
    busy.expect(&answers).expect_end();
    idle.expect_end();
    drop((busy, idle));
    let finished = process.wait();
    finished.assert_code(0);
    let stdout = finished.stdout_text();
    let summary = stdout.lines().last().unwrap_or_default();
    for words in ["served 2 connections", "10002 messages"] {
        assert!(summary.contains(words), "{words:?} is not in {summary:?}");
    }
}

#[test]
fn the_end_of_standard_input_is_nothing_otherwise() {
    let mut server = serving(&["--quiet"]);
    drop(server.process_mut().stdin());
    let mut client = server.client();
    for _ in 0..10 {
        client.ask("Michael\n", "Hello, Michael!\n");
    }
    assert_eq!(server.process().stderr(), "");
}

#[test]
fn a_server_has_its_bounds_here_too() {
    let server = serving(&[
        "--framing",
        "line",
        "--greeting",
        "Ahoy",
        "--welcome",
        "Welcome!",
        "--max-message",
        "10",
        "--max-connections",
        "2",
        "--refuse-when-full",
        "--idle-timeout",
        "1",
        "--log",
        "json",
    ]);
    let (mut one, mut two) = (server.client(), server.client());
    one.expect("Welcome!\n").ask("you\n", "Ahoy, you!\n");
    two.expect("Welcome!\n");
    assert_eq!(server.client().read_to_end(), b"too many connections\n");
    two.ask("a long message\n", "message longer than 10 bytes\n")
        .expect_end();
    one.expect_end();
    let line = Json::parse(&server.wait_for_log(&["closed", "silent for too long"]));
    assert_eq!(line.text("local"), server.address().to_string());
    assert_eq!(line.number("messages"), 1.0);
    assert!(line.number("time") > 1.7e9, "{line:?}");
    let line = Json::parse(&server.wait_for_log(&["refused"]));
    assert_eq!(line.text("reason"), "too many connections");
}

#[test]
fn a_client_that_takes_no_answers_is_closed() {
    let server = serving(&["--write-timeout", "3"]);
    let mut client = server.client();
    let ours = client.address().to_string();
    client.send_until_full(&b"nobody reads the answer\n".repeat(1000), 64 << 20);
    server.wait_for_log(&["closed", &ours, "answers not taken in time"]);
    let mut other = server.client();
    other.ask("still there?\n", "Hello, still there?!\n");
    drop(client);
    other.ask("still there?\n", "Hello, still there?!\n");
}

#[test]
fn when_no_files_are_left_accepting_pauses_and_goes_on() {
    let server = serving(&[]);
    let mut first = server.client();
    first.ask("1\n", "Hello, 1!\n");
    server.process().allow_no_more_files();
    let mut second = server.client();
    second.send("2\n");
    // This runtime can't say why.
    server.wait_for_log(&["could not accept", "unknown failure"]);
    let before = server.process().cpu_time();
    second.expect_silence(Duration::from_secs(2));
    let used = server.process().cpu_time() - before;
    assert!(
        used < Duration::from_millis(500),
        "{used:?} of computing in two seconds"
    );
    first.ask("still there?\n", "Hello, still there?!\n");
    assert_eq!(server.count_in_log(&["could not accept"]), 1, "once");
    server.process().set_file_limit(200);
    second.expect("Hello, 2!\n");
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

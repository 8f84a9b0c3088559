//! The audit record may not be another file of the run.

use sockbox_tests::{Fifo, Foreign, Program, RawPeer, Serving, Signal, Tripwire, Wasi};
use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::Path;

const RECORD: &str = "{\"event\":\"of an earlier run\"}\n";

#[test]
fn fetch_writes_no_page_over_the_record() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("audit"), RECORD).unwrap();
    symlink("audit", at("link")).unwrap();
    fs::hard_link(at("audit"), at("hard")).unwrap();
    fs::create_dir(at("sub")).unwrap();
    let tripwire = Tripwire::new();
    let url = format!("http://{}/audit", tripwire.address());
    for (options, named) in [
        (&["-o", "audit"][..], "-o audit"),
        (&["-o", "link"], "-o link"),
        (&["-o", "hard"], "-o hard"),
        (&["-o", "sub/../audit"], "-o sub/../audit"),
        (&["-O"], "-O audit"),
        (&["-O", "--output-dir", "sub/.."], "-O sub/../audit"),
        (&["-C", "-", "-o", "audit"], "-o audit"),
        (&["--no-clobber", "-o", "audit"], "-o audit"),
        (&["-D", "audit"], "-D audit"),
        (&["-D", "hard"], "-D hard"),
        (&["--etag-save", "link"], "--etag-save link"),
        (&["-w", "%output{audit}x"], "%output{} audit"),
        (&["-w", "%output{>>hard}x"], "%output{>>} hard"),
        (&["-T", "audit"], "-T audit"),
        (&["-d", "@link"], "-d link"),
        (&["--etag-compare", "audit"], "--etag-compare audit"),
    ] {
        let program = Program::sockbox(["fetch", "--audit", "audit"]);
        let finished = program
            .args(options)
            .args([&url])
            .current_dir(folder.path())
            .run();
        let expected =
            format!("audit: it is the same file as {named} (name another one: --audit FILE)");
        finished.assert_failure(2, &[&expected]).assert_stdout(b"");
        assert_eq!(
            fs::read_to_string(at("audit")).unwrap(),
            RECORD,
            "{options:?}"
        );
    }
    // If the record does not exist yet, a refused run does not create it.
    for options in [
        &["-o", "new"][..],
        &["-D", "new"],
        &["-D", "to-new"],
        &["--create-dirs", "-o", "missing/../new"],
    ] {
        let _ = fs::remove_file(at("to-new"));
        symlink("new", at("to-new")).unwrap();
        let program = Program::sockbox(["fetch", "--audit", "new"]).args(options);
        let finished = program.args([&url]).current_dir(folder.path()).run();
        finished.assert_failure(2, &["new: it is the same file as"]);
        assert!(
            !at("new").exists() && !at("missing").exists(),
            "{options:?}"
        );
    }
    tripwire.assert_untouched();
    let peer = RawPeer::answering("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
    let program = Program::sockbox([
        "fetch", "-s", "--audit", "audit", "-o", "page", "-D", "heads",
    ]);
    let finished = program
        .args([peer.url("/")])
        .current_dir(folder.path())
        .run();
    finished.assert_quiet_success();
    assert!(fs::read_to_string(at("audit")).unwrap().starts_with(RECORD));
    assert_eq!(fs::read_to_string(at("page")).unwrap(), "hello");
}

#[test]
fn messages_are_not_written_over_the_record() {
    let folder = tempfile::tempdir().unwrap();
    let audit = folder.path().join("audit");
    let name = audit.to_str().unwrap();
    let tripwire = Tripwire::new();
    let url = format!("http://{}/", tripwire.address());
    let open = || File::options().write(true).open(&audit).unwrap();
    for args in [
        &["fetch", "-v", &url][..],
        &["serve", "--listen", "127.0.0.1:0"],
    ] {
        fs::write(&audit, RECORD).unwrap();
        let program = Program::sockbox(args).args(["--audit", name]);
        program.stderr(open()).run().assert_code(2);
        let text = fs::read_to_string(&audit).unwrap();
        assert!(
            text.starts_with("sockbox: (2) cannot write the audit to "),
            "{text}"
        );
        assert!(!text.contains("\"event\":\"decision\""), "{text}");
        for stream in ["/dev/stderr", "/proc/self/fd/2"] {
            let finished = Program::sockbox(args).args(["--audit", stream]).run();
            let expected = "it is standard error, which sockbox's messages has too";
            finished.assert_failure(2, &[stream, expected]);
        }
    }
    // The server's log goes to standard output, which is the record's file here.
    let serve = ["serve", "--listen", "127.0.0.1:0", "--audit"];
    fs::write(&audit, RECORD).unwrap();
    let program = Program::sockbox(serve).args([name]).stdout(open());
    program
        .run()
        .assert_failure(2, &["it is standard output", "--audit -"]);
    assert_eq!(fs::read_to_string(&audit).unwrap(), RECORD);
    tripwire.assert_untouched();
}

#[test]
fn a_file_that_is_read_is_no_record() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let component = at("component.wasm");
    fs::copy(Foreign::Rust.component(), &component).unwrap();
    fs::write(at("policy.toml"), "allow-connect = [\"a:1\"]\n").unwrap();
    symlink("policy.toml", at("link")).unwrap();
    let url = "http://127.0.0.1:1/";
    for (args, audit, named) in [
        (
            &["run", "component.wasm", "env"][..],
            "component.wasm",
            "the component component.wasm",
        ),
        (
            &["run", "--policy", "policy.toml", "component.wasm", "env"],
            "link",
            "--policy policy.toml",
        ),
        (
            &["run", "--cacert", "policy.toml", "component.wasm", "env"],
            "policy.toml",
            "--cacert policy.toml",
        ),
        (
            &["serve", "--policy", "policy.toml"],
            "policy.toml",
            "--policy policy.toml",
        ),
        (
            &["fetch", "--policy", "policy.toml", url],
            "policy.toml",
            "--policy policy.toml",
        ),
    ] {
        let before = fs::read(at(audit)).unwrap();
        let (subcommand, rest) = args.split_first().unwrap();
        let finished = Program::sockbox([*subcommand, "--audit", audit])
            .args(rest)
            .current_dir(folder.path())
            .run();
        let expected =
            format!("cannot write the audit to {audit}: it is the same file as {named} ");
        finished.assert_failure(2, &[&expected]).assert_stdout(b"");
        assert_eq!(fs::read(at(audit)).unwrap(), before, "{args:?}");
    }
    let secret = at("cache.key");
    fs::write(&secret, "secret").unwrap();
    let finished = Program::sockbox(["fetch", "--audit", secret.to_str().unwrap(), url])
        .env("SOCKBOX_CACHE_DIR", at("cache").to_str().unwrap())
        .run();
    finished.assert_failure(2, &["the secret of the cache"]);
    assert_eq!(fs::read(&secret).unwrap(), b"secret");
}

#[test]
fn a_signal_ends_a_run_whose_record_has_no_reader() {
    let folder = tempfile::tempdir().unwrap();
    let fifo = Fifo::new(folder.path().join("audit"));
    let audit = fifo.path().to_str().unwrap();
    let peer = RawPeer::start(|peer| peer.wait_for_close());
    let url = peer.url("/");
    let process = Program::sockbox(["fetch", "--audit", audit, &url]).start();
    sockbox_tests::eventually("it to connect", || (peer.connections() == 1).then_some(()));
    process.signal(Signal::TERM);
    let finished = process.wait();
    // sockbox waits for the record's reader, and then says that lines are lost. It waits for less time than at a normal
    // end: during a longer wait a second signal could end the process before it prints that message.
    finished.assert_code(143);
    assert!(finished.stderr().contains("lost"), "{}", finished.stderr());

    let more = ["--audit", audit];
    let server = Serving::started(Serving::program(Wasi::V0_2, &more), 1);
    let process = server.into_process();
    process.signal(Signal::TERM);
    let finished = process.wait();
    finished.assert_code(0);
    assert!(finished.stderr().contains("lost"), "{}", finished.stderr());
    assert!(Path::new(audit).exists());
}

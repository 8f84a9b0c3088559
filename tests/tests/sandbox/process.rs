//! The process under the conditions that a shell, a terminal and the system set.

use sockbox_tests::{
    Fifo, Foreign, Peer, Program, RawPeer, Serving, Signal, Tripwire, Wasi, eventually,
};
use std::fs::{self, File};
use std::path::Path;

fn endless() -> RawPeer {
    RawPeer::start(|peer: &mut Peer| {
        peer.read_request()?;
        peer.send("HTTP/1.1 200 OK\r\n\r\n")?;
        peer.send_zeros(1 << 40)
    })
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

#[test]
fn every_signal_that_ends_it_removes_the_temporary_file() {
    let folder = tempfile::tempdir().unwrap();
    for signal in [
        Signal::HUP,
        Signal::INT,
        Signal::QUIT,
        Signal::TERM,
        Signal::USR1,
        Signal::USR2,
        Signal::ALARM,
        Signal::VTALARM,
        Signal::PROF,
        Signal::XCPU,
        Signal::IO,
    ] {
        let peer = endless();
        let program = Program::sockbox(["fetch", "-o", "page", &peer.url("/")]);
        let process = program.current_dir(folder.path()).start();
        eventually("the temporary file", || {
            names(folder.path())
                .iter()
                .any(|name| name.ends_with(".part"))
                .then_some(())
        });
        process.signal(signal);
        process.wait().assert_code(128 + signal.as_raw());
        assert_eq!(names(folder.path()), [""; 0], "{signal:?}");
    }
}

#[test]
fn sigquit_stops_a_server_in_order() {
    let server = Serving::started(Serving::program(Wasi::V0_2, &[]), 1);
    let process = server.into_process();
    process.signal(Signal::QUIT);
    process.wait().assert_code(0);
}

#[test]
fn a_limit_on_the_size_of_files_is_an_error_like_others() {
    let folder = tempfile::tempdir().unwrap();
    // The shell counts in blocks of 512 or 1,024 bytes. With one block sockbox can't start the component.
    for (blocks, code, message) in [
        (1, 125, "File too large"),
        (8192, 23, "could not write page: File too large"),
    ] {
        let (tripwire, peer) = (Tripwire::new(), (code == 23).then(endless));
        let url = match &peer {
            Some(peer) => peer.url("/"),
            None => format!("http://{}/", tripwire.address()),
        };
        let before = format!("cd {}; ulimit -f {blocks}", folder.path().display());
        let program = Program::sockbox(["fetch", "-s", "-S", "-o", "page", &url]);
        let finished = program.from_a_shell(&before, "").run();
        finished.assert_failure(code, &[message]);
        assert_eq!(names(folder.path()), [""; 0]);
    }
}

#[test]
fn too_few_files_are_told() {
    for limit in 4..=12 {
        let finished = Program::sockbox(["fetch", "http://127.0.0.1:1/"])
            .file_limit(limit)
            .run();
        finished.assert_code(125);
        let stderr = finished.stderr();
        assert!(stderr.starts_with("sockbox: (125) "), "{limit}: {stderr}");
        assert!(stderr.contains("ulimit -n"), "{limit}: {stderr}");
        assert_eq!(stderr.lines().count(), 1, "{limit}: {stderr}");
    }
}

#[test]
fn a_small_stack_is_enough() {
    let peer = RawPeer::answering("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
    let finished = Program::sockbox(["fetch", &peer.url("/")])
        .from_a_shell("ulimit -s 256", "")
        .run();
    finished.assert_quiet_success().assert_stdout(b"hello");
    let finished = Foreign::Rust
        .run(&[], "env")
        .from_a_shell("ulimit -s 256", "")
        .run();
    finished.assert_quiet_success().assert_stdout(b"ok\n");
}

#[test]
fn help_that_cannot_be_printed_is_a_failure() {
    let full = || File::options().write(true).open("/dev/full").unwrap();
    for args in [
        &["--help"][..],
        &["--version"],
        &["fetch", "--help"],
        &["fetch", "-h"],
        &["help"],
    ] {
        Program::sockbox(args).run().assert_code(0);
        let finished = Program::sockbox(args).stdout(full()).run();
        finished.assert_failure(23, &["could not write standard output: No space left"]);
        let closed = Program::sockbox(args).from_a_shell("", ">&-").run();
        closed.assert_failure(
            23,
            &["could not write standard output: Bad file descriptor"],
        );
    }
}

#[test]
fn the_command_line_is_shown_without_what_steers_a_terminal() {
    // Each run contains one sequence. The parser's own colours are in the same message, and must not make a filter pass
    // the sequence.
    for hazard in [
        "\x1b[2J",
        "\x1b]0;title\x07",
        "\x1b[31m",
        "\u{9b}2J",
        "\u{202e}",
    ] {
        for args in [
            vec![format!("--x{hazard}y")],
            vec![format!("x{hazard}y")],
            vec!["fetch".to_owned(), format!("--x{hazard}y"), "a".to_owned()],
            vec!["fetch".to_owned(), format!("-m{hazard}"), "a".to_owned()],
            vec!["serve".to_owned(), format!("--listen={hazard}")],
            vec!["serve".to_owned(), format!("x{hazard}y")],
            vec!["inspect".to_owned(), "a".to_owned(), format!("x{hazard}y")],
            vec!["serve".to_owned(), format!("--log=x{hazard}y")],
        ] {
            let finished = Program::sockbox(&args).on_a_terminal().run();
            finished.assert_code(2);
            let shown = finished.stdout_text();
            let shown = shown.replace("\r\n", "\n");
            // Only the colours and styles that the parser itself prints are allowed.
            let steering = shown.split('\x1b').skip(1).any(|rest| {
                let style = rest.strip_prefix('[').and_then(|rest| rest.split_once('m'));
                !style.is_some_and(|(style, _)| ["0", "1", "4", "31", "32", "33"].contains(&style))
            });
            assert!(!steering, "{args:?}: {shown:?}");
            let is_hazard = |c: char| "\u{7}\u{9b}\u{202e}".contains(c);
            assert!(!shown.contains(is_hazard), "{args:?}: {shown:?}");
            if hazard == "\x1b[31m" {
                assert!(shown.contains("?[31m"), "{args:?}: {shown:?}");
            }
            let finished = Program::sockbox(&args).run();
            finished.assert_code(2);
            assert!(!finished.stderr().contains(hazard), "{}", finished.stderr());
        }
    }
}

#[test]
fn time_limits_and_signals_hold_while_a_component_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let fifo = Fifo::new(folder.path().join("fifo"));
    let path = fifo.path().to_str().unwrap();
    let component = Foreign::Rust.component().to_str().unwrap();
    for args in [
        &["run", "--max-wall-time", "LIMIT", path][..],
        &[
            "run",
            "--max-wall-time",
            "LIMIT",
            "--policy",
            path,
            component,
        ],
        &[
            "run",
            "--max-wall-time",
            "LIMIT",
            "--cacert",
            path,
            component,
        ],
        &["serve", "--max-wall-time", "LIMIT", "--policy", path],
    ] {
        let with = |limit: &str| {
            let args = args.iter().map(|word| word.replace("LIMIT", limit));
            Program::sockbox(args.collect::<Vec<_>>())
        };
        with("0.1").run().assert_failure(124, &["100ms"]);
        let process = with("50").start();
        let _silent = fifo.wait_for_reader();
        process.signal(Signal::TERM);
        process.wait().assert_quiet(143);
    }
    // A limit in the policy file holds for the file that is read after it.
    let policy = folder.path().join("policy.toml");
    fs::write(&policy, "[limits]\nmax-wall-time = 0.1\n").unwrap();
    let finished = Program::sockbox(["run", "--policy", policy.to_str().unwrap(), path]).run();
    finished.assert_failure(124, &["100ms"]);
}

#[test]
fn a_line_of_a_component_as_text_is_not_quoted_whole() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("long.wat");
    for length in [200_000, 5_000_000] {
        fs::write(&file, format!("(modul {})", "x".repeat(length))).unwrap();
        let finished = Program::sockbox(["run", file.to_str().unwrap()]).run();
        finished.assert_code(125);
        let stderr = finished.stderr();
        assert!(
            stderr.contains("it is not valid WebAssembly text"),
            "{stderr}"
        );
        assert!(stderr.len() < 4_000, "{}", stderr.len());
    }
}

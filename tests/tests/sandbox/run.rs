//! `sockbox run` with command components and other files.

use sockbox_tests::{Finished, HelloClient, Program, Serving, Signal, Wasi, component};
use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::path::PathBuf;
use std::time::Duration;

/// Components in the text format, one folder per test.
struct Components(tempfile::TempDir);

impl Components {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// A file with this content.
    fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, content).unwrap();
        path
    }

    /// A command whose `run` has this body: 0 on the stack is success, 1 is failure.
    fn command(&self, body: &str) -> PathBuf {
        self.file(
            "command.wat",
            format!(
                r#"(component
                (core module $m (func (export "run") (result i32) {body}))
                (core instance $i (instantiate $m))
                (func $run (result (result)) (canon lift (core func $i "run")))
                (instance $exported (export "run" (func $run)))
                (export "wasi:cli/run@0.2.0" (instance $exported)))"#
            ),
        )
    }
}

fn run(component: &PathBuf) -> Finished {
    Program::sockbox(["run"]).args([component]).run()
}

#[test]
fn the_exit_code_passes_through() {
    let components = Components::new();
    run(&components.command("i32.const 0"))
        .assert_quiet_success()
        .assert_stdout(b"");
    run(&components.command("i32.const 1"))
        .assert_code(1)
        .assert_stdout(b"");
}

/// A command that copies its standard input to its standard output, until the end.
const CAT: &str = include_str!("components/cat.wat");

#[test]
fn standard_streams_pass_through() {
    let components = Components::new();
    let cat = components.file("cat.wat", CAT);
    let mut process = Program::sockbox(["run"]).args([&cat]).with_stdin().start();
    let mut stdin = process.stdin();
    // It arrives while the component runs, not only at the end.
    stdin.write_all(b"first ").unwrap();
    process.wait_for_stdout("what was sent first", |stdout| {
        (stdout == "first ").then_some(())
    });
    stdin.write_all(b"second").unwrap();
    drop(stdin);
    process
        .wait()
        .assert_quiet_success()
        .assert_stdout(b"first second");
}

#[test]
fn a_compiled_component_runs_as_well_as_its_text() {
    // sockbox's own, as a file: its arguments pass through.
    let finished = Program::sockbox(["run"])
        .args([component(Wasi::V0_2)])
        .args(["--version"])
        .run();
    finished
        .assert_quiet_success()
        .assert_stdout(format!("sockbox {}\n", env!("CARGO_PKG_VERSION")).as_bytes());
}

/// A command that fails when it is given a folder, or a variable of the environment.
const NOTHING_GIVEN: &str = include_str!("components/nothing-given.wat");

#[test]
fn nothing_is_granted_that_was_not_asked_for() {
    let components = Components::new();
    let component = components.file("nothing-given.wat", NOTHING_GIVEN);
    let finished = Program::sockbox(["run"])
        .args([&component])
        .env("SECRET", "1")
        .current_dir(components.0.path())
        .run();
    finished.assert_quiet_success();
}

#[test]
fn a_trap() {
    let components = Components::new();
    let finished = run(&components.command("unreachable"));
    finished.assert_failure(134, &["trap", "unreachable"]);
}

#[test]
fn an_endless_loop_can_be_interrupted() {
    let components = Components::new();
    let component = components.command("(loop $again (br $again)) i32.const 0");
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let mut process = Program::sockbox(["run"]).args([&component]).start();
        // Its output does not show that it runs, so wait a moment. It must still be running then.
        std::thread::sleep(Duration::from_millis(300));
        assert!(!process.has_ended());
        process.signal(signal);
        // Whether the signal ended it or it ended itself: a shell sees the same code.
        assert_eq!(process.wait().code(), code);
    }
}

#[test]
fn what_is_not_a_component() {
    let components = Components::new();
    let core = components.file("core.wat", r#"(module (func (export "_start")))"#);
    let binary_core = components.file("core.wasm", b"\0asm\x01\0\0\0");
    let text = components.file("text.wasm", "This is no component.\n");
    let empty = components.file("empty.wasm", "");
    let cut = fs::read(component(Wasi::V0_2)).unwrap();
    let cut = components.file("cut.wasm", &cut[..cut.len() / 2]);
    let missing = components.0.path().join("missing.wasm");
    let folder = components.0.path().to_path_buf();
    for (file, word) in [
        (core, "wasm-tools component new"),
        (binary_core, "wasm-tools component new"),
        (text, ""),
        (empty, ""),
        (cut, ""),
        (missing, ""),
        (folder, ""),
    ] {
        run(&file).assert_failure(125, &[file.to_str().unwrap(), word]);
    }
}

#[test]
fn text_with_a_mistake_in_it() {
    let components = Components::new();
    let file = components.file("broken.wat", "(component\n  (nonsense))");
    let finished = run(&file);
    finished.assert_code(125);
    // A backtrace of several lines.
    for word in [file.to_str().unwrap(), "2:4", "(nonsense)"] {
        assert!(
            finished.stderr().contains(word),
            "{word:?} is not in the message"
        );
    }
}

#[test]
fn a_component_that_is_no_command() {
    let components = Components::new();
    let file = components.file("empty.wat", "(component)");
    run(&file).assert_failure(125, &[file.to_str().unwrap(), "wasi:cli/run"]);
}

#[test]
fn a_component_that_wants_what_there_is_not() {
    let components = Components::new();
    let file = components.file(
        "wants.wat",
        r#"(component
            (import "example:other/thing@1.2.3" (instance (export "do" (func))))
            (core module $m (func (export "run") (result i32) i32.const 0))
            (core instance $i (instantiate $m))
            (func $run (result (result)) (canon lift (core func $i "run")))
            (instance $exported (export "run" (func $run)))
            (export "wasi:cli/run@0.2.0" (instance $exported)))"#,
    );
    run(&file).assert_failure(125, &[file.to_str().unwrap(), "example:other/thing@1.2.3"]);
}

#[test]
fn what_it_asks_to_listen_on_is_mapped() {
    // An address that no other program uses, so that its port stays free.
    let real = TcpListener::bind("127.0.55.1:0").unwrap();
    let address = real.local_addr().unwrap();
    drop(real);
    let map = format!("0.0.0.0:80={address}");
    let program = |listen| {
        Program::sockbox(["run", "--listen-as", &map, "--deny-accept", "127.0.0.9"])
            .args([component(Wasi::V0_2)])
            .args(["serve", "--listen", listen])
    };
    let server = Serving::started(program("0.0.0.0:80"), 1);
    assert_eq!(server.address(), "0.0.0.0:80".parse().unwrap());
    HelloClient::connect(address).ask("Michael\n", "Hello, Michael!\n");
    // The policy decides which clients are accepted.
    HelloClient::connect_from("127.0.0.9", address).wait_for_any_end();
    // An address in use is reported before the component starts.
    let taken = program("0.0.0.0:80").run();
    taken.assert_code(45);
    assert!(
        taken.stderr().contains(&address.to_string()),
        "{}",
        taken.stderr()
    );
    drop(server);

    // And nothing else is granted.
    let other = program("0.0.0.0:81").run();
    other.assert_code(1);
    assert!(
        other.stderr().contains("--allow-listen 0.0.0.0:81"),
        "{}",
        other.stderr()
    );
}

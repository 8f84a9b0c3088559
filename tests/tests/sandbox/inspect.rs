//! `sockbox inspect`.

use serde_json::Value;
use sockbox_tests::{Program, Wasi, component};
use std::fs;
use std::io::Write;
use std::path::Path;

fn inspect(file: &Path) -> String {
    let finished = Program::sockbox(["inspect"]).args([file]).run();
    finished.assert_quiet_success();
    finished.stdout_text()
}

fn json(file: &Path) -> Value {
    let finished = Program::sockbox(["inspect", "--json"]).args([file]).run();
    finished.assert_quiet_success();
    serde_json::from_slice(finished.stdout()).unwrap()
}

#[track_caller]
fn assert_says(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "{word:?} isn't said:\n{text}");
    }
}

#[test]
fn people_are_told_what_a_component_can_do() {
    let text = inspect(&component(Wasi::V0_2));
    assert_says(
        &text,
        &[
            "a command",
            "`sockbox run` runs it",
            "resolve names",
            "--allow-resolve",
            "open TCP connections",
            "--allow-connect",
            "listen for TCP connections",
            "--allow-listen, --allow-accept",
            "the files you map",
            "--dir",
            "read its arguments",
            "wasi:cli/run@0.2",
            "wit-bindgen-rust",
            "KiB",
        ],
    );
    for word in ["UDP", "could"] {
        assert!(!text.contains(word), "{word:?} is said:\n{text}");
    }
}

#[test]
fn machines_are_told_too() {
    let file = component(Wasi::V0_2);
    let report = json(&file);
    assert_eq!(report["file"], file.to_str().unwrap());
    assert_eq!(report["kind"], "command");
    assert_eq!(report["wasi"], "0.2");
    assert_eq!(json(&component(Wasi::V0_3))["wasi"], "0.3");
    assert_eq!(report["runnable"], true);
    assert_eq!(report["obstacle"], Value::Null);
    assert_eq!(report["bytes"], fs::metadata(&file).unwrap().len());
    assert_eq!(report["incomplete"], false);
    let grants = report["grants"].as_array().unwrap();
    assert!(grants.contains(&"--allow-connect".into()), "{grants:?}");
    assert!(!grants.contains(&"--allow-udp-send".into()), "{grants:?}");
    let connect = report["capabilities"]
        .as_array()
        .unwrap()
        .iter()
        .find(|it| it["id"] == "connect-tcp")
        .unwrap();
    assert_eq!(connect["certain"], true);
    assert_eq!(connect["text"], "open TCP connections");
    assert_eq!(connect["grants"], Value::from(vec!["--allow-connect"]));
    let interface = report["imports"]
        .as_array()
        .unwrap()
        .iter()
        .find(|it| {
            it["name"]
                .as_str()
                .unwrap()
                .starts_with("wasi:sockets/tcp@")
        })
        .unwrap();
    let functions = interface["functions"].as_array().unwrap();
    assert!(functions.contains(&"[method]tcp-socket.start-connect".into()));
    assert!(report["code_bytes"].as_u64().unwrap() > 10_000);
    assert!(report["core_modules"][0]["memories"].is_array());
    let producers = report["producers"].as_array().unwrap();
    assert!(
        producers
            .iter()
            .any(|it| it["field"] == "processed-by" && it["name"] == "wit-bindgen-rust")
    );
}

#[test]
fn what_cannot_be_run_is_shown_as_well() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &[u8]| {
        let path = folder.path().join(name);
        fs::write(&path, content).unwrap();
        path
    };
    let other = file(
        "other.wat",
        b"(component (import \"mine:own/thing@1.0.0\" (func)))",
    );
    let other = inspect(&other);
    assert_says(
        &other,
        &["can't run it", "`mine:own/thing@1.0.0`", "no grant"],
    );
    let core = file(
        "core.wat",
        b"(module (import \"env\" \"f\" (func)) (memory 1))",
    );
    assert_eq!(json(&core)["kind"], "core-module");
    let core = inspect(&core);
    assert_says(
        &core,
        &["a core module", "wasm-tools component new", "env::f"],
    );
    let compiled = folder.path().join("a.cwasm");
    let compile = Program::sockbox(["compile", "-o"]).args([&compiled, &component(Wasi::V0_2)]);
    compile.run().assert_quiet_success();
    assert_eq!(json(&compiled)["kind"], "precompiled");
    assert_says(
        &inspect(&compiled),
        &["native code", "nothing more can be told"],
    );
}

#[test]
fn what_is_nothing_is_said_to_be_nothing() {
    let folder = tempfile::tempdir().unwrap();
    for content in [
        &b""[..],
        b"hello",
        b"\0asm\x0d\0\x01\0\xff",
        b"\x7fELF",
        b"(component",
    ] {
        let file = folder.path().join("a.wasm");
        fs::write(&file, content).unwrap();
        let finished = Program::sockbox(["inspect"]).args([&file]).run();
        finished.assert_code(125).assert_stdout(b"");
        assert!(finished.stderr().contains(file.to_str().unwrap()));
    }
    let missing = Program::sockbox(["inspect", "/nonexistent/a.wasm"]).run();
    missing.assert_failure(125, &["/nonexistent/a.wasm"]);
    let endless = Program::sockbox(["inspect", "/dev/zero"]).run();
    endless.assert_failure(125, &["larger than the 256 MiB"]);
    let full = Program::sockbox(["inspect"]).args([component(Wasi::V0_2)]);
    full.stdout(fs::File::create("/dev/full").unwrap())
        .run()
        .assert_failure(23, &["standard output"]);
}

#[test]
fn a_component_on_standard_input() {
    let mut process = Program::sockbox(["inspect", "-"]).with_stdin().start();
    process.stdin().write_all(b"(component $mine)").unwrap();
    let finished = process.wait();
    finished.assert_quiet_success();
    assert_says(
        &finished.stdout_text(),
        &["standard input: a component", "it calls itself mine"],
    );
}

#[test]
fn names_in_a_file_cannot_steer_a_terminal() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.wat");
    let hostile = r"\1b[2J\07\0d\0aroot# \c2\9b31m\e2\80\ae";
    let text = format!(
        "(module (@name \"{hostile}\") (import \"{hostile}\" \"{hostile}\" (func))
            (func (export \"{hostile}\"))
            (@producers (language \"{hostile}\" \"{hostile}\")))"
    );
    fs::write(&file, text).unwrap();
    let steers = |text: &str| {
        let steering = |c: char| c.is_control() && c != '\n' || c == '\u{202e}';
        text.contains(steering)
    };
    let text = inspect(&file);
    assert!(!steers(&text), "{text:?}");
    assert!(
        !text.lines().any(|line| line.starts_with("root#")),
        "{text}"
    );
    let finished = Program::sockbox(["inspect", "--json"]).args([&file]).run();
    assert!(!steers(&finished.stdout_text()));
    // Nothing is lost there.
    let name = "\u{1b}[2J\u{7}\r\nroot# \u{9b}31m\u{202e}";
    assert_eq!(json(&file)["name"], name);
    // What can't be read is quoted in the message.
    fs::write(&file, "(component\n  (\u{1b}[2J\u{9b}))").unwrap();
    for command in ["inspect", "run"] {
        let finished = Program::sockbox([command]).args([&file]).run();
        finished.assert_code(125);
        assert!(!steers(finished.stderr()), "{:?}", finished.stderr());
    }
}

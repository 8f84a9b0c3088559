//! A component's bytes decide which version of WASI it runs on.

use sockbox_tests::{Foreign, Program};
use std::fs;

/// A command for WASI 0.3 that does nothing, with this beside it.
fn command(content: &str) -> String {
    format!(
        r#"(component {content}
            (core module $returns
                (import "" "return" (func $return (param i32)))
                (func (export "run") (result i32) (call $return (i32.const 0)) i32.const 0)
                (func (export "callback") (param i32 i32 i32) (result i32) unreachable))
            (core func $return (canon task.return (result (result))))
            (core instance $r (instantiate $returns
                (with "" (instance (export "return" (func $return))))))
            (func $run async (result (result))
                (canon lift (core func $r "run") async (callback (core func $r "callback"))))
            (instance $exported (export "run" (func $run)))
            (export "wasi:cli/run@0.3.0" (instance $exported)))"#
    )
}

#[test]
fn a_component_for_0_3_is_compiled_kept_and_loaded_again() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("command.wat");
    fs::write(&file, command("")).unwrap();
    let cache = folder.path().join("cache");
    for expected in ["cache: compiled, and kept", "cache: found compiled"] {
        let program = Program::sockbox(["run", "-v"])
            .args([&file])
            .env("SOCKBOX_CACHE_DIR", cache.to_str().unwrap());
        let finished = program.run();
        finished.assert_code(0).assert_stdout(b"");
        let told = "* runs on WASI 0.3, which is experimental\n";
        assert!(finished.stderr().contains(told), "{}", finished.stderr());
        assert!(
            finished.stderr().contains(expected),
            "{}",
            finished.stderr()
        );
    }
}

#[test]
fn compiled_ahead() {
    let folder = tempfile::tempdir().unwrap();
    let native = folder.path().join("tries.cwasm");
    Program::sockbox(["compile", "-o"])
        .args([&native])
        .args([Foreign::RustOn0_3.component()])
        .run()
        .assert_code(0);
    Program::sockbox(["run", "--allow-precompiled"])
        .args([&native])
        .args(["env"])
        .run()
        .assert_quiet_success()
        .assert_stdout(b"ok\n");
}

#[test]
fn what_it_lacks_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("command.wat");
    let instance = r#"(instance (export "f" (func)))"#;
    for (import, expected) in [
        (
            "own:thing/it",
            "it imports `own:thing/it`, which sockbox does not provide",
        ),
        (
            "wasi:cli/environment@0.3.0-rc-2026-01-01",
            "it imports `wasi:cli/environment@0.3.0-rc-2026-01-01`, which sockbox does not provide",
        ),
        (
            "wasi:io/poll@0.3.0",
            "it imports `wasi:io/poll@0.3.0`, which sockbox does not provide",
        ),
        ("wasi:cli/environment@0.3.0", "it can't be linked"),
    ] {
        fs::write(&file, command(&format!("(import {import:?} {instance})"))).unwrap();
        for words in ["run", "inspect"] {
            let finished = Program::sockbox([words]).args([&file]).run();
            let told = format!("{}{}", finished.stderr(), finished.stdout_text());
            assert!(told.contains(expected), "{words} {import}: {told}");
        }
    }
}

#[test]
fn inspect_says_that_it_runs_and_what_it_could_do() {
    let finished = Program::sockbox(["inspect"])
        .args([Foreign::RustOn0_3.component()])
        .run();
    finished.assert_code(0);
    let text = finished.stdout_text();
    for expected in [
        "a command",
        "`sockbox run` runs it",
        "WASI 0.3, which is experimental",
        "--allow-connect",
        "--allow-listen",
        "--allow-udp-send",
        "--allow-resolve",
        "--dir",
        "--env",
    ] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
}

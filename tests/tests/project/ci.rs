//! The scripts in `.ci`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

/// The output of `.ci/newer-wasmtime` if `cargo update --dry-run` prints this and exits with this
/// code.
fn newer_wasmtime(answer: &str, code: i32) -> String {
    let folder = tempfile::tempdir().unwrap();
    let cargo = folder.path().join("cargo");
    let script = format!(
        "#!/bin/sh\n[ \"$*\" = 'update --dry-run' ] || exit 99\ncat >&2 <<'END'\n{answer}\nEND\nexit {code}\n"
    );
    fs::write(&cargo, script).unwrap();
    fs::set_permissions(&cargo, fs::Permissions::from_mode(0o755)).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.ci/newer-wasmtime");
    let output = Command::new(script).env("CARGO", &cargo).output().unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{answer}: {told}{errors}");
    assert_eq!(errors, "", "{answer}");
    told
}

#[test]
fn ci_says_when_a_newer_wasmtime_is_out() {
    let several = "    Updating crates.io index
     Locking 3 packages to latest compatible versions
    Updating anyhow v1.0.104 -> v1.0.105
    Updating wasmtime v48.0.8 -> v48.0.9 (available: v50.0.0)
    Updating wasmtime-environ v48.0.8 -> v48.0.9
warning: not updating lockfile due to dry run";
    let told = newer_wasmtime(several, 0);
    assert!(
        told.contains("*** wasmtime 48.0.9 is out, and Cargo.lock has 48.0.8\n"),
        "{told}"
    );
    assert!(!told.contains("wasmtime-environ"), "{told}");
    let told = newer_wasmtime("    Updating wasmtime-wasi v48.0.8 -> v48.0.10", 0);
    assert!(
        told.contains("*** wasmtime-wasi 48.0.10 is out, and Cargo.lock has 48.0.8\n"),
        "{told}"
    );
}

#[test]
fn ci_says_when_there_is_none_and_when_that_is_not_known() {
    for (answer, code, expected) in [
        (
            "     Locking 0 packages to latest compatible versions",
            0,
            "is the newest of its line",
        ),
        (
            "     Locking 1 package to latest compatible version\n    Updating anyhow v1.0.1 -> v1.0.2",
            0,
            "is the newest of its line",
        ),
        (
            "error: failed to get `wasmtime`\n\nCaused by:\n  could not resolve host\n",
            101,
            "is not known: the registry can't be asked\n    could not resolve host",
        ),
        ("", 101, "is not known: the registry can't be asked"),
        (
            "words of another cargo",
            0,
            "cargo's answer isn't understood",
        ),
        ("", 0, "cargo's answer isn't understood"),
    ] {
        let told = newer_wasmtime(answer, code);
        assert!(told.contains(expected), "{answer}: {told}");
        assert!(!told.contains("is out"), "{answer}: {told}");
    }
}

//! The paths of the build's results.

use crate::wasi::Wasi;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The folder of this build's programs: `target/debug`, or that of another profile.
fn profile_dir() -> PathBuf {
    // A test is target/PROFILE/deps/NAME, and so is every program that uses this library.
    let this = std::env::current_exe().expect("the path of the running test");
    let deps = this.parent().expect("a test has a folder");
    deps.parent()
        .expect("target/PROFILE/deps has a parent")
        .to_path_buf()
}

/// The build folder itself: `target`, unless cargo was told otherwise.
pub(crate) fn target_dir() -> PathBuf {
    profile_dir()
        .parent()
        .expect("target/PROFILE has a parent")
        .to_path_buf()
}

/// The `sockbox` command, as current as the sources.
pub(crate) fn sockbox() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(build_sockbox)
}

/// An example of the library, as current as the sources.
pub(crate) fn example(name: &str) -> PathBuf {
    build("--example", name);
    let file = format!("{name}{}", std::env::consts::EXE_SUFFIX);
    profile_dir().join("examples").join(file)
}

/// The `wasmtime-run` program of this package, which cargo builds before its tests.
pub(crate) fn wasmtime_run() -> PathBuf {
    profile_dir().join(format!("wasmtime-run{}", std::env::consts::EXE_SUFFIX))
}

/// The component for this version of WASI, as the build leaves it for other runtimes.
///
/// # Panics
/// When the build has left none.
pub fn component(wasi: Wasi) -> PathBuf {
    left_by_the_build(match wasi {
        Wasi::V0_2 => "sockbox.wasm",
        Wasi::V0_3 => "sockbox-wasi-0.3.wasm",
    })
}

/// The component for WASI 0.2 and TLS, as the build leaves it for other runtimes.
///
/// # Panics
/// When the build has left none.
pub fn component_with_tls() -> PathBuf {
    left_by_the_build("sockbox-tls.wasm")
}

fn left_by_the_build(name: &str) -> PathBuf {
    sockbox();
    let path = target_dir().join(name);
    assert!(
        path.is_file(),
        "the build has not left the component at {}",
        path.display()
    );
    path
}

fn build_sockbox() -> PathBuf {
    build("--bin", "sockbox");
    profile_dir().join(format!("sockbox{}", std::env::consts::EXE_SUFFIX))
}

/// Build a program: cargo builds a package's programs for its own tests only, so that those of
/// this package could meet an old one, or none.
fn build(kind: &str, name: &str) {
    let profile_dir = profile_dir();
    let profile = match profile_dir.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => "dev",
        Some(name) => name,
    };
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    // The whole workspace, so that features come out as in the tests' own build and nothing is built
    // twice over.
    command
        .args([
            "build",
            "--quiet",
            "--workspace",
            kind,
            name,
            "--profile",
            profile,
            "--target-dir",
        ])
        .arg(target_dir())
        .current_dir(env!("CARGO_MANIFEST_DIR"));
    // What cargo tells a running test is about this package, and is nothing that sockbox's build
    // should see.
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| {
            name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")
        }) {
            command.env_remove(name);
        }
    }
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?} can't be run: {error}"));
    assert!(
        output.status.success(),
        "{command:?} failed, {}:\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
}

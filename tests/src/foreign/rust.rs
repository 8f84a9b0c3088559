//! The components in Rust.

use super::{target, workspace};
use crate::tools;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

/// What cargo builds for.
const TARGET: &str = "wasm32-wasip2";

/// Build it as the host's build script builds sockbox's own: with the same compiler, profile and folder,
/// so that the standard library, where it has to be built, is built once for both.
pub(super) fn build(package: &str) -> Result<PathBuf, String> {
    let toolchain = toolchain()?;
    let folder = target().join("guest");
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo
        .args(["build", "--quiet", "--locked", "--package", package])
        .args(["--profile", "guest", "--target", TARGET, "--target-dir"])
        .arg(&folder)
        .current_dir(workspace());
    // What this build of the tests was told is for another machine.
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        let prefixes = [
            "CARGO_BUILD_",
            "CARGO_MANIFEST_",
            "CARGO_PKG_",
            "CARGO_PROFILE_",
            "RUST",
        ];
        if prefixes.iter().any(|prefix| name.starts_with(prefix)) && !name.starts_with("RUSTUP_") {
            cargo.env_remove(name.as_ref());
        }
    }
    cargo.env("CARGO_ENCODED_RUSTFLAGS", "");
    if let Some(rustc) = toolchain.get("rustc") {
        let linkers = toolchain.get("path").map(PathBuf::from);
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = std::env::join_paths(linkers.into_iter().chain(std::env::split_paths(&path)))
            .map_err(|error| format!("PATH can't be set: {error}"))?;
        cargo
            .arg("-Zbuild-std=std,panic_abort")
            .env("RUSTC", rustc)
            .env("RUSTC_BOOTSTRAP", "1")
            .env("PATH", path);
    }
    tools::run(&mut cargo)?;
    let built = folder.join(TARGET).join("guest");
    let program = built.join(format!("{package}.wasm"));
    let library = built.join(format!("{}.wasm", package.replace('-', "_")));
    Ok(if library.exists() { library } else { program })
}

/// What `guest/toolchain` answers.
fn toolchain() -> Result<BTreeMap<String, String>, String> {
    let script = workspace().join("guest/toolchain");
    let answer = tools::run(
        Command::new("bash")
            .arg(script)
            .arg(target().join("toolchain")),
    )?;
    let lines = answer.lines().filter_map(|line| line.split_once('='));
    Ok(lines
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect())
}

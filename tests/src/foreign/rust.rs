//! The components in Rust.

use super::{target, workspace};
use crate::tools;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

/// What cargo builds for.
const TARGET: &str = "wasm32-wasip2";

/// What the components on `wstd` are made of: a workspace of their own.
const WSTD: &str = "tests/components/wstd/Cargo.toml";

/// Build a component of the workspace.
pub(super) fn build(package: &str) -> Result<PathBuf, String> {
    let built = build_with(&["--package", package])?;
    let program = built.join(format!("{package}.wasm"));
    let library = built.join(format!("{}.wasm", package.replace('-', "_")));
    Ok(if library.exists() { library } else { program })
}

/// Build one of the components on `wstd`.
pub(super) fn build_on_wstd(program: &str) -> Result<PathBuf, String> {
    let built = build_with(&["--manifest-path", WSTD, "--bin", program])?;
    Ok(built.join(format!("{program}.wasm")))
}

/// Have cargo fetch what they are made of, if need be; or why it isn't to be had.
pub(super) fn fetch_wstd() -> Result<(), String> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo
        .args(["fetch", "--quiet", "--locked", "--manifest-path", WSTD])
        .current_dir(workspace());
    tools::run(&mut cargo).map(drop)
}

/// Build as the host's build script builds sockbox's own component: with the same compiler, profile and folder,
/// so that the standard library, where it has to be built, is built once for both. Returns where the result is.
fn build_with(selection: &[&str]) -> Result<PathBuf, String> {
    let toolchain = toolchain()?;
    let folder = target().join("guest");
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo
        .args(["build", "--quiet", "--locked"])
        .args(selection)
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
    Ok(folder.join(TARGET).join("guest"))
}

/// The crate, and the version of it that this package has in a lock file.
pub(super) fn toolchain_of(package: &str, dependency: &str, lock: &str) -> String {
    let mut packages = lock.split("[[package]]");
    let own = packages.find(|text| text.contains(&format!("name = \"{package}\"\n")));
    let named = own.unwrap_or_default().lines().find_map(|line| {
        let entry = line.trim().strip_prefix('"')?.strip_suffix("\",")?;
        let rest = entry.strip_prefix(dependency)?;
        (rest.is_empty() || rest.starts_with(' ')).then(|| rest.trim())
    });
    let version = match named {
        // There is only one version of it.
        Some("") => lock
            .split_once(&format!("name = \"{dependency}\"\nversion = \""))
            .and_then(|(_, rest)| rest.split_once('"'))
            .map(|(version, _)| version),
        named => named,
    };
    let version =
        version.unwrap_or_else(|| panic!("{package} has no {dependency} in its lock file"));
    // Behind a `+` is the version of something else.
    let version = version.split('+').next().unwrap_or_default();
    format!("{dependency} {version}")
}

/// Where the linkers are that come with Rust.
pub(super) fn linkers() -> Result<PathBuf, String> {
    let ask = |what: &str| {
        let answer = tools::run(
            Command::new("rustc")
                .args(["--print", what])
                .current_dir(workspace()),
        )?;
        Ok::<_, String>(answer.trim().to_owned())
    };
    let host = ask("host-tuple")?;
    Ok(PathBuf::from(ask("sysroot")?)
        .join("lib/rustlib")
        .join(host)
        .join("bin"))
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

#[cfg(test)]
mod tests {
    use super::toolchain_of;

    #[test]
    fn a_version_is_found_in_a_lock_file() {
        let lock = r#"
[[package]]
name = "one"
version = "1.0.1+other-0.2"

[[package]]
name = "ours"
version = "0.1.0"
dependencies = [
 "one",
 "two 2.1.0",
]

[[package]]
name = "two"
version = "2.1.0"

[[package]]
name = "two"
version = "3.0.0"
"#;
        assert_eq!(toolchain_of("ours", "one", lock), "one 1.0.1");
        assert_eq!(toolchain_of("ours", "two", lock), "two 2.1.0");
    }
}

//! Debian's clang and wasi-libc, unpacked into the build folder.

use crate::text::announce;
use crate::tools;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The compiler's package. The numbers of its version are what Debian has.
pub(crate) const PACKAGE: &str = "clang-22";

/// Its parts that need libraries, and those that need none, or only the others.
const PROGRAMS: [&str; 2] = ["lld-22", "libclang-cpp22"];
const PARTS: [&str; 3] = [
    PACKAGE,
    "libclang-common-22-dev",
    "libclang-rt-22-dev-wasm32",
];

/// The release whose wasi-libc is the first with the sockets of WASI 0.2.
const RELEASE: &str = "trixie";
const KEYS: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// What it compiles for.
const TARGET: &str = "wasm32-wasip2";

/// An unpacked clang.
pub(crate) struct Clang {
    root: PathBuf,
}

/// Debian's clang, put into the build folder first if need be; or why it isn't to be had.
pub(crate) fn clang() -> Result<Clang, String> {
    let tools = tools::folder()?;
    let _lock = tools::lock(&tools.join("clang.lock"))?;
    let root = tools.join(format!("{PACKAGE}-wasi"));
    if !root.is_dir() {
        announce(&format!(
            "taking {PACKAGE} and wasi-libc from Debian's packages into {}",
            root.display()
        ));
        let fresh = tempfile::tempdir_in(&tools)
            .map_err(|error| format!("no folder can be made: {error}"))?;
        let dir = fresh.path();
        for program in PROGRAMS {
            tools::unpack_with_libraries(program, dir)?;
        }
        for part in PARTS {
            unpack(&tools::fetch(part, dir)?, dir)?;
        }
        unpack(&tools::fetch("wasi-libc", dir)?, dir)?;
        if !has_libc(&dir.join("root")) {
            unpack(&newer_wasi_libc(dir)?, dir)?;
        }
        if !has_libc(&dir.join("root")) {
            return Err(format!("Debian's wasi-libc has nothing for {TARGET}"));
        }
        let rename = fs::rename(dir.join("root"), &root);
        rename.map_err(|error| format!("{} can't be made: {error}", root.display()))?;
    }
    Ok(Clang { root })
}

impl Clang {
    /// The compiler, which links with what is in this folder.
    pub(crate) fn command(&self, linkers: &Path) -> Result<Command, String> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = std::iter::once(linkers.to_owned()).chain(std::env::split_paths(&path));
        let path =
            std::env::join_paths(path).map_err(|error| format!("PATH can't be set: {error}"))?;
        let mut command = Command::new(self.root.join("usr/lib/llvm-22/bin/clang"));
        command
            .arg(format!("--target={TARGET}"))
            .arg(format!("--sysroot={}", self.root.join("usr").display()))
            .env("PATH", path);
        if let Some(libraries) = tools::library_dir(&self.root) {
            command.env("LD_LIBRARY_PATH", libraries);
        }
        Ok(command)
    }
}

fn has_libc(root: &Path) -> bool {
    root.join("usr/lib").join(TARGET).join("libc.a").is_file()
}

fn unpack(archive: &Path, dir: &Path) -> Result<(), String> {
    tools::run(
        Command::new("dpkg")
            .arg("-x")
            .arg(archive)
            .arg(dir.join("root")),
    )
    .map(drop)
}

/// The package of the newer release, from the mirror that the machine uses for its own.
fn newer_wasi_libc(dir: &Path) -> Result<PathBuf, String> {
    let format = "--format=$(REPO_URI) $(RELEASE) $(COMPONENT)";
    let sources = tools::run(
        Command::new("apt-get")
            .args(["indextargets", "--no-release-info", format])
            .arg("Created-By: Packages"),
    )?;
    let system = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let own = system
        .lines()
        .find_map(|line| line.strip_prefix("VERSION_CODENAME="))
        .unwrap_or_default();
    let mirror = sources.lines().find_map(|line| {
        let (uri, rest) = line.split_once(' ')?;
        (rest == format!("{own} main") && !uri.is_empty()).then_some(uri)
    });
    let mirror = mirror.ok_or("apt's configuration names no mirror of Debian")?;

    let place = dir.join(RELEASE);
    let mut options = tools::private_apt(&place)?;
    let list = place.join("sources.list");
    let source = format!("deb [signed-by={KEYS}] {mirror} {RELEASE} main\n");
    fs::write(&list, source)
        .map_err(|error| format!("{} can't be made: {error}", list.display()))?;
    options.push(format!("-oDir::Etc::SourceList={}", list.display()));
    options.push("-oDir::Etc::SourceParts=/dev/null".to_owned());
    tools::run(
        Command::new("apt-get")
            .args(&options)
            .args(["-q", "update"]),
    )?;
    tools::download("wasi-libc", &place, &options)
}

//! Builds the component, compiles it for the machine that sockbox is built for, and tells the
//! library where both files are.
//!
//! The component is a program for another target with its own profile, so this script calls cargo once
//! for each of its three builds: without TLS, with TLS, and for WASI 0.3. Each build is written to
//! `target/sockbox.wasm` for users, and to `sockbox.wasm` and `sockbox.cwasm` in this script's output
//! folder for `src/lib.rs`. The build with TLS is named `sockbox-tls`, and the one for WASI 0.3
//! `sockbox-wasi-0.3`. sockbox does not run the build without TLS, so that one is not compiled to
//! native code.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io::{self, BufRead, BufReader, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::{self, Command, Stdio};
use std::{env, iter};

use wasmtime::error::Context;
use wasmtime::{Engine, Result, bail, format_err};

#[path = "src/engine.rs"]
mod engine;

const GUEST_TARGET: &str = "wasm32-wasip2";

/// The builds of the component.
const BUILDS: [Build; 3] = [
    Build {
        name: "sockbox",
        variable: "SOCKBOX_COMPONENT",
        feature: None,
        runs_here: None,
    },
    Build {
        name: "sockbox-tls",
        variable: "SOCKBOX_TLS_COMPONENT",
        feature: Some("tls"),
        runs_here: Some(Wasi::V0_2),
    },
    Build {
        name: "sockbox-wasi-0.3",
        variable: "SOCKBOX_WASI_0_3_COMPONENT",
        feature: Some("wasi-0-3"),
        runs_here: Some(Wasi::V0_3),
    },
];

struct Build {
    /// The files' name.
    name: &'static str,
    /// The variables that say where they are begin with this.
    variable: &'static str,
    /// The component's cargo feature, if it isn't the one for any runtime.
    feature: Option<&'static str>,
    /// The WASI that sockbox runs it on, if it does.
    runs_here: Option<Wasi>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Wasi {
    V0_2,
    V0_3,
}

/// What the component is made of, relative to the workspace. Cargo itself knows the files that
/// this script is made of.
const SOURCES: &[&str] = &[
    "Cargo.lock",
    "Cargo.toml",
    "guest/Cargo.toml",
    "guest/src",
    "guest/toolchain",
    "host/grammar/Cargo.toml",
    "host/grammar/src",
    "host/printable/Cargo.toml",
    "host/printable/src",
    "wit",
];

fn main() {
    let mut report = Report::default();
    match run(&mut report) {
        // Not before: when a script fails, cargo shows the instructions together with the error.
        Ok(()) => report
            .instructions
            .iter()
            .for_each(|it| println!("cargo::{it}")),
        Err(error) => {
            eprintln!("{error:#}");
            process::exit(1);
        }
    }
}

fn run(report: &mut Report) -> Result<()> {
    let out = PathBuf::from(variable("OUT_DIR")?);
    let files = |build: &Build| {
        let file = |extension| out.join(format!("{}.{extension}", build.name));
        (file("wasm"), file("cwasm"))
    };
    for build in &BUILDS {
        let (wasm, cwasm) = files(build);
        for (kind, file) in [("WASM", wasm), ("CWASM", cwasm)] {
            let (variable, file) = (build.variable, file.display());
            report.instruct(format!("rustc-env={variable}_{kind}={file}"));
        }
    }

    // docs.rs has neither the target nor the network to get it from. The pages don't need it.
    report.instruct("rerun-if-env-changed=DOCS_RS".to_owned());
    if env::var_os("DOCS_RS").is_some_and(|value| !value.is_empty()) {
        return BUILDS.iter().try_for_each(|build| {
            let (wasm, cwasm) = files(build);
            write(&wasm, &[])?;
            write(&cwasm, &[])
        });
    }

    let workspace = workspace()?;
    for source in SOURCES {
        report.instruct(format!(
            "rerun-if-changed={}",
            workspace.join(source).display()
        ));
    }

    let target = target_folder(&out)?;
    let toolchain = Toolchain::find(&workspace, &target, report)?;
    for build in &BUILDS {
        let component = build_component(build, &workspace, &target, &toolchain, report)?;
        let (wasm, cwasm) = files(build);
        write(&target.join(format!("{}.wasm", build.name)), &component)?;
        write(&wasm, &component)?;
        if let Some(wasi) = build.runs_here {
            write(&cwasm, &precompile(wasi, &component, report)?)?;
        }
    }

    if report.passing {
        let reminder = out.join("reminder");
        fs::write(&reminder, [])?;
        report.instruct(format!("rerun-if-changed={}", reminder.display()));
    }
    Ok(())
}

/// Messages for cargo, and for the person who builds.
///
/// Cargo hides the output of a build script, so progress messages are written directly to the
/// terminal. Without a terminal (CI, an editor) they become cargo warnings when the script has
/// ended. Cargo would repeat these warnings at every later build. To prevent that, a file newer
/// than the script's start makes cargo run the script again, and the second run has no messages.
#[derive(Default)]
struct Report {
    /// The instructions that are printed after `cargo::` at the end.
    instructions: Vec<String>,
    /// Whether there are warnings among the instructions that must not be repeated.
    passing: bool,
}

impl Report {
    fn instruct(&mut self, instruction: String) {
        self.instructions.push(instruction);
    }

    fn warn(&mut self, text: &str) {
        self.instruct(format!("warning={text}"));
    }

    /// Tells what `guest/toolchain` is doing.
    fn progress(&mut self, line: &str) {
        if !to_terminal(line)
            // The output of apt and rustup is left out: each line would be a warning.
            && let Some(line) = line.strip_prefix("sockbox: ")
        {
            self.warn(line);
            self.passing = true;
        }
    }
}

/// Writes a line to the terminal, if there is one.
fn to_terminal(line: &str) -> bool {
    let terminal = OpenOptions::new().write(true).open("/dev/tty");
    // Over cargo's progress bar, which it draws again in the line below.
    terminal.is_ok_and(|mut terminal| write!(terminal, "\r\x1b[K{line}\r\n").is_ok())
}

fn workspace() -> Result<PathBuf> {
    let package = PathBuf::from(variable("CARGO_MANIFEST_DIR")?);
    let workspace = package.ancestors().nth(2);
    Ok(workspace
        .context("the package is not two folders deep in its workspace")?
        .to_owned())
}

/// The target folder of the build, by default `target`.
///
/// Cargo doesn't tell a build script, but `out` is `TARGET/PROFILE/build/…` in it, or with
/// `--target` given `TARGET/TRIPLE/PROFILE/build/…`.
fn target_folder(out: &Path) -> Result<PathBuf> {
    let triple = variable("TARGET")?;
    out.ancestors()
        .find(|folder| folder.ends_with("build"))
        .and_then(|build| build.parent()?.parent())
        .and_then(|folder| match folder.ends_with(&triple) {
            true => folder.parent(),
            false => Some(folder),
        })
        .map(Path::to_owned)
        .with_context(|| format!("{} is not in a folder that cargo builds in", out.display()))
}

/// The compiler for [`GUEST_TARGET`] that `guest/toolchain` found.
enum Toolchain {
    /// The installed compiler that also builds sockbox.
    Installed,
    /// A compiler without a standard library for the target, and its linkers' folder.
    Debian { rustc: PathBuf, linkers: PathBuf },
}

impl Toolchain {
    /// Asks `guest/toolchain`, which may have to fetch something first.
    fn find(workspace: &Path, target: &Path, report: &mut Report) -> Result<Toolchain> {
        let script = workspace.join("guest/toolchain");
        let mut child = Command::new("bash")
            .arg(&script)
            .arg(target.join("toolchain"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot run guest/toolchain, which needs bash")?;

        let mut told = String::new();
        if let Some(stderr) = child.stderr.take() {
            for line in BufReader::new(stderr).lines() {
                let line = line?;
                report.progress(&line);
                told = told + &line + "\n";
            }
        }
        let output = child.wait_with_output()?;
        if !output.status.success() {
            bail!("guest/toolchain found no compiler for the component\n{told}");
        }
        Toolchain::parse(&String::from_utf8(output.stdout)?)
    }

    fn parse(answer: &str) -> Result<Toolchain> {
        let answer: BTreeMap<_, _> = answer
            .lines()
            .filter_map(|line| line.split_once('='))
            .collect();
        let path = |key| {
            let value = answer.get(key).map(PathBuf::from);
            value.with_context(|| format!("guest/toolchain did not say its {key}"))
        };
        match answer.get("kind") {
            Some(&"installed") => Ok(Toolchain::Installed),
            Some(&"debian") => Ok(Toolchain::Debian {
                rustc: path("rustc")?,
                linkers: path("path")?,
            }),
            other => bail!("guest/toolchain answered with kind {other:?}"),
        }
    }

    /// Makes `cargo` build with this.
    fn apply(&self, cargo: &mut Command) -> Result<()> {
        match self {
            Toolchain::Installed => {
                cargo.env("RUSTC", variable("RUSTC")?);
            }
            Toolchain::Debian { rustc, linkers } => {
                let path = env::var_os("PATH").unwrap_or_default();
                let path = iter::once(linkers.clone()).chain(env::split_paths(&path));
                cargo
                    .arg("-Zbuild-std=std,panic_abort")
                    .env("RUSTC", rustc)
                    .env("RUSTC_BOOTSTRAP", "1")
                    .env("PATH", env::join_paths(path)?);
            }
        }
        Ok(())
    }
}

fn build_component(
    build: &Build,
    workspace: &Path,
    target: &Path,
    toolchain: &Toolchain,
    report: &mut Report,
) -> Result<Vec<u8>> {
    let folder = target.join("guest");
    let mut cargo = Command::new(variable("CARGO")?);
    cargo
        // Only the component: with the library for native tests beside it there would be no LTO.
        .args(["rustc", "--quiet", "--locked"])
        .args([
            "--package",
            "sockbox-guest",
            "--lib",
            "--crate-type",
            "cdylib",
        ])
        .args(["--profile", "guest", "--target", GUEST_TARGET])
        .args(build.feature.map(|feature| format!("--features={feature}")))
        .arg("--target-dir")
        .arg(&folder)
        .current_dir(workspace)
        .stdin(Stdio::null());
    clean_environment(&mut cargo)?;
    toolchain.apply(&mut cargo)?;
    if !folder.exists() {
        to_terminal("sockbox: building the component, which takes a minute at first");
    }

    let output = cargo.output().context("cannot run cargo")?;
    let told = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        bail!("the component cannot be built\n{told}");
    }
    for warning in told.lines().filter(|line| !line.is_empty()) {
        report.warn(warning);
    }
    let file = folder.join(GUEST_TARGET).join("guest/sockbox_guest.wasm");
    fs::read(&file).with_context(|| format!("cannot read {}", file.display()))
}

/// Removes settings for the build of sockbox, which must not apply to the build of the component:
/// compiler and linker flags for another target, clippy in place of rustc, profiles, and the
/// variables that cargo sets for this script.
fn clean_environment(cargo: &mut Command) -> Result<()> {
    // About where crates come from and how many jobs may run, and the linker for the parts that
    // run on this machine.
    let host = variable("HOST")?.to_uppercase().replace('-', "_");
    let kept = [
        "CARGO_HOME".to_owned(),
        "CARGO_HTTP_".to_owned(),
        "CARGO_MAKEFLAGS".to_owned(),
        "CARGO_NET_".to_owned(),
        "CARGO_REGISTR".to_owned(),
        "CARGO_SOURCE_".to_owned(),
        format!("CARGO_TARGET_{host}_LINKER"),
    ];
    let of_this_build = |name: &str| {
        let cargos = ["CARGO_", "DEP_", "RUSTC", "RUSTDOC", "RUSTFLAGS"];
        let own = ["DEBUG", "HOST", "OPT_LEVEL", "OUT_DIR", "PROFILE", "TARGET"];
        own.contains(&name)
            || cargos.iter().any(|prefix| name.starts_with(prefix))
                && !kept.iter().any(|prefix| name.starts_with(prefix))
    };
    for (name, _) in env::vars_os() {
        if name.to_str().is_some_and(of_this_build) {
            cargo.env_remove(name);
        }
    }
    // Set but empty, it stands before the flags of cargo's configuration files, too.
    cargo.env("CARGO_ENCODED_RUSTFLAGS", "");
    Ok(())
}

/// Compiles the component for the machine that sockbox is built for, with no instructions but those
/// that every such machine has. The result is empty where wasmtime has no compiler for it; the
/// library compiles at each start then.
fn precompile(wasi: Wasi, component: &[u8], report: &mut Report) -> Result<Vec<u8>> {
    let triple = variable("TARGET")?;
    let architecture = variable("CARGO_CFG_TARGET_ARCH")?;
    // Cranelift's back-end for this machine is the only one in the build.
    let has_compiler = architecture == env::consts::ARCH
        && ["aarch64", "riscv64", "s390x", "x86_64"].contains(&architecture.as_str());
    if !has_compiler {
        report.warn(&format!(
            "the component is not compiled ahead of time for {triple}: every start takes longer"
        ));
        return Ok(Vec::new());
    }
    let mut config = engine::config(wasi == Wasi::V0_3);
    config.target(&triple)?;
    Engine::new(&config)?
        .precompile_component(component)
        .with_context(|| format!("cannot compile the component for {triple}"))
}

/// Writes a file atomically, unless it already has this content.
fn write(path: &Path, content: &[u8]) -> Result<()> {
    match fs::read(path) {
        Ok(old) if old == content => return Ok(()),
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("cannot read {}", path.display()));
        }
        _ => {}
    }
    replace(path, content).with_context(|| format!("cannot write {}", path.display()))
}

fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    // Two builds, say cargo's and an editor's, may come here at the same time.
    let mut temporary = OsString::from(path);
    temporary.push(format!(".{}", process::id()));
    fs::write(&temporary, content)?;
    fs::rename(&temporary, path)
}

/// One of the variables that cargo sets for every build script.
fn variable(name: &str) -> Result<String> {
    env::var(name).map_err(|error| format_err!("cargo's variable {name}: {error}"))
}

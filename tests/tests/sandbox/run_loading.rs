//! How `sockbox run` loads a component: from files, from standard input, precompiled, and from the
//! cache.

use sockbox_tests::{Finished, Program, Wasi, component};
use std::fs::{self, File, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// A command that exits with 0, unlike any other by its name.
fn command(name: &str) -> String {
    format!(
        r#"(component
            (core module ${name} (func (export "run") (result i32) i32.const 0))
            (core instance $i (instantiate ${name}))
            (func $run (result (result)) (canon lift (core func $i "run")))
            (instance $exported (export "run" (func $run)))
            (export "wasi:cli/run@0.2.0" (instance $exported)))"#
    )
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, content).unwrap();
        path
    }
}

fn with_stdin(args: &[&str], input: &[u8]) -> Finished {
    let mut process = Program::sockbox(["run"]).args(args).with_stdin().start();
    // It may have had enough before the end.
    let _ = process.stdin().write_all(input);
    process.wait()
}

#[test]
fn a_component_on_standard_input() {
    with_stdin(&["-"], command("input").as_bytes()).assert_quiet_success();
    let binary = fs::read(component(Wasi::V0_2)).unwrap();
    let expected = format!("sockbox {}\n", env!("CARGO_PKG_VERSION"));
    with_stdin(&["-", "--version"], &binary)
        .assert_quiet_success()
        .assert_stdout(expected.as_bytes());
    for (input, word) in [
        (&b""[..], "it is empty"),
        (b"hello", "it is not WebAssembly"),
        (b"(module)", "wasm-tools component new"),
        (&binary[..1000], "it can't be compiled"),
    ] {
        with_stdin(&["-"], input).assert_failure(125, &["standard input: ", word]);
    }
}

#[test]
fn a_component_without_end_is_refused() {
    let endless = Program::sockbox(["run", "/dev/zero"]).run();
    endless.assert_failure(125, &["/dev/zero: ", "larger than the 256 MiB"]);
    let endless = Program::sockbox(["run", "-"]).stdin(File::open("/dev/zero").unwrap());
    let endless = endless.run();
    endless.assert_failure(125, &["standard input: ", "larger than the 256 MiB"]);
}

/// `sockbox compile` of the component in `from`.
fn compile(from: &Path, to: &Path) {
    let program = Program::sockbox(["compile", "-o"]).args([to, from]);
    program.run().assert_quiet_success().assert_stdout(b"");
}

#[test]
fn what_is_compiled_ahead_of_time_runs_only_when_that_is_allowed() {
    let folder = Folder::new();
    let compiled = folder.path("sockbox.cwasm");
    compile(&component(Wasi::V0_2), &compiled);
    let run = |flags: &[&str], file: &Path| {
        let program = Program::sockbox(["run"]).args(flags).args([file]);
        program.args(["--version"]).run()
    };
    let file = compiled.to_str().unwrap();
    run(&[], &compiled).assert_failure(125, &[file, "native code", "--allow-precompiled"]);
    let expected = format!("sockbox {}\n", env!("CARGO_PKG_VERSION"));
    // --allow-precompiled also accepts a component that is not precompiled.
    for file in [&compiled, &component(Wasi::V0_2)] {
        run(&["--allow-precompiled"], file)
            .assert_quiet_success()
            .assert_stdout(expected.as_bytes());
    }
    let input = fs::read(&compiled).unwrap();
    with_stdin(&["--allow-precompiled", "-", "--version"], &input)
        .assert_quiet_success()
        .assert_stdout(expected.as_bytes());
}

#[test]
fn what_was_compiled_otherwise_is_refused() {
    let folder = Folder::new();
    let run = |file: &Path| {
        let program = Program::sockbox(["run", "--allow-precompiled"]).args([file]);
        program.run()
    };
    let ours = folder.path("ours.cwasm");
    compile(&folder.file("a.wat", command("ahead")), &ours);
    let ours = fs::read(ours).unwrap();

    // By another version of wasmtime: the number is behind its length and the layout's version.
    let at = ours.windows(4).position(|it| it == b"\0\x0248");
    let at = at.expect("the version is written in it");
    let mut older = ours.clone();
    older[at..at + 4].copy_from_slice(b"\0\x0247");
    let older = folder.file("older.cwasm", older);
    run(&older).assert_failure(
        125,
        &[older.to_str().unwrap(), "version '47'", "`sockbox compile`"],
    );

    // With other settings.
    let other = folder.path("other.cwasm");
    let flags = ["compile", "-o", other.to_str().unwrap()];
    let compile = Program::wasmtime_run_on(Wasi::V0_2, &flags, [] as [&str; 0]);
    compile.run().assert_code(0);
    run(&other).assert_failure(
        125,
        &[other.to_str().unwrap(), "settings", "`sockbox compile`"],
    );

    // By another compiler altogether, and no more than a beginning.
    let native = folder.file("native", fs::read("/bin/true").unwrap());
    run(&native).assert_failure(125, &[native.to_str().unwrap(), "native code (ELF)"]);
    let cut = folder.file("cut.cwasm", &ours[..ours.len() / 2]);
    run(&cut).assert_failure(125, &[cut.to_str().unwrap()]);
}

/// A cache of its own.
struct Cache {
    folder: Folder,
}

const KEPT: &str = "* cache: compiled, and kept\n";
const FOUND: &str = "* cache: found compiled\n";

impl Cache {
    fn new() -> Self {
        Self {
            folder: Folder::new(),
        }
    }

    fn path(&self) -> PathBuf {
        self.folder.path("cache")
    }

    fn program(&self, component: &Path) -> Program {
        let path = self.path();
        Program::sockbox(["run", "-v"])
            .args([component])
            .env("SOCKBOX_CACHE_DIR", path.to_str().unwrap())
    }

    /// A run of the component, and what is said of the cache then.
    fn run(&self, component: &Path) -> String {
        let finished = self.program(component).run();
        finished.assert_code(0);
        finished.stderr().to_owned()
    }

    fn entries(&self) -> Vec<PathBuf> {
        let files = fs::read_dir(self.path()).unwrap();
        files.map(|file| file.unwrap().path()).collect()
    }
}

#[test]
fn the_second_run_does_not_compile() {
    let cache = Cache::new();
    let file = cache.folder.file("a.wat", command("first"));
    assert_eq!(cache.run(&file), KEPT);
    assert_eq!(cache.run(&file), FOUND);
    // The cache entry depends on the component, not on its file name.
    let other = cache.folder.file("b.wat", command("first"));
    assert_eq!(cache.run(&other), FOUND);
    fs::write(&file, command("second")).unwrap();
    assert_eq!(cache.run(&file), KEPT);
    assert_eq!(cache.entries().len(), 2);
    // Without -v nothing is said.
    let path = cache.path();
    let quiet = Program::sockbox(["run"]).args([&file]);
    let quiet = quiet.env("SOCKBOX_CACHE_DIR", path.to_str().unwrap());
    quiet.run().assert_quiet_success();
}

#[test]
fn what_cannot_be_run_is_not_helped_by_the_cache() {
    let cache = Cache::new();
    let file = cache.folder.file("empty.wat", "(component)");
    for _ in 0..2 {
        let finished = cache.program(&file).run();
        finished.assert_failure(125, &["wasi:cli/run"]);
    }
}

#[test]
fn processes_share_it() {
    let cache = Cache::new();
    // Large enough that all of them compile at the same time.
    let component = component(Wasi::V0_2);
    let expected = format!("sockbox {}\n", env!("CARGO_PKG_VERSION"));
    let run = || cache.program(&component).args(["--version"]).start();
    let racing: Vec<_> = (0..4).map(|_| run()).collect();
    let finished: Vec<_> = racing.into_iter().map(|it| it.wait()).collect();
    for finished in &finished {
        finished.assert_code(0).assert_stdout(expected.as_bytes());
        assert!([KEPT, FOUND].contains(&finished.stderr()));
    }
    assert!(finished.iter().any(|it| it.stderr() == KEPT));
    let finished = run().wait();
    finished.assert_code(0).assert_stdout(expected.as_bytes());
    assert_eq!(finished.stderr(), FOUND);
    let entries = cache.entries();
    assert_eq!(entries.len(), 1, "{entries:?}");
}

#[test]
fn a_damaged_entry_is_compiled_anew() {
    let cache = Cache::new();
    let file = cache.folder.file("a.wat", command("damaged"));
    assert_eq!(cache.run(&file), KEPT);
    let [entry] = &cache.entries()[..] else {
        panic!("not one entry");
    };
    let mut bytes = fs::read(entry).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(entry, &bytes).unwrap();
    let said = cache.run(&file);
    assert!(
        said.starts_with("* cache: compiled again and stored: ") && said.contains("damaged"),
        "{said}"
    );
    assert_eq!(cache.run(&file), FOUND);
}

#[test]
fn a_cache_that_cannot_be_written_to_is_read() {
    let cache = Cache::new();
    let file = cache.folder.file("a.wat", command("readable"));
    let other = cache.folder.file("b.wat", command("other"));
    assert_eq!(cache.run(&file), KEPT);
    fs::set_permissions(cache.path(), Permissions::from_mode(0o500)).unwrap();
    let run = |file| cache.program(file).held_by_permissions().run();
    let finished = run(&file);
    finished.assert_code(0);
    assert_eq!(finished.stderr(), FOUND);
    let finished = run(&other);
    finished.assert_code(0);
    let said = finished.stderr();
    assert!(
        said.starts_with("* cache: compiled but not stored: ") && said.lines().count() == 1,
        "{said}"
    );
    assert_eq!(cache.entries().len(), 1);
}

#[test]
fn a_cache_that_others_could_write_to_is_not_used() {
    let cache = Cache::new();
    let file = cache.folder.file("a.wat", command("open"));
    assert_eq!(cache.run(&file), KEPT);
    fs::set_permissions(cache.path(), Permissions::from_mode(0o777)).unwrap();
    let said = cache.run(&file);
    assert!(
        said.contains("not stored") && said.contains(cache.path().to_str().unwrap()),
        "{said}"
    );
}

#[test]
fn without_the_cache() {
    let cache = Cache::new();
    let file = cache.folder.file("a.wat", command("without"));
    let path = cache.path();
    let program = Program::sockbox(["run", "-v", "--no-cache"]).args([&file]);
    let program = program.env("SOCKBOX_CACHE_DIR", path.to_str().unwrap());
    let finished = program.run();
    finished.assert_code(0);
    assert_eq!(finished.stderr(), "* cache: not used\n");
    assert!(!path.exists());
}

#[test]
fn it_is_where_caches_are() {
    let folder = Folder::new();
    let file = folder.file("a.wat", command("where"));
    let home = folder.0.path().to_str().unwrap();
    let program = Program::sockbox(["run"]).args([&file]);
    let program = program.without_env("SOCKBOX_CACHE_DIR").env("HOME", home);
    program.run().assert_quiet_success();
    assert_eq!(
        fs::read_dir(folder.path(".cache/sockbox")).unwrap().count(),
        1
    );
}

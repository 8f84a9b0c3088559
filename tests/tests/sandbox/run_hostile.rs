//! Components that exceed a limit before they run: during compiling or instantiating.

use sockbox_tests::{Finished, Program, Signal, Wasi, component, eventually};
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

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

    /// A run of the component in this text, with a cache of its own.
    fn run(&self, flags: &[&str], text: &str) -> Finished {
        let file = self.file("hostile.wat", text);
        let cache = self.path("cache");
        Program::sockbox(["run"])
            .args(flags)
            .args([file])
            .env("SOCKBOX_CACHE_DIR", cache.to_str().unwrap())
            .run()
    }
}

/// What makes a component a command.
const COMMAND: &str = r#"
    (core module $command (func (export "run") (result i32) i32.const 0))
    (core instance $i (instantiate $command))
    (func $run (result (result)) (canon lift (core func $i "run")))
    (instance $exported (export "run" (func $run)))
    (export "wasi:cli/run@0.2.0" (instance $exported))"#;

/// Each component instantiates the one before twice.
fn doubling(deep: usize) -> String {
    let mut text = format!("(component {COMMAND} (component $c0)");
    for depth in 1..=deep {
        let _ = write!(
            text,
            "(component $c{depth} (alias outer 1 $c{} (component $it))
                (instance (instantiate $it)) (instance (instantiate $it)))",
            depth - 1
        );
    }
    let _ = write!(text, "(instance (instantiate $c{deep})))");
    text
}

/// A module with so many globals, in so many instances.
fn globals(globals: usize, instances: usize) -> String {
    format!(
        "(component {COMMAND} (core module $g {}) {})",
        "(global i32 (i32.const 0))".repeat(globals),
        "(core instance (instantiate $g))".repeat(instances)
    )
}

#[test]
fn instances_that_double_are_counted_before_anything_is_compiled() {
    let folder = Folder::new();
    let flags = [
        "--max-memory",
        "1M",
        "--max-wall-time",
        "100",
        "--max-instances",
        "1",
    ];
    for deep in [23, 60] {
        let finished = folder.run(&flags, &doubling(deep));
        finished.assert_failure(63, &["hostile.wat", "1000000", "--max-component-items"]);
        assert!(!folder.path("cache").exists(), "nothing was compiled");
    }
    // A component within the limits runs.
    folder.run(&flags, &doubling(3)).assert_quiet_success();
}

#[test]
fn globals_in_many_instances_are_counted_before_anything_is_compiled() {
    let folder = Folder::new();
    let finished = folder.run(&[], &globals(200_000, 900));
    finished.assert_failure(63, &["hostile.wat", "67108864", "--max-instance-memory"]);
    assert!(!folder.path("cache").exists(), "nothing was compiled");
    folder.run(&[], &globals(1_000, 100)).assert_quiet_success();
}

#[test]
fn each_limit_of_loading_holds_at_what_is_taken_and_breaks_below() {
    let folder = Folder::new();
    // One module of the command's and two with a global: 1,024 bytes each, 40 for the function, 16 for
    // each global.
    let text = globals(1, 2);
    for (flag, enough, too_little) in [
        ("--max-instance-memory", "3144", "3143"),
        ("--max-instances", "3", "2"),
    ] {
        folder.run(&[flag, enough], &text).assert_quiet_success();
        let finished = folder.run(&[flag, too_little], &text);
        finished.assert_failure(63, &["hostile.wat", flag, too_little]);
    }
    let items = |limit: u32| folder.run(&["--max-component-items", &limit.to_string()], &text);
    // The least that is enough is between these.
    let (mut too_few, mut enough) = (1, 100);
    while too_few + 1 < enough {
        let limit = (too_few + enough) / 2;
        match items(limit).code() {
            0 => enough = limit,
            _ => too_few = limit,
        }
    }
    items(enough).assert_quiet_success();
    items(too_few).assert_failure(63, &["--max-component-items", &too_few.to_string()]);
}

#[test]
fn compiling_ends_at_its_limits() {
    let folder = Folder::new();
    let text = format!("(component {COMMAND})");
    for (flags, code, word) in [
        (["--max-compile-time", "0"], 124, "--max-compile-time"),
        (["--max-wall-time", "0"], 124, "longer than its limit of 0"),
        (["--max-compile-memory", "1M"], 63, "--max-compile-memory"),
    ] {
        let audit = folder.path("audit");
        let _ = fs::remove_file(&audit);
        let recorded = ["--audit", audit.to_str().unwrap()];
        let finished = folder.run(&[&flags[..], &recorded].concat(), &text);
        finished.assert_failure(code, &[word]);
        let record = fs::read_to_string(audit).unwrap();
        assert!(record.contains(&flags[0][2..]), "{record}");
    }
    let enough = [
        "--max-compile-time",
        "100",
        "--max-compile-memory",
        "1G",
        "--max-wall-time",
        "100",
    ];
    folder.run(&enough, &text).assert_quiet_success();
    // A precompiled component is not compiled.
    folder
        .run(
            &["--max-compile-time", "0", "--max-compile-memory", "0"],
            &text,
        )
        .assert_quiet_success();
}

#[test]
fn compiling_ahead_of_time_has_the_same_limits() {
    let folder = Folder::new();
    let to = folder.path("out.cwasm");
    let compile = |flags: &[&str], text: &str| {
        let file = folder.file("hostile.wat", text);
        let program = Program::sockbox(["compile", "-o"]).args([&to]).args(flags);
        program.args([file]).run()
    };
    let text = format!("(component {COMMAND})");
    compile(&[], &doubling(23)).assert_failure(63, &["--max-component-items"]);
    compile(&["--max-compile-memory", "1M"], &text).assert_failure(63, &["--max-compile-memory"]);
    compile(&["--max-compile-time", "0"], &text).assert_failure(124, &["--max-compile-time"]);
    assert!(!to.exists());
    compile(&[], &text).assert_quiet_success();
}

/// The processes that this one has started.
fn children(process: u32) -> Vec<u32> {
    let path = format!("/proc/{process}/task/{process}/children");
    let text = fs::read_to_string(path).unwrap_or_default();
    text.split_whitespace()
        .map(|it| it.parse().unwrap())
        .collect()
}

fn is_gone(process: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    // Or it is a zombie.
    status.is_empty() || status.contains("State:\tZ")
}

#[test]
fn a_signal_ends_compiling_and_nothing_of_it_is_left() {
    for signal in [Signal::TERM, Signal::INT, Signal::KILL] {
        let component = component(Wasi::V0_2);
        let program = Program::sockbox(["run", "--no-cache"]).args([component]);
        let sockbox = program.args(["--version"]).start();
        let compiler = eventually("the compiler's process", || {
            children(sockbox.id()).first().copied()
        });
        sockbox.signal(signal);
        sockbox.wait();
        eventually("the compiler's end", || is_gone(compiler).then_some(()));
    }
}

#[test]
fn what_the_compiler_says_of_a_component_is_told_as_ever() {
    let folder = Folder::new();
    let binary = fs::read(component(Wasi::V0_2)).unwrap();
    let cut = folder.file("cut.wasm", &binary[..binary.len() - 1]);
    let run = |file: &Path| Program::sockbox(["run"]).args([file]).run();
    run(&cut).assert_failure(125, &["cut.wasm: it can't be compiled: "]);
    // The argument with which sockbox starts its compiler is for internal use.
    let alone = Program::sockbox(["compile-for-parent"]).run();
    alone.assert_failure(125, &[]).assert_stdout(b"");
}

/// Otherwise native code from another compiler would be run.
#[test]
fn a_writable_directory_holds_nothing_that_sockbox_believes() {
    let folder = Folder::new();
    for name in ["home/.cache", "home/project", "elsewhere"] {
        fs::create_dir_all(folder.path(name)).unwrap();
    }
    std::os::unix::fs::symlink(folder.path("home"), folder.path("link")).unwrap();
    let text = format!("(component {COMMAND})");
    let file = folder.file("a.wat", &text);
    let home = folder.path("home");
    let home = home.to_str().unwrap();
    let run = |flags: &[&str], file: &Path| {
        let program = Program::sockbox(["run"]).args(flags).args([file]);
        let program = program.without_env("SOCKBOX_CACHE_DIR");
        program.env("HOME", home).current_dir(folder.0.path()).run()
    };
    let secret = "home/.local/state/sockbox/cache.key";
    // Before there is a cache, and when there is one.
    for _ in 0..2 {
        for (dir, place) in [
            ("home", "home/.cache/sockbox"),
            ("link::/data", "home/.cache/sockbox"),
            ("home/project/..", "home/.cache/sockbox"),
            ("home/.cache", "home/.cache/sockbox"),
            (".", "home/.cache/sockbox"),
        ] {
            for flags in [&["--dir", dir][..], &["--no-cache", "--dir", dir]] {
                let name = dir.split("::").next().unwrap();
                run(flags, &file).assert_failure(2, &[name, place, ":ro"]);
            }
        }
        run(&["--dir", "home:ro", "--dir", "home/project"], &file).assert_quiet_success();
    }
    assert!(folder.path(secret).exists());
    run(&["--dir", "home/.local"], &file).assert_failure(2, &["home/.local", secret]);
    run(&["--dir", "home/.cache/sockbox"], &file).assert_failure(2, &["home/.cache/sockbox"]);

    // A policy file's directories, and the policy file.
    let policy = folder.file("home/project/policy.toml", "dir = [\"../.cache\"]");
    let policy = policy.to_str().unwrap();
    run(&["--policy", policy], &file).assert_failure(2, &[".cache", "home/.cache/sockbox"]);
    fs::write(policy, "dir = [\".\"]").unwrap();
    run(&["--policy", policy], &file).assert_failure(2, &["the policy file", policy]);
    fs::write(policy, "dir = [\"../../elsewhere\"]").unwrap();
    run(&["--policy", policy], &file).assert_quiet_success();

    // The record, and native code.
    let audit = "elsewhere/audit";
    run(&["--audit", audit, "--dir", "elsewhere"], &file).assert_failure(2, &[audit]);
    let native = folder.path("elsewhere/a.cwasm");
    let compile = Program::sockbox(["compile", "-o"]).args([&native, &file]);
    compile.run().assert_quiet_success();
    let flags = ["--allow-precompiled", "--dir", "elsewhere"];
    run(&flags, &native).assert_failure(2, &["elsewhere/a.cwasm"]);
    run(&flags, &file).assert_quiet_success();
}

/// `ulimit -v 2097152`, of which a component's memory alone would reserve twice as much.
const FEW_ADDRESSES: u64 = 2 << 30;

#[test]
fn with_few_addresses_memories_reserve_less() {
    let folder = Folder::new();
    let text = format!(
        "(component {COMMAND} (core module $m (memory 100)) {})",
        "(core instance (instantiate $m))".repeat(3)
    );
    let file = folder.file("a.wat", text);
    let program = Program::sockbox(["run"]).args([file]);
    program
        .address_limit(FEW_ADDRESSES)
        .run()
        .assert_quiet_success();
    let program = Program::sockbox(["run"]).args([component(Wasi::V0_2)]);
    let program = program.args(["--version"]).address_limit(FEW_ADDRESSES);
    program.run().assert_quiet_success();
}

#[test]
fn a_machine_that_is_too_small_is_no_trap() {
    let folder = Folder::new();
    // More than there is, at the start and later.
    let at_once = format!(
        "(component {COMMAND} (core module $m (memory 40000)) (core instance (instantiate $m)))"
    );
    let later = COMMAND.replace(
        "(func (export \"run\") (result i32)",
        "(memory 1) (func (export \"run\") (result i32)
            (if (i32.eq (memory.grow (i32.const 40000)) (i32.const -1)) (then unreachable))",
    );
    for text in [at_once, format!("(component {later})")] {
        let file = folder.file("a.wat", text);
        let program = Program::sockbox(["run", "--max-memory", "4G"]).args([file]);
        let finished = program.address_limit(FEW_ADDRESSES).run();
        finished.assert_failure(125, &["memory", "ulimit -v"]);
    }
}

#[test]
fn too_few_files_for_a_socket_are_told_at_the_start() {
    let folder = Folder::new();
    let file = folder.file("a.wat", format!("(component {COMMAND})"));
    let run = |args: &[&str], files: usize| {
        let program = Program::sockbox(args.iter().copied());
        program.file_limit(files).run()
    };
    let file = file.to_str().unwrap();
    let word = "`ulimit -n 33` or more";
    run(&["fetch", "http://127.0.0.1:1/"], 32).assert_failure(125, &["fetching", word]);
    run(&["run", "--allow-net", file], 32).assert_failure(125, &["using the network", word]);
    run(&["fetch", "http://127.0.0.1:1/"], 33).assert_failure(7, &["refused"]);
    run(&["run", "--allow-net", file], 33).assert_quiet_success();
    // It needs no memory.
    run(&["run", file], 32).assert_quiet_success();
    run(&["run", "--allow-net", "--max-sockets", "0", file], 32).assert_quiet_success();
}

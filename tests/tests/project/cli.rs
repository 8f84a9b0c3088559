//! The `sockbox` command as such.

use sockbox_tests::{Program, Wasi, component};
use std::fs;

fn sockbox(args: &[&str]) -> sockbox_tests::Finished {
    Program::sockbox(args).run()
}

#[test]
fn help_has_examples() {
    for (args, example) in [
        (&["--help"][..], "sockbox fetch"),
        (&["fetch", "--help"], "sockbox fetch -o"),
        (&["serve", "--help"], "sockbox serve --listen"),
        (&["run", "--help"], "sockbox run"),
        (&["run", "--help"], "sockbox run --listen-http"),
        (&["inspect", "--help"], "sockbox inspect --json"),
        (&["compile", "--help"], "sockbox compile -o"),
        (&["component", "--help"], "sockbox component -o"),
    ] {
        let help = sockbox(args);
        help.assert_quiet_success();
        let text = help.stdout_text();
        let examples = text.split_once("Example").map(|(_, examples)| examples);
        let examples = examples.unwrap_or_else(|| panic!("{args:?} shows no examples"));
        assert!(
            examples.contains(example),
            "{example:?} is not among the examples of {args:?}"
        );
    }
    assert!(
        sockbox(&["serve", "--help"])
            .stdout_text()
            .contains("127.0.0.1:9999"),
        "the default isn't told"
    );
}

#[test]
fn the_many_options_of_fetch_are_in_groups() {
    let help = sockbox(&["fetch", "--help"]).stdout_text();
    let headings: Vec<&str> = help
        .lines()
        .filter(|line| line.ends_with(':') && !line.starts_with(' '))
        .collect();
    assert!(headings.len() >= 6, "{headings:?}");
    for option in [
        "-o", "-O", "-i", "-I", "-D", "-s", "-S", "-v", "-f", "-L", "-X", "-d", "-G", "-H", "-A",
        "-u", "-e", "-T", "-z", "-C", "-m", "-Y", "-y", "-4", "-6", "-w", "-Z",
    ] {
        let starts = |line: &str| {
            let line = line.trim_start();
            line.starts_with(&format!("{option},")) || line.starts_with(&format!("{option} "))
        };
        assert_eq!(
            help.lines().filter(|line| starts(line)).count(),
            1,
            "{option}"
        );
    }
    for option in [
        "--fail-with-body",
        "--max-redirs",
        "--data-raw",
        "--data-binary",
        "--data-urlencode",
        "--etag-save",
        "--etag-compare",
        "--connect-timeout",
        "--happy-eyeballs-timeout-ms",
        "--expect100-timeout",
        "--max-filesize",
        "--limit-rate",
        "--retry",
        "--retry-delay",
        "--retry-max-time",
        "--retry-connrefused",
        "--retry-all-errors",
        "--compressed",
        "--resolve",
        "--create-dirs",
        "--no-clobber",
        "--output-dir",
        "--remove-on-error",
        "--json",
        "--parallel-max",
        "--no-progress-meter",
        "--allow-connect",
        "--url",
    ] {
        assert!(
            help.contains(&format!("{option} ")) || help.contains(&format!("{option}\n")),
            "{option}"
        );
    }
}

#[test]
fn version() {
    let expected = format!("sockbox {}\n", env!("CARGO_PKG_VERSION"));
    sockbox(&["--version"])
        .assert_quiet_success()
        .assert_stdout(expected.as_bytes());
}

#[test]
fn mistakes_in_usage() {
    for args in [
        &[][..],
        &["nonsense"],
        &["--nonsense"],
        &["fetch"],
        &["fetch", "--nonsense", "http://127.0.0.1/"],
        &["fetch", "--max-time", "soon", "http://127.0.0.1/"],
        &["fetch", "--max-time", "-1", "http://127.0.0.1/"],
        &["fetch", "-X"],
        &["fetch", "-I", "-d", "x", "http://127.0.0.1/"],
        &["fetch", "-T", "x", "-d", "x", "http://127.0.0.1/"],
        &["serve", "127.0.0.1:9999"],
        &["run"],
        &["inspect"],
        &["compile", "a.wasm"],
        &["component"],
    ] {
        eprintln!("sockbox {args:?}");
        let finished = sockbox(args);
        finished.assert_code(2).assert_stdout(b"");
        assert!(
            finished.stderr().contains("--help"),
            "nothing leads to the right usage"
        );
    }
}

#[test]
fn the_component_is_written_out() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("out.wasm");
    for (wasi, args) in [
        (Wasi::V0_3, &["--wasi", "0.3"][..]),
        (Wasi::V0_2, &["--wasi", "0.2"]),
        (Wasi::V0_2, &[]),
    ] {
        let args = [&["component", "-o", file.to_str().unwrap()], args].concat();
        sockbox(&args).assert_code(0).assert_stdout(b"");
        assert!(
            fs::read(&file).unwrap() == fs::read(component(wasi)).unwrap(),
            "{args:?}: not the file that the build left"
        );
    }
    let built = fs::read(component(Wasi::V0_2)).unwrap();
    sockbox(&["component", "-o", "-"])
        .assert_quiet_success()
        .assert_stdout(&built);
    sockbox(&["component", "-o", "/dev/full"]).assert_failure(23, &["/dev/full"]);
    let missing = dir.path().join("missing/out.wasm");
    sockbox(&["component", "-o", missing.to_str().unwrap()])
        .assert_failure(23, &[missing.to_str().unwrap()]);
}

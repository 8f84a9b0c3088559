//! Options that name a file without an end, or a named pipe without a writer.

use sockbox_tests::{Fifo, Program, Signal, Tripwire};

/// Options with which `sockbox fetch` reads `file` before the first request. It reads `--cacert` and `--cert` too, even
/// if the URL is `http`.
fn readers(file: &str) -> Vec<Vec<String>> {
    let with = |words: &str| {
        let words = words.split(' ');
        words.map(|word| word.replace("FILE", file)).collect()
    };
    [
        "--policy FILE",
        "--cacert FILE",
        "--cert FILE",
        "-d @FILE",
        "--data-binary @FILE",
        "--data-urlencode @FILE",
        "-G -d @FILE",
        "-H @FILE",
        "-w @FILE",
        "--etag-compare FILE",
    ]
    .map(with)
    .to_vec()
}

#[test]
fn time_limits_and_signals_hold_while_options_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let fifo = Fifo::new(folder.path().join("fifo"));
    let tripwire = Tripwire::new();
    let url = format!("http://{}/", tripwire.address());
    let mut all = readers(fifo.path().to_str().unwrap());
    all.push(vec![
        "-T".to_owned(),
        fifo.path().to_str().unwrap().to_owned(),
    ]);
    for options in all {
        for (limit, code, message) in [
            (&["-m", "0.1"][..], 28, "it took longer than 100ms"),
            (&["--max-wall-time", "0.1"], 124, "100ms"),
            (&["--max-wall-time", "0.1", "-m", "50"], 124, "100ms"),
            (&["--max-wall-time", "50", "-m", "0.1"], 28, "100ms"),
        ] {
            let program = Program::sockbox(["fetch"]).args(limit).args(&options);
            let finished = program.args([&url]).run();
            finished.assert_failure(code, &[message]);
        }
        let process = Program::sockbox(["fetch"])
            .args(&options)
            .args([&url])
            .start();
        let _silent = fifo.wait_for_reader();
        process.signal(Signal::TERM);
        process.wait().assert_quiet(143);
    }
}

#[test]
fn what_is_kept_in_memory_has_a_bound() {
    let tripwire = Tripwire::new();
    let url = format!("http://{}/", tripwire.address());
    for (options, bound) in [
        (
            &["-d", "@/dev/zero"][..],
            "256 MiB that the data of -d may have together",
        ),
        (&["--data-binary", "@/dev/zero"], "256 MiB"),
        (&["--data-urlencode", "a@/dev/zero"], "256 MiB"),
        (&["-G", "-d", "@/dev/zero"], "256 MiB"),
        (
            &["-H", "@/dev/zero"],
            "1 MiB that a file of header lines may have",
        ),
        (&["-w", "@/dev/zero"], "1 MiB that a format of -w may have"),
        (
            &["--etag-compare", "/dev/zero"],
            "64 KiB that a file of --etag-compare may have",
        ),
    ] {
        let program = Program::sockbox(["fetch"]).args(options).args([&url]);
        let finished = program.run();
        let expected = format!("could not read /dev/zero: it is larger than the {bound}");
        finished.assert_failure(26, &[&expected]);
    }
    tripwire.assert_untouched();
}

#[test]
fn a_tag_that_cannot_be_read_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let tripwire = Tripwire::new();
    let url = format!("http://{}/", tripwire.address());
    let path = folder.path().to_str().unwrap();
    let finished = Program::sockbox(["fetch", "--etag-compare", path, &url]).run();
    finished.assert_failure(26, &["could not read", path]);
    tripwire.assert_untouched();
}

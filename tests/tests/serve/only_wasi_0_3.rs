//! Differences of the component for WASI 0.3.

use sockbox_tests::{Program, Wasi};
use std::net::TcpListener;

#[test]
fn systemd_cannot_listen_for_it() {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    Program::serve(Wasi::V0_3)
        .with_files([socket])
        .run()
        .assert_failure(2, &["adopting a listening socket needs WASI 0.2"])
        .assert_stdout(b"");
}

#[test]
fn limits_that_do_not_hold_are_refused() {
    for flag in [
        "--max-connects-per-second",
        "--max-accepts-per-second",
        "--max-received",
        "--max-sent",
        "--max-bandwidth",
    ] {
        Program::serve(Wasi::V0_3)
            .args(["--listen", "127.0.0.1:0", flag, "100"])
            .run()
            .assert_failure(2, &[flag.trim_start_matches('-'), "WASI 0.3"])
            .assert_stdout(b"");
    }
}

#[test]
fn under_wasmtime_run_it_only_serves() {
    let program = Program::wasmtime_run_on(Wasi::V0_3, &[], ["fetch", "http://127.0.0.1/"]);
    program.run().assert_failure(1, &["WASI 0.3"]);
}

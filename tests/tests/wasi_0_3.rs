//! The server's tests once more, with the component for WASI 0.3.

#[path = "serve.rs"]
mod serve;
#[path = "serve_bounds.rs"]
mod serve_bounds;
#[path = "serve_messages.rs"]
mod serve_messages;
#[path = "serve_operation.rs"]
mod serve_operation;
#[path = "serve_process.rs"]
mod serve_process;
#[path = "serve_resets.rs"]
mod serve_resets;
#[path = "serve_soak.rs"]
mod serve_soak;
#[path = "wasmtime_run_serve.rs"]
mod wasmtime_run_serve;

use sockbox_tests::Program;
use std::net::TcpListener;

#[test]
fn systemd_cannot_listen_for_it() {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    Program::sockbox(["serve"])
        .with_files([socket])
        .run()
        .assert_failure(2, &["listens already", "WASI 0.2"])
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
        Program::sockbox(["serve", "--listen", "127.0.0.1:0", flag, "100"])
            .run()
            .assert_failure(2, &[flag.trim_start_matches('-'), "WASI 0.3"])
            .assert_stdout(b"");
    }
}

#[test]
fn under_wasmtime_run_it_only_serves() {
    let program = Program::wasmtime_run(&[], ["fetch", "http://127.0.0.1/"]);
    program.run().assert_failure(1, &["WASI 0.3"]);
}

//! The server's tests once more, with the component for WASI 0.3.

#[path = "serve.rs"]
mod serve;
#[path = "serve_process.rs"]
mod serve_process;

use sockbox_tests::{Program, Serving, TutorialClient};

#[test]
fn under_wasmtime_run() {
    let serve = ["serve", "--listen", "127.0.0.1:0"];
    let program = Program::wasmtime_run(&["-S", "inherit-network"], serve);
    let server = Serving::started(program, 1);
    TutorialClient::run_together(server.address(), 100);
    let mut client = server.client();
    client.ask("Michael\n", "Hello, Michael!\n");
    server.wait_for_log(&[&client.address().to_string(), "opened"]);
    client.send("exit\n").expect_end();
    server.wait_for_log(&[&client.address().to_string(), "closed"]);
}

#[test]
fn under_wasmtime_run_it_only_serves() {
    let program = Program::wasmtime_run(&[], ["fetch", "http://127.0.0.1/"]);
    program.run().assert_failure(1, &["WASI 0.3"]);
}

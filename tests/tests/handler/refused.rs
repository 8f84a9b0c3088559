//! Components that can't be served, and those that can only be served.

use sockbox_tests::{Foreign, Program, Serving};
use std::fs;
use std::net::TcpListener;

#[test]
fn a_handler_is_not_run_and_a_command_is_not_served() {
    for (handler, export) in [
        (Foreign::Handler, "`wasi:http/incoming-handler@0.2.12`"),
        (Foreign::HandlerOn0_3, "`wasi:http/handler@0.3.0`"),
    ] {
        let finished = handler.run(&[], "").run();
        finished.assert_failure(
            125,
            &[
                "it is not a command",
                export,
                "--listen-http 127.0.0.1:8080",
            ],
        );
    }
    for (command, export) in [
        (Foreign::Requests, "it exports `wasi:cli/run@0.2"),
        (Foreign::RequestsOn0_3, "it exports `wasi:cli/run@0.3"),
    ] {
        let finished = command.server(&[]).run();
        finished.assert_failure(
            125,
            &[
                "it is not a handler of HTTP requests",
                export,
                "without --listen-http",
            ],
        );
    }
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().join("empty.wat");
    fs::write(&empty, "(component)").unwrap();
    for flags in [&[][..], &["--listen-http", "127.0.0.1:0"]] {
        let finished = Program::sockbox(["run"]).args(flags).args([&empty]).run();
        finished.assert_failure(125, &["it exports nothing"]);
    }
}

#[test]
fn inspect_and_compile_know_handlers() {
    for (handler, serves) in [
        (
            Foreign::Handler,
            "`sockbox run --listen-http ADDRESS` serves it\n",
        ),
        (
            Foreign::HandlerOn0_3,
            "`sockbox run --listen-http ADDRESS` serves it, on WASI 0.3, which is experimental\n",
        ),
    ] {
        let handler = handler.component();
        let finished = Program::sockbox(["inspect"]).args([handler]).run();
        finished.assert_code(0);
        let text = finished.stdout_text();
        assert!(
            text.contains("a handler: a component that handles HTTP requests"),
            "{text}"
        );
        assert!(text.contains(serves), "{text}");
        let folder = tempfile::tempdir().unwrap();
        let compiled = folder.path().join("handler.cwasm");
        Program::sockbox(["compile", "-o"])
            .args([compiled.as_path(), handler])
            .run()
            .assert_code(0);
        let flags = ["run", "--listen-http", "127.0.0.1:0", "--allow-precompiled"];
        let server = Serving::started(Program::sockbox(flags).args([&compiled]), 1);
        assert_eq!(crate::client::got(server.address(), "/hello").0, 200);
    }
}

#[test]
fn an_address_in_use_and_sockets_that_are_not_passed_are_errors() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let finished = Program::sockbox(["run", "--listen-http", &address])
        .args([Foreign::Handler.component()])
        .run();
    finished.assert_failure(
        45,
        &[&format!(
            "could not listen on {address}: the address is in use"
        )],
    );
    let finished = Program::sockbox(["run", "--listen-http", "systemd"])
        .args([Foreign::Handler.component()])
        .run();
    finished.assert_failure(2, &["systemd has passed no sockets (LISTEN_FDS)"]);
    let finished = Program::sockbox(["run", "--log", "json", "a.wasm"]).run();
    finished.assert_code(2);
    assert!(
        finished.stderr().contains("--listen-http"),
        "{}",
        finished.stderr()
    );
}

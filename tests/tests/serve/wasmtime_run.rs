//! The server under the real `wasmtime run`.

use super::WASI;
use sockbox_tests::{Json, Program, Resets, Serving, TutorialClient};
use std::time::Duration;

/// What `wasmtime run` needs to be told for the network.
const NETWORK: &[&str] = &["-S", "inherit-network"];

#[test]
fn a_hundred_tutorial_clients_at_once() {
    let server = Serving::started(
        Program::wasmtime_run_on(WASI, NETWORK, ["serve", "--listen", "127.0.0.1:0"]),
        1,
    );
    let client = TutorialClient::run(server.address());
    client
        .assert_quiet_success()
        .assert_stdout(TutorialClient::ANSWERS.as_bytes());
    TutorialClient::run_together(server.address(), 100);
    let mut client = server.client();
    client
        .ask("a\nb\r\n", "Hello, a!\nHello, b!\r\n")
        .send("exit\n")
        .expect_end();
}

/// `serve` under `wasmtime run`, with these options and a standard input.
fn serving(options: &[&str]) -> Serving {
    let args = ["serve", "--listen", "127.0.0.1:0"];
    let program = Program::wasmtime_run_on(WASI, NETWORK, args).args(options);
    Serving::started(program.with_stdin(), 1)
}

#[test]
fn the_end_of_standard_input_stops_the_server_if_asked_to() {
    let server = serving(&["--stop-on-eof"]);
    let mut idle = server.client();
    idle.ask("Michael", "Hello, Michael!");
    let messages: String = (0..10_000).map(|number| format!("{number}\n")).collect();
    let answers: String = (0..10_000)
        .map(|number| format!("Hello, {number}!\n"))
        .collect();
    let mut busy = server.client();
    busy.ask("ready?\n", "Hello, ready?!\n").send(&messages);
    let mut process = server.into_process();
    drop(process.stdin());
    busy.expect(&answers).expect_end();
    idle.expect_end();
    drop((busy, idle));
    let finished = process.wait();
    finished.assert_code(0);
    let stdout = finished.stdout_text();
    let summary = stdout.lines().last().unwrap_or_default();
    for words in ["served 2 connections", "10002 messages"] {
        assert!(summary.contains(words), "{words:?} is not in {summary:?}");
    }
}

#[test]
fn the_end_of_standard_input_is_nothing_otherwise() {
    let mut server = serving(&["--quiet"]);
    drop(server.process_mut().stdin());
    let mut client = server.client();
    for _ in 0..10 {
        client.ask("Michael\n", "Hello, Michael!\n");
    }
    assert_eq!(server.process().stderr(), "");
}

#[test]
fn a_server_has_its_bounds_here_too() {
    let server = serving(&[
        "--framing",
        "line",
        "--greeting",
        "Ahoy",
        "--welcome",
        "Welcome!",
        "--max-message",
        "10",
        "--max-connections",
        "2",
        "--refuse-when-full",
        "--idle-timeout",
        "1",
        "--log",
        "json",
    ]);
    let (mut one, mut two) = (server.client(), server.client());
    one.expect("Welcome!\n").ask("you\n", "Ahoy, you!\n");
    two.expect("Welcome!\n");
    assert_eq!(server.client().read_to_end(), b"too many connections\n");
    two.ask("a long message\n", "message longer than 10 bytes\n")
        .expect_end();
    one.expect_end();
    let line = Json::parse(&server.wait_for_log(&["closed", "silent for too long"]));
    assert_eq!(line.text("local"), server.address().to_string());
    assert_eq!(line.number("messages"), 1.0);
    assert!(line.number("time") > 1.7e9, "{line:?}");
    let line = Json::parse(&server.wait_for_log(&["refused"]));
    assert_eq!(line.text("reason"), "too many connections");
}

#[test]
fn a_client_that_takes_no_answers_is_closed() {
    let server = serving(&["--write-timeout", "3"]);
    let mut client = server.client();
    let ours = client.address().to_string();
    client.send_until_full(&b"this answer is not read\n".repeat(1000), 64 << 20);
    server.wait_for_log(&["closed", &ours, "answers not taken in time"]);
    let mut other = server.client();
    other.ask("still there?\n", "Hello, still there?!\n");
    drop(client);
    other.ask("still there?\n", "Hello, still there?!\n");
}

#[test]
fn when_no_files_are_left_accepting_pauses_and_goes_on() {
    let server = serving(&[]);
    let mut first = server.client();
    first.ask("1\n", "Hello, 1!\n");
    server.process().allow_no_more_files();
    let mut second = server.client();
    second.send("2\n");
    // This runtime can't say why.
    server.wait_for_log(&["could not accept", "the system gave no reason"]);
    let before = server.process().cpu_time();
    second.expect_silence(Duration::from_secs(2));
    let used = server.process().cpu_time() - before;
    assert!(
        used < Duration::from_millis(500),
        "{used:?} of computing in two seconds"
    );
    first.ask("still there?\n", "Hello, still there?!\n");
    assert_eq!(server.count_in_log(&["could not accept"]), 1, "once");
    server.process().set_file_limit(200);
    second.expect("Hello, 2!\n");
}

#[test]
fn clients_that_were_gone_before_they_were_accepted_keep_none_waiting() {
    // This runtime no longer knows the peers' addresses.
    let server = serving(&[]);
    let mut other = server.client();
    for _ in 0..3 {
        let resets = Resets::before(server.process(), server.address(), 50);
        let mut waiting = resets.waiting;
        waiting.ask("Michael\n", "Hello, Michael!\n");
        other.ask("still there?\n", "Hello, still there?!\n");
    }
    assert_eq!(server.count_in_log(&["could not accept"]), 0, "no pause");
}

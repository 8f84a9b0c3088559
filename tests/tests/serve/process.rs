//! `sockbox serve` as a process: how it starts, what it logs, how it ends.

use super::WASI;
use sockbox_tests::{HelloClient, Program, Serving, Signal, eventually};
use std::fs::File;
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

/// How long answers that are under way may take after the first signal.
const DRAIN: Duration = Duration::from_secs(10);

/// The same, and some time for a slow machine.
const DRAINED_WITHIN: Duration = Duration::from_secs(10 + 10);

/// curl's code for a local address that can't be used.
const CANNOT_LISTEN: i32 = 45;

#[test]
fn an_address_in_use() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let words = [address.as_str(), "in use"];
    let finished = Program::serve(WASI).args(["--listen", &address]).run();
    finished
        .assert_failure(CANNOT_LISTEN, &words)
        .assert_stdout(b"");
    // If one address is in use, the server does not serve on the other one.
    let finished = Program::serve(WASI)
        .args(["--listen", "127.0.0.1:0", "--listen", &address])
        .run();
    finished
        .assert_failure(CANNOT_LISTEN, &words)
        .assert_stdout(b"");
}

#[test]
fn a_start_that_cannot_be_told() {
    // A parent process may wait for `listening on`, and would wait for ever.
    let full = File::options().write(true).open("/dev/full").unwrap();
    Program::serve(WASI)
        .args(["--listen", "127.0.0.1:0"])
        .stdout(full)
        .run()
        .assert_failure(23, &["standard output"]);
}

#[test]
fn an_address_that_is_not_ours() {
    // Reserved for documentation (RFC 5737): no machine has it.
    let finished = Program::serve(WASI).args(["--listen", "192.0.2.1:0"]).run();
    finished
        .assert_failure(CANNOT_LISTEN, &["192.0.2.1"])
        .assert_stdout(b"");
}

#[test]
fn addresses_that_cannot_be_read() {
    for address in [
        "9999",
        "localhost",
        "127.0.0.1",
        "127.0.0.1:99999",
        "::1:80",
        "",
    ] {
        let finished = Program::serve(WASI).args(["--listen", address]).run();
        finished.assert_code(2).assert_stdout(b"");
        assert!(
            finished.stderr().contains("--listen"),
            "the flag isn't named"
        );
    }
}

#[test]
fn connections_are_logged_with_both_ends() {
    let server = Serving::new(WASI);
    let mut client = server.client();
    let (ours, servers) = (client.address().to_string(), server.address().to_string());
    client
        .ask("Michael\n", "Hello, Michael!\n")
        .ask("Tracy\n", "Hello, Tracy!\n");
    let opened = server.wait_for_log(&["open", &ours]);
    assert!(opened.contains(&servers), "{opened}");
    assert!(!server.process().stderr().contains("closed"));
    client.send("exit\n").expect_end();
    let closed = server.wait_for_log(&["closed", &ours]);
    // 8 + 6 + 5 bytes received, 16 + 14 sent.
    for word in [servers.as_str(), "exit", "2 messages", "19", "30"] {
        assert!(closed.contains(word), "{word:?} is not in {closed:?}");
    }
}

#[test]
fn a_signal_stops_it_in_order() {
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        let server = Serving::new(WASI);
        let address = server.address();
        let mut idle = server.client();
        let mut busy = server.client();
        idle.ask("Michael", "Hello, Michael!");
        busy.ask("Tracy", "Hello, Tracy!")
            .ask("Sarah", "Hello, Sarah!");
        let told = Instant::now();
        server.process().signal(signal);
        idle.expect_end();
        busy.expect_end();
        let finished = server.into_process().wait();
        finished.assert_code(0);
        // Clients that have nothing under way are not waited for.
        assert!(told.elapsed() < DRAIN, "{:?}", told.elapsed());
        TcpStream::connect(address).unwrap_err();
        let stdout = finished.stdout_text();
        let summary = stdout.lines().last().unwrap_or_default();
        for word in ["2 connections", "3 messages"] {
            assert!(
                summary.contains(word),
                "{word:?} is not in the summary {summary:?}"
            );
        }
    }
}

#[test]
fn a_signal_before_any_client_stops_it_at_once() {
    let server = Serving::new(WASI);
    let finished = server.terminate();
    finished.assert_code(0);
    assert!(
        finished.elapsed() < DRAIN,
        "nothing was to be drained: {:?}",
        finished.elapsed()
    );
}

#[test]
fn what_was_sent_before_the_signal_is_answered() {
    let server = Serving::new(WASI);
    let messages: String = (0..10_000).map(|number| format!("{number}\n")).collect();
    let answers: String = (0..10_000)
        .map(|number| format!("Hello, {number}!\n"))
        .collect();
    let mut client = server.client();
    client.ask("ready?\n", "Hello, ready?!\n").send(&messages);
    server.process().signal(Signal::TERM);
    client.expect(&answers).expect_end();
    server.into_process().wait().assert_code(0);
}

/// A server with a client that reads no answer, so it can't finish.
fn server_that_is_held_up() -> (Serving, HelloClient) {
    let server = Serving::new(WASI);
    let mut client = server.client();
    client.send_until_full(
        "a message whose answer is never read\n"
            .repeat(1000)
            .as_bytes(),
        64 << 20,
    );
    (server, client)
}

#[test]
fn a_client_that_reads_nothing_cannot_keep_it_from_stopping() {
    let (server, mut client) = server_that_is_held_up();
    let mut other = server.client();
    other.ask("Michael", "Hello, Michael!");
    let told = Instant::now();
    server.process().signal(Signal::TERM);
    other.expect_end();
    let finished = server.into_process().wait();
    finished.assert_code(0);
    let took = told.elapsed();
    assert!(took >= DRAIN && took < DRAINED_WITHIN, "{took:?}");
    client.wait_for_any_end();
}

#[test]
fn a_second_signal_ends_it_at_once() {
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let (server, _client) = server_that_is_held_up();
        let address = server.address();
        let mut process = server.into_process();
        process.signal(signal);
        eventually("it to stop listening", || {
            TcpStream::connect(address).is_err().then_some(())
        });
        assert!(!process.has_ended(), "it didn't wait for its client");
        let told = Instant::now();
        process.signal(signal);
        process.wait().assert_code(code);
        assert!(
            told.elapsed() < Duration::from_secs(3),
            "{:?}",
            told.elapsed()
        );
    }
}

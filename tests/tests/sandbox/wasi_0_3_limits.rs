//! The limits of a component for WASI 0.3: those of one for WASI 0.2.

use sockbox_tests::{Finished, Foreign, Internet, Peer, Process, RawPeer, UdpEcho};
use std::fs;
use std::io::Read;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

const FOREIGN: Foreign = Foreign::RustOn0_3;

fn tries(flags: &[&str], attempts: &str) -> Finished {
    FOREIGN.run(flags, attempts).run()
}

/// For tests in which the network must not be the limit.
fn with_network<'a>(flags: &[&'a str]) -> Vec<&'a str> {
    [&["--allow-net"], flags].concat()
}

/// Assert how the output begins, and that the limit is told if it was reached.
#[track_caller]
fn assert_outcome(finished: &Finished, expected: &str, flag: &str) {
    let stdout = finished.stdout_text();
    assert!(stdout.starts_with(expected), "{stdout}");
    let within = expected.lines().all(|line| line.starts_with("ok"));
    finished.assert_code(i32::from(!within));
    let told = finished.stderr().contains(flag);
    assert_eq!(told, !within, "{flag}: {}", finished.stderr());
}

fn taking_peer() -> RawPeer {
    RawPeer::start(Peer::wait_for_close)
}

/// A peer that sends so many bytes, and nothing else.
fn sending_peer(count: u64) -> RawPeer {
    RawPeer::start(move |peer| {
        peer.send_zeros(count)?;
        peer.wait_for_close()
    })
}

fn listening_address(process: &Process) -> SocketAddr {
    process.wait_for_stdout("where it listens", |stdout| {
        let (_, rest) = stdout.split_once("listening on ")?;
        rest.split_once('\n')?.0.parse().ok()
    })
}

const NONE_LEFT: &str = "other(no sockets left)";

#[test]
fn sockets() {
    let flags = with_network(&["--max-sockets", "3"]);
    for (attempts, expected) in [
        ("sockets 3", "ok 3\n".to_owned()),
        ("sockets 4", format!("{NONE_LEFT} at create after 3\n")),
        // One that is closed makes room for another.
        (
            "sockets 2 then bind 127.0.0.1:0 then sockets 1",
            "ok 2\nok 127.0.0.1:".to_owned(),
        ),
        (
            "udp-sockets 3 then sockets 1",
            format!("ok 3\n{NONE_LEFT} at create after 0\n"),
        ),
        (
            "sockets 1 then udp-sockets 3",
            format!("ok 1\n{NONE_LEFT} at create after 2\n"),
        ),
    ] {
        eprintln!("{attempts}");
        assert_outcome(&tries(&flags, attempts), &expected, "--max-sockets");
    }
}

#[test]
fn a_connection_whose_socket_was_dropped_counts_as_long_as_its_streams() {
    let peer = taking_peer();
    let flags = with_network(&["--max-sockets", "3"]);
    let attempts = format!("streams-only {} 4", peer.address());
    let expected = format!("{NONE_LEFT} at create after 3\n");
    assert_outcome(&tries(&flags, &attempts), &expected, "--max-sockets");
}

#[test]
fn accepted_connections_are_sockets_and_a_client_too_many_waits() {
    let flags = with_network(&["--max-sockets", "3", "--max-wall-time", "5"]);
    // The one that listens, and two clients.
    let process = FOREIGN.run(&flags, "hold-clients 127.0.0.1:0 3").start();
    let address = listening_address(&process);
    let clients: Vec<_> = (0..3)
        .map(|_| TcpStream::connect(address).unwrap())
        .collect();
    let finished = process.wait();
    finished.assert_code(124);
    let accepted = finished.stdout_text().matches("accepted ").count();
    assert_eq!(accepted, 2, "{}", finished.stdout_text());
    assert!(finished.stderr().contains("--max-sockets"));
    drop(clients);
    // One that is closed makes room for the next.
    let flags = with_network(&["--max-sockets", "2"]);
    let process = FOREIGN.run(&flags, "listen 127.0.0.1:0 3").start();
    let address = listening_address(&process);
    let clients: Vec<_> = (0..3)
        .map(|_| {
            std::thread::spawn(move || {
                let mut stream = TcpStream::connect(address).unwrap();
                std::io::Write::write_all(&mut stream, b"hello").unwrap();
                stream.shutdown(std::net::Shutdown::Write).unwrap();
                let mut answer = String::new();
                stream.read_to_string(&mut answer).map(|_| answer)
            })
        })
        .collect();
    for client in clients {
        assert_eq!(client.join().unwrap().unwrap(), "hello");
    }
    process.wait().assert_code(0);
}

#[test]
fn a_flood_of_sockets_stays_below_the_processes_own_limit() {
    let peer = taking_peer();
    let attempts = format!("connections {} 1000", peer.address());
    let finished = FOREIGN
        .run(&["--allow-net"], &attempts)
        .file_limit(100)
        .run();
    finished.assert_code(1);
    let stdout = finished.stdout_text();
    assert!(stdout.starts_with(NONE_LEFT), "{stdout}");
}

#[test]
fn connections_and_accepts_per_second() {
    let peer = RawPeer::start(|peer: &mut Peer| peer.send("x"));
    let attempts = format!("connect-often {} 4", peer.address());
    let flags = with_network(&["--max-connects-per-second", "3"]);
    let expected = format!("{NONE_LEFT} at connect after 3\n");
    let finished = tries(&flags, &attempts);
    assert_outcome(&finished, &expected, "--max-connects-per-second");

    // The third client is accepted half a second later.
    let flags = with_network(&["--max-accepts-per-second", "2"]);
    let process = FOREIGN.run(&flags, "hold-clients 127.0.0.1:0 3").start();
    let address = listening_address(&process);
    let started = Instant::now();
    let clients: Vec<_> = (0..3)
        .map(|_| TcpStream::connect(address).unwrap())
        .collect();
    let finished = process.wait();
    finished.assert_code(0);
    assert!(started.elapsed() >= Duration::from_millis(400));
    drop(clients);
}

#[test]
fn lookups() {
    let Some(internet) = Internet::new() else {
        return;
    };
    let internet = internet.name("a.example", &[&[Internet::PUBLIC_V4]]);
    for (limit, attempts, expected) in [
        ("3", "lookups a.example 3", "ok 3\n"),
        (
            "3",
            "lookups a.example 4",
            "temporary-resolver-failure at resolve after 3\n",
        ),
        ("3", "lookups-at-once a.example 3", "ok 3\n"),
        ("0", "lookups 127.1 9", "ok 9\n"),
    ] {
        eprintln!("{limit} {attempts}");
        let flags = [
            "--allow-connect",
            "a.example:80",
            "--max-resolutions",
            limit,
        ];
        let (finished, _) = internet.run(FOREIGN.run(&flags, attempts));
        assert_outcome(&finished, expected, "--max-resolutions");
    }
    let flags = ["--allow-connect", "a.example:80"];
    let (finished, seen) = internet.run(FOREIGN.run(&flags, "lookups-at-once a.example 200"));
    finished.assert_quiet_success().assert_stdout(b"ok 200\n");
    seen.assert(&["a.example"], &[]);
}

#[test]
fn bytes_received() {
    for (limit, sent, expected) in [
        (10_000, 9_999, "ok 9999\n"),
        (10_000, 10_000, "ok 10000\n"),
        (
            10_000,
            10_001,
            "other(LimitReached: no more bytes received) at receive after 10000\n",
        ),
        (
            100_000,
            100_001,
            "other(LimitReached: no more bytes received) at receive after 100000\n",
        ),
        (
            0,
            1,
            "other(LimitReached: no more bytes received) at receive after 0\n",
        ),
    ] {
        eprintln!("{sent} of {limit}");
        let peer = sending_peer(sent);
        let limit = limit.to_string();
        let flags = with_network(&["--max-received", &limit]);
        let finished = tries(&flags, &format!("receive {} {sent}", peer.address()));
        assert_outcome(&finished, expected, "--max-received");
    }
    // Datagrams count: `ping` is four.
    let udp = UdpEcho::start();
    let attempts = format!("udp-ask {}", udp.address());
    tries(&with_network(&["--max-received", "4"]), &attempts)
        .assert_quiet_success()
        .assert_stdout(b"ok ping\n");
    let finished = tries(&with_network(&["--max-received", "3"]), &attempts);
    let expected = "other(LimitReached: no more bytes received) at receive\n";
    assert_outcome(&finished, expected, "--max-received");
}

#[test]
fn bytes_sent() {
    for (limit, count, expected) in [
        (4_000, 3_999, "ok 3999\n"),
        (4_000, 4_000, "ok 4000\n"),
        (
            4_000,
            4_001,
            "other(LimitReached: no more bytes sent) at send after 4000\n",
        ),
        (100_000, 100_000, "ok 100000\n"),
        (
            100_000,
            100_001,
            "other(LimitReached: no more bytes sent) at send after 100000\n",
        ),
        (
            0,
            1,
            "other(LimitReached: no more bytes sent) at send after 0\n",
        ),
    ] {
        eprintln!("{count} of {limit}");
        let peer = taking_peer();
        let limit = limit.to_string();
        let flags = with_network(&["--max-sent", &limit]);
        let finished = tries(&flags, &format!("send {} {count}", peer.address()));
        assert_outcome(&finished, expected, "--max-sent");
    }
    let udp = UdpEcho::start();
    let attempts = format!("udp-send {0} then udp-send {0}", udp.address());
    let finished = tries(&with_network(&["--max-sent", "7"]), &attempts);
    let expected = "ok\nother(LimitReached: no more bytes sent) at send\n";
    assert_outcome(&finished, expected, "--max-sent");
}

#[test]
fn bandwidth_slows_down() {
    let peer = taking_peer();
    let flags = with_network(&["--max-bandwidth", "100000"]);
    let started = Instant::now();
    let finished = tries(&flags, &format!("send {} 60000", peer.address()));
    finished.assert_code(0).assert_stdout(b"ok 60000\n");
    // A tenth of a second's bytes may go at once.
    assert!(started.elapsed() >= Duration::from_millis(450));
    let peer = sending_peer(60_000);
    let started = Instant::now();
    let finished = tries(&flags, &format!("receive {} 60000", peer.address()));
    finished.assert_code(0).assert_stdout(b"ok 60000\n");
    assert!(started.elapsed() >= Duration::from_millis(450));
}

#[test]
fn time() {
    let assert_ended = |flags: &[&str], attempt: &str| {
        let finished = tries(flags, attempt);
        finished.assert_code(124);
        assert!(finished.stderr().contains(flags[flags.len() - 2]));
    };
    for attempt in ["compute", "sleep 60", "hold-clients 127.0.0.1:0 1"] {
        let flags = with_network(&["--max-wall-time", "0.3"]);
        assert_ended(&flags, attempt);
    }
    assert_ended(&["--max-cpu-time", "0.1"], "compute");
}

#[test]
fn memory_handles_and_calls() {
    let finished = tries(&["--max-memory", "8000000"], "grow 16000000 then env");
    let expected = "out-of-memory at grow\nok\n";
    assert_eq!(finished.stdout_text(), expected);
    assert!(finished.stderr().contains("--max-memory"));
    let finished = tries(&["--max-handles", "1000"], "waits 2000");
    finished.assert_code(63);
    assert!(
        finished.stderr().contains("--max-handles"),
        "{}",
        finished.stderr()
    );
    tries(&["--max-handles", "1000"], "waits 100")
        .assert_quiet_success()
        .assert_stdout(b"ok 100\n");
    let flags = ["--max-hostcall-bytes", "10000"];
    tries(&flags, "hand-over 20000").assert_code(63);
    tries(&flags, "hand-over 9000")
        .assert_quiet_success()
        .assert_stdout(b"ok\n");
}

#[test]
fn what_waits_for_datagrams_takes_of_the_memory() {
    // Each call that waits takes 64 KiB.
    let flags = with_network(&["--max-memory", "8000000"]);
    let finished = tries(&flags, "receives 127.0.0.1:0 200");
    let expected = "out-of-memory at receive after ";
    assert_outcome(&finished, expected, "--max-memory");
}

#[test]
fn files() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a"), "text".repeat(10_000)).unwrap();
    let dir = format!("{}::/data:ro", folder.path().display());
    let flags = ["--dir", &dir, "--max-files", "3"];
    tries(&flags, "files /data/a 3")
        .assert_quiet_success()
        .assert_stdout(b"ok 3\n");
    let finished = tries(&flags, "files /data/a 4");
    assert_outcome(&finished, "quota at open after 3\n", "--max-files");
    // What is read ahead, and listed, takes of the memory.
    let flags = ["--dir", &dir, "--max-memory", "8000000"];
    let finished = tries(&flags, "readers /data/a 1000");
    assert_outcome(
        &finished,
        "insufficient-memory at read after ",
        "--max-memory",
    );
    for number in 0..1000 {
        fs::write(folder.path().join(format!("{number:0200}")), "").unwrap();
    }
    let finished = tries(&flags, "lists /data 1000");
    assert_outcome(
        &finished,
        "insufficient-memory at list after ",
        "--max-memory",
    );
}

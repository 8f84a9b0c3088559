//! The limits of a foreign component: one less than the limit, the limit, and one more.

use sockbox_tests::{BlackHole, Finished, Foreign, Internet, Peer, Process, RawPeer, UdpEcho};
use std::io;
use std::net::{SocketAddr, TcpStream};

fn tries(flags: &[&str], attempts: &str) -> Finished {
    Foreign::Rust.run(flags, attempts).run()
}

/// For tests in which the network must not be the limit.
fn with_network<'a>(flags: &[&'a str]) -> Vec<&'a str> {
    [&["--allow-net"], flags].concat()
}

/// Assert that the output names the limit that was reached.
#[track_caller]
fn assert_told(finished: &Finished, flag: &str) {
    assert!(finished.stderr().contains(flag), "{flag} isn't told");
}

/// A peer that reads until the client has sent everything, and then closes.
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

#[test]
fn sockets() {
    let flags = with_network(&["--max-sockets", "3"]);
    for (attempts, expected) in [
        ("sockets 2", "ok 2\n"),
        ("sockets 3", "ok 3\n"),
        ("sockets 4", "new-socket-limit at create after 3\n"),
        // One that is closed makes room for another.
        (
            "sockets 2 then bind 127.0.0.1:0 then sockets 1",
            "ok 2\nok 127.0.0.1:",
        ),
        (
            "sockets 3 then bind 127.0.0.1:0",
            "ok 3\nnew-socket-limit at create\n",
        ),
        // Those of UDP are sockets as well.
        (
            "udp-sockets 3 then sockets 1",
            "ok 3\nnew-socket-limit at create after 0\n",
        ),
        (
            "sockets 1 then udp-sockets 3",
            "ok 1\nnew-socket-limit at create after 2\n",
        ),
    ] {
        eprintln!("{attempts}");
        let finished = tries(&flags, attempts);
        let stdout = finished.stdout_text();
        assert!(stdout.starts_with(expected), "{stdout}");
        let within = !expected.contains("new-socket-limit");
        finished.assert_code(i32::from(!within));
        if !within {
            assert_told(&finished, "--max-sockets");
        }
    }
}

#[test]
fn accepted_connections_are_sockets_as_well() {
    let flags = with_network(&["--max-sockets", "3"]);
    // The one that listens, and two clients.
    let process = Foreign::Rust
        .run(&flags, "hold-clients 127.0.0.1:0 3")
        .start();
    let address = listening_address(&process);
    let clients: Vec<_> = (0..3)
        .map(|_| TcpStream::connect(address).unwrap())
        .collect();
    let finished = process.wait();
    finished.assert_code(1);
    assert!(
        finished
            .stdout_text()
            .ends_with("new-socket-limit at accept after 2\n")
    );
    drop(clients);
}

#[test]
fn a_flood_of_sockets_stays_below_the_processes_own_limit() {
    let peer = RawPeer::start(Peer::wait_for_close);
    let attempts = format!("connections {} 1000", peer.address());
    let finished = Foreign::Rust
        .run(&["--allow-net"], &attempts)
        .file_limit(100)
        .run();
    finished.assert_code(1);
    let stdout = finished.stdout_text();
    assert!(
        stdout.starts_with("new-socket-limit at create after "),
        "{stdout}"
    );
}

#[test]
fn lookups() {
    let Some(internet) = Internet::new() else {
        return;
    };
    let internet = internet.name("a.example", &[&[Internet::PUBLIC_V4]]);
    for (limit, attempts, expected) in [
        ("3", "lookups a.example 2", "ok 2\n"),
        ("3", "lookups a.example 3", "ok 3\n"),
        (
            "3",
            "lookups a.example 4",
            "temporary-resolver-failure at resolve after 3\n",
        ),
        ("3", "lookups-at-once a.example 3", "ok 3\n"),
        (
            "0",
            "lookups a.example 1",
            "temporary-resolver-failure at resolve after 0\n",
        ),
        // An address takes no lookup.
        ("0", "lookups 127.1 9", "ok 9\n"),
    ] {
        eprintln!("{limit} {attempts}");
        let flags = [
            "--allow-connect",
            "a.example:80",
            "--max-resolutions",
            limit,
        ];
        let (finished, _) = internet.run(Foreign::Rust.run(&flags, attempts));
        assert_eq!(finished.stdout_text(), expected);
        let within = expected.starts_with("ok");
        finished.assert_code(i32::from(!within));
        if !within {
            assert_told(&finished, "--max-resolutions");
        }
    }
    let flags = ["--allow-connect", "a.example:80", "--max-resolutions", "3"];
    let (finished, _) = internet.run(Foreign::Rust.run(&flags, "lookups-at-once a.example 40"));
    finished.assert_code(1);
    assert!(
        finished
            .stdout_text()
            .starts_with("temporary-resolver-failure at resolve")
    );
}

#[test]
fn a_flood_of_lookups_takes_its_turns() {
    let Some(internet) = Internet::new() else {
        return;
    };
    let internet = internet.name("a.example", &[&[Internet::PUBLIC_V4]]);
    let flags = ["--allow-connect", "a.example:80"];
    let (finished, seen) = internet.run(Foreign::Rust.run(&flags, "lookups-at-once a.example 200"));
    finished.assert_quiet_success().assert_stdout(b"ok 200\n");
    seen.assert(&["a.example"], &[]);
}

#[test]
fn bytes_received() {
    for (limit, sent, expected) in [
        (10_000, 9_999, "ok 9999\n"),
        (10_000, 10_000, "ok 10000\n"),
        (10_000, 10_001, "failed at receive after 10000\n"),
        (10_000, 1_000_000, "failed at receive after 10000\n"),
        // More than one read's worth.
        (100_000, 100_000, "ok 100000\n"),
        (100_000, 100_001, "failed at receive after 100000\n"),
        (0, 1, "failed at receive after 0\n"),
    ] {
        eprintln!("{sent} of {limit}");
        let peer = sending_peer(sent);
        let limit = limit.to_string();
        let flags = with_network(&["--max-received", &limit]);
        let attempts = format!("receive {} {sent}", peer.address());
        let finished = tries(&flags, &attempts);
        assert_eq!(finished.stdout_text(), expected);
        let within = expected.starts_with("ok");
        finished.assert_code(i32::from(!within));
        if !within {
            assert_told(&finished, "--max-received");
        }
    }
}

#[test]
fn bytes_received_are_those_of_all_connections() {
    let peer = sending_peer(600);
    let udp = UdpEcho::start();
    let flags = with_network(&["--max-received", "1000"]);
    let attempts = format!("receive {0} 600 then receive {0} 600", peer.address());
    let finished = tries(&flags, &attempts);
    finished
        .assert_code(1)
        .assert_stdout(b"ok 600\nfailed at receive after 400\n");
    // Datagrams count: `ping` is four.
    let flags = with_network(&["--max-received", "4"]);
    let attempts = format!("udp-ask {0} then sleep 0", udp.address());
    tries(&flags, &attempts)
        .assert_quiet_success()
        .assert_stdout(b"ok ping\nok\n");
}

#[test]
fn bytes_sent() {
    for (limit, count, expected) in [
        (4_000, 3_999, "ok 3999\n"),
        (4_000, 4_000, "ok 4000\n"),
        (4_000, 4_001, "failed at send after "),
        (100_000, 99_999, "ok 99999\n"),
        (100_000, 100_000, "ok 100000\n"),
        (100_000, 100_001, "failed at send after 9"),
        (0, 1, "failed at send after 0\n"),
    ] {
        eprintln!("{count} of {limit}");
        let peer = taking_peer();
        let limit = limit.to_string();
        let flags = with_network(&["--max-sent", &limit]);
        let finished = tries(&flags, &format!("send {} {count}", peer.address()));
        let stdout = finished.stdout_text();
        assert!(stdout.starts_with(expected), "{stdout}");
        let within = expected.starts_with("ok");
        finished.assert_code(i32::from(!within));
        if !within {
            assert_told(&finished, "--max-sent");
        }
    }
}

#[test]
fn bytes_sent_are_those_of_all_connections() {
    let peer = taking_peer();
    let udp = UdpEcho::start();
    let flags = with_network(&["--max-sent", "1000"]);
    let attempts = format!(
        "send {0} 600 then send {0} 400 then send {0} 1 then udp-send {1}",
        peer.address(),
        udp.address()
    );
    let finished = tries(&flags, &attempts);
    finished.assert_code(1);
    let stdout = finished.stdout_text();
    let lines: Vec<&str> = stdout.lines().collect();
    assert_eq!(lines[..3], ["ok 600", "ok 400", "failed at send after 0"]);
    assert!(!lines[3].starts_with("ok"), "{stdout}");
}

#[test]
fn handles_and_resources() {
    for flag in ["--max-handles", "--max-resources"] {
        let flags = [flag, "1000"];
        let finished = tries(&flags, "pollables 50");
        finished.assert_quiet_success().assert_stdout(b"ok 50\n");
        // There is no error code for it: the component ends.
        let finished = tries(&flags, "pollables 1001");
        finished.assert_code(63).assert_stdout(b"");
        assert_told(&finished, flag);
    }
}

#[test]
fn the_last_handle_and_one_more() {
    for flag in ["--max-handles", "--max-resources"] {
        let code = |limit: u32, count: u32| {
            tries(&[flag, &limit.to_string()], &format!("pollables {count}")).code()
        };
        // What the component has from the start counts too, and a pollable may be more than one thing, so
        // that the number has to be found.
        let (mut too_few, mut enough) = (0, 1000);
        while enough - too_few > 1 {
            let limit = (too_few + enough) / 2;
            match code(limit, 50) {
                0 => enough = limit,
                _ => too_few = limit,
            }
        }
        assert!(enough > 50, "{flag} {enough}");
        assert_eq!(code(enough - 1, 50), 63, "{flag} {enough} less one");
        assert_eq!(code(enough, 50), 0, "{flag} {enough}");
        assert_eq!(
            code(enough, 51),
            63,
            "{flag} {enough}, and one pollable more"
        );
        assert_eq!(code(enough + 1, 50), 0, "{flag} {enough} and one");
    }
}

#[test]
fn memory() {
    let mib = 1 << 20;
    let finished = tries(&["--max-memory", "8000000"], &format!("grow {}", 4 * mib));
    finished.assert_quiet_success();
    // The component gets an error, and can continue.
    let attempts = format!("grow {} then grow {} then env", 16 * mib, mib);
    let finished = tries(&["--max-memory", "8000000"], &attempts);
    finished.assert_code(1);
    assert_eq!(
        finished.stdout_text(),
        format!("out-of-memory at grow\nok {mib}\nok\n")
    );
    assert_told(&finished, "--max-memory");
    // There is a default limit.
    let finished = tries(&[], &format!("grow {}", 300 * mib));
    finished
        .assert_code(1)
        .assert_stdout(b"out-of-memory at grow\n");
    let finished = tries(
        &["--max-memory", "512000000"],
        &format!("grow {}", 300 * mib),
    );
    finished.assert_quiet_success();
}

#[test]
fn a_component_that_does_not_fit_in_its_memory_at_all() {
    let finished = tries(&["--max-memory", "65536"], "env");
    assert_ne!(finished.code(), 0);
    assert_told(&finished, "--max-memory");
}

#[test]
fn bytes_in_one_call() {
    let flags = ["--max-hostcall-bytes", "10000"];
    tries(&flags, "hand-over 5000").assert_quiet_success();
    let finished = tries(&flags, "hand-over 20000");
    finished.assert_code(63);
    assert_told(&finished, "--max-hostcall-bytes");
}

#[test]
fn open_files() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a"), "text").unwrap();
    let dir = format!("{}::/data", folder.path().to_str().unwrap());
    let flags = ["--dir", &dir, "--max-files", "3"];
    let finished = tries(&flags, "files /data/a 3");
    finished.assert_quiet_success().assert_stdout(b"ok 3\n");
    let finished = tries(&flags, "files /data/a 4");
    finished.assert_code(1);
    assert_told(&finished, "--max-files");
    // Closed files do not count.
    let attempts = ["read /data/a"; 5].join(" then ");
    tries(&flags, &attempts).assert_quiet_success();
}

#[test]
fn instances_and_tables() {
    for flags in [&["--max-instances", "0"], &["--max-table-elements", "0"]] {
        let finished = tries(flags, "env");
        assert_ne!(finished.code(), 0);
        finished.assert_stdout(b"");
        assert_told(&finished, flags[0]);
    }
    let flags = ["--max-instances", "100", "--max-table-elements", "10000"];
    tries(&flags, "env").assert_quiet_success();
}

#[test]
fn time_to_compute() {
    let finished = tries(&["--max-cpu-time", "0.2"], "env then compute");
    finished.assert_code(124).assert_stdout(b"ok\n");
    assert_told(&finished, "--max-cpu-time");
    // Waiting isn't computing.
    tries(&["--max-cpu-time", "1"], "sleep 1.2 then env")
        .assert_quiet_success()
        .assert_stdout(b"ok\nok\n");
}

#[test]
fn time() {
    let silent = RawPeer::start(Peer::wait_for_close);
    let flags = with_network(&["--max-wall-time", "0.3"]);
    for attempts in [
        "compute".to_owned(),
        "sleep 1000".to_owned(),
        "listen 127.0.0.1:0 1".to_owned(),
        "udp-serve 127.0.0.1:0 1".to_owned(),
        format!("wait-for {}", silent.address()),
        "pollables 1 then sleep 1000".to_owned(),
    ] {
        eprintln!("{attempts}");
        let finished = tries(&flags, &attempts);
        finished.assert_code(124);
        assert_told(&finished, "--max-wall-time");
    }
    tries(&with_network(&["--max-wall-time", "100"]), "env").assert_quiet_success();
}

#[test]
fn time_spent_in_connecting_and_looking_up() {
    let Some(hole) = BlackHole::new() else { return };
    for attempts in [
        format!("connect {}:80", BlackHole::HOLE_V4),
        format!("connect [{}]:80", BlackHole::HOLE_V6),
        "resolve a-name.example".to_owned(),
        "lookups-at-once a-name.example 40".to_owned(),
    ] {
        eprintln!("{attempts}");
        let flags = with_network(&["--max-wall-time", "0.3"]);
        let (finished, _) = hole.run(Foreign::Rust.run(&flags, &attempts));
        finished.assert_code(124).assert_stdout(b"");
        assert_told(&finished, "--max-wall-time");
    }
}

#[test]
fn connections_per_second() {
    let peer = taking_peer();
    // All of these must happen within a second. Otherwise the last one is within the limit.
    let flags = with_network(&["--max-connects-per-second", "3"]);
    let attempts = |count| format!("connect-often {} {count}", peer.address());
    tries(&flags, &attempts(3)).assert_quiet_success();
    let finished = tries(&flags, &attempts(1000));
    finished.assert_code(1);
    let stdout = finished.stdout_text();
    assert!(
        stdout.starts_with("new-socket-limit at connect after "),
        "{stdout}"
    );
    assert_told(&finished, "--max-connects-per-second");
    let finished = tries(
        &with_network(&["--max-connects-per-second", "0"]),
        &attempts(1),
    );
    finished
        .assert_code(1)
        .assert_stdout(b"new-socket-limit at connect after 0\n");
}

#[test]
fn accepted_connections_per_second() {
    let flags = with_network(&["--max-accepts-per-second", "2"]);
    let process = Foreign::Rust
        .run(&flags, "hold-clients 127.0.0.1:0 1000")
        .start();
    let address = listening_address(&process);
    // They are in the system's queue before the component runs.
    let clients: Vec<io::Result<TcpStream>> =
        (0..100).map(|_| TcpStream::connect(address)).collect();
    let finished = process.wait();
    finished.assert_code(1);
    let stdout = finished.stdout_text();
    let (_, last) = stdout.trim_end().rsplit_once('\n').unwrap();
    assert!(
        last.starts_with("new-socket-limit at accept after "),
        "{last}"
    );
    assert_told(&finished, "--max-accepts-per-second");
    drop(clients);
}

#[test]
fn bandwidth_slows_down_and_nothing_else() {
    let peer = sending_peer(100_000);
    let taking = taking_peer();
    let flags = with_network(&["--max-bandwidth", "100000"]);
    let attempts = format!(
        "receive {} 100000 then send {} 50000",
        peer.address(),
        taking.address()
    );
    let finished = tries(&flags, &attempts);
    finished
        .assert_quiet_success()
        .assert_stdout(b"ok 100000\nok 50000\n");
    // The shortest possible time: the bytes of a tenth of a second are free.
    assert!(
        finished.elapsed().as_secs_f64() > 0.8,
        "{:?}",
        finished.elapsed()
    );
}

/// Where the component says it listens.
fn listening_address(process: &Process) -> SocketAddr {
    process.wait_for_stdout("where it listens", |stdout| {
        let (_, rest) = stdout.split_once("listening on ")?;
        let (address, _) = rest.split_once('\n')?;
        address.parse().ok()
    })
}

//! UDP on the private loopback of a run: only the run itself can send to a socket there.

use sockbox_tests::{Finished, Foreign, UdpEcho, UdpTripwire, has_ipv6};
use std::fs;
use std::net::{SocketAddr, UdpSocket};

fn tries(flags: &[&str], attempts: &str) -> Finished {
    Foreign::Rust.run(flags, attempts).run()
}

/// An address that no socket uses at the moment of the call.
fn free_address() -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.local_addr().unwrap()
}

#[test]
fn a_component_sends_to_itself_without_a_grant() {
    for (language, exchanges) in [
        (Foreign::Rust, 2),
        (Foreign::RustOn0_3, 3),
        (Foreign::Python, 1),
    ] {
        let mut places = vec!["127.0.0.1:0", "127.0.0.1:8080", "127.1.2.3:0"];
        if language != Foreign::Python && has_ipv6() {
            places.push("[::1]:0");
        }
        for place in places {
            // Compiling the component in Python takes long on a busy machine.
            let flags = ["--max-compile-time", "1000"];
            let finished = language.run(&flags, &format!("udp-talk {place}")).run();
            finished.assert_code(0);
            let stdout = finished.stdout_text();
            let told = stdout.trim_end().strip_prefix("ok ");
            let (at, talk) = told
                .and_then(|told| told.split_once(' '))
                .unwrap_or_else(|| panic!("{stdout}"));
            assert_eq!(talk, ["ping pong"].repeat(exchanges).join(" "));
            let (at, asked): (SocketAddr, SocketAddr) =
                (at.parse().unwrap(), place.parse().unwrap());
            assert_eq!(at.ip(), asked.ip());
            assert!(at.port() == asked.port() || asked.port() == 0 && at.port() != 0);
        }
    }
}

#[test]
fn the_machines_socket_on_the_same_port_gets_nothing_and_sends_nothing() {
    let tripwire = UdpTripwire::new();
    let address = tripwire.address();
    for language in [Foreign::Rust, Foreign::RustOn0_3] {
        let finished = language.run(&[], &format!("udp-talk {address}")).run();
        finished.assert_code(0);
        let note = format!(
            "sockbox: {address} over UDP is private to this run (--allow-udp-bind {address} would open it)\n"
        );
        assert!(finished.stderr().contains(&note), "{}", finished.stderr());
        // Without a private socket at the address it is the machine's, and denied.
        let finished = language.run(&[], &format!("udp-send {address}")).run();
        finished.assert_code(1);
        finished.assert_stdout(b"access-denied at bind\n");
    }
    tripwire.assert_untouched();
}

#[test]
fn the_machine_does_not_reach_it() {
    let address = free_address();
    let process = Foreign::Rust
        .run(&[], &format!("udp-serve {address} 1"))
        .start();
    process.wait_for_stdout("that it is bound", |stdout| {
        stdout
            .contains(&format!("listening on {address}\n"))
            .then_some(())
    });
    // The port is free on the machine, and what is sent to it goes nowhere.
    let machine = UdpSocket::bind(address).unwrap();
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.send_to(b"hello", address).unwrap();
    let mut buffer = [0; 16];
    assert_eq!(machine.recv(&mut buffer).unwrap(), 5);
    assert!(!process.stdout().contains("received from"));
}

#[test]
fn a_private_socket_reaches_nothing_else() {
    let tripwire = UdpTripwire::new();
    let address = tripwire.address();
    let finished = tries(
        &["--allow-udp-send", &address.to_string()],
        &format!("udp-send-from 127.0.0.1:0 {address}"),
    );
    finished.assert_code(1);
    finished.assert_stdout(b"access-denied at send\n");
    let line = "sockbox: denied: bind a UDP socket to 127.0.0.1:0: no rule grants it \
                (--allow-udp-bind 127.0.0.1:0 would)\n";
    assert!(finished.stderr().contains(line), "{}", finished.stderr());
    let finished = tries(&[], &format!("udp-send-from 127.0.0.1:0 {address}"));
    finished.assert_code(1);
    let line = format!("(--allow-udp-send {address} would)");
    assert!(finished.stderr().contains(&line), "{}", finished.stderr());
    tripwire.assert_untouched();
}

#[test]
fn what_is_granted_is_the_machines() {
    let echo = UdpEcho::start();
    let address = echo.address().to_string();
    let flags = ["--allow-udp-send", &address];
    for language in [Foreign::Rust, Foreign::RustOn0_3] {
        let attempts = format!("udp-ask {address}");
        let finished = language.run(&flags, &attempts).run();
        finished.assert_code(0);
        finished.assert_stdout(b"ok ping\n");
    }
}

#[test]
fn the_record_says_private_and_a_denial_holds() {
    let folder = tempfile::tempdir().unwrap();
    let audit = folder.path().join("audit");
    let flags = ["--audit", audit.to_str().unwrap()];
    tries(&flags, "udp-talk 127.0.0.1:8080").assert_code(0);
    let record = fs::read_to_string(&audit).unwrap();
    let mut operations = Vec::new();
    for line in record.lines() {
        let event: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_ne!(event["event"], "traffic");
        if event["event"] == "decision" {
            assert_eq!(event["verdict"], "allowed");
            assert_eq!(event["by"], "private");
            operations.push(event["operation"].as_str().unwrap().to_owned());
        }
    }
    operations.dedup();
    assert_eq!(
        operations[..4],
        ["udp-bind", "udp-send", "udp-receive", "udp-send"],
        "{record}"
    );

    let flags = ["--deny-connect", "127.0.0.0/8"];
    let finished = tries(&flags, "udp-talk 127.0.0.1:0");
    finished.assert_code(1);
    finished.assert_stdout(b"access-denied at send\n");
    let told = ": denied by deny-connect 127.0.0.0/8:*\n";
    assert!(finished.stderr().contains(told), "{}", finished.stderr());
}

#[test]
fn its_sockets_count_and_what_waits_is_bounded() {
    for (sockets, code, stdout) in [
        ("2", 0, None),
        ("1", 1, Some("new-socket-limit at create\n")),
    ] {
        let finished = tries(&["--max-sockets", sockets], "udp-talk 127.0.0.1:0");
        finished.assert_code(code);
        if let Some(stdout) = stdout {
            finished.assert_stdout(stdout.as_bytes());
        }
    }
    // What does not fit is lost, as with UDP: 227 datagrams of 1,152 bytes with what belongs to each fit into 256 KiB.
    let finished = tries(&[], "udp-keep 127.0.0.1:0 1000");
    finished.assert_code(0);
    finished.assert_stdout(b"ok 227\n");
}

#[test]
fn it_can_be_turned_off_and_a_dry_run_keeps_it_on_the_machine() {
    let flags = ["--no-private-loopback"];
    for language in [Foreign::Rust, Foreign::RustOn0_3] {
        let finished = language.run(&flags, "udp-talk 127.0.0.1:0").run();
        finished.assert_code(1);
        finished.assert_stdout(b"access-denied at bind\n");
    }
    let finished = tries(&["--dry-run"], "udp-talk 127.0.0.1:0");
    finished.assert_code(0);
    let line = "  --allow-udp-bind 127.0.0.1:0\n";
    assert!(finished.stderr().contains(line), "{}", finished.stderr());
}

//! Grants for UDP.

use crate::grants::{listening_address, tries};
use sockbox_tests::{Foreign, Tripwire, UdpEcho, UdpTripwire, ask_by_udp};
use std::net::UdpSocket;

#[test]
fn sending_datagrams() {
    let peer = UdpEcho::start();
    let address = peer.address();
    let (other_port, other_address) = (
        UdpTripwire::new(),
        UdpTripwire::on(&format!("127.0.0.2:{}", address.port())),
    );
    let tcp = Tripwire::on(&address.to_string());
    let attempts = format!(
        "udp-ask {address} then udp-send {} then udp-connect {} then connect {address}",
        other_port.address(),
        other_address.address(),
    );
    let finished = tries(&["--allow-udp-send", &address.to_string()], &attempts);
    finished.assert_code(1);
    let stdout = finished.stdout_text();
    let lines: Vec<&str> = stdout.lines().collect();
    assert_eq!(lines[0], "ok ping");
    for line in &lines[1..] {
        assert!(line.starts_with("access-denied at "), "{line}");
    }
    for neighbour in [&other_port, &other_address] {
        let flag = format!("(--allow-udp-send {} would)", neighbour.address());
        assert!(finished.stderr().contains(&flag), "{flag} isn't told");
        neighbour.assert_untouched();
    }
    tcp.assert_untouched();
}

#[test]
fn serving_datagrams() {
    let attempts = "udp-serve 127.0.0.1:0 2 then udp-bind 127.0.0.2:0 then bind 127.0.0.1:0";
    let flags = [
        "--no-private-loopback",
        "--allow-udp-bind",
        "127.0.0.1:0",
        "--allow-udp-send",
        "127.0.0.1",
    ];
    let process = Foreign::Rust.run(&flags, attempts).start();
    let address = listening_address(&process);
    for _ in 0..2 {
        assert_eq!(ask_by_udp(address, b"hello"), b"hello");
    }
    let finished = process.wait();
    finished.assert_code(1);
    let stdout = finished.stdout_text();
    assert!(
        stdout.ends_with("\nok 2\naccess-denied at bind\naccess-denied at bind\n"),
        "{stdout}"
    );
}

#[test]
fn datagrams_from_who_is_not_accepted_are_not_seen() {
    let flags = [
        ["--allow-udp-bind", "127.0.0.1:0"],
        ["--allow-udp-send", "127.0.0.0/8"],
        ["--deny-accept", "127.0.0.2"],
    ];
    let process = Foreign::Rust
        .run(flags.as_flattened(), "udp-serve 127.0.0.1:0 1")
        .start();
    let address = listening_address(&process);
    let unwelcome = UdpSocket::bind("127.0.0.2:0").unwrap();
    unwelcome.send_to(b"let me in", address).unwrap();
    assert_eq!(ask_by_udp(address, b"hello"), b"hello");
    let finished = process.wait();
    finished.assert_code(0);
    assert!(!finished.stdout_text().contains("received from 127.0.0.2"));
    unwelcome.set_nonblocking(true).unwrap();
    unwelcome.recv(&mut [0]).unwrap_err();
}

//! Components of other languages and toolchains, which were not written for sockbox. Each is a client and a
//! server over TCP and UDP and resolves names. All of this works if it is granted, and fails if it is not.

use sockbox_tests::{
    Foreign, Internet, PATIENCE, RawPeer, Resets, Tripwire, UdpEcho, UdpTripwire, ask_by_udp,
};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

/// All of them in one run: that one's start takes longest.
fn with_grants(language: Foreign) {
    let tcp = RawPeer::start(|peer| {
        peer.read_bytes(4)?;
        peer.send("pong")
    });
    let udp = UdpEcho::start();
    let (tcp_address, udp_address) = (tcp.address(), udp.address());
    let port = tcp_address.port();
    let attempts = format!(
        "resolve localhost then connect {tcp_address} then connect-name localhost {port} then udp-ask \
         {udp_address} then listen 127.0.0.1:0 2 then udp-serve 127.0.0.1:0 2"
    );
    let to_tcp = tcp_address.to_string();
    let by_name = format!("localhost:{port}");
    let flags = [
        ["--allow-connect", &to_tcp],
        ["--allow-connect", &by_name],
        // The echo, and its own clients.
        ["--allow-udp-send", "127.0.0.1"],
        ["--allow-listen", "127.0.0.1:0"],
        ["--allow-udp-bind", "127.0.0.1:0"],
    ];
    let process = language.run(flags.as_flattened(), &attempts).start();

    let next = |served: usize| -> SocketAddr {
        process.wait_for_stdout("where it listens", |stdout| {
            let mut places = stdout.split("listening on ").skip(1);
            let (address, _) = places.nth(served)?.split_once('\n')?;
            address.parse().ok()
        })
    };
    let server = next(0);
    for _ in 0..2 {
        let mut stream = TcpStream::connect(server).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(b"hello").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "hello");
    }
    let server = next(1);
    for _ in 0..2 {
        assert_eq!(ask_by_udp(server, b"hello"), b"hello");
    }

    let finished = process.wait();
    finished.assert_quiet_success();
    let stdout = finished.stdout_text();
    let results: Vec<&str> = stdout.lines().filter(|line| !is_progress(line)).collect();
    assert!(
        results[0].starts_with("ok ") && results[0].contains("127.0.0.1"),
        "{stdout}"
    );
    assert_eq!(results[1], "ok pong");
    assert!(
        results[2].starts_with("ok ") && results[2].ends_with("pong"),
        "{stdout}"
    );
    assert_eq!(results[3..], ["ok ping", "ok 2", "ok 2"]);
}

/// What a server says while it works.
fn is_progress(line: &str) -> bool {
    ["listening on", "accepted", "received from"]
        .iter()
        .any(|word| line.starts_with(word))
}

fn without_grants(language: Foreign) {
    let (tcp, udp) = (Tripwire::new(), UdpTripwire::new());
    let (tcp_address, udp_address) = (tcp.address(), udp.address());
    let attempts = format!(
        "resolve localhost then connect {tcp_address} then connect-name localhost {} then udp-ask \
         {udp_address} then listen 127.0.0.1:0 1 then udp-serve 127.0.0.1:0 1",
        tcp_address.port()
    );
    let flags = ["-v", "--no-private-loopback"];
    let finished = language.run(&flags, &attempts).run();
    let stdout = finished.stdout_text();
    let lines: Vec<&str> = stdout.lines().collect();
    assert_eq!(lines.len(), 6, "{stdout}");
    for line in lines {
        assert!(!line.starts_with("ok") && line.contains(" at "), "{stdout}");
    }
    for denied in [
        "denied: resolve localhost".to_owned(),
        format!("(--allow-connect {tcp_address} would)"),
        "(--allow-listen 127.0.0.1:0 would)".to_owned(),
        "(--allow-udp-bind 127.0.0.1:0 would)".to_owned(),
    ] {
        assert!(finished.stderr().contains(&denied), "{denied} isn't told");
    }
    tcp.assert_untouched();
    udp.assert_untouched();
}

fn on_the_internet(language: Foreign) {
    let Some(internet) = Internet::new() else {
        return;
    };
    let internet = internet.name(
        "rebind.example",
        &[&[Internet::PUBLIC_V4], &[Internet::METADATA]],
    );
    let flags = [
        "--allow-connect",
        "rebind.example:80",
        "--allow-udp-send",
        "rebind.example:81",
    ];
    let attempts = format!(
        "connect-name rebind.example 80 then udp-ask {}:81 then connect-name rebind.example 80 then connect \
         {}:80",
        Internet::PUBLIC_V4,
        Internet::METADATA
    );
    let (finished, seen) = internet.run(language.run(&flags, &attempts));
    let stdout = finished.stdout_text();
    let lines: Vec<&str> = stdout.lines().collect();
    assert!(lines[0].ends_with("hello from 1.2.3.4:80"), "{stdout}");
    assert_eq!(lines[1], "ok hello from 1.2.3.4:81");
    assert!(
        !lines[2].starts_with("ok") && !lines[3].starts_with("ok"),
        "{stdout}"
    );
    seen.assert(&["rebind.example"], &["tcp 1.2.3.4:80", "udp 1.2.3.4:81"]);
}

/// Clients that reset before they are accepted do not end a server. wasi-libc aborts if it gets no
/// address for an accepted peer.
fn with_clients_that_reset(language: Foreign) {
    let flags = ["--allow-listen", "127.0.0.1:0"];
    let process = language.run(&flags, "serve 127.0.0.1:0 2").start();
    let server: SocketAddr = process.wait_for_stdout("where it listens", |stdout| {
        let (_, rest) = stdout.split_once("listening on ")?;
        rest.split_once('\n')?.0.parse().ok()
    });
    for _ in 0..2 {
        let resets = Resets::before(&process, server, 20);
        let mut waiting = resets.waiting;
        waiting.ask("hello", "hello");
        for client in &resets.gone {
            process.wait_for_stdout("that it was accepted", |stdout| {
                stdout
                    .contains(&format!("accepted {client}\n"))
                    .then_some(())
            });
        }
    }
    let finished = process.wait();
    finished.assert_quiet_success();
    assert!(finished.stdout_text().ends_with("ok 2\n"));
}

#[test]
fn rust_with_clients_that_reset() {
    with_clients_that_reset(Foreign::Rust);
}

#[test]
fn python_with_clients_that_reset() {
    with_clients_that_reset(Foreign::Python);
}

#[test]
fn javascript_with_clients_that_reset() {
    with_clients_that_reset(Foreign::JavaScript);
}

#[test]
fn c_with_clients_that_reset() {
    if Foreign::C.has_compiler() {
        with_clients_that_reset(Foreign::C);
    }
}

#[test]
fn rust_with_grants() {
    with_grants(Foreign::Rust);
}

#[test]
fn rust_without_grants() {
    without_grants(Foreign::Rust);
}

#[test]
fn rust_on_the_internet() {
    on_the_internet(Foreign::Rust);
}

#[test]
fn python_with_grants() {
    with_grants(Foreign::Python);
}

#[test]
fn python_without_grants() {
    without_grants(Foreign::Python);
}

#[test]
fn python_on_the_internet() {
    on_the_internet(Foreign::Python);
}

#[test]
fn javascript_with_grants() {
    with_grants(Foreign::JavaScript);
}

#[test]
fn javascript_without_grants() {
    without_grants(Foreign::JavaScript);
}

#[test]
fn javascript_on_the_internet() {
    on_the_internet(Foreign::JavaScript);
}

#[test]
fn c_with_grants() {
    if Foreign::C.has_compiler() {
        with_grants(Foreign::C);
    }
}

#[test]
fn c_without_grants() {
    if Foreign::C.has_compiler() {
        without_grants(Foreign::C);
    }
}

#[test]
fn c_on_the_internet() {
    if Foreign::C.has_compiler() {
        on_the_internet(Foreign::C);
    }
}

//! Granted operations of a foreign component work with real peers, and similar ones that are not
//! granted fail.

use sockbox_tests::{
    Finished, Foreign, Internet, PATIENCE, Process, RawPeer, Tripwire, UdpTripwire, has_ipv6,
};
use socket2::{Domain, Socket, Type};
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};

pub fn tries(flags: &[&str], attempts: &str) -> Finished {
    Foreign::Rust.run(flags, attempts).run()
}

/// Answers `pong` to `ping`.
fn answering_peer(address: &str) -> RawPeer {
    RawPeer::start_on(address, |peer| {
        peer.read_bytes(4)?;
        peer.send("pong")
    })
}

/// Where the component says it listens.
pub fn listening_address(process: &Process) -> SocketAddr {
    process.wait_for_stdout("where it listens", |stdout| {
        let (_, rest) = stdout.split_once("listening on ")?;
        let (address, _) = rest.split_once('\n')?;
        address.parse().ok()
    })
}

/// Send something, and return what comes back.
fn ask(mut stream: TcpStream) -> io::Result<String> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"hello")?;
    stream.shutdown(Shutdown::Write)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// Connect from this address of loopback.
fn connect_from(from: &str, to: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let from: SocketAddr = format!("{from}:0").parse().unwrap();
    socket.bind(&from.into()).unwrap();
    socket.connect(&to.into()).unwrap();
    socket.into()
}

/// Assert that this client gets nothing but a reset.
#[track_caller]
fn assert_not_accepted(client: TcpStream) {
    let outcome = ask(client);
    assert!(
        matches!(&outcome, Err(error) if error.kind() != io::ErrorKind::WouldBlock),
        "{outcome:?}"
    );
}

#[test]
fn connecting() {
    let peer = answering_peer("127.0.0.1:0");
    let address = peer.address();
    let (other_port, other_address) = (
        Tripwire::new(),
        Tripwire::on(&format!("127.0.0.2:{}", address.port())),
    );
    let attempts = format!(
        "connect {address} then connect {} then connect {} then resolve localhost then bind {address} \
         then udp-send {address}",
        other_port.address(),
        other_address.address()
    );
    let flags = [
        "--no-private-loopback",
        "--allow-connect",
        &address.to_string(),
    ];
    let finished = tries(&flags, &attempts);
    finished.assert_code(1).assert_stdout(
        b"ok pong\naccess-denied at connect\naccess-denied at connect\naccess-denied at resolve\n\
          access-denied at bind\naccess-denied at bind\n",
    );
    for neighbour in [&other_port, &other_address] {
        let flag = format!("(--allow-connect {} would)", neighbour.address());
        assert!(finished.stderr().contains(&flag), "{flag} isn't told");
        neighbour.assert_untouched();
    }
}

#[test]
fn all_the_ways_to_grant_a_connection() {
    let peer = answering_peer("127.0.0.1:0");
    let address = peer.address();
    let port = address.port();
    let tripwire = Tripwire::on(&format!("127.0.1.2:{port}"));
    for (granted, words) in [
        (format!("127.0.0.1:{port}"), 1),
        ("127.0.0.1".to_owned(), 1),
        ("127.0.0.0/24".to_owned(), 1),
        (format!("127.0.0.0/24:{port}"), 1),
        (format!("127.0.0.1:{}-{}", port - 1, port), 1),
        (format!("127.0.0.1:{port}-{}", port + 1), 1),
        (format!("[::ffff:127.0.0.1]:{port}"), 1),
        (format!("192.0.2.1:80,127.0.0.1:{port}"), 1),
        (format!("192.0.2.1:80 --allow-connect 127.0.0.1:{port}"), 2),
    ] {
        eprintln!("{granted} ({words})");
        let flags: Vec<&str> = ["--allow-connect"]
            .into_iter()
            .chain(granted.split(' '))
            .collect();
        let attempts = format!("connect {address} then connect {}", tripwire.address());
        tries(&flags, &attempts)
            .assert_code(1)
            .assert_stdout(b"ok pong\naccess-denied at connect\n");
        tripwire.assert_untouched();
    }
    for not_granted in [
        format!("127.0.0.1:{}", port - 1),
        format!("127.0.0.1:{}-{}", port + 1, u16::MAX),
        format!("127.0.0.0/32:{port}"),
        format!("127.0.0.2/31:{port}"),
        format!("[::1]:{port}"),
        format!("[::]/0:{port}"),
    ] {
        eprintln!("{not_granted}");
        let flags = ["--allow-connect", &not_granted];
        tries(&flags, &format!("connect {address}"))
            .assert_failure(1, &["denied", &address.to_string()])
            .assert_stdout(b"access-denied at connect\n");
    }
}

#[test]
fn connecting_over_ipv6() {
    if !has_ipv6() {
        return;
    }
    let peer = answering_peer("[::1]:0");
    let address = peer.address();
    let tripwire = Tripwire::on(&format!("127.0.0.1:{}", address.port()));
    for granted in [
        address.to_string(),
        "[::1]".to_owned(),
        "[::/64]".to_owned(),
    ] {
        let attempts = format!("connect {address} then connect {}", tripwire.address());
        tries(&["--allow-connect", &granted], &attempts)
            .assert_code(1)
            .assert_stdout(b"ok pong\naccess-denied at connect\n");
        tripwire.assert_untouched();
    }
}

#[test]
fn listening() {
    // On a port of the system's choice, in all the ways that cover one.
    for granted in ["127.0.0.1:0", "127.0.0.1", "0.0.0.0:0", "127.0.0.0/8"] {
        eprintln!("{granted}");
        let attempts = "listen 127.0.0.1:0 2 then bind [::1]:0 then udp-bind 127.0.0.1:0 then connect \
                        127.0.0.1:1";
        let process = Foreign::Rust
            .run(
                &["--no-private-loopback", "--allow-listen", granted],
                attempts,
            )
            .start();
        let address = listening_address(&process);
        for _ in 0..2 {
            assert_eq!(ask(TcpStream::connect(address).unwrap()).unwrap(), "hello");
        }
        let finished = process.wait();
        finished.assert_code(1);
        let stdout = finished.stdout_text();
        assert!(
            stdout.ends_with(
                "\nok 2\naccess-denied at bind\naccess-denied at bind\naccess-denied at connect\n"
            ),
            "{stdout}"
        );
    }
    // On a port of the component's choice, and not on its neighbour.
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let granted = format!("127.0.0.1:{port}");
    let attempts = format!(
        "bind {granted} then bind 127.0.0.1:{} then bind 127.0.0.2:{port} then listen 0.0.0.0:{port} 1 then \
         bind 127.0.0.1:0",
        port - 1
    );
    let flags = ["--no-private-loopback", "--allow-listen", &granted];
    let finished = tries(&flags, &attempts);
    finished.assert_code(1);
    assert_eq!(
        finished.stdout_text(),
        format!("ok {granted}\n{}", "access-denied at bind\n".repeat(4))
    );
}

#[test]
fn accepting() {
    for (flags, welcome, unwelcome) in [
        (
            &["--allow-accept", "127.0.0.2"][..],
            "127.0.0.2",
            "127.0.0.1",
        ),
        (
            &["--allow-accept", "127.0.0.2/31"],
            "127.0.0.3",
            "127.0.0.4",
        ),
        (&["--deny-accept", "127.0.0.2"], "127.0.0.1", "127.0.0.2"),
        (
            &[
                "--allow-accept",
                "127.0.0.0/8",
                "--deny-accept",
                "127.0.0.2/31",
            ],
            "127.0.0.4",
            "127.0.0.3",
        ),
    ] {
        eprintln!("{flags:?}");
        let flags = [&["--allow-listen", "127.0.0.1:0"], flags].concat();
        let process = Foreign::Rust.run(&flags, "listen 127.0.0.1:0 1").start();
        let address = listening_address(&process);
        // The component never sees a client that is denied, and continues to wait.
        assert_not_accepted(connect_from(unwelcome, address));
        assert_eq!(ask(connect_from(welcome, address)).unwrap(), "hello");
        let finished = process.wait();
        finished.assert_code(0);
        assert!(
            !finished
                .stdout_text()
                .contains(&format!("accepted {unwelcome}"))
        );
    }
}

#[test]
fn a_refused_client_is_told_of_when_asked_for() {
    let flags = [
        "-v",
        "--allow-listen",
        "127.0.0.1:0",
        "--deny-accept",
        "127.0.0.2",
    ];
    let process = Foreign::Rust.run(&flags, "listen 127.0.0.1:0 1").start();
    let address = listening_address(&process);
    assert_not_accepted(connect_from("127.0.0.2", address));
    process.wait_for_stderr("the refusal", |stderr| {
        let line = stderr
            .lines()
            .find(|line| line.contains("denied: accept 127.0.0.2:"))?;
        line.contains("deny-accept 127.0.0.2").then_some(())
    });
    ask(TcpStream::connect(address).unwrap()).unwrap();
    process.wait().assert_code(0);
}

#[test]
fn looking_up() {
    let tripwire = Tripwire::new();
    let attempts = format!(
        "resolve localhost then connect-name localhost {} then resolve localhost.localdomain",
        tripwire.address().port()
    );
    let finished = tries(&["--allow-resolve", "localhost"], &attempts);
    finished.assert_code(1);
    let lines = finished.stdout_text();
    let lines: Vec<&str> = lines.lines().collect();
    assert!(lines[0].contains("127.0.0.1"), "{lines:?}");
    assert!(lines[1].contains("access-denied at connect"), "{lines:?}");
    assert_eq!(lines[2], "access-denied at resolve");
    tripwire.assert_untouched();
}

#[test]
fn a_denial_beats_any_grant() {
    let tripwire = Tripwire::new();
    let udp = UdpTripwire::new();
    let (address, udp_address) = (tripwire.address(), udp.address());
    let port = address.port();
    for (allow, deny) in [
        (
            format!("--allow-connect {address}"),
            format!("--deny-connect {address}"),
        ),
        (
            "--allow-net".to_owned(),
            format!("--deny-connect {address}"),
        ),
        (
            "--allow-net".to_owned(),
            "--deny-connect 127.0.0.0/8".to_owned(),
        ),
        (
            "--allow-net".to_owned(),
            format!("--deny-connect 0.0.0.0/0:{port}"),
        ),
        (
            "--allow-net".to_owned(),
            format!("--deny-connect [::ffff:127.0.0.1]:{port}"),
        ),
        (
            format!("--allow-connect localhost:{port} --allow-private"),
            "--deny-connect 127.0.0.1 --deny-connect [::1]".to_owned(),
        ),
    ] {
        // In any order.
        for flags in [format!("{allow} {deny}"), format!("{deny} {allow}")] {
            eprintln!("{flags}");
            let flags: Vec<&str> = flags.split(' ').collect();
            let attempts = format!("connect {address} then connect-name localhost {port}");
            let finished = tries(&flags, &attempts);
            finished.assert_code(1);
            let stdout = finished.stdout_text();
            assert!(
                stdout
                    .lines()
                    .all(|line| line.contains("access-denied at ")),
                "{stdout}"
            );
            tripwire.assert_untouched();
        }
    }
    // Datagrams as well; and it is told which rule it was.
    let flags = ["--allow-net", "--deny-connect", "127.0.0.1"];
    let finished = tries(
        &flags,
        &format!("udp-send {udp_address} then udp-connect {udp_address}"),
    );
    finished.assert_code(1);
    assert!(
        finished
            .stderr()
            .contains("denied by deny-connect 127.0.0.1")
    );
    udp.assert_untouched();
    // Addresses that are not denied still work.
    let peer = answering_peer("127.0.0.2:0");
    tries(&flags, &format!("connect {}", peer.address()))
        .assert_quiet_success()
        .assert_stdout(b"ok pong\n");
}

#[test]
fn everything() {
    let Some(internet) = Internet::new() else {
        return;
    };
    let internet = internet.name("a.example", &[&[Internet::PUBLIC_V4], &["10.0.0.1"]]);
    let attempts = "connect-name a.example 80 then connect-name a.example 80 then connect [2a00::1]:81 then \
                    udp-ask 169.254.169.254:80 then bind 0.0.0.0:80 then udp-bind [::1]:99";
    let (finished, seen) = internet.run(Foreign::Rust.run(&["--allow-net"], attempts));
    finished.assert_code(1);
    let stdout = finished.stdout_text();
    let lines: Vec<&str> = stdout.lines().collect();
    assert_eq!(
        lines,
        [
            "ok 1.2.3.4:80 hello from 1.2.3.4:80",
            "ok 10.0.0.1:80 hello from 10.0.0.1:80",
            "ok hello from [2a00::1]:81",
            "ok hello from 169.254.169.254:80",
            // The system refuses: another server uses the address.
            "address-in-use at bind",
            "ok [::1]:99",
        ]
    );
    seen.assert(
        &["a.example"],
        &[
            "tcp 1.2.3.4:80",
            "tcp 10.0.0.1:80",
            "tcp [2a00::1]:81",
            "udp 169.254.169.254:80",
        ],
    );
}

#[test]
fn what_makes_no_sense_is_refused_with_the_right_form() {
    for (flags, words) in [
        (
            &["--allow-connect", "http://example.com/"][..],
            &["example.com:80"][..],
        ),
        (&["--allow-connect", "10.0.0.1/8"], &["10.0.0.0/8"]),
        (
            &["--allow-connect", "example.com:8100-8000"],
            &["8000-8100"],
        ),
        (&["--allow-connect", "::1"], &["[::1]"]),
        (&["--allow-connect", "*.com.*"], &[]),
        (&["--allow-connect", "a*.com"], &[]),
        (&["--allow-connect", "example.com:x"], &["x"]),
        (&["--allow-connect", "example.com:65536"], &["65536"]),
        (&["--allow-connect", ""], &[]),
        (&["--allow-connect", "443"], &["443"]),
        (&["--deny-connect", "example.com"], &["example.com"]),
        (&["--deny-connect", "*.example.com:80"], &["*.example.com"]),
        (&["--allow-listen", "localhost:80"], &["localhost"]),
        (&["--allow-accept", "example.com"], &["example.com"]),
        (&["--deny-accept", "10.1.0.0/8"], &["10.0.0.0/8"]),
        (&["--allow-resolve", "127.0.0.1"], &["127.0.0.1"]),
        (&["--allow-udp-bind", "example.com:53"], &["example.com"]),
        (&["--resolve", "example.com"], &["expected HOST:ADDRESS"]),
        (
            &["--resolve", "example.com:80:192.0.2.1"],
            &["without saying for which port: leave 80 out"],
        ),
        (&["--max-sockets", "-1"], &[]),
        (&["--max-memory", "lots"], &["lots"]),
        (&["--max-wall-time", "-1"], &[]),
    ] {
        eprintln!("{flags:?}");
        let finished = tries(flags, "connect 127.0.0.1:1");
        finished.assert_code(2).assert_stdout(b"");
        for word in words {
            assert!(finished.stderr().contains(word), "{word:?} isn't told");
        }
    }
}

#[test]
fn a_flag_behind_the_component_grants_nothing() {
    let tripwire = Tripwire::new();
    let attempts = format!(
        "connect {0} then --allow-connect {0} then --allow-net",
        tripwire.address()
    );
    tries(&[], &attempts).assert_code(1);
    tripwire.assert_untouched();
}

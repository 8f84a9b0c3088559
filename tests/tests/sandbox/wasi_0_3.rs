//! A component for WASI 0.3 under the same policy as one for WASI 0.2.

use sockbox_tests::{
    Finished, Foreign, Internet, PATIENCE, Peer, Process, Program, RawPeer, Tripwire, UdpEcho,
    UdpTripwire, ask_by_udp, has_ipv6,
};
use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};

const FOREIGN: Foreign = Foreign::RustOn0_3;

fn tries(flags: &[&str], attempts: &str) -> Finished {
    FOREIGN.run(flags, attempts).run()
}

/// Answers `pong` to `ping`.
fn answering_peer(address: &str) -> RawPeer {
    RawPeer::start_on(address, |peer: &mut Peer| {
        peer.read_bytes(4)?;
        peer.send("pong")
    })
}

/// Where the component says it listens.
fn listening_address(process: &Process) -> SocketAddr {
    process.wait_for_stdout("where it listens", |stdout| {
        let (_, rest) = stdout.split_once("listening on ")?;
        rest.split_once('\n')?.0.parse().ok()
    })
}

/// Send something, and return what comes back.
fn ask(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"hello")?;
    stream.shutdown(Shutdown::Write)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
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
fn a_denial_beats_a_grant() {
    let tripwire = Tripwire::new();
    let address = tripwire.address().to_string();
    let flags = ["--allow-net", "--deny-connect", &address];
    tries(&flags, &format!("connect {address}"))
        .assert_code(1)
        .assert_stdout(b"access-denied at connect\n");
    tripwire.assert_untouched();
}

#[test]
fn connecting_over_ipv6() {
    if !has_ipv6() {
        return;
    }
    let peer = answering_peer("[::1]:0");
    let address = peer.address();
    let tripwire = Tripwire::new();
    let mapped = format!("[::ffff:127.0.0.1]:{}", tripwire.address().port());
    let flags = ["--allow-connect", &address.to_string()];
    let attempts = format!("connect {address} then connect {mapped} then bind {mapped}");
    tries(&flags, &attempts)
        .assert_code(1)
        .assert_stdout(b"ok pong\ninvalid-argument at connect\ninvalid-argument at bind\n");
    tripwire.assert_untouched();
}

#[test]
fn a_component_may_use_both_versions_of_wasi_under_one_policy() {
    let peer = answering_peer("127.0.0.1:0");
    let tripwire = Tripwire::new();
    let (granted, other) = (peer.address().to_string(), tripwire.address());
    let attempts = format!("old-connect {granted} then connect {granted} then old-connect {other}");
    let finished = tries(&["--allow-connect", &granted], &attempts);
    finished
        .assert_code(1)
        .assert_stdout(b"ok pong\nok pong\nPermissionDenied at connect\n");
    tripwire.assert_untouched();
}

#[test]
fn listening() {
    for attempt in ["listen", "listener-only"] {
        let flags = ["--allow-listen", "127.0.0.1:0"];
        let process = FOREIGN
            .run(&flags, &format!("{attempt} 127.0.0.1:0 3"))
            .start();
        let address = listening_address(&process);
        for _ in 0..3 {
            assert_eq!(ask(address).unwrap(), "hello");
        }
        process.wait().assert_code(0);
        TcpStream::connect(address).unwrap_err();
    }
    let denied = ["--no-private-loopback"];
    tries(&denied, "listen 127.0.0.1:0 1")
        .assert_code(1)
        .assert_stdout(b"access-denied at bind\n");
}

#[test]
fn a_client_that_may_not_be_accepted_is_reset() {
    let flags = [
        "--allow-listen",
        "127.0.0.1:0",
        "--deny-accept",
        "127.0.0.2",
    ];
    let process = FOREIGN.run(&flags, "listen 127.0.0.1:0 1").start();
    let address = listening_address(&process);
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    let from: SocketAddr = "127.0.0.2:0".parse().unwrap();
    socket.bind(&from.into()).unwrap();
    socket.connect(&address.into()).unwrap();
    let mut denied = TcpStream::from(socket);
    denied.set_read_timeout(Some(PATIENCE)).unwrap();
    let error = denied.read(&mut [0; 10]).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    assert_eq!(ask(address).unwrap(), "hello");
    let finished = process.wait();
    finished.assert_code(0);
    assert!(!finished.stdout_text().contains("127.0.0.2"));
}

#[test]
fn names() {
    let Some(internet) = Internet::new() else {
        return;
    };
    let internet = internet.name("a.example", &[&[Internet::PUBLIC_V4]]);
    let flags = ["--allow-resolve", "a.example"];
    let (finished, seen) =
        internet.run(FOREIGN.run(&flags, "resolve a.example then resolve b.example"));
    finished.assert_code(1);
    let expected = format!("ok {}\naccess-denied at resolve\n", Internet::PUBLIC_V4);
    assert_eq!(finished.stdout_text(), expected);
    seen.assert(&["a.example"], &[]);
    let flags = ["--deny-resolve", "*.example", "--allow-net"];
    let (finished, seen) = internet.run(FOREIGN.run(&flags, "resolve a.example"));
    finished
        .assert_code(1)
        .assert_stdout(b"access-denied at resolve\n");
    seen.assert(&[], &[]);
}

#[test]
fn static_addresses_and_addresses_need_no_resolver() {
    let peer = answering_peer("127.0.0.1:0");
    let port = peer.address().port().to_string();
    let grant = format!("a.example:{port}");
    let flags = [
        "--resolve",
        "a.example:127.0.0.1",
        "--allow-connect",
        &grant,
        "--max-resolutions",
        "0",
    ];
    let attempts = format!("connect-name a.example {port} then resolve 127.1 then resolve _bad_");
    let finished = tries(&flags, &attempts);
    let expected = format!("ok {} pong\nok 127.0.0.1\n", peer.address());
    assert!(
        finished.stdout_text().starts_with(&expected),
        "{}",
        finished.stdout_text()
    );
}

#[test]
fn datagrams() {
    let echo = UdpEcho::start();
    let address = echo.address();
    let (other_port, other_address) = (
        UdpTripwire::new(),
        UdpTripwire::on(&format!("127.0.0.2:{}", address.port())),
    );
    let tcp = Tripwire::on(&address.to_string());
    let attempts = format!(
        "udp-ask {address} then udp-connect {address} then udp-send {} then udp-connect {} then connect {address}",
        other_port.address(),
        other_address.address(),
    );
    let finished = tries(&["--allow-udp-send", &address.to_string()], &attempts);
    finished.assert_code(1).assert_stdout(
        b"ok ping\nok\naccess-denied at send\naccess-denied at connect\naccess-denied at connect\n",
    );
    for neighbour in [&other_port, &other_address] {
        let flag = format!("(--allow-udp-send {} would)", neighbour.address());
        assert!(finished.stderr().contains(&flag), "{flag} isn't told");
        neighbour.assert_untouched();
    }
    tcp.assert_untouched();
}

#[test]
fn datagrams_of_a_peer_that_is_not_accepted_are_not_seen() {
    let flags = [
        ["--allow-udp-bind", "127.0.0.1:0"],
        ["--allow-udp-send", "127.0.0.0/8"],
        ["--deny-accept", "127.0.0.2"],
    ];
    let process = FOREIGN
        .run(flags.as_flattened(), "udp-serve 127.0.0.1:0 1")
        .start();
    let address = listening_address(&process);
    let refused = UdpSocket::bind("127.0.0.2:0").unwrap();
    refused.send_to(b"nothing", address).unwrap();
    assert_eq!(ask_by_udp(address, b"hello"), b"hello");
    let finished = process.wait();
    finished.assert_code(0);
    assert!(!finished.stdout_text().contains("received from 127.0.0.2"));
}

#[test]
fn a_listener_that_listens_elsewhere() {
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let map = format!("0.0.0.0:80=127.0.0.1:{port}");
    let process = FOREIGN
        .run(&["--listen-as", &map], "listen 0.0.0.0:80 1")
        .start();
    assert_eq!(listening_address(&process).to_string(), "0.0.0.0:80");
    let real = SocketAddr::from(([127, 0, 0, 1], port));
    assert_eq!(ask(real).unwrap(), "hello");
    process.wait().assert_code(0);
}

#[test]
fn what_a_run_listens_to_without_a_grant_is_private() {
    let tripwire = Tripwire::new();
    let at = tripwire.address();
    // The machine's listener on the same port is not reached.
    let finished = tries(&[], &format!("talk {at}"));
    finished.assert_code(0);
    let expected = format!("ok {at} ping pong\n");
    assert!(
        finished.stdout_text().ends_with(&expected),
        "{}",
        finished.stdout_text()
    );
    // Nor is anything that the run doesn't listen on.
    let finished = tries(&[], &format!("talk 127.0.0.1:0 then connect {at}"));
    finished.assert_code(1);
    let text = finished.stdout_text();
    assert!(
        text.ends_with(" ping pong\naccess-denied at connect\n"),
        "{text}"
    );
    tripwire.assert_untouched();
    if has_ipv6() {
        tries(&[], "talk [::1]:0").assert_code(0);
    }
    let flags = ["--no-private-loopback"];
    tries(&flags, "talk 127.0.0.1:0")
        .assert_code(1)
        .assert_stdout(b"access-denied at bind\n");
}

#[test]
fn files() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("inside")).unwrap();
    fs::write(folder.path().join("inside/a"), "text").unwrap();
    fs::write(folder.path().join("secret"), "secret").unwrap();
    let inside = folder.path().join("inside");
    let writable = format!("{}::/data", inside.display());
    let attempts = "read /data/a then write /data/b more then list /data then remove /data/a then \
                    read /data/../secret then read /etc/passwd";
    tries(&["--dir", &writable], attempts)
        .assert_code(1)
        .assert_stdout(
            b"ok text\nok\nok a b\nok\nnot-permitted at open\nno-directory at /etc/passwd\n",
        );
    assert_eq!(fs::read_to_string(inside.join("b")).unwrap(), "more");
    assert!(!inside.join("a").exists());
    let read_only = format!("{writable}:ro");
    let attempts = "read /data/b then write /data/c no then remove /data/b then write /data/b no";
    let finished = tries(&["--dir", &read_only], attempts);
    finished.assert_code(1);
    let text = finished.stdout_text();
    assert!(text.starts_with("ok more\n"), "{text}");
    assert_eq!(
        text.lines().filter(|line| line.starts_with("ok")).count(),
        1,
        "{text}"
    );
    assert_eq!(fs::read_to_string(inside.join("b")).unwrap(), "more");
    assert!(!inside.join("c").exists());
}

#[test]
fn environment_and_arguments() {
    let program = FOREIGN.run(&["--env", "A=1", "--env", "B"], "env");
    program
        .env("B", "2")
        .env("C", "3")
        .run()
        .assert_quiet_success()
        .assert_stdout(b"ok A=1 B=2\n");
}

#[test]
fn exit_codes() {
    for (attempts, code, stdout) in [
        ("env", 0, "ok\n"),
        ("unknown", 1, "unknown-attempt at unknown\n"),
        ("env then exit 0 then env", 0, "ok\n"),
        ("env then exit 42 then env", 42, "ok\n"),
    ] {
        tries(&[], attempts)
            .assert_code(code)
            .assert_stdout(stdout.as_bytes());
    }
}

#[test]
fn standard_input() {
    let mut process = FOREIGN.run(&[], "hear").with_stdin().start();
    let mut stdin = process.stdin();
    stdin.write_all(b"what is said\n").unwrap();
    drop(stdin);
    process
        .wait()
        .assert_quiet_success()
        .assert_stdout(b"ok what is said\n");
}

#[test]
fn a_wait_that_nothing_can_end_lasts_until_the_limit() {
    let finished = tries(&["--max-wall-time", "0.5"], "env then stall");
    finished.assert_code(124).assert_stdout(b"ok\n");
}

#[test]
fn a_dry_run_tells_what_it_takes() {
    let peer = answering_peer("127.0.0.1:0");
    let address = peer.address();
    let finished = tries(&["--dry-run"], &format!("connect {address}"));
    finished.assert_code(0).assert_stdout(b"ok pong\n");
    let grant = format!("--allow-connect {address}");
    assert!(finished.stderr().contains(&grant), "{}", finished.stderr());
}

#[test]
fn the_record_has_decisions_and_traffic() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("audit");
    let peer = answering_peer("127.0.0.1:0");
    let tripwire = Tripwire::new();
    let (granted, other) = (peer.address().to_string(), tripwire.address().to_string());
    let flags = [
        "--audit",
        file.to_str().unwrap(),
        "--allow-connect",
        &granted,
    ];
    tries(&flags, &format!("connect {granted} then connect {other}")).assert_code(1);
    let record = fs::read_to_string(&file).unwrap();
    let lines: Vec<serde_json::Value> = record
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let decided = |verdict: &str, target: &str| {
        lines.iter().any(|line| {
            line["event"] == "decision"
                && line["operation"] == "connect"
                && line["verdict"] == verdict
                && line["target"] == target
        })
    };
    assert!(decided("allowed", &granted), "{record}");
    assert!(decided("denied", &other), "{record}");
    let traffic = lines.iter().find(|line| line["event"] == "traffic");
    let traffic = traffic.unwrap_or_else(|| panic!("{record}"));
    assert_eq!(
        (&traffic["received"], &traffic["sent"]),
        (&4.into(), &4.into()),
        "{record}"
    );
    tripwire.assert_untouched();
}

#[test]
fn what_is_left_open_at_the_end_is_recorded_as_well() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("audit");
    let peer = RawPeer::start(|peer: &mut Peer| {
        peer.send("hello")?;
        peer.wait_for_close()
    });
    let flags = ["--audit", file.to_str().unwrap(), "--allow-net"];
    // The component ends without dropping the connection's streams.
    let attempts = format!("keep {} then exit 0", peer.address());
    tries(&flags, &attempts)
        .assert_code(0)
        .assert_stdout(b"ok hello\n");
    let record = fs::read_to_string(&file).unwrap();
    let traffic = record
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .find(|line| line["event"] == "traffic");
    let traffic = traffic.unwrap_or_else(|| panic!("{record}"));
    assert_eq!(traffic["received"], 5, "{record}");
    assert!(traffic["seconds"].as_f64().unwrap() > 0.0, "{record}");
}

#[test]
fn another_toolchain_makes_components_that_run() {
    let peer = answering_peer("127.0.0.1:0");
    let tripwire = Tripwire::new();
    let (granted, other) = (peer.address().to_string(), tripwire.address());
    let flags = [
        "--allow-connect",
        &granted,
        "--resolve",
        "a.example:192.0.2.1",
        "--allow-resolve",
        "a.example",
        // It has a whole interpreter.
        "--max-compile-time",
        "600",
    ];
    let words = format!("{granted} {other} a.example b.example");
    let finished = Foreign::PythonOn0_3.run(&flags, &words).run();
    finished.assert_code(0).assert_stdout(
        b"ok pong\nErrorCode_AccessDenied\nok (192, 0, 2, 1)\nErrorCode_AccessDenied\n",
    );
    tripwire.assert_untouched();
}

#[test]
fn another_runtime_runs_the_same_component() {
    let peer = answering_peer("127.0.0.1:0");
    let attempts = format!("connect {} then env", peer.address());
    let flags = ["-S", "inherit-network=y,tcp=y"];
    let program = Program::wasmtime_run_of(FOREIGN.component(), &flags);
    let finished = program.args(attempts.split_whitespace()).run();
    finished.assert_code(0).assert_stdout(b"ok pong\nok\n");
}

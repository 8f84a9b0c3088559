//! The private loopback of a run: only the run itself can connect to a listener there.

use sockbox_tests::{Finished, Foreign, Peer, Process, RawPeer, Tripwire, has_ipv6};
use std::fs;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener, TcpStream};

fn tries(flags: &[&str], attempts: &str) -> Finished {
    Foreign::Rust.run(flags, attempts).run()
}

fn answering_peer() -> RawPeer {
    RawPeer::start(|peer: &mut Peer| {
        peer.read_bytes(4)?;
        peer.send("pong")
    })
}

/// The lines of a run's output, without those that report progress.
fn results(finished: &Finished) -> Vec<String> {
    let stdout = finished.stdout_text();
    let lines = stdout.lines();
    let progress = ["listening on ", "accepted "];
    lines
        .filter(|line| !progress.iter().any(|start| line.starts_with(start)))
        .map(str::to_owned)
        .collect()
}

fn listens(process: &Process) -> SocketAddr {
    process.wait_for_stdout("where it listens", |stdout| {
        let (_, rest) = stdout.split_once("listening on ")?;
        rest.split_once('\n')?.0.parse().ok()
    })
}

/// A port that no socket uses at the moment of the call.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// Whether any process of the machine listens on this port.
fn machine_listens_on(port: u16) -> bool {
    let listening = |file: &str| {
        let table = fs::read_to_string(file).unwrap_or_default();
        table.lines().skip(1).any(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let local = fields.get(1).and_then(|local| local.rsplit_once(':'));
            let local = local.and_then(|(_, port)| u16::from_str_radix(port, 16).ok());
            // 0A is LISTEN.
            local == Some(port) && fields.get(3) == Some(&"0A")
        })
    };
    listening("/proc/net/tcp") || listening("/proc/net/tcp6")
}

#[test]
fn a_component_talks_to_itself_without_a_grant() {
    for language in [Foreign::Rust, Foreign::Python] {
        let mut places = vec!["127.0.0.1:0", "127.0.0.1:8080", "127.1.2.3:0"];
        if language == Foreign::Rust && has_ipv6() {
            places.push("[::1]:0");
        }
        for place in places {
            let finished = language.run(&[], &format!("talk {place}")).run();
            finished.assert_code(0);
            let results = results(&finished);
            let told = results[0]
                .strip_prefix("ok ")
                .and_then(|told| told.split_once(' '));
            let (at, talk) = told.unwrap_or_else(|| panic!("{results:?}"));
            assert_eq!(talk, "ping pong");
            let (at, asked) = (
                at.parse::<SocketAddr>().unwrap(),
                place.parse::<SocketAddr>().unwrap(),
            );
            assert_eq!(at.ip(), asked.ip());
            assert!(at.port() == asked.port() || asked.port() == 0 && at.port() != 0);
        }
    }
}

#[test]
fn the_machines_listener_on_the_same_port_is_not_reached() {
    let tripwire = Tripwire::new();
    let finished = tries(&[], &format!("talk {}", tripwire.address()));
    finished.assert_code(0);
    assert_eq!(
        results(&finished),
        [format!("ok {} ping pong", tripwire.address())]
    );
    // The run does not listen on this address, so the private loopback makes no difference.
    let finished = tries(&[], &format!("connect {}", tripwire.address()));
    finished.assert_code(1);
    let hint = format!("(--allow-connect {} would)", tripwire.address());
    assert!(finished.stderr().contains(&hint), "{}", finished.stderr());
    tripwire.assert_untouched();
}

#[test]
fn neither_the_machine_nor_another_run_reaches_it() {
    let port = free_port();
    let at = format!("127.0.0.1:{port}");
    let attempts = format!("listen {at} 1");
    let [mut first, mut second] = [(); 2].map(|()| Foreign::Rust.run(&[], &attempts).start());
    for process in [&first, &second] {
        assert_eq!(listens(process).to_string(), at);
        let note =
            format!("sockbox: {at} is private to this run (--allow-listen {at} would open it)\n");
        process.wait_for_stderr("that it is private", |stderr| {
            stderr.contains(&note).then_some(())
        });
    }
    assert!(!machine_listens_on(port));
    let refused = TcpStream::connect(&at).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    // A third run gets the denial that it gets for any address of the machine.
    let finished = tries(&[], &format!("connect {at}"));
    finished.assert_code(1);
    finished.assert_stdout(b"access-denied at connect\n");
    // A run with a grant for the address finds no listener on the machine.
    let finished = tries(&["--allow-connect", &at], &format!("connect {at}"));
    finished.assert_code(1);
    finished.assert_stdout(b"connection-refused at connect\n");
    assert!(!first.has_ended() && !second.has_ended());
}

#[test]
fn what_is_granted_is_the_machines() {
    let process = Foreign::Rust
        .run(&["--allow-listen", "127.0.0.1:0"], "listen 127.0.0.1:0 1")
        .start();
    let at = listens(&process);
    assert!(machine_listens_on(at.port()));
    let mut client = TcpStream::connect(at).unwrap();
    std::io::Write::write_all(&mut client, b"hello").unwrap();
    process.wait().assert_code(0);
}

#[test]
fn pythons_event_loop_runs() {
    let finished = Foreign::Python.run(&[], "asyncio-threads").run();
    finished.assert_quiet_success();
    assert_eq!(finished.stdout_text(), "ok woken\n");

    let peer = answering_peer();
    let address = peer.address().to_string();
    let attempts = format!("asyncio-connect {address} then asyncio-threads");
    let finished = Foreign::Python
        .run(&["--allow-connect", &address], &attempts)
        .run();
    finished.assert_quiet_success();
    assert_eq!(finished.stdout_text(), "ok pong\nok woken\n");
    // With a grant for every port of 127.0.0.1 a pair of connected sockets still works.
    let finished = Foreign::Python
        .run(&["--allow-connect", "127.0.0.1"], &attempts)
        .run();
    finished.assert_quiet_success();

    // Without a grant the connection is denied. The event loop still works.
    let tripwire = Tripwire::new();
    let attempts = format!("asyncio-connect {}", tripwire.address());
    let finished = Foreign::Python.run(&["-v"], &attempts).run();
    assert_eq!(finished.stdout_text(), "EACCES at asyncio-connect\n");
    let denied: Vec<&str> = finished
        .stderr()
        .lines()
        .filter(|line| line.contains("denied: "))
        .collect();
    let address = tripwire.address();
    let expected = format!(
        "* denied: connect to {address}: no rule grants it (--allow-connect {address} would)"
    );
    assert_eq!(denied, [expected]);
    tripwire.assert_untouched();
}

#[test]
fn the_record_says_private() {
    let folder = tempfile::tempdir().unwrap();
    let audit = folder.path().join("audit");
    let flags = ["--audit", audit.to_str().unwrap()];
    tries(&flags, "talk 127.0.0.1:8080").assert_code(0);
    let record = fs::read_to_string(&audit).unwrap();
    let mut told = Vec::new();
    for line in record.lines() {
        let event: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_ne!(
            event["event"], "traffic",
            "it is not with a target of the network"
        );
        if event["event"] == "decision" {
            let operation = event["operation"].as_str().unwrap().to_owned();
            told.push(operation);
            assert_eq!(event["verdict"], "allowed");
            assert_eq!(event["by"], "private");
        }
    }
    assert_eq!(told, ["bind", "listen", "connect", "accept"]);
    assert!(
        record.contains(r#""operation":"connect","target":"127.0.0.1:8080""#),
        "{record}"
    );
}

#[test]
fn its_sockets_count() {
    // The component has one listener and two sockets for each of three connections.
    let finished = tries(&["--max-sockets", "7"], "talk-often 127.0.0.1:0 3");
    finished.assert_code(0);
    assert_eq!(results(&finished), ["ok 3"]);
    let finished = tries(&["--max-sockets", "6"], "talk-often 127.0.0.1:0 3");
    finished.assert_code(1);
    assert_eq!(results(&finished), ["new-socket-limit at accept after 2"]);
    let line = "sockbox: limit: no more sockets (--max-sockets sets the limit)\n";
    assert!(finished.stderr().contains(line), "{}", finished.stderr());
}

#[test]
fn a_dry_run_lists_nothing_of_it() {
    let finished = tries(&["--dry-run"], "talk 127.0.0.1:0");
    finished.assert_code(0);
    assert_eq!(
        finished.stderr(),
        "sockbox: it needed nothing of the network\n"
    );

    let peer = answering_peer();
    let address = peer.address();
    let attempts = format!("asyncio-connect {address}");
    let finished = Foreign::Python.run(&["--dry-run"], &attempts).run();
    finished.assert_code(0);
    let expected = format!(
        "sockbox: it needed these options:\n  --allow-connect {address}\nsockbox: or, as a policy file:\n  \
         allow-connect = [\"{address}\"]\n"
    );
    assert_eq!(finished.stderr(), expected);

    // The component chose the port, so other programs may be meant to connect. The dry run lists the listener.
    let at = format!("127.0.0.1:{}", free_port());
    let finished = tries(&["--dry-run"], &format!("bind {at}"));
    let line = format!("  --allow-listen {at}\n");
    assert!(finished.stderr().contains(&line), "{}", finished.stderr());
}

#[test]
fn it_can_be_turned_off() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("policy.toml");
    fs::write(&file, "no-private-loopback = true\n").unwrap();
    let file = file.to_str().unwrap();
    for flags in [&["--no-private-loopback"][..], &["--policy", file]] {
        for at in ["127.0.0.1:0", "127.0.0.1:8080"] {
            let finished = tries(flags, &format!("talk {at}"));
            finished.assert_code(1);
            finished.assert_stdout(b"access-denied at bind\n");
            let line = format!(
                "sockbox: denied: bind to {at}: no rule grants it (--allow-listen {at} would)\n"
            );
            assert_eq!(finished.stderr(), line);
        }
    }
}

#[test]
fn a_denial_holds_inside() {
    let finished = tries(&["--deny-connect", "127.0.0.0/8"], "talk 127.0.0.1:0");
    finished.assert_code(1);
    assert_eq!(results(&finished), ["access-denied at connect"]);
    let told = ": denied by deny-connect 127.0.0.0/8:*\n";
    assert!(finished.stderr().contains(told), "{}", finished.stderr());
}

#[test]
fn explain_says_whose_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("policy.toml");
    fs::write(&file, "").unwrap();
    let words = [file.to_str().unwrap(), "udp-bind", "127.0.0.1:80"];
    let explained = sockbox_tests::Program::sockbox(["policy", "explain"])
        .args(words)
        .run();
    explained.assert_code(0);
    assert_eq!(
        explained.stdout_text(),
        "allowed: bind a UDP socket to 127.0.0.1:80, private: only the run itself can send to it \
         (--allow-udp-bind 127.0.0.1:80 would open it)\n"
    );
    for (policy, code, expected) in [
        (
            "",
            0,
            "allowed: listen on 127.0.0.1:80, private: only the run itself can connect to it \
             (--allow-listen 127.0.0.1:80 would open it)\n",
        ),
        (
            "allow-listen = [\"127.0.0.1:80\"]",
            0,
            "allowed: listen on 127.0.0.1:80, by allow-listen 127.0.0.1:80\n",
        ),
        (
            "no-private-loopback = true",
            126,
            "denied: bind to 127.0.0.1:80: no rule grants it (--allow-listen 127.0.0.1:80 would)\n",
        ),
    ] {
        fs::write(&file, policy).unwrap();
        let words = [file.to_str().unwrap(), "listen", "127.0.0.1:80"];
        let explained = sockbox_tests::Program::sockbox(["policy", "explain"])
            .args(words)
            .run();
        explained.assert_code(code);
        assert_eq!(explained.stdout_text(), expected);
    }
}

//! `sockbox serve` in operation: its output, start, stop and restart.

use super::WASI;
use sockbox_tests::{HelloClient, Json, Program, Serving, Signal, TutorialClient, eventually};
use std::fs::File;
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::time::{Duration, Instant};

#[test]
fn the_log_in_json_has_an_event_per_line() {
    let server = Serving::with(WASI, &["--log", "json"]);
    let mut client = server.client();
    let (ours, servers) = (client.address().to_string(), server.address().to_string());
    client
        .ask("Michael\n", "Hello, Michael!\n")
        .send("exit\n")
        .expect_end();
    server.wait_for_log(&["closed", &ours]);
    let finished = server.terminate();
    finished.assert_code(0);
    let lines: Vec<Json> = finished.stderr().lines().map(Json::parse).collect();
    for line in &lines {
        assert!(line.number("time") > 1.7e9, "{line:?}");
    }
    let [opened, closed, stopping, stopped] = &lines[..] else {
        panic!("{} lines", lines.len());
    };
    for (line, event) in [
        (opened, "opened"),
        (closed, "closed"),
        (stopping, "stopping"),
        (stopped, "stopped"),
    ] {
        assert_eq!(line.text("event"), event);
    }
    for line in [opened, closed] {
        assert_eq!(line.number("id"), 1.0);
        assert_eq!(line.text("local"), servers);
        assert_eq!(line.text("remote"), ours);
    }
    assert_eq!(closed.text("reason"), "exit");
    for (name, expected) in [
        ("messages", 1.0),
        ("bytes_received", 13.0),
        ("bytes_sent", 16.0),
    ] {
        assert_eq!(closed.number(name), expected, "{name}");
        assert_eq!(stopped.number(name), expected, "{name}");
    }
    assert!(closed.number("seconds") < 60.0);
    assert_eq!(stopped.number("accepted"), 1.0);
    assert_eq!(stopped.number("restarts"), 0.0);
}

#[test]
fn quiet_is_quiet() {
    for format in ["text", "json"] {
        let server = Serving::with(WASI, &["--quiet", "--log", format]);
        server.client().ask("Michael\n", "Hello, Michael!\n");
        server.terminate().assert_quiet_success();
    }
}

#[test]
fn statistics_are_told_when_asked_for() {
    let server = Serving::with(WASI, &["--quiet"]);
    let line = server.statistics();
    for words in ["0 open", "0 connections", "0 messages"] {
        assert!(line.contains(words), "{words:?} is not in {line:?}");
    }
    assert!(Serving::holds_sockets(&line, 1), "{line}");
    let mut client = server.client();
    client
        .ask("Michael\n", "Hello, Michael!\n")
        .ask("Tracy\n", "Hello, Tracy!\n");
    server.client().ask("x\n", "Hello, x!\n");
    let line = eventually("the second client to be gone", || {
        Some(server.statistics()).filter(|line| line.contains("1 open"))
    });
    // 8 + 6 + 2 bytes received, 16 + 14 + 10 sent.
    for words in [
        "2 connections",
        "0 refused",
        "3 messages",
        "16 bytes received",
        "40 sent",
        "0 restarts",
    ] {
        assert!(line.contains(words), "{words:?} is not in {line:?}");
    }
    assert!(Serving::holds_sockets(&line, 2), "{line}");
    server.terminate().assert_code(0);

    let server = Serving::with(WASI, &["--log", "json"]);
    let line = Json::parse(&server.statistics());
    assert_eq!(line.text("event"), "statistics");
    for name in ["open", "accepted", "refused", "messages", "restarts"] {
        assert_eq!(line.number(name), 0.0, "{name}");
    }
    assert_eq!(line.number("sockets"), 1.0);
}

#[test]
fn systemd_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(60)))
        .unwrap();
    let receive = || {
        let mut buffer = [0; 1024];
        let length = socket.recv(&mut buffer).expect("it is told");
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    };
    let program = Serving::program(WASI, &[]).env("NOTIFY_SOCKET", path.to_str().unwrap());
    let server = Serving::started(program, 1);
    let ready = receive();
    assert_eq!(
        ready,
        format!("READY=1\nSTATUS=listening on {}\n", server.address())
    );
    server.client().ask("Michael\n", "Hello, Michael!\n");
    server.process().signal(Signal::TERM);
    assert_eq!(receive(), "STOPPING=1\n");
    server.into_process().wait().assert_code(0);

    let program = Serving::program(WASI, &[]).env("NOTIFY_SOCKET", "/nonexistent/notify");
    let server = Serving::started(program, 1);
    server.wait_for_log(&["warning", "NOTIFY_SOCKET"]);
    server.client().ask("Michael\n", "Hello, Michael!\n");
}

/// `sockbox serve`, started as systemd does it: with these sockets as its files from number 3 on.
fn activated(sockets: &[&TcpListener], options: &[&str]) -> Program {
    let files = sockets
        .iter()
        .map(|socket| socket.as_fd().try_clone_to_owned());
    Program::serve(WASI)
        .args(options)
        .with_files(files.map(|file| file.expect("a copy of a socket")))
}

#[test]
fn systemd_may_listen_for_it() {
    let sockets = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let addresses = sockets.each_ref().map(|it| it.local_addr().unwrap());
    // A client that connects before the server serves.
    let mut early = HelloClient::connect(addresses[1]);
    early.send("early\n");
    let server = Serving::started(activated(&[&sockets[0], &sockets[1]], &[]), 2);
    assert_eq!(server.addresses(), addresses);
    early.expect("Hello, early!\n");
    for address in addresses {
        let mut client = HelloClient::connect(address);
        let ours = client.address().to_string();
        client
            .ask("Michael", "Hello, Michael!")
            .ask("a\nb\n", "Hello, a!\nHello, b!\n")
            .send("exit\n")
            .expect_end();
        let line = server.wait_for_log(&["closed", &ours]);
        assert!(line.contains(&address.to_string()), "{line}");
        TutorialClient::run_together(address, 20);
    }
    let line = eventually("all connections to be closed", || {
        Some(server.statistics()).filter(|line| line.contains("1 open"))
    });
    assert!(Serving::holds_sockets(&line, 3), "{line}");
    server.process().signal(Signal::TERM);
    early.expect_end();
    server.into_process().wait().assert_code(0);
    // systemd owns the sockets, and they continue to listen.
    for address in addresses {
        TcpStream::connect(address).unwrap();
    }
}

#[test]
fn the_real_systemd_socket_activate_starts_it_for_the_first_client() {
    // The test chooses the port, which another program may have taken by then.
    let (process, address) = loop {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let Some(program) = Program::serve(WASI).socket_activated(address) else {
            return;
        };
        let process = program.start();
        let taken = process.wait_for_stderr("whether it listens", |stderr| {
            let taken = stderr.contains("Address already in use");
            (taken || stderr.contains("Listening on")).then_some(taken)
        });
        if !taken {
            break (process, address);
        }
    };
    let mut first = HelloClient::connect(address);
    first.ask("first\n", "Hello, first!\n");
    HelloClient::connect(address).ask("second\n", "Hello, second!\n");
    let line = format!("listening on {address}\n");
    // The log is written beside the answers, and may come after them.
    process.wait_for_stdout("its address", |stdout| stdout.contains(&line).then_some(()));
    process.signal(Signal::TERM);
    first.expect_end();
    process.wait().assert_code(0);
}

#[test]
fn inherited_sockets_are_as_good_as_others() {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let options = ["--listen", "127.0.0.1:0", "--write-timeout", "2"];
    let server = Serving::started(activated(&[&socket], &options), 2);
    assert_eq!(server.addresses()[1], address);
    server.client().ask("Michael\n", "Hello, Michael!\n");
    let client = || HelloClient::connect(address);

    let messages: String = (0..20_000).map(|number| format!("{number}\n")).collect();
    let answers: String = (0..20_000)
        .map(|number| format!("Hello, {number}!\n"))
        .collect();
    let mut half = client();
    half.clone_to_send()
        .send_while_receiving(&messages, &answers);
    half.end_sending().expect_end();

    let mut greedy = client();
    let ours = greedy.address().to_string();
    greedy.send_until_full(&b"this answer is not read\n".repeat(1000), 64 << 20);
    server.wait_for_log(&["closed", &ours, "answers not taken in time"]);
    greedy.wait_for_any_end();

    let mut broken = client();
    let ours = broken.address().to_string();
    broken.ask("half", "Hello, half!").send("a mess");
    broken.reset();
    let line = server.wait_for_log(&["closed", &ours]);
    assert!(line.contains("reset"), "{line}");

    let mut idle = client();
    idle.ask("still there?\n", "Hello, still there?!\n");
    server.process().signal(Signal::TERM);
    idle.expect_end();
    server.into_process().wait().assert_code(0);
}

#[test]
fn clients_wait_at_an_inherited_socket_while_it_is_started_anew() {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = Serving::started(activated(&[&socket], FRAIL), 1);
    strike(&server);
    let mut client = server.client();
    client.ask("Michael\n", "Hello, Michael!\n");
    assert!(server.statistics().contains("1 restarts"));
    server.terminate().assert_code(0);
}

#[test]
fn what_is_no_listening_socket_is_refused() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let connected = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let unix = UnixListener::bind(dir.path().join("socket")).unwrap();
    let file = File::open("/dev/null").unwrap();
    for file in [OwnedFd::from(connected), unix.into(), file.into()] {
        Program::serve(WASI)
            .with_files([file])
            .run()
            .assert_failure(2, &["LISTEN_FDS", "number 3"])
            .assert_stdout(b"");
    }
    // Sockets for another process are left alone.
    let program = Serving::program(WASI, &[])
        .env("LISTEN_PID", "1")
        .env("LISTEN_FDS", "1");
    let server = Serving::started(program, 1);
    server.client().ask("Michael\n", "Hello, Michael!\n");
}

#[test]
fn clients_have_the_time_that_they_are_given_when_it_stops() {
    let server = Serving::with(WASI, &["--drain-timeout", "1"]);
    let mut client = server.client();
    client.send_until_full(&b"this answer is not read\n".repeat(1000), 64 << 20);
    let told = Instant::now();
    let finished = server.terminate();
    finished.assert_code(0);
    let took = told.elapsed();
    assert!(
        took >= Duration::from_secs(1) && took < Duration::from_secs(6),
        "{took:?}"
    );
    let log = finished.stderr();
    assert!(
        log.contains("stopping: answers under way have 1 s"),
        "{log}"
    );
    assert!(
        log.contains("closed 1:") && log.contains(": stopped;"),
        "{log}"
    );
    client.wait_for_any_end();
}

#[test]
fn nothing_is_half_started() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let (taken, free_address) = (taken.local_addr().unwrap(), free.local_addr().unwrap());
    drop(free);
    let listen = [
        "--listen",
        &free_address.to_string(),
        "--listen",
        &taken.to_string(),
    ];
    let finished = Program::serve(WASI).args(listen).run();
    finished
        .assert_failure(45, &[&taken.to_string(), "in use"])
        .assert_stdout(b"");
    TcpStream::connect(free_address).unwrap_err();
}

/// A server whose component runs out of memory when a client wants it to: 1.5 MiB, of which it needs
/// most to start.
fn frail(options: &[&str]) -> Serving {
    Serving::with(WASI, &[FRAIL, options].concat())
}

const FRAIL: &[&str] = &[
    "--max-memory",
    "1536K",
    "--max-message",
    "10M",
    "--framing",
    "line",
];

/// Make it trap.
fn strike(server: &Serving) {
    let mut client = server.client();
    client.try_ask(&"x".repeat(1 << 20));
}

#[test]
fn a_component_that_traps_is_started_anew() {
    let server = frail(&[]);
    let mut bystander = server.client();
    bystander.ask("1\n", "Hello, 1!\n");
    strike(&server);
    let line = server.wait_for_log(&["starting anew", "restart 1"]);
    assert!(line.contains("memory"), "{line}");
    bystander.wait_for_any_end();
    // It serves again on the same port.
    eventually("it to listen again", || {
        TcpStream::connect(server.address()).ok()
    });
    server.client().ask("2\n", "Hello, 2!\n");
    let line = server.statistics();
    assert!(line.contains("1 restarts"), "{line}");
    let finished = server.terminate();
    finished.assert_code(0);
    assert!(finished.stdout_text().contains("1 restarts"));
}

#[test]
fn a_restart_keeps_to_the_policy_that_the_server_was_started_with() {
    let folder = tempfile::tempdir().unwrap();
    let policy = folder.path().join("policy.toml");
    std::fs::write(&policy, "[limits]\nmax-memory = \"1536K\"\n").unwrap();
    let options = ["--policy", policy.to_str().unwrap()];
    let server = Serving::with(WASI, &[&options, &FRAIL[2..]].concat());
    std::fs::write(&policy, "this is not a policy any more").unwrap();
    for restart in ["restart 1", "restart 2"] {
        strike(&server);
        server.wait_for_log(&["starting anew", restart]);
        eventually("it to listen again", || {
            TcpStream::connect(server.address()).ok()
        });
    }
    server.client().ask("1\n", "Hello, 1!\n");
    server.terminate().assert_code(0);
}

#[test]
fn one_that_traps_again_and_again_is_given_up() {
    let server = frail(&["--quiet"]);
    for restart in 1..=5 {
        strike(&server);
        server.wait_for_log(&["starting anew", &format!("restart {restart}")]);
        eventually("it to listen again", || {
            TcpStream::connect(server.address()).ok()
        });
    }
    strike(&server);
    let finished = server.into_process().wait();
    finished.assert_code(63);
    let lines: Vec<_> = finished.stderr().lines().collect();
    assert_eq!(lines.len(), 6, "{lines:?}");
    assert!(lines[5].starts_with("sockbox: (63) "), "{lines:?}");
}

#[test]
fn it_is_given_up_at_once_if_that_is_wanted() {
    let server = frail(&["--quiet", "--restart", "never"]);
    strike(&server);
    server
        .into_process()
        .wait()
        .assert_failure(63, &["memory", "1572864"]);
}

#[test]
fn the_help_tells_the_defaults() {
    let help = Program::serve(WASI).args(["--help"]).run();
    help.assert_quiet_success();
    let help = help.stdout_text();
    for words in [
        "--framing",
        "--greeting",
        "--welcome",
        "--max-message",
        "--write-timeout",
        "--idle-timeout",
        "--max-connections",
        "--refuse-when-full",
        "--max-per-peer",
        "--drain-timeout",
        "--restart",
        "--wasi",
        "--log",
        "--quiet",
        "SIGUSR1",
        "127.0.0.1:9999",
        "LISTEN_FDS",
        "0 means never",
    ] {
        assert!(help.contains(words), "{words:?} is not in the help");
    }
}

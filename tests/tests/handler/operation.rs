//! The server in operation: its output, its start and its end.

use super::HANDLER;
use crate::client::{Response, get, got, request, unchunked};
use sockbox_tests::{HelloClient, Json, Program, Serving, Signal, eventually};
use std::net::TcpListener;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

/// Wait until so many requests are under way.
#[track_caller]
fn wait_for_requests(server: &Serving, count: usize) {
    eventually("requests to be under way", || {
        let words = format!(" {count} under way");
        server.statistics().contains(&words).then_some(())
    });
}

#[test]
fn a_response_under_way_is_finished_when_the_server_stops() {
    let server = HANDLER.serve(&["--drain-timeout", "60"]);
    let address = server.address();
    let mut under_way = HelloClient::connect(address);
    under_way.send("GET /sleep/1000 HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut idle = HelloClient::connect(address);
    idle.send("GET /status/204 HTTP/1.1\r\nHost: a\r\n\r\n")
        .expect("HTTP/1.1 204 No Content\r\n");
    let mut silent = HelloClient::connect(address);
    eventually("three connections", || {
        server.statistics().contains(" 3 open").then_some(())
    });
    wait_for_requests(&server, 1);
    server.process().signal(Signal::TERM);
    server.wait_for_log(&["stopping: requests under way have 60 s"]);
    idle.wait_for_any_end();
    silent.wait_for_any_end();
    let response = Response::parse(&under_way.read_to_end());
    assert_eq!(unchunked(&response.body), "slept\n");
    assert_eq!(response.header("connection"), Some("close"));
    let finished = server.into_process().wait();
    finished.assert_code(0);
    let stdout = finished.stdout_text();
    assert!(
        stdout.contains("served 3 connections, 0 refused, 2 requests, 0 failed"),
        "{stdout}"
    );
}

#[test]
fn what_takes_too_long_to_stop_is_ended_and_so_by_a_second_signal() {
    let server = HANDLER.serve(&["--drain-timeout", "0.2"]);
    let mut client = HelloClient::connect(server.address());
    client.send(request("GET", "/sleep/1000000", ""));
    wait_for_requests(&server, 1);
    server.process().signal(Signal::TERM);
    client.wait_for_any_end();
    server.wait_for_log(&["GET /sleep/1000000: ", "the server was stopped"]);
    server.into_process().wait().assert_code(0);

    let server = HANDLER.serve(&["--drain-timeout", "1000"]);
    let mut client = HelloClient::connect(server.address());
    client.send(request("GET", "/sleep/1000000", ""));
    wait_for_requests(&server, 1);
    server.process().signal(Signal::TERM);
    server.wait_for_log(&["stopping"]);
    server.process().signal(Signal::TERM);
    server.into_process().wait().assert_code(143);
}

#[test]
fn the_log_in_json_has_an_event_per_line() {
    let server = HANDLER.serve(&["--log", "json"]);
    let address = server.address();
    got(address, "/hello");
    get(address, "/trap");
    got(address, "/connect?127.0.0.1:1");
    got(address, "/print");
    let line = Json::parse(&server.statistics());
    assert_eq!(line.text("event"), "statistics");
    assert_eq!(line.number("requests"), 4.0);
    assert_eq!(line.number("failed"), 1.0);
    assert_eq!(line.number("active"), 0.0);
    let finished = server.terminate();
    finished.assert_code(0);
    let lines: Vec<Json> = finished.stderr().lines().map(Json::parse).collect();
    let events: Vec<_> = lines.iter().map(|line| line.text("event")).collect();
    assert_eq!(
        events,
        [
            "request",
            "request",
            "refused_to_component",
            "request",
            "output",
            "request",
            "statistics",
            "stopping",
            "stopped"
        ]
    );
    assert_eq!(lines[0].text("method"), "GET");
    assert_eq!(lines[0].text("path"), "/hello");
    assert_eq!(lines[0].number("status"), 200.0);
    assert_eq!(lines[0].number("bytes_sent"), 14.0);
    assert_eq!(lines[0].text("local"), address.to_string());
    assert_eq!(lines[1].number("status"), 500.0);
    assert!(lines[1].text("error").starts_with("the component trapped"));
    assert_eq!(lines[4].text("stream"), "stderr");
    assert_eq!(lines[4].text("text"), "printed on standard error \u{1b}[2J");
    assert!(!finished.stderr().contains('\u{1b}'));
}

#[test]
fn quiet_leaves_out_what_succeeds() {
    let server = HANDLER.serve(&["--quiet"]);
    got(server.address(), "/hello");
    server.terminate().assert_quiet_success();
}

#[test]
fn systemd_passes_sockets_and_is_told() {
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
    let listeners = ["127.0.0.1:0"; 2].map(|address| TcpListener::bind(address).unwrap());
    let addresses = listeners.each_ref().map(|it| it.local_addr().unwrap());
    let program = Program::sockbox(["run", "--listen-http", "systemd"])
        .args([HANDLER.component()])
        .env("NOTIFY_SOCKET", path.to_str().unwrap())
        .with_files(listeners);
    let server = Serving::started(program, 2);
    assert_eq!(server.addresses(), addresses);
    let [one, other] = addresses;
    assert_eq!(
        receive(),
        format!("READY=1\nSTATUS=listening on {one}, {other}\n")
    );
    for address in addresses {
        assert_eq!(got(address, "/hello").0, 200);
    }
    server.process().signal(Signal::TERM);
    assert_eq!(receive(), "STOPPING=1\n");
    server.into_process().wait().assert_code(0);
}

#[test]
fn it_goes_on_when_there_are_no_more_files() {
    let server = HANDLER.serve(&[]);
    let address = server.address();
    assert_eq!(got(address, "/hello").0, 200);
    server.process().allow_no_more_files();
    let mut waiting = HelloClient::connect(address);
    waiting.send(request("GET", "/hello", ""));
    server.wait_for_log(&[
        "could not accept on",
        "no sockets left: too many files are open; trying again",
    ]);
    server.process().set_file_limit(1000);
    assert_eq!(Response::parse(&waiting.read_to_end()).status, 200);
}

#[test]
fn memory_does_not_grow_with_the_requests() {
    let server = HANDLER.serve(&["--quiet", "--max-instance-reuse", "7"]);
    let address = server.address();
    let rounds = |count: usize| {
        for _ in 0..count {
            assert_eq!(got(address, "/hello").0, 200);
            get(address, "/trap");
        }
        server.process().memory()
    };
    let before = rounds(300);
    let after = rounds(1000);
    assert!(
        after < before + 16 * 1024 * 1024,
        "{before} bytes, and then {after}"
    );
}

#[test]
fn it_listens_on_every_address_that_is_given() {
    let program = HANDLER.server(&["--listen-http", "127.0.0.1:0"]);
    let server = Serving::started(program, 2);
    for address in server.addresses() {
        assert_eq!(got(*address, "/hello").0, 200);
    }
    server.terminate().assert_code(0);
}

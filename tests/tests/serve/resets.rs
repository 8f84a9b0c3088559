//! `sockbox serve` with clients that reset before they are accepted.

use super::WASI;
use sockbox_tests::{HelloClient, Program, Resets, Serving};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsFd;

/// How many clients reset, one after the other.
const RESETS: usize = 50;

/// How many clients reset between two that are served.
const RESETS_BETWEEN: usize = 5;

/// Why such a connection ended, as the log has it.
const REASON: &str = "connection reset by the peer";

/// Reset connections are logged like others: each with its own address and reason. The server
/// continues.
fn assert_told(server: &Serving, address: SocketAddr) {
    let resets = Resets::before(server.process(), address, RESETS);
    let mut waiting = resets.waiting;
    waiting.ask("Michael\n", "Hello, Michael!\n");
    for client in &resets.gone {
        let ends = format!("{client} -> {address}");
        server.wait_for_log(&["opened", &ends]);
        server.wait_for_log(&["closed", &format!("{ends}: {REASON}")]);
    }
    assert_eq!(server.count_in_log(&["could not accept"]), 0, "no pause");
}

#[test]
fn those_that_were_gone_before_are_told_of_and_keep_none_waiting() {
    let server = Serving::on(WASI, &["127.0.0.1:0", "127.0.0.1:0"]);
    let mut other = server.client();
    for address in server.addresses() {
        assert_told(&server, *address);
        other.ask("still there?\n", "Hello, still there?!\n");
    }
    server.terminate().assert_code(0);
}

#[test]
fn a_listener_at_every_address_knows_which_one_was_connected_to() {
    let server = Serving::on(WASI, &["0.0.0.0:0"]);
    let everywhere = server.address();
    for host in ["127.0.0.1", "127.0.0.2"] {
        assert_told(
            &server,
            SocketAddr::new(host.parse().unwrap(), everywhere.port()),
        );
    }
    let resets = server.process().standing_still(|| {
        let hosts = ["127.0.0.1", "127.0.0.2", "127.0.0.3"];
        let to = |host: &str| SocketAddr::new(host.parse().unwrap(), everywhere.port());
        hosts.map(|host| {
            let client = HelloClient::connect(to(host));
            let ends = format!("{} -> {}", client.address(), to(host));
            client.reset();
            ends
        })
    });
    for ends in resets {
        server.wait_for_log(&["closed", &format!("{ends}: {REASON}")]);
    }
}

#[test]
fn others_are_served_while_clients_connect_and_reset() {
    let server = Serving::new(WASI);
    let address = server.address();
    let mut steady = server.client();
    let mut resets = 0;
    for number in 0..200 {
        // These are in the server's queue, or are being served, when the clients after them ask. Their number is fixed: a
        // thread that resets as fast as it can takes the more time from the others, the busier the machine is.
        for _ in 0..RESETS_BETWEEN {
            HelloClient::connect(address).reset();
            resets += 1;
        }
        let (message, answer) = (format!("{number}\n"), format!("Hello, {number}!\n"));
        steady.ask(&message, &answer);
        server.client().ask(&message, &answer);
    }
    assert_eq!(server.count_in_log(&["could not accept"]), 0, "no pause");
    let finished = server.terminate();
    finished.assert_code(0);
    assert_eq!(finished.stderr().matches(REASON).count(), resets);
}

#[test]
fn on_a_socket_that_listened_before_it_is_the_same() {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let files = [socket.as_fd().try_clone_to_owned().unwrap()];
    let server = Serving::started(Program::serve(WASI).with_files(files), 1);
    assert_told(&server, address);
    server.terminate().assert_code(0);
}

//! The harness itself: what the other tests take for granted.

use sockbox_tests::{
    HelloClient, Nginx, Peer, Program, PythonHttp, RawPeer, Refuser, Tripwire, TutorialClient,
    pattern,
};
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};

/// Ask a raw peer for `/` and receive all that it sends.
fn ask(peer: &RawPeer) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(peer.address())?;
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(answer)
}

#[test]
fn a_raw_peer_sends_exact_bytes() {
    let bytes = pattern(100_000);
    let peer = RawPeer::answering(bytes.clone());
    assert!(ask(&peer).unwrap() == bytes);
    assert!(ask(&peer).unwrap() == bytes);
    assert_eq!(peer.requests(), ["GET / HTTP/1.1\r\n\r\n"; 2]);
}

#[test]
fn a_raw_peer_dribbles() {
    let peer = RawPeer::start(|peer: &mut Peer| {
        peer.read_request()?;
        peer.dribble("one by one")
    });
    let mut stream = TcpStream::connect(peer.address()).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    let mut buffer = [0; 100];
    let mut pieces = Vec::new();
    loop {
        match stream.read(&mut buffer).unwrap() {
            0 => break,
            read => pieces.push(String::from_utf8_lossy(&buffer[..read]).into_owned()),
        }
    }
    assert_eq!(pieces.concat(), "one by one");
    assert!(pieces.len() > 1, "all at once");
}

#[test]
fn a_raw_peer_resets() {
    let peer = RawPeer::start(|peer: &mut Peer| {
        peer.read_request()?;
        peer.send("half")?;
        peer.reset_at_end()
    });
    assert_eq!(ask(&peer).unwrap_err().kind(), ErrorKind::ConnectionReset);
}

#[test]
#[should_panic = "no client ever connected"]
fn a_raw_peer_fails_a_test_that_never_reached_it() {
    drop(RawPeer::answering("nobody sees this"));
}

#[test]
fn a_raw_peer_that_waits_is_stopped() {
    let peer = RawPeer::start(Peer::wait_for_close);
    let client = TcpStream::connect(peer.address()).unwrap();
    // Dropping the peer ends the connection, and doesn't wait for the client to do so.
    drop(peer);
    drop(client);
}

#[test]
fn a_refuser_refuses() {
    let refuser = Refuser::new();
    let error = TcpStream::connect(refuser.address()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
}

#[test]
fn a_tripwire_notices_a_connection_that_is_over() {
    let tripwire = Tripwire::new();
    tripwire.assert_untouched();
    drop(TcpStream::connect(tripwire.address()).unwrap());
    let noticed = std::panic::catch_unwind(|| tripwire.assert_untouched());
    assert!(noticed.is_err());
}

#[test]
fn python_serves_files() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("page.html"), "a page").unwrap();
    let server = PythonHttp::serving(dir.path());
    Program::curl([server.url("/page.html")])
        .run()
        .assert_quiet_success()
        .assert_stdout(b"a page");
}

#[test]
fn redirects_come_from_nginx() {
    let nginx = Nginx::start();
    let answer = Program::curl(["-L", &nginx.url("/moved")]).run();
    answer
        .assert_quiet_success()
        .assert_stdout(&nginx.page("page.html"));
}

/// The tutorial's server in as many words as it takes: a thread per client.
fn tutorial_server() -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            std::thread::spawn(move || {
                let mut buffer = [0; 1024];
                while let Ok(read @ 1..) = stream.read(&mut buffer) {
                    let message = String::from_utf8_lossy(&buffer[..read]).into_owned();
                    if message == "exit"
                        || stream
                            .write_all(format!("Hello, {message}!").as_bytes())
                            .is_err()
                    {
                        return;
                    }
                }
            });
        }
    });
    address
}

#[test]
fn the_tutorials_client_meets_the_tutorials_server() {
    let server = tutorial_server();
    let client = TutorialClient::run(server);
    client
        .assert_quiet_success()
        .assert_stdout(TutorialClient::ANSWERS.as_bytes());
    TutorialClient::run_together(server, 10);
}

#[test]
fn a_hello_client_checks_every_byte() {
    let server = tutorial_server();
    let mut client = HelloClient::connect(server);
    client.ask("Michael", "Hello, Michael!");
    let wrong = std::panic::catch_unwind(move || client.ask("Tracy", "Hello, Sarah!").address());
    assert!(wrong.is_err());
    let mut client = HelloClient::connect(server);
    client.send("exit").expect_end();
}

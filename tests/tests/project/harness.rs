//! Tests of the harness itself.

use sockbox_tests::{
    BlackHole, HelloClient, Httpbin, Lighttpd, Nginx, Node, OLD, Peer, Program, PythonHttp,
    RawPeer, Refuser, SideBySide, Tripwire, TutorialClient, UdpEcho, UdpTripwire, ask_by_udp,
    pattern,
};
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};

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
    drop(RawPeer::answering("this is not seen"));
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
fn a_udp_tripwire_notices_a_datagram() {
    let tripwire = UdpTripwire::new();
    tripwire.assert_untouched();
    let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
    sender.send_to(&[], tripwire.address()).unwrap();
    let noticed = std::panic::catch_unwind(|| tripwire.assert_untouched());
    assert!(noticed.is_err());
}

#[test]
fn an_echo_gives_datagrams_back() {
    let echo = UdpEcho::start();
    assert_eq!(ask_by_udp(echo.address(), b"once"), b"once");
    assert_eq!(ask_by_udp(echo.address(), b"twice"), b"twice");
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

#[test]
fn lighttpd_serves_files_and_ends_connections() {
    let lighttpd = Lighttpd::start();
    let url = lighttpd.url("/page.html");
    let page = lighttpd.page("page.html");
    let five_times = ["-o", "/dev/null", url.as_str()].repeat(5);
    let answer = Program::curl(["-w", "%{num_connects}"])
        .args(five_times)
        .run();
    answer.assert_quiet_success();
    let connects = answer.stdout_text();
    // It keeps a connection for some requests, and not for all.
    assert!(connects.starts_with("10"), "{connects}");
    assert!(connects[1..].contains('1'), "{connects}");
    let answer = Program::curl(["-L", &lighttpd.url("/moved")]).run();
    answer.assert_quiet_success().assert_stdout(&page);
}

#[test]
fn nodes_pages_are_what_they_are_said_to_be() {
    let node = Node::start();
    let curl = |args: &[&str], path: &str| {
        let finished = Program::curl(args.iter().copied().chain([node.url(path).as_str()])).run();
        (finished.code(), finished.stdout_text())
    };
    let text = Node::text();
    let half = &text[..100];
    for (args, path, code, page) in [
        (&[][..], "/page", 0, text.as_str()),
        (&["-d", "a body"], "/body", 0, "a body"),
        (&[], "/trailers", 0, "one two"),
        (&[], "/hints", 0, "after the hints"),
        (&["--compressed"], "/coded/gzip", 0, &text),
        (&["--compressed"], "/coded/deflate", 0, &text),
        (&["--compressed"], "/coded/raw-deflate", 0, &text),
        (&["--compressed"], "/coded/br", 0, &text),
        (&["--compressed"], "/coded/x-gzip,identity,br", 0, &text),
        (&["--compressed"], "/coded/compress", 61, ""),
        (&["--compressed"], "/coded-chunks/gzip", 0, &text),
        (&["-f"], "/status/404", 22, ""),
        (&["-L"], "/hops/3", 0, "arrived\n"),
        (&["-L", "--max-redirs", "3"], "/loop", 47, ""),
        (&["-L"], "/redirect/307?/hops/1", 0, "arrived\n"),
        (&[], "/flaky/a/1/503", 0, "not yet\n"),
        (&[], "/flaky/a/1/503", 0, "at last\n"),
        (&[], "/flaky/b/1/reset", 56, ""),
        (&[], "/flaky/c/1/close", 52, ""),
        (&[], "/asked/a", 0, "2"),
        (&["-m", "0.2"], "/hang", 28, ""),
        (&["-m", "0.2"], "/hang-in-body", 28, half),
        (&[], "/reset-in-body", 56, half),
        (&[], "/cut-short", 18, half),
        (&["-H", "If-None-Match: \"v1\""], "/tagged", 0, ""),
        (&[], "/no/such/file", 0, "there is no such page\n"),
    ] {
        let (found_code, found_page) = curl(args, path);
        assert_eq!(found_code, code, "exit code of {args:?} {path}");
        // The loop's answers have a page each, which is of no interest.
        assert!(
            found_page == page || path == "/loop",
            "{args:?} {path}: {found_page:?}"
        );
    }
    let (_, drops) = curl(&["-m", "0.5"], "/drip/10");
    assert!(text.starts_with(&drops) && !drops.is_empty(), "{drops:?}");
    let (_, echo) = curl(&["-A", "x", "-d", "a body"], "/echo?q");
    let expected = format!(
        "POST /echo?q HTTP/1.1\naccept: */*\ncontent-length: 6\n\
         content-type: application/x-www-form-urlencoded\nhost: 127.0.0.1:{}\nuser-agent: x\n\na body",
        node.port()
    );
    assert_eq!(echo, expected);
    let bomb = Program::curl(["--compressed", &node.url("/bomb/br/20")]).run();
    assert_eq!(bomb.stdout().len(), 20 << 20);
}

#[test]
fn httpbin_answers() {
    let httpbin = Httpbin::start();
    for (path, part) in [
        ("/gzip", "\"gzipped\": true"),
        ("/anything?a=b", "\"a\": \"b\""),
    ] {
        let answer = Program::curl(["--compressed", &httpbin.url(path)]).run();
        answer.assert_quiet_success();
        let text = answer.stdout_text();
        assert!(text.contains(part), "{path}: {text}");
    }
}

#[test]
fn packets_vanish_in_a_black_hole() {
    let Some(hole) = BlackHole::new() else { return };
    let curl = |host: &str| {
        let url = format!("http://{host}/");
        let (finished, asked) = hole.run(Program::curl(["-g", "-m", "0.5", &url]));
        (finished.code(), finished.stdout_text(), asked)
    };
    for (host, code, page, asked) in [
        (BlackHole::GOOD_V4, 0, "hello", &[BlackHole::GOOD_V4][..]),
        ("[2001:db8::1]", 0, "hello", &[BlackHole::GOOD_V6]),
        (BlackHole::HOLE_V4, 28, "", &[]),
        ("[2001:db8::2]", 28, "", &[]),
        (BlackHole::NOWHERE, 28, "", &[]),
    ] {
        let (found_code, found_page, found_asked) = curl(host);
        assert_eq!(
            (found_code, found_page.as_str()),
            (code, page),
            "http://{host}/"
        );
        assert_eq!(found_asked, asked, "http://{host}/");
    }
}

#[test]
fn curl_and_sockbox_run_side_by_side() {
    let peer = RawPeer::answering("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
    let both = SideBySide::new(["-o", "new", &peer.url("/")]).file("old", b"as it was");
    let curl = both.curl();
    assert_eq!(curl.code, 0);
    assert_eq!(curl.stdout, b"");
    let files: Vec<_> = curl.files.iter().collect();
    let expected = [("new", &b"hello"[..]), ("old", b"as it was")];
    let expected = expected.map(|(name, content)| (name.to_owned(), content.to_vec()));
    assert_eq!(
        files,
        expected.each_ref().map(|(name, content)| (name, content))
    );
    let fed = SideBySide::new(["-T", "-", &peer.url("/")]).stdin(b"a body");
    assert_eq!(fed.curl().code, 0);
    assert!(OLD < std::time::UNIX_EPOCH.elapsed().expect("a date after 1970"));
}

/// The tutorial's server, written out: a thread per client.
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

//! `sockbox fetch` with several URLs: when a connection serves more than one of them, and when it may not.

use sockbox_tests::{Finished, Lighttpd, Nginx, Node, Peer, Program, PythonHttp, RawPeer, pattern};

fn fetch(args: &[&str]) -> Finished {
    Program::sockbox(["fetch"]).args(args).run()
}

const HELLO: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

/// A peer that answers every request of a connection with these bytes.
fn persistent(answer: &str) -> RawPeer {
    let answer = answer.to_owned();
    RawPeer::start(move |peer: &mut Peer| {
        while peer.read_request().is_ok() {
            peer.send(&answer)?;
        }
        Ok(())
    })
}

/// The connections and requests in nginx's log: `1.1 1.2` for two requests on the first one.
fn numbers(nginx: &Nginx, page: &str) -> Vec<(u32, u32)> {
    let log = nginx.access_log();
    let lines = log.lines().filter(|line| line.contains(page));
    let numbers = lines.filter_map(|line| line.rsplit_once('#')?.1.split_once('.'));
    numbers
        .map(|(connection, request)| (connection.parse().unwrap(), request.parse().unwrap()))
        .collect()
}

#[test]
fn nginx_sees_one_connection() {
    let nginx = Nginx::start();
    let (page, large) = (nginx.url("/page.html"), nginx.url("/chunked/1m.bin"));
    let finished = fetch(&["-s", &page, &large, &page]);
    finished.assert_quiet_success().assert_stdout(
        &[
            nginx.page("page.html"),
            nginx.page("1m.bin"),
            nginx.page("page.html"),
        ]
        .concat(),
    );
    let pages = numbers(&nginx, "/page.html");
    let [(first, _), (last, _)] = pages[..] else {
        panic!("{pages:?}")
    };
    assert_eq!(first, last, "another connection: {}", nginx.access_log());
    // A body that ends with the connection prevents reuse.
    let close = nginx.url("/close/page.html");
    fetch(&["-s", &close, &close]).assert_quiet_success();
    let closes = numbers(&nginx, "/close/page.html");
    let [(first, 1), (last, 1)] = closes[..] else {
        panic!("{closes:?}")
    };
    assert_ne!(first, last);
}

#[test]
fn servers_that_keep_connections_and_servers_that_do_not() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("page.html"), "a page").unwrap();
    let python = PythonHttp::serving(dir.path());
    let node = Node::start();
    let lighttpd = Lighttpd::start();
    for (url, expected) in [
        // HTTP/1.0: a connection per page.
        (python.url("/page.html"), &["1", "1", "1", "1", "1"][..]),
        (node.url("/page"), &["1", "0", "0", "0", "0"]),
        (node.url("/trailers"), &["1", "0", "0", "0", "0"]),
        (node.url("/status/404"), &["1", "0", "0", "0", "0"]),
    ] {
        let urls = ["-o", "/dev/null", url.as_str()].repeat(5);
        let finished = fetch(&[&["-s", "-w", "%{num_connects}\\n"], &urls[..]].concat());
        finished.assert_quiet_success();
        let connects = finished.stdout_text();
        assert_eq!(connects.lines().collect::<Vec<_>>(), expected, "{url}");
    }
    // Some pages per connection: however many that are, all pages come.
    let urls = vec![lighttpd.url("/page.html"); 10];
    let finished = Program::sockbox(["fetch", "-s"]).args(&urls).run();
    finished
        .assert_quiet_success()
        .assert_stdout(&lighttpd.page("page.html").repeat(10));
}

#[test]
fn answers_that_leave_a_connection_as_it_was() {
    for (args, answer, page) in [
        (&[][..], HELLO, "hello"),
        (&[], "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", ""),
        (&[], "HTTP/1.1 204 No Content\r\n\r\n", ""),
        (
            &[],
            "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
            "",
        ),
        (
            &["-I", "-o", "/dev/null"],
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
            "",
        ),
        (
            &[],
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nA: b\r\n\r\n",
            "hello",
        ),
        (
            &[],
            "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
            "hello",
        ),
        (
            &[],
            "HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 5\r\n\r\nhello",
            "hello",
        ),
    ] {
        eprintln!("{answer:?}");
        let peer = persistent(answer);
        let url = peer.url("/");
        let args = [&["-s"], args, &[&url], args, &[&url]].concat();
        fetch(&args)
            .assert_quiet_success()
            .assert_stdout(page.repeat(2).as_bytes());
        assert_eq!((peer.connections(), peer.requests().len()), (1, 2));
    }
}

#[test]
fn answers_that_use_a_connection_up() {
    for (args, answer) in [
        (
            &[][..],
            "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello",
        ),
        (
            &[],
            "HTTP/1.1 200 OK\r\nConnection: foo, CLOSE\r\nContent-Length: 5\r\n\r\nhello",
        ),
        (&[], "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello"),
        // RFC 9112 section 6.3: a proxy on the way may have seen another end of the body.
        (
            &[],
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        ),
        (
            &[],
            "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        ),
        // The request said so.
        (&["-H", "Connection: close"], HELLO),
        // A response without a request may be meant for the next request.
        (
            &[],
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
        ),
        (&[], "HTTP/1.1 204 No Content\r\n\r\nhello"),
    ] {
        eprintln!("{answer:?}");
        // The peer leaves the connection open: the client must not use it again.
        let peer = persistent(answer);
        let url = peer.url("/");
        let finished = fetch(&[&["-s", "-m", "30"], args, &[&url, &url]].concat());
        finished.assert_quiet_success();
        assert!(!finished.stdout_text().contains("evil"));
        assert_eq!((peer.connections(), peer.requests().len()), (2, 2));
    }
}

#[test]
fn another_host_or_port_is_another_connection() {
    let (one, two) = (persistent(HELLO), persistent(HELLO));
    let by_name = format!("http://localhost:{}/", one.address().port());
    fetch(&[
        "-s",
        &one.url("/"),
        &two.url("/"),
        &by_name,
        &one.url("/"),
        &two.url("/"),
    ])
    .assert_quiet_success()
    .assert_stdout("hello".repeat(5).as_bytes());
    assert_eq!((one.connections(), one.requests().len()), (2, 3));
    assert_eq!((two.connections(), two.requests().len()), (1, 2));
}

#[test]
fn a_connection_that_was_closed_meanwhile_is_replaced() {
    for (args, connections, requests) in [
        (&[][..], 3, 3),
        // A form must not be sent twice, so it is not sent on a reused connection.
        (&["-d", "a=1"], 3, 3),
    ] {
        let peer = RawPeer::start(move |peer: &mut Peer| {
            let head = peer.read_request()?;
            if head.starts_with(b"POST") {
                peer.read_bytes(3)?;
            }
            peer.send(HELLO)
        });
        let url = peer.url("/");
        fetch(&[&["-s"], args, &[&url, &url, &url]].concat())
            .assert_quiet_success()
            .assert_stdout(b"hellohellohello");
        assert_eq!(
            (peer.connections(), peer.requests().len()),
            (connections, requests)
        );
    }
}

#[test]
fn a_connection_that_is_closed_under_the_request_is_replaced() {
    // It takes the second request, and closes without a byte: the request goes to a new connection, once.
    let peer = RawPeer::start(|peer: &mut Peer| {
        peer.read_request()?;
        peer.send(HELLO)?;
        peer.read_request().map(drop)
    });
    let url = peer.url("/");
    fetch(&["-s", &url, &url])
        .assert_quiet_success()
        .assert_stdout(b"hellohello");
    assert_eq!((peer.connections(), peer.requests().len()), (2, 3));

    // The same with a reset.
    let peer = RawPeer::start(|peer: &mut Peer| {
        peer.read_request()?;
        peer.send(HELLO)?;
        peer.read_request()?;
        peer.reset_at_end()
    });
    let url = peer.url("/");
    fetch(&["-s", &url, &url])
        .assert_quiet_success()
        .assert_stdout(b"hellohello");
    assert_eq!((peer.connections(), peer.requests().len()), (2, 3));
}

#[test]
fn a_new_connection_that_fails_is_not_replaced() {
    let peer = RawPeer::start(|peer: &mut Peer| {
        peer.read_request()?;
        if peer.number() == 1 {
            peer.send(HELLO)?;
            peer.read_request()?;
        }
        Ok(())
    });
    let url = peer.url("/");
    let finished = fetch(&[&url, &url]);
    finished.assert_failure(52, &[]).assert_stdout(b"hello");
    assert_eq!((peer.connections(), peer.requests().len()), (2, 3));
}

#[test]
fn an_answer_that_has_begun_is_not_asked_for_again() {
    let peer = RawPeer::start(|peer: &mut Peer| {
        peer.read_request()?;
        peer.send(HELLO)?;
        peer.read_request()?;
        peer.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe")
    });
    let url = peer.url("/");
    fetch(&[&url, &url]).assert_failure(18, &["2", "5"]);
    assert_eq!((peer.connections(), peer.requests().len()), (1, 2));
}

#[test]
fn a_page_that_was_given_up_does_not_come_back_as_the_next_one() {
    let page = pattern(1 << 20);
    let peer = RawPeer::start(move |peer: &mut Peer| {
        while let Ok(head) = peer.read_request() {
            if head.starts_with(b"GET /large ") {
                peer.send("HTTP/1.1 200 OK\r\nContent-Length: 1048576\r\n\r\n")?;
                peer.send(&page)?;
            } else {
                peer.send(HELLO)?;
            }
        }
        Ok(())
    });
    let finished = fetch(&[
        "-s",
        "--max-filesize",
        "1000",
        &peer.url("/large"),
        &peer.url("/"),
    ]);
    finished.assert_code(63);
    finished.assert_stdout(b"hello");
    // The same with `-f`, and with a redirect.
    let peer = RawPeer::start(|peer: &mut Peer| {
        while let Ok(head) = peer.read_request() {
            let status = match head.starts_with(b"GET /gone ") {
                true => "404 Gone",
                false => "302 Found\r\nLocation: /",
            };
            if head.starts_with(b"GET / ") {
                peer.send(HELLO)?;
            } else {
                let large = "x".repeat(1 << 20);
                peer.send(format!(
                    "HTTP/1.1 {status}\r\nContent-Length: 1048576\r\n\r\n{large}"
                ))?;
            }
        }
        Ok(())
    });
    let finished = fetch(&["-s", "-f", &peer.url("/gone"), &peer.url("/")]);
    finished.assert_code(22).assert_stdout(b"hello");
    fetch(&["-s", "-L", &peer.url("/moved"), &peer.url("/")])
        .assert_quiet_success()
        .assert_stdout(b"hellohello");
}

#[test]
fn redirects_and_their_aim_share_a_connection() {
    let node = Node::start();
    let finished = fetch(&["-s", "-L", "-w", "%{num_connects}", &node.url("/hops/5")]);
    finished.assert_quiet_success().assert_stdout(b"arrived\n1");
}

#[test]
fn what_became_of_connections_is_told() {
    let peer = persistent(HELLO);
    let url = peer.url("/");
    let finished = fetch(&["-v", "-s", &url, &url]);
    finished.assert_code(0).assert_stdout(b"hellohello");
    assert!(
        finished.stderr().contains("again"),
        "the second use isn't told"
    );
    assert_eq!(peer.connections(), 1);
}

//! `sockbox fetch`: successful requests.

use sockbox_tests::{Finished, Nginx, Peer, Program, PythonHttp, RawPeer, has_ipv6, pattern};

fn fetch(args: &[&str]) -> Finished {
    Program::sockbox(["fetch"]).args(args).run()
}

/// The output of curl for the same URL.
fn curl(url: &str) -> Vec<u8> {
    let curl = Program::curl(["-g", url]).run();
    curl.assert_quiet_success();
    curl.stdout().to_vec()
}

#[test]
fn a_page_is_what_curl_says_it_is() {
    let nginx = Nginx::start();
    for path in [
        "/page.html",
        "/empty.txt",
        "/1m.bin",
        "/chunked/page.html",
        "/chunked/1m.bin",
        "/chunked/empty.txt",
        "/close/page.html",
        "/close/1m.bin",
        "/page.html?query=1#fragment",
        "/no/such/file",
        "/moved",
    ] {
        let url = nginx.url(path);
        fetch(&[&url])
            .assert_quiet_success()
            .assert_stdout(&curl(&url));
    }
    assert_eq!(curl(&nginx.url("/1m.bin")), nginx.page("1m.bin"));
}

#[test]
fn a_page_of_pythons_server() {
    let dir = tempfile::tempdir().unwrap();
    let page = pattern(300_000);
    std::fs::write(dir.path().join("page.bin"), &page).unwrap();
    let server = PythonHttp::serving(dir.path());
    fetch(&[&server.url("/page.bin")])
        .assert_quiet_success()
        .assert_stdout(&page);
    // Its index of the folder, and a page that isn't there.
    for path in ["/", "/nope"] {
        let url = server.url(path);
        fetch(&[&url])
            .assert_quiet_success()
            .assert_stdout(&curl(&url));
    }
}

#[test]
fn every_way_to_name_this_machine() {
    let nginx = Nginx::start();
    let page = nginx.page("page.html");
    for host in ["127.0.0.1", "localhost", "2130706433", "0x7f.1"] {
        fetch(&[&nginx.url_at(host, "/page.html")])
            .assert_quiet_success()
            .assert_stdout(&page);
    }
    // Without a scheme, as one types it.
    fetch(&[&format!("{}/page.html", nginx.address())])
        .assert_quiet_success()
        .assert_stdout(&page);
}

#[test]
fn a_page_over_ipv6() {
    if !has_ipv6() {
        return;
    }
    let nginx = Nginx::start();
    let url = nginx.url_at("[::1]", "/page.html");
    fetch(&[&url])
        .assert_quiet_success()
        .assert_stdout(&nginx.page("page.html"));
}

#[test]
fn an_ipv4_address_that_is_written_as_an_ipv6_one() {
    let nginx = Nginx::start();
    let url = nginx.url_at("[::ffff:127.0.0.1]", "/page.html");
    fetch(&[&url])
        .assert_quiet_success()
        .assert_stdout(&nginx.page("page.html"));
}

#[test]
fn the_request_is_what_a_server_expects() {
    let peer = RawPeer::answering("HTTP/1.1 204 No Content\r\n\r\n");
    fetch(&[&peer.url("/a%20b/../c?d=é&e=f#g")]).assert_quiet_success();
    let requests = peer.requests();
    let [request] = &requests[..] else {
        panic!("{} requests, not one", requests.len())
    };
    let mut lines = request.split("\r\n");
    assert_eq!(lines.next(), Some("GET /c?d=%C3%A9&e=f HTTP/1.1"));
    let fields: Vec<&str> = lines.collect();
    let host = format!("Host: {}", peer.address());
    assert_eq!(
        fields.iter().filter(|field| **field == host).count(),
        1,
        "{fields:?}"
    );
    assert!(
        fields.iter().any(|field| field.starts_with("User-Agent: ")),
        "{fields:?}"
    );
}

/// Responses, and the body of each.
const RESPONSES: &[(&str, &str)] = &[
    ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "hello"),
    ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", ""),
    (
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
        "hello",
    ),
    (
        "HTTP/1.1 200 OK\r\ncontent-length:5\r\n\r\nhello and more than that",
        "hello",
    ),
    ("HTTP/1.1 200 OK\r\n\r\nhello", "hello"),
    ("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", ""),
    ("HTTP/1.0 200 OK\r\n\r\nhello", "hello"),
    ("HTTP/1.1 200\r\n\r\nhello", "hello"),
    ("HTTP/1.1 200 OK\nContent-Length: 5\n\nhello", "hello"),
    (
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        "hello",
    ),
    ("HTTP/1.1 204 No Content\r\n\r\n", ""),
    ("HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", ""),
    ("HTTP/1.1 500 Oh\r\nContent-Length: 5\r\n\r\nsorry", "sorry"),
    (
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "hello",
    ),
    (
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n0002\r\nhe\r\n3;a=b;c=\"d\"\r\nllo\r\n0\r\n\r\n",
        "hello",
    ),
    (
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nTrailer: x\r\n\r\n",
        "hello",
    ),
    (
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "hello",
    ),
    (
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "",
    ),
    (
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nA\r\nhellohello\r\na\r\nhellohello\r\n0\r\n\r\n",
        "hellohellohellohello",
    ),
];

#[test]
fn responses_are_understood_whole_and_byte_by_byte() {
    for (response, page) in RESPONSES {
        eprintln!("the response {response:?}");
        let whole = RawPeer::answering(*response);
        fetch(&[&whole.url("/")])
            .assert_quiet_success()
            .assert_stdout(page.as_bytes());

        let dribbled = RawPeer::start(move |peer: &mut Peer| {
            peer.read_request()?;
            peer.dribble(response)
        });
        fetch(&[&dribbled.url("/")])
            .assert_quiet_success()
            .assert_stdout(page.as_bytes());
    }
}

#[test]
fn a_page_with_an_end_is_not_waited_for_longer() {
    // The server leaves the connection open: only the head tells where the page ends.
    for (response, page) in RESPONSES {
        let head_ends_it = ["204 ", "304 ", "chunked", "Chunked", "ontent-"]
            .iter()
            .any(|sign| response.contains(sign))
            || response.contains("content-length");
        if !head_ends_it {
            continue;
        }
        eprintln!("the response {response:?}");
        let peer = RawPeer::start(move |peer: &mut Peer| {
            peer.read_request()?;
            peer.send(response)?;
            peer.wait_for_close()
        });
        fetch(&["--max-time", "30", &peer.url("/")])
            .assert_quiet_success()
            .assert_stdout(page.as_bytes());
    }
}

#[test]
fn the_head_comes_first_with_dash_i() {
    let head = "HTTP/1.1 404 Not  Here\r\nx-Odd:  case \r\nSet-Cookie: a\r\nSet-Cookie: b\r\nContent-Length: 5\r\n\r\n";
    let response = format!("{head}sorry");
    let peer = RawPeer::answering(response.clone());
    fetch(&["-i", &peer.url("/")])
        .assert_quiet_success()
        .assert_stdout(response.as_bytes());

    // Chunked or not: what is shown is the head as it came, and the page.
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let peer = RawPeer::answering(format!("{head}5\r\nhello\r\n0\r\n\r\n"));
    let expected = format!("{head}hello");
    fetch(&["-i", &peer.url("/")])
        .assert_quiet_success()
        .assert_stdout(expected.as_bytes());
}

#[test]
fn dash_v_tells_what_was_done_and_leaves_the_page_alone() {
    let peer =
        RawPeer::answering("HTTP/1.1 200 OK\r\nX-Sign: seen\r\nContent-Length: 5\r\n\r\nhello");
    let finished = fetch(&["-v", &peer.url("/path")]);
    finished.assert_code(0).assert_stdout(b"hello");
    let address = peer.address().to_string();
    for sign in [
        "> GET /path HTTP/1.1",
        "< HTTP/1.1 200 OK",
        "< X-Sign: seen",
        &address,
    ] {
        assert!(finished.stderr().contains(sign), "{sign:?} isn't told");
    }
}

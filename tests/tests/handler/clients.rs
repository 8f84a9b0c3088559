//! Clients that send what is not a request, or one that two parties could read differently.

use super::HANDLER;
use crate::client::{Response, exchange, got, request};
use sockbox_tests::HelloClient;

#[test]
fn what_is_not_a_request_is_refused() {
    let server = HANDLER.serve(&[]);
    let address = server.address();
    for (bytes, status) in [
        ("hello\r\n\r\n", 400),
        ("GET /hello\r\n\r\n", 400),
        ("GET /hello HTTP/2.0\r\nHost: a\r\n\r\n", 400),
        ("GET /hello HTTP/1.1\r\nHost : a\r\n\r\n", 400),
        ("GET /hello HTTP/1.1\r\nHost: a\r\nX\r\n\r\n", 400),
        ("GET /hello HTTP/1.1\r\nHost: a\r\nX: \0\r\n\r\n", 400),
        // RFC 9112 section 3.2: exactly one Host header.
        ("GET /hello HTTP/1.1\r\n\r\n", 400),
        ("GET /hello HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        ("GET /hello HTTP/1.1\r\nHost: a/b c\r\n\r\n", 400),
        ("GET /hello HTTP/1.1\r\nHost:\r\n\r\n", 400),
        (
            "CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n",
            501,
        ),
    ] {
        let mut client = HelloClient::connect(address);
        client.send(bytes);
        let received = client.read_to_end();
        assert_eq!(Response::parse(&received).status, status, "{bytes:?}");
    }
    server.wait_for_log(&["it is not a request: "]);
    server.wait_for_log(&["GET /hello: 400, there is not exactly one valid Host header"]);
    // TLS on the wrong port.
    HelloClient::connect(address)
        .send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
        .wait_for_any_end();
    assert_eq!(got(address, "/hello").0, 200);
}

#[test]
fn no_request_hides_in_the_body_of_another() {
    let server = HANDLER.serve(&[]);
    let address = server.address();
    let hidden = "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n";
    let post = |more: &str| format!("POST /size HTTP/1.1\r\nHost: a\r\n{more}\r\n");
    for (headers, body, status) in [
        // Two lengths.
        (
            "Content-Length: 3\r\nContent-Length: 4\r\n",
            "abc".to_owned() + hidden,
            400,
        ),
        ("Content-Length: 3, 4\r\n", "abc".to_owned() + hidden, 400),
        ("Content-Length: +3\r\n", "abc".to_owned() + hidden, 400),
        ("Content-Length: -1\r\n", hidden.to_owned(), 400),
        // A coding that is not chunked, or not at the end.
        ("Transfer-Encoding: identity\r\n", hidden.to_owned(), 400),
        (
            "Transfer-Encoding: chunked, gzip\r\n",
            hidden.to_owned(),
            400,
        ),
        // RFC 9112 section 6.3: chunked counts, and the connection is closed after it.
        (
            "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
            "0\r\n\r\n".to_owned() + hidden,
            200,
        ),
        (
            "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
            "0\r\n\r\n".to_owned() + hidden,
            200,
        ),
    ] {
        let mut client = HelloClient::connect(address);
        client.send(post(headers) + &body);
        let received = client.read_to_end();
        let text = String::from_utf8_lossy(&received);
        assert_eq!(Response::parse(&received).status, status, "{headers:?}");
        assert!(!text.contains("Hello, world!"), "{headers:?}: {text}");
        assert_eq!(text.matches("HTTP/1.1 ").count(), 1, "{headers:?}: {text}");
    }
    // A broken chunk ends the body with an error.
    let broken = request("POST", "/size", "Transfer-Encoding: chunked\r\n") + "zz\r\nabc\r\n";
    let received = exchange(address, broken + hidden);
    let text = String::from_utf8_lossy(&received);
    assert!(
        text.contains("Some(ErrorCode::HttpProtocolError) after 0 bytes"),
        "{text}"
    );
    assert!(!text.contains("Hello, world!"), "{text}");
}

#[test]
fn a_component_cant_write_what_belongs_to_the_connection() {
    let server = HANDLER.serve(&[]);
    let address = server.address();
    for (header, expected) in [
        ("x-own:1", "set\n"),
        ("connection:close", "HeaderError::Forbidden\n"),
        ("transfer-encoding:chunked", "HeaderError::Forbidden\n"),
        ("upgrade:h2c", "HeaderError::Forbidden\n"),
        ("keep-alive:1", "HeaderError::Forbidden\n"),
        ("x-own:a%0d%0aSet-Cookie: b", "HeaderError::InvalidSyntax\n"),
        ("x%0d%0ay:1", "HeaderError::InvalidSyntax\n"),
        ("x-own:%00", "HeaderError::InvalidSyntax\n"),
        ("content-length:x", "HeaderError::InvalidSyntax\n"),
        ("content-length:-1", "HeaderError::InvalidSyntax\n"),
    ] {
        let path = format!("/set?{}", header.replace(' ', ""));
        assert_eq!(got(address, &path), (200, expected.to_owned()), "{header}");
    }
}

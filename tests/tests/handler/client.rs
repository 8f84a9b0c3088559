//! An HTTP client that sends exact bytes.

use sockbox_tests::HelloClient;
use std::net::SocketAddr;

/// A response as it came, split at the end of its head.
#[derive(Debug)]
pub struct Response {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Response {
    #[track_caller]
    pub fn parse(bytes: &[u8]) -> Response {
        let text = String::from_utf8_lossy(bytes);
        let (head, body) = text
            .split_once("\r\n\r\n")
            .unwrap_or_else(|| panic!("{text:?} has no whole head"));
        let status = head.split(' ').nth(1).and_then(|word| word.parse().ok());
        Response {
            status: status.unwrap_or_else(|| panic!("{head:?} has no status")),
            head: head.to_ascii_lowercase(),
            body: body.to_owned(),
        }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (found, value) = line.split_once(": ")?;
            (found == name).then_some(value)
        })
    }
}

/// Send bytes on a new connection, and receive what comes until the server closes it.
#[track_caller]
pub fn exchange(server: SocketAddr, bytes: impl AsRef<[u8]>) -> Vec<u8> {
    HelloClient::connect(server).send(bytes).read_to_end()
}

/// Send a GET request, and receive the response.
#[track_caller]
pub fn get(server: SocketAddr, path: &str) -> Response {
    Response::parse(&exchange(server, request("GET", path, "")))
}

/// The status and the body of a GET request's response.
#[track_caller]
pub fn got(server: SocketAddr, path: &str) -> (u16, String) {
    let response = get(server, path);
    let body = match response.header("transfer-encoding") {
        Some("chunked") => unchunked(&response.body),
        _ => response.body,
    };
    (response.status, body)
}

/// A request whose response is the last one on its connection. `more` are further header lines, each with its CRLF.
pub fn request(method: &str, path: &str, more: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n{more}\r\n")
}

/// The content of a chunked body.
#[track_caller]
pub fn unchunked(mut body: &str) -> String {
    let mut content = String::new();
    loop {
        let (size, rest) = body.split_once("\r\n").expect("a chunk's size");
        let size = usize::from_str_radix(size, 16).expect("a chunk's size");
        if size == 0 {
            return content;
        }
        content.push_str(&rest[..size]);
        body = rest[size..].strip_prefix("\r\n").expect("a chunk's end");
    }
}

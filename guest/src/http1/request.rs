//! The head of a request.

use super::error::{InvalidRequest, excerpt};
use super::field::{Header, is_token, trim_ows};

/// The default for `Accept`: any media type.
pub const DEFAULT_ACCEPT: &str = "*/*";

/// The fields that the caller may not set: they are about the connection, which the client manages,
/// or determine where the body ends or whether it is sent (RFC 9110 sections 7.6.1 and 10.1.1, RFC
/// 9112 section 6).
const RESERVED: [&str; 8] = [
    "Connection",
    "Content-Length",
    "Expect",
    "Keep-Alive",
    "Proxy-Connection",
    "TE",
    "Transfer-Encoding",
    "Upgrade",
];

/// How the body after a request's head is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestFraming {
    /// No body.
    None,
    /// With this many bytes, which may be 0.
    Length(u64),
    /// In chunks: [`chunk_start`](super::chunk_start), the bytes and
    /// [`CHUNK_END`](super::CHUNK_END) for each, then [`LAST_CHUNK`](super::LAST_CHUNK).
    Chunked,
}

/// The head of a request. [`encode`](Self::encode) returns its bytes.
///
/// ```
/// use sockbox_guest::http1::{Header, RequestFraming, RequestHead};
///
/// let head = RequestHead {
///     method: "GET",
///     target: "/page?q=1",
///     host: "example.com:8080",
///     user_agent: "sockbox/1.2.3",
///     accept_encoding: Some("gzip"),
///     headers: &[Header { name: "Accept-Language".into(), value: b"eo".into() }],
///     omit: &[],
///     body: RequestFraming::Length(5),
///     expect_continue: false,
///     close: true,
/// };
/// assert_eq!(
///     String::from_utf8_lossy(&head.encode()?),
///     "GET /page?q=1 HTTP/1.1\r\n\
///      Host: example.com:8080\r\n\
///      User-Agent: sockbox/1.2.3\r\n\
///      Accept: */*\r\n\
///      Accept-Encoding: gzip\r\n\
///      Accept-Language: eo\r\n\
///      Connection: close\r\n\
///      Content-Length: 5\r\n\
///      \r\n"
/// );
/// # Ok::<(), sockbox_guest::http1::InvalidRequest>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct RequestHead<'a> {
    /// The method, a token; not `CONNECT`.
    pub method: &'a str,
    /// The target in origin form: the URL's path, which begins with a slash, and its query.
    pub target: &'a str,
    /// The value of `Host`, unless the caller sets it: the URL's host, and its port if it
    /// isn't the scheme's own.
    pub host: &'a str,
    /// The value of `User-Agent`, unless the caller sets it.
    pub user_agent: &'a str,
    /// The value of `Accept-Encoding`, unless the caller sets it; `None` to leave it out.
    pub accept_encoding: Option<&'a str>,
    /// The caller's fields, sent in their order, except `Host`, which comes first.
    pub headers: &'a [Header],
    /// The names of default fields to leave out. `Host` can't be left out.
    pub omit: &'a [String],
    /// How the body is sent.
    pub body: RequestFraming,
    /// Whether the body waits until the server asks for it.
    pub expect_continue: bool,
    /// Whether the server is asked to close the connection, which it may otherwise keep open (RFC
    /// 9112 section 9.3).
    pub close: bool,
}

impl RequestHead<'_> {
    /// The bytes of the head, from the request line to the blank line.
    ///
    /// No part of the request can add a line, a field or a request: it is refused, and so is
    /// everything that a sender must not generate. White space around values is not sent.
    ///
    /// # Errors
    /// Each case of [`InvalidRequest`].
    pub fn encode(&self) -> Result<Vec<u8>, InvalidRequest> {
        self.check_request_line()?;
        let host = self.host_value()?;
        for header in self.headers {
            check_header(header)?;
        }
        check_value("User-Agent", self.user_agent.as_bytes())?;
        check_value(
            "Accept-Encoding",
            self.accept_encoding.unwrap_or_default().as_bytes(),
        )?;

        let mut out = Vec::with_capacity(self.size_hint());
        // RFC 9112 section 3.
        for part in [self.method, " ", self.target, " HTTP/1.1\r\n"] {
            out.extend_from_slice(part.as_bytes());
        }
        // RFC 9110 section 7.2: `Host` comes first, so a server finds it early.
        write_field(&mut out, "Host", host);
        for (name, value) in [
            ("User-Agent", Some(self.user_agent)),
            ("Accept", Some(DEFAULT_ACCEPT)),
            ("Accept-Encoding", self.accept_encoding),
        ] {
            if let Some(value) = value
                && !self.sets(name)
                && !self.omits(name)
            {
                write_field(&mut out, name, value.as_bytes());
            }
        }
        for header in self.headers.iter().filter(|header| !header.is("Host")) {
            write_field(&mut out, &header.name, &header.value);
        }
        if self.close {
            write_field(&mut out, "Connection", b"close");
        }
        match self.body {
            RequestFraming::None => {}
            RequestFraming::Length(length) => {
                write_field(&mut out, "Content-Length", length.to_string().as_bytes());
            }
            RequestFraming::Chunked => write_field(&mut out, "Transfer-Encoding", b"chunked"),
        }
        if self.expect_continue {
            write_field(&mut out, "Expect", b"100-continue");
        }
        out.extend_from_slice(b"\r\n");
        Ok(out)
    }

    fn check_request_line(&self) -> Result<(), InvalidRequest> {
        if !is_token(self.method.as_bytes()) || self.method == "CONNECT" {
            return Err(InvalidRequest::Method {
                method: excerpt(self.method.as_bytes()),
            });
        }
        // RFC 9112 section 3.2.1. The URL parser encodes all other bytes, so a target with anything
        // but visible ASCII does not come from it.
        let visible = self
            .target
            .bytes()
            .all(|b| b.is_ascii_graphic() && b != b'#');
        if !self.target.starts_with('/') || !visible {
            return Err(InvalidRequest::Target {
                target: excerpt(self.target.as_bytes()),
            });
        }
        Ok(())
    }

    /// The caller's `Host`, or the URL's.
    fn host_value(&self) -> Result<&[u8], InvalidRequest> {
        if self.omits("Host") {
            // RFC 9112 section 3.2: a request has exactly one `Host`.
            return Err(InvalidRequest::NoHost);
        }
        let mut set = self.headers.iter().filter(|header| header.is("Host"));
        let host = match set.next() {
            Some(header) => trim_ows(&header.value),
            None => self.host.as_bytes(),
        };
        if set.next().is_some() {
            // RFC 9112 section 3.2: a server has to refuse a second `Host`, and servers that accept
            // it disagree about which one counts.
            return Err(InvalidRequest::DuplicateHost);
        }
        if host.is_empty() || !host.iter().copied().all(is_authority_byte) {
            return Err(InvalidRequest::Host {
                host: excerpt(host),
            });
        }
        Ok(host)
    }

    /// Whether the caller sets the field `name`.
    fn sets(&self, name: &str) -> bool {
        self.headers.iter().any(|header| header.is(name))
    }

    /// Whether the field `name` is left out.
    fn omits(&self, name: &str) -> bool {
        self.omit
            .iter()
            .any(|omitted| omitted.eq_ignore_ascii_case(name))
    }

    /// An estimate of the head's size, for one allocation.
    fn size_hint(&self) -> usize {
        const OURS: usize = 160;
        let fields: usize = self
            .headers
            .iter()
            .map(|header| header.name.len() + header.value.len() + ": \r\n".len())
            .sum();
        OURS + self.method.len() + self.target.len() + self.host.len() + fields
    }
}

fn check_header(header: &Header) -> Result<(), InvalidRequest> {
    // RFC 9110 section 5.1. A name that is not a token could contain a colon, or a whole line.
    if !is_token(header.name.as_bytes()) {
        return Err(InvalidRequest::HeaderName {
            name: excerpt(header.name.as_bytes()),
        });
    }
    if RESERVED.iter().any(|name| header.is(name)) {
        return Err(InvalidRequest::ReservedHeader {
            name: header.name.clone(),
        });
    }
    check_value(&header.name, &header.value)
}

/// RFC 9110 section 5.5: visible characters, spaces, tabs, and bytes beyond ASCII.
fn check_value(name: &str, value: &[u8]) -> Result<(), InvalidRequest> {
    if value.iter().any(|&b| b.is_ascii_control() && b != b'\t') {
        return Err(InvalidRequest::HeaderValue {
            name: excerpt(name.as_bytes()),
        });
    }
    Ok(())
}

/// Whether a byte may occur in a host and a port (RFC 3986 section 3.2.2).
fn is_authority_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=%[]:".contains(&byte)
}

fn write_field(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b":");
    let value = trim_ows(value);
    if !value.is_empty() {
        out.extend_from_slice(b" ");
        out.extend_from_slice(value);
    }
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests;

//! What is recorded of HTTP requests.

use crate::{HttpTarget, MAX_HTTP_METHOD_BYTES, SecretHeader};
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

/// An HTTP request that the host has sent for the component, and its result. The query of the URL is left out, because it
/// often contains secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HttpExchange {
    /// The request.
    pub request: HttpTarget,
    /// The address of the server, if the host has connected to it. None if a proxy has resolved its name.
    pub address: Option<SocketAddr>,
    /// The proxy that the request went through, if any.
    pub proxy: Option<ProxyUse>,
    /// The secret headers that the host has added to the request when it sent it.
    pub secret_headers: Vec<SecretHeaderUse>,
    /// The status of the response, if there is one.
    pub status: Option<u16>,
    /// The error code of WASI (`connection-refused`), if the request or the response has failed.
    pub error: Option<&'static str>,
    /// Bytes of the request's body that were sent.
    pub sent: u64,
    /// Bytes of the response's body that were received.
    pub received: u64,
    /// The time from the policy's decision to the end of the request.
    pub time: Duration,
}

/// The use of a proxy for a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyUse {
    /// The host and the port of the proxy.
    pub proxy: String,
    /// The status of the proxy's response to `CONNECT`, if there is one.
    pub status: Option<u16>,
}

/// A secret header that the host has added to a request. The value is not in it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct SecretHeaderUse {
    /// The header's name, in lower case.
    pub name: String,
    /// The prefix of URLs that the header is for.
    pub prefix: String,
}

impl SecretHeaderUse {
    /// The use of this header.
    pub fn of(header: &SecretHeader) -> SecretHeaderUse {
        SecretHeaderUse {
            name: header.name().to_string(),
            prefix: header.prefix().to_string(),
        }
    }
}

/// How many bytes of its URL an [`HttpRefused`] has: 1,024.
pub const MAX_REFUSED_URL_BYTES: usize = 1024;

/// How many bytes of a header's name an [`HttpRefused`] has: 256.
pub const MAX_REFUSED_HEADER_BYTES: usize = 256;

/// An HTTP request that the host has refused before it asked the policy, or a part of one that it has refused when the
/// component set it: a method, a part of the URL, or a header.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct HttpRefused {
    /// The method as the component gave it, at most [`MAX_HTTP_METHOD_BYTES`]. None if only a header was refused.
    pub method: Option<String>,
    /// The URL as the component gave it, at most [`MAX_REFUSED_URL_BYTES`]. A user name, a password, the query and the
    /// fragment are left out, because they often contain secrets. None if the component has not set any part of it, or if
    /// only a header was refused.
    pub url: Option<String>,
    /// The name of the header that was refused, at most [`MAX_REFUSED_HEADER_BYTES`]. A component sets headers before it
    /// says which request, response or trailers they are for.
    pub header: Option<String>,
    /// The error code of WASI (`HTTP-request-URI-invalid`), or the error of a header (`forbidden`).
    pub error: &'static str,
}

impl HttpRefused {
    /// A request with this method, to a URL with these parts.
    pub fn new(
        method: &str,
        scheme: &str,
        authority: &str,
        path: &str,
        error: &'static str,
    ) -> HttpRefused {
        /// The URL of a request of which no part is set yet.
        const NOTHING: &str = "://";
        let host = authority.rsplit('@').next().unwrap_or_default();
        let path = path.split(['?', '#']).next().unwrap_or_default();
        let url = format!("{scheme}://{host}{path}");
        HttpRefused {
            method: Some(shortened(method, MAX_HTTP_METHOD_BYTES)),
            url: (url != NOTHING).then(|| shortened(&url, MAX_REFUSED_URL_BYTES)),
            header: None,
            error,
        }
    }

    /// A header with this name.
    pub fn header(name: &str, error: &'static str) -> HttpRefused {
        HttpRefused {
            method: None,
            url: None,
            header: Some(shortened(name, MAX_REFUSED_HEADER_BYTES)),
            error,
        }
    }

    /// Roughly how many bytes of memory it takes behind itself.
    pub(super) fn held_bytes(&self) -> usize {
        let texts = [&self.method, &self.url, &self.header];
        texts.into_iter().flatten().map(String::len).sum()
    }
}

/// The text, or its start and `...` if it has more than `most` bytes.
fn shortened(text: &str, most: usize) -> String {
    const MORE: &str = "...";
    match text.len() <= most {
        true => text.to_owned(),
        false => format!(
            "{}{MORE}",
            &text[..text.floor_char_boundary(most - MORE.len())]
        ),
    }
}

impl HttpExchange {
    /// A request that the host has not sent yet.
    pub fn new(request: HttpTarget) -> HttpExchange {
        HttpExchange {
            request,
            address: None,
            proxy: None,
            secret_headers: Vec::new(),
            status: None,
            error: None,
            sent: 0,
            received: 0,
            time: Duration::ZERO,
        }
    }

    /// Roughly how many bytes of memory it takes behind itself.
    pub(super) fn held_bytes(&self) -> usize {
        let of_header = |used: &SecretHeaderUse| {
            size_of::<SecretHeaderUse>() + used.name.len() + used.prefix.len()
        };
        let of_headers: usize = self.secret_headers.iter().map(of_header).sum();
        self.request.held_bytes() + of_headers
    }
}

impl fmt::Display for HttpExchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http: {}", self.request)?;
        if let Some(address) = self.address {
            write!(f, " at {address}")?;
        }
        match &self.proxy {
            Some(ProxyUse {
                proxy,
                status: Some(status),
            }) => write!(f, " through {proxy} ({status})")?,
            Some(ProxyUse {
                proxy,
                status: None,
            }) => write!(f, " through {proxy}")?,
            None => {}
        }
        for SecretHeaderUse { name, prefix } in &self.secret_headers {
            write!(f, " with the secret header {name} of {prefix}")?;
        }
        match (self.status, self.error) {
            (Some(status), None) => write!(f, ": {status}")?,
            (Some(status), Some(error)) => write!(f, ": {status}, then {error}")?,
            (None, error) => write!(f, ": {}", error.unwrap_or("no response"))?,
        }
        write!(
            f,
            ", {} bytes received, {} sent, {:.3} s",
            self.received,
            self.sent,
            self.time.as_secs_f64()
        )
    }
}

impl fmt::Display for HttpRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (method, url) = (self.method.as_deref(), self.url.as_deref());
        match &self.header {
            Some(header) => write!(f, "http: the header {header}: {}, not set", self.error),
            None => write!(
                f,
                "http: {} {}: {}, not sent",
                method.unwrap_or_default(),
                url.unwrap_or_default(),
                self.error
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_refused_request_says_is_bounded_and_without_secrets() {
        let refused = |method: &str, authority: &str, path: &str| {
            HttpRefused::new(method, "http", authority, path, "HTTP-request-URI-invalid")
        };
        let secret = refused("GET", "user:pass@word@a.example", "/a%00?token=b#c");
        assert_eq!(secret.url.unwrap(), "http://a.example/a%00");
        assert_eq!(
            refused("GET", "a.example", "?token").url.unwrap(),
            "http://a.example"
        );
        assert_eq!(
            refused("GET", "a.example", "/#token").url.unwrap(),
            "http://a.example/"
        );
        for (bytes, expected) in [
            (MAX_REFUSED_URL_BYTES, MAX_REFUSED_URL_BYTES),
            (MAX_REFUSED_URL_BYTES + 1, MAX_REFUSED_URL_BYTES),
            (100_000, MAX_REFUSED_URL_BYTES),
        ] {
            let path = format!("/{}", "a".repeat(bytes - "http://a/".len()));
            let url = refused("GET", "a", &path).url.unwrap();
            assert_eq!(url.len(), expected, "{bytes}");
            assert_eq!(url.ends_with("..."), bytes > MAX_REFUSED_URL_BYTES);
        }
        // No character is cut in two.
        let wide = refused(&"ü".repeat(1000), "a", &"ü".repeat(1000));
        let header = HttpRefused::header(&"ü".repeat(1000), "forbidden");
        for (text, most) in [
            (wide.method, MAX_HTTP_METHOD_BYTES),
            (wide.url, MAX_REFUSED_URL_BYTES),
            (header.header, MAX_REFUSED_HEADER_BYTES),
        ] {
            let text = text.unwrap();
            assert!(text.len() <= most && text.ends_with("ü..."), "{text}");
        }
    }
}

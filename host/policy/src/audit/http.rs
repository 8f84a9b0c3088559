//! What is recorded of HTTP requests.

use crate::{HttpTarget, MAX_HTTP_METHOD_BYTES};
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

/// How many bytes of its URL an [`HttpRefused`] has: 1,024.
pub const MAX_REFUSED_URL_BYTES: usize = 1024;

/// An HTTP request that the host has refused before it asked the policy.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct HttpRefused {
    /// The method as the component gave it, at most [`MAX_HTTP_METHOD_BYTES`].
    pub method: String,
    /// The URL as the component gave it, at most [`MAX_REFUSED_URL_BYTES`]. A user name, a password, the query and the
    /// fragment are left out, because they often contain secrets.
    pub url: String,
    /// The error code of WASI (`HTTP-request-URI-invalid`).
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
        let host = authority.rsplit('@').next().unwrap_or_default();
        let path = path.split(['?', '#']).next().unwrap_or_default();
        let url = format!("{scheme}://{host}{path}");
        HttpRefused {
            method: shortened(method, MAX_HTTP_METHOD_BYTES),
            url: shortened(&url, MAX_REFUSED_URL_BYTES),
            error,
        }
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
            status: None,
            error: None,
            sent: 0,
            received: 0,
            time: Duration::ZERO,
        }
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
        write!(
            f,
            "http: {} {}: {}, not sent",
            self.method, self.url, self.error
        )
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
        assert_eq!(secret.url, "http://a.example/a%00");
        assert_eq!(
            refused("GET", "a.example", "?token").url,
            "http://a.example"
        );
        assert_eq!(
            refused("GET", "a.example", "/#token").url,
            "http://a.example/"
        );
        for (bytes, expected) in [
            (MAX_REFUSED_URL_BYTES, MAX_REFUSED_URL_BYTES),
            (MAX_REFUSED_URL_BYTES + 1, MAX_REFUSED_URL_BYTES),
            (100_000, MAX_REFUSED_URL_BYTES),
        ] {
            let path = format!("/{}", "a".repeat(bytes - "http://a/".len()));
            let url = refused("GET", "a", &path).url;
            assert_eq!(url.len(), expected, "{bytes}");
            assert_eq!(url.ends_with("..."), bytes > MAX_REFUSED_URL_BYTES);
        }
        // No character is cut in two.
        let wide = refused(&"ü".repeat(1000), "a", &"ü".repeat(1000));
        assert!(wide.method.len() <= MAX_HTTP_METHOD_BYTES && wide.method.ends_with("ü..."));
        assert!(wide.url.len() <= MAX_REFUSED_URL_BYTES && wide.url.ends_with("ü..."));
    }
}

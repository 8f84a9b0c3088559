//! Requests.

use super::Body;
use crate::bindings::fetch as wit;
use crate::error::Result;
use crate::url::without_credentials;
use crate::wit_convert::nanoseconds;
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;
use tokio::io::AsyncRead;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::p2::bindings::sockets::network::{IpAddress, IpAddressFamily};

/// One header field of a request or a response.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Header {
    /// The name, with its letters in the case that was sent. Case carries no meaning.
    pub name: String,
    /// The value, without white space around it. It is usually ASCII.
    pub value: Vec<u8>,
}

/// A request: the URL, how to send it, and its limits.
///
/// The defaults of the limits are: 10 seconds for resolving the name, 30 for connecting, 30 for the TLS
/// handshake, 60 for the first byte and for each pause after it, 256 KiB for the head, and 30 redirects in a
/// row. The size of the body, the speed and the total time have no limit.
///
/// # Examples
/// A request with a compressed body of at most a megabyte, and a minute in total:
/// ```
/// use sockbox::Request;
/// use std::time::Duration;
///
/// let request = Request::get("http://example.com/")
///     .header("Accept-Language", "de, en;q=0.5")
///     .decode(true)
///     .max_body_size(1_000_000)
///     .total_timeout(Duration::from_secs(60));
/// # let _ = request;
/// ```
#[must_use]
pub struct Request {
    method: String,
    pub(super) url: String,
    headers: Vec<Header>,
    omit: Vec<String>,
    body: Body,
    options: Options,
}

/// A family of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    /// IPv4.
    Ipv4,
    /// IPv6.
    Ipv6,
}

#[derive(Clone, Debug, Default)]
struct Options {
    resolve_timeout: Option<Duration>,
    connect_timeout: Option<Duration>,
    handshake_timeout: Option<Duration>,
    attempt_delay: Option<Duration>,
    first_byte_timeout: Option<Duration>,
    idle_timeout: Option<Duration>,
    expect_timeout: Option<Duration>,
    total_timeout: Option<Duration>,
    min_speed: Option<MinSpeed>,
    max_speed: Option<u64>,
    max_head_size: Option<u32>,
    max_body_size: Option<u64>,
    max_redirects: Option<u32>,
    downgrade: bool,
    family: Option<Family>,
    static_hosts: Vec<StaticHost>,
    decode: bool,
    close: bool,
    trace: bool,
}

#[derive(Clone, Copy, Debug)]
struct MinSpeed {
    bytes_per_second: u64,
    over: Duration,
}

#[derive(Clone, Debug)]
struct StaticHost {
    host: String,
    port: u16,
    addresses: Vec<IpAddr>,
}

impl Request {
    /// A `GET` request for `url`, an absolute `http` or `https` URL.
    pub fn get(url: impl Into<String>) -> Request {
        Request::new("GET", url)
    }

    /// A request with any method except `CONNECT`.
    pub fn new(method: impl Into<String>, url: impl Into<String>) -> Request {
        Request {
            method: method.into(),
            url: url.into(),
            headers: Vec::new(),
            omit: Vec::new(),
            body: Body::empty(),
            options: Options::default(),
        }
    }

    /// Add a header field. `Host`, `User-Agent`, `Accept`, `Accept-Encoding` and `Authorization`
    /// replace the default fields. The client sets the fields that control the connection or the
    /// framing of the body, and the caller can't: `Connection`, `Content-Length`, `Expect`,
    /// `Keep-Alive`, `Proxy-Connection`, `TE`, `Transfer-Encoding`, `Upgrade`.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<Vec<u8>>) -> Request {
        self.headers.push(Header {
            name: name.into(),
            value: value.into(),
        });
        self
    }

    /// Leave out a default header field: `User-Agent`, `Accept` or `Accept-Encoding`. Leaving out
    /// `Host` is an error. Other names have no effect.
    pub fn without_header(mut self, name: impl Into<String>) -> Request {
        self.omit.push(name.into());
        self
    }

    /// Send these bytes.
    pub fn body(self, bytes: impl Into<Vec<u8>>) -> Request {
        self.body_of(Body::bytes(bytes))
    }

    /// Send the bytes of `reader` until its end. If `length` is given, there must be exactly so
    /// many bytes; otherwise the body is sent in chunks (RFC 9112 section 7.1).
    pub fn body_reader(
        self,
        reader: impl AsyncRead + Send + Unpin + 'static,
        length: Option<u64>,
    ) -> Request {
        self.body_of(Body::reader(reader, length))
    }

    /// Send this body.
    pub fn body_of(mut self, body: Body) -> Request {
        self.body = body;
        self
    }

    /// Set the longest that the lookup of the host's name may take.
    pub fn resolve_timeout(mut self, timeout: Duration) -> Request {
        self.options.resolve_timeout = Some(timeout);
        self
    }

    /// Set the time limit for connecting, for all addresses of the host together.
    pub fn connect_timeout(mut self, timeout: Duration) -> Request {
        self.options.connect_timeout = Some(timeout);
        self
    }

    /// Set the time limit for the TLS handshake.
    pub fn handshake_timeout(mut self, timeout: Duration) -> Request {
        self.options.handshake_timeout = Some(timeout);
        self
    }

    /// Set the delay between starting an attempt to connect to one address and starting an attempt
    /// to the next address in parallel (RFC 8305 section 5). Default: 250 milliseconds.
    pub fn attempt_delay(mut self, delay: Duration) -> Request {
        self.options.attempt_delay = Some(delay);
        self
    }

    /// Set the time limit between the last byte of the request and the first byte of the response.
    pub fn first_byte_timeout(mut self, timeout: Duration) -> Request {
        self.options.first_byte_timeout = Some(timeout);
        self
    }

    /// Set the longest time in which the server may send no byte of a response that has begun, or
    /// accept no byte of the request.
    pub fn idle_timeout(mut self, timeout: Duration) -> Request {
        self.options.idle_timeout = Some(timeout);
        self
    }

    /// Set how long to wait for `100 Continue` before sending a body that is larger than 1 MiB or
    /// of unknown length. Default: 1 second. Zero: don't send `Expect`.
    pub fn expect_timeout(mut self, timeout: Duration) -> Request {
        self.options.expect_timeout = Some(timeout);
        self
    }

    /// Set the time limit from the call of [`Instance::fetch`](crate::Instance::fetch) to the end
    /// of the body. It includes redirects, and time in which the caller does nothing.
    pub fn total_timeout(mut self, timeout: Duration) -> Request {
        self.options.total_timeout = Some(timeout);
        self
    }

    /// Set the lowest speed of sending the request body and of receiving the response body,
    /// averaged over a time. A slower transfer fails with [`Error::Timeout`](crate::Error::Timeout)
    /// and [`TimeBound::Speed`](crate::TimeBound::Speed).
    pub fn min_speed(mut self, bytes_per_second: u64, over: Duration) -> Request {
        self.options.min_speed = Some(MinSpeed {
            bytes_per_second,
            over,
        });
        self
    }

    /// Set the most bytes that may be sent, and received, in a second.
    pub fn max_speed(mut self, bytes_per_second: u64) -> Request {
        self.options.max_speed = Some(bytes_per_second);
        self
    }

    /// Set the most bytes that the response's head may have.
    pub fn max_head_size(mut self, bytes: u32) -> Request {
        self.options.max_head_size = Some(bytes);
        self
    }

    /// Set the most bytes that the response's body may have, decoded.
    pub fn max_body_size(mut self, bytes: u64) -> Request {
        self.options.max_body_size = Some(bytes);
        self
    }

    /// Set how many redirects in a row [`Response::follow`](crate::Response::follow) follows. With 0
    /// it follows none.
    pub fn max_redirects(mut self, count: u32) -> Request {
        self.options.max_redirects = Some(count);
        self
    }

    /// Permit [`Response::follow`](crate::Response::follow) to go from an `https` URL to an `http` URL,
    /// which is neither encrypted nor authenticated.
    pub fn allow_downgrade(mut self, allow: bool) -> Request {
        self.options.downgrade = allow;
        self
    }

    /// Whether it uses addresses of IPv6 only.
    pub(super) fn is_ipv6_only(&self) -> bool {
        self.options.family == Some(Family::Ipv6)
    }

    /// Use addresses of this family only.
    pub fn family(mut self, family: Family) -> Request {
        self.options.family = Some(family);
        self
    }

    /// Use these addresses, at least one, in place of a lookup of `host`, where it is asked for at
    /// this port. `*` is every host that has no such addresses of its own. Connecting to them takes a grant of its own:
    /// [`Policy::allow_connect`](crate::Policy::allow_connect).
    pub fn static_host(
        mut self,
        host: impl Into<String>,
        port: u16,
        addresses: impl IntoIterator<Item = IpAddr>,
    ) -> Request {
        self.options.static_hosts.push(StaticHost {
            host: host.into(),
            port,
            addresses: addresses.into_iter().collect(),
        });
        self
    }

    /// Ask for a compressed body (`Accept-Encoding: gzip, deflate, br`, unless the caller sets this
    /// field) and decode it.
    pub fn decode(mut self, decode: bool) -> Request {
        self.options.decode = decode;
        self
    }

    /// Use a new connection, and tell the server to close it.
    pub fn close_connection(mut self, close: bool) -> Request {
        self.options.close = close;
        self
    }

    /// Let the component write each step to its standard error, one line per fact. Show it with
    /// [`InstanceBuilder::inherit_stderr`](crate::InstanceBuilder::inherit_stderr).
    pub fn trace(mut self, trace: bool) -> Request {
        self.options.trace = trace;
        self
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("method", &self.method)
            .field("url", &without_credentials(&self.url))
            .field("body", &self.body)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

impl Request {
    /// The value for the component. A body that is read goes into `table`.
    pub(super) fn into_wit(self, table: &mut ResourceTable) -> Result<wit::Request> {
        Ok(wit::Request {
            method: self.method,
            url: self.url,
            headers: self.headers.into_iter().map(wit::Header::from).collect(),
            omit: self.omit,
            body: self.body.into_wit(table)?,
            options: self.options.into(),
        })
    }
}

impl From<Options> for wit::Options {
    fn from(options: Options) -> wit::Options {
        let Options {
            resolve_timeout,
            connect_timeout,
            handshake_timeout,
            attempt_delay,
            first_byte_timeout,
            idle_timeout,
            expect_timeout,
            total_timeout,
            min_speed,
            max_speed,
            max_head_size,
            max_body_size,
            max_redirects,
            downgrade,
            family,
            static_hosts,
            decode,
            close,
            trace,
        } = options;
        wit::Options {
            resolve_timeout: resolve_timeout.map(nanoseconds),
            connect_timeout: connect_timeout.map(nanoseconds),
            handshake_timeout: handshake_timeout.map(nanoseconds),
            attempt_delay: attempt_delay.map(nanoseconds),
            first_byte_timeout: first_byte_timeout.map(nanoseconds),
            idle_timeout: idle_timeout.map(nanoseconds),
            expect_timeout: expect_timeout.map(nanoseconds),
            total_timeout: total_timeout.map(nanoseconds),
            min_speed: min_speed.map(|min| wit::MinSpeed {
                bytes_per_second: min.bytes_per_second,
                period: nanoseconds(min.over),
            }),
            max_speed,
            max_head_size,
            max_body_size,
            max_redirects,
            downgrade,
            family: family.map(IpAddressFamily::from),
            static_hosts: static_hosts
                .into_iter()
                .map(wit::StaticHost::from)
                .collect(),
            decode,
            close,
            trace,
        }
    }
}

impl From<Family> for IpAddressFamily {
    fn from(family: Family) -> IpAddressFamily {
        match family {
            Family::Ipv4 => IpAddressFamily::Ipv4,
            Family::Ipv6 => IpAddressFamily::Ipv6,
        }
    }
}

impl From<StaticHost> for wit::StaticHost {
    fn from(host: StaticHost) -> wit::StaticHost {
        wit::StaticHost {
            host: host.host,
            port: host.port,
            addresses: host.addresses.into_iter().map(IpAddress::from).collect(),
        }
    }
}

impl From<Header> for wit::Header {
    fn from(header: Header) -> wit::Header {
        wit::Header {
            name: header.name,
            value: header.value,
        }
    }
}

impl From<wit::Header> for Header {
    fn from(header: wit::Header) -> Header {
        Header {
            name: header.name,
            value: header.value,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_shows_no_secrets() {
        let request = Request::get("http://me:secret@example.com/")
            .header("Authorization", "secret")
            .body("secret");
        let shown = format!("{request:?}");
        assert!(!shown.contains("secret"), "{shown}");
    }
}

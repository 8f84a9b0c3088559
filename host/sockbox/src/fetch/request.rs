//! What to ask for.

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
    /// The name as it was sent: letters keep their case, which carries no meaning.
    pub name: String,
    /// The value without the white space around it: usually ASCII.
    pub value: Vec<u8>,
}

/// What to ask for, how, and its bounds.
///
/// Bounds that aren't set have the defaults that the component documents: 10 seconds for the lookup,
/// 30 for connecting, 30 more for TLS, 60 for the first byte and for every silence after it, 256 KiB of head, 30
/// redirects in a row; there is none for the body's size, for the speed and for the whole time.
///
/// # Examples
/// A page that may be coded on its way, that may have a megabyte, and that has a minute to come:
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
    /// Ask for the page at `url`, an absolute `http` or `https` URL.
    pub fn get(url: impl Into<String>) -> Request {
        Request::new("GET", url)
    }

    /// Ask with any method but `CONNECT`.
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

    /// Add a header field. `Host`, `User-Agent`, `Accept`, `Accept-Encoding` and `Authorization` take
    /// the place of what would be sent. What is about the connection or the body's framing is not
    /// the caller's to set: `Connection`, `Content-Length`, `Expect`, `Keep-Alive`,
    /// `Proxy-Connection`, `TE`, `Transfer-Encoding`, `Upgrade`.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<Vec<u8>>) -> Request {
        self.headers.push(Header {
            name: name.into(),
            value: value.into(),
        });
        self
    }

    /// Leave out a header field that would be sent unasked: `User-Agent`, `Accept` or
    /// `Accept-Encoding`, in any case. Other names change nothing, but for `Host`, without which
    /// there is no request.
    pub fn without_header(mut self, name: impl Into<String>) -> Request {
        self.omit.push(name.into());
        self
    }

    /// Send these bytes.
    pub fn body(self, bytes: impl Into<Vec<u8>>) -> Request {
        self.body_of(Body::bytes(bytes))
    }

    /// Send what `reader` gives until its end: `length` bytes, neither more nor less, where that is
    /// known, and in chunks (RFC 9112 section 7.1) where not.
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

    /// Set the longest that connecting may take, all of the host's addresses together.
    pub fn connect_timeout(mut self, timeout: Duration) -> Request {
        self.options.connect_timeout = Some(timeout);
        self
    }

    /// Set the longest that TLS may take to be agreed upon, once there is a connection.
    pub fn handshake_timeout(mut self, timeout: Duration) -> Request {
        self.options.handshake_timeout = Some(timeout);
        self
    }

    /// Set how long an attempt to connect has for itself before the next address is tried beside it
    /// (RFC 8305 section 5): 250 milliseconds unless set.
    pub fn attempt_delay(mut self, delay: Duration) -> Request {
        self.options.attempt_delay = Some(delay);
        self
    }

    /// Set the longest from the request's last byte to the answer's first.
    pub fn first_byte_timeout(mut self, timeout: Duration) -> Request {
        self.options.first_byte_timeout = Some(timeout);
        self
    }

    /// Set the longest silence of the server once it has begun to answer, and the longest that it
    /// may refuse to take more of the request.
    pub fn idle_timeout(mut self, timeout: Duration) -> Request {
        self.options.idle_timeout = Some(timeout);
        self
    }

    /// Set how long `100 Continue` is waited for before a body is sent that has more than 1 MiB, or
    /// whose length isn't known: 1 second unless set. Zero: don't ask for it.
    pub fn expect_timeout(mut self, timeout: Duration) -> Request {
        self.options.expect_timeout = Some(timeout);
        self
    }

    /// Set the longest that all of it may take, from the call of
    /// [`Instance::fetch`](crate::Instance::fetch) to the end of the body, redirects included,
    /// whatever the caller does meanwhile.
    pub fn total_timeout(mut self, timeout: Duration) -> Request {
        self.options.total_timeout = Some(timeout);
        self
    }

    /// Set the slowest that sending the body and receiving the response's may be, averaged over a
    /// time. What is slower for that long is [`Error::Timeout`](crate::Error::Timeout) with
    /// [`TimeBound::Speed`](crate::TimeBound::Speed).
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

    /// Let [`Response::follow`](crate::Response::follow) go from an `https` page to an `http` one, where
    /// anybody on the way may read what is sent, and answer.
    pub fn allow_downgrade(mut self, allow: bool) -> Request {
        self.options.downgrade = allow;
        self
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

    /// Ask for a coded body (`Accept-Encoding: gzip, deflate, br`, unless the caller sets one) and
    /// decode it.
    pub fn decode(mut self, decode: bool) -> Request {
        self.options.decode = decode;
        self
    }

    /// Use a new connection, and tell the server to close it.
    pub fn close_connection(mut self, close: bool) -> Request {
        self.options.close = close;
        self
    }

    /// Have the component write what it does to its standard error, one line per fact. It is seen
    /// with [`InstanceBuilder::inherit_stderr`](crate::InstanceBuilder::inherit_stderr).
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
    /// What the component is given; a body that is read goes into `table`.
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

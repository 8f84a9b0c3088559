//! What to ask for.

use crate::bindings::fetch as wit;
use crate::convert::nanoseconds;
use crate::error::{Error, Result};
use crate::policy::without_credentials;
use std::fmt;
use std::time::Duration;
use tokio::io::AsyncRead;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::p2::DynInputStream;
use wasmtime_wasi::p2::pipe::AsyncReadStream;

/// One header field of a request or a response.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Header {
    /// The name as it was sent: letters keep their case, which carries no meaning.
    pub name: String,
    /// The value without the white space around it: usually ASCII.
    pub value: Vec<u8>,
}

/// What to ask for.
///
/// Bounds that aren't set have the defaults that the component documents: 10 seconds for the lookup,
/// 30 for each attempt to connect, 60 for the first byte and for every silence after it, 256 KiB of
/// head; there is none for the body's size and for the whole time.
#[must_use]
pub struct Request {
    method: String,
    pub(super) url: String,
    headers: Vec<Header>,
    body: Body,
    options: Options,
}

enum Body {
    None,
    Bytes(Vec<u8>),
    Reader {
        input: DynInputStream,
        length: Option<u64>,
    },
}

#[derive(Clone, Debug, Default)]
struct Options {
    lookup_timeout: Option<Duration>,
    connect_timeout: Option<Duration>,
    first_byte_timeout: Option<Duration>,
    idle_timeout: Option<Duration>,
    total_timeout: Option<Duration>,
    max_head_size: Option<u32>,
    max_body_size: Option<u64>,
    trace: bool,
}

impl Request {
    /// Ask for the page at `url`, an absolute `http` URL.
    pub fn get(url: impl Into<String>) -> Request {
        Request::new("GET", url)
    }

    /// Ask with any method but `CONNECT`.
    pub fn new(method: impl Into<String>, url: impl Into<String>) -> Request {
        Request {
            method: method.into(),
            url: url.into(),
            headers: Vec::new(),
            body: Body::None,
            options: Options::default(),
        }
    }

    /// Add a header field. `Host`, `User-Agent` and `Accept` take the place of what would be sent;
    /// `Connection`, `Content-Length` and `Transfer-Encoding` are not the caller's to set.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<Vec<u8>>) -> Request {
        self.headers.push(Header {
            name: name.into(),
            value: value.into(),
        });
        self
    }

    /// Send these bytes.
    pub fn body(mut self, bytes: impl Into<Vec<u8>>) -> Request {
        self.body = Body::Bytes(bytes.into());
        self
    }

    /// Send what `reader` gives until its end: `length` bytes, neither more nor less, where that is
    /// known, and in chunks (RFC 9112 section 7.1) where not.
    pub fn body_reader(
        mut self,
        reader: impl AsyncRead + Send + Unpin + 'static,
        length: Option<u64>,
    ) -> Request {
        self.body = Body::Reader {
            input: Box::new(AsyncReadStream::new(reader)),
            length,
        };
        self
    }

    /// Set the longest that the lookup of the host's name may take.
    pub fn lookup_timeout(mut self, timeout: Duration) -> Request {
        self.options.lookup_timeout = Some(timeout);
        self
    }

    /// Set the longest that one attempt to connect to one address may take.
    pub fn connect_timeout(mut self, timeout: Duration) -> Request {
        self.options.connect_timeout = Some(timeout);
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

    /// Set the longest that all of it may take, from the call of
    /// [`Instance::fetch`](crate::Instance::fetch) to the end of the body, whatever the caller does
    /// meanwhile.
    pub fn total_timeout(mut self, timeout: Duration) -> Request {
        self.options.total_timeout = Some(timeout);
        self
    }

    /// Set the most bytes that the response's head may have.
    pub fn max_head_size(mut self, bytes: u32) -> Request {
        self.options.max_head_size = Some(bytes);
        self
    }

    /// Set the most bytes that the response's body may have.
    pub fn max_body_size(mut self, bytes: u64) -> Request {
        self.options.max_body_size = Some(bytes);
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
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

impl Request {
    /// What the component is given; a body that is read goes into `table`.
    pub(super) fn into_wit(self, table: &mut ResourceTable) -> Result<wit::Request> {
        let body = match self.body {
            Body::None => wit::RequestBody::None,
            Body::Bytes(bytes) => wit::RequestBody::Bytes(bytes),
            Body::Reader { input, length } => wit::RequestBody::Stream(wit::BodyStream {
                input: table.push(input).map_err(Error::internal)?,
                length,
            }),
        };
        let Options {
            lookup_timeout,
            connect_timeout,
            first_byte_timeout,
            idle_timeout,
            total_timeout,
            max_head_size,
            max_body_size,
            trace,
        } = self.options;
        Ok(wit::Request {
            method: self.method,
            url: self.url,
            headers: self.headers.into_iter().map(wit::Header::from).collect(),
            body,
            options: wit::Options {
                lookup_timeout: lookup_timeout.map(nanoseconds),
                connect_timeout: connect_timeout.map(nanoseconds),
                first_byte_timeout: first_byte_timeout.map(nanoseconds),
                idle_timeout: idle_timeout.map(nanoseconds),
                total_timeout: total_timeout.map(nanoseconds),
                max_head_size,
                max_body_size,
                trace,
            },
        })
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

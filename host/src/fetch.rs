//! Fetching a page.

use crate::bindings::fetch as wit;
use crate::convert::{denied, nanoseconds};
use crate::error::{ConnectFailure, Error, ResponseLimit, Result, Stage};
use crate::instance::Instance;
use crate::network::Network;
use crate::policy::without_credentials;
use crate::sink::{SinkEnd, sink};
use bytes::Bytes;
use std::fmt;
use std::io::Write;
use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;
use tokio::io::AsyncRead;
use wasmtime::component::{Resource, ResourceAny};
use wasmtime_wasi::p2::pipe::AsyncReadStream;
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream};

/// How many bytes of a body are moved by one call of the component: 4 MiB.
///
/// Enough that the calls cost nothing beside the bytes.
const STEP: u64 = 4 * 1024 * 1024;

/// How often the progress of a body is told: ten times a second.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(100);

/// How long the writer may take, after a transfer has failed, to write what had been received.
const PATIENCE_AFTER_FAILURE: Duration = Duration::from_secs(1);

/// How many bytes [`Response::chunk`] asks for: as many as a socket gives at once, 64 KiB.
const CHUNK_SIZE: u64 = 64 * 1024;

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
    url: String,
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

    /// Set the longest that all of it may take, from the call of [`Instance::fetch`] to the end of
    /// the body, whatever the caller does meanwhile.
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

/// The head of a response.
#[derive(Clone, Debug)]
struct Head {
    minor_version: u8,
    status: u16,
    reason: String,
    headers: Vec<Header>,
    raw: Vec<u8>,
    url: String,
    remote: SocketAddr,
    local: SocketAddr,
    content_length: Option<u64>,
}

/// A response whose body is still to come.
///
/// Dropping it gives the rest of the body up. The connection is closed then with the next call of
/// the instance or with the instance itself, and by [`Response::close`] at once.
///
/// # Examples
/// ```
/// use sockbox::{Policy, Request, Sandbox};
/// # use std::io::{Read, Write};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
/// # let url = format!("http://{}/", listener.local_addr()?);
/// # let peer = std::thread::spawn(move || -> std::io::Result<()> {
/// #     let mut stream = listener.accept()?.0;
/// #     let mut request = Vec::new();
/// #     while !request.ends_with(b"\r\n\r\n") {
/// #         let mut byte = [0];
/// #         stream.read_exact(&mut byte)?;
/// #         request.push(byte[0]);
/// #     }
/// #     stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
/// # });
/// let sandbox = Sandbox::new()?;
/// let policy = Policy::new().allow_url(&url)?;
/// let mut instance = sandbox.instance().policy(policy).build().await?;
/// let mut response = instance.fetch(Request::get(&url)).await?;
/// assert_eq!(response.status(), 200);
/// assert_eq!(response.content_length(), Some(5));
/// let mut body = Vec::new();
/// while let Some(chunk) = response.chunk().await? {
///     body.extend_from_slice(&chunk);
/// }
/// assert_eq!(body, b"hello");
/// # peer.join().unwrap()?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Response<'a> {
    instance: &'a mut Instance,
    /// None once it was closed.
    response: Option<ResourceAny>,
    head: Head,
    host: String,
}

impl Instance {
    /// Send a request, and receive the response's head.
    ///
    /// # Errors
    /// - [`Error::InvalidUrl`], [`Error::UnsupportedScheme`], [`Error::InvalidRequest`]: the
    ///   request can't be sent.
    /// - [`Error::Denied`]: the policy does not grant what it takes. Nothing was sent.
    /// - [`Error::ResolveFailed`], [`Error::ConnectFailed`], [`Error::SendFailed`],
    ///   [`Error::ReceiveFailed`]: the network.
    /// - [`Error::Protocol`], [`Error::EmptyResponse`], [`Error::LimitExceeded`]: the server.
    /// - [`Error::Timeout`]: it took too long.
    /// - [`Error::Abandoned`], [`Error::Trapped`], [`Error::WallTime`], [`Error::MemoryLimit`]: the
    ///   instance can't be used any more.
    ///
    /// # Cancel safety
    /// A future that is dropped before its end leaves an instance that can't be used any more.
    pub async fn fetch(&mut self, request: Request) -> Result<Response<'_>> {
        let host = host_of(&request.url);
        let call = self.begin().await?;
        let (store, programs) = self.parts();
        let request = request.into_wit(&mut store.data_mut().table)?;
        let fetch = programs.sockbox_net_fetch();
        let result = call.run(fetch.call_fetch(&mut *store, &request)).await?;
        let response = self
            .end(result)?
            .map_err(|code| error(self.network(), &host, &request.url, code))?;

        let call = self.begin().await?;
        let (store, programs) = self.parts();
        let guest = programs.sockbox_net_fetch().response();
        let result = call.run(guest.call_head(&mut *store, response)).await?;
        let head = self.end(result)?;
        Ok(Response {
            instance: self,
            response: Some(response),
            head: head.into(),
            host,
        })
    }
}

impl Response<'_> {
    /// The status code, from 200 to 999.
    pub fn status(&self) -> u16 {
        self.head.status
    }

    /// The reason phrase; often empty, never to be relied on.
    pub fn reason(&self) -> &str {
        &self.head.reason
    }

    /// The minor version of HTTP/1: 0 or 1.
    pub fn minor_version(&self) -> u8 {
        self.head.minor_version
    }

    /// The header fields in the order received, repeated ones kept.
    pub fn headers(&self) -> &[Header] {
        &self.head.headers
    }

    /// The value of the first header field of this name, whatever its case.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.headers()
            .iter()
            .find(|header| header.name.eq_ignore_ascii_case(name))
            .map(|header| header.value.as_slice())
    }

    /// The head as it was received, from the status line to the blank line, both included.
    pub fn raw_head(&self) -> &[u8] {
        &self.head.raw
    }

    /// The URL that this is the response of, without fragment and credentials.
    pub fn url(&self) -> &str {
        &self.head.url
    }

    /// The server's end of the connection.
    pub fn remote_address(&self) -> SocketAddr {
        self.head.remote
    }

    /// Our end of the connection.
    pub fn local_address(&self) -> SocketAddr {
        self.head.local
    }

    /// The body's size in bytes, where the head tells it.
    pub fn content_length(&self) -> Option<u64> {
        self.head.content_length
    }

    /// Receive the body's next bytes: at least one, at most 64 KiB, as soon as there are any. None
    /// means that the body ended as it should.
    ///
    /// # Errors
    /// [`Error::IncompleteBody`], [`Error::ReceiveFailed`], [`Error::Protocol`],
    /// [`Error::Timeout`], [`Error::LimitExceeded`], and what ends the instance: see
    /// [`Instance::fetch`].
    ///
    /// # Cancel safety
    /// A future that is dropped before its end leaves an instance that can't be used any more.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>> {
        let response = self.resource()?;
        let call = self.instance.begin().await?;
        let (store, programs) = self.instance.parts();
        let guest = programs.sockbox_net_fetch().response();
        let result = call
            .run(guest.call_read(&mut *store, response, CHUNK_SIZE))
            .await?;
        match self.instance.end(result)? {
            Ok(bytes) => Ok(bytes.map(Bytes::from)),
            Err(code) => Err(self.error(code)),
        }
    }

    /// Write the rest of the body to `writer`, flush it, and say how many bytes that were.
    ///
    /// The bytes are written by a thread of their own, so that a slow writer holds up nothing else;
    /// at most 1 MiB of them wait for it. What can be moved without being decoded doesn't pass
    /// through the component's memory.
    ///
    /// # Errors
    /// [`Error::Write`] with what the writer said, [`Error::Internal`] when there is no thread to be
    /// had, and those of [`Response::chunk`]. What had been received before an error has been
    /// written, unless the writer takes too long for it.
    ///
    /// # Cancel safety
    /// A future that is dropped before its end leaves an instance that can't be used any more. The
    /// writer is dropped by its thread after the write that is under way.
    ///
    /// # Examples
    /// ```no_run
    /// // Not run: it would fetch from another machine.
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// # let mut instance = sockbox::Sandbox::new()?.instance().build().await?;
    /// let mut response = instance.fetch(sockbox::Request::get("http://example.com/")).await?;
    /// let file = std::fs::File::create("page.html")?;
    /// let bytes = response.write_to(file).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn write_to<W>(&mut self, writer: W) -> Result<u64>
    where
        W: Write + Send + 'static,
    {
        self.transfer(writer, None).await
    }

    /// As [`Response::write_to`], and call `progress` with the number of bytes written so far ten
    /// times a second, and once at the end.
    ///
    /// # Errors
    /// As [`Response::write_to`].
    ///
    /// # Cancel safety
    /// As [`Response::write_to`].
    pub async fn write_to_with_progress<W, P>(&mut self, writer: W, mut progress: P) -> Result<u64>
    where
        W: Write + Send + 'static,
        P: FnMut(u64) + Send,
    {
        self.transfer(writer, Some(&mut progress)).await
    }

    /// The trailer fields that came behind a chunked body; empty until the body has ended.
    ///
    /// # Errors
    /// What ends the instance: see [`Instance::fetch`].
    ///
    /// # Cancel safety
    /// A future that is dropped before its end leaves an instance that can't be used any more.
    pub async fn trailers(&mut self) -> Result<Vec<Header>> {
        let response = self.resource()?;
        let call = self.instance.begin().await?;
        let (store, programs) = self.instance.parts();
        let guest = programs.sockbox_net_fetch().response();
        let result = call.run(guest.call_trailers(&mut *store, response)).await?;
        let trailers = self.instance.end(result)?;
        Ok(trailers.into_iter().map(Header::from).collect())
    }

    /// Close the connection, whether or not the body has ended.
    ///
    /// # Errors
    /// What ends the instance: see [`Instance::fetch`].
    ///
    /// # Cancel safety
    /// A future that is dropped before its end leaves an instance that can't be used any more.
    pub async fn close(mut self) -> Result<()> {
        if let Some(response) = self.response.take() {
            let call = self.instance.begin().await?;
            let (store, _) = self.instance.parts();
            let result = call.run(response.resource_drop_async(&mut *store)).await?;
            self.instance.end(result)?;
        }
        Ok(())
    }

    fn resource(&self) -> Result<ResourceAny> {
        self.response
            .ok_or_else(|| Error::internal("the response is closed"))
    }

    fn error(&self, code: wit::ErrorCode) -> Error {
        error(self.instance.network(), &self.host, &self.head.url, code)
    }

    async fn transfer<W>(
        &mut self,
        writer: W,
        mut progress: Option<&mut (dyn FnMut(u64) + Send)>,
    ) -> Result<u64>
    where
        W: Write + Send + 'static,
    {
        let (sink, end) = sink(writer).map_err(|error| {
            Error::internal(format_args!("the system has no thread to give: {error}"))
        })?;
        let sink: DynOutputStream = Box::new(sink);
        let (store, _) = self.instance.parts();
        let output = store.data_mut().table.push(sink).map_err(Error::internal)?;
        let moved = self.pump(&output, &end, &mut progress).await;
        let (store, _) = self.instance.parts();
        // What the component still holds of it goes with the instance.
        let released = store.data_mut().table.delete(output);
        match moved {
            Ok(total) => {
                released.map_err(Error::internal)?;
                end.finish()
                    .await
                    .map_err(|source| Error::Write { source })?;
                if let Some(progress) = &mut progress {
                    progress(total);
                }
                Ok(total)
            }
            // The writer knows why.
            Err(Failure::Output) => Err(match end.finish().await {
                Err(source) => Error::Write { source },
                Ok(_) => Error::internal("the output was closed by the component"),
            }),
            Err(Failure::Other(error)) => {
                // What had been received is worth having, but neither worth waiting for nor worth
                // an error of its own beside this one.
                let _ = tokio::time::timeout(PATIENCE_AFTER_FAILURE, end.finish()).await;
                Err(error)
            }
        }
    }

    /// Have the component move the body into `output`, step by step.
    async fn pump<W>(
        &mut self,
        output: &Resource<DynOutputStream>,
        end: &SinkEnd<W>,
        progress: &mut Option<&mut (dyn FnMut(u64) + Send)>,
    ) -> Result<u64, Failure> {
        let response = self.resource()?;
        let mut total = 0;
        loop {
            let call = self.instance.begin().await?;
            let (store, programs) = self.instance.parts();
            let guest = programs.sockbox_net_fetch().response();
            let output = Resource::new_borrow(output.rep());
            let step = call.run(guest.call_write_to(&mut *store, response, output, STEP));
            let result = match progress {
                None => step.await?,
                Some(progress) => with_progress(step, end, *progress).await?,
            };
            match self.instance.end(result)? {
                Ok(moved) => {
                    total += moved;
                    if moved < STEP {
                        return Ok(total);
                    }
                }
                Err(wit::ErrorCode::WriteFailed) => return Err(Failure::Output),
                Err(code) => return Err(Failure::Other(self.error(code))),
            }
        }
    }
}

impl Drop for Response<'_> {
    fn drop(&mut self) {
        if let Some(response) = self.response.take() {
            self.instance.discard(response);
        }
    }
}

/// Wait for `step`, telling now and then how far the writer is.
async fn with_progress<W, F: Future>(
    step: F,
    end: &SinkEnd<W>,
    progress: &mut (dyn FnMut(u64) + Send),
) -> F::Output {
    let mut step = pin!(step);
    loop {
        match tokio::time::timeout(PROGRESS_INTERVAL, step.as_mut()).await {
            Ok(output) => return output,
            Err(_) => progress(end.written()),
        }
    }
}

/// Why a body stopped moving.
enum Failure {
    /// The output doesn't take any more.
    Output,
    Other(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure::Other(error)
    }
}

impl Request {
    fn into_wit(self, table: &mut wasmtime::component::ResourceTable) -> Result<wit::Request> {
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

impl From<wit::ResponseHead> for Head {
    fn from(head: wit::ResponseHead) -> Head {
        Head {
            minor_version: head.minor_version,
            status: head.status,
            reason: head.reason,
            headers: head.headers.into_iter().map(Header::from).collect(),
            raw: head.raw,
            url: head.url,
            remote: head.remote_address.into(),
            local: head.local_address.into(),
            content_length: head.content_length,
        }
    }
}

impl From<wit::Stage> for Stage {
    fn from(stage: wit::Stage) -> Stage {
        match stage {
            wit::Stage::Lookup => Stage::Lookup,
            wit::Stage::Connect => Stage::Connect,
            wit::Stage::Send => Stage::Send,
            wit::Stage::FirstByte => Stage::FirstByte,
            wit::Stage::Head => Stage::Head,
            wit::Stage::Body => Stage::Body,
        }
    }
}

impl From<wit::Limit> for ResponseLimit {
    fn from(limit: wit::Limit) -> ResponseLimit {
        match limit {
            wit::Limit::HeadSize => ResponseLimit::HeadSize,
            wit::Limit::BodySize => ResponseLimit::BodySize,
            wit::Limit::HeaderCount => ResponseLimit::HeaderCount,
            wit::Limit::InterimResponses => ResponseLimit::InterimResponses,
            wit::Limit::TrailerSize => ResponseLimit::TrailerSize,
        }
    }
}

/// What the component's error means here: the one table from its codes to ours.
fn error(network: &Network, host: &str, url: &str, code: wit::ErrorCode) -> Error {
    match code {
        wit::ErrorCode::InvalidUrl(reason) => Error::InvalidUrl {
            url: without_credentials(url),
            reason,
        },
        wit::ErrorCode::UnsupportedScheme(scheme) => Error::UnsupportedScheme { scheme },
        wit::ErrorCode::InvalidRequest(reason) => Error::InvalidRequest { reason },
        wit::ErrorCode::Denied(target) => denied(network, &target, Some(host)),
        wit::ErrorCode::ResolveFailed(reason) => Error::ResolveFailed {
            host: host.to_owned(),
            reason: reason.into(),
        },
        wit::ErrorCode::ConnectFailed(attempts) => Error::ConnectFailed {
            host: host.to_owned(),
            attempts: attempts
                .into_iter()
                .map(|attempt| ConnectFailure::new(attempt.address.into(), attempt.reason.into()))
                .collect(),
        },
        wit::ErrorCode::SendFailed(reason) => Error::SendFailed {
            reason: reason.into(),
        },
        wit::ErrorCode::ReceiveFailed(reason) => Error::ReceiveFailed {
            reason: reason.into(),
        },
        wit::ErrorCode::ProtocolError(reason) => Error::Protocol { reason },
        wit::ErrorCode::EmptyResponse => Error::EmptyResponse,
        wit::ErrorCode::IncompleteBody(wit::Incomplete { received, expected }) => {
            Error::IncompleteBody { received, expected }
        }
        wit::ErrorCode::Timeout(timeout) => Error::Timeout {
            stage: timeout.stage.into(),
            limit: Duration::from_nanos(timeout.limit),
            total: timeout.total,
            received: timeout.received,
        },
        wit::ErrorCode::LimitExceeded(limit) => Error::LimitExceeded {
            limit: limit.into(),
        },
        wit::ErrorCode::WriteFailed => Error::internal("the output was closed by the component"),
        wit::ErrorCode::Internal(text) => {
            Error::internal(format_args!("a mistake in the component: {text}"))
        }
    }
}

/// The host that a URL names, as far as a message needs it.
fn host_of(url: &str) -> String {
    url::Url::parse(url)
        .ok()
        .and_then(|url| url.host_str().map(str::to_owned))
        .unwrap_or_else(|| without_credentials(url))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::RunId;
    use crate::bindings::types;
    use crate::limits::Limits;
    use crate::policy::{DenialReason, Policy, Target};

    #[test]
    fn every_error_of_the_components_has_its_own() {
        let network = Network::new(RunId(1), Policy::new(), &Limits::default(), None);
        let address: SocketAddr = "192.0.2.1:80".parse().unwrap();
        network.allows(Target::Connect(address));
        let text = String::from;
        let table = [
            (
                wit::ErrorCode::InvalidUrl(text("why")),
                "InvalidUrl { url: \"http://h/\", reason: \"why\" }",
            ),
            (
                wit::ErrorCode::UnsupportedScheme(text("https")),
                "UnsupportedScheme { scheme: \"https\" }",
            ),
            (
                wit::ErrorCode::InvalidRequest(text("why")),
                "InvalidRequest { reason: \"why\" }",
            ),
            (
                wit::ErrorCode::Denied(types::Target::Connect(address.into())),
                "Denied { target: Connect(192.0.2.1:80), reason: NoRule }",
            ),
            (
                wit::ErrorCode::Denied(types::Target::Lookup(text("other.example"))),
                "ResolveFailed { host: \"other.example\", reason: NotPermitted }",
            ),
            (
                wit::ErrorCode::ResolveFailed(types::NetworkError::NameUnresolvable),
                "ResolveFailed { host: \"h\", reason: NameUnresolvable }",
            ),
            (
                wit::ErrorCode::ConnectFailed(vec![wit::ConnectFailure {
                    address: address.into(),
                    reason: types::NetworkError::ConnectionRefused,
                }]),
                "ConnectFailed { host: \"h\", attempts: [ConnectFailure { \
                 address: 192.0.2.1:80, reason: ConnectionRefused }] }",
            ),
            (
                wit::ErrorCode::SendFailed(types::NetworkError::ConnectionReset),
                "SendFailed { reason: ConnectionReset }",
            ),
            (
                wit::ErrorCode::ReceiveFailed(types::NetworkError::ConnectionReset),
                "ReceiveFailed { reason: ConnectionReset }",
            ),
            (
                wit::ErrorCode::ProtocolError(text("why")),
                "Protocol { reason: \"why\" }",
            ),
            (wit::ErrorCode::EmptyResponse, "EmptyResponse"),
            (
                wit::ErrorCode::IncompleteBody(wit::Incomplete {
                    received: 1,
                    expected: Some(2),
                }),
                "IncompleteBody { received: 1, expected: Some(2) }",
            ),
            (
                wit::ErrorCode::Timeout(wit::Timeout {
                    stage: wit::Stage::FirstByte,
                    limit: 1_500_000_000,
                    total: true,
                    received: 0,
                }),
                "Timeout { stage: FirstByte, limit: 1.5s, total: true, received: 0 }",
            ),
            (
                wit::ErrorCode::LimitExceeded(wit::Limit::BodySize),
                "LimitExceeded { limit: BodySize }",
            ),
            (
                wit::ErrorCode::Internal(text("why")),
                "Internal { message: \"a mistake in the component: why\" }",
            ),
        ];
        for (code, expected) in table {
            let found = error(&network, "h", "http://me:secret@h/", code);
            assert_eq!(format!("{found:?}"), expected);
        }
        assert_eq!(
            network.denial(&types::Target::Connect(address.into())),
            Some((Target::Connect(address), DenialReason::NoRule))
        );
    }

    #[test]
    fn messages_name_the_host() {
        for (url, expected) in [
            ("http://example.com:80/a", "example.com"),
            ("http://[::1]:81/", "[::1]"),
            ("http://me:secret@EXAMPLE.com/", "example.com"),
            ("http://me:secret@exa mple/", "http://exa mple/"),
        ] {
            assert_eq!(host_of(url), expected);
        }
    }

    #[test]
    fn a_request_shows_no_secrets() {
        let request = Request::get("http://me:secret@example.com/")
            .header("Authorization", "secret")
            .body("secret");
        let shown = format!("{request:?}");
        assert!(!shown.contains("secret"), "{shown}");
    }
}

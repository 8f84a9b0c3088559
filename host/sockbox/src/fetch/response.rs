//! A response, and receiving its body.

use super::error::error;
use super::{Header, Timings};
use crate::bindings::fetch as wit;
use crate::error::{ConnectFailure, Error, Result};
use crate::instance::Instance;
use crate::output::{self, End};
use bytes::Bytes;
use sockbox_wasi::{Mark, ProxiedBy};
use std::fs::File;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;
use wasmtime::component::{Resource, ResourceAny};
use wasmtime_wasi::p2::DynOutputStream;

/// How many bytes of a body are moved by one call of the component: 4 MiB.
///
/// Large enough to make the cost of the calls negligible.
const STEP: u64 = 4 * 1024 * 1024;

/// How often the progress of a body is reported: ten times a second.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(100);

/// How long the writer may take after a failed transfer to write the received bytes.
const PATIENCE_AFTER_FAILURE: Duration = Duration::from_secs(1);

/// How many bytes [`Response::chunk`] asks for: as many as a socket gives at once, 64 KiB.
const CHUNK_SIZE: u64 = 64 * 1024;

/// The head of a response.
#[derive(Clone, Debug)]
pub(super) struct Head {
    minor_version: u8,
    status: u16,
    reason: String,
    headers: Vec<Header>,
    raw: Vec<u8>,
    url: String,
    remote: SocketAddr,
    local: SocketAddr,
    proxy: Option<ProxiedBy>,
    content_length: Option<u64>,
    reused: bool,
    connect_failures: Vec<ConnectFailure>,
    request_head_size: u64,
    uploaded: u64,
    timings: Timings,
}

/// A response whose body has not been received yet.
///
/// Dropping it discards the rest of the body. If the body was not complete, the connection is
/// closed: at the next call of the instance, when the instance is dropped, or at once by
/// [`Response::close`]. After a complete body the connection is kept for the next request to the
/// same host and port, if the server permits that.
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
/// let policy = Policy::new().allow_origin(sockbox::origin_of(&url)?);
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
    pub(super) instance: &'a mut Instance,
    /// None after it was closed.
    pub(super) response: Option<ResourceAny>,
    pub(super) head: Head,
    pub(super) host: String,
    /// The position in the run's log of incidents at which the request began.
    pub(super) mark: Mark,
}

impl<'a> Response<'a> {
    pub(super) fn new(
        instance: &'a mut Instance,
        response: ResourceAny,
        head: wit::ResponseHead,
        host: String,
        mark: Mark,
    ) -> Response<'a> {
        let head = Head::new(head, instance);
        Response {
            instance,
            response: Some(response),
            head,
            host,
            mark,
        }
    }

    /// The status code, from 200 to 999.
    pub fn status(&self) -> u16 {
        self.head.status
    }

    /// The reason phrase. It is often empty, and has no meaning for a program.
    pub fn reason(&self) -> &str {
        &self.head.reason
    }

    /// The minor version of HTTP/1: 0 or 1.
    pub fn minor_version(&self) -> u8 {
        self.head.minor_version
    }

    /// The header fields in the order received, including repeated fields.
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

    /// The bytes of the head as received, from the status line to the blank line, both included.
    pub fn raw_head(&self) -> &[u8] {
        &self.head.raw
    }

    /// The URL of the request that this response answers, without fragment and credentials.
    pub fn url(&self) -> &str {
        &self.head.url
    }

    /// The address at the other end of the connection: the server's, or the proxy's if the connection goes through one.
    pub fn remote_address(&self) -> SocketAddr {
        self.head.remote
    }

    /// The client's address of the connection.
    pub fn local_address(&self) -> SocketAddr {
        self.head.local
    }

    /// The proxy that the connection goes through, if any.
    pub fn proxy(&self) -> Option<ProxiedBy> {
        self.head.proxy
    }

    /// The size of the body in bytes, if the head gives it and the body is not decoded. For a
    /// response to `HEAD`, which has no body, the size that the head gives for the body of a `GET`.
    pub fn content_length(&self) -> Option<u64> {
        self.head.content_length
    }

    /// Whether the connection had been used before.
    pub fn reused(&self) -> bool {
        self.head.reused
    }

    /// The addresses to which connecting failed before it succeeded with another one, in the order
    /// tried.
    pub fn connect_failures(&self) -> &[ConnectFailure] {
        &self.head.connect_failures
    }

    /// The size of the request's head in bytes.
    pub fn request_head_size(&self) -> u64 {
        self.head.request_head_size
    }

    /// How many bytes of the request body were sent, without framing.
    pub fn uploaded(&self) -> u64 {
        self.head.uploaded
    }

    /// When each stage of the request was over.
    pub fn timings(&self) -> Timings {
        self.head.timings
    }

    /// Wait for the next bytes of the body, and return them: at least one, at most 64 KiB. None
    /// means that the body is complete.
    ///
    /// # Errors
    /// [`Error::IncompleteBody`], [`Error::ReceiveFailed`], [`Error::Protocol`],
    /// [`Error::ContentEncoding`], [`Error::Timeout`], [`Error::LimitExceeded`], and what ends the
    /// instance: see [`Instance::fetch`].
    ///
    /// # Cancel safety
    /// A future that is dropped before its end leaves an instance that can't be used any more.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>> {
        let response = self.resource()?;
        let call = self.instance.begin().await?;
        let (store, exports) = self.instance.parts();
        let guest = exports.fetch()?.response();
        let result = call
            .run(guest.call_read(&mut *store, response, CHUNK_SIZE))
            .await?;
        match self.instance.end(result)? {
            Ok(bytes) => Ok(bytes.map(Bytes::from)),
            Err(code) => Err(self.error(code)),
        }
    }

    /// Write the rest of the body to `writer`, flush it, and return the number of bytes.
    ///
    /// A separate thread writes, so a slow writer delays nothing else. At most 1 MiB waits for it.
    /// A body that needs no decoding does not pass through the component's memory.
    ///
    /// # Errors
    /// [`Error::Write`] with the writer's error, [`Error::Internal`] if no thread can be started,
    /// and those of [`Response::chunk`]. Bytes received before an error are written, unless the
    /// writer takes too long.
    ///
    /// # Cancel safety
    /// A future that is dropped before its end leaves an instance that can't be used any more. The
    /// thread drops the writer after the current write.
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
        self.transfer(output::to_writer(writer), None).await
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
        self.transfer(output::to_writer(writer), Some(&mut progress))
            .await
    }

    /// As [`Response::write_to_with_progress`], but to a file. A regular file is written without
    /// another thread, which takes half the time.
    ///
    /// A slow disk then blocks the thread that polls this future: limits are enforced, and the future can
    /// be dropped, only after the write. If disks may hang, use [`Response::write_to_with_progress`], or
    /// watch the time on another thread, as the `sockbox` command does.
    ///
    /// # Errors
    /// As [`Response::write_to`].
    ///
    /// # Cancel safety
    /// As [`Response::write_to`].
    pub async fn write_to_file<P>(&mut self, file: File, mut progress: P) -> Result<u64>
    where
        P: FnMut(u64) + Send,
    {
        self.transfer(output::to_file(file), Some(&mut progress))
            .await
    }

    /// The trailer fields after a chunked body. Empty until the body has ended.
    ///
    /// # Errors
    /// What ends the instance: see [`Instance::fetch`].
    ///
    /// # Cancel safety
    /// A future that is dropped before its end leaves an instance that can't be used any more.
    pub async fn trailers(&mut self) -> Result<Vec<Header>> {
        let response = self.resource()?;
        let call = self.instance.begin().await?;
        let (store, exports) = self.instance.parts();
        let guest = exports.fetch()?.response();
        let result = call.run(guest.call_trailers(&mut *store, response)).await?;
        let trailers = self.instance.end(result)?;
        Ok(trailers.into_iter().map(Header::from).collect())
    }

    /// Discard the rest of the body now. If the body was not complete, its connection is closed.
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

    pub(super) fn resource(&self) -> Result<ResourceAny> {
        self.response
            .ok_or_else(|| Error::internal("the response is closed"))
    }

    pub(super) fn error(&self, code: wit::ErrorCode) -> Error {
        let incidents = self.instance.authority().incidents_since(self.mark);
        error(&incidents, &self.host, &self.head.url, code)
    }

    async fn transfer<W>(
        &mut self,
        sink: io::Result<(DynOutputStream, End<W>)>,
        mut progress: Option<&mut (dyn FnMut(u64) + Send)>,
    ) -> Result<u64> {
        let (sink, end) =
            sink.map_err(|error| Error::internal(format_args!("cannot start a thread: {error}")))?;
        let (store, _) = self.instance.parts();
        let output = store.data_mut().table.push(sink).map_err(Error::internal)?;
        let moved = self.pump(&output, &end, &mut progress).await;
        let (store, _) = self.instance.parts();
        // The component's part of it is freed with the instance.
        let released = store.data_mut().table.delete(output);
        match moved {
            Ok(total) => {
                released.map_err(Error::internal)?;
                // The reader may take the remaining time of the run.
                let written = self.instance.wait(end.finish()).await?;
                written.map_err(|source| Error::Write { source })?;
                if let Some(progress) = &mut progress {
                    progress(total);
                }
                Ok(total)
            }
            // The writer has the reason.
            Err(Failure::Output) => Err(match end.finish().await {
                Err(source) => Error::Write { source },
                Ok(()) => Error::internal("the output was closed by the component"),
            }),
            Err(Failure::Other(error)) => {
                // Write the received bytes if that is quick. A second error is not reported.
                let _ = tokio::time::timeout(PATIENCE_AFTER_FAILURE, end.finish()).await;
                Err(*error)
            }
        }
    }

    /// Let the component move the body to `output`, step by step.
    async fn pump<W>(
        &mut self,
        output: &Resource<DynOutputStream>,
        end: &End<W>,
        progress: &mut Option<&mut (dyn FnMut(u64) + Send)>,
    ) -> Result<u64, Failure> {
        let response = self.resource()?;
        let mut total = 0;
        loop {
            let call = self.instance.begin().await?;
            let (store, exports) = self.instance.parts();
            let guest = exports.fetch()?.response();
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
                Err(code) => return Err(self.error(code).into()),
            }
        }
    }
}

impl Drop for Response<'_> {
    fn drop(&mut self) {
        self.instance.authority().not_redirected();
        if let Some(response) = self.response.take() {
            self.instance.discard(response);
        }
    }
}

/// Wait for `step`, and report the writer's progress meanwhile.
async fn with_progress<W, F: Future>(
    step: F,
    end: &End<W>,
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
    /// Writing to the output failed.
    Output,
    Other(Box<Error>),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure::Other(Box::new(error))
    }
}

impl Head {
    /// The head of a response that has come over a connection of `instance`.
    pub(super) fn new(head: wit::ResponseHead, instance: &Instance) -> Head {
        let local = head.local_address.into();
        let proxy = instance.proxied_by(local);
        let remote = head.remote_address.into();
        Head {
            minor_version: head.minor_version,
            status: head.status,
            reason: head.reason,
            headers: head.headers.into_iter().map(Header::from).collect(),
            raw: head.raw,
            url: head.url,
            remote: proxy.map_or(remote, |proxy| proxy.address),
            local,
            proxy,
            content_length: head.content_length,
            reused: head.reused,
            connect_failures: head
                .connect_failures
                .into_iter()
                .map(ConnectFailure::from)
                .collect(),
            request_head_size: head.request_head_size,
            uploaded: head.uploaded,
            timings: head.timings.into(),
        }
    }
}

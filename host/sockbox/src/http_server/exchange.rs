//! One request of a client, and its response.

use super::client::Client;
use super::event::{HttpEvent, add};
use super::received::{BodyProblem, ReceivedBody};
use super::shared::Shared;
use super::status::{Refusal, STOPPED, text};
use crate::audit::{HandledRequest, RunId};
use crate::error::{Error, ResponseProblem};
use crate::handler::{HandlerBody, Slot, authority_of};
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HOST, HeaderValue};
use http::{Method, Request, Response, StatusCode, Version};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Instant;

/// The most bytes that the server reads of the body of a response that has none on the wire, as to HEAD: 1 MiB. The
/// component can then finish the body as it is used to.
const MAX_UNSENT: u64 = 1024 * 1024;

/// The most bytes of a method that the log shows: 100.
const MAX_METHOD: usize = 100;

/// A request that is under way. When it is dropped, it has ended, which is logged and recorded.
pub(super) struct Exchange {
    shared: Arc<Shared>,
    client: Arc<Client>,
    run: Option<RunId>,
    started: Instant,
    request: HandledRequest,
    received: Arc<AtomicU64>,
    /// Whether the whole response was given to hyper.
    is_complete: bool,
}

impl Exchange {
    pub(super) fn new(
        shared: Arc<Shared>,
        client: Arc<Client>,
        request: &Request<Incoming>,
    ) -> Exchange {
        client.is_active.store(true, Ordering::Relaxed);
        client.in_head.store(false, Ordering::Relaxed);
        add(&shared.counts.active, 1);
        let method = request.method().as_str();
        let method = &method[..method.floor_char_boundary(MAX_METHOD)];
        Exchange {
            request: HandledRequest::new(client.remote, method, request.uri().path()),
            shared,
            client,
            run: None,
            started: Instant::now(),
            received: Arc::default(),
            is_complete: false,
        }
    }

    /// Respond to a request.
    pub(super) async fn respond(mut self, request: Request<Incoming>) -> Response<ServerBody> {
        let method = request.method().clone();
        let body = match self.answer(request).await {
            Ok(response) => response.map(|body| Content::Component(Box::new(body))),
            Err(refusal) => {
                let response = refusal.response();
                self.request.error = Some(refusal.reason);
                response.map(Content::Own)
            }
        };
        let status = body.status();
        self.request.status = Some(status.as_u16());
        let length = body.headers().get(CONTENT_LENGTH);
        let length = length.and_then(|value| value.to_str().ok()?.parse().ok());
        let is_unsent = method == Method::HEAD
            || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        body.map(|content| ServerBody {
            content: Some(content),
            length,
            failed: None,
            is_unsent,
            exchange: self,
        })
    }

    async fn answer(
        &mut self,
        mut request: Request<Incoming>,
    ) -> Result<Response<HandlerBody>, Refusal> {
        self.check(&mut request)?;
        let slot = self.slot().await?;
        let shared = self.shared.clone();
        let prepared = shared.handler.prepare(Some(&shared.authority));
        let prepared = prepared.map_err(|error| {
            Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, text(&Arc::new(error)))
        })?;
        self.run = Some(prepared.run());
        let problem = BodyProblem::default();
        let request = request.map(|body| {
            ReceivedBody::new(
                body,
                shared.options.max_body_bytes,
                shared.options.body_timeout,
                self.received.clone(),
                problem.clone(),
                self.client.clone(),
            )
        });
        let response = match prepared.begin(request, slot).await {
            Ok(response) => response,
            // The body is what was wrong, whatever the component has made of it.
            Err(no_response) => {
                return Err(problem
                    .refusal()
                    .unwrap_or_else(|| Refusal::of(no_response)));
            }
        };
        if response.status().is_informational() {
            let status = response.status().as_u16();
            return Err(Refusal::new(
                StatusCode::BAD_GATEWAY,
                format!("the component responded with the status {status}, which is not final"),
            ));
        }
        Ok(response)
    }

    /// Refuse what can't be handled, before there is an instance for it.
    fn check(&self, request: &mut Request<Incoming>) -> Result<(), Refusal> {
        let bad = |reason| Refusal::new(StatusCode::BAD_REQUEST, reason).closing();
        if request.method() == Method::CONNECT {
            let reason = "CONNECT can't be handled";
            return Err(Refusal::new(StatusCode::NOT_IMPLEMENTED, reason).closing());
        }
        if request.version() == Version::HTTP_10 && !request.headers().contains_key(HOST) {
            // HTTP/1.0 has no such header. The client connected to this address.
            let host = HeaderValue::from_str(&self.client.local.to_string());
            let host = host.map_err(|_| bad("the server's address can't be a host"))?;
            request.headers_mut().insert(HOST, host);
        }
        // RFC 9112 section 3.2: exactly one, also where the target has an authority.
        let hosts = request.headers().get_all(HOST).iter().count();
        if hosts != 1 || authority_of(request).is_none() {
            return Err(bad("there is not exactly one valid Host header"));
        }
        let length = request.headers().get(CONTENT_LENGTH);
        let length: Option<u64> = length.and_then(|value| value.to_str().ok()?.parse().ok());
        match (length, self.shared.options.max_body_bytes) {
            (Some(length), Some(limit)) if length > limit => Err(Refusal::too_large(limit)),
            _ => Ok(()),
        }
    }

    /// Wait for a place among the requests that are handled at once.
    async fn slot(&self) -> Result<Slot, Refusal> {
        let shared = &self.shared;
        let acquired = match shared.requests.clone().try_acquire_owned() {
            Ok(permit) => Some(permit),
            Err(_) => {
                let waiting = shared.requests.clone().acquire_owned();
                let waited = tokio::time::timeout(shared.options.queue_timeout, waiting).await;
                waited.ok().and_then(Result::ok)
            }
        };
        match acquired {
            Some(permit) => Ok(Slot::new(permit, shared.over.clone())),
            None => Err(Refusal::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "too many requests are being handled",
            )),
        }
    }

    /// The response was given to hyper. The component may still be at work.
    fn complete(&mut self, body: &mut HandlerBody) {
        self.is_complete = true;
        body.detach();
        if let Some(run) = self.run {
            let shared = self.shared.clone();
            body.outcome().on_failure(move |error| {
                // At the end of the server every call is abandoned.
                if !matches!(*error, Error::Abandoned) {
                    add(&shared.counts.failed, 1);
                    shared.report(|| HttpEvent::Failed { run, error });
                }
            });
        }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let request = &mut self.request;
        if !self.is_complete && request.error.is_none() {
            request.error = Some(if self.client.stalled.load(Ordering::Relaxed) {
                "the client did not take the response in time".to_owned()
            } else if self.shared.over.has_changed().is_err() {
                STOPPED.to_owned()
            } else {
                "the client closed the connection".to_owned()
            });
        }
        request.received = self.received.load(Ordering::Relaxed);
        request.time = self.started.elapsed();
        self.client.is_active.store(false, Ordering::Relaxed);
        let counts = &self.shared.counts;
        counts.active.fetch_sub(1, Ordering::Relaxed);
        add(&counts.requests, 1);
        add(&counts.bytes_received, request.received);
        add(&counts.bytes_sent, request.sent);
        if request.error.is_some() {
            add(&counts.failed, 1);
        }
        let authority = &self.shared.authority;
        let run = self.run.unwrap_or(authority.run());
        authority.handled(run, || request.clone());
        self.shared.report(|| HttpEvent::Handled {
            run: self.run,
            local: self.client.local,
            request: request.clone(),
        });
    }
}

/// The body of a response, which hyper sends.
pub(super) struct ServerBody {
    /// None once it was given away.
    content: Option<Content>,
    /// The length that the response's head says.
    length: Option<u64>,
    /// An error that hyper gets next.
    failed: Option<Arc<Error>>,
    /// Whether hyper sends only the head of the response, and drops the body.
    is_unsent: bool,
    exchange: Exchange,
}

enum Content {
    Own(Full<Bytes>),
    Component(Box<HandlerBody>),
}

impl ServerBody {
    fn sent(&mut self, bytes: u64) {
        let sent = &mut self.exchange.request.sent;
        *sent = sent.saturating_add(bytes);
        // hyper does not ask for more after the last byte.
        if self.length.is_some_and(|length| *sent >= length) {
            self.complete();
        }
    }

    /// Whether the component has written less than the response's head says.
    fn is_short(&self) -> bool {
        let sent = self.exchange.request.sent;
        !self.is_unsent
            && matches!(self.content, Some(Content::Component(_)))
            && self.length.is_some_and(|length| sent < length)
    }

    fn complete(&mut self) {
        match &mut self.content {
            Some(Content::Component(body)) if !self.exchange.is_complete => {
                self.exchange.complete(body);
            }
            _ => self.exchange.is_complete = true,
        }
    }
}

impl Body for ServerBody {
    type Data = Bytes;
    type Error = Arc<Error>;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Arc<Error>>>> {
        let this = self.get_mut();
        if let Some(error) = this.failed.take() {
            return Poll::Ready(Some(Err(error)));
        }
        let frame = match &mut this.content {
            None => None,
            Some(Content::Own(body)) => match ready!(Pin::new(body).poll_frame(cx)) {
                Some(Ok(frame)) => Some(Ok(frame)),
                Some(Err(never)) => match never {},
                None => None,
            },
            Some(Content::Component(body)) => ready!(Pin::new(&mut **body).poll_frame(cx)),
        };
        let frame = match frame {
            None if this.is_short() => Some(Err(Arc::new(Error::Response {
                problem: ResponseProblem::BodyAborted,
            }))),
            frame => frame,
        };
        match &frame {
            Some(Ok(frame)) => {
                if let Some(bytes) = frame.data_ref() {
                    this.sent(bytes.len() as u64);
                } else {
                    // hyper does not ask for more after the trailers.
                    this.complete();
                }
            }
            Some(Err(error)) => {
                this.exchange.request.error = Some(text(error));
                // At an error hyper closes the connection. It sends what it has when there is nothing more for now.
                this.failed = Some(error.clone());
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            None => this.complete(),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            None => true,
            Some(Content::Own(body)) => body.is_end_stream(),
            Some(Content::Component(_)) => self.exchange.is_complete,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Some(Content::Own(body)) => body.size_hint(),
            _ => SizeHint::default(),
        }
    }
}

impl Drop for ServerBody {
    fn drop(&mut self) {
        if let Some(Content::Own(body)) = &self.content {
            self.exchange.is_complete |= body.is_end_stream();
        }
        if !self.is_unsent || self.exchange.is_complete {
            return;
        }
        match self.content.take() {
            Some(Content::Component(body)) => {
                self.exchange.is_complete = true;
                tokio::spawn(read_unsent(body));
            }
            _ => self.exchange.is_complete = true,
        }
    }
}

/// Read a body that is not sent, so that the component can finish it.
async fn read_unsent(mut body: Box<HandlerBody>) {
    let mut left = MAX_UNSENT;
    while let Some(Ok(frame)) = body.frame().await {
        let bytes = frame.data_ref().map_or(0, Bytes::len) as u64;
        match left.checked_sub(bytes) {
            Some(rest) => left = rest,
            None => return,
        }
    }
}

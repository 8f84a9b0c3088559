//! The client: sends requests over connections that it keeps and reuses.

use super::body::{Response, ResponseParts};
use super::clock::Clock;
use super::connect::{Connected, connect, tls_handshake};
use super::connection::Connection;
use super::error::{ConnectFailure, FetchError};
use super::exchange::exchange;
use super::info::{ResponseInfo, Timings};
use super::options::Options;
use super::origin::Origin;
use super::pool::{Pool, Route};
use super::prepared::PreparedRequest;
use super::request::{Request, RequestBody};
use super::send::{Payload, Sending};
use super::trace::Trace;
use crate::http1::{BodyFraming, ResponseHead};
use crate::net::{Net, Source};
use std::rc::Rc;

/// The idempotent methods (RFC 9110 section 9.2.2): to send their requests twice has the same
/// effect as to send them once.
const IDEMPOTENT: [&str; 6] = ["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"];

/// Sends requests, and keeps connections for later ones. Clones share the connections.
pub struct Client<N: Net> {
    net: N,
    pool: Pool<N::Stream>,
}

impl<N: Net> Clone for Client<N> {
    fn clone(&self) -> Self {
        Self {
            net: self.net.clone(),
            pool: self.pool.clone(),
        }
    }
}

impl<N: Net> Client<N> {
    /// A client that has no connections yet.
    pub fn new(net: N) -> Self {
        Self {
            net,
            pool: Pool::default(),
        }
    }

    /// The network that the client uses.
    pub fn net(&self) -> &N {
        &self.net
    }

    /// Sends a request and receives the response's head. The body is received when it is read from
    /// the response.
    pub async fn fetch<B: Source + 'static>(
        &self,
        request: Request<B>,
    ) -> Result<Response<N>, FetchError> {
        let clock = Clock::start(self.net.clone(), &request.options);
        let (request, body) = PreparedRequest::from_request(request)?;
        self.send(request, body, clock, 0).await
    }

    /// Sends the request that `response` redirects to. `body` is used if the redirect
    /// [sends](crate::fetch::Redirect::sends_body) the body again. The rest of that response's body
    /// is given up.
    ///
    /// # Errors
    /// - As [`Response::redirect`] and [`fetch`](Self::fetch).
    /// - [`FetchError::InvalidRequest`]: the response isn't a redirect, or there is no body to send again.
    /// - [`FetchError::TooManyRedirects`], [`FetchError::InsecureRedirect`].
    pub async fn follow<B: Source + 'static>(
        &self,
        response: &mut Response<N>,
        body: RequestBody<B>,
    ) -> Result<Response<N>, FetchError> {
        let invalid = |why: &str| FetchError::InvalidRequest(why.to_owned());
        let redirect = response
            .redirect()?
            .ok_or_else(|| invalid("there is no redirect to follow"))?;
        let options = response.request().options.clone();
        if response.redirects() >= options.max_redirects {
            return Err(FetchError::TooManyRedirects(options.max_redirects));
        }
        if redirect.downgrade && !options.downgrade {
            return Err(FetchError::InsecureRedirect(redirect.url));
        }
        let body = match (redirect.sends_body, body) {
            (false, _) => RequestBody::Empty,
            (true, RequestBody::Empty) => {
                return Err(invalid("the redirect needs the request body again"));
            }
            (true, body) => body,
        };
        let request = response.request().redirected(redirect)?;

        response.drain_body().await;
        Trace(options.trace).fact(format_args!("redirected to {}", request.target.url));
        let clock = response.clock().restart(&options);
        self.send(request, body, clock, response.redirects() + 1)
            .await
    }

    /// Sends a request that this number of redirects has led to, with the time limits of `clock`.
    async fn send<B: Source + 'static>(
        &self,
        request: PreparedRequest,
        body: RequestBody<B>,
        clock: Clock<N>,
        redirects: u32,
    ) -> Result<Response<N>, FetchError> {
        request.options.check()?;
        if request.target.secure && !N::HAS_TLS {
            return Err(FetchError::UnsupportedScheme("https".to_owned()));
        }
        let payload = Payload::from(body);
        let parts = self
            .receive_head(request, payload, clock, redirects)
            .await?;
        Response::new(parts)
    }

    /// Sends a request and receives the final response's head. If the server has closed a reused
    /// connection, the request is sent once more on a new one. If the server does not know
    /// `Expect`, the request is sent once more without it.
    async fn receive_head<B: Source + 'static>(
        &self,
        request: PreparedRequest,
        payload: Payload<B>,
        clock: Clock<N>,
        redirects: u32,
    ) -> Result<ResponseParts<N>, FetchError> {
        let options = request.options.clone();
        let trace = Trace(options.trace);
        let clock = Rc::new(clock);
        let origin = Origin::from(&request.target);
        let mut expect_continue = (payload.is_large() && !options.expect_timeout.is_zero())
            .then_some(options.expect_timeout);
        let mut may_reuse = !options.close
            && payload.is_replayable()
            && IDEMPOTENT.contains(&request.method.as_str());
        loop {
            let head = request.encode(&payload, expect_continue.is_some())?;
            let request_head_size = head.len() as u64;
            let (connection, failures, mut timings) = self
                .connection(&origin, &clock, &options, may_reuse, &trace)
                .await?;
            trace.sent(&head);
            let sending = Sending::<N> {
                stream: connection.stream().clone(),
                clock: clock.clone(),
                progress: connection.progress().clone(),
            };
            connection.begin(Box::pin(sending.send(
                head,
                payload.clone(),
                expect_continue,
            )));
            let received = match exchange(&connection, &clock, &options.limits, &trace).await {
                Ok(received) => received,
                Err(failed)
                    if connection.reused()
                        && !failed.answered
                        && is_lost(&failed.error)
                        && payload.is_whole() =>
                {
                    trace.fact(
                        "the server has closed the reused connection: sending the request again",
                    );
                    may_reuse = false;
                    continue;
                }
                Err(failed) => return Err(failed.error),
            };
            if received.head.status == 417 && expect_continue.is_some() && payload.is_whole() {
                trace.fact(
                    "the server doesn't support Expect: sending the request again without it",
                );
                expect_continue = None;
                continue;
            }
            let framing = BodyFraming::of(&request.method, &received.head)?;
            if let Some(why) = why_not_again(&options, framing, &received.head) {
                connection.mark_not_reusable(why);
            }
            let progress = connection.progress();
            timings.first_byte = received.first_byte;
            // A response can start before the request's head is sent. The head then counts as sent
            // when the response starts.
            let sent = progress.head_sent().unwrap_or(received.first_byte);
            timings.sent = sent.min(received.first_byte);
            timings.head = clock.elapsed();
            let info = ResponseInfo {
                content_length: content_length(&request.method, framing, &received.head)?,
                head: received.head,
                url: request.target.url.clone(),
                remote: connection.remote_addr(),
                local: connection.local_addr(),
                reused: connection.reused(),
                failures,
                request_head_size,
                uploaded: progress.uploaded(),
                timings,
            };
            return Ok(ResponseParts {
                net: self.net.clone(),
                request,
                redirects,
                clock,
                connection,
                info,
                framing,
                rest: received.rest,
            });
        }
    }

    /// A connection to `origin`: an idle one if there is one and `may_reuse` allows it, or else a
    /// new one.
    async fn connection(
        &self,
        origin: &Origin,
        clock: &Clock<N>,
        options: &Options,
        may_reuse: bool,
        trace: &Trace,
    ) -> Result<(Connection<N>, Vec<ConnectFailure>, Timings), FetchError> {
        let old = match may_reuse {
            true => self.pool.take(
                origin,
                &options.static_hosts,
                options.family,
                self.net.now(),
                trace,
            ),
            false => None,
        };
        if let Some((stream, route)) = old {
            let pool = self.pool.clone();
            let connection = Connection::new(stream, pool, route, true, *trace);
            let remote = connection.remote_addr();
            trace.fact(format_args!("using the connection to {remote} again"));
            let now = clock.elapsed();
            let timings = Timings::reached(now, now, now);
            return Ok((connection, Vec::new(), timings));
        }
        let Connected {
            stream,
            from_static_host,
            failures,
            resolved,
        } = connect(&self.net, clock, origin, options, trace).await?;
        let connected = clock.elapsed();
        let stream = match origin.secure {
            true => tls_handshake(&self.net, clock, origin, stream, trace).await?,
            false => stream,
        };
        let route = Route {
            origin: origin.clone(),
            from_static_host,
        };
        let pool = self.pool.clone();
        let connection = Connection::new(Rc::new(stream), pool, route, false, *trace);
        Ok((
            connection,
            failures,
            Timings::reached(resolved, connected, clock.elapsed()),
        ))
    }
}

/// The size of the body. For a response to `HEAD`, the size of the body that `GET` would return.
fn content_length(
    method: &str,
    framing: BodyFraming,
    head: &ResponseHead,
) -> Result<Option<u64>, FetchError> {
    Ok(match framing {
        _ if method == "HEAD" => head.content_length()?,
        BodyFraming::Empty => Some(0),
        BodyFraming::Length(length) => Some(length),
        BodyFraming::Chunked | BodyFraming::UntilClose => None,
    })
}

/// Whether the error is about the connection and not about the request.
fn is_lost(error: &FetchError) -> bool {
    matches!(
        error,
        FetchError::EmptyResponse | FetchError::SendFailed(_) | FetchError::ReceiveFailed(_)
    )
}

/// Why the response's head rules out another request on the same connection (RFC 9112 sections 6.1,
/// 6.3 and 9.3).
fn why_not_again(
    options: &Options,
    framing: BodyFraming,
    head: &ResponseHead,
) -> Option<&'static str> {
    let has = |option: &[u8]| {
        head.values("Connection")
            .flat_map(|value| value.split(|&byte| byte == b','))
            .any(|item| item.trim_ascii().eq_ignore_ascii_case(option))
    };
    let coded = head.values("Transfer-Encoding").next().is_some();
    if options.close {
        Some("the request asked the server to close it")
    } else if has(b"close") {
        Some("the server closes it")
    } else if head.minor_version == 0 && !has(b"keep-alive") {
        Some("the server uses HTTP/1.0")
    } else if framing == BodyFraming::UntilClose {
        Some("the body ends when the connection closes")
    } else if coded && head.minor_version == 0 {
        Some("HTTP/1.0 has no transfer codings")
    } else if coded && head.values("Content-Length").next().is_some() {
        Some("the response has both Content-Length and Transfer-Encoding")
    } else {
        None
    }
}

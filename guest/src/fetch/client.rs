//! Requests, and the connections that they share.

use super::body::Response;
use super::clock::Clock;
use super::coding::ACCEPTED;
use super::connect::{Connected, connect, secure};
use super::connection::Connection;
use super::error::FetchError;
use super::exchange::exchange;
use super::pool::{Origin, Pool, Route};
use super::send::{Payload, RequestBody, Sending};
use super::trace::Trace;
use super::{ConnectFailure, Options, Request, ResponseInfo, Timings, USER_AGENT};
use crate::http1::{BodyFraming, Header, RequestHead, ResponseHead};
use crate::net::{Net, Source};
use crate::url::{self, Credentials, Target};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use std::rc::Rc;
use std::time::Duration;

/// The methods whose requests do no more when they come twice (RFC 9110 section 9.2.2).
const IDEMPOTENT: [&str; 6] = ["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"];

/// Sends requests, and keeps connections for the next ones. Clones share theirs.
pub struct Client<N: Net> {
    net: N,
    pool: Pool<N::Stream>,
}

/// A request but for its body: what the requests that redirects make of it begin with.
#[derive(Clone)]
pub(super) struct Question {
    pub method: String,
    pub target: Target,
    /// The caller's fields.
    pub headers: Vec<Header>,
    pub omit: Vec<String>,
    /// Whether a body follows.
    pub has_body: bool,
    pub options: Rc<Options>,
}

/// A response's head, and all that its body needs.
pub(super) struct Answer<N: Net> {
    pub client: Client<N>,
    pub question: Question,
    /// How many redirects have led here.
    pub redirects: u32,
    pub clock: Rc<Clock<N>>,
    pub connection: Connection<N>,
    pub info: ResponseInfo,
    pub framing: BodyFraming,
    /// What was received behind the head.
    pub rest: Vec<u8>,
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
    /// A client without connections.
    pub fn new(net: N) -> Self {
        Self {
            net,
            pool: Pool::default(),
        }
    }

    /// What the client runs over.
    pub fn net(&self) -> &N {
        &self.net
    }

    /// Sends a request and receives the response's head. The body is received when the response is
    /// asked for it.
    pub async fn fetch<B: Source + 'static>(
        &self,
        request: Request<B>,
    ) -> Result<Response<N>, FetchError> {
        let clock = Clock::start(self.net.clone(), &request.options);
        let question = Question {
            method: request.method,
            target: url::parse(&request.url)?,
            headers: request.headers,
            omit: request.omit,
            has_body: !matches!(request.body, RequestBody::Empty),
            options: Rc::new(request.options),
        };
        self.ask(question, request.body, clock, 0).await
    }

    /// Sends a request in the time that `clock` gives, the one that so many redirects have led to.
    pub(super) async fn ask<B: Source + 'static>(
        &self,
        question: Question,
        body: RequestBody<B>,
        clock: Clock<N>,
        redirects: u32,
    ) -> Result<Response<N>, FetchError> {
        question.options.check()?;
        if question.target.secure && !N::HAS_TLS {
            return Err(FetchError::UnsupportedScheme("https".to_owned()));
        }
        let payload = Payload::from(body);
        let answer = self.answer(question, payload, clock, redirects).await?;
        Response::new(answer)
    }

    async fn answer<B: Source + 'static>(
        &self,
        question: Question,
        payload: Payload<B>,
        clock: Clock<N>,
        redirects: u32,
    ) -> Result<Answer<N>, FetchError> {
        let options = question.options.clone();
        let trace = Trace(options.trace);
        let clock = Rc::new(clock);
        let origin = Origin::from(&question.target);
        let mut hold = (payload.is_large() && !options.expect_timeout.is_zero())
            .then_some(options.expect_timeout);
        let mut may_reuse = !options.close
            && payload.is_replayable()
            && IDEMPOTENT.contains(&question.method.as_str());
        loop {
            let head = question.encode(&payload, hold.is_some())?;
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
            connection.begin(Box::pin(sending.send(head, payload.clone(), hold)));
            let received = match exchange(&connection, &clock, &options.limits, &trace).await {
                Ok(received) => received,
                Err(failed)
                    if connection.reused()
                        && !failed.answered
                        && is_lost(&failed.error)
                        && payload.is_whole() =>
                {
                    trace.fact("the server has closed the connection meanwhile: once more");
                    may_reuse = false;
                    continue;
                }
                Err(failed) => return Err(failed.error),
            };
            if received.head.status == 417 && hold.is_some() && payload.is_whole() {
                trace.fact("the server doesn't know Expect: once more without it");
                hold = None;
                continue;
            }
            let framing = BodyFraming::of(&question.method, &received.head)?;
            if let Some(why) = why_not_again(&options, framing, &received.head) {
                connection.mark_not_reusable(why);
            }
            let progress = connection.progress();
            timings.first_byte = received.first_byte;
            // An answer that didn't wait for all of the head came after it nevertheless.
            let sent = progress.head_sent().unwrap_or(received.first_byte);
            timings.sent = sent.min(received.first_byte);
            timings.head = clock.elapsed();
            let info = ResponseInfo {
                content_length: content_length(&question.method, framing, &received.head)?,
                head: received.head,
                url: question.target.url.clone(),
                remote: connection.remote_addr(),
                local: connection.local_addr(),
                reused: connection.reused(),
                failures,
                request_head_size,
                uploaded: progress.uploaded(),
                timings,
            };
            return Ok(Answer {
                client: self.clone(),
                question,
                redirects,
                clock,
                connection,
                info,
                framing,
                rest: received.rest,
            });
        }
    }

    /// A connection to `origin`, an old one if there is one and it may be.
    async fn connection(
        &self,
        origin: &Origin,
        clock: &Clock<N>,
        options: &Options,
        may_reuse: bool,
        trace: &Trace,
    ) -> Result<(Connection<N>, Vec<ConnectFailure>, Timings), FetchError> {
        let old = match may_reuse {
            true => self
                .pool
                .take(origin, &options.pins, options.family, self.net.now(), trace),
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
            pinned,
            failures,
            looked_up,
        } = connect(&self.net, clock, origin, options, trace).await?;
        let connected = clock.elapsed();
        let stream = match origin.secure {
            true => secure(&self.net, clock, origin, stream, trace).await?,
            false => stream,
        };
        let route = Route {
            origin: origin.clone(),
            pinned,
        };
        let pool = self.pool.clone();
        let connection = Connection::new(Rc::new(stream), pool, route, false, *trace);
        Ok((
            connection,
            failures,
            Timings::reached(looked_up, connected, clock.elapsed()),
        ))
    }
}

impl Question {
    fn encode<B>(&self, payload: &Payload<B>, expect: bool) -> Result<Vec<u8>, FetchError> {
        let mut headers = self.headers.clone();
        if let Some(credentials) = &self.target.credentials
            && !headers.iter().any(|header| header.is("Authorization"))
        {
            headers.push(basic(credentials)?);
        }
        let head = RequestHead {
            method: &self.method,
            target: &self.target.path,
            host: &self.target.authority,
            user_agent: USER_AGENT,
            accept_encoding: self.options.decode.then_some(ACCEPTED),
            headers: &headers,
            omit: &self.omit,
            body: payload.framing(),
            expect_continue: expect,
            close: self.options.close,
        };
        Ok(head.encode()?)
    }
}

/// The size of the body, or for the answer to `HEAD` that of the body which `GET` would give.
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

/// Whether the connection, rather than anything about the request, is at fault.
fn is_lost(error: &FetchError) -> bool {
    matches!(
        error,
        FetchError::EmptyResponse | FetchError::SendFailed(_) | FetchError::ReceiveFailed(_)
    )
}

/// Why no other request may be sent on the connection that a response came over, as far as its head
/// tells (RFC 9112 sections 6.1, 6.3 and 9.3).
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
        Some("the server was told to close it")
    } else if has(b"close") {
        Some("the server closes it")
    } else if head.minor_version == 0 && !has(b"keep-alive") {
        Some("the server speaks HTTP/1.0")
    } else if framing == BodyFraming::UntilClose {
        Some("the page ends with it")
    } else if coded && head.minor_version == 0 {
        Some("HTTP/1.0 has no transfer codings")
    } else if coded && head.values("Content-Length").next().is_some() {
        Some("the server gave the page two ends")
    } else {
        None
    }
}

/// The credentials of a URL as RFC 7617 sends them.
fn basic(credentials: &Credentials) -> Result<Header, FetchError> {
    // Section 2: the first colon ends the name, so none can be in it.
    if credentials.username.contains(&b':') {
        let why = "a user name for Basic authentication can't have a colon in it";
        return Err(FetchError::InvalidRequest(why.to_owned()));
    }
    let pair = [&credentials.username, &b":"[..], &credentials.password].concat();
    Ok(Header {
        name: "Authorization".to_owned(),
        value: format!("Basic {}", BASE64_STANDARD.encode(pair)).into_bytes(),
    })
}

impl Timings {
    fn reached(lookup: Duration, connect: Duration, handshake: Duration) -> Self {
        Self {
            lookup,
            connect,
            handshake,
            ..Self::default()
        }
    }
}

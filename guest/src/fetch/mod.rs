//! One request and its response.

mod body;
mod clock;
mod connect;
mod error;
mod exchange;
mod send;
#[cfg(test)]
mod tests;
mod trace;

pub use body::Response;
pub use clock::Timeouts;
pub use connect::ConnectFailure;
pub use error::{Denied, FetchError, Limit, Stage, Timeout};
pub use send::RequestBody;

use crate::http1::{BodyDecoder, BodyFraming, Header, Limits, RequestHead, ResponseHead};
use crate::net::{Net, Source, Stream};
use crate::url::{self, Credentials};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use clock::Clock;
use std::net::SocketAddr;
use trace::Trace;

/// What servers are told that we are, unless the caller says otherwise.
const USER_AGENT: &str = concat!("sockbox/", env!("CARGO_PKG_VERSION"));

/// What to ask for.
pub struct Request<B> {
    /// The method, sent as it is.
    pub method: String,
    /// An absolute `http` URL.
    pub url: String,
    /// Header fields to add, or to put in the place of our own.
    pub headers: Vec<Header>,
    /// What follows the head.
    pub body: RequestBody<B>,
    /// Bounds, and whether to tell what happens.
    pub options: Options,
}

/// Bounds on one request, and whether to tell what happens.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// How long each stage, and all of it, may take.
    pub timeouts: Timeouts,
    /// How large the response may be.
    pub limits: Limits,
    /// The most bytes of body; none for no bound.
    pub max_body_size: Option<u64>,
    /// Where to tell what is done, sent and received, a line per fact.
    pub trace: Option<fn(&str)>,
}

/// What is known of a response when its head has arrived.
#[derive(Debug, Clone)]
pub struct ResponseInfo {
    /// What the server said.
    pub head: ResponseHead,
    /// The URL that this is the response of, without fragment and credentials.
    pub url: String,
    /// The server's end of the connection.
    pub remote: SocketAddr,
    /// Our end of the connection.
    pub local: SocketAddr,
    /// The body's size where the head tells it.
    pub content_length: Option<u64>,
}

/// Sends a request and receives the response's head. The body is received when the response is
/// asked for it.
pub async fn fetch<N: Net, B: Source>(
    net: &N,
    request: Request<B>,
) -> Result<Response<N>, FetchError> {
    let Request {
        method,
        url,
        mut headers,
        body,
        options,
    } = request;
    let trace = Trace(options.trace);
    let target = url::parse(&url)?;
    if let Some(credentials) = &target.credentials
        && !headers.iter().any(|header| header.is("Authorization"))
    {
        headers.push(basic(credentials)?);
    }
    let head = RequestHead {
        method: &method,
        target: &target.path,
        host: &target.authority,
        user_agent: USER_AGENT,
        headers: &headers,
        body: body.framing(),
    }
    .encode()?;
    let clock = Clock::start(net.clone(), options.timeouts);

    let stream = connect::connect(&clock, &target, &trace).await?;
    let head = exchange::exchange(&stream, &clock, &options.limits, head, body, &trace).await?;
    let framing = BodyFraming::of(&method, &head.head)?;
    let decoder = BodyDecoder::new(framing, &options.limits);
    if let (Some(length), Some(max)) = (decoder.content_length(), options.max_body_size)
        && length > max
    {
        return Err(FetchError::LimitExceeded(Limit::BodySize));
    }
    let info = ResponseInfo {
        content_length: match method.as_str() {
            "HEAD" => head.head.content_length()?,
            _ => decoder.content_length(),
        },
        head: head.head,
        url: target.url,
        remote: stream.remote_addr(),
        local: stream.local_addr(),
    };
    Ok(Response::new(
        info,
        stream,
        clock,
        decoder,
        head.rest,
        options.max_body_size,
    ))
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

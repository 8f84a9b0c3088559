//! Requests and their responses.

mod body;
mod client;
mod clock;
mod coding;
mod connect;
mod connection;
mod error;
mod exchange;
mod pool;
mod redirect;
mod send;
mod speed;
#[cfg(test)]
mod tests;
mod trace;

pub use body::Response;
pub use client::Client;
pub use clock::Timeouts;
pub use coding::{CodingError, ContentDecoder, Step};
pub use connect::{ATTEMPT_DELAY, ConnectFailure, Family, Pin};
pub use error::{Bound, Denied, FetchError, Limit, Stage, Timeout};
pub use redirect::Redirect;
pub use send::RequestBody;
pub use speed::MinSpeed;

use crate::http1::{Header, Limits, ResponseHead};
use std::net::SocketAddr;
use std::time::Duration;

/// What servers are told that we are, unless the caller says otherwise.
const USER_AGENT: &str = concat!("sockbox/", env!("CARGO_PKG_VERSION"));

/// What to ask for.
pub struct Request<B> {
    /// The method, sent as it is.
    pub method: String,
    /// An absolute `http` or `https` URL.
    pub url: String,
    /// Header fields to add, or to put in the place of our own.
    pub headers: Vec<Header>,
    /// The names of fields of our own to leave out.
    pub omit: Vec<String>,
    /// What follows the head.
    pub body: RequestBody<B>,
    /// Bounds, and whether to tell what happens.
    pub options: Options,
}

/// How long the server has to ask for a body, unless the caller says otherwise.
pub const EXPECT_TIMEOUT: Duration = Duration::from_secs(1);

/// How many redirects are followed, unless the caller says otherwise.
pub const MAX_REDIRECTS: u32 = 30;

/// How one request is made, and its bounds.
#[derive(Debug, Clone)]
pub struct Options {
    /// How long each stage, and all of it, may take.
    pub timeouts: Timeouts,
    /// How long an attempt to connect has for itself before the next address is tried beside it.
    /// Default: [`ATTEMPT_DELAY`].
    pub attempt_delay: Duration,
    /// How long a large body waits for the server to ask for it; nothing for not asking. Default:
    /// [`EXPECT_TIMEOUT`].
    pub expect_timeout: Duration,
    /// The slowest that a body may be, either way.
    pub min_speed: Option<MinSpeed>,
    /// The most bytes of a body in a second, either way; more than none.
    pub max_speed: Option<u64>,
    /// How large the response's head and trailers may be.
    pub limits: Limits,
    /// The most bytes of body, decoded; none for no bound.
    pub max_body_size: Option<u64>,
    /// How many redirects in a row may be followed. Default: [`MAX_REDIRECTS`].
    pub max_redirects: u32,
    /// Whether they may lead from `https` to `http`.
    pub downgrade: bool,
    /// The only family of addresses to use.
    pub family: Option<Family>,
    /// What isn't looked up.
    pub pins: Vec<Pin>,
    /// Whether to ask for a coded body and decode it.
    pub decode: bool,
    /// Whether to use a new connection, and have it closed.
    pub close: bool,
    /// Where to tell what is done, sent and received, a line per fact.
    pub trace: Option<fn(&str)>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            timeouts: Timeouts::default(),
            attempt_delay: ATTEMPT_DELAY,
            expect_timeout: EXPECT_TIMEOUT,
            min_speed: None,
            max_speed: None,
            limits: Limits::default(),
            max_body_size: None,
            max_redirects: MAX_REDIRECTS,
            downgrade: false,
            family: None,
            pins: Vec::new(),
            decode: false,
            close: false,
            trace: None,
        }
    }
}

impl Options {
    /// Refuses what can't be meant.
    fn check(&self) -> Result<(), FetchError> {
        let why = if self.max_speed == Some(0) {
            "with a speed of 0 nothing could be sent"
        } else if self.min_speed.is_some_and(|min| min.period.is_zero()) {
            "a speed takes a time to be measured over"
        } else if self.pins.iter().any(|pin| pin.addresses.is_empty()) {
            "a name was given no addresses"
        } else {
            return Ok(());
        };
        Err(FetchError::InvalidRequest(why.to_owned()))
    }
}

/// When each stage of a request was over, from its beginning. A stage that did not take place was
/// over when the one before it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Timings {
    /// The addresses were known.
    pub lookup: Duration,
    /// The connection was there.
    pub connect: Duration,
    /// TLS was agreed upon.
    pub handshake: Duration,
    /// The request's head was on its way.
    pub sent: Duration,
    /// The first byte of the answer was there.
    pub first_byte: Duration,
    /// The response's head was there.
    pub head: Duration,
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
    /// The body's size where the head tells it, and it isn't decoded.
    pub content_length: Option<u64>,
    /// Whether the connection had been used before.
    pub reused: bool,
    /// What could not be connected to before.
    pub failures: Vec<ConnectFailure>,
    /// The size of the request's head in bytes.
    pub request_head_size: u64,
    /// How many bytes of the request's body had been sent.
    pub uploaded: u64,
    pub timings: Timings,
}

//! The options of a request, and their defaults.

use super::address::{Family, StaticHost};
use super::error::FetchError;
use super::speed::MinSpeed;
use crate::http1::Limits;
use std::time::Duration;

/// The default time between two attempts to connect (RFC 8305 section 5).
pub const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// The default time that the server has to ask for a body with `100 Continue`.
pub const EXPECT_TIMEOUT: Duration = Duration::from_secs(1);

/// The default number of redirects that may be followed.
pub const MAX_REDIRECTS: u32 = 30;

/// How a request is made, and its limits.
#[derive(Debug, Clone)]
pub struct Options {
    /// How long each stage and the whole request may take.
    pub timeouts: Timeouts,
    /// How long an attempt to connect runs before the next address is tried concurrently. Default:
    /// [`ATTEMPT_DELAY`].
    pub attempt_delay: Duration,
    /// How long a large body waits for the server to ask for it. With zero the server is not asked.
    /// Default: [`EXPECT_TIMEOUT`].
    pub expect_timeout: Duration,
    /// The lowest speed of a body in either direction.
    pub min_speed: Option<MinSpeed>,
    /// The most bytes of a body per second in either direction; not 0.
    pub max_speed: Option<u64>,
    /// The limits on the size of the response's head and trailers.
    pub limits: Limits,
    /// The most bytes of the decoded body; `None` for no limit.
    pub max_body_size: Option<u64>,
    /// How many redirects in a row may be followed. Default: [`MAX_REDIRECTS`].
    pub max_redirects: u32,
    /// Whether redirects may lead from `https` to `http`.
    pub downgrade: bool,
    /// The only family of addresses to use.
    pub family: Option<Family>,
    /// The hosts whose addresses are given, and which are not resolved.
    pub static_hosts: Vec<StaticHost>,
    /// Whether to ask for a body with content codings, and to decode it.
    pub decode: bool,
    /// Whether to use a new connection, and have the server close it.
    pub close: bool,
    /// The function that gets a trace of what is done, sent and received, line by line.
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
            static_hosts: Vec::new(),
            decode: false,
            close: false,
            trace: None,
        }
    }
}

impl Options {
    /// Refuses options that make no sense.
    pub(super) fn check(&self) -> Result<(), FetchError> {
        let why = if self.max_speed == Some(0) {
            "the maximum speed is 0: nothing could be sent"
        } else if self.min_speed.is_some_and(|min| min.period.is_zero()) {
            "the minimum speed has an interval of 0: it could not be measured"
        } else if self
            .static_hosts
            .iter()
            .any(|entry| entry.addresses.is_empty())
        {
            "a static host has no addresses"
        } else {
            return Ok(());
        };
        Err(FetchError::InvalidRequest(why.to_owned()))
    }
}

/// How long each stage of a request and the whole request may take.
///
/// The defaults ensure that no request hangs for ever. Each is well above what a working server or
/// resolver needs, and well below what a person waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// Resolving the host's name.
    pub resolve: Duration,
    /// Connecting, for all addresses of the host together.
    pub connect: Duration,
    /// The TLS handshake, once there is a connection.
    pub handshake: Duration,
    /// From the last byte of the request to the first byte of the response.
    pub first_byte: Duration,
    /// How long the peer may send nothing within the response, or take nothing of the request.
    pub idle: Duration,
    /// The whole request, redirects included; `None` for no limit.
    pub total: Option<Duration>,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            resolve: Duration::from_secs(10),
            connect: Duration::from_secs(30),
            handshake: Duration::from_secs(30),
            first_byte: Duration::from_secs(60),
            idle: Duration::from_secs(60),
            total: None,
        }
    }
}

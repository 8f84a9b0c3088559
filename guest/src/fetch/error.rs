//! Why there is no response, or no more of its body.

use super::connect::ConnectFailure;
use crate::http1::{Incomplete, InvalidRequest, ParseError};
use crate::net::NetError;
use crate::url::UrlError;
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

/// Why there is no response, or no more of its body: the cases of `error-code` in `wit/fetch.wit`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FetchError {
    /// The URL can't be read.
    InvalidUrl(String),
    /// The URL's scheme isn't `http`.
    UnsupportedScheme(String),
    /// The request can't be sent as it stands.
    InvalidRequest(String),
    /// This was asked of the network and refused.
    Denied(Denied),
    /// The host's name has no address.
    ResolveFailed { name: String, reason: NetError },
    /// None of the host's addresses could be connected to.
    ConnectFailed(Vec<ConnectFailure>),
    /// The connection broke while the request was sent.
    SendFailed(NetError),
    /// The connection broke while the response was received.
    ReceiveFailed(NetError),
    /// What the server sent isn't HTTP, or breaks its rules.
    Protocol(String),
    /// The server closed the connection without a byte.
    EmptyResponse,
    /// The server closed the connection before the body's end.
    IncompleteBody {
        received: u64,
        expected: Option<u64>,
    },
    /// Something took longer than allowed.
    Timeout(Timeout),
    /// The response is larger than allowed.
    LimitExceeded(Limit),
    /// The output takes no more.
    WriteFailed,
}

/// What was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Denied {
    Lookup(String),
    Connect(SocketAddr),
}

/// The stage that a request was in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    Lookup,
    Connect,
    Send,
    FirstByte,
    Head,
    Body,
}

/// Which time was up, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeout {
    pub stage: Stage,
    /// The bound that ended it.
    pub limit: Duration,
    /// Whether that was the bound on the whole request.
    pub total: bool,
    /// How many bytes of the body had been received.
    pub received: u64,
}

/// A limit that the response went past.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    HeadSize,
    BodySize,
    HeaderCount,
    InterimResponses,
    TrailerSize,
}

impl fmt::Display for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidUrl(why) => write!(f, "invalid URL: {why}"),
            Self::UnsupportedScheme(scheme) => {
                write!(f, "unsupported scheme {scheme:?}: only http is supported")
            }
            Self::InvalidRequest(why) => write!(f, "the request can't be sent: {why}"),
            Self::Denied(Denied::Lookup(name)) => write!(f, "not permitted to look up {name}"),
            Self::Denied(Denied::Connect(address)) => {
                write!(f, "not permitted to connect to {address}")
            }
            Self::ResolveFailed { name, reason } => {
                write!(f, "could not resolve host {name}: {reason}")
            }
            Self::ConnectFailed(failures) => {
                f.write_str("could not connect")?;
                for (index, failure) in failures.iter().enumerate() {
                    let lead = if index == 0 { " to " } else { ", " };
                    write!(f, "{lead}{}: {}", failure.address, failure.reason)?;
                }
                Ok(())
            }
            Self::SendFailed(reason) => write!(f, "could not send the request: {reason}"),
            Self::ReceiveFailed(reason) => write!(f, "could not receive the response: {reason}"),
            Self::Protocol(how) => write!(f, "not a valid HTTP response: {how}"),
            Self::EmptyResponse => f.write_str("the server closed the connection without a reply"),
            Self::IncompleteBody {
                received,
                expected: Some(expected),
            } => {
                write!(
                    f,
                    "the page was cut short: {received} of {expected} bytes received"
                )
            }
            Self::IncompleteBody {
                received,
                expected: None,
            } => {
                write!(f, "the page was cut short after {received} bytes")
            }
            Self::Timeout(timeout) => write!(f, "{timeout}"),
            Self::LimitExceeded(limit) => write!(f, "{limit}"),
            Self::WriteFailed => f.write_str("the output takes no more"),
        }
    }
}

impl fmt::Display for Timeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let doing = match self.stage {
            Stage::Lookup => "looking the name up",
            Stage::Connect => "connecting",
            Stage::Send => "sending the request",
            Stage::FirstByte => "waiting for the server's answer",
            Stage::Head => "receiving the response's head",
            Stage::Body => "receiving the page",
        };
        let seconds = self.limit.as_secs_f64();
        write!(f, "timed out after {seconds} seconds while {doing}")?;
        if self.stage == Stage::Body {
            write!(f, ", with {} bytes received", self.received)?;
        }
        Ok(())
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::HeadSize => "the response's head is larger than allowed",
            Self::BodySize => "the page is larger than allowed",
            Self::HeaderCount => "the response has more header fields than allowed",
            Self::InterimResponses => "the server sends interim responses without end",
            Self::TrailerSize => "the response's trailer is larger than allowed",
        })
    }
}

impl std::error::Error for FetchError {}

impl From<UrlError> for FetchError {
    fn from(error: UrlError) -> Self {
        match error {
            UrlError::Invalid(why) => Self::InvalidUrl(why),
            UrlError::UnsupportedScheme(scheme) => Self::UnsupportedScheme(scheme),
        }
    }
}

impl From<ParseError> for FetchError {
    fn from(error: ParseError) -> Self {
        match error {
            ParseError::EmptyResponse => Self::EmptyResponse,
            ParseError::HeadTooLarge { .. } => Self::LimitExceeded(Limit::HeadSize),
            ParseError::TooManyHeaders { .. } => Self::LimitExceeded(Limit::HeaderCount),
            ParseError::TooManyInterimResponses { .. } => {
                Self::LimitExceeded(Limit::InterimResponses)
            }
            ParseError::TrailersTooLarge { .. } | ParseError::TooManyTrailers { .. } => {
                Self::LimitExceeded(Limit::TrailerSize)
            }
            broken => Self::Protocol(broken.to_string()),
        }
    }
}

impl From<Incomplete> for FetchError {
    fn from(Incomplete { received, expected }: Incomplete) -> Self {
        Self::IncompleteBody { received, expected }
    }
}

impl From<InvalidRequest> for FetchError {
    fn from(error: InvalidRequest) -> Self {
        Self::InvalidRequest(error.to_string())
    }
}

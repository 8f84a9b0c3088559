//! Why there is no response, or no more of its body.

use super::coding::CodingError;
use super::connect::{ConnectFailure, Family};
use crate::http1::{Incomplete, InvalidRequest, ParseError};
use crate::net::{NetError, TlsError};
use crate::url::UrlError;
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

/// Why there is no response, or no more of its body: the cases of `error-code` in `wit/fetch.wit`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FetchError {
    /// The URL can't be read.
    InvalidUrl(String),
    /// The URL's scheme isn't `http`, nor `https` where there is TLS.
    UnsupportedScheme(String),
    /// The request can't be sent as it stands.
    InvalidRequest(String),
    /// This was asked of the network and refused.
    Denied(Denied),
    /// This page of `https` redirects to `http`, there, and the caller didn't permit it.
    InsecureRedirect(String),
    /// The host has no address, or none of the family that was asked for.
    ResolveFailed {
        name: String,
        family: Option<Family>,
        reason: NetError,
    },
    /// None of the host's addresses could be connected to.
    ConnectFailed(Vec<ConnectFailure>),
    /// There is no TLS to be had with the server.
    TlsFailed(String),
    /// The server's certificate doesn't prove that it is who it should be.
    CertificateRejected(String),
    /// The connection broke while the request was sent.
    SendFailed(NetError),
    /// The connection broke while the response was received.
    ReceiveFailed(NetError),
    /// What the server sent isn't HTTP, or breaks its rules.
    Protocol(String),
    /// The server closed the connection without a byte.
    EmptyResponse,
    /// The server closed the connection before the body's end. Bytes are counted as they come, coded or
    /// not.
    IncompleteBody {
        received: u64,
        expected: Option<u64>,
    },
    /// The server redirects more often than this.
    TooManyRedirects(u32),
    /// The body's content coding isn't known, or is broken.
    ContentEncoding(String),
    /// Something took longer than allowed.
    Timeout(Timeout),
    /// The response is larger than allowed.
    LimitExceeded(Limit),
    /// The output takes no more.
    WriteFailed,
}

/// The schemes of this build.
const SCHEMES: &str = match cfg!(feature = "tls") {
    true => "http and https are",
    false => "http is",
};

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
    Handshake,
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
    pub bound: Bound,
    /// Its length.
    pub limit: Duration,
    /// How many bytes of the body had been received.
    pub received: u64,
}

/// Which bound on a request's time ended it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// The stage's own.
    Stage,
    /// The one on the whole request.
    Total,
    /// The slowest speed allowed.
    Speed,
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
                write!(f, "unsupported scheme {scheme:?}: only {SCHEMES} supported")
            }
            Self::InvalidRequest(why) => write!(f, "the request can't be sent: {why}"),
            Self::Denied(Denied::Lookup(name)) => write!(f, "not permitted to look up {name}"),
            Self::Denied(Denied::Connect(address)) => {
                write!(f, "not permitted to connect to {address}")
            }
            Self::InsecureRedirect(url) => write!(
                f,
                "not permitted to go from https to {url}, where anybody on the way can read along"
            ),
            Self::ResolveFailed {
                name,
                family: Some(family),
                ..
            } => {
                write!(
                    f,
                    "could not resolve host {name}: it has no {family} address"
                )
            }
            Self::ResolveFailed {
                name,
                family: None,
                reason,
            } => {
                write!(f, "could not resolve host {name}: {reason}")
            }
            Self::ConnectFailed(failures) => {
                f.write_str("could not connect")?;
                for (index, failure) in failures.iter().enumerate() {
                    let lead = if index == 0 { " to " } else { ", " };
                    write!(f, "{lead}{}: {}", failure.address, failure.reason)?;
                    if failure.address.ip().is_unspecified() {
                        f.write_str(" (it stands for all of a machine's addresses; its own is ")?;
                        f.write_str(match failure.address.is_ipv4() {
                            true => "127.0.0.1)",
                            false => "[::1])",
                        })?;
                    }
                }
                Ok(())
            }
            Self::TlsFailed(why) => write!(f, "could not agree upon TLS: {why}"),
            Self::CertificateRejected(why) => {
                write!(f, "the server's certificate is not accepted: {why}")
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
            Self::TooManyRedirects(limit) => {
                write!(f, "the server redirects more than {limit} times")
            }
            Self::ContentEncoding(how) => write!(f, "the page can't be decoded: {how}"),
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
            Stage::Handshake => "agreeing upon TLS",
            Stage::Send => "sending the request",
            Stage::FirstByte => "waiting for the server's answer",
            Stage::Head => "receiving the response's head",
            Stage::Body => "receiving the page",
        };
        let seconds = self.limit.as_secs_f64();
        match self.bound {
            Bound::Stage | Bound::Total => {
                write!(f, "timed out after {seconds} seconds while {doing}")?;
            }
            Bound::Speed => write!(f, "slower than allowed for {seconds} seconds while {doing}")?,
        }
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

impl From<TlsError> for FetchError {
    fn from(error: TlsError) -> Self {
        match error {
            TlsError::Failed(why) => Self::TlsFailed(why),
            TlsError::Rejected(why) => Self::CertificateRejected(why),
        }
    }
}

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

impl From<CodingError> for FetchError {
    fn from(error: CodingError) -> Self {
        Self::ContentEncoding(error.to_string())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_read_well() {
        let timeout = |stage, bound, millis| {
            FetchError::Timeout(Timeout {
                stage,
                bound,
                limit: Duration::from_millis(millis),
                received: 7,
            })
        };
        let unresolved = |family| FetchError::ResolveFailed {
            name: "a.test".to_owned(),
            family,
            reason: NetError::NameUnresolvable,
        };
        let failure = |address: &str, reason| ConnectFailure {
            address: address.parse().expect("an address"),
            reason,
        };
        let cases = [
            (
                unresolved(None),
                "could not resolve host a.test: the name is unknown or has no address",
            ),
            (
                unresolved(Some(Family::Ipv6)),
                "could not resolve host a.test: it has no IPv6 address",
            ),
            (
                FetchError::ConnectFailed(vec![failure("0.0.0.0:80", NetError::ConnectionRefused)]),
                "could not connect to 0.0.0.0:80: connection refused (it stands for all of a machine's \
                 addresses; its own is 127.0.0.1)",
            ),
            (
                FetchError::ConnectFailed(vec![
                    failure("[::1]:80", NetError::TimedOut),
                    failure("127.0.0.1:80", NetError::ConnectionRefused),
                ]),
                "could not connect to [::1]:80: the peer does not answer, 127.0.0.1:80: connection refused",
            ),
            (
                timeout(Stage::Connect, Bound::Stage, 30_000),
                "timed out after 30 seconds while connecting",
            ),
            (
                timeout(Stage::Body, Bound::Total, 2500),
                "timed out after 2.5 seconds while receiving the page, with 7 bytes received",
            ),
            (
                timeout(Stage::Send, Bound::Speed, 30_000),
                "slower than allowed for 30 seconds while sending the request",
            ),
            (
                timeout(Stage::Body, Bound::Speed, 30_000),
                "slower than allowed for 30 seconds while receiving the page, with 7 bytes received",
            ),
            (
                FetchError::TooManyRedirects(30),
                "the server redirects more than 30 times",
            ),
        ];
        for (error, expected) in cases {
            assert_eq!(error.to_string(), expected);
        }
    }
}

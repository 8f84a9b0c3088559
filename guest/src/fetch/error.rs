//! Why a request failed.

use super::address::Family;
use super::coding::CodingError;
use crate::http1::{Incomplete, InvalidRequest, ParseError};
use crate::net::{NetError, TlsError};
use crate::url::UrlError;
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

/// Why a request failed: the cases of `error-code` in `wit/fetch.wit`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FetchError {
    /// The URL is invalid.
    InvalidUrl(String),
    /// The URL's scheme is neither `http` nor, in a build with TLS, `https`.
    UnsupportedScheme(String),
    /// The request is invalid and can't be sent.
    InvalidRequest(String),
    /// The network operation was denied.
    Denied(Denied),
    /// The response over `https` redirects to this URL with `http`, and the caller did not allow
    /// that.
    InsecureRedirect(String),
    /// Resolving the host failed, or it has no address of the family asked for.
    ResolveFailed {
        name: String,
        family: Option<Family>,
        reason: NetError,
    },
    /// No connection to any of the host's addresses succeeded.
    ConnectFailed(Vec<ConnectFailure>),
    /// The TLS handshake with the server failed.
    TlsFailed(String),
    /// The server's certificate was rejected.
    CertificateRejected(String),
    /// The connection failed while the request was sent.
    SendFailed(NetError),
    /// The connection failed while the response was received.
    ReceiveFailed(NetError),
    /// The response is not HTTP, or violates the protocol.
    Protocol(String),
    /// The server closed the connection without sending a byte.
    EmptyResponse,
    /// The server closed the connection before the end of the body. Bytes are counted as received,
    /// before decoding.
    IncompleteBody {
        received: u64,
        expected: Option<u64>,
    },
    /// The server redirects more than this many times.
    TooManyRedirects(u32),
    /// The body's content coding is unknown, or its data is broken.
    ContentEncoding(String),
    /// A stage or the whole request took longer than allowed.
    Timeout(Timeout),
    /// The response exceeds a limit.
    LimitExceeded(ResponseLimit),
    /// The output takes no more bytes.
    WriteFailed,
}

/// The schemes that this build supports.
const SCHEMES: &str = match cfg!(feature = "tls") {
    true => "http and https are",
    false => "http is",
};

/// The operation that was denied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Denied {
    Resolve(String),
    Connect(SocketAddr),
}

/// An address that could not be connected to, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectFailure {
    pub address: SocketAddr,
    pub reason: NetError,
}

/// The stage that a request was in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    Resolve,
    Connect,
    Handshake,
    Send,
    FirstByte,
    Head,
    Body,
}

/// Which time limit was exceeded, and in which stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeout {
    pub stage: Stage,
    /// The kind of limit.
    pub bound: TimeBound,
    /// Its duration.
    pub limit: Duration,
    /// How many bytes of the body had been received.
    pub received: u64,
}

/// The kinds of time limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeBound {
    /// The limit of the stage.
    Stage,
    /// The limit of the whole request.
    Total,
    /// The lowest speed allowed.
    Speed,
}

/// A limit that the response exceeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResponseLimit {
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
            Self::Denied(Denied::Resolve(name)) => write!(f, "not permitted to resolve {name}"),
            Self::Denied(Denied::Connect(address)) => {
                write!(f, "not permitted to connect to {address}")
            }
            Self::InsecureRedirect(url) => write!(
                f,
                "refused to follow a redirect from https to {url}: http is not encrypted"
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
                        f.write_str(" (this address can only be listened on; to reach this machine, connect to ")?;
                        f.write_str(match failure.address.is_ipv4() {
                            true => "127.0.0.1)",
                            false => "[::1])",
                        })?;
                    }
                }
                Ok(())
            }
            Self::TlsFailed(why) => write!(f, "TLS handshake failed: {why}"),
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
                    "the response body is incomplete: received {received} of {expected} bytes"
                )
            }
            Self::IncompleteBody {
                received,
                expected: None,
            } => {
                write!(
                    f,
                    "the response body is incomplete: the connection closed after {received} bytes"
                )
            }
            Self::TooManyRedirects(limit) => {
                write!(f, "the server redirects more than {limit} times")
            }
            Self::ContentEncoding(how) => write!(f, "could not decode the response body: {how}"),
            Self::Timeout(timeout) => write!(f, "{timeout}"),
            Self::LimitExceeded(limit) => write!(f, "{limit}"),
            Self::WriteFailed => f.write_str("could not write the response body to the output"),
        }
    }
}

impl fmt::Display for Timeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let doing = match self.stage {
            Stage::Resolve => "resolving the host name",
            Stage::Connect => "connecting",
            Stage::Handshake => "performing the TLS handshake",
            Stage::Send => "sending the request",
            Stage::FirstByte => "waiting for the response",
            Stage::Head => "receiving the response's head",
            Stage::Body => "receiving the response body",
        };
        let seconds = self.limit.as_secs_f64();
        match self.bound {
            TimeBound::Stage | TimeBound::Total => {
                write!(f, "timed out after {seconds} seconds while {doing}")?;
            }
            TimeBound::Speed => {
                write!(f, "slower than allowed for {seconds} seconds while {doing}")?
            }
        }
        if self.stage == Stage::Body {
            write!(f, ", with {} bytes received", self.received)?;
        }
        Ok(())
    }
}

impl fmt::Display for ResponseLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::HeadSize => "the response's head is larger than allowed",
            Self::BodySize => "the response body is larger than allowed",
            Self::HeaderCount => "the response has more header fields than allowed",
            Self::InterimResponses => "the server sends more interim responses than allowed",
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
            ParseError::HeadTooLarge { .. } => Self::LimitExceeded(ResponseLimit::HeadSize),
            ParseError::TooManyHeaders { .. } => Self::LimitExceeded(ResponseLimit::HeaderCount),
            ParseError::TooManyInterimResponses { .. } => {
                Self::LimitExceeded(ResponseLimit::InterimResponses)
            }
            ParseError::TrailersTooLarge { .. } | ParseError::TooManyTrailers { .. } => {
                Self::LimitExceeded(ResponseLimit::TrailerSize)
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
                "could not connect to 0.0.0.0:80: connection refused (this address can only be \
                 listened on; to reach this machine, connect to 127.0.0.1)",
            ),
            (
                FetchError::ConnectFailed(vec![
                    failure("[::1]:80", NetError::TimedOut),
                    failure("127.0.0.1:80", NetError::ConnectionRefused),
                ]),
                "could not connect to [::1]:80: the peer does not answer, 127.0.0.1:80: connection refused",
            ),
            (
                timeout(Stage::Connect, TimeBound::Stage, 30_000),
                "timed out after 30 seconds while connecting",
            ),
            (
                timeout(Stage::Body, TimeBound::Total, 2500),
                "timed out after 2.5 seconds while receiving the response body, with 7 bytes received",
            ),
            (
                timeout(Stage::Send, TimeBound::Speed, 30_000),
                "slower than allowed for 30 seconds while sending the request",
            ),
            (
                timeout(Stage::Body, TimeBound::Speed, 30_000),
                "slower than allowed for 30 seconds while receiving the response body, with 7 bytes received",
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

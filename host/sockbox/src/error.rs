//! What can go wrong, sorted by who can do something about it.
//!
//! An error's fields are data: they have what a server, a component or a file said, as it was said. Its
//! text is for people: nothing in it can steer a terminal (`sockbox_printable`).

use crate::limits::{Limit, Unit};
pub use crate::network_error::{ConnectFailure, NetworkError};
use crate::policy::{DenialReason, Name, RuleError, Target};
use crate::url::UrlError;
use sockbox_printable::{Line, Lines};
use sockbox_wasi::Refusal;
use sockbox_wasi::tls::{TlsError, TlsHint};
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// A result whose error is [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a run could not do its job.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The caller: the URL can't be read.
    #[error("invalid URL `{}`: {}", Line(url), Line(reason))]
    InvalidUrl {
        /// The URL, without credentials.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The caller: the URL's scheme is neither `http` nor `https`.
    #[error(
        "unsupported scheme `{}`: only http:// and https:// URLs can be fetched",
        Line(scheme)
    )]
    UnsupportedScheme {
        /// The scheme.
        scheme: String,
    },
    /// The caller: the request can't be sent as it stands.
    #[error("invalid request: {}", Line(reason))]
    InvalidRequest {
        /// What is wrong with it.
        reason: String,
    },
    /// The caller: the server can't be started with these options, or a rule can't be made of a text.
    #[error("invalid options: {}", Line(reason))]
    InvalidOptions {
        /// What is wrong with them.
        reason: String,
    },
    /// The policy: this was asked of the network and refused. Nothing was sent.
    #[error("not allowed to {}", Line(reason.refusal(target, name.as_ref())))]
    Denied {
        /// What was asked for.
        target: Target,
        /// The name that its address was resolved from, where it was.
        name: Option<Name>,
        /// Why it was refused.
        reason: DenialReason,
    },
    /// The policy: an `https` page redirects to an `http` one, and
    /// [`Request::allow_downgrade`](crate::Request::allow_downgrade) doesn't permit it.
    #[error(
        "not allowed to go from https to {}: anybody on the way could read what is sent, and \
         answer ({} would allow it)",
        Line(url),
        Hint::AllowDowngrade
    )]
    InsecureRedirect {
        /// Where it leads.
        url: String,
    },
    /// The network: the host's name has no address.
    #[error("could not resolve host: {}: {reason}", Line(host))]
    ResolveFailed {
        /// The name.
        host: String,
        /// Why not.
        reason: NetworkError,
    },
    /// The network: none of the host's addresses could be connected to.
    #[error("could not connect to {}: {}", Line(host), Attempts(attempts))]
    ConnectFailed {
        /// The host, as the URL names it.
        host: String,
        /// Each address tried, in order.
        attempts: Vec<ConnectFailure>,
    },
    /// TLS: a certificate, the handshake, or the connection after it.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The network: the connection broke while the request was sent.
    #[error("could not send the request: {reason}")]
    SendFailed {
        /// How it broke.
        reason: NetworkError,
    },
    /// The network: the connection broke while the response was received.
    #[error("could not receive the response: {reason}")]
    ReceiveFailed {
        /// How it broke.
        reason: NetworkError,
    },
    /// The network: this address can't be listened on.
    #[error("could not listen on {address}: {reason}")]
    ListenFailed {
        /// The address.
        address: SocketAddr,
        /// Why not.
        reason: NetworkError,
    },
    /// The peer: what it sent isn't HTTP, or breaks its rules.
    #[error("the server's answer is not valid HTTP: {}", Line(reason))]
    Protocol {
        /// What is wrong with it.
        reason: String,
    },
    /// The peer: it closed the connection without a byte.
    #[error("the server closed the connection without an answer")]
    EmptyResponse,
    /// The peer: it closed the connection before the body's end.
    #[error("the server closed the connection too early: {}", Received { received: *received, expected: *expected })]
    IncompleteBody {
        /// How many bytes of the body were received.
        received: u64,
        /// How many there should have been, where the response told.
        expected: Option<u64>,
    },
    /// The peer: it redirects more often than
    /// [`Request::max_redirects`](crate::Request::max_redirects) allows.
    #[error("the server redirects more than {limit} times")]
    TooManyRedirects {
        /// The bound.
        limit: u32,
    },
    /// The peer: the body has a content coding that isn't known, or one that is broken.
    #[error("the body can't be decoded: {}", Line(reason))]
    ContentEncoding {
        /// What is wrong with it.
        reason: String,
    },
    /// Time: a stage of the request, or all of it, took longer than allowed.
    #[error("{}, {received} bytes of the body received", TooLong { stage: *stage, bound: *bound, limit: *limit })]
    Timeout {
        /// The stage that was under way.
        stage: Stage,
        /// The bound that ended it.
        bound: TimeBound,
        /// Its length.
        limit: Duration,
        /// How many bytes of the body had been received.
        received: u64,
    },
    /// Time: the run went past its [`Limits::wall_time`](crate::limits::Limits::wall_time).
    #[error("the run took longer than the {limit:?} it may take")]
    WallTime {
        /// The bound.
        limit: Duration,
    },
    /// Time: the component computed longer than its
    /// [`Limits::cpu_time`](crate::limits::Limits::cpu_time).
    #[error("the component computed longer than the {limit:?} it may")]
    CpuTime {
        /// The bound.
        limit: Duration,
    },
    /// A limit: the component went past one that it can't be told of, and was ended.
    #[error("the component needs more {limit} than it may have ({} bounds them)", limit.key())]
    Exhausted {
        /// Which one.
        limit: Limit,
    },
    /// A limit: a component takes more than one of them to be instantiated, so that it was not compiled,
    /// or not started.
    #[error("{}it takes at least {} to start, and may have {} ({} bounds them)", In(file), Amount(*needs, *limit), Amount(*allowed, *limit), limit.key())]
    NeedsTooMuch {
        /// The component's file, where it came from one.
        file: Option<PathBuf>,
        /// Which one.
        limit: Limit,
        /// What it takes, at least, in the limit's unit.
        needs: u64,
        /// The bound.
        allowed: u64,
    },
    /// Time: compiling a component took longer than
    /// [`Limits::compile_time`](crate::limits::Limits::compile_time).
    #[error("{}compiling it takes longer than the {limit:?} it may ({} bounds it)", In(file), Limit::CompileTime.key())]
    CompileTime {
        /// The component's file, where it came from one.
        file: Option<PathBuf>,
        /// The bound.
        limit: Duration,
    },
    /// A limit: compiling a component took more memory than
    /// [`Limits::compile_memory`](crate::limits::Limits::compile_memory).
    #[error("{}compiling it takes more than the {limit} bytes of memory it may have ({} bounds them)", In(file), Limit::CompileMemory.key())]
    CompileMemory {
        /// The component's file, where it came from one.
        file: Option<PathBuf>,
        /// The bound, in bytes.
        limit: u64,
    },
    /// A limit: the response is larger than allowed.
    #[error("the response has more than allowed: {limit}")]
    LimitExceeded {
        /// Which bound it went past.
        limit: ResponseLimit,
    },
    /// A limit: the component wanted more memory than
    /// [`Limits::memory_bytes`](crate::limits::Limits::memory_bytes), and could not go on without.
    #[error("the component needs more than the {limit} bytes of memory it may have")]
    MemoryLimit {
        /// The bound, in bytes.
        limit: u64,
    },
    /// The output: the page can't be written.
    #[error("could not write the output")]
    Write {
        /// What the writer said.
        #[source]
        source: io::Error,
    },
    /// The caller: a call on this instance was dropped before it ended, so that nobody knows what
    /// state the component is in. A new instance is needed.
    #[error("the instance can't be used any more: an earlier call was abandoned half way")]
    Abandoned,
    /// The caller: the file isn't a component that can be run here.
    #[error("{}{}", In(file), Lines(problem))]
    NotRunnable {
        /// The file, where it came from one.
        file: Option<PathBuf>,
        /// What is wrong with it, and what to do about it.
        problem: String,
    },
    /// The caller: a file can't be read.
    #[error("could not read {}", Line(file.display()))]
    Read {
        /// The file.
        file: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The component's: it trapped. Its instance can't be used any more.
    #[error("the component trapped: {}", Lines(reason))]
    Trapped {
        /// What happened.
        reason: String,
        /// Where in the component, one frame a line, where that is known.
        backtrace: Option<String>,
    },
    /// Ours: a mistake in sockbox, or the machine won't let it work; the text is for people.
    #[error("{}", Lines(message))]
    Internal {
        /// What happened.
        message: String,
    },
}

/// What would help, for a program to offer or for a person in the words of the program that shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Hint {
    /// Another policy, or another limit.
    Policy(crate::policy::Hint),
    /// Another setting of TLS.
    Tls(TlsHint),
    /// [`Request::allow_downgrade`](crate::Request::allow_downgrade).
    AllowDowngrade,
}

impl fmt::Display for Hint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Hint::Policy(hint) => hint.fmt(f),
            Hint::Tls(hint) => hint.fmt(f),
            Hint::AllowDowngrade => f.write_str("allow-downgrade"),
        }
    }
}

impl Error {
    /// What would help, where something can be told. Its text is in the error's.
    pub fn hint(&self) -> Option<Hint> {
        let limit = |limit| Some(Hint::Policy(crate::policy::Hint::Limit(limit)));
        match self {
            Error::Denied {
                target,
                name,
                reason,
            } => reason.hint(target, name.as_ref()).map(Hint::Policy),
            Error::InsecureRedirect { .. } => Some(Hint::AllowDowngrade),
            Error::Tls(error) => error.hint().map(Hint::Tls),
            Error::Exhausted { limit: it } | Error::NeedsTooMuch { limit: it, .. } => limit(*it),
            Error::CompileTime { .. } => limit(Limit::CompileTime),
            Error::CompileMemory { .. } => limit(Limit::CompileMemory),
            _ => None,
        }
    }

    pub(crate) fn internal(message: impl fmt::Display) -> Error {
        Error::Internal {
            message: message.to_string(),
        }
    }
}

impl From<UrlError> for Error {
    /// An origin that was to be read of a URL.
    fn from(error: UrlError) -> Error {
        match error {
            UrlError::Invalid { url, reason } => Error::InvalidUrl { url, reason },
            UrlError::NoHost { url } => Error::InvalidUrl {
                url,
                reason: "it names no host to connect to".to_owned(),
            },
            UrlError::Host(error) => error.into(),
        }
    }
}

impl From<RuleError> for Error {
    /// A rule that was to be made of a text.
    fn from(error: RuleError) -> Error {
        match error {
            RuleError::Host { ref text } => Error::InvalidUrl {
                url: text.clone(),
                reason: error.to_string(),
            },
            error => Error::InvalidOptions {
                reason: error.to_string(),
            },
        }
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Error {
        let Refusal {
            target,
            name,
            reason,
            ..
        } = refusal;
        Error::Denied {
            target,
            name,
            reason,
        }
    }
}

/// The stage that a request was in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Stage {
    /// Resolving the host's name.
    Resolve,
    /// Connecting to one of its addresses.
    Connect,
    /// Agreeing upon TLS.
    Handshake,
    /// Sending the request.
    Send,
    /// Waiting for the first byte of the answer.
    FirstByte,
    /// Receiving the head.
    Head,
    /// Receiving the body.
    Body,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Stage::Resolve => "resolving the host's name",
            Stage::Connect => "connecting",
            Stage::Handshake => "agreeing upon TLS",
            Stage::Send => "sending the request",
            Stage::FirstByte => "waiting for the answer",
            Stage::Head => "receiving the answer's head",
            Stage::Body => "receiving the body",
        })
    }
}

/// Which bound on a request's time ended it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TimeBound {
    /// The stage's own.
    Stage,
    /// [`Request::total_timeout`](crate::Request::total_timeout).
    Total,
    /// [`Request::min_speed`](crate::Request::min_speed), and its time.
    Speed,
}

/// A bound that a response went past.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ResponseLimit {
    /// [`Request::max_head_size`](crate::Request::max_head_size).
    HeadSize,
    /// [`Request::max_body_size`](crate::Request::max_body_size).
    BodySize,
    /// More header fields than the component keeps.
    HeaderCount,
    /// More interim responses than any server has a reason to send.
    InterimResponses,
    /// More trailer fields, or longer ones, than the component keeps.
    TrailerSize,
}

impl fmt::Display for ResponseLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ResponseLimit::HeadSize => "bytes in its head",
            ResponseLimit::BodySize => "bytes in its body",
            ResponseLimit::HeaderCount => "header fields",
            ResponseLimit::InterimResponses => "interim responses",
            ResponseLimit::TrailerSize => "bytes in its trailer fields",
        })
    }
}

struct Attempts<'a>(&'a [ConnectFailure]);

impl fmt::Display for Attempts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, attempt) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("; ")?;
            }
            attempt.fmt(f)?;
        }
        Ok(())
    }
}

struct TooLong {
    stage: Stage,
    bound: TimeBound,
    limit: Duration,
}

impl fmt::Display for TooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let TooLong { stage, limit, .. } = self;
        match self.bound {
            TimeBound::Stage => write!(f, "{stage} took longer than {limit:?}"),
            TimeBound::Total => write!(
                f,
                "{stage} took longer than {limit:?} (for all of the request)"
            ),
            TimeBound::Speed => write!(f, "{stage} was too slow for {limit:?}"),
        }
    }
}

struct Received {
    received: u64,
    expected: Option<u64>,
}

impl fmt::Display for Received {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.expected {
            Some(expected) => write!(f, "{} of {expected} bytes received", self.received),
            None => write!(f, "{} bytes received", self.received),
        }
    }
}

/// A number in the unit of a limit.
struct Amount(u64, Limit);

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Amount(number, limit) = self;
        match limit.unit() {
            Unit::Bytes => write!(f, "{number} bytes of {limit}"),
            _ => write!(f, "{number} {limit}"),
        }
    }
}

struct In<'a>(&'a Option<PathBuf>);

impl fmt::Display for In<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(file) => write!(f, "{}: ", Line(file.display())),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;

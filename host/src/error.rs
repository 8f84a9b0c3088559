//! What can go wrong, sorted by who can do something about it.
//!
//! An error's fields are data: they have what a server, a component or a file said, as it was said. Its
//! text is for people: nothing in it can steer a terminal (`sockbox_printable`).

use crate::limits::{Limit, Unit};
use crate::policy::{DenialReason, Name, RuleError, Target};
use crate::tls::{CertificateProblem, TlsFailure};
use sockbox_printable::{Line, Lines};
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
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
         answer (--allow-downgrade would allow it)",
        Line(url)
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
    /// TLS: what is to be trusted can't be read.
    #[error("could not read the certificates to trust in {}: {}", Line(file.display()), Line(reason))]
    Trust {
        /// The file, or the folder.
        file: PathBuf,
        /// Why not.
        reason: String,
    },
    /// TLS: the client certificate, or its key, can't be used.
    #[error("could not use the client certificate in {}: {}", Line(file.display()), Line(reason))]
    ClientCertificate {
        /// The file with what is wrong in it.
        file: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// TLS: the server's certificate doesn't prove that it is who it should be. Nothing was asked of
    /// it.
    #[error(
        "the certificate of {} is not accepted: {problem}{}",
        Line(host),
        Hint(problem)
    )]
    CertificateRejected {
        /// The host, as the URL names it.
        host: String,
        /// What is wrong with the certificate.
        problem: CertificateProblem,
    },
    /// TLS: there is none to be had with the server. Nothing was asked of it.
    #[error("no TLS with {}: {reason}{}", Line(host), CertificateHint(reason))]
    TlsFailed {
        /// The host, as the URL names it.
        host: String,
        /// Why not.
        reason: TlsFailure,
    },
    /// TLS: it broke when there was TLS already.
    #[error("the connection was given up: {reason}{}", CertificateHint(reason))]
    TlsBroken {
        /// How it broke.
        reason: TlsFailure,
    },
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
    #[error("the component needs more {limit} than it may have (--{} bounds them)", limit.key())]
    Exhausted {
        /// Which one.
        limit: Limit,
    },
    /// A limit: a component takes more than one of them to be instantiated, so that it was not compiled,
    /// or not started.
    #[error("{}it takes at least {} to start, and may have {} (--{} bounds them)", In(file), Amount(*needs, *limit), Amount(*allowed, *limit), limit.key())]
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
    #[error("{}compiling it takes longer than the {limit:?} it may (--{} bounds it)", In(file), Limit::CompileTime.key())]
    CompileTime {
        /// The component's file, where it came from one.
        file: Option<PathBuf>,
        /// The bound.
        limit: Duration,
    },
    /// A limit: compiling a component took more memory than
    /// [`Limits::compile_memory`](crate::limits::Limits::compile_memory).
    #[error("{}compiling it takes more than the {limit} bytes of memory it may have (--{} bounds them)", In(file), Limit::CompileMemory.key())]
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

impl Error {
    pub(crate) fn internal(message: impl fmt::Display) -> Error {
        Error::Internal {
            message: message.to_string(),
        }
    }
}

impl From<RuleError> for Error {
    /// A rule that was to be made of a URL, or of a text.
    fn from(error: RuleError) -> Error {
        match error {
            RuleError::Url { url, reason } => Error::InvalidUrl { url, reason },
            RuleError::Host { ref text } => Error::InvalidUrl {
                url: text.clone(),
                reason: error.to_string(),
            },
            RuleError::NoHost { url } => Error::InvalidUrl {
                url,
                reason: "it names no host to connect to".to_owned(),
            },
            error => Error::InvalidOptions {
                reason: error.to_string(),
            },
        }
    }
}

/// Why the network, rather than a policy, could not do what was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum NetworkError {
    /// Nobody listens there, or the peer's system refused.
    ConnectionRefused,
    /// The peer broke an established connection off.
    ConnectionReset,
    /// The operating system ended an attempt to connect.
    ConnectionAborted,
    /// No route, or the network or the host is down.
    Unreachable,
    /// The operating system gave up waiting for the peer.
    TimedOut,
    /// The name is well formed and has no addresses, or isn't known.
    NameUnresolvable,
    /// The resolver could not answer now; asking again may help.
    TemporaryResolverFailure,
    /// The resolver can't answer, and asking again won't help.
    PermanentResolverFailure,
    /// Another socket is bound to the address.
    AddressInUse,
    /// The address isn't one of this machine's, or isn't of a kind that can be used so.
    AddressNotBindable,
    /// The runtime or the system has no socket left to give.
    NoSocketsLeft,
    /// The runtime doesn't offer this.
    NotSupported,
    /// The operating system doesn't permit it.
    NotPermitted,
    /// Nothing more is known.
    Other,
}

impl fmt::Display for NetworkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            NetworkError::ConnectionRefused => "connection refused",
            NetworkError::ConnectionReset => "connection reset by the peer",
            NetworkError::ConnectionAborted => "connection aborted",
            NetworkError::Unreachable => "host or network unreachable",
            NetworkError::TimedOut => "the peer does not answer",
            NetworkError::NameUnresolvable => "the name is unknown or has no address",
            NetworkError::TemporaryResolverFailure => "the resolver does not answer now",
            NetworkError::PermanentResolverFailure => "the resolver can't answer",
            NetworkError::AddressInUse => "the address is in use",
            NetworkError::AddressNotBindable => "the address is not one of this machine's",
            NetworkError::NoSocketsLeft => "no sockets left: too many files are open",
            NetworkError::NotSupported => "not supported here",
            NetworkError::NotPermitted => "the operating system does not permit it",
            NetworkError::Other => "the system gave no reason",
        })
    }
}

/// One address that could not be connected to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct ConnectFailure {
    /// The address, with the port.
    pub address: SocketAddr,
    /// Why not.
    pub reason: NetworkError,
}

impl ConnectFailure {
    pub(crate) fn new(address: SocketAddr, reason: NetworkError) -> ConnectFailure {
        ConnectFailure { address, reason }
    }
}

impl fmt::Display for ConnectFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match unspecified(self.address.ip()) {
            None => write!(f, "{}: {}", self.address, self.reason),
            Some(own) => write!(
                f,
                "{}: it is no address to connect to, but stands for all of a machine's (this \
                 machine's own is {own})",
                self.address
            ),
        }
    }
}

/// What is meant by an address that can be listened on only, if `ip` is one.
fn unspecified(ip: IpAddr) -> Option<&'static str> {
    let own = if ip.is_ipv6() { "[::1]" } else { "127.0.0.1" };
    ip.is_unspecified().then_some(own)
}

/// The stage that a request was in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Stage {
    /// Looking up the host's name.
    Lookup,
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
            Stage::Lookup => "looking up the host's name",
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

/// What to do about a certificate.
struct Hint<'a>(&'a CertificateProblem);

impl fmt::Display for Hint<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            CertificateProblem::UnknownIssuer {
                certificate: Some(it),
            } if it.is_self_signed() => {
                f.write_str(" (--cacert with that certificate would trust it)")
            }
            CertificateProblem::UnknownIssuer { .. } => {
                f.write_str(" (--cacert with the issuer's certificate would trust it)")
            }
            _ => Ok(()),
        }
    }
}

/// What to do about a certificate that is missed.
struct CertificateHint<'a>(&'a TlsFailure);

impl fmt::Display for CertificateHint<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            TlsFailure::CertificateRequired => f.write_str(" (--cert FILE would show one)"),
            _ => Ok(()),
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
mod tests {
    use super::*;

    #[test]
    fn no_text_of_an_error_can_steer_a_terminal() {
        let text = || "a\u{1b}[2J\u{9b}31m\u{202e}\u{e0041}\nsockbox: forged".to_owned();
        let file = || PathBuf::from(text());
        let (reason, source) = (NetworkError::Other, || io::ErrorKind::NotFound.into());
        let (url, host) = (text, text);
        let errors = [
            Error::InvalidUrl {
                url: url(),
                reason: text(),
            },
            Error::UnsupportedScheme { scheme: text() },
            Error::InvalidRequest { reason: text() },
            Error::InvalidOptions { reason: text() },
            Error::Denied {
                target: Target::Connect("192.0.2.1:80".parse().unwrap()),
                reason: DenialReason::Decider { reason: text() },
                name: None,
            },
            Error::InsecureRedirect { url: url() },
            Error::ResolveFailed {
                host: host(),
                reason,
            },
            Error::ConnectFailed {
                host: host(),
                attempts: Vec::new(),
            },
            Error::Trust {
                file: file(),
                reason: text(),
            },
            Error::ClientCertificate {
                file: file(),
                reason: text(),
            },
            Error::CertificateRejected {
                host: host(),
                problem: CertificateProblem::Other {
                    reason: text(),
                    certificate: None,
                },
            },
            Error::TlsFailed {
                host: host(),
                reason: TlsFailure::Other { reason: text() },
            },
            Error::TlsFailed {
                host: host(),
                reason: TlsFailure::InvalidName { name: text() },
            },
            Error::TlsBroken {
                reason: TlsFailure::Broken { reason: text() },
            },
            Error::TlsBroken {
                reason: TlsFailure::Alert { name: text() },
            },
            Error::Protocol { reason: text() },
            Error::ContentEncoding { reason: text() },
            Error::Read {
                file: file(),
                source: source(),
            },
        ];
        let hazard = |error: &String| error.contains(sockbox_printable::is_hazard);
        for error in errors {
            let shown = error.to_string();
            assert!(!hazard(&shown), "{shown:?}");
        }
        // These have lines of their own.
        for error in [
            Error::NotRunnable {
                file: Some(file()),
                problem: text(),
            },
            Error::Trapped {
                reason: text(),
                backtrace: None,
            },
            Error::Internal { message: text() },
        ] {
            let shown = error.to_string().replace('\n', "");
            assert!(!hazard(&shown), "{shown:?}");
        }
    }

    #[test]
    fn errors_can_be_read_by_people() {
        let refused = |address: &str| {
            ConnectFailure::new(address.parse().unwrap(), NetworkError::ConnectionRefused)
        };
        let table = [
            (
                Error::ConnectFailed {
                    host: "0.0.0.0".to_owned(),
                    attempts: vec![refused("0.0.0.0:81"), refused("[::]:81")],
                },
                "could not connect to 0.0.0.0: 0.0.0.0:81: it is no address to connect to, but \
                 stands for all of a machine's (this machine's own is 127.0.0.1); [::]:81: it is no \
                 address to connect to, but stands for all of a machine's (this machine's own is [::1])",
            ),
            (
                Error::ConnectFailed {
                    host: "localhost".to_owned(),
                    attempts: vec![refused("[::1]:81"), refused("127.0.0.1:81")],
                },
                "could not connect to localhost: [::1]:81: connection refused; \
                 127.0.0.1:81: connection refused",
            ),
            (
                Error::Denied {
                    target: Target::Connect("192.0.2.1:80".parse().unwrap()),
                    name: None,
                    reason: DenialReason::NoRule,
                },
                "not allowed to connect to 192.0.2.1:80: no rule grants it (--allow-connect \
                 192.0.2.1:80 would)",
            ),
            (
                Error::Denied {
                    target: Target::Connect("192.0.2.1:80".parse().unwrap()),
                    name: Some("example.com".parse().unwrap()),
                    reason: DenialReason::NoRule,
                },
                "not allowed to connect to 192.0.2.1:80 (example.com): no rule grants it \
                 (--allow-connect example.com:80 would)",
            ),
            (
                Error::IncompleteBody {
                    received: 10,
                    expected: Some(20),
                },
                "the server closed the connection too early: 10 of 20 bytes received",
            ),
            (
                Error::IncompleteBody {
                    received: 10,
                    expected: None,
                },
                "the server closed the connection too early: 10 bytes received",
            ),
            (
                Error::Timeout {
                    stage: Stage::Connect,
                    bound: TimeBound::Stage,
                    limit: Duration::from_millis(1500),
                    received: 0,
                },
                "connecting took longer than 1.5s, 0 bytes of the body received",
            ),
            (
                Error::Timeout {
                    stage: Stage::Body,
                    bound: TimeBound::Total,
                    limit: Duration::from_secs(2),
                    received: 7,
                },
                "receiving the body took longer than 2s (for all of the request), \
                 7 bytes of the body received",
            ),
            (
                Error::Timeout {
                    stage: Stage::Send,
                    bound: TimeBound::Speed,
                    limit: Duration::from_secs(30),
                    received: 0,
                },
                "sending the request was too slow for 30s, 0 bytes of the body received",
            ),
            (
                Error::TooManyRedirects { limit: 30 },
                "the server redirects more than 30 times",
            ),
            (
                Error::ContentEncoding {
                    reason: "`zstd` is not known".to_owned(),
                },
                "the body can't be decoded: `zstd` is not known",
            ),
            (
                Error::NotRunnable {
                    file: Some("a.wasm".into()),
                    problem: "it is empty".to_owned(),
                },
                "a.wasm: it is empty",
            ),
            (
                Error::NeedsTooMuch {
                    file: Some("a.wasm".into()),
                    limit: Limit::Memory,
                    needs: 131_072,
                    allowed: 65_536,
                },
                "a.wasm: it takes at least 131072 bytes of memory to start, and may have 65536 bytes \
                 of memory (--max-memory bounds them)",
            ),
            (
                Error::CompileTime {
                    file: None,
                    limit: Duration::from_secs(60),
                },
                "compiling it takes longer than the 60s it may (--max-compile-time bounds it)",
            ),
        ];
        for (error, expected) in table {
            assert_eq!(error.to_string(), expected);
        }
    }
}

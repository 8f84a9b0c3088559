//! Errors. The first word of each case's documentation names its cause: the caller, the policy, the
//! network, TLS, the peer, a time limit, another limit, the output, the component, or sockbox
//! itself.
//!
//! An error's fields hold what a server, a component or a file sent, unchanged. The text of an error is
//! made for a terminal: its control characters are escaped (`sockbox_printable`).

mod kind;
mod stage;
mod texts;

pub use self::kind::ErrorKind;
pub use self::stage::{ResponseLimit, Stage, TimeBound};
use self::texts::{Amount, Attempts, Exported, In, Received, TooLong};
use crate::limits::Limit;
pub use crate::network_error::{ConnectFailure, NetworkError};
use crate::policy::{DenialReason, Name, RuleError, Target};
use crate::url::UrlError;
use sockbox_printable::{Line, Lines};
use sockbox_wasi::tls::{TlsError, TlsHint};
use sockbox_wasi::{ProxyProblem, Refusal};
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// A result whose error is [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a run failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The caller: the URL is invalid.
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
    /// The caller: the request is invalid and can't be sent.
    #[error("invalid request: {}", Line(reason))]
    InvalidRequest {
        /// What is wrong with it.
        reason: String,
    },
    /// The caller: an option is invalid, or a text is not a valid rule.
    #[error("invalid options: {}", Line(reason))]
    InvalidOptions {
        /// What is wrong with them.
        reason: String,
    },
    /// The policy denied a network operation. Nothing was sent.
    #[error("not allowed to {}", Line(reason.refusal(target, name.as_ref())))]
    Denied {
        /// The operation that was denied.
        target: Target,
        /// The name that the target's address was resolved from, if any.
        name: Option<Name>,
        /// Why it was refused.
        reason: DenialReason,
    },
    /// The policy: a response over `https` redirects to an `http` URL, and
    /// [`Request::allow_downgrade`](crate::Request::allow_downgrade) doesn't permit it.
    #[error(
        "refused to follow a redirect from https to {}: http is not encrypted \
         ({} would allow it)",
        Line(url),
        Hint::AllowDowngrade
    )]
    InsecureRedirect {
        /// The URL that the response redirects to.
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
    /// The network: connecting failed for every address of the host.
    #[error("could not connect to {}: {}", Line(host), Attempts(attempts))]
    ConnectFailed {
        /// The host, as the URL names it.
        host: String,
        /// Each address tried, in order.
        attempts: Vec<ConnectFailure>,
    },
    /// The network: the proxy gave no connection to the host.
    #[error(
        "no connection to {} through the proxy {}: {problem}",
        Line(host),
        Line(proxy)
    )]
    Proxy {
        /// The host, as the URL names it.
        host: String,
        /// The proxy's host and port.
        proxy: String,
        /// Why not.
        problem: ProxyProblem,
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
    /// The peer: its response is not HTTP, or violates the protocol.
    #[error("the server's response is not valid HTTP: {}", Line(reason))]
    Protocol {
        /// What is wrong with it.
        reason: String,
    },
    /// The peer: it closed the connection without sending a byte.
    #[error("the server closed the connection without a response")]
    EmptyResponse,
    /// The peer: it closed the connection before the body's end.
    #[error("the server closed the connection too early: {}", Received { received: *received, expected: *expected })]
    IncompleteBody {
        /// How many bytes of the body were received.
        received: u64,
        /// The size of the body, if the response head gave it.
        expected: Option<u64>,
    },
    /// The peer: it redirects more times than
    /// [`Request::max_redirects`](crate::Request::max_redirects) allows.
    #[error("the server redirects more than {limit} times")]
    TooManyRedirects {
        /// The bound.
        limit: u32,
    },
    /// The peer: the body has an unknown content coding, or its coded data is broken.
    #[error("could not decode the response body: {}", Line(reason))]
    ContentEncoding {
        /// What is wrong with it.
        reason: String,
    },
    /// Time: a stage of the request, or the whole request, exceeded its time limit.
    #[error("{}, {received} bytes of the body received", TooLong { stage: *stage, bound: *bound, limit: *limit })]
    Timeout {
        /// The stage in which the limit was reached.
        stage: Stage,
        /// The kind of limit.
        bound: TimeBound,
        /// The limit.
        limit: Duration,
        /// How many bytes of the body had been received.
        received: u64,
    },
    /// Time: the run exceeded [`Limits::wall_time`](crate::limits::Limits::wall_time).
    #[error("the run took longer than its limit of {limit:?}")]
    WallTime {
        /// The bound.
        limit: Duration,
    },
    /// Time: the component exceeded [`Limits::cpu_time`](crate::limits::Limits::cpu_time).
    #[error("the component used more CPU time than its limit of {limit:?}")]
    CpuTime {
        /// The bound.
        limit: Duration,
    },
    /// A limit: the component exceeded a limit that WASI has no error for, so sockbox ended the
    /// component.
    #[error("the component needs more {limit} than its limit allows ({} sets the limit)", limit.key())]
    Exhausted {
        /// Which one.
        limit: Limit,
    },
    /// A limit: instantiating the component needs more than a limit allows. The component was not
    /// compiled, or not started.
    #[error("{}the component needs at least {} to start, but its limit is {} ({} sets the limit)", In(file), Amount(*needs, *limit), Amount(*allowed, *limit), limit.key())]
    NeedsTooMuch {
        /// The component's file, where it came from one.
        file: Option<PathBuf>,
        /// Which one.
        limit: Limit,
        /// What the component needs at least, in the limit's unit.
        needs: u64,
        /// The bound.
        allowed: u64,
    },
    /// Time: compiling a component took longer than
    /// [`Limits::compile_time`](crate::limits::Limits::compile_time).
    #[error("{}compiling the component took longer than its limit of {limit:?} ({} sets the limit)", In(file), Limit::CompileTime.key())]
    CompileTime {
        /// The component's file, where it came from one.
        file: Option<PathBuf>,
        /// The bound.
        limit: Duration,
    },
    /// A limit: compiling a component took more memory than
    /// [`Limits::compile_memory`](crate::limits::Limits::compile_memory).
    #[error("{}compiling the component needs more memory than its limit of {limit} bytes ({} sets the limit)", In(file), Limit::CompileMemory.key())]
    CompileMemory {
        /// The component's file, where it came from one.
        file: Option<PathBuf>,
        /// The bound, in bytes.
        limit: u64,
    },
    /// A limit: the response is larger than allowed.
    #[error("the response has {limit} than allowed")]
    LimitExceeded {
        /// Which limit the response exceeded.
        limit: ResponseLimit,
    },
    /// A limit: the component requested more memory than
    /// [`Limits::memory_bytes`](crate::limits::Limits::memory_bytes), and trapped when the request
    /// failed.
    #[error("the component needs more memory than its limit of {limit} bytes")]
    MemoryLimit {
        /// The bound, in bytes.
        limit: u64,
    },
    /// The output: writing the body failed.
    #[error("could not write the output")]
    Write {
        /// The writer's error.
        #[source]
        source: io::Error,
    },
    /// The caller: a call on this instance was dropped before it ended. The state of the component
    /// is unknown, so a new instance is needed.
    #[error(
        "the instance can't be used any more: an earlier call was dropped before it ended (build a new instance)"
    )]
    Abandoned,
    /// The caller: a plugin exports no function of this name, or several.
    #[error(
        "`{}` is not the name of exactly one exported function: {}",
        Line(name),
        Exported(exports)
    )]
    NoSuchFunction {
        /// The name that was given.
        name: String,
        /// The functions that it exports.
        exports: Vec<String>,
    },
    /// The caller: the arguments don't have the types of a plugin's function. Nothing was called.
    #[error("the arguments of `{}` are wrong: {}", Line(function), Line(problem))]
    InvalidArguments {
        /// The function.
        function: String,
        /// What is wrong with them.
        problem: String,
    },
    /// The caller: a plugin's function was called without bindings, and has returned what only bindings can take. The
    /// instance can't be used any more.
    #[error(
        "`{}` returns a {kind}: it needs the types of `bindgen!`",
        Line(function)
    )]
    NoValue {
        /// The function.
        function: String,
        /// What it has returned: `resource`, `future`, `stream` or `error-context`.
        kind: &'static str,
    },
    /// Time: no instance of a [`Pool`](crate::Pool) became free within [`PoolOptions::wait`](crate::PoolOptions::wait).
    #[error("no instance of the plugin became free within {limit:?}: all {instances} are in use")]
    PoolTimeout {
        /// How many instances the pool may have.
        instances: usize,
        /// How long the caller has waited.
        limit: Duration,
    },
    /// The caller: the file is not a component that sockbox can run.
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
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// The component: it trapped. Its instance can't be used any more.
    #[error("the component trapped: {}", Lines(reason))]
    Trapped {
        /// What happened.
        reason: String,
        /// The stack of the trap, one frame a line, if it is known.
        backtrace: Option<String>,
    },
    /// The component: it handled an HTTP request, and gave no response or an incomplete one.
    #[error("the component {}", Line(problem))]
    Response {
        /// What it did.
        problem: ResponseProblem,
    },
    /// sockbox: a bug in it, or a failure of the machine that it runs on.
    #[error("{}", Lines(message))]
    Internal {
        /// What happened.
        message: String,
    },
}

/// What a component did in place of giving a response.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ResponseProblem {
    /// It returned.
    #[error("returned without a response")]
    NotSet,
    /// It set an error code.
    #[error("set the error code {code} in place of a response")]
    ErrorCode {
        /// The name of the code, and its text if it has one.
        code: String,
    },
    /// It dropped the body of the response before it had finished it.
    #[error("did not finish the body of its response")]
    BodyAborted,
}

/// A change of settings that would let the operation succeed. A program can apply it, or show it in
/// the words of its own interface.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Hint {
    /// A rule of the policy, or another limit.
    Policy(crate::policy::Hint),
    /// Another TLS setting.
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
    /// The change of settings that would help, if one is known. The text of most of these errors contains it.
    pub fn hint(&self) -> Option<Hint> {
        match self {
            Error::Denied {
                target,
                name,
                reason,
            } => reason.hint(target, name.as_ref()).map(Hint::Policy),
            Error::InsecureRedirect { .. } => Some(Hint::AllowDowngrade),
            Error::Tls(error) => error.hint().map(Hint::Tls),
            _ => self
                .limit()
                .map(|limit| Hint::Policy(crate::policy::Hint::Limit(limit))),
        }
    }

    pub(crate) fn internal(message: impl fmt::Display) -> Error {
        Error::Internal {
            message: message.to_string(),
        }
    }
}

impl From<UrlError> for Error {
    /// The error of reading an origin from a URL.
    fn from(error: UrlError) -> Error {
        match error {
            UrlError::Invalid { url, reason } => Error::InvalidUrl { url, reason },
            UrlError::NoHost { url } => Error::InvalidUrl {
                url,
                reason: "it has no host".to_owned(),
            },
            UrlError::Host(error) => error.into(),
        }
    }
}

impl From<RuleError> for Error {
    /// The error of parsing a rule.
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

#[cfg(test)]
mod tests;

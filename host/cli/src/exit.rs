//! From what went wrong to a message and an exit code.

use crate::environment;
use crate::signals::Signal;
use crate::words;
use sockbox::{Error, NetworkError, ProxyProblem, TlsError};
use sockbox_printable::{Line, Lines};
use std::error::Error as _;
use std::fmt;
use std::io;
use std::time::Duration;

/// Why the command could not do its job.
#[derive(Debug)]
// There is one at the end of a run, so its size does not matter.
#[allow(clippy::large_enum_variant)]
pub enum Failure {
    /// The library says so.
    Sandbox(Error),
    /// The output can't be written.
    Output {
        /// What people call it.
        name: String,
        source: io::Error,
    },
    /// What is to be sent, or was named otherwise, can't be read.
    Input {
        /// What people call it.
        name: String,
        source: io::Error,
    },
    /// What was typed can't be done.
    Usage { problem: String },
    /// The page's URL has no name to save it under.
    NoName { url: String },
    /// The URL's host could not be resolved here, and a proxy was not permitted to do it.
    NotLeftToProxy { host: String, reason: NetworkError },
    /// With `--fail`: the server says that it failed.
    Status { status: u16, reason: String },
    /// With `--continue-at`: what the server answered is neither the page nor a part of it.
    NoRange { status: u16, reason: String },
    /// The request is to be sent once more, and what it sends came from standard input.
    InputIsGone,
    /// With `-4` or `-6`: the URL's host is an address of the other family.
    OtherFamily {
        address: String,
        option: &'static str,
    },
    /// The machine won't let sockbox work.
    System(io::Error),
    /// The time that all of it may take is over.
    MaxTime(Duration),
    /// It was told to end.
    Signal(Signal),
    /// The reader of what the component writes is gone.
    ClosedPipe,
}

impl From<TlsError> for Failure {
    fn from(error: TlsError) -> Failure {
        Error::from(error).into()
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure::Sandbox(error)
    }
}

impl Failure {
    pub fn output(name: impl Into<String>, source: io::Error) -> Failure {
        Failure::Output {
            name: name.into(),
            source,
        }
    }

    pub fn system(source: io::Error) -> Failure {
        Failure::System(source)
    }

    /// The process's exit code.
    pub fn code(&self) -> u8 {
        match self {
            Failure::Sandbox(error) => code(error),
            Failure::Output { .. } | Failure::NoName { .. } => code::OUTPUT,
            Failure::Input { .. } => code::INPUT,
            Failure::Usage { .. } => code::USAGE,
            Failure::NotLeftToProxy { .. } => code::RESOLVE,
            Failure::Status { .. } => code::STATUS,
            Failure::NoRange { .. } => code::RANGE,
            Failure::InputIsGone => code::REWIND,
            Failure::OtherFamily { .. } => code::RESOLVE,
            Failure::System(_) => code::OURS,
            Failure::MaxTime(_) => code::TIMEOUT,
            Failure::Signal(signal) => signal.code(),
            Failure::ClosedPipe => code::CLOSED_PIPE,
        }
    }

    /// What to tell people, unless they know: they sent the signal, or closed the pipe. Nothing in it can
    /// steer a terminal.
    pub fn message(&self, backtrace: bool) -> Option<String> {
        self.text(backtrace)
            .map(|text| shortened(Lines(text).to_string()))
    }

    fn text(&self, backtrace: bool) -> Option<String> {
        match self {
            Failure::Sandbox(Error::Trapped {
                reason,
                backtrace: Some(frames),
            }) => Some(if backtrace {
                format!("the component trapped: {reason}\n{frames}")
            } else {
                format!("the component trapped: {reason} (-v tells where)")
            }),
            Failure::Sandbox(error) => {
                let mut message = words::of_error(error);
                let mut source = error.source();
                while let Some(error) = source {
                    message = format!("{message}: {error}");
                    source = error.source();
                }
                Some(message)
            }
            Failure::Output { source, .. } if source.kind() == io::ErrorKind::BrokenPipe => None,
            Failure::Output { name, source } => {
                Some(format!("could not write {}: {source}", Line(name)))
            }
            Failure::Input { name, source } => {
                Some(format!("could not read {}: {source}", Line(name)))
            }
            Failure::Usage { problem } => Some(problem.clone()),
            Failure::NoName { url } => Some(format!(
                "the path of {} has no name at its end to save the page under: give one with -o",
                Line(url)
            )),
            Failure::NotLeftToProxy { host, reason } => Some(format!(
                "could not resolve host: {}: {reason} (--allow-proxy-resolve lets the proxy resolve it)",
                Line(host)
            )),
            Failure::Status { status, reason } => {
                Some(format!("the server answered {}", Answer(*status, reason)))
            }
            Failure::NoRange { status, reason } => Some(format!(
                "can't go on with the file: the server answered {}",
                Answer(*status, reason)
            )),
            Failure::InputIsGone => Some(
                "the request has to be sent once more, but standard input can't be read again"
                    .to_owned(),
            ),
            Failure::OtherFamily { address, option } => Some(format!(
                "{address} is an address of the IP version that {option} excludes"
            )),
            Failure::System(source) => Some(format!("the system won't let it start: {source}")),
            Failure::MaxTime(limit) => Some(format!("it took longer than {limit:?}")),
            Failure::Signal(_) | Failure::ClosedPipe => None,
        }
    }
}

/// The most bytes of a message: 16 KiB. It may quote a component or a server, and standard error takes no
/// line of any length.
const MAX_MESSAGE: usize = 16 << 10;

fn shortened(mut message: String) -> String {
    if message.len() > MAX_MESSAGE {
        message.truncate(message.floor_char_boundary(MAX_MESSAGE));
        message.push('\u{2026}');
    }
    message
}

/// A status code with its reason phrase.
struct Answer<'a>(u16, &'a str);

impl fmt::Display for Answer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Answer(status, reason) = self;
        write!(f, "{status}")?;
        match reason.trim() {
            "" => Ok(()),
            reason => write!(f, " {}", Line(reason)),
        }
    }
}

/// Whether the environment asks for backtraces.
pub fn wants_backtrace() -> bool {
    environment::variable("RUST_BACKTRACE").is_some_and(|value| value != "0")
}

/// The policy doesn't allow it: `sockbox policy explain` says so without having tried.
pub const DENIED: u8 = code::DENIED;

/// The numbers: curl's where curl has one; `env`'s, `timeout`'s and the shell's for the rest.
mod code {
    pub const UNSUPPORTED_SCHEME: u8 = 1;
    pub const USAGE: u8 = 2;
    pub const INVALID_URL: u8 = 3;
    pub const RESOLVE_PROXY: u8 = 5;
    pub const RESOLVE: u8 = 6;
    pub const CONNECT: u8 = 7;
    pub const PROTOCOL: u8 = 8;
    pub const INCOMPLETE: u8 = 18;
    pub const STATUS: u8 = 22;
    pub const OUTPUT: u8 = 23;
    pub const INPUT: u8 = 26;
    pub const TIMEOUT: u8 = 28;
    pub const RANGE: u8 = 33;
    /// curl's for a local address that can't be used.
    pub const LISTEN: u8 = 45;
    pub const TLS: u8 = 35;
    pub const REDIRECTS: u8 = 47;
    pub const EMPTY: u8 = 52;
    pub const SEND: u8 = 55;
    pub const RECEIVE: u8 = 56;
    pub const CLIENT_CERTIFICATE: u8 = 58;
    pub const CERTIFICATE: u8 = 60;
    pub const CODING: u8 = 61;
    pub const LIMIT: u8 = 63;
    pub const REWIND: u8 = 65;
    pub const TRUST: u8 = 77;
    pub const TIME: u8 = 124;
    pub const OURS: u8 = 125;
    pub const DENIED: u8 = 126;
    /// What a shell gives a process that aborted.
    pub const TRAPPED: u8 = 134;
    /// What a shell gives a process that SIGPIPE ended.
    pub const CLOSED_PIPE: u8 = 141;
}

/// The one table from the library's errors to exit codes.
fn code(error: &Error) -> u8 {
    match error {
        Error::UnsupportedScheme { .. } => code::UNSUPPORTED_SCHEME,
        Error::InvalidRequest { .. } | Error::InvalidOptions { .. } => code::USAGE,
        Error::InvalidUrl { .. } => code::INVALID_URL,
        Error::ResolveFailed { .. } => code::RESOLVE,
        Error::ConnectFailed { .. } => code::CONNECT,
        Error::Proxy { problem, .. } => match problem {
            ProxyProblem::NotResolved => code::RESOLVE_PROXY,
            ProxyProblem::NotConnected { .. } => code::CONNECT,
            // curl fails in the same way: it could not receive what it has waited for.
            _ => code::RECEIVE,
        },
        Error::Protocol { .. } => code::PROTOCOL,
        Error::IncompleteBody { .. } => code::INCOMPLETE,
        Error::Write { .. } => code::OUTPUT,
        Error::Timeout { .. } => code::TIMEOUT,
        Error::ListenFailed { .. } => code::LISTEN,
        Error::TooManyRedirects { .. } => code::REDIRECTS,
        Error::EmptyResponse => code::EMPTY,
        Error::SendFailed { .. } => code::SEND,
        Error::ReceiveFailed { .. } | Error::Tls(TlsError::Broken { .. }) => code::RECEIVE,
        Error::Tls(TlsError::Handshake { .. }) => code::TLS,
        Error::Tls(TlsError::ClientCertificate { .. }) => code::CLIENT_CERTIFICATE,
        Error::Tls(TlsError::CertificateRejected { .. }) => code::CERTIFICATE,
        Error::Tls(TlsError::Trust { .. }) => code::TRUST,
        Error::ContentEncoding { .. } => code::CODING,
        Error::LimitExceeded { .. }
        | Error::MemoryLimit { .. }
        | Error::Exhausted { .. }
        | Error::NeedsTooMuch { .. }
        | Error::CompileMemory { .. } => code::LIMIT,
        Error::WallTime { .. } | Error::CpuTime { .. } | Error::CompileTime { .. } => code::TIME,
        Error::Denied { .. } | Error::InsecureRedirect { .. } => code::DENIED,
        Error::Trapped { .. } => code::TRAPPED,
        // `NotRunnable`, `Read`, `Abandoned`, `Internal`, and whatever the library may add.
        _ => code::OURS,
    }
}

#[cfg(test)]
mod tests;

//! Whose fault an error is, and what stands behind it.

use super::Error;
use crate::limits::Limit;
use sockbox_wasi::{Incident, Refusal};
use std::fmt;

/// The party that must act on an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The caller: a parameter, a file or the state of what was called is wrong.
    Caller,
    /// The policy does not allow it.
    Policy,
    /// The network failed.
    Network,
    /// A certificate, a TLS handshake or a TLS connection failed.
    Tls,
    /// The peer violated the protocol, or broke off.
    Peer,
    /// A time limit was reached.
    Time,
    /// Another limit was reached.
    Limit,
    /// The output can't be written.
    Output,
    /// The component failed.
    Component,
    /// sockbox failed, or the machine that it runs on.
    Internal,
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ErrorKind::Caller => "caller",
            ErrorKind::Policy => "policy",
            ErrorKind::Network => "network",
            ErrorKind::Tls => "tls",
            ErrorKind::Peer => "peer",
            ErrorKind::Time => "time",
            ErrorKind::Limit => "limit",
            ErrorKind::Output => "output",
            ErrorKind::Component => "component",
            ErrorKind::Internal => "internal",
        })
    }
}

impl Error {
    /// The party that must act. It is the one that the documentation of each case begins with.
    ///
    /// # Examples
    /// ```
    /// use sockbox::{ErrorKind, Request, Sandbox};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> sockbox::Result<()> {
    /// let mut nothing_granted = Sandbox::new()?.instance().build().await?;
    /// let error = nothing_granted.fetch(Request::get("http://127.0.0.1:9/")).await.unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::Policy);
    /// assert!(error.is_denied());
    /// // For a program: the rule that would allow it.
    /// assert_eq!(error.hint().unwrap().to_string(), "allow-connect 127.0.0.1:9");
    /// # Ok(())
    /// # }
    /// ```
    pub fn kind(&self) -> ErrorKind {
        match self {
            Error::InvalidUrl { .. }
            | Error::UnsupportedScheme { .. }
            | Error::InvalidRequest { .. }
            | Error::InvalidOptions { .. }
            | Error::Abandoned
            | Error::NoSuchFunction { .. }
            | Error::InvalidArguments { .. }
            | Error::NoValue { .. }
            | Error::NotRunnable { .. }
            | Error::Read { .. } => ErrorKind::Caller,
            Error::Denied { .. } | Error::InsecureRedirect { .. } => ErrorKind::Policy,
            Error::ResolveFailed { .. }
            | Error::ConnectFailed { .. }
            | Error::Proxy { .. }
            | Error::SendFailed { .. }
            | Error::ReceiveFailed { .. }
            | Error::ListenFailed { .. } => ErrorKind::Network,
            Error::Tls(_) => ErrorKind::Tls,
            Error::Protocol { .. }
            | Error::EmptyResponse
            | Error::IncompleteBody { .. }
            | Error::TooManyRedirects { .. }
            | Error::ContentEncoding { .. } => ErrorKind::Peer,
            Error::Timeout { .. }
            | Error::WallTime { .. }
            | Error::CpuTime { .. }
            | Error::CompileTime { .. }
            | Error::PoolTimeout { .. } => ErrorKind::Time,
            Error::Exhausted { .. }
            | Error::NeedsTooMuch { .. }
            | Error::CompileMemory { .. }
            | Error::LimitExceeded { .. }
            | Error::MemoryLimit { .. } => ErrorKind::Limit,
            Error::Write { .. } => ErrorKind::Output,
            Error::Trapped { .. } | Error::Response { .. } => ErrorKind::Component,
            Error::Internal { .. } => ErrorKind::Internal,
        }
    }

    /// Whether the policy did not allow it.
    pub fn is_denied(&self) -> bool {
        self.kind() == ErrorKind::Policy
    }

    /// Whether a time limit was reached.
    pub fn is_timeout(&self) -> bool {
        self.kind() == ErrorKind::Time
    }

    /// What stands behind it in the log of the run: the refusal, with the rule, the name and the address, or the limit. None:
    /// it is neither.
    ///
    /// A plugin that copes with a refusal, or fails for another reason after it, has no such error:
    /// [`PluginInstance::incidents`](crate::PluginInstance::incidents) has all incidents of a call.
    pub fn incident(&self) -> Option<Incident> {
        if let Error::Denied {
            target,
            name,
            reason,
        } = self
        {
            let refusal = Refusal::new(target.clone(), name.clone(), reason.clone());
            return Some(Incident::Denied(refusal));
        }
        self.limit().map(|limit| Incident::Limit {
            limit,
            target: None,
        })
    }

    /// The limit of a run, or of loading a component, that was reached.
    pub(super) fn limit(&self) -> Option<Limit> {
        match self {
            Error::Exhausted { limit } | Error::NeedsTooMuch { limit, .. } => Some(*limit),
            Error::CompileTime { .. } => Some(Limit::CompileTime),
            Error::CompileMemory { .. } => Some(Limit::CompileMemory),
            Error::WallTime { .. } => Some(Limit::WallTime),
            Error::CpuTime { .. } => Some(Limit::CpuTime),
            Error::MemoryLimit { .. } => Some(Limit::Memory),
            _ => None,
        }
    }
}

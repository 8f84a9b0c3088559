use std::fmt;

/// Why the network didn't do what was asked of it. The cases are those of `network-error` in
/// `wit/types.wit`, a refusal, and an end that came too early. The texts are those of sockbox's host
/// (`NetworkError` there), so that one log reads like the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NetError {
    /// The policy, or the operating system, doesn't permit it.
    Denied,
    /// Nobody listens there, or the peer's system refused.
    ConnectionRefused,
    /// The peer broke an established connection off.
    ConnectionReset,
    /// The connection ended, and TLS had not said that it would: somebody may have cut it.
    Truncated,
    /// The operating system ended an attempt to connect.
    ConnectionAborted,
    /// No route, or the network or the host is down.
    Unreachable,
    /// The operating system gave up waiting for the peer.
    TimedOut,
    /// The name has no addresses, or isn't known.
    NameUnresolvable,
    /// The resolver could not answer now.
    TemporaryResolverFailure,
    /// The resolver can't answer.
    PermanentResolverFailure,
    /// Another socket is bound to the address.
    AddressInUse,
    /// The address isn't one of this machine's, or isn't of a kind that can be used so.
    AddressNotBindable,
    /// The runtime or the system has no socket left to give.
    NoSocketsLeft,
    /// The runtime doesn't offer this.
    NotSupported,
    /// The runtime says no more than that it failed.
    Other,
}

impl NetError {
    /// Whether accepting that failed so has failed for one client, who is gone, rather than for the socket
    /// that listens: systems tell there what is wrong with the connection (accept(2) on Linux).
    pub fn is_of_one_client(self) -> bool {
        matches!(
            self,
            Self::ConnectionAborted
                | Self::ConnectionReset
                | Self::ConnectionRefused
                | Self::TimedOut
                | Self::Unreachable
        )
    }
}

impl fmt::Display for NetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Denied => "not permitted",
            Self::ConnectionRefused => "connection refused",
            Self::ConnectionReset => "connection reset by the peer",
            Self::Truncated => "closed without the end that TLS has",
            Self::ConnectionAborted => "connection aborted",
            Self::Unreachable => "host or network unreachable",
            Self::TimedOut => "the peer does not answer",
            Self::NameUnresolvable => "the name is unknown or has no address",
            Self::TemporaryResolverFailure => "the resolver does not answer now",
            Self::PermanentResolverFailure => "the resolver can't answer",
            Self::AddressInUse => "the address is in use",
            Self::AddressNotBindable => "the address is not one of this machine's",
            Self::NoSocketsLeft => "no sockets left: too many files are open",
            Self::NotSupported => "not supported here",
            Self::Other => "the system gave no reason",
        })
    }
}

impl std::error::Error for NetError {}

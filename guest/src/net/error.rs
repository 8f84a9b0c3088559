use std::fmt;

/// Why the network didn't do what was asked of it. The cases are those of `network-error` in
/// `wit/types.wit`, a refusal, and an end that came too early.
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

impl fmt::Display for NetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Denied => "not permitted",
            Self::ConnectionRefused => "connection refused",
            Self::ConnectionReset => "connection reset by peer",
            Self::Truncated => "closed without the end that TLS has",
            Self::ConnectionAborted => "connection aborted",
            Self::Unreachable => "network or host unreachable",
            Self::TimedOut => "timed out",
            Self::NameUnresolvable => "no such name, or no address for it",
            Self::TemporaryResolverFailure => "the resolver could not answer now",
            Self::PermanentResolverFailure => "the resolver can't answer",
            Self::AddressInUse => "address already in use",
            Self::AddressNotBindable => "not an address of this machine",
            Self::NoSocketsLeft => "no sockets left",
            Self::NotSupported => "not supported by this runtime",
            Self::Other => "unknown failure",
        })
    }
}

impl std::error::Error for NetError {}

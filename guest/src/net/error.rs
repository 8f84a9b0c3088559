use std::fmt;

/// Why a network operation failed. The cases are those of `network-error` in `wit/types.wit`, and
/// two more: a denial, and a connection that ended without the end of TLS. The texts are those of
/// `NetworkError` in sockbox's host, so the logs of both read alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NetError {
    /// The policy or the operating system does not permit it.
    Denied,
    /// No socket listens there, or the peer's system refused.
    ConnectionRefused,
    /// The peer reset an established connection.
    ConnectionReset,
    /// The connection ended without the closure alert of TLS. An attacker may have cut it.
    Truncated,
    /// The operating system ended an attempt to connect.
    ConnectionAborted,
    /// No route, or the network or the host is down.
    Unreachable,
    /// The operating system gave up waiting for the peer.
    TimedOut,
    /// The name has no addresses, or does not exist.
    NameUnresolvable,
    /// The resolver could not answer now.
    TemporaryResolverFailure,
    /// The resolver can't answer.
    PermanentResolverFailure,
    /// Another socket is bound to the address.
    AddressInUse,
    /// The address does not belong to this machine, or is of a kind that can't be used here.
    AddressNotBindable,
    /// The runtime or the system has no socket left.
    NoSocketsLeft,
    /// The runtime doesn't offer this.
    NotSupported,
    /// The runtime gave no reason.
    Other,
}

impl NetError {
    /// Whether an `accept` that failed with this error failed because of one client that has left,
    /// and not because of the listening socket. Systems report errors of a pending connection there
    /// (accept(2) on Linux).
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
            Self::Truncated => "the connection was closed without a TLS close_notify alert",
            Self::ConnectionAborted => "connection aborted",
            Self::Unreachable => "host or network unreachable",
            Self::TimedOut => "the peer does not answer",
            Self::NameUnresolvable => "the name is unknown or has no address",
            Self::TemporaryResolverFailure => "the resolver does not answer now",
            Self::PermanentResolverFailure => "the resolver can't answer",
            Self::AddressInUse => "the address is in use",
            Self::AddressNotBindable => "the address does not belong to this machine",
            Self::NoSocketsLeft => "no sockets left: too many files are open",
            Self::NotSupported => "not supported here",
            Self::Other => "the system gave no reason",
        })
    }
}

impl std::error::Error for NetError {}

//! Why a network operation failed, and on which address.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// Why a network operation failed, other than by a denial of the policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum NetworkError {
    /// No socket listens there, or the peer's system refused the connection.
    ConnectionRefused,
    /// The peer reset an established connection.
    ConnectionReset,
    /// The operating system ended an attempt to connect.
    ConnectionAborted,
    /// No route, or the network or the host is down.
    Unreachable,
    /// The operating system gave up waiting for the peer.
    TimedOut,
    /// The name is well formed, but it is unknown or has no address.
    NameUnresolvable,
    /// The resolver could not answer now; asking again may help.
    TemporaryResolverFailure,
    /// The resolver can't answer, and asking again won't help.
    PermanentResolverFailure,
    /// Another socket is bound to the address.
    AddressInUse,
    /// The address does not belong to this machine, or its kind does not permit this use.
    AddressNotBindable,
    /// The runtime or the system has no sockets left.
    NoSocketsLeft,
    /// The runtime doesn't offer this.
    NotSupported,
    /// The operating system doesn't permit it.
    NotPermitted,
    /// The system gave no reason.
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
            NetworkError::AddressNotBindable => "the address does not belong to this machine",
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
                "{}: this address can only be listened on (to reach this machine, connect \
                 to {own})",
                self.address
            ),
        }
    }
}

/// The loopback address to use in place of `ip`, if `ip` is unspecified and can only be listened
/// on.
fn unspecified(ip: IpAddr) -> Option<&'static str> {
    let own = if ip.is_ipv6() { "[::1]" } else { "127.0.0.1" };
    ip.is_unspecified().then_some(own)
}

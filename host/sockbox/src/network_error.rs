//! What can be wrong with a network, and with an address of it.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

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

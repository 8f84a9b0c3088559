//! The events of a server, and its counts.

use crate::bindings::hello_server as wit;
use crate::error::NetworkError;
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

/// An event of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A connection was accepted.
    Opened(Opened),
    /// A connection has ended.
    Closed(Closed),
    /// The server refused a client.
    Refused(Refused),
    /// Accepting failed. Reported once per outage.
    AcceptFailed(AcceptFailed),
}

/// A connection that the server accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Opened {
    /// The number of the connection. Each server counts from 1.
    pub id: u64,
    /// The server's address, to which the client connected.
    pub local: SocketAddr,
    /// The client's address.
    pub remote: SocketAddr,
}

/// A connection that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Closed {
    /// As in [`Opened`].
    pub id: u64,
    /// As in [`Opened`].
    pub local: SocketAddr,
    /// As in [`Opened`].
    pub remote: SocketAddr,
    /// Why it ended.
    pub reason: CloseReason,
    /// How many bytes the client sent.
    pub bytes_received: u64,
    /// How many bytes of answers were sent.
    pub bytes_sent: u64,
    /// How many messages were answered.
    pub messages: u64,
    /// How long it was open.
    pub duration: Duration,
}

/// A client that the server refused. It is not counted as a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Refused {
    /// The server's address, to which the client connected.
    pub local: SocketAddr,
    /// The client's address.
    pub remote: SocketAddr,
    /// Why it was refused.
    pub reason: RefuseReason,
}

/// Why the server refused a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RefuseReason {
    /// [`Server::max_connections`](crate::Server::max_connections) connections were open.
    Full,
    /// [`ServeOptions::max_per_peer`](crate::ServeOptions::max_per_peer) connections from its address
    /// were open.
    PeerLimit,
}

impl fmt::Display for RefuseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            RefuseReason::Full => "too many connections",
            RefuseReason::PeerLimit => "too many connections from this address",
        })
    }
}

/// Accepting failed: the system returned an error. The server pauses and tries again. An outage
/// ends when accepting has not failed for 5 seconds.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AcceptFailed {
    /// The listening address.
    pub listen: SocketAddr,
    /// Why not.
    pub reason: NetworkError,
}

/// Why a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CloseReason {
    /// The client closed it, or shut down its sending side and then received every answer.
    EndOfInput,
    /// The client sent `exit`.
    Exit,
    /// The client sent a message longer than allowed.
    MessageTooLong,
    /// The client sent nothing for [`ServeOptions::idle_timeout`](crate::ServeOptions::idle_timeout).
    IdleTimeout,
    /// The client did not accept its answers within
    /// [`ServeOptions::write_timeout`](crate::ServeOptions::write_timeout).
    WriteTimeout,
    /// No memory was left to buffer data for the client.
    Overloaded,
    /// The connection failed.
    Failed(NetworkError),
    /// The server was stopping, and closed it.
    Stopped,
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CloseReason::EndOfInput => f.write_str("end of input"),
            CloseReason::Exit => f.write_str("exit"),
            CloseReason::MessageTooLong => f.write_str("message too long"),
            CloseReason::IdleTimeout => f.write_str("silent for too long"),
            CloseReason::WriteTimeout => f.write_str("answers not taken in time"),
            CloseReason::Overloaded => f.write_str("server overloaded"),
            CloseReason::Failed(reason) => reason.fmt(f),
            CloseReason::Stopped => f.write_str("stopped"),
        }
    }
}

/// Counts since a server started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerStats {
    /// Connections accepted.
    pub accepted: u64,
    /// Clients refused.
    pub refused: u64,
    /// Connections open now.
    pub open: u64,
    /// Messages answered.
    pub messages: u64,
    /// Bytes received from clients.
    pub bytes_received: u64,
    /// Bytes of answers sent to clients.
    pub bytes_sent: u64,
    /// Time since the start.
    pub uptime: Duration,
    /// TCP sockets that the run holds, by the host's own count: those that listen, those of open
    /// connections, and those that are about to be closed.
    pub sockets: usize,
}

impl From<wit::Event> for Event {
    fn from(event: wit::Event) -> Event {
        match event {
            wit::Event::Opened(wit::Opened { id, addresses }) => Event::Opened(Opened {
                id,
                local: addresses.local.into(),
                remote: addresses.remote.into(),
            }),
            wit::Event::Closed(closed) => Event::Closed(Closed {
                id: closed.id,
                local: closed.addresses.local.into(),
                remote: closed.addresses.remote.into(),
                reason: closed.reason.into(),
                bytes_received: closed.bytes_received,
                bytes_sent: closed.bytes_sent,
                messages: closed.messages,
                duration: Duration::from_nanos(closed.duration),
            }),
            wit::Event::Refused(wit::Refused { addresses, reason }) => Event::Refused(Refused {
                local: addresses.local.into(),
                remote: addresses.remote.into(),
                reason: match reason {
                    wit::RefuseReason::Full => RefuseReason::Full,
                    wit::RefuseReason::PeerLimit => RefuseReason::PeerLimit,
                },
            }),
            wit::Event::AcceptFailed(failed) => Event::AcceptFailed(AcceptFailed {
                listen: failed.listen.into(),
                reason: failed.reason.into(),
            }),
        }
    }
}

impl From<wit::CloseReason> for CloseReason {
    fn from(reason: wit::CloseReason) -> CloseReason {
        match reason {
            wit::CloseReason::EndOfInput => CloseReason::EndOfInput,
            wit::CloseReason::Exit => CloseReason::Exit,
            wit::CloseReason::MessageTooLong => CloseReason::MessageTooLong,
            wit::CloseReason::IdleTimeout => CloseReason::IdleTimeout,
            wit::CloseReason::WriteTimeout => CloseReason::WriteTimeout,
            wit::CloseReason::Overloaded => CloseReason::Overloaded,
            wit::CloseReason::Failed(reason) => CloseReason::Failed(reason.into()),
            wit::CloseReason::Stopped => CloseReason::Stopped,
        }
    }
}

impl ServerStats {
    pub(super) fn new(stats: wit::ServerStats, sockets: usize) -> ServerStats {
        ServerStats {
            accepted: stats.accepted,
            refused: stats.refused,
            open: stats.open,
            messages: stats.messages,
            bytes_received: stats.bytes_received,
            bytes_sent: stats.bytes_sent,
            uptime: Duration::from_nanos(stats.uptime),
            sockets,
        }
    }
}

//! What happens to a server, and its counts.

use crate::net::NetError;
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    Opened(Opened),
    Closed(Closed),
    Refused(Refused),
    AcceptFailed(AcceptFailed),
}

/// A connection that was accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    pub id: u64,
    pub local: SocketAddr,
    pub remote: SocketAddr,
}

/// A connection that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closed {
    pub id: u64,
    pub local: SocketAddr,
    pub remote: SocketAddr,
    pub reason: CloseReason,
    pub bytes_received: u64,
    pub bytes_sent: u64,
    pub messages: u64,
    pub duration: Duration,
}

/// Why a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseReason {
    EndOfInput,
    Exit,
    MessageTooLong,
    IdleTimeout,
    WriteTimeout,
    Overloaded,
    Failed(NetError),
    Stopped,
}

impl From<NetError> for CloseReason {
    fn from(error: NetError) -> Self {
        Self::Failed(error)
    }
}

/// A client that was turned away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    pub local: SocketAddr,
    pub remote: SocketAddr,
    pub reason: RefuseReason,
}

/// Why a client was turned away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefuseReason {
    Full,
    PeerLimit,
}

/// Accepting has begun to fail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcceptFailed {
    pub listen: SocketAddr,
    pub reason: NetError,
}

/// Counts since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Statistics {
    pub accepted: u64,
    pub refused: u64,
    pub open: u64,
    pub messages: u64,
    pub bytes_received: u64,
    pub bytes_sent: u64,
    pub uptime: Duration,
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EndOfInput => f.write_str("end of input"),
            Self::Exit => f.write_str("exit"),
            Self::MessageTooLong => f.write_str("message too long"),
            Self::IdleTimeout => f.write_str("silent for too long"),
            Self::WriteTimeout => f.write_str("answers not taken in time"),
            Self::Overloaded => f.write_str("server overloaded"),
            Self::Failed(error) => write!(f, "{error}"),
            Self::Stopped => f.write_str("server stopped"),
        }
    }
}

impl fmt::Display for RefuseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "too many connections",
            Self::PeerLimit => "too many connections from this address",
        })
    }
}

/// A line of a log.
impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Opened(Opened { id, local, remote }) => {
                write!(f, "opened {id}: {remote} -> {local}")
            }
            Self::Closed(closed) => write!(
                f,
                "closed {}: {} -> {}: {}; {} messages, {} bytes received, {} sent, {:.3} s",
                closed.id,
                closed.remote,
                closed.local,
                closed.reason,
                closed.messages,
                closed.bytes_received,
                closed.bytes_sent,
                closed.duration.as_secs_f64(),
            ),
            Self::Refused(Refused {
                local,
                remote,
                reason,
            }) => write!(f, "refused: {remote} -> {local}: {reason}"),
            Self::AcceptFailed(AcceptFailed { listen, reason }) => {
                write!(f, "could not accept on {listen}: {reason}; trying again")
            }
        }
    }
}

/// A line for people.
impl fmt::Display for Statistics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} connections ({} open, {} refused): {} messages, {} bytes received, {} sent, {:.3} s",
            self.accepted,
            self.open,
            self.refused,
            self.messages,
            self.bytes_received,
            self.bytes_sent,
            self.uptime.as_secs_f64(),
        )
    }
}

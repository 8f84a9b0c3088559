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

/// A line of a log that machines read: an object of JSON.
pub struct Json<'a> {
    /// When it happened, since 1970.
    pub time: Duration,
    pub event: &'a Event,
}

impl fmt::Display for Json<'_> {
    /// No text in it needs escaping: they are addresses, and words of our own.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, r#"{{"time":{:.3},"event":"#, self.time.as_secs_f64())?;
        match self.event {
            Event::Opened(Opened { id, local, remote }) => write!(
                f,
                r#""opened","id":{id},"local":"{local}","remote":"{remote}"}}"#
            ),
            Event::Closed(closed) => write!(
                f,
                r#""closed","id":{},"local":"{}","remote":"{}","reason":"{}","messages":{},"bytes_received":{},"bytes_sent":{},"seconds":{:.3}}}"#,
                closed.id,
                closed.local,
                closed.remote,
                closed.reason,
                closed.messages,
                closed.bytes_received,
                closed.bytes_sent,
                closed.duration.as_secs_f64(),
            ),
            Event::Refused(Refused {
                local,
                remote,
                reason,
            }) => write!(
                f,
                r#""refused","local":"{local}","remote":"{remote}","reason":"{reason}"}}"#
            ),
            Event::AcceptFailed(AcceptFailed { listen, reason }) => write!(
                f,
                r#""accept_failed","local":"{listen}","reason":"{reason}"}}"#
            ),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_for_people_and_one_for_machines() {
        let (local, remote) = (
            SocketAddr::from(([127, 0, 0, 1], 9999)),
            SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], 40_000)),
        );
        let table = [
            (
                Event::Opened(Opened {
                    id: 1,
                    local,
                    remote,
                }),
                "opened 1: [::1]:40000 -> 127.0.0.1:9999",
                r#""opened","id":1,"local":"127.0.0.1:9999","remote":"[::1]:40000"}"#,
            ),
            (
                Event::Closed(Closed {
                    id: 2,
                    local,
                    remote,
                    reason: CloseReason::Failed(NetError::ConnectionReset),
                    bytes_received: 3,
                    bytes_sent: 4,
                    messages: 5,
                    duration: Duration::from_millis(1500),
                }),
                "closed 2: [::1]:40000 -> 127.0.0.1:9999: connection reset by peer; 5 messages, \
                 3 bytes received, 4 sent, 1.500 s",
                r#""closed","id":2,"local":"127.0.0.1:9999","remote":"[::1]:40000","reason":"connection reset by peer","messages":5,"bytes_received":3,"bytes_sent":4,"seconds":1.500}"#,
            ),
            (
                Event::Refused(Refused {
                    local,
                    remote,
                    reason: RefuseReason::Full,
                }),
                "refused: [::1]:40000 -> 127.0.0.1:9999: too many connections",
                r#""refused","local":"127.0.0.1:9999","remote":"[::1]:40000","reason":"too many connections"}"#,
            ),
            (
                Event::AcceptFailed(AcceptFailed {
                    listen: local,
                    reason: NetError::NoSocketsLeft,
                }),
                "could not accept on 127.0.0.1:9999: no sockets left; trying again",
                r#""accept_failed","local":"127.0.0.1:9999","reason":"no sockets left"}"#,
            ),
        ];
        for (event, text, json) in table {
            assert_eq!(event.to_string(), text);
            let time = Duration::from_millis(1_795_376_784_652);
            let line = Json {
                time,
                event: &event,
            };
            assert_eq!(
                line.to_string(),
                format!(r#"{{"time":1795376784.652,"event":{json}"#)
            );
        }
    }
}

//! The events of a server, and its counts.

use crate::net::NetError;
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

/// An event of a server.
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

/// A connection that was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    pub local: SocketAddr,
    pub remote: SocketAddr,
    pub reason: RefuseReason,
}

/// Why a connection was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefuseReason {
    Full,
    PeerLimit,
}

/// Accepting has started to fail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcceptFailed {
    pub listen: SocketAddr,
    pub reason: NetError,
}

/// Counts since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerStats {
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
            Self::Stopped => f.write_str("stopped"),
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

/// What a line of the JSON log is about.
#[derive(Debug, Clone, Copy)]
pub enum Logged<'a> {
    /// An event.
    Event(&'a Event),
    /// The server is stopping, and gives its connections this time to finish.
    Stopping(Duration),
    /// The server has stopped.
    Stopped(&'a ServerStats),
}

/// A line of the JSON log. `sockbox serve` writes the same lines, with the same fields and the same
/// reasons.
pub struct Json<'a> {
    /// The time of the event, since 1970.
    pub time: Duration,
    pub what: Logged<'a>,
}

impl fmt::Display for Json<'_> {
    /// No text needs escaping: all of them are addresses or constant texts of this crate.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, r#"{{"time":{:.3},"event":"#, self.time.as_secs_f64())?;
        let event = match self.what {
            Logged::Event(event) => event,
            Logged::Stopping(time) => {
                let seconds = time.as_secs_f64();
                return write!(f, r#""stopping","drain_timeout_seconds":{seconds}}}"#);
            }
            Logged::Stopped(counts) => {
                return write!(
                    f,
                    r#""stopped","accepted":{},"refused":{},"messages":{},"bytes_received":{},"bytes_sent":{},"restarts":0,"uptime_seconds":{:.3}}}"#,
                    counts.accepted,
                    counts.refused,
                    counts.messages,
                    counts.bytes_received,
                    counts.bytes_sent,
                    counts.uptime.as_secs_f64(),
                );
            }
        };
        match event {
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
impl fmt::Display for ServerStats {
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
                "closed 2: [::1]:40000 -> 127.0.0.1:9999: connection reset by the peer; 5 messages, \
                 3 bytes received, 4 sent, 1.500 s",
                r#""closed","id":2,"local":"127.0.0.1:9999","remote":"[::1]:40000","reason":"connection reset by the peer","messages":5,"bytes_received":3,"bytes_sent":4,"seconds":1.500}"#,
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
                "could not accept on 127.0.0.1:9999: no sockets left: too many files are open; trying again",
                r#""accept_failed","local":"127.0.0.1:9999","reason":"no sockets left: too many files are open"}"#,
            ),
        ];
        for (event, text, json) in table {
            assert_eq!(event.to_string(), text);
            let time = Duration::from_millis(1_795_376_784_652);
            let line = Json {
                time,
                what: Logged::Event(&event),
            };
            assert_eq!(
                line.to_string(),
                format!(r#"{{"time":1795376784.652,"event":{json}"#)
            );
        }
    }

    #[test]
    fn the_end_has_lines_for_machines() {
        let counts = ServerStats {
            accepted: 1,
            refused: 2,
            open: 3,
            messages: 4,
            bytes_received: 5,
            bytes_sent: 6,
            uptime: Duration::from_millis(7500),
        };
        let table = [
            (
                Logged::Stopping(Duration::from_millis(1500)),
                r#""stopping","drain_timeout_seconds":1.5}"#,
            ),
            (
                Logged::Stopped(&counts),
                r#""stopped","accepted":1,"refused":2,"messages":4,"bytes_received":5,"bytes_sent":6,"restarts":0,"uptime_seconds":7.500}"#,
            ),
        ];
        for (what, json) in table {
            let time = Duration::from_millis(1500);
            let line = Json { time, what }.to_string();
            assert_eq!(line, format!(r#"{{"time":1.500,"event":{json}"#));
        }
    }
}

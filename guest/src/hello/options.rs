//! How to serve.

use super::framing::{DEFAULT_MAX_MESSAGE_SIZE, Framing};
use crate::net::NetError;
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

/// The default greeting: the word of the tutorial.
pub const DEFAULT_GREETING: &str = "Hello";

/// The default write timeout: 30 seconds. That is longer than the interruptions of a network that
/// still works.
pub const DEFAULT_WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// The default for the most bytes that are held for all clients together: 64 MiB, a quarter of the
/// memory that sockbox's host gives to a component. A buffer that grows takes up to three times its
/// size for a moment.
pub const DEFAULT_MAX_HELD: usize = 64 * 1024 * 1024;

/// How to serve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// The addresses to listen on, at least one.
    pub listen: Vec<SocketAddr>,
    /// What ends a message.
    pub framing: Framing,
    /// The start of each answer.
    pub greeting: String,
    /// The text that is sent to each client when it connects.
    pub welcome: Option<String>,
    /// The most bytes of a message, without its newline.
    pub max_message_size: u32,
    /// How long answers may wait for the client to take them; `None` for ever.
    pub write_timeout: Option<Duration>,
    /// How long a client may send nothing; `None` for ever.
    pub idle_timeout: Option<Duration>,
    /// The most connections that are open at once.
    pub max_connections: Option<u32>,
    /// Whether clients above `max_connections` are refused. Otherwise they wait in the system's
    /// queue.
    pub refuse_when_full: bool,
    /// The most connections that are open at once from one address.
    pub max_per_peer: Option<u32>,
    /// The most bytes that are held for all clients together: incomplete messages, and answers that
    /// clients have not taken.
    pub max_held: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: Vec::new(),
            framing: Framing::Auto,
            greeting: DEFAULT_GREETING.to_owned(),
            welcome: None,
            max_message_size: DEFAULT_MAX_MESSAGE_SIZE,
            write_timeout: Some(DEFAULT_WRITE_TIMEOUT),
            idle_timeout: None,
            max_connections: None,
            refuse_when_full: false,
            max_per_peer: None,
            max_held: DEFAULT_MAX_HELD,
        }
    }
}

impl Options {
    /// Checks that a server can start with these options.
    pub(super) fn check(&self) -> Result<(), StartError> {
        let wrong = if self.listen.is_empty() {
            "no address to listen on"
        } else if self.greeting.contains(['\r', '\n']) {
            "the greeting contains a line break: clients could not tell where an answer ends"
        } else if self.max_connections == Some(0) {
            "the maximum number of connections is 0: the server could not accept any"
        } else if self.max_per_peer == Some(0) {
            "the maximum number of connections per peer is 0: the server could not accept any"
        } else {
            return Ok(());
        };
        Err(StartError::Invalid(wrong))
    }
}

/// Why a server could not start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StartError {
    /// The options are invalid.
    Invalid(&'static str),
    /// Listening on this address failed.
    Listen {
        address: SocketAddr,
        reason: NetError,
    },
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(reason) => f.write_str(reason),
            Self::Listen { address, reason } => write!(f, "can't listen on {address}: {reason}"),
        }
    }
}

impl std::error::Error for StartError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_that_make_no_sense_are_refused() {
        let good = || Options {
            listen: vec![SocketAddr::from(([127, 0, 0, 1], 0))],
            ..Options::default()
        };
        assert_eq!(good().check(), Ok(()));
        let welcome = Options {
            welcome: Some("Welcome!\nSpeak.\n".to_owned()),
            max_connections: Some(1),
            max_per_peer: Some(1),
            ..good()
        };
        assert_eq!(welcome.check(), Ok(()));
        let greeting = |text: &str| Options {
            greeting: text.to_owned(),
            ..good()
        };
        for options in [
            Options::default(),
            greeting("a\nb"),
            greeting("a\r"),
            Options {
                max_connections: Some(0),
                ..good()
            },
            Options {
                max_per_peer: Some(0),
                ..good()
            },
        ] {
            assert!(
                matches!(options.check(), Err(StartError::Invalid(_))),
                "{options:?}"
            );
        }
    }
}

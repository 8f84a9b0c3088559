//! How to serve.

use crate::bindings::hello_server as wit;
use crate::limits::Limits;
use crate::wit_convert::nanoseconds;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

/// What ends a message. No kind of framing splits a UTF-8 character that arrives in pieces.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Framing {
    /// A newline (LF or CRLF), which the answer repeats at its end. Bytes without a newline are a
    /// message as soon as the socket has no more bytes to read.
    #[default]
    Auto,
    /// Only a newline. The last line may end with the input instead.
    Line,
    /// The end of what one receive returned. A newline is part of the message.
    Chunk,
}

/// How to serve.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct ServeOptions {
    listen: Vec<SocketAddr>,
    listeners: Vec<Arc<TcpListener>>,
    framing: Framing,
    greeting: Option<String>,
    welcome: Option<String>,
    max_message_size: Option<u32>,
    write_timeout: Option<Option<Duration>>,
    idle_timeout: Option<Duration>,
    max_connections: Option<u32>,
    refuse_when_full: bool,
    max_per_peer: Option<u32>,
}

impl ServeOptions {
    /// No address yet; at least one is needed.
    pub fn new() -> ServeOptions {
        ServeOptions::default()
    }

    /// Listen on `address` too. With port 0 the system chooses a free port, which
    /// [`Server::addresses`](crate::Server::addresses) returns. An IPv6 address accepts only IPv6
    /// connections.
    pub fn listen(mut self, address: SocketAddr) -> ServeOptions {
        self.listen.push(address);
        self
    }

    /// Also serve the clients of `listener`, a listening socket. Use it for a socket that a process
    /// with more privileges opened, or that outlives the server. Its address must be granted too;
    /// [`Server::addresses`](crate::Server::addresses) lists it after those of
    /// [`listen`](Self::listen). The server uses a copy of the socket, and makes it non-blocking. This
    /// needs [WASI 0.2](crate::Wasi::V0_2).
    pub fn listener(mut self, listener: impl Into<Arc<TcpListener>>) -> ServeOptions {
        self.listeners.push(listener.into());
        self
    }

    /// Set what ends a message. Default: [`Framing::Auto`].
    pub fn framing(mut self, framing: Framing) -> ServeOptions {
        self.framing = framing;
        self
    }

    /// Set the word before the comma of an answer. It must not contain line breaks. Default:
    /// `Hello`.
    pub fn greeting(mut self, text: impl Into<String>) -> ServeOptions {
        self.greeting = Some(text.into());
        self
    }

    /// Set the text that the server sends as soon as a client connects. With [`Framing::Line`] the
    /// server adds a newline if the text has none at its end. Default: nothing.
    pub fn welcome(mut self, text: impl Into<String>) -> ServeOptions {
        self.welcome = Some(text.into());
        self
    }

    /// Set the most bytes in a message, without its newline. The server answers a longer message
    /// with one line that says so, and closes the connection. Default: 65536 (64 KiB).
    pub fn max_message_size(mut self, bytes: u32) -> ServeOptions {
        self.max_message_size = Some(bytes);
        self
    }

    /// Set how long answers may wait until the client accepts them. Then the server closes the
    /// connection. None means no limit. Bytes in the system's buffers do not count as waiting.
    /// Default: 30 seconds.
    pub fn write_timeout(mut self, limit: Option<Duration>) -> ServeOptions {
        self.write_timeout = Some(limit);
        self
    }

    /// Set how long a client may send nothing. Then the server closes the connection. None means no
    /// limit. Default: none.
    pub fn idle_timeout(mut self, limit: Option<Duration>) -> ServeOptions {
        self.idle_timeout = limit;
        self
    }

    /// Set the most connections that are open at once, at least 1. It is lowered to what the
    /// instance's limits allow ([`Limits::connections`]), which is the default, too.
    pub fn max_connections(mut self, count: u32) -> ServeOptions {
        self.max_connections = Some(count);
        self
    }

    /// Set what happens to clients above `max_connections`. If true, the server sends one line and
    /// closes their connections. If false, the default, they wait in the system's queue until other
    /// connections close.
    pub fn refuse_when_full(mut self, refuse: bool) -> ServeOptions {
        self.refuse_when_full = refuse;
        self
    }

    /// Set the most connections that are open at once from one address, at least 1. The server
    /// sends one line to further clients and closes their connections. Default: no limit.
    pub fn max_per_peer(mut self, count: u32) -> ServeOptions {
        self.max_per_peer = Some(count);
        self
    }

    /// The given listening sockets.
    pub(super) fn listeners(&self) -> &[Arc<TcpListener>] {
        &self.listeners
    }

    /// In the component's words, and how many connections there may be.
    pub(super) fn to_wit(&self, limits: &Limits) -> (wit::Options, u32) {
        let allowed = limits.connections();
        let max_connections = self.max_connections.map_or(allowed, |max| max.min(allowed));
        // 0 means no limit in the WIT, so a time below a nanosecond becomes 1.
        let bound = |limit: Option<Duration>| limit.map_or(0, |limit| nanoseconds(limit).max(1));
        let options = wit::Options {
            listen: self.listen.iter().copied().map(Into::into).collect(),
            framing: Some(match self.framing {
                Framing::Auto => wit::Framing::Auto,
                Framing::Line => wit::Framing::Line,
                Framing::Chunk => wit::Framing::Chunk,
            }),
            greeting: self.greeting.clone(),
            welcome: self.welcome.clone(),
            max_message_size: self.max_message_size,
            write_timeout: self.write_timeout.map(bound),
            idle_timeout: Some(bound(self.idle_timeout)),
            max_connections: Some(max_connections),
            refuse_when_full: self.refuse_when_full,
            max_per_peer: self.max_per_peer,
            // The rest is for the connections themselves.
            max_held_size: Some(u32::try_from(limits.memory_bytes / 4).unwrap_or(u32::MAX)),
            // `break_off_writes_on_drop` is set for this instance's store.
            dropping_breaks_off: true,
        };
        (options, max_connections)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_reach_the_component_as_they_are_meant() {
        let limits = Limits::default().sockets(1000);
        let (options, connections) = ServeOptions::new().to_wit(&limits);
        assert_eq!(connections, limits.connections());
        assert_eq!(options.write_timeout, None);
        assert_eq!(options.idle_timeout, Some(0));
        assert_eq!(options.max_held_size, Some(64 << 20));
        assert!(options.dropping_breaks_off);

        for (asked, expected) in [(1, 1), (500, 500), (u32::MAX, limits.connections())] {
            let (options, connections) = ServeOptions::new().max_connections(asked).to_wit(&limits);
            assert_eq!(connections, expected, "{asked}");
            assert_eq!(options.max_connections, Some(expected), "{asked}");
        }
        for (asked, expected) in [
            (None, 0),
            (Some(Duration::ZERO), 1),
            (Some(Duration::from_secs(1)), 1_000_000_000),
        ] {
            let options = ServeOptions::new().write_timeout(asked).idle_timeout(asked);
            let (options, _) = options.to_wit(&limits);
            assert_eq!(options.write_timeout, Some(expected), "{asked:?}");
            assert_eq!(options.idle_timeout, Some(expected), "{asked:?}");
        }
    }
}

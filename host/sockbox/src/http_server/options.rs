//! How to serve HTTP.

use super::event::HttpEvent;
use crate::error::{Error, Result};
use crate::limits::Limits;
use std::fmt;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

/// Requests that are handled at once, unless an option says otherwise: 256.
const MAX_REQUESTS: u32 = 256;

/// Connections that are open at once, unless an option says otherwise: 10,000, or half of the process's limit on open files
/// if that is less. The other half is for the connections that the components make.
const MAX_CONNECTIONS: usize = 10_000;

/// The smallest bound on the head of a request: 8 KiB, which is what the parser needs.
const MIN_HEAD_BYTES: usize = 8 * 1024;

type Observer = Arc<dyn Fn(&HttpEvent) + Send + Sync>;

/// How to serve HTTP. A time of None is no limit.
#[derive(Clone)]
#[must_use]
pub struct HttpOptions {
    pub(super) listen: Vec<SocketAddr>,
    pub(super) listeners: Vec<Arc<TcpListener>>,
    pub(super) max_connections: usize,
    pub(super) max_per_peer: Option<u32>,
    pub(super) max_requests: u32,
    pub(super) queue_timeout: Duration,
    pub(super) header_timeout: Option<Duration>,
    pub(super) body_timeout: Option<Duration>,
    pub(super) write_timeout: Option<Duration>,
    pub(super) max_header_bytes: usize,
    pub(super) max_body_bytes: Option<u64>,
    pub(super) observer: Option<Observer>,
}

impl Default for HttpOptions {
    fn default() -> HttpOptions {
        let files = Limits::default().sockets;
        let seconds = Duration::from_secs;
        HttpOptions {
            listen: Vec::new(),
            listeners: Vec::new(),
            max_connections: MAX_CONNECTIONS.min(files / 2).max(1),
            max_per_peer: None,
            max_requests: MAX_REQUESTS,
            queue_timeout: seconds(10),
            header_timeout: Some(seconds(30)),
            body_timeout: Some(seconds(30)),
            write_timeout: Some(seconds(30)),
            max_header_bytes: 32 * 1024,
            max_body_bytes: Some(16 * 1024 * 1024),
            observer: None,
        }
    }
}

impl HttpOptions {
    /// No address yet; at least one is needed.
    pub fn new() -> HttpOptions {
        HttpOptions::default()
    }

    /// Listen on `address` too. With port 0 the system chooses a free port, which
    /// [`HttpServer::addresses`](crate::HttpServer::addresses) returns. This grants listening on it to the server, and
    /// nothing to the component.
    pub fn listen(mut self, address: SocketAddr) -> HttpOptions {
        self.listen.push(address);
        self
    }

    /// Also serve the clients of `listener`, a listening socket, for example one that a process with more privileges
    /// has opened. The server uses a copy of the socket, and makes it non-blocking.
    pub fn listener(mut self, listener: impl Into<Arc<TcpListener>>) -> HttpOptions {
        self.listeners.push(listener.into());
        self
    }

    /// Set the most connections that are open at once, at least 1. Further clients wait in the system's queue. Default:
    /// 10,000, or half of the process's limit on open files if that is less.
    pub fn max_connections(mut self, count: u32) -> HttpOptions {
        self.max_connections = usize::try_from(count).unwrap_or(usize::MAX);
        self
    }

    /// Set the most connections that are open at once from one address, at least 1. A further client gets the response
    /// 429. Default: none.
    pub fn max_per_peer(mut self, count: u32) -> HttpOptions {
        self.max_per_peer = Some(count);
        self
    }

    /// Set the most requests that are handled at once, at least 1. Further requests wait for
    /// [`HttpOptions::queue_timeout`]. Each request may take as much memory as the limits of the handler allow. Default:
    /// 256.
    pub fn max_requests(mut self, count: u32) -> HttpOptions {
        self.max_requests = count;
        self
    }

    /// Set how long a request waits until it can be handled. Then it gets the response 503. Default: 10 seconds.
    pub fn queue_timeout(mut self, limit: Duration) -> HttpOptions {
        self.queue_timeout = limit;
        self
    }

    /// Set how long a client may take for the head of a request, from the start of the connection, or from the end of the
    /// previous response. Then the server closes the connection. So this also limits how long a connection may be idle.
    /// Default: 30 seconds.
    pub fn header_timeout(mut self, limit: Option<Duration>) -> HttpOptions {
        self.header_timeout = limit;
        self
    }

    /// Set how long a client may take for the next part of a request's body, while the component waits for it. The
    /// component then gets an error. Default: 30 seconds.
    pub fn body_timeout(mut self, limit: Option<Duration>) -> HttpOptions {
        self.body_timeout = limit;
        self
    }

    /// Set how long a client may take nothing of a response. Then the server closes the connection. Bytes in the system's
    /// buffers count as taken. Default: 30 seconds.
    pub fn write_timeout(mut self, limit: Option<Duration>) -> HttpOptions {
        self.write_timeout = limit;
        self
    }

    /// Set the most bytes of a request's head, at least 8192. A request with a larger one, or with more than 100 headers,
    /// gets the response 431. Default: 32 KiB.
    pub fn max_header_bytes(mut self, bytes: usize) -> HttpOptions {
        self.max_header_bytes = bytes;
        self
    }

    /// Set the most bytes of a request's body. A request with a larger one gets the response 413, unless the component has
    /// responded before. None means no limit: the server streams bodies, and does not buffer them. Default: 16 MiB.
    pub fn max_body_bytes(mut self, bytes: Option<u64>) -> HttpOptions {
        self.max_body_bytes = bytes;
        self
    }

    /// Call `observer` with each event. It must not block: it runs on the threads that serve.
    pub fn observer(
        mut self,
        observer: impl Fn(&HttpEvent) + Send + Sync + 'static,
    ) -> HttpOptions {
        self.observer = Some(Arc::new(observer));
        self
    }

    pub(super) fn check(&self) -> Result<()> {
        let problem = if self.listen.is_empty() && self.listeners.is_empty() {
            "there is no address to listen on"
        } else if self.max_connections == 0 {
            "the most connections must be at least 1"
        } else if self.max_per_peer == Some(0) {
            "the most connections from one address must be at least 1"
        } else if self.max_requests == 0 {
            "the most requests at once must be at least 1"
        } else if self.max_header_bytes < MIN_HEAD_BYTES {
            "the most bytes of a request's head must be at least 8192"
        } else {
            return Ok(());
        };
        Err(Error::InvalidOptions {
            reason: problem.to_owned(),
        })
    }
}

impl fmt::Debug for HttpOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpOptions")
            .field("listen", &self.listen)
            .field("listeners", &self.listeners)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_that_can_serve_nothing_are_refused() {
        let address: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let options = || HttpOptions::new().listen(address);
        for (options, expected) in [
            (options(), None),
            (options().max_header_bytes(8192), None),
            (
                options().max_connections(1).max_requests(1).max_per_peer(1),
                None,
            ),
            (HttpOptions::new(), Some("there is no address to listen on")),
            (
                options().max_connections(0),
                Some("the most connections must be at least 1"),
            ),
            (
                options().max_per_peer(0),
                Some("the most connections from one address must be at least 1"),
            ),
            (
                options().max_requests(0),
                Some("the most requests at once must be at least 1"),
            ),
            (
                options().max_header_bytes(8191),
                Some("the most bytes of a request's head must be at least 8192"),
            ),
        ] {
            let found = options.check().err().map(|error| error.to_string());
            let expected = expected.map(|reason| format!("invalid options: {reason}"));
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn the_defaults_are_those_documented() {
        let options = HttpOptions::new();
        let half_a_minute = Some(Duration::from_secs(30));
        assert!(options.max_connections <= MAX_CONNECTIONS);
        assert_eq!(options.max_per_peer, None);
        assert_eq!(options.max_requests, 256);
        assert_eq!(options.queue_timeout, Duration::from_secs(10));
        assert_eq!(options.header_timeout, half_a_minute);
        assert_eq!(options.body_timeout, half_a_minute);
        assert_eq!(options.write_timeout, half_a_minute);
        assert_eq!(options.max_header_bytes, 32_768);
        assert_eq!(options.max_body_bytes, Some(16_777_216));
    }
}

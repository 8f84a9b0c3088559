//! The events of an HTTP server, and its counts.

use crate::audit::{HandledRequest, RunId};
use crate::error::{Error, NetworkError};
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// An event of an HTTP server.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum HttpEvent {
    /// A request has ended: its response was sent, or it has failed.
    Handled {
        /// The run of the instance that has handled it. None: no instance has.
        run: Option<RunId>,
        /// The server's address.
        local: SocketAddr,
        /// The request and its result.
        request: HandledRequest,
    },
    /// The component has failed after its response was sent.
    Failed {
        /// The run of the instance.
        run: RunId,
        /// Why.
        error: Arc<Error>,
    },
    /// A client has sent something that is not a request, or a request with too large a head. It got the response 400,
    /// 414 or 431, where one could be sent, and its connection was closed.
    Invalid {
        /// The server's address.
        local: SocketAddr,
        /// The client's address.
        remote: SocketAddr,
        /// What is wrong with it.
        reason: String,
    },
    /// The server refused a client.
    Refused {
        /// The server's address.
        local: SocketAddr,
        /// The client's address.
        remote: SocketAddr,
        /// Why.
        reason: HttpRefused,
    },
    /// Accepting failed. The server pauses and tries again. This is reported once per outage: an outage ends when
    /// accepting has not failed for 5 seconds.
    AcceptFailed {
        /// The listening address.
        local: SocketAddr,
        /// Why.
        reason: NetworkError,
    },
}

/// Why an HTTP server refused a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HttpRefused {
    /// [`HttpOptions::max_per_peer`](crate::HttpOptions::max_per_peer) connections from its address were open.
    PeerLimit,
    /// The policy denies its address.
    Denied,
}

impl fmt::Display for HttpRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            HttpRefused::PeerLimit => "too many connections from this address",
            HttpRefused::Denied => "denied by the policy",
        })
    }
}

/// Counts since an HTTP server started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct HttpStats {
    /// Connections accepted.
    pub accepted: u64,
    /// Clients refused.
    pub refused: u64,
    /// Connections open now.
    pub open: u64,
    /// Requests that have ended, with a response or without.
    pub requests: u64,
    /// Requests of these that have failed: because of the component, a limit, or a client that left.
    pub failed: u64,
    /// Requests that are being handled now, or wait for it.
    pub active: u64,
    /// Bytes of the bodies of requests that were received.
    pub bytes_received: u64,
    /// Bytes of the bodies of responses that were sent.
    pub bytes_sent: u64,
    /// Time since the start.
    pub uptime: Duration,
}

/// Counts that many tasks change.
pub(super) struct Counts {
    pub(super) accepted: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) open: AtomicU64,
    pub(super) requests: AtomicU64,
    pub(super) failed: AtomicU64,
    pub(super) active: AtomicU64,
    pub(super) bytes_received: AtomicU64,
    pub(super) bytes_sent: AtomicU64,
    since: Instant,
}

impl Counts {
    pub(super) fn new() -> Counts {
        Counts {
            accepted: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            open: AtomicU64::new(0),
            requests: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            active: AtomicU64::new(0),
            bytes_received: AtomicU64::new(0),
            bytes_sent: AtomicU64::new(0),
            since: Instant::now(),
        }
    }

    pub(super) fn stats(&self) -> HttpStats {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        HttpStats {
            accepted: of(&self.accepted),
            refused: of(&self.refused),
            open: of(&self.open),
            requests: of(&self.requests),
            failed: of(&self.failed),
            active: of(&self.active),
            bytes_received: of(&self.bytes_received),
            bytes_sent: of(&self.bytes_sent),
            uptime: self.since.elapsed(),
        }
    }
}

/// Add to a count.
pub(super) fn add(count: &AtomicU64, number: u64) {
    count.fetch_add(number, Ordering::Relaxed);
}

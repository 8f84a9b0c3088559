//! What the parts of a connection know of its client.

use std::net::SocketAddr;
use std::sync::atomic::AtomicBool;

/// What the parts of a connection know of its client.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) local: SocketAddr,
    pub(super) remote: SocketAddr,
    /// Whether it has sent a byte.
    pub(super) has_sent: AtomicBool,
    /// Whether it has begun to send a request, and has not sent the whole head.
    pub(super) in_head: AtomicBool,
    /// Whether a request is under way.
    pub(super) is_active: AtomicBool,
    /// Whether the body of a request was not read to its end.
    pub(super) has_unread: AtomicBool,
    /// Whether it took nothing of a response for too long.
    pub(super) stalled: AtomicBool,
}

impl Client {
    pub(super) fn new(local: SocketAddr, remote: SocketAddr) -> Client {
        Client {
            local,
            remote,
            has_sent: AtomicBool::new(false),
            in_head: AtomicBool::new(false),
            is_active: AtomicBool::new(false),
            has_unread: AtomicBool::new(false),
            stalled: AtomicBool::new(false),
        }
    }
}

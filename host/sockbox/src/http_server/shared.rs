//! What all tasks of a server share.

use super::event::{Counts, HttpEvent, HttpRefused, add};
use super::options::HttpOptions;
use crate::handler::Handler;
use sockbox_wasi::Authority;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::{Semaphore, watch};

/// What all tasks of a server share.
pub(super) struct Shared {
    pub(super) handler: Handler,
    pub(super) authority: Arc<Authority>,
    pub(super) options: HttpOptions,
    /// The places of requests that are handled at once.
    pub(super) requests: Arc<Semaphore>,
    pub(super) counts: Counts,
    /// Changes when the server begins to stop.
    pub(super) stopping: watch::Receiver<Option<Instant>>,
    /// Its sender is dropped when the server has ended.
    pub(super) over: watch::Receiver<()>,
}

impl Shared {
    /// Report an event to the observer, if there is one.
    pub(super) fn report(&self, event: impl FnOnce() -> HttpEvent) {
        if let Some(observer) = &self.options.observer {
            observer(&event());
        }
    }

    pub(super) fn refused(&self, local: SocketAddr, remote: SocketAddr, reason: HttpRefused) {
        add(&self.counts.refused, 1);
        self.report(|| HttpEvent::Refused {
            local,
            remote,
            reason,
        });
    }
}

//! How long each stage may take.

use super::error::{FetchError, Stage, Timeout};
use crate::net::{Instant, Net};
use crate::rt::timeout_at;
use std::future::Future;
use std::time::Duration;

/// How long each stage of a request, and all of it, may take.
///
/// The defaults are there so that nothing hangs for ever: each is well above what a working server
/// or resolver needs, and well below what a person waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// The lookup of the host's name.
    pub lookup: Duration,
    /// One attempt to connect to one address.
    pub connect: Duration,
    /// From the request's last byte to the first byte of the answer.
    pub first_byte: Duration,
    /// The peer's silence within the answer, or its refusal to take more of the request.
    pub idle: Duration,
    /// All of it; none for no bound.
    pub total: Option<Duration>,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            lookup: Duration::from_secs(10),
            connect: Duration::from_secs(30),
            first_byte: Duration::from_secs(60),
            idle: Duration::from_secs(60),
            total: None,
        }
    }
}

/// A request's time.
pub struct Clock<N> {
    pub net: N,
    pub timeouts: Timeouts,
    end: Option<Instant>,
}

impl<N: Net> Clock<N> {
    /// Starts the time of the whole request.
    pub fn start(net: N, timeouts: Timeouts) -> Self {
        Self {
            end: timeouts.total.map(|total| net.now().after(total)),
            net,
            timeouts,
        }
    }

    /// Runs `future` for `limit` at most, and not past the end of the request's time.
    pub async fn within<F: Future>(
        &self,
        stage: Stage,
        limit: Duration,
        received: u64,
        future: F,
    ) -> Result<F::Output, FetchError> {
        let own = self.net.now().after(limit);
        let (deadline, total) = match self.end {
            Some(end) if end <= own => (end, true),
            _ => (own, false),
        };
        timeout_at(&self.net, deadline, future).await.map_err(|_| {
            FetchError::Timeout(Timeout {
                stage,
                limit: self.timeouts.total.filter(|_| total).unwrap_or(limit),
                total,
                received,
            })
        })
    }
}

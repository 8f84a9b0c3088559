//! Connections that are kept for the run's next request to the same origin.

use super::driver::Connected;
use sockbox_policy::{Host, HttpScheme, HttpUrl};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How many connections of a run are kept when nothing uses them: 16. Each counts as a socket of the run, and makes
/// room when the component wants one.
const MOST_KEPT: usize = 16;

/// How long a connection is kept when nothing uses it: 5 seconds, less than most servers keep theirs.
pub(super) const KEPT_FOR: Duration = Duration::from_secs(5);

/// What a connection can be used for: requests to the same scheme, host and port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Key {
    scheme: HttpScheme,
    host: Host,
    port: u16,
}

impl Key {
    pub(super) fn of(url: &HttpUrl) -> Key {
        Key {
            scheme: url.scheme(),
            host: url.host().clone(),
            port: url.port(),
        }
    }
}

/// The connections of a run that nothing uses.
#[derive(Clone, Default)]
pub(super) struct Pool(Arc<Mutex<Kept>>);

#[derive(Default)]
struct Kept {
    /// The one that was used last is the last one.
    connections: Vec<(Key, Instant, Connected)>,
    /// Whether a task waits to close what is kept too long.
    is_swept: bool,
    closed: bool,
}

impl Pool {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        // What it holds is valid at every moment, so a panic elsewhere spoils nothing.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection for this, the one that was used last.
    pub(super) fn take(&self, key: &Key) -> Option<Connected> {
        loop {
            let mut kept = self.kept();
            kept.expire(Instant::now());
            let place = kept.connections.iter().rposition(|(own, ..)| own == key)?;
            let (_, _, mut connected) = kept.connections.remove(place);
            drop(kept);
            if connected.is_usable() {
                return Some(connected);
            }
        }
    }

    /// Keep a connection. Only inside of a tokio runtime, which is asked for a task to close it in the end.
    pub(super) fn keep(&self, key: Key, connected: Connected) {
        let mut kept = self.kept();
        if kept.closed {
            return;
        }
        if kept.connections.len() >= MOST_KEPT {
            kept.connections.remove(0);
        }
        kept.connections.push((key, Instant::now(), connected));
        if !std::mem::replace(&mut kept.is_swept, true) {
            tokio::spawn(sweep(Arc::downgrade(&self.0)));
        }
    }

    /// Close them all.
    pub(super) fn clear(&self) {
        let connections = std::mem::take(&mut self.kept().connections);
        drop(connections);
    }

    /// Close them all, and keep none any more.
    pub(super) fn close(&self) {
        self.kept().closed = true;
        self.clear();
    }
}

impl Kept {
    fn expire(&mut self, now: Instant) {
        self.connections
            .retain(|(_, since, _)| now.saturating_duration_since(*since) < KEPT_FOR);
    }
}

/// Close what is kept too long, until nothing is.
async fn sweep(pool: std::sync::Weak<Mutex<Kept>>) {
    loop {
        tokio::time::sleep(KEPT_FOR).await;
        let Some(pool) = pool.upgrade() else {
            return;
        };
        let mut kept = pool.lock().unwrap_or_else(PoisonError::into_inner);
        kept.expire(Instant::now());
        if kept.connections.is_empty() {
            kept.is_swept = false;
            return;
        }
    }
}

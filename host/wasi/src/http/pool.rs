//! Idle connections, which the run's next request to the same origin can use.

use super::connected::Connected;
use sockbox_policy::{Host, HttpScheme, HttpUrl};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The most idle connections of a run: 16. Each counts as a socket of the run. The host closes them when the component
/// needs a socket and the run has none left.
const MOST_KEPT: usize = 16;

/// How long the pool keeps an idle connection: 5 seconds, which is less than with most servers.
pub(super) const KEPT_FOR: Duration = Duration::from_secs(5);

/// The origin that a connection leads to. Only requests with the same scheme, host and port can use the connection.
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

/// The idle connections of a run.
#[derive(Clone, Default)]
pub(super) struct Pool(Arc<Mutex<Kept>>);

#[derive(Default)]
struct Kept {
    /// Each with the time at which it became idle, the latest last.
    connections: Vec<(Key, Instant, Connected)>,
    /// Whether the task runs that closes expired connections.
    is_swept: bool,
    /// Whether the pool takes no more connections.
    closed: bool,
}

impl Pool {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        // The content is valid after every statement, so a panic in another thread leaves it usable.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Take a usable connection to this origin: the one that became idle last. One whose address `may_reach` refuses is
    /// closed. One to a name that a proxy has resolved has no address, and only its request is judged.
    pub(super) fn take(
        &self,
        key: &Key,
        may_reach: impl Fn(SocketAddr) -> bool,
    ) -> Option<Connected> {
        loop {
            let mut kept = self.kept();
            kept.expire(Instant::now());
            let place = kept.connections.iter().rposition(|(own, ..)| own == key)?;
            let (_, _, mut connected) = kept.connections.remove(place);
            drop(kept);
            if connected.address.is_none_or(&may_reach) && connected.is_usable() {
                return Some(connected);
            }
        }
    }

    /// Add a connection. If 16 are there, the oldest is closed.
    ///
    /// # Panics
    /// Outside a tokio runtime: this spawns a task that closes expired connections.
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

    /// Close all idle connections.
    pub(super) fn clear(&self) {
        let connections = std::mem::take(&mut self.kept().connections);
        drop(connections);
    }

    /// Close all idle connections, and take no more.
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

/// Close expired connections, until the pool is empty.
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

#[cfg(test)]
mod tests {
    use super::super::io::Io;
    use super::*;
    use crate::budget::Budget;
    use crate::sockets::count::Count;
    use hyper::client::conn::http1;
    use wasmtime_wasi::p2::pipe::{AsyncReadStream, AsyncWriteStream};
    use wasmtime_wasi::p2::{DynInputStream, DynOutputStream};

    /// A connection to a peer that is silent, and that peer.
    async fn connection(address: SocketAddr) -> (Connected, tokio::io::DuplexStream) {
        let (own, peer) = tokio::io::duplex(1024);
        let (reader, writer) = tokio::io::split(own);
        let input: DynInputStream = Box::new(AsyncReadStream::new(reader));
        let output: DynOutputStream = Box::new(AsyncWriteStream::new(1024, writer));
        let socket = Count::new().shared().open_one(1).unwrap();
        let io = Io::new((input, output), socket);
        let (sender, connection) = http1::handshake(io).await.unwrap();
        let charge = Budget::new(1).charge(1).unwrap();
        (
            Connected::new(sender, connection, Some(address), charge),
            peer,
        )
    }

    #[tokio::test]
    async fn an_address_that_may_not_be_reached_any_more_is_not_used_again() {
        let key = Key::of(&"http://a.example/".parse().unwrap());
        let other = Key::of(&"http://b.example/".parse().unwrap());
        let [one, two] = ["192.0.2.1:80", "192.0.2.2:80"].map(|it| it.parse().unwrap());
        let pool = Pool::default();
        let (kept, _peer) = connection(one).await;
        pool.keep(key.clone(), kept);
        let (kept, _other_peer) = connection(two).await;
        pool.keep(key.clone(), kept);
        assert!(pool.take(&other, |_| true).is_none());
        // The latest one is closed, and the one before it is taken.
        let taken = pool.take(&key, |address| address == one);
        assert_eq!(taken.map(|it| it.address), Some(Some(one)));
        assert!(pool.take(&key, |_| true).is_none());
        assert!(pool.kept().connections.is_empty());
    }
}

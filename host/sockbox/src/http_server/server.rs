//! The server's task: it accepts clients, and ends when all of them are served.

use super::client::Client;
use super::connection::{self, linger};
use super::event::{HttpEvent, HttpRefused, HttpStats};
use super::peers::Peers;
use super::shared::Shared;
use crate::error::NetworkError;
use crate::policy::Target;
use sockbox_wasi::AcceptRate;
use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{interval, sleep, timeout_at};

/// How long the server pauses after accepting has failed: 100 ms.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// An outage of accepting has ended if accepting has not failed for this long: 5 seconds.
const OUTAGE: Duration = Duration::from_secs(5);

/// How often instances that have waited for too long are dropped: every 5 seconds.
const EXPIRE: Duration = Duration::from_secs(5);

/// How many refused clients are sent a response at once. Further ones are reset.
const MAX_REFUSED: usize = 64;

/// The response to a client whose address has too many connections.
const TOO_MANY: &[u8] = b"HTTP/1.1 429 Too Many Requests\r\ncontent-type: text/plain\r\n\
    content-length: 22\r\nretry-after: 1\r\nconnection: close\r\n\r\n429 Too Many Requests\n";

/// The task of a server.
pub(super) struct Accepting {
    pub(super) shared: Arc<Shared>,
    pub(super) listeners: Vec<(SocketAddr, TcpListener)>,
    pub(super) rate: AcceptRate,
    /// Ends all calls of components when it is dropped.
    pub(super) over: watch::Sender<()>,
}

impl Accepting {
    /// Serve until the server is stopped and every client is served, or the time for that is over.
    pub(super) async fn run(mut self) -> HttpStats {
        let shared = self.shared.clone();
        let _end = End(shared.clone());
        let mut clients = JoinSet::new();
        self.accept(&mut clients).await;
        // New clients are refused by the system from now on.
        self.listeners.clear();
        drain(&shared, &mut clients).await;
        // Ends all calls of components.
        drop(self.over);
        clients.shutdown().await;
        shared.counts.stats()
    }

    /// Accept clients until the server is stopped.
    async fn accept(&mut self, clients: &mut JoinSet<()>) {
        let shared = self.shared.clone();
        let connections = Arc::new(Semaphore::new(
            shared.options.max_connections.min(Semaphore::MAX_PERMITS),
        ));
        let refusing = Arc::new(Semaphore::new(MAX_REFUSED));
        let peers = Peers::new(shared.options.max_per_peer);
        let mut stopping = shared.stopping.clone();
        let mut outages = Outages::default();
        let mut expire = interval(EXPIRE);
        let mut next = 0;
        loop {
            let accepted = async {
                self.rate.wait().await;
                // The semaphore is never closed.
                let permit = connections.clone().acquire_owned().await.ok()?;
                let accepted = poll_fn(|cx| accept_any(&self.listeners, &mut next, cx)).await;
                Some((permit, accepted))
            };
            let accepted = tokio::select! {
                biased;
                // An error: the server was dropped.
                _ = stopping.wait_for(Option::is_some) => return,
                Some(_) = clients.join_next() => continue,
                _ = expire.tick(), if shared.handler.reuses() => {
                    shared.handler.expire(Instant::now());
                    continue;
                }
                accepted = accepted => accepted,
            };
            let Some((permit, (local, accepted))) = accepted else {
                return;
            };
            let (stream, remote) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    if let Some(reason) = outages.failed(&error, Instant::now()) {
                        shared.report(|| HttpEvent::AcceptFailed { local, reason });
                    }
                    if !is_of_client(&error) {
                        sleep(ACCEPT_PAUSE).await;
                    }
                    continue;
                }
            };
            self.rate.accepted();
            // The address that the client has connected to, where the server listens on all.
            let local = stream.local_addr().unwrap_or(local);
            let Some(place) = peers.place(remote.ip()) else {
                shared.refused(local, remote, HttpRefused::PeerLimit);
                if let Ok(refused) = refusing.clone().try_acquire_owned() {
                    clients.spawn(async move {
                        // What does not fit into the buffer of a new socket is lost.
                        let _ = stream.try_write(TOO_MANY);
                        linger(&stream).await;
                        drop(refused);
                    });
                }
                continue;
            };
            let shared = shared.clone();
            clients.spawn(async move {
                if !shared.authority.ask(Target::Accept(remote)).await {
                    reset(&stream);
                    shared.refused(local, remote, HttpRefused::Denied);
                    return;
                }
                // Without it small parts of a response may wait for the client's acknowledgement.
                let _ = stream.set_nodelay(true);
                let client = Client::new(local, remote);
                connection::serve(shared, stream, client, place, permit).await;
            });
        }
    }
}

/// Wait until every client is served and every component has returned, or the time for that is over.
async fn drain(shared: &Shared, clients: &mut JoinSet<()>) {
    let served = async {
        while clients.join_next().await.is_some() {}
        // Components may work on after their responses. All places are free when none does.
        let all = shared.requests.acquire_many(shared.options.max_requests);
        drop(all.await);
    };
    let mut served = std::pin::pin!(served);
    let mut stopping = shared.stopping.clone();
    loop {
        // It is set: that has ended accepting.
        let deadline = stopping.borrow_and_update().unwrap_or_else(Instant::now);
        tokio::select! {
            _ = timeout_at(deadline.into(), &mut served) => return,
            // The deadline may be replaced. An error: the server was dropped.
            changed = stopping.changed() => if changed.is_err() {
                return;
            }
        }
    }
}

/// Records the end of the server when it is dropped, in order or not.
struct End(Arc<Shared>);

impl Drop for End {
    fn drop(&mut self) {
        self.0.requests.close();
        self.0.handler.clear();
        self.0.authority.end();
    }
}

/// Have the system reset the connection when the socket is closed.
fn reset(stream: &TcpStream) {
    // Where that fails, the connection is closed in order.
    let _ = socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO));
}

type Accepted = (SocketAddr, io::Result<(TcpStream, SocketAddr)>);

/// Accept a client on any of the listeners, in turn.
fn accept_any(
    listeners: &[(SocketAddr, TcpListener)],
    next: &mut usize,
    cx: &mut Context<'_>,
) -> Poll<Accepted> {
    for turn in 0..listeners.len() {
        let place = (*next + turn) % listeners.len();
        let (local, listener) = &listeners[place];
        if let Poll::Ready(accepted) = listener.poll_accept(cx) {
            *next = place + 1;
            return Poll::Ready((*local, accepted));
        }
    }
    Poll::Pending
}

/// Whether accepting failed because of one client, so that the next one can be accepted at once.
fn is_of_client(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset | ErrorKind::Interrupted
    )
}

/// Decides which failures of accepting are reported: the first of each outage.
#[derive(Default)]
struct Outages {
    last: Option<Instant>,
}

impl Outages {
    fn failed(&mut self, error: &io::Error, now: Instant) -> Option<NetworkError> {
        if is_of_client(error) {
            return None;
        }
        let last = self.last.replace(now);
        let is_new = last.is_none_or(|last| now.saturating_duration_since(last) >= OUTAGE);
        is_new.then(|| match error.raw_os_error() {
            Some(code) if is_out_of_files(code) => NetworkError::NoSocketsLeft,
            _ => NetworkError::Other,
        })
    }
}

#[cfg(unix)]
fn is_out_of_files(code: i32) -> bool {
    let error = rustix::io::Errno::from_raw_os_error(code);
    matches!(error, rustix::io::Errno::MFILE | rustix::io::Errno::NFILE)
}

#[cfg(not(unix))]
fn is_out_of_files(_: i32) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_is_reported_once() {
        let mut outages = Outages::default();
        let start = Instant::now();
        let full = || io::Error::from_raw_os_error(24);
        let mut failed = |error: &io::Error, seconds| {
            outages
                .failed(error, start + Duration::from_secs(seconds))
                .is_some()
        };
        assert!(failed(&full(), 0));
        assert!(!failed(&full(), 4));
        assert!(!failed(&full(), 8));
        assert!(!failed(&ErrorKind::ConnectionAborted.into(), 13));
        assert!(failed(&full(), 13));
    }
}

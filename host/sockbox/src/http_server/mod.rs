//! Serving HTTP: a [`Handler`] behind listening sockets.
//!
//! | file | content |
//! |---|---|
//! | `mod` | [`HttpServer`]: starting, stopping, counts |
//! | `options`, `event` | how to serve, and the events and counts |
//! | `server` | the task that accepts clients |
//! | `connection`, `io`, `peers` | a client's connection, its socket, and how many of an address there are |
//! | `exchange`, `received` | one request and its response; the body of a request |
//! | `status` | the responses of the server itself |

mod client;
mod connection;
mod event;
mod exchange;
mod io;
mod options;
mod peers;
mod received;
mod server;
mod shared;
mod status;

pub use event::{HttpEvent, HttpRefused, HttpStats};
pub use options::HttpOptions;

use crate::error::{Error, Result};
use crate::handler::Handler;
use crate::listen::listen;
use event::Counts;
use server::Accepting;
use shared::Shared;
use sockbox_wasi::{AcceptRate, Authority};
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;

/// The longest time for the end of a server: a year. A longer one is cut.
const MAX_DRAIN: Duration = Duration::from_secs(365 * 24 * 60 * 60);

impl Handler {
    /// Serve HTTP/1.1 to the clients of listening sockets.
    ///
    /// The server is a run of its own in the audit record, and the instances that handle requests are parts of it. The
    /// grant's policy decides which clients are accepted ([`Policy::allow_accept`](crate::Policy::allow_accept)); without
    /// such a rule all are. The server runs on the current tokio runtime, on all of its threads.
    ///
    /// # Errors
    /// - [`Error::InvalidOptions`]: an option is invalid.
    /// - [`Error::ListenFailed`]: an address can't be listened on.
    /// - [`Error::Internal`]: a listener can't be used.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn serve(&self, options: HttpOptions) -> Result<HttpServer> {
        options.check()?;
        let mut listeners = Vec::new();
        for address in &options.listen {
            listeners.push(listen(*address)?);
        }
        let unusable = |error| Error::internal(format_args!("a listener can't be used: {error}"));
        for listener in &options.listeners {
            listeners.push(listener.try_clone().map_err(unusable)?);
        }
        let mut policy = self.grant().granted_policy().clone();
        let mut addressed = Vec::new();
        for listener in listeners {
            listener.set_nonblocking(true).map_err(unusable)?;
            let address = listener.local_addr().map_err(unusable)?;
            policy = policy.allow_listen(address);
            let listener = TcpListener::from_std(listener).map_err(unusable)?;
            addressed.push((address, listener));
        }
        let grant = self.grant().clone().policy(policy);
        let run = self.program().sandbox.next_run();
        let (stop, stopping) = watch::channel(None);
        let (over, is_over) = watch::channel(());
        let addresses = addressed.iter().map(|(address, _)| *address).collect();
        let shared = Arc::new(Shared {
            handler: self.clone(),
            authority: Arc::new(Authority::new(run, &grant)),
            requests: Arc::new(Semaphore::new(
                usize::try_from(options.max_requests)
                    .unwrap_or(usize::MAX)
                    .min(Semaphore::MAX_PERMITS),
            )),
            options,
            counts: Counts::new(),
            stopping,
            over: is_over,
        });
        let accepting = Accepting {
            shared: shared.clone(),
            listeners: addressed,
            rate: AcceptRate::new(grant.granted_limits()),
            over,
        };
        Ok(HttpServer {
            addresses,
            handle: HttpServerHandle {
                stop: Arc::new(stop),
                shared,
            },
            task: tokio::spawn(accepting.run()),
            last: None,
            has_failed: false,
        })
    }
}

/// A server that was started with [`Handler::serve`]. Dropping it ends the server at once.
#[derive(Debug)]
pub struct HttpServer {
    addresses: Vec<SocketAddr>,
    handle: HttpServerHandle,
    task: JoinHandle<HttpStats>,
    /// The counts at the end, once that was seen.
    last: Option<HttpStats>,
    has_failed: bool,
}

/// Stops an [`HttpServer`], and reads its counts.
#[derive(Clone)]
pub struct HttpServerHandle {
    stop: Arc<watch::Sender<Option<Instant>>>,
    shared: Arc<Shared>,
}

impl HttpServer {
    /// The addresses that it listens on: those of [`HttpOptions::listen`], with the ports that the system chose, and then
    /// those of [`HttpOptions::listener`].
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// A handle, which can be used while another task waits for the end.
    pub fn handle(&self) -> HttpServerHandle {
        self.handle.clone()
    }

    /// Wait until the server was stopped and has ended. Gives its counts.
    ///
    /// # Errors
    /// [`Error::Internal`]: a bug in sockbox has ended it.
    ///
    /// # Cancel safety
    /// The future can be dropped, and nothing is lost.
    pub async fn ended(&mut self) -> Result<HttpStats> {
        if let Some(last) = self.last {
            return Ok(last);
        }
        // The task can't be waited for again after a panic.
        if self.has_failed {
            return Err(Error::internal("the server has failed"));
        }
        match (&mut self.task).await {
            Ok(stats) => Ok(*self.last.insert(stats)),
            Err(error) => {
                self.has_failed = true;
                Err(Error::internal(format_args!(
                    "the server has failed: {error}"
                )))
            }
        }
    }
}

impl HttpServerHandle {
    /// Stop accepting, handle the requests that clients have already sent, and close each connection after that.
    ///
    /// Requests that are still under way after `drain` are ended. A second call only replaces the remaining time.
    pub fn stop(&self, drain: Duration) {
        let deadline = Instant::now() + drain.min(MAX_DRAIN);
        self.stop.send_replace(Some(deadline));
    }

    /// The current counts.
    pub fn stats(&self) -> HttpStats {
        self.shared.counts.stats()
    }
}

impl Drop for HttpServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl fmt::Debug for HttpServerHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpServerHandle").finish_non_exhaustive()
    }
}

//! The listening sockets and the tasks of the connections.

use super::accept::accept;
use super::event::{Event, ServerStats};
use super::options::{Options, StartError};
use super::shared::Shared;
use crate::net::{Instant, Listener, Net};
use crate::rt::TaskSet;
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

/// How many events [`Server::progress`] returns at once.
const EVENTS_AT_ONCE: usize = 256;

/// The progress of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// These events happened, in this order; at least one.
    Events(Vec<Event>),
    /// The server was stopped, and every connection has ended.
    Stopped(ServerStats),
}

/// A server that listens. It serves while [`progress`](Self::progress) is awaited. Dropping it
/// closes everything at once.
pub struct Server<N: Net> {
    net: N,
    shared: Rc<Shared>,
    tasks: TaskSet,
    addresses: Vec<SocketAddr>,
    since: Instant,
    /// The end of the drain timeout, once the server is stopping.
    drained: Option<Pin<Box<dyn Future<Output = ()>>>>,
}

impl<N: Net> Server<N> {
    /// Listens on every address, or on none of them.
    pub async fn start(net: N, options: &Options) -> Result<Self, StartError> {
        options.check()?;
        let mut listeners = Vec::new();
        for &address in &options.listen {
            match net.listen(address).await {
                Ok(listener) => listeners.push(listener),
                Err(reason) => return Err(StartError::Listen { address, reason }),
            }
        }
        let tasks = TaskSet::default();
        let shared = Rc::new(Shared::new(options, tasks.end_of_tick()));
        let addresses = listeners.iter().map(Listener::local_addr).collect();
        for listener in listeners {
            let accepting = accept(net.clone(), listener, shared.clone(), tasks.spawner());
            tasks.spawner().spawn(accepting);
        }
        Ok(Self {
            since: net.now(),
            net,
            shared,
            tasks,
            addresses,
            drained: None,
        })
    }

    /// The addresses that the server listens on, in the order given, with the real ports.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Serves until there is progress. Dropping the future loses no event.
    pub async fn progress(&mut self) -> Progress {
        poll_fn(|cx| self.poll_progress(cx)).await
    }

    fn poll_progress(&mut self, cx: &mut Context<'_>) -> Poll<Progress> {
        self.tasks.poll(cx);
        if let Some(drained) = &mut self.drained
            && !self.tasks.is_empty()
            && drained.as_mut().poll(cx).is_ready()
        {
            self.tasks.clear();
        }
        let mut events = self.shared.events.borrow_mut();
        if !events.is_empty() {
            let count = events.len().min(EVENTS_AT_ONCE);
            return Poll::Ready(Progress::Events(events.drain(..count).collect()));
        }
        drop(events);
        if self.drained.is_some() && self.tasks.is_empty() {
            return Poll::Ready(Progress::Stopped(self.stats()));
        }
        Poll::Pending
    }

    /// Stops accepting, and gives connections `drain_timeout` to answer what they have received.
    pub fn stop(&mut self, drain_timeout: Duration) {
        let deadline = self.net.now().after(drain_timeout);
        self.drained = Some(Box::pin(self.net.sleep_until(deadline)));
        self.shared.stop();
        self.tasks.wake_all();
    }

    /// Counts since the start.
    pub fn stats(&self) -> ServerStats {
        let shared = &self.shared;
        ServerStats {
            accepted: shared.accepted.get(),
            refused: shared.refused.get(),
            open: shared.open.get(),
            messages: shared.messages.get(),
            bytes_received: shared.bytes_received.get(),
            bytes_sent: shared.bytes_sent.get(),
            uptime: self.net.now().since(self.since),
        }
    }
}

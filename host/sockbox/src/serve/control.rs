//! Communication between handles and a server's task.

use super::ServerStats;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, oneshot};
use wasmtime::component::{Resource, ResourceTable};
use wasmtime_wasi::async_trait;
use wasmtime_wasi::p2::{DynPollable, Pollable, subscribe};

/// Stops a [`Server`](crate::Server), and reads its counts.
#[derive(Clone, Debug)]
pub struct ServerHandle {
    pub(super) control: Arc<Control>,
}

impl ServerHandle {
    /// Stop accepting, answer the messages that clients have already sent, and close each
    /// connection.
    ///
    /// Connections that are still open after `drain` are closed; with 0 that is at once. A second
    /// call only replaces the remaining time. After the end it does nothing.
    pub fn stop(&self, drain: Duration) {
        self.control.ask(|requests| requests.stop = Some(drain));
    }

    /// The current counts, or those at the end. None if the server was dropped, or its instance has
    /// failed.
    ///
    /// # Cancel safety
    /// The future can be dropped at any time.
    pub async fn stats(&self) -> Option<ServerStats> {
        let (answer, answered) = oneshot::channel();
        let ended = self.control.ask(move |requests| {
            if !requests.over {
                requests.stats.push(answer);
            }
        });
        match ended {
            Some(stats) => Some(stats),
            None => answered.await.ok(),
        }
    }
}

/// The requests from handles to the task.
#[derive(Debug, Default)]
pub(crate) struct Control {
    requests: Mutex<Requests>,
    /// Notified when there is a request.
    asked: Notify,
}

#[derive(Debug, Default)]
pub(super) struct Requests {
    pub(super) stop: Option<Duration>,
    pub(super) stats: Vec<oneshot::Sender<ServerStats>>,
    /// The task has ended.
    over: bool,
    /// Its counts, if it ended without an error.
    last: Option<ServerStats>,
}

impl Control {
    pub(super) fn requests(&self) -> MutexGuard<'_, Requests> {
        // What it holds is valid at every moment, so a panic elsewhere spoils nothing.
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ask for something; gives the last counts if the server has ended.
    fn ask(&self, request: impl FnOnce(&mut Requests)) -> Option<ServerStats> {
        let mut requests = self.requests();
        request(&mut requests);
        let last = requests.last;
        drop(requests);
        self.asked.notify_one();
        last
    }

    /// Wait until there is a request.
    async fn until_asked(&self) {
        loop {
            let asked = self.asked.notified();
            if self.has_requests() {
                return;
            }
            asked.await;
        }
    }

    /// The same, in the shape of a future that a component waits for.
    pub(crate) async fn interrupt(self: Arc<Self>) -> wasmtime::Result<()> {
        self.until_asked().await;
        Ok(())
    }

    fn has_requests(&self) -> bool {
        let requests = self.requests();
        requests.stop.is_some() || !requests.stats.is_empty()
    }

    pub(super) fn end(&self, last: Option<ServerStats>) {
        let mut requests = self.requests();
        requests.over = true;
        requests.last = last;
        // The waiting callers then see that no answer comes.
        for waiting in requests.stats.drain(..) {
            if let Some(last) = last {
                let _ = waiting.send(last);
            }
        }
    }
}

/// What the component waits for beside its sockets: it is ready while there are requests. On WASI
/// 0.2 it is a pollable, on 0.3 a future for each call.
pub(crate) struct Interruption {
    pub(crate) pollable: Resource<DynPollable>,
    pub(crate) control: Arc<Control>,
}

impl Interruption {
    pub(super) fn new(
        table: &mut ResourceTable,
        control: Arc<Control>,
    ) -> wasmtime::Result<Interruption> {
        let interrupt = table.push(Interrupt {
            control: control.clone(),
        })?;
        Ok(Interruption {
            pollable: subscribe(table, interrupt)?,
            control,
        })
    }
}

struct Interrupt {
    control: Arc<Control>,
}

#[async_trait]
impl Pollable for Interrupt {
    async fn ready(&mut self) {
        self.control.until_asked().await;
    }
}

/// Marks the end of the task for the handles, also after a panic or an abort.
pub(super) struct EndOnDrop(pub(super) Arc<Control>);

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        let last = self.0.requests().last;
        self.0.end(last);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Waker};

    #[tokio::test]
    async fn the_interrupt_is_ready_while_there_is_a_request() {
        let control = Arc::new(Control::default());
        let mut interrupt = Interrupt {
            control: control.clone(),
        };
        let is_ready = |interrupt: &mut Interrupt| {
            pin!(interrupt.ready())
                .poll(&mut Context::from_waker(Waker::noop()))
                .is_ready()
        };
        assert!(!is_ready(&mut interrupt));
        control.ask(|requests| requests.stop = Some(Duration::ZERO));
        assert!(is_ready(&mut interrupt));
        assert!(is_ready(&mut interrupt));
        control.requests().stop = None;
        assert!(!is_ready(&mut interrupt));

        // A request wakes a task that already waits.
        let waiting = tokio::spawn(async move { interrupt.ready().await });
        tokio::task::yield_now().await;
        control.ask(|requests| requests.stop = Some(Duration::ZERO));
        waiting.await.unwrap();
    }

    #[tokio::test]
    async fn counts_can_be_had_after_the_end_and_not_after_a_failure() {
        let stats = ServerStats {
            accepted: 1,
            refused: 0,
            open: 0,
            messages: 2,
            bytes_received: 3,
            bytes_sent: 4,
            uptime: Duration::from_secs(5),
            sockets: 0,
        };
        for last in [Some(stats), None] {
            let control = Arc::new(Control::default());
            let handle = ServerHandle {
                control: control.clone(),
            };
            let early = tokio::spawn({
                let handle = handle.clone();
                async move { handle.stats().await }
            });
            tokio::task::yield_now().await;
            control.end(last);
            assert_eq!(early.await.unwrap(), last);
            assert_eq!(handle.stats().await, last);
        }
    }
}

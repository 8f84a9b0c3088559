//! The task that runs the component's server.

use super::control::{Control, EndOnDrop, Interruption};
use super::{Event, ServerStats};
use crate::bindings::hello_server as wit;
use crate::error::{Error, Result};
use crate::instance::Instance;
use crate::wit_convert::nanoseconds;
use std::sync::Arc;
use tokio::sync::mpsc;
use wasmtime::component::ResourceAny;

/// The messages of the task.
pub(super) enum Told {
    Event(Event),
    /// The last message.
    Ended(Result<ServerStats>),
}

/// Runs the component's server.
pub(super) struct Worker {
    instance: Instance,
    server: ResourceAny,
    interruption: Interruption,
    control: EndOnDrop,
}

impl Worker {
    pub(super) fn new(
        mut instance: Instance,
        server: ResourceAny,
        control: Arc<Control>,
    ) -> wasmtime::Result<Worker> {
        let (store, _) = instance.parts();
        let interruption = Interruption::new(&mut store.data_mut().table, control.clone())?;
        Ok(Worker {
            instance,
            server,
            interruption,
            control: EndOnDrop(control),
        })
    }

    pub(super) async fn run(mut self, tell: mpsc::Sender<Told>) {
        let outcome = self.serve(&tell).await;
        self.control.0.end(outcome.as_ref().ok().copied());
        // This fails if the `Server` was dropped.
        let _ = tell.send(Told::Ended(outcome)).await;
    }

    async fn serve(&mut self, tell: &mpsc::Sender<Told>) -> Result<ServerStats> {
        loop {
            self.answer_requests().await?;
            let call = self.instance.begin().await?;
            let (store, exports) = self.instance.parts();
            let run = exports.run(store, self.server, &self.interruption);
            let result = call.run(run).await?;
            match self.instance.end(result)? {
                wit::Progress::Events(events) => {
                    for event in events {
                        if tell.send(Told::Event(event.into())).await.is_err() {
                            return Err(Error::Abandoned);
                        }
                    }
                }
                wit::Progress::Interrupted => {}
                wit::Progress::Stopped(stats) => return Ok(self.stats(stats)),
            }
        }
    }

    fn stats(&mut self, stats: wit::ServerStats) -> ServerStats {
        let (store, _) = self.instance.parts();
        ServerStats::new(stats, store.data().sockbox.open_sockets())
    }

    async fn answer_requests(&mut self) -> Result<()> {
        let (stop, waiting) = {
            let mut requests = self.control.0.requests();
            (requests.stop.take(), std::mem::take(&mut requests.stats))
        };
        if let Some(drain) = stop {
            let call = self.instance.begin().await?;
            let (store, exports) = self.instance.parts();
            let stop = exports.stop(store, self.server, nanoseconds(drain));
            let result = call.run(stop).await?;
            self.instance.end(result)?;
        }
        if !waiting.is_empty() {
            let call = self.instance.begin().await?;
            let (store, exports) = self.instance.parts();
            let result = call.run(exports.stats(store, self.server)).await?;
            let stats = self.instance.end(result)?;
            let stats = self.stats(stats);
            for answer in waiting {
                // The caller may have dropped its future.
                let _ = answer.send(stats);
            }
        }
        Ok(())
    }
}

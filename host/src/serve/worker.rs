//! The task that runs the component's server.

use super::control::{Control, EndOnDrop, Interrupt};
use super::{Event, Summary};
use crate::bindings::hello_server as wit;
use crate::convert::nanoseconds;
use crate::error::{Error, Result};
use crate::instance::Instance;
use std::sync::Arc;
use tokio::sync::mpsc;
use wasmtime::component::{Resource, ResourceAny};
use wasmtime_wasi::p2::{DynPollable, subscribe};

/// What the task tells.
pub(super) enum Told {
    Event(Event),
    /// The last thing that is told.
    Ended(Result<Summary>),
}

/// Runs the component's server.
pub(super) struct Worker {
    instance: Instance,
    server: ResourceAny,
    interrupt: Resource<DynPollable>,
    control: EndOnDrop,
}

impl Worker {
    pub(super) fn new(
        mut instance: Instance,
        server: ResourceAny,
        control: Arc<Control>,
    ) -> wasmtime::Result<Worker> {
        let (store, _) = instance.parts();
        let table = &mut store.data_mut().table;
        let interrupt = table.push(Interrupt {
            control: control.clone(),
        })?;
        let interrupt = subscribe(table, interrupt)?;
        Ok(Worker {
            instance,
            server,
            interrupt,
            control: EndOnDrop(control),
        })
    }

    pub(super) async fn run(mut self, tell: mpsc::Sender<Told>) {
        let outcome = self.serve(&tell).await;
        self.control.0.end(outcome.as_ref().ok().copied());
        // Nobody listens when the `Server` was dropped.
        let _ = tell.send(Told::Ended(outcome)).await;
    }

    async fn serve(&mut self, tell: &mpsc::Sender<Told>) -> Result<Summary> {
        loop {
            self.answer_requests().await?;
            let call = self.instance.begin().await?;
            let (store, programs) = self.instance.parts();
            let guest = programs.sockbox_net_hello_server().server();
            let interrupt = Resource::new_borrow(self.interrupt.rep());
            let result = call
                .run(guest.call_run(&mut *store, self.server, interrupt))
                .await?;
            match self.instance.end(result)? {
                wit::Progress::Events(events) => {
                    for event in events {
                        if tell.send(Told::Event(event.into())).await.is_err() {
                            return Err(Error::Abandoned);
                        }
                    }
                }
                wit::Progress::Interrupted => {}
                wit::Progress::Stopped(statistics) => return Ok(self.summary(statistics)),
            }
        }
    }

    fn summary(&mut self, statistics: wit::Statistics) -> Summary {
        Summary::new(statistics, self.instance.parts().0.data().tcp.open())
    }

    async fn answer_requests(&mut self) -> Result<()> {
        let (stop, waiting) = {
            let mut requests = self.control.0.requests();
            (
                requests.stop.take(),
                std::mem::take(&mut requests.summaries),
            )
        };
        if let Some(drain) = stop {
            let call = self.instance.begin().await?;
            let (store, programs) = self.instance.parts();
            let guest = programs.sockbox_net_hello_server().server();
            let result = call
                .run(guest.call_stop(&mut *store, self.server, nanoseconds(drain)))
                .await?;
            self.instance.end(result)?;
        }
        if !waiting.is_empty() {
            let call = self.instance.begin().await?;
            let (store, programs) = self.instance.parts();
            let guest = programs.sockbox_net_hello_server().server();
            let result = call
                .run(guest.call_statistics(&mut *store, self.server))
                .await?;
            let statistics = self.instance.end(result)?;
            let summary = self.summary(statistics);
            for answer in waiting {
                // Whoever asked may not care any more.
                let _ = answer.send(summary);
            }
        }
        Ok(())
    }
}

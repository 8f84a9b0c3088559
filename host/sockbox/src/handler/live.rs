//! Instances of a handler.

use super::Inner;
use super::outcome::{Outcome, Setter};
use crate::audit::RunId;
use crate::error::{Error, Result};
use crate::failure::failure;
use crate::instance::Clock;
use crate::state::State;
use bytes::Bytes;
use http::Request;
use http_body::Body;
use sockbox_wasi::{Authority, IncomingHandler, RequestError, SockboxCtx};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, oneshot, watch};
use wasmtime::Store;

/// How long an instance waits for its next request: 30 seconds.
pub(super) const MAX_IDLE: Duration = Duration::from_secs(30);

/// The response's head, or the error code that the component has set in its place.
pub(super) type Head = Result<http::Response<sockbox_wasi::ResponseBody>, sockbox_wasi::ErrorCode>;

/// An instance of a handler, with the store that it lives in.
pub(super) struct Live {
    pub(super) run: RunId,
    store: Store<State>,
    /// None: it is not instantiated yet.
    instance: Option<IncomingHandler>,
    /// How many requests it has been given.
    requests: u32,
}

/// What a call holds until it is over: its place among the calls of a server, and the signal that the server has ended.
#[derive(Default)]
pub(crate) struct Slot {
    _permit: Option<OwnedSemaphorePermit>,
    over: Option<watch::Receiver<()>>,
}

impl Slot {
    pub(crate) fn new(permit: OwnedSemaphorePermit, over: watch::Receiver<()>) -> Slot {
        Slot {
            _permit: Some(permit),
            over: Some(over),
        }
    }

    /// Wait for the end of the server.
    async fn over(&mut self) {
        match &mut self.over {
            // Nothing is ever sent: the wait ends when the server drops its end.
            Some(over) => while over.changed().await.is_ok() {},
            None => std::future::pending().await,
        }
    }
}

impl Inner {
    /// An instance that waits for a request, or a new one, which is not instantiated yet. `server` is the run that it is
    /// a part of.
    pub(super) fn take(&self, server: Option<&Authority>) -> Result<Live> {
        if let Some(live) = self.idle.take() {
            return Ok(live);
        }
        let sandbox = &self.program.sandbox;
        let runtime = sandbox.runtime(self.program.wasi)?;
        let (wasi, _) = self.setup.wasi()?;
        let run = sandbox.next_run();
        let sockbox = match server {
            Some(server) => {
                SockboxCtx::with_authority(server.part(run, &self.setup.grant), &self.setup.grant)
            }
            None => SockboxCtx::new(run, &self.setup.grant),
        };
        Ok(Live {
            run,
            store: State::store_of(&runtime.engine, sockbox, wasi, ()),
            instance: None,
            requests: 0,
        })
    }

    /// Let an instance handle a request, to the end.
    pub(super) async fn call<B>(
        self: Arc<Self>,
        mut live: Live,
        request: Request<B>,
        respond: oneshot::Sender<Head>,
        outcome: Outcome,
        mut slot: Slot,
    ) where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<RequestError>,
    {
        let setter = Setter::new(outcome);
        let ended = tokio::select! {
            ended = live.handle(&self, request, respond) => ended,
            () = slot.over() => Err(Error::Abandoned),
        };
        let is_usable = ended.is_ok();
        // Before the store is dropped: that ends the body of the response as if it was complete.
        setter.set(ended);
        if is_usable && live.requests < self.reuse.get() {
            self.idle.keep(live);
        } else {
            drop(live);
        }
        drop(slot);
    }
}

impl Live {
    async fn handle<B>(
        &mut self,
        inner: &Inner,
        request: Request<B>,
        respond: oneshot::Sender<Head>,
    ) -> Result<()>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<RequestError>,
    {
        self.requests += 1;
        let sockbox = &mut self.store.data_mut().sockbox;
        sockbox.limiter().forget_refusal();
        let authority = sockbox.authority().clone();
        let limits = inner.setup.grant.granted_limits();
        inner.program.cost.fits(limits, &authority)?;
        let runtime = inner.program.sandbox.runtime(inner.program.wasi)?;
        let clock = Clock::start(runtime, limits, authority, None)?;
        let call = async {
            if self.instance.is_none() {
                self.instance = Some(inner.pre.instantiate(&mut self.store).await?);
            }
            match &self.instance {
                Some(instance) => {
                    let respond = move |head| {
                        // The client may have left.
                        let _ = respond.send(head);
                    };
                    instance.handle(&mut self.store, request, respond).await
                }
                // It was set above.
                None => Ok(()),
            }
        };
        match clock.time(call).await? {
            Ok(()) => Ok(()),
            Err(error) => Err(failure(&self.store, error)),
        }
    }
}

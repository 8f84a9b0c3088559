//! Instances of a handler, and those that wait for their next request.

use super::Inner;
use super::outcome::{Outcome, Setter};
use crate::audit::RunId;
use crate::error::{Error, Result};
use crate::failure::failure;
use crate::instance::Clock;
use crate::limits::Limit;
use crate::state::State;
use bytes::Bytes;
use http::Request;
use http_body::Body;
use sockbox_wasi::{Authority, IncomingHandler, RequestError, SockboxCtx};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, oneshot, watch};
use wasmtime::Store;
use wasmtime_wasi::WasiCtxBuilder;

/// How long an instance waits for its next request: 30 seconds.
const MAX_IDLE: Duration = Duration::from_secs(30);

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
        let mut wasi = WasiCtxBuilder::new();
        self.surroundings.give(&mut wasi)?;
        if let Some(writer) = &self.stdout {
            wasi.stdout(writer.clone());
        }
        if let Some(writer) = &self.stderr {
            wasi.stderr(writer.clone());
        }
        let run = sandbox.next_run();
        let sockbox = match server {
            Some(server) => SockboxCtx::with_authority(server.part(run, &self.grant), &self.grant),
            None => SockboxCtx::new(run, &self.grant),
        };
        Ok(Live {
            run,
            store: State::store_of(&runtime.engine, sockbox, wasi),
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
        let limits = inner.grant.granted_limits();
        if let Err(too_much) = inner.program.cost.check(limits) {
            authority.reached(too_much.limit, None);
            return Err(match too_much.limit {
                Limit::Memory => Error::MemoryLimit {
                    limit: too_much.allowed,
                },
                limit => Error::Exhausted { limit },
            });
        }
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

/// Instances that wait for their next request, the one that has waited longest first.
#[derive(Default)]
pub(super) struct Idle(Mutex<Vec<(Instant, Live)>>);

impl Idle {
    /// Take the one that was used last: its memory is the most likely to be in the processor's cache.
    fn take(&self) -> Option<Live> {
        let mut idle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        idle.pop().map(|(_, live)| live)
    }

    fn keep(&self, live: Live) {
        let mut idle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        idle.push((Instant::now(), live));
    }

    /// Drop those that have waited for too long.
    pub(super) fn expire(&self, now: Instant) {
        let mut idle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let waits_long =
            |(since, _): &(Instant, Live)| now.saturating_duration_since(*since) >= MAX_IDLE;
        let expired = idle.iter().take_while(|it| waits_long(it)).count();
        let expired: Vec<_> = idle.drain(..expired).collect();
        drop(idle);
        drop(expired);
    }

    /// Drop all of them.
    pub(super) fn clear(&self) {
        let idle = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        drop(idle);
    }
}

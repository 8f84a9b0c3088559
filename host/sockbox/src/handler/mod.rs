//! Components that handle HTTP requests.
//!
//! | file | content |
//! |---|---|
//! | `mod` | [`Handler`]: from a request to its response |
//! | `builder` | what a handler is given |
//! | `live` | instances, and the call of one |
//! | `outcome` | how a call has ended |
//! | `body` | the body of a response |

mod body;
mod builder;
mod live;
mod outcome;

pub use body::HandlerBody;
pub use builder::HandlerBuilder;
pub(crate) use live::Slot;
pub(crate) use outcome::Outcome;

use crate::audit::RunId;
use crate::error::{Error, ResponseProblem, Result};
use crate::idle::Idle;
use crate::program::Program;
use crate::setup::Setup;
use crate::state::State;
use body::Call;
use bytes::Bytes;
use http::{Request, Response, header};
use http_body::Body;
use live::{Head, Live, MAX_IDLE};
use sockbox_wasi::{Authority, ErrorCode, Grant, IncomingHandlerPre, RequestError};
use std::fmt;
use std::future::{Future, poll_fn};
use std::num::NonZeroU32;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;
use tokio::sync::oneshot;

/// A component that handles HTTP requests, with what its instances are given.
///
/// Each request has an instance of its own, unless [`HandlerBuilder::reuse`] says otherwise. Each instance is a run of
/// its own, with its own limits. Cloning a handler is cheap, and gives the same handler.
#[derive(Clone)]
pub struct Handler {
    inner: Arc<Inner>,
}

struct Inner {
    program: Program,
    pre: IncomingHandlerPre<State>,
    setup: Setup,
    reuse: NonZeroU32,
    idle: Idle<Live>,
}

/// An instance that is about to handle a request.
pub(crate) struct Prepared {
    inner: Arc<Inner>,
    live: Live,
}

/// Why there is no response.
#[derive(Debug)]
pub(crate) enum NoResponse {
    /// The call has failed.
    Failed(Arc<Error>),
    /// The component has set an error code.
    Code(ErrorCode),
    /// The component has returned without a response.
    Nothing,
}

impl NoResponse {
    fn into_error(self) -> Arc<Error> {
        let problem = match self {
            NoResponse::Failed(error) => return error,
            NoResponse::Code(code) => ResponseProblem::ErrorCode {
                code: name_of(&code),
            },
            NoResponse::Nothing => ResponseProblem::NotSet,
        };
        Arc::new(Error::Response { problem })
    }
}

/// The name of an error code: `ConnectionRefused`, or `InternalError` with the first of its text.
pub(crate) fn name_of(code: &ErrorCode) -> String {
    /// The most bytes of such a name, which may quote the component: 200.
    const MAX_NAME: usize = 200;
    let mut name = match code {
        ErrorCode::InternalError(Some(text)) => format!("InternalError: {text}"),
        ErrorCode::InternalError(None) => "InternalError".to_owned(),
        code => format!("{code:?}"),
    };
    name.truncate(name.floor_char_boundary(MAX_NAME));
    name
}

impl Handler {
    /// Let the component handle `request`, and wait for the head of its response.
    ///
    /// The component runs in a task of its own on the current tokio runtime. It writes the body of the response while
    /// the caller reads it. The request needs an authority in its URL, or one `Host` header.
    ///
    /// # Errors
    /// - [`Error::InvalidRequest`]: the request has no authority.
    /// - [`Error::InvalidOptions`]: a directory can't be opened.
    /// - [`Error::Response`]: the component has set no response, or an error code in place of one.
    /// - [`Error::Trapped`], [`Error::WallTime`], [`Error::CpuTime`], [`Error::MemoryLimit`], [`Error::Exhausted`],
    ///   [`Error::Internal`]: as for [`Command::run`](crate::Command::run).
    ///
    /// The body of the response fails with the same errors.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    ///
    /// # Cancel safety
    /// The future can be dropped at any time. That ends the component's call.
    pub async fn handle<B>(&self, request: Request<B>) -> Result<Response<HandlerBody>, Arc<Error>>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<RequestError>,
    {
        if authority_of(&request).is_none() {
            return Err(Arc::new(Error::InvalidRequest {
                reason: "it has no authority in its URL and not exactly one valid Host header"
                    .to_owned(),
            }));
        }
        let prepared = self.prepare(None).map_err(Arc::new)?;
        let begun = prepared.begin(request, Slot::default()).await;
        begun.map_err(NoResponse::into_error)
    }

    /// The grant of each instance.
    pub(crate) fn grant(&self) -> &Grant {
        &self.inner.setup.grant
    }

    pub(crate) fn program(&self) -> &Program {
        &self.inner.program
    }

    /// Take an instance, as part of the run of a server.
    pub(crate) fn prepare(&self, server: Option<&Authority>) -> Result<Prepared> {
        Ok(Prepared {
            live: self.inner.take(server)?,
            inner: self.inner.clone(),
        })
    }

    /// Whether instances are used again.
    pub(crate) fn reuses(&self) -> bool {
        self.inner.reuse.get() > 1
    }

    /// Drop instances that have waited for too long.
    pub(crate) fn expire(&self, now: Instant) {
        self.inner.idle.expire(now, MAX_IDLE);
    }

    /// Drop all instances that wait.
    pub(crate) fn clear(&self) {
        self.inner.idle.clear();
    }
}

impl fmt::Debug for Handler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handler")
            .field("grant", &self.inner.setup.grant)
            .field("reuse", &self.inner.reuse)
            .finish_non_exhaustive()
    }
}

impl Prepared {
    /// The number of the instance's run.
    pub(crate) fn run(&self) -> RunId {
        self.live.run
    }

    /// Begin the call, and wait for the head of the response.
    pub(crate) async fn begin<B>(
        self,
        request: Request<B>,
        slot: Slot,
    ) -> Result<Response<HandlerBody>, NoResponse>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<RequestError>,
    {
        let outcome = Outcome::default();
        let (respond, mut head) = oneshot::channel::<Head>();
        let call = self
            .inner
            .call(self.live, request, respond, outcome.clone(), slot);
        let task = tokio::spawn(call);
        let call = Call::new(outcome, task.abort_handle());
        let mut is_closed = false;
        let mut poll_head = |cx: &mut Context<'_>| {
            if is_closed {
                return None;
            }
            match Pin::new(&mut head).poll(cx) {
                Poll::Ready(Ok(head)) => Some(head),
                Poll::Ready(Err(_)) => {
                    is_closed = true;
                    None
                }
                Poll::Pending => None,
            }
        };
        let head = poll_fn(|cx| {
            if let Some(head) = poll_head(cx) {
                return Poll::Ready(Some(head));
            }
            // A reused instance may keep what it should have set the response with, so the end of the call decides.
            ready!(call.outcome.poll(cx)).ok();
            Poll::Ready(poll_head(cx))
        });
        match head.await {
            Some(Ok(response)) => Ok(response.map(|body| HandlerBody::new(body, call))),
            Some(Err(code)) => Err(NoResponse::Code(code)),
            None => Err(match call.outcome.get() {
                Some(Err(error)) => NoResponse::Failed(error),
                _ => NoResponse::Nothing,
            }),
        }
    }
}

/// The authority of a request, from its URL or its `Host` header. None: there is not exactly one valid one.
pub(crate) fn authority_of<B>(request: &Request<B>) -> Option<http::uri::Authority> {
    if let Some(authority) = request.uri().authority() {
        return Some(authority.clone());
    }
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let host = hosts.next()?;
    match hosts.next() {
        Some(_) => None,
        None => http::uri::Authority::try_from(host.as_bytes()).ok(),
    }
}

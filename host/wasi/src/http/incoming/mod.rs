//! Passing requests to a component that exports `wasi:http/incoming-handler` of WASI 0.2, or `wasi:http/handler` of WASI
//! 0.3.
//!
//! | file | content |
//! |---|---|
//! | `mod` | [`IncomingHandlerPre`] and [`IncomingHandler`], for both versions of WASI |
//! | `wasi_0_3` | the call of a handler for WASI 0.3 |
//! | `observed` | the body of a response, whose end the host waits for |

mod observed;
mod wasi_0_3;

use crate::ctx::{self, SockboxView};
use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use http_body_util::BodyExt;
use sockbox_policy::Limit;
use std::fmt;
use wasmtime::Store;
use wasmtime::component::InstancePre;
use wasmtime_wasi_http::WasiBody;
use wasmtime_wasi_http::p2::bindings::http::types::Scheme;
use wasmtime_wasi_http::{p2, p3};

/// An error code that a component sets in place of a response.
pub use wasmtime_wasi_http::Error as ErrorCode;

/// The body of a component's response.
///
/// It ends without an error if the run ends before the component has finished it, for example after a trap. The caller
/// knows how the run has ended.
pub type ResponseBody = WasiBody;

/// How much of the run's memory a request takes while the component handles it: 192 KiB. This is for the parts of the
/// request's body and of the response's body that one side has written and the other one has not yet taken.
const REQUEST_BYTES: u64 = 192 * 1024;

/// Why the body of a request can't be read to its end. The component gets an error code for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The body is larger than this limit, in bytes.
    #[error("the request's body is larger than {limit} bytes")]
    TooLarge {
        /// The limit.
        limit: u64,
    },
    /// The client has sent nothing for too long.
    #[error("the client sent nothing for too long")]
    Timeout,
    /// The connection has ended before the body has.
    #[error("the connection ended before the request's body")]
    Ended,
    /// The body is not valid HTTP.
    #[error("the request's body is not valid HTTP")]
    Invalid,
}

impl From<RequestError> for ErrorCode {
    fn from(error: RequestError) -> ErrorCode {
        match error {
            RequestError::TooLarge { limit } => ErrorCode::HttpRequestBodySize(Some(limit)),
            RequestError::Timeout => ErrorCode::ConnectionReadTimeout,
            RequestError::Ended => ErrorCode::ConnectionTerminated,
            RequestError::Invalid => ErrorCode::HttpProtocolError,
        }
    }
}

impl From<std::convert::Infallible> for RequestError {
    fn from(never: std::convert::Infallible) -> RequestError {
        match never {}
    }
}

/// A component that exports `wasi:http/incoming-handler` of WASI 0.2 or `wasi:http/handler` of WASI 0.3, linked and not
/// yet instantiated. One that exports both is used through WASI 0.3.
pub struct IncomingHandlerPre<T: 'static>(Pre<T>);

enum Pre<T: 'static> {
    V0_2(p2::bindings::ProxyPre<T>),
    V0_3(p3::bindings::ServicePre<T>),
}

impl<T: SockboxView> IncomingHandlerPre<T> {
    /// Find the handler among the exports of a component.
    ///
    /// # Errors
    /// The component exports none.
    pub fn new(pre: InstancePre<T>) -> wasmtime::Result<IncomingHandlerPre<T>> {
        if let Ok(pre) = p3::bindings::ServicePre::new(pre.clone()) {
            return Ok(IncomingHandlerPre(Pre::V0_3(pre)));
        }
        let pre = p2::bindings::ProxyPre::new(pre)?;
        Ok(IncomingHandlerPre(Pre::V0_2(pre)))
    }

    /// Instantiate the component.
    ///
    /// # Errors
    /// The component can't be instantiated within the limits of the store.
    pub async fn instantiate(&self, store: &mut Store<T>) -> wasmtime::Result<IncomingHandler> {
        Ok(IncomingHandler(match &self.0 {
            Pre::V0_2(pre) => Instance::V0_2(pre.instantiate_async(store).await?),
            Pre::V0_3(pre) => Instance::V0_3(pre.instantiate_async(store).await?),
        }))
    }
}

impl<T> Clone for IncomingHandlerPre<T> {
    fn clone(&self) -> IncomingHandlerPre<T> {
        IncomingHandlerPre(match &self.0 {
            Pre::V0_2(pre) => Pre::V0_2(pre.clone()),
            Pre::V0_3(pre) => Pre::V0_3(pre.clone()),
        })
    }
}

impl<T> fmt::Debug for IncomingHandlerPre<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IncomingHandlerPre").finish_non_exhaustive()
    }
}

/// An instance of a component that handles HTTP requests, one at a time.
pub struct IncomingHandler(Instance);

enum Instance {
    V0_2(p2::bindings::Proxy),
    V0_3(p3::bindings::Service),
}

impl IncomingHandler {
    /// Let the component handle `request`. `respond` is called with the head of the response as soon as the component
    /// has set it, and the component then may write the body.
    ///
    /// On WASI 0.2 this returns when the component has returned, which may be before or after the caller has read the
    /// whole body. `respond` is dropped if the component sets no response. On WASI 0.3 this returns when the component
    /// has no task left, and the caller has read the body to its end or dropped it: the component may pass on a stream
    /// of the host as the body, which the store has to drive.
    ///
    /// The request needs an authority in its URI, or a `Host` header. The component does not get the headers that belong to
    /// the connection, such as `Transfer-Encoding`.
    ///
    /// # Errors
    /// The component has trapped, or a limit of the store was reached. The instance can't be used any more.
    ///
    /// # Cancel safety
    /// The future can be dropped at any time. The instance can't be used any more then.
    pub async fn handle<T, B>(
        &self,
        store: &mut Store<T>,
        request: Request<B>,
        respond: impl FnOnce(Result<Response<ResponseBody>, ErrorCode>) + Send + Sync + 'static,
    ) -> wasmtime::Result<()>
    where
        T: SockboxView,
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<RequestError>,
    {
        let state = store.data_mut().sockbox().ctx;
        let Some(_charge) = state.limiter.memory().charge(REQUEST_BYTES) else {
            state.limiter.refuse_memory();
            state.authority.reached(Limit::Memory, None);
            wasmtime::bail!("the memory limit leaves no room for a request");
        };
        let request = request.map(|body| {
            let body = body.map_err(|error| ErrorCode::from(error.into()));
            body.boxed_unsync()
        });
        match &self.0 {
            Instance::V0_2(proxy) => handle_on_0_2(proxy, store, request, respond).await,
            Instance::V0_3(service) => wasi_0_3::handle(service, store, request, respond).await,
        }
    }
}

async fn handle_on_0_2<T: SockboxView>(
    proxy: &p2::bindings::Proxy,
    store: &mut Store<T>,
    request: Request<WasiBody>,
    respond: impl FnOnce(Result<Response<ResponseBody>, ErrorCode>) + Send + Sync + 'static,
) -> wasmtime::Result<()> {
    let scheme = match request.uri().scheme_str() {
        Some("https") => Scheme::Https,
        _ => Scheme::Http,
    };
    let mut view = ctx::http(store.data_mut());
    let request = view.new_incoming_request(scheme, request)?;
    let out = view.new_response_outparam_from_callback(|response| {
        respond(response.map_err(ErrorCode::from));
    })?;
    let handler = proxy.wasi_http_incoming_handler();
    handler.call_handle(store, request, out).await
}

impl fmt::Debug for IncomingHandler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IncomingHandler").finish_non_exhaustive()
    }
}

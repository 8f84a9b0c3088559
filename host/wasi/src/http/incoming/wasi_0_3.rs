//! The call of a handler for WASI 0.3.

use super::observed::Observed;
use super::{ErrorCode, ResponseBody};
use crate::ctx::{self, SockboxView};
use http::header::HOST;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Request, Response};
use http_body_util::BodyExt;
use std::future::poll_fn;
use tokio::sync::oneshot;
use wasmtime::Store;
use wasmtime::component::{Accessor, Resource};
use wasmtime::error::Context as _;
use wasmtime_wasi_http::WasiBody;
use wasmtime_wasi_http::p3;
use wasmtime_wasi_http::p3::bindings::Service;

/// Let the component handle `request`, until none of its tasks is left and nothing reads the body of its response.
pub(super) async fn handle<T: SockboxView>(
    service: &Service,
    store: &mut Store<T>,
    request: Request<WasiBody>,
    respond: impl FnOnce(Result<Response<ResponseBody>, ErrorCode>) + Send + Sync + 'static,
) -> wasmtime::Result<()> {
    let request = with_origin(request)?;
    store
        .run_concurrent(async move |accessor| {
            let request = accessor.with(|mut access| {
                let view = ctx::http(access.get());
                // The second value is what the component says of how it has read the request's body. It may say anything.
                let (request, _) = p3::Request::from_http(view.hooks, request);
                view.table.push(request)
            })?;
            let handler = service.wasi_http_handler();
            match handler.call_handle(accessor, request).await? {
                Ok(response) => {
                    let (response, ended) = taken(accessor, response)?;
                    respond(Ok(response));
                    // An error: the body was dropped. Nothing is ever sent.
                    let _ = ended.await;
                }
                Err(code) => respond(Err(code.into())),
            }
            // A task may work on after it has returned the response.
            poll_fn(|cx| accessor.poll_no_interesting_tasks(cx)).await;
            Ok(())
        })
        .await?
}

/// The response that the component has returned, and what ends when its body is dropped.
fn taken<T: SockboxView>(
    accessor: &Accessor<T>,
    response: Resource<p3::Response>,
) -> wasmtime::Result<(Response<ResponseBody>, oneshot::Receiver<()>)> {
    let (sent, is_sent) = oneshot::channel();
    let (alive, ended) = oneshot::channel();
    let told = async {
        let told = is_sent.await;
        told.unwrap_or(Err(ErrorCode::ConnectionTerminated))
    };
    let response = accessor.with(|mut access| {
        let response = ctx::http(access.get()).table.delete(response)?;
        response.into_http_with_getter(&mut access, told, ctx::http)
    })?;
    let response = response.map(|body| Observed::new(body, sent, alive).boxed_unsync());
    Ok((response, ended))
}

/// The request with its authority in its URI, where wasmtime-wasi-http looks for it.
fn with_origin(mut request: Request<WasiBody>) -> wasmtime::Result<Request<WasiBody>> {
    let mut parts = request.uri().clone().into_parts();
    if parts.authority.is_none() {
        let host = request.headers().get(HOST);
        let host = host.context("the request has no authority in its URI and no Host header")?;
        parts.authority = Some(Authority::try_from(host.as_bytes())?);
    }
    parts.scheme.get_or_insert(Scheme::HTTP);
    // A URI with an authority and a scheme needs a path.
    let root = || PathAndQuery::from_static("/");
    parts.path_and_query.get_or_insert_with(root);
    *request.uri_mut() = http::Uri::from_parts(parts)?;
    Ok(request)
}

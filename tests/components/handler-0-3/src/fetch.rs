//! Sends a request of the component's own.

use crate::bindings::wasi::http::client::send;
use crate::bindings::wasi::http::types::{ErrorCode, Fields, Request, Response, Scheme};
use crate::bindings::wit_future;

/// The status of `http://TARGET`, or the error code.
pub async fn get(target: &str) -> String {
    match response(target).await {
        Ok(response) => response.get_status_code().to_string(),
        Err(code) => format!("{code:?}"),
    }
}

/// The response of `http://TARGET`, with its body as it is.
pub async fn forward(target: &str) -> Result<Response, ErrorCode> {
    let response = response(target).await?;
    let status = response.get_status_code();
    let (_, taken) = wit_future::new(|| Ok(()));
    let (body, end) = Response::consume_body(response, taken);
    let (forwarded, _) = Response::new(Fields::new(), Some(body), end);
    forwarded.set_status_code(status).unwrap();
    Ok(forwarded)
}

async fn response(target: &str) -> Result<Response, ErrorCode> {
    let (authority, path) = target.split_once('/').unwrap_or((target, ""));
    let (_, no_trailers) = wit_future::new(|| Ok(None));
    let (request, _) = Request::new(Fields::new(), None, no_trailers, None);
    request.set_scheme(Some(&Scheme::Http)).unwrap();
    request.set_authority(Some(authority)).unwrap();
    request
        .set_path_with_query(Some(&format!("/{path}")))
        .unwrap();
    send(request).await
}

//! One request.

use crate::bindings::wasi::http::client::send;
use crate::bindings::wasi::http::types::{ErrorCode, Fields, Method, Request, Response, Scheme};
use crate::bindings::{wit_future, wit_stream};
use std::future::{Future, poll_fn};
use std::task::Poll;

/// The status, and the body.
pub async fn request(method: &str, url: &str, content: &str) -> Result<String, String> {
    let wrong = |what: &str| format!("bad-argument at {what}");
    let (scheme, rest) = url.split_once("://").ok_or_else(|| wrong(url))?;
    let (authority, path) = match rest.find('/') {
        Some(at) => rest.split_at(at),
        None => (rest, "/"),
    };
    let (mut output, contents) = wit_stream::new();
    let (trailers, no_trailers) = wit_future::new(|| Ok(None));
    let contents = (!content.is_empty()).then_some(contents);
    let (request, sent) = Request::new(Fields::new(), contents, no_trailers, None);
    let method = match method {
        "GET" => Method::Get,
        "POST" => Method::Post,
        "PUT" => Method::Put,
        other => Method::Other(other.to_owned()),
    };
    let scheme = match scheme {
        "http" => Scheme::Http,
        "https" => Scheme::Https,
        other => Scheme::Other(other.to_owned()),
    };
    request.set_method(&method).map_err(|()| wrong("method"))?;
    request
        .set_scheme(Some(&scheme))
        .map_err(|()| wrong("scheme"))?;
    request
        .set_authority(Some(authority))
        .map_err(|()| wrong("authority"))?;
    request
        .set_path_with_query(Some(path))
        .map_err(|()| wrong("path"))?;
    let write = async {
        // Where the host takes no more, the response or its failure tells why.
        let _ = output.write_all(content.as_bytes().to_vec()).await;
        drop(output);
        drop(trailers);
    };
    let exchange = async {
        let response = send(request).await.map_err(|code| told(&code))?;
        let status = response.get_status_code();
        let (done, taken) = wit_future::new(|| Ok(()));
        let (body, ended) = Response::consume_body(response, taken);
        let body = body.collect().await;
        drop(done);
        ended.await.map_err(|code| told(&code))?;
        let body = String::from_utf8_lossy(&body).into_owned();
        Ok(format!("{status} {body}"))
    };
    let ((), exchanged) = both(write, exchange).await;
    drop(sent);
    exchanged
}

/// Drive two futures to their ends.
async fn both<A, B>(one: impl Future<Output = A>, other: impl Future<Output = B>) -> (A, B) {
    let (mut one, mut other) = (Box::pin(one), Box::pin(other));
    let (mut first, mut second) = (None, None);
    poll_fn(move |cx| {
        if first.is_none()
            && let Poll::Ready(done) = one.as_mut().poll(cx)
        {
            first = Some(done);
        }
        if second.is_none()
            && let Poll::Ready(done) = other.as_mut().poll(cx)
        {
            second = Some(done);
        }
        match (first.take(), second.take()) {
            (Some(first), Some(second)) => Poll::Ready((first, second)),
            (left, right) => {
                (first, second) = (left, right);
                Poll::Pending
            }
        }
    })
    .await
}

/// The name of the error code in Rust.
fn told(code: &ErrorCode) -> String {
    let name = format!("{code:?}");
    let name = name.rsplit("::").next().unwrap_or_default();
    let name = name.split([' ', '(', '{']).next().unwrap_or_default();
    format!("{name} at request")
}

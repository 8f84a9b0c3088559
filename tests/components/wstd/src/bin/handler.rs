//! Handles HTTP requests. The path says how:
//!
//! | path | response |
//! |---|---|
//! | `/hello` | `Hello from wstd!` |
//! | `/echo` | 201, and the request's body, streamed |
//! | `/fetch?URL` | the status of a GET request for that URL, or 502 and the error |

use wstd::http::{Body, Client, Error, Request, Response, StatusCode};

#[wstd::http_server]
async fn main(request: Request<Body>) -> Result<Response<Body>, Error> {
    let target = request.uri().clone();
    let (status, body) = match target.path() {
        "/hello" => (StatusCode::OK, "Hello from wstd!\n".into()),
        "/echo" => (StatusCode::CREATED, request.into_body()),
        "/fetch" => match status_of(target.query().unwrap_or_default()).await {
            Ok(status) => (StatusCode::OK, format!("{}\n", status.as_u16()).into()),
            Err(error) => (StatusCode::BAD_GATEWAY, format!("{error}\n").into()),
        },
        _ => (StatusCode::NOT_FOUND, "not found\n".into()),
    };
    Ok(Response::builder().status(status).body(body)?)
}

async fn status_of(url: &str) -> Result<StatusCode, Error> {
    let request = Request::get(url).body(Body::empty())?;
    Ok(Client::new().send(request).await?.status())
}

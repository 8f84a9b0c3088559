//! Sends a request of the component's own.

use wasip2::http::outgoing_handler::handle;
use wasip2::http::types::{ErrorCode, Fields, OutgoingRequest, Scheme};

/// The status of `http://TARGET`, or the error code.
pub fn get(target: &str) -> String {
    match status(target) {
        Ok(status) => status.to_string(),
        Err(code) => format!("{code:?}"),
    }
}

fn status(target: &str) -> Result<u16, ErrorCode> {
    let (authority, path) = target.split_once('/').unwrap_or((target, ""));
    let request = OutgoingRequest::new(Fields::new());
    request.set_scheme(Some(&Scheme::Http)).unwrap();
    request.set_authority(Some(authority)).unwrap();
    request
        .set_path_with_query(Some(&format!("/{path}")))
        .unwrap();
    let response = handle(request, None)?;
    response.subscribe().block();
    response.get().unwrap().unwrap().map(|it| it.status())
}

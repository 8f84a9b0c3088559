//! Reads a response.

use crate::Outcome;
use crate::request::{Plan, told};
use wasip2::http::types::{FutureTrailers, IncomingBody, IncomingResponse, http_error_code};
use wasip2::io::streams::StreamError;

/// The most bytes that one call reads.
const MAX_READ: u64 = 64 * 1024;

pub struct Answer {
    /// The text to print.
    pub text: String,
    /// The target of a redirect.
    pub location: Option<String>,
}

pub fn read(response: IncomingResponse, plan: &Plan) -> Outcome<Answer> {
    let status = response.status();
    let headers = response.headers();
    let header = |name: &str| {
        let value = headers.get(name).into_iter().next()?;
        Some(String::from_utf8_lossy(&value).into_owned())
    };
    let location = header("location").filter(|_| (300..400).contains(&status));
    let mut text = status.to_string();
    if let Some(name) = &plan.show {
        text.push_str(&format!(" {name}:{}", header(name).unwrap_or_default()));
    }
    if plan.leave {
        return Ok(Answer { text, location });
    }
    let body = response
        .consume()
        .map_err(|()| ("none".to_owned(), "body"))?;
    let (bytes, count) = read_all(&body, plan.count)?;
    match plan.count {
        true => text.push_str(&format!(" {count} bytes")),
        false => text.push_str(&format!(" {}", String::from_utf8_lossy(&bytes))),
    }
    let trailers = IncomingBody::finish(body);
    trailers.subscribe().block();
    text.push_str(&shown(&trailers)?);
    Ok(Answer {
        text: text.trim_end().to_owned(),
        location,
    })
}

fn read_all(body: &IncomingBody, count_only: bool) -> Outcome<(Vec<u8>, u64)> {
    let stream = body.stream().map_err(|()| ("none".to_owned(), "stream"))?;
    let (mut all, mut count) = (Vec::new(), 0);
    loop {
        match stream.blocking_read(MAX_READ) {
            Ok(bytes) => {
                count += bytes.len() as u64;
                if !count_only {
                    all.extend(bytes);
                }
            }
            Err(StreamError::Closed) => return Ok((all, count)),
            Err(StreamError::LastOperationFailed(error)) => {
                let code = http_error_code(&error);
                return Err(match code {
                    Some(code) => told("body")(code),
                    None => (error.to_debug_string(), "body"),
                });
            }
        }
    }
}

fn shown(trailers: &FutureTrailers) -> Outcome<String> {
    let fields = match trailers.get() {
        Some(Ok(Ok(Some(fields)))) => fields.entries(),
        Some(Ok(Err(code))) => return Err(told("trailers")(code)),
        _ => return Ok(String::new()),
    };
    let fields = fields
        .iter()
        .map(|(name, value)| format!(" trailer {name}:{}", String::from_utf8_lossy(value)));
    Ok(fields.collect())
}

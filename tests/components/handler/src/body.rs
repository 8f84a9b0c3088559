//! Reads the bodies of requests, and writes those of responses.

use wasip2::http::types::{
    Fields, IncomingBody, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam,
    http_error_code,
};
use wasip2::io::streams::{OutputStream, StreamError};

/// The most bytes that one call may write and flush.
const MAX_WRITE: usize = 4096;

/// The most bytes that one call reads.
const MAX_READ: u64 = 64 * 1024;

/// A response whose head is set, and whose body is being written.
pub struct Reply {
    // Dropped before the body: it is a child of it.
    stream: OutputStream,
    body: OutgoingBody,
}

impl Reply {
    pub fn new(out: ResponseOutparam, status: u16, headers: Fields) -> Reply {
        let response = OutgoingResponse::new(headers);
        response.set_status_code(status).unwrap();
        let body = response.body().unwrap();
        ResponseOutparam::set(out, Ok(response));
        Reply {
            stream: body.write().unwrap(),
            body,
        }
    }

    /// Write some bytes. Those that the client does not take are lost.
    pub fn write(&mut self, bytes: &[u8]) {
        for part in bytes.chunks(MAX_WRITE) {
            if self.stream.blocking_write_and_flush(part).is_err() {
                return;
            }
        }
    }

    pub fn bytes(mut self, mut count: u64) -> Reply {
        let part = [b'x'; MAX_WRITE];
        while count > 0 {
            let length = count.min(MAX_WRITE as u64);
            self.write(&part[..length as usize]);
            count -= length;
        }
        self
    }

    pub fn finish(self) {
        drop(self.stream);
        // An error says that the length was wrong, which the client sees.
        let _ = OutgoingBody::finish(self.body, None);
    }

    pub fn finish_with(self, trailers: Fields) {
        drop(self.stream);
        OutgoingBody::finish(self.body, Some(trailers)).unwrap();
    }

    pub fn abort(self) {
        drop(self.stream);
        drop(self.body);
    }
}

/// Respond with a text.
pub fn reply(out: ResponseOutparam, status: u16, text: &str) {
    let headers = Fields::new();
    headers.append("content-type", b"text/plain").unwrap();
    let mut reply = Reply::new(out, status, headers);
    reply.write(text.as_bytes());
    reply.finish();
}

/// Respond with bytes until the client takes no more.
pub fn stream_endlessly(out: ResponseOutparam) {
    let reply = Reply::new(out, 200, Fields::new());
    let part = [b'x'; MAX_WRITE];
    while reply.stream.blocking_write_and_flush(&part).is_ok() {}
}

/// Respond with the body of the request.
pub fn echo(request: &IncomingRequest, out: ResponseOutparam) {
    let body = request.consume().unwrap();
    let input = body.stream().unwrap();
    let mut reply = Reply::new(out, 200, Fields::new());
    while let Ok(bytes) = input.blocking_read(MAX_READ) {
        reply.write(&bytes);
    }
    reply.finish();
}

/// The number of bytes of a request's body, and its trailers; or the error code.
pub fn read_all(request: &IncomingRequest) -> Result<String, String> {
    let body = request.consume().unwrap();
    let input = body.stream().unwrap();
    let mut count = 0;
    loop {
        match input.blocking_read(MAX_READ) {
            Ok(bytes) => count += bytes.len(),
            Err(StreamError::Closed) => break,
            Err(StreamError::LastOperationFailed(error)) => {
                let code = http_error_code(&error);
                return Err(format!("{code:?} after {count} bytes"));
            }
        }
    }
    drop(input);
    let trailers = IncomingBody::finish(body);
    trailers.subscribe().block();
    let mut text = format!("{count} bytes");
    if let Some(Ok(Ok(Some(fields)))) = trailers.get() {
        for (name, value) in fields.entries() {
            text.push_str(&format!(" {name}:{}", String::from_utf8_lossy(&value)));
        }
    }
    Ok(text)
}

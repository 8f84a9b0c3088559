//! Reads the bodies of requests, and writes those of responses.

use crate::bindings::wasi::http::types::{ErrorCode, Fields, Request, Response};
use crate::bindings::{wit_future, wit_stream};
use wit_bindgen::{FutureReader, FutureWriter, StreamReader, StreamResult, StreamWriter};

/// The most bytes that one call writes.
const MAX_WRITE: usize = 4096;

/// The most bytes that one call reads.
const MAX_READ: usize = 64 * 1024;

/// How a body ends: with trailers, without, or not at all.
pub type End = Result<Option<Fields>, ErrorCode>;

/// The body of a response, which is being written.
pub struct Reply {
    output: StreamWriter<u8>,
    end: FutureWriter<End>,
}

impl Reply {
    /// A response, its body, and how sending it ends.
    pub fn with_result(
        status: u16,
        headers: Fields,
    ) -> (Response, Reply, FutureReader<Result<(), ErrorCode>>) {
        let (output, contents) = wit_stream::new();
        let (end, trailers) = wit_future::new(|| Ok(None));
        let (response, sent) = Response::new(headers, Some(contents), trailers);
        response.set_status_code(status).unwrap();
        (response, Reply { output, end }, sent)
    }

    pub fn new(status: u16, headers: Fields) -> (Response, Reply) {
        let (response, reply, _) = Reply::with_result(status, headers);
        (response, reply)
    }

    /// Write some bytes. Returns whether the client took them.
    pub async fn write(&mut self, bytes: &[u8]) -> bool {
        self.output.write_all(bytes.to_vec()).await.is_empty()
    }

    pub async fn write_bytes(&mut self, mut count: u64) {
        while count > 0 {
            let length = count.min(MAX_WRITE as u64);
            if !self.write(&vec![b'x'; length as usize]).await {
                return;
            }
            count -= length;
        }
    }

    pub async fn write_endlessly(mut self) {
        while self.write(&[b'x'; MAX_WRITE]).await {}
    }

    pub async fn finish(self, end: End) {
        drop(self.output);
        // An error: the client has left.
        let _ = self.end.write(end).await;
    }

    /// Leave the body as it is, for ever.
    pub fn forget(self) {
        std::mem::forget(self);
    }
}

/// Respond with a text.
pub fn reply(status: u16, text: impl Into<String>) -> Response {
    let headers = Fields::new();
    headers.append("content-type", b"text/plain").unwrap();
    let (response, mut reply) = Reply::new(status, headers);
    let text = text.into();
    wit_bindgen::spawn_local(async move {
        reply.write(text.as_bytes()).await;
        reply.finish(Ok(None)).await;
    });
    response
}

/// The body of a request, and its end.
fn opened(request: Request) -> (StreamReader<u8>, FutureReader<End>) {
    let (_, taken) = wit_future::new(|| Ok(()));
    Request::consume_body(request, taken)
}

/// The next bytes. None: that was all.
async fn next(body: &mut StreamReader<u8>) -> Option<Vec<u8>> {
    loop {
        let (result, bytes) = body.read(Vec::with_capacity(MAX_READ)).await;
        match result {
            _ if !bytes.is_empty() => return Some(bytes),
            StreamResult::Complete(_) => {}
            _ => return None,
        }
    }
}

/// Respond with the body of the request.
pub fn echo(request: Request) -> Response {
    let (mut body, end) = opened(request);
    let (response, mut reply) = Reply::new(200, Fields::new());
    wit_bindgen::spawn_local(async move {
        while let Some(bytes) = next(&mut body).await {
            if !reply.write(&bytes).await {
                return;
            }
        }
        reply.finish(end.await).await;
    });
    response
}

/// Respond with the stream of the request's body.
pub fn pass(request: Request) -> Response {
    let (body, end) = opened(request);
    let headers = Fields::new();
    headers.append("trailer", b"x-sum").unwrap();
    Response::new(headers, Some(body), end).0
}

/// The number of bytes of a request's body, and its trailers; or the error code.
pub async fn read_all(request: Request) -> Result<String, String> {
    let (mut body, end) = opened(request);
    let mut count = 0;
    while let Some(bytes) = next(&mut body).await {
        count += bytes.len();
    }
    let trailers = match end.await {
        Ok(trailers) => trailers,
        Err(code) => return Err(format!("{:?} after {count} bytes", Some(code))),
    };
    let mut text = format!("{count} bytes");
    for (name, value) in trailers.iter().flat_map(|fields| fields.copy_all()) {
        text.push_str(&format!(" {name}:{}", String::from_utf8_lossy(&value)));
    }
    Ok(text)
}

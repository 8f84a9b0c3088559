//! Parses the arguments of a request, and sends it.

use crate::Outcome;
use crate::response::{Answer, read};
use wasip2::http::outgoing_handler::handle;
use wasip2::http::types::{
    ErrorCode, Fields, Method, OutgoingBody, OutgoingRequest, RequestOptions, Scheme,
};
use wasip2::io::streams::{OutputStream, StreamError};

/// The most bytes that one call may write and flush.
const MAX_WRITE: usize = 4096;

/// A request to send, and how to print its response.
#[derive(Default)]
pub struct Plan {
    method: String,
    scheme: Option<String>,
    authority: Option<String>,
    path: Option<String>,
    headers: Vec<(String, Vec<u8>)>,
    body: Option<Vec<u8>>,
    bytes: usize,
    open: bool,
    trailers: Vec<(String, Vec<u8>)>,
    connect: Option<u64>,
    first_byte: Option<u64>,
    between_bytes: Option<u64>,
    pub follow: bool,
    pub show: Option<String>,
    pub count: bool,
    pub leave: bool,
    readback: bool,
}

impl Plan {
    pub fn parse(words: &[&str]) -> Option<Plan> {
        let ["send", method, scheme, authority, path, options @ ..] = words else {
            return None;
        };
        let given = |word: &str| (word != "-").then(|| word.to_owned());
        let mut plan = Plan {
            method: (*method).to_owned(),
            scheme: given(scheme),
            authority: given(authority),
            path: given(path),
            ..Plan::default()
        };
        for option in options {
            let (name, value) = option.split_once('=').unwrap_or((option, ""));
            let field = || {
                let (name, value) = value.split_once(':')?;
                Some((name.to_owned(), decoded(value)))
            };
            let nanoseconds = || Some(value.parse::<u64>().ok()?.saturating_mul(1_000_000));
            match name {
                "header" => plan.headers.push(field()?),
                "trailer" => plan.trailers.push(field()?),
                "body" => plan.body = Some(decoded(value)),
                "open" => plan.open = true,
                "bytes" => plan.bytes = value.parse().ok()?,
                "connect-ms" => plan.connect = Some(nanoseconds()?),
                "first-byte-ms" => plan.first_byte = Some(nanoseconds()?),
                "between-bytes-ms" => plan.between_bytes = Some(nanoseconds()?),
                "follow" => plan.follow = true,
                "show" => plan.show = Some(value.to_owned()),
                "count" => plan.count = true,
                "leave" => plan.leave = true,
                "readback" => plan.readback = true,
                _ => return None,
            }
        }
        Some(plan)
    }

    /// Change the target to the one that a response redirects to.
    pub fn go_to(&mut self, location: &str) -> Option<()> {
        if let Some((scheme, rest)) = location.split_once("://") {
            let at = rest.find('/').unwrap_or(rest.len());
            let (authority, path) = rest.split_at(at);
            self.scheme = Some(scheme.to_owned());
            self.authority = Some(authority.to_owned());
            self.path = Some(path.to_owned());
        } else {
            self.path = Some(location.to_owned());
        }
        Some(())
    }

    pub fn send(&self) -> Outcome<Answer> {
        let headers = Fields::new();
        for (name, value) in &self.headers {
            let appended = headers.append(name, value);
            appended.map_err(|error| (format!("{error:?}"), "header"))?;
        }
        let request = OutgoingRequest::new(headers);
        let invalid = |what| move |()| ("invalid".to_owned(), what);
        let method = method(&self.method);
        request.set_method(&method).map_err(invalid("method"))?;
        let scheme = self.scheme.as_deref().map(scheme);
        request
            .set_scheme(scheme.as_ref())
            .map_err(invalid("scheme"))?;
        request
            .set_authority(self.authority.as_deref())
            .map_err(invalid("authority"))?;
        request
            .set_path_with_query(self.path.as_deref())
            .map_err(invalid("path"))?;
        let options = RequestOptions::new();
        let set = "timeout";
        options
            .set_connect_timeout(self.connect)
            .map_err(invalid(set))?;
        options
            .set_first_byte_timeout(self.first_byte)
            .map_err(invalid(set))?;
        options
            .set_between_bytes_timeout(self.between_bytes)
            .map_err(invalid(set))?;
        let has_body =
            self.body.is_some() || self.bytes > 0 || self.open || !self.trailers.is_empty();
        let body = match has_body {
            true => Some(request.body().map_err(invalid("body"))?),
            false => None,
        };
        let sent = self.readback.then(|| request.headers());
        let future = handle(request, Some(options)).map_err(told("handle"))?;
        let (now, later) = match self.open {
            true => (None, body),
            false => (body, None),
        };
        let written = now.map(|body| self.write(body));
        future.subscribe().block();
        let response = match future.get() {
            Some(Ok(response)) => response.map_err(told("response"))?,
            _ => return Err(("nothing".to_owned(), "response")),
        };
        // The response is read even if the server did not take the whole body. Its text is printed with the error.
        let mut answer = read(response, self)?;
        for (name, value) in sent.iter().flat_map(|sent| sent.entries()) {
            let value = String::from_utf8_lossy(&value).into_owned();
            answer.text.push_str(&format!(" sent {name}:{value}"));
        }
        let written = written.or_else(|| later.map(|body| self.write(body)));
        if let Some(Err((error, place))) = written {
            return Err((format!("{error} ({})", answer.text), place));
        }
        Ok(answer)
    }

    fn write(&self, body: OutgoingBody) -> Outcome<()> {
        let stream = body.write().map_err(|()| ("none".to_owned(), "write"))?;
        write(&stream, self.body.as_deref().unwrap_or_default())?;
        let piece = [b'x'; MAX_WRITE];
        let mut left = self.bytes;
        while left > 0 {
            let length = left.min(MAX_WRITE);
            write(&stream, &piece[..length])?;
            left -= length;
        }
        drop(stream);
        let trailers = match self.trailers.is_empty() {
            true => None,
            false => Some(
                Fields::from_list(&self.trailers)
                    .map_err(|error| (format!("{error:?}"), "trailer"))?,
            ),
        };
        OutgoingBody::finish(body, trailers).map_err(told("finish"))
    }
}

fn write(stream: &OutputStream, bytes: &[u8]) -> Outcome<()> {
    for piece in bytes.chunks(MAX_WRITE) {
        let written = stream.blocking_write_and_flush(piece);
        written.map_err(|error| match error {
            StreamError::Closed => ("closed".to_owned(), "write"),
            StreamError::LastOperationFailed(_) => ("failed".to_owned(), "write"),
        })?;
    }
    Ok(())
}

/// An error code as text: its name and its fields.
pub fn told(place: &'static str) -> impl Fn(ErrorCode) -> (String, &'static str) {
    move |code| {
        let text = format!("{code:?}");
        (text.replace("ErrorCode::", "").replace(' ', ""), place)
    }
}

fn method(name: &str) -> Method {
    match name {
        "GET" => Method::Get,
        "HEAD" => Method::Head,
        "POST" => Method::Post,
        "PUT" => Method::Put,
        "DELETE" => Method::Delete,
        "CONNECT" => Method::Connect,
        "OPTIONS" => Method::Options,
        "TRACE" => Method::Trace,
        other => Method::Other(other.to_owned()),
    }
}

fn scheme(name: &str) -> Scheme {
    match name {
        "http" => Scheme::Http,
        "https" => Scheme::Https,
        other => Scheme::Other(other.to_owned()),
    }
}

/// The bytes of a text in which `%XX` stands for a byte.
fn decoded(text: &str) -> Vec<u8> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::new();
    while let Some(byte) = bytes.next() {
        let mut digit = || {
            bytes
                .next()
                .and_then(|digit| char::from(digit).to_digit(16))
        };
        match byte {
            b'%' => {
                let (high, low) = (digit().unwrap_or(0), digit().unwrap_or(0));
                decoded.push((high << 4 | low) as u8);
            }
            byte => decoded.push(byte),
        }
    }
    decoded
}

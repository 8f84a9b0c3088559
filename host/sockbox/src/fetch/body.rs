//! The body of a request.

use crate::bindings::fetch as wit;
use crate::error::{Error, Result};
use std::fmt;
use tokio::io::AsyncRead;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::p2::DynInputStream;
use wasmtime_wasi::p2::pipe::AsyncReadStream;

/// The body of a request.
///
/// [`Request::body`](crate::Request::body) and [`Request::body_reader`](crate::Request::body_reader)
/// make one for a request; [`Response::follow`](crate::Response::follow) is given one, since what was
/// sent once isn't kept.
pub struct Body(Kind);

enum Kind {
    Empty,
    Bytes(Vec<u8>),
    Reader {
        input: DynInputStream,
        length: Option<u64>,
    },
}

impl Body {
    /// No body, and no header field for one.
    pub fn empty() -> Body {
        Body(Kind::Empty)
    }

    /// These bytes, with their `Content-Length`, which is sent also when there are none.
    pub fn bytes(bytes: impl Into<Vec<u8>>) -> Body {
        Body(Kind::Bytes(bytes.into()))
    }

    /// The bytes of `reader` until its end. If `length` is given, there must be exactly so many
    /// bytes; otherwise the body is sent in chunks (RFC 9112 section 7.1).
    pub fn reader(reader: impl AsyncRead + Send + Unpin + 'static, length: Option<u64>) -> Body {
        Body(Kind::Reader {
            input: Box::new(AsyncReadStream::new(reader)),
            length,
        })
    }

    /// The value for the component. A body that is read goes into `table`.
    pub(super) fn into_wit(self, table: &mut ResourceTable) -> Result<wit::RequestBody> {
        Ok(match self.0 {
            Kind::Empty => wit::RequestBody::None,
            Kind::Bytes(bytes) => wit::RequestBody::Bytes(bytes),
            Kind::Reader { input, length } => wit::RequestBody::Stream(wit::BodyStream {
                input: table.push(input).map_err(Error::internal)?,
                length,
            }),
        })
    }
}

impl Default for Body {
    fn default() -> Body {
        Body::empty()
    }
}

impl fmt::Debug for Body {
    /// Shows only the size, because the body may contain secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Empty => f.write_str("Body(empty)"),
            Kind::Bytes(bytes) => write!(f, "Body({} bytes)", bytes.len()),
            Kind::Reader {
                length: Some(length),
                ..
            } => write!(f, "Body(reader of {length} bytes)"),
            Kind::Reader { length: None, .. } => f.write_str("Body(reader)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_shows_its_size_and_nothing_else() {
        for (body, expected) in [
            (Body::default(), "Body(empty)"),
            (Body::bytes("secret"), "Body(6 bytes)"),
        ] {
            assert_eq!(format!("{body:?}"), expected);
        }
    }

    #[test]
    fn every_body_has_its_form_for_the_component() {
        let mut table = ResourceTable::new();
        for (body, expected) in [
            (Body::empty(), "None"),
            (Body::bytes(""), "Bytes"),
            (Body::bytes("a"), "Bytes"),
        ] {
            let shown = format!("{:?}", body.into_wit(&mut table).unwrap());
            assert!(shown.contains(expected), "{shown}");
        }
    }
}

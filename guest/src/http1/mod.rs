//! HTTP/1.1 as a user agent speaks it (RFC 9112), without I/O.
//!
//! The parsers take bytes and return progress. They do not read, write, wait or know sockets.
//! Partial input is not an error: every parser reports that it needs more and remembers how far it
//! has read. So the result does not depend on how the bytes are split, and the time is linear.
//!
//! - [`RequestHead`] writes the head of a request; no part of it can add a line.
//! - [`HeadParser`] reads status line and header fields, interim responses first.
//! - [`BodyFraming`] determines how the end of the body is found, and [`BodyDecoder`] finds it.
//! - [`Limits`] limits what a peer can make this component keep.

mod body;
mod chunked;
mod error;
mod field;
mod framing;
mod head;
mod limits;
mod request;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

pub use body::{BodyDecoder, Decoded};
pub use chunked::{CHUNK_END, LAST_CHUNK, chunk_start};
pub(crate) use error::excerpt;
pub use error::{Incomplete, InvalidRequest, LineFault, ParseError, Section};
pub use field::Header;
pub(crate) use field::trim_ows;
pub use framing::BodyFraming;
pub use head::{HeadParser, ResponseHead};
pub use limits::{
    Limits, MAX_CHUNK_OVERHEAD, MAX_HEAD_SIZE, MAX_HEADER_COUNT, MAX_INTERIM_RESPONSES,
    MAX_TRAILER_SIZE,
};
pub use request::{DEFAULT_ACCEPT, RequestFraming, RequestHead};

//! HTTP/1.1 as a user agent speaks it (RFC 9112), without I/O.
//!
//! Bytes go in, progress comes out. Nothing here reads, writes, waits or knows what a socket is, and
//! partial input is not an error: every parser says that it needs more and remembers how far it
//! has looked, so that the same bytes give the same result however they are split, in linear time.
//!
//! - [`RequestHead`] writes what is sent; nothing that goes into it can add a line.
//! - [`HeadParser`] reads status line and header fields, interim responses first.
//! - [`BodyFraming`] tells how the body's end is found, [`BodyDecoder`] finds it.
//! - [`Limits`] bounds what a peer can make us keep.

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
pub use request::{DEFAULT_ACCEPT, RequestBody, RequestHead};

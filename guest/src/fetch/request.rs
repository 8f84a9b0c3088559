//! A request as the caller describes it.

use super::options::Options;
use crate::http1::Header;

/// A request.
pub struct Request<B> {
    /// The method, sent as given.
    pub method: String,
    /// An absolute `http` or `https` URL.
    pub url: String,
    /// Header fields to add, or that replace the default ones.
    pub headers: Vec<Header>,
    /// The names of default fields to leave out.
    pub omit: Vec<String>,
    /// The body.
    pub body: RequestBody<B>,
    /// How the request is made, and its limits.
    pub options: Options,
}

/// The body of a request.
#[derive(Debug)]
pub enum RequestBody<B> {
    /// No body.
    Empty,
    /// These bytes.
    Bytes(Vec<u8>),
    /// The bytes of a source, and their number if it is known.
    Source { source: B, length: Option<u64> },
}

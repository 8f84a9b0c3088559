//! The stages of a request, and the bounds on it and on its response.

use std::fmt;

/// The stage that a request was in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Stage {
    /// Resolving the host's name.
    Resolve,
    /// Connecting to one of its addresses.
    Connect,
    /// The TLS handshake.
    Handshake,
    /// Sending the request.
    Send,
    /// Waiting for the first byte of the response.
    FirstByte,
    /// Receiving the head.
    Head,
    /// Receiving the body.
    Body,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Stage::Resolve => "resolving the host name",
            Stage::Connect => "connecting",
            Stage::Handshake => "the TLS handshake",
            Stage::Send => "sending the request",
            Stage::FirstByte => "waiting for the response",
            Stage::Head => "receiving the response head",
            Stage::Body => "receiving the body",
        })
    }
}

/// The kind of time limit that ended a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TimeBound {
    /// The limit of the stage.
    Stage,
    /// [`Request::total_timeout`](crate::Request::total_timeout).
    Total,
    /// [`Request::min_speed`](crate::Request::min_speed).
    Speed,
}

/// A limit that a response exceeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ResponseLimit {
    /// [`Request::max_head_size`](crate::Request::max_head_size).
    HeadSize,
    /// [`Request::max_body_size`](crate::Request::max_body_size).
    BodySize,
    /// More header fields than the component keeps.
    HeaderCount,
    /// More interim responses than the component accepts.
    InterimResponses,
    /// More trailer fields, or longer ones, than the component keeps.
    TrailerSize,
}

impl fmt::Display for ResponseLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ResponseLimit::HeadSize => "more bytes in its head",
            ResponseLimit::BodySize => "more bytes in its body",
            ResponseLimit::HeaderCount => "more header fields",
            ResponseLimit::InterimResponses => "more interim responses",
            ResponseLimit::TrailerSize => "more bytes in its trailer fields",
        })
    }
}

//! What is known about a response besides its body.

use super::error::ConnectFailure;
use crate::http1::ResponseHead;
use std::net::SocketAddr;
use std::time::Duration;

/// When each stage of a request ended, measured from its start. A stage that did not take place
/// ended when the one before it did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Timings {
    /// The addresses of the host were known.
    pub resolve: Duration,
    /// The connection was established.
    pub connect: Duration,
    /// The TLS handshake was complete.
    pub handshake: Duration,
    /// The request's head was sent.
    pub sent: Duration,
    /// The first byte of the response was received.
    pub first_byte: Duration,
    /// The response's head was received.
    pub head: Duration,
}

impl Timings {
    pub(super) fn reached(resolve: Duration, connect: Duration, handshake: Duration) -> Self {
        Self {
            resolve,
            connect,
            handshake,
            ..Self::default()
        }
    }
}

/// What is known about a response when its head has been received.
#[derive(Debug, Clone)]
pub struct ResponseInfo {
    /// The head that the server sent.
    pub head: ResponseHead,
    /// The URL of the request, without fragment and credentials.
    pub url: String,
    /// The address of the server's end of the connection.
    pub remote: SocketAddr,
    /// The address of this end of the connection.
    pub local: SocketAddr,
    /// The size of the body, if the head gives it and the body is not decoded.
    pub content_length: Option<u64>,
    /// Whether an earlier request used the connection.
    pub reused: bool,
    /// The addresses that could not be connected to before this one.
    pub failures: Vec<ConnectFailure>,
    /// The size of the request's head in bytes.
    pub request_head_size: u64,
    /// How many bytes of the request's body had been sent by then.
    pub uploaded: u64,
    pub timings: Timings,
}

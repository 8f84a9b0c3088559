//! When each stage of a request ended.

use crate::bindings::fetch as wit;
use std::time::Duration;

/// When each stage of a request ended, counted from the call of
/// [`Instance::fetch`](crate::Instance::fetch) or [`Response::follow`](crate::Response::follow).
///
/// A stage that did not take place (resolving an address, connecting with a reused connection, TLS for an
/// `http` URL) has the time of the stage before it. So the times never decrease.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Timings {
    /// The host's addresses were known.
    pub resolve: Duration,
    /// The connection was established.
    pub connect: Duration,
    /// The TLS handshake was complete.
    pub handshake: Duration,
    /// The request head was sent.
    pub sent: Duration,
    /// The first byte of the response was received.
    pub first_byte: Duration,
    /// The response head was received.
    pub head: Duration,
}

impl From<wit::Timings> for Timings {
    fn from(timings: wit::Timings) -> Timings {
        Timings {
            resolve: Duration::from_nanos(timings.resolve),
            connect: Duration::from_nanos(timings.connect),
            handshake: Duration::from_nanos(timings.handshake),
            sent: Duration::from_nanos(timings.sent),
            first_byte: Duration::from_nanos(timings.first_byte),
            head: Duration::from_nanos(timings.head),
        }
    }
}

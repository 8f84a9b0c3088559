//! When each stage of a request was over.

use crate::bindings::fetch as wit;
use std::time::Duration;

/// When each stage of a request was over, counted from the call of
/// [`Instance::fetch`](crate::Instance::fetch) or [`Response::follow`](crate::Response::follow).
///
/// A stage that did not take place (the resolve of an address, connecting where a connection was used
/// again, TLS for an `http` URL) was over when the one before it was. So none is before the one above it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Timings {
    /// The host's addresses were known.
    pub resolve: Duration,
    /// The connection was there.
    pub connect: Duration,
    /// TLS was agreed upon.
    pub handshake: Duration,
    /// The request's head was on its way.
    pub sent: Duration,
    /// The first byte of the answer was there.
    pub first_byte: Duration,
    /// The response's head was there.
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

//! The component's exports: WIT's types to ours and back, and nothing more.

#[cfg(not(feature = "wasi-0-3"))]
mod fetch;
mod hello_server;
mod run;

use crate::bindings::exports::sockbox::net::types::NetworkError;
use crate::net::NetError;
use std::time::Duration;

#[cfg(not(feature = "wasi-0-3"))]
pub use fetch::trace;

struct Component;

crate::bindings::export!(Component with_types_in crate::bindings);

impl From<NetError> for NetworkError {
    fn from(error: NetError) -> Self {
        match error {
            NetError::ConnectionRefused => Self::ConnectionRefused,
            // A cut has a case of its own wherever it matters.
            NetError::ConnectionReset | NetError::Truncated => Self::ConnectionReset,
            NetError::ConnectionAborted => Self::ConnectionAborted,
            NetError::Unreachable => Self::Unreachable,
            NetError::TimedOut => Self::TimedOut,
            NetError::NameUnresolvable => Self::NameUnresolvable,
            NetError::TemporaryResolverFailure => Self::TemporaryResolverFailure,
            NetError::PermanentResolverFailure => Self::PermanentResolverFailure,
            NetError::AddressInUse => Self::AddressInUse,
            NetError::AddressNotBindable => Self::AddressNotBindable,
            NetError::NoSocketsLeft => Self::NoSocketsLeft,
            NetError::NotSupported => Self::NotSupported,
            // A refusal has a case of its own wherever one can occur.
            NetError::Denied | NetError::Other => Self::Other,
        }
    }
}

/// A duration in WIT's unit; one that is too long is as good as the longest there is.
fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

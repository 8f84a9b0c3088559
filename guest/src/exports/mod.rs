//! The component's exports. They only convert between the types of WIT and those of this crate.

#[cfg(not(feature = "wasi-0-3"))]
mod fetch;
mod hello_server;
mod run;

use crate::bindings::exports::sockbox::net::types::NetworkError;
use crate::net::NetError;
use std::time::Duration;

struct Component;

crate::bindings::export!(Component with_types_in crate::bindings);

impl From<NetError> for NetworkError {
    fn from(error: NetError) -> Self {
        match error {
            NetError::ConnectionRefused => Self::ConnectionRefused,
            // Where a cut connection matters, it has its own case.
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
            // Where a denial can occur, it has its own case.
            NetError::Denied | NetError::Other => Self::Other,
        }
    }
}

/// A duration in nanoseconds, the unit of WIT. One that is too long becomes the longest.
fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

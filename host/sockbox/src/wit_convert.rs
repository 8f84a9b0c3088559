//! Conversions between WIT types and Rust types that both programs need.

use crate::bindings::types;
use crate::error::{Error, NetworkError};
use crate::policy::Target;
use sockbox_wasi::Incidents;
use std::net::SocketAddr;
use std::time::Duration;

impl From<types::NetworkError> for NetworkError {
    fn from(error: types::NetworkError) -> NetworkError {
        match error {
            types::NetworkError::ConnectionRefused => NetworkError::ConnectionRefused,
            types::NetworkError::ConnectionReset => NetworkError::ConnectionReset,
            types::NetworkError::ConnectionAborted => NetworkError::ConnectionAborted,
            types::NetworkError::Unreachable => NetworkError::Unreachable,
            types::NetworkError::TimedOut => NetworkError::TimedOut,
            types::NetworkError::NameUnresolvable => NetworkError::NameUnresolvable,
            types::NetworkError::TemporaryResolverFailure => NetworkError::TemporaryResolverFailure,
            types::NetworkError::PermanentResolverFailure => NetworkError::PermanentResolverFailure,
            types::NetworkError::AddressInUse => NetworkError::AddressInUse,
            types::NetworkError::AddressNotBindable => NetworkError::AddressNotBindable,
            types::NetworkError::NoSocketsLeft => NetworkError::NoSocketsLeft,
            types::NetworkError::NotSupported => NetworkError::NotSupported,
            types::NetworkError::Other => NetworkError::Other,
        }
    }
}

/// The most bytes of a text of the component's that is kept: 64 KiB.
///
/// The longest real text is the URL of a redirect. The embedder owns an error, whose text counts
/// for no limit of the run, so its length is limited here.
const MAX_TEXT: usize = 64 * 1024;

/// A text of the component's, cut after [`MAX_TEXT`] bytes.
pub(crate) fn bounded(mut text: String) -> String {
    if text.len() > MAX_TEXT {
        text.truncate(text.floor_char_boundary(MAX_TEXT));
        text.shrink_to_fit();
    }
    text
}

/// The error for an operation of the component that was denied.
///
/// `host` is the name for a failure to connect.
pub(crate) fn denied(incidents: &Incidents, target: &types::Target, host: Option<&str>) -> Error {
    let asked = match target {
        types::Target::Resolve(name) => name.parse().ok().map(Target::Resolve),
        types::Target::Connect(address) => Some(Target::Connect((*address).into())),
        types::Target::Listen(address) => Some(Target::Listen((*address).into())),
    };
    if let Some(refusal) = asked.and_then(|asked| incidents.refusal_of(&asked)) {
        return refusal.into();
    }
    // The policy did not deny it, so the operating system did (a privileged port, a firewall).
    let reason = NetworkError::NotPermitted;
    match target {
        types::Target::Resolve(name) => Error::ResolveFailed {
            host: bounded(name.clone()),
            reason,
        },
        types::Target::Connect(address) => {
            let address = SocketAddr::from(*address);
            Error::ConnectFailed {
                host: host.map_or_else(|| address.to_string(), str::to_owned),
                attempts: vec![crate::error::ConnectFailure::new(address, reason)],
            }
        }
        types::Target::Listen(address) => Error::ListenFailed {
            address: SocketAddr::from(*address),
            reason,
        },
    }
}

/// A duration in nanoseconds. One that does not fit becomes the largest value.
pub(crate) fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_kept_up_to_its_bound() {
        for (length, kept) in [(0, 0), (MAX_TEXT, MAX_TEXT), (MAX_TEXT + 1, MAX_TEXT)] {
            assert_eq!(bounded("a".repeat(length)).len(), kept);
        }
        assert_eq!(bounded("ä".repeat(MAX_TEXT)).capacity(), MAX_TEXT);
    }

    #[test]
    fn durations_saturate() {
        for (duration, expected) in [
            (Duration::ZERO, 0),
            (Duration::from_secs(1), 1_000_000_000),
            (Duration::from_nanos(u64::MAX), u64::MAX),
            (Duration::MAX, u64::MAX),
        ] {
            assert_eq!(nanoseconds(duration), expected, "{duration:?}");
        }
    }
}

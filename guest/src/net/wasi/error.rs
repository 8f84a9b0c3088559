//! The one table from WASI's error codes to ours.

use crate::bindings::wasi::io::error::Error as IoError;
use crate::bindings::wasi::sockets::network::ErrorCode;
use crate::net::NetError;

impl From<ErrorCode> for NetError {
    fn from(code: ErrorCode) -> Self {
        match code {
            ErrorCode::AccessDenied => Self::Denied,
            ErrorCode::NotSupported => Self::NotSupported,
            ErrorCode::Timeout => Self::TimedOut,
            ErrorCode::NewSocketLimit | ErrorCode::OutOfMemory => Self::NoSocketsLeft,
            ErrorCode::AddressNotBindable => Self::AddressNotBindable,
            ErrorCode::AddressInUse => Self::AddressInUse,
            ErrorCode::RemoteUnreachable => Self::Unreachable,
            ErrorCode::ConnectionRefused => Self::ConnectionRefused,
            ErrorCode::ConnectionReset => Self::ConnectionReset,
            ErrorCode::ConnectionAborted => Self::ConnectionAborted,
            ErrorCode::NameUnresolvable => Self::NameUnresolvable,
            ErrorCode::TemporaryResolverFailure => Self::TemporaryResolverFailure,
            ErrorCode::PermanentResolverFailure => Self::PermanentResolverFailure,
            // An argument is invalid where the address itself can't be used: a multicast address
            // to connect to, port 0, a name that isn't one.
            ErrorCode::InvalidArgument => Self::AddressNotBindable,
            ErrorCode::Unknown
            | ErrorCode::InvalidState
            | ErrorCode::ConcurrencyConflict
            | ErrorCode::NotInProgress
            | ErrorCode::WouldBlock
            | ErrorCode::DatagramTooLarge => Self::Other,
        }
    }
}

/// What a stream's last operation failed of.
///
/// Stable WASI 0.2 has no way to ask a stream's error for its network code: all there is is a text
/// for people. A reset is worth telling from the rest, and runtimes name it there, by what the system
/// says at first of a connection that was reset, or by what it says afterwards; any text we don't know is
/// simply [`NetError::Other`].
pub fn from_stream_error(error: &IoError) -> NetError {
    let text = error.to_debug_string();
    let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
    if has(&[
        "ConnectionReset",
        "ConnectionBroken",
        "BrokenPipe",
        "NotConnected",
        // It was connected, or there would be no stream: now it isn't any more.
        "InvalidState",
        // What is in place of these where a runtime hands on the system's own words.
        "Connection reset",
        "Broken pipe",
        "not connected",
    ]) {
        NetError::ConnectionReset
    } else if has(&["UnexpectedEof", "close_notify"]) {
        NetError::Truncated
    } else if has(&["ConnectionAborted", "connection abort"]) {
        NetError::ConnectionAborted
    } else if has(&["Timeout", "TimedOut"]) {
        NetError::TimedOut
    } else if has(&["Unreachable"]) {
        NetError::Unreachable
    } else {
        NetError::Other
    }
}

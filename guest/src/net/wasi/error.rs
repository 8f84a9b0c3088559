//! The table from WASI 0.2 error codes to [`NetError`].

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
            // An argument is invalid if the address can't be used: a multicast address to connect
            // to, port 0, an invalid name.
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
/// for people. wasmtime's begins with the code, or with the name of the standard library's kind of error;
/// other runtimes' may be the system's own words. A text that isn't known is [`NetError::Other`].
pub fn from_stream_error(error: &IoError) -> NetError {
    from_text(&error.to_debug_string())
}

fn from_text(text: &str) -> NetError {
    // With RUST_BACKTRACE set, wasmtime's has a backtrace behind it, in which anything may be named.
    let text = text.split("Stack backtrace").next().unwrap_or_default();
    let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
    if has(&[
        "ConnectionReset",
        "connection-reset",
        "ConnectionBroken",
        "BrokenPipe",
        "NotConnected",
        // It was connected, or there would be no stream: now it isn't any more.
        "InvalidState",
        "invalid-state",
        // What is in place of these where a runtime hands on the system's own words.
        "Connection reset",
        "Broken pipe",
        "not connected",
    ]) {
        NetError::ConnectionReset
    } else if has(&["UnexpectedEof", "close_notify"]) {
        NetError::Truncated
    } else if has(&[
        "ConnectionAborted",
        "connection-aborted",
        "connection abort",
    ]) {
        NetError::ConnectionAborted
    } else if has(&["Timeout", "TimedOut", "timeout"]) {
        NetError::TimedOut
    } else if has(&["Unreachable", "remote-unreachable"]) {
        NetError::Unreachable
    } else {
        NetError::Other
    }
}

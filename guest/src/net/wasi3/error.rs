//! The tables from WASI 0.3 error codes to [`NetError`].

use crate::bindings::wasi::sockets::{ip_name_lookup, types};
use crate::net::NetError;

impl From<types::ErrorCode> for NetError {
    fn from(code: types::ErrorCode) -> Self {
        use types::ErrorCode;
        match code {
            ErrorCode::AccessDenied => Self::Denied,
            ErrorCode::NotSupported => Self::NotSupported,
            ErrorCode::Timeout => Self::TimedOut,
            ErrorCode::OutOfMemory => Self::NoSocketsLeft,
            ErrorCode::AddressInUse => Self::AddressInUse,
            ErrorCode::RemoteUnreachable => Self::Unreachable,
            ErrorCode::ConnectionRefused => Self::ConnectionRefused,
            // Broken: the peer has closed, so it takes no more bytes.
            ErrorCode::ConnectionReset | ErrorCode::ConnectionBroken => Self::ConnectionReset,
            ErrorCode::ConnectionAborted => Self::ConnectionAborted,
            // An argument is invalid if the address can't be used: a multicast address to connect
            // to, port 0.
            ErrorCode::InvalidArgument | ErrorCode::AddressNotBindable => Self::AddressNotBindable,
            // The text of sockbox's host. Other hosts give no text or a different one.
            ErrorCode::Other(Some(text)) if text == "no sockets left" => Self::NoSocketsLeft,
            ErrorCode::InvalidState | ErrorCode::DatagramTooLarge | ErrorCode::Other(_) => {
                Self::Other
            }
        }
    }
}

impl From<ip_name_lookup::ErrorCode> for NetError {
    fn from(code: ip_name_lookup::ErrorCode) -> Self {
        use ip_name_lookup::ErrorCode;
        match code {
            ErrorCode::AccessDenied => Self::Denied,
            // An invalid argument is a text that can't be a host name.
            ErrorCode::InvalidArgument | ErrorCode::NameUnresolvable => Self::NameUnresolvable,
            ErrorCode::TemporaryResolverFailure => Self::TemporaryResolverFailure,
            ErrorCode::PermanentResolverFailure => Self::PermanentResolverFailure,
            ErrorCode::Other(_) => Self::Other,
        }
    }
}

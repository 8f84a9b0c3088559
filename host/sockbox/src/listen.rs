//! Listening for a component, which then gets the socket or the clients.

use crate::error::{Error, NetworkError, Result};
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};

/// Listen on an address.
///
/// # Errors
/// [`Error::ListenFailed`].
pub(crate) fn listen(address: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(address).map_err(|error| Error::ListenFailed {
        address,
        reason: match error.kind() {
            ErrorKind::AddrInUse => NetworkError::AddressInUse,
            ErrorKind::AddrNotAvailable => NetworkError::AddressNotBindable,
            ErrorKind::PermissionDenied => NetworkError::NotPermitted,
            _ => NetworkError::Other,
        },
    })
}

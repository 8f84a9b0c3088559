//! The owner of the two streams of a connection.

use crate::bindings::wasi::sockets::network::ErrorCode;
use crate::bindings::wasi::sockets::tcp::{ShutdownType, TcpSocket};
#[cfg(feature = "tls")]
use crate::bindings::wasi::tls::types::ClientConnection;
use crate::net::NetError;

/// The resource that owns the two streams of a connection. The streams have to be dropped before
/// it.
pub enum Base {
    /// The socket.
    Plain(TcpSocket),
    /// A TLS connection, and the socket below it.
    #[cfg(feature = "tls")]
    Tls {
        connection: ClientConnection,
        _socket: TcpSocket,
    },
}

impl Base {
    /// Shuts down the sending side.
    pub fn shut_sending_down(&self) -> Result<(), NetError> {
        match self {
            Self::Plain(socket) => match socket.shutdown(ShutdownType::Send) {
                // It was connected, so the peer has reset the connection.
                Err(ErrorCode::InvalidState) => Err(NetError::ConnectionReset),
                done => Ok(done?),
            },
            #[cfg(feature = "tls")]
            Self::Tls { connection, .. } => {
                connection.close_output();
                Ok(())
            }
        }
    }
}

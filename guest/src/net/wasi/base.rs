//! What the two streams of a connection belong to.

use crate::bindings::wasi::sockets::network::ErrorCode;
use crate::bindings::wasi::sockets::tcp::{ShutdownType, TcpSocket};
#[cfg(feature = "tls")]
use crate::bindings::wasi::tls::types::ClientConnection;
use crate::net::NetError;

/// What the two streams of a connection belong to, and have to be gone before.
pub enum Base {
    /// The socket.
    Plain(TcpSocket),
    /// TLS, and below it the socket.
    #[cfg(feature = "tls")]
    Tls {
        connection: ClientConnection,
        _socket: TcpSocket,
    },
}

impl Base {
    /// Tells the peer that no more will come.
    pub fn shut_sending_down(&self) -> Result<(), NetError> {
        match self {
            Self::Plain(socket) => match socket.shutdown(ShutdownType::Send) {
                // It was connected, so this is a connection that the peer has reset.
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

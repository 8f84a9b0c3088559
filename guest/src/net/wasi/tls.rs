//! TLS on a connection, by `wasi:tls`.

use super::WasiNet;
use super::base::Base;
use super::reactor::Urgency;
use super::tcp::TcpStream;
use crate::bindings::wasi::tls::types::{ClientHandshake, FutureClientStreams};
use crate::net::{Stream, TlsError};

/// Agrees upon TLS with the server of this name, or of this address.
pub async fn secure(net: &WasiNet, stream: TcpStream, server: &str) -> Result<TcpStream, TlsError> {
    let ends = (stream.local_addr(), stream.remote_addr());
    // Dropped in the reverse order of their names here, and the host wants children gone first.
    let (socket, future): (_, FutureClientStreams) = match stream.into_parts() {
        Some((Base::Plain(socket), input, output)) => {
            let handshake = ClientHandshake::new(server, input, output);
            (socket, ClientHandshake::finish(handshake))
        }
        _ => return Err(TlsError::Failed("there is TLS on it already".to_owned())),
    };
    let ready = net
        .reactor()
        .register(future.subscribe(), Urgency::Scheduled);
    loop {
        match future.get() {
            None => ready.ready().await,
            Some(Ok(Ok((connection, input, output)))) => {
                let base = Base::Tls {
                    connection,
                    _socket: socket,
                };
                let reactor = net.reactor().clone();
                return Ok(TcpStream::from_parts(reactor, ends, base, input, output));
            }
            Some(Ok(Err(error))) => return Err(TlsError::from_text(&error.to_debug_string())),
            // Asked once too often: not by this loop.
            Some(Err(())) => return Err(TlsError::Failed("the runtime gave no answer".to_owned())),
        }
    }
}

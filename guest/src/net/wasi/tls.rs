//! TLS on a connection, with `wasi:tls`.

use super::base::Base;
use super::reactor::{Reactor, Urgency};
use super::tcp::TcpStream;
use crate::bindings::wasi::tls::types::{ClientHandshake, FutureClientStreams};
use crate::net::{Stream, TlsError};
use std::rc::Rc;

/// Runs the TLS handshake with the server of this name or address.
pub async fn handshake(
    reactor: &Rc<Reactor>,
    stream: TcpStream,
    server: &str,
) -> Result<TcpStream, TlsError> {
    let ends = (stream.local_addr(), stream.remote_addr());
    // They are dropped in the reverse order of declaration, and the host requires children to be
    // dropped first.
    let (socket, future): (_, FutureClientStreams) = match stream.into_parts() {
        Some((Base::Plain(socket), input, output)) => {
            let handshake = ClientHandshake::new(server, input, output);
            (socket, ClientHandshake::finish(handshake))
        }
        _ => {
            return Err(TlsError::Failed(
                "the connection already uses TLS".to_owned(),
            ));
        }
    };
    let ready = reactor.register(future.subscribe(), Urgency::Scheduled);
    loop {
        match future.get() {
            None => ready.ready().await,
            Some(Ok(Ok((connection, input, output)))) => {
                let base = Base::Tls {
                    connection,
                    _socket: socket,
                };
                let reactor = reactor.clone();
                return Ok(TcpStream::from_parts(reactor, ends, base, input, output));
            }
            Some(Ok(Err(error))) => return Err(TlsError::from_text(&error.to_debug_string())),
            // The result was already taken, which this loop never does.
            Some(Err(())) => return Err(TlsError::Failed("the runtime gave no answer".to_owned())),
        }
    }
}

//! A connection to a server.

use super::io::Io;
use super::request_body::RequestBody;
use crate::budget::Charge;
use hyper::client::conn::http1::{Connection, SendRequest};
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

/// An HTTP/1.1 connection to a server.
pub(super) struct Connected {
    pub(super) sender: SendRequest<RequestBody>,
    connection: Pin<Box<Connection<Io, RequestBody>>>,
    /// The server's address. None if a proxy has resolved the server's name.
    pub(super) address: Option<SocketAddr>,
    /// The connection's share of the run's memory.
    _charge: Charge,
}

impl Connected {
    pub(super) fn new(
        sender: SendRequest<RequestBody>,
        connection: Connection<Io, RequestBody>,
        address: Option<SocketAddr>,
        charge: Charge,
    ) -> Connected {
        Connected {
            sender,
            connection: Box::pin(connection),
            address,
            _charge: charge,
        }
    }

    /// Whether the host can send another request on this connection. It can't if the server has closed the connection,
    /// or has sent bytes without a request.
    pub(super) fn is_usable(&mut self) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        self.connection.as_mut().poll(&mut cx).is_pending() && self.sender.is_ready()
    }

    /// Read and write. Ready when the connection has ended.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        // hyper reports an error to the response or to its body as well, so this one can be dropped.
        self.connection.as_mut().poll(cx).map(drop)
    }
}

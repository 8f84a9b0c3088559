//! UDP sockets of WASI 0.3 on the run's private loopback.

use super::{View, code};
use crate::sockets::private::Inbox;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use wasmtime::component::Resource;
use wasmtime_wasi::p3::bindings::sockets::types::{
    ErrorCode, HostUdpSocket, IpAddressFamily, UdpSocket,
};
use wasmtime_wasi::p3::sockets::SocketResult;

type Done = Result<(), ErrorCode>;

/// A function here returns None if the call is not about the private loopback.
impl View<'_> {
    /// The datagrams that wait for a private socket.
    pub(super) fn inbox(&self, socket: &Resource<UdpSocket>) -> Option<Arc<Inbox>> {
        let private = self.0.ctx.sockets.datagrams.get(socket.rep());
        private.map(|private| private.inbox.clone())
    }

    /// Bind a socket.
    pub(super) fn bind_datagrams(
        &mut self,
        socket: &Resource<UdpSocket>,
        address: SocketAddr,
    ) -> Option<Done> {
        let may_be_bound = self.may_be_bound(socket, address);
        let rep = socket.rep();
        let bound = self
            .0
            .bind_datagrams_privately(rep, address, may_be_bound)?;
        if bound.is_ok() {
            // On WASI 0.3 binding has one step.
            self.0.finish_private_datagrams(rep);
        }
        Some(bound.map_err(code))
    }

    /// Connect a socket, if the socket is private, or is not bound and the peer is private.
    pub(super) fn connect_datagrams(
        &mut self,
        socket: &Resource<UdpSocket>,
        to: SocketAddr,
    ) -> Option<Done> {
        if let Err(error) = self.join(socket, Some(to))? {
            return Some(Err(error));
        }
        let connected = self.0.connect_datagrams_privately(socket.rep(), to);
        Some(connected.map_err(code))
    }

    /// Send a datagram, if the socket is private, or is not bound and the receiver is private. `data` is taken then.
    pub(super) fn send_privately(
        &mut self,
        socket: &Resource<UdpSocket>,
        to: Option<SocketAddr>,
        data: &mut Option<Vec<u8>>,
    ) -> Option<SocketResult<()>> {
        if let Err(error) = self.join(socket, to)? {
            return Some(Err(error.into()));
        }
        let data = data.take().unwrap_or_default();
        let sent = self.0.send_privately(socket.rep(), to, data);
        Some(sent.map_err(|error| code(error).into()))
    }

    /// Make a socket private that is not bound and whose destination is private.
    fn join(&mut self, socket: &Resource<UdpSocket>, to: Option<SocketAddr>) -> Option<Done> {
        let rep = socket.rep();
        if self.0.ctx.sockets.datagrams.get(rep).is_some() {
            return Some(Ok(()));
        }
        let to = to.filter(|to| self.0.ctx.sockets.datagrams.receives(*to))?;
        if !self.may_be_bound(socket, to) {
            return None;
        }
        let any = match to {
            SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
            SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
        };
        let bound = self.0.ctx.sockets.datagrams.bind(rep, any, |_| false);
        self.0.finish_private_datagrams(rep);
        Some(bound.map_err(code))
    }

    /// Whether wasmtime-wasi could bind the socket to an address of this family: it is not bound yet.
    fn may_be_bound(&mut self, socket: &Resource<UdpSocket>, address: SocketAddr) -> bool {
        let borrowed = || Resource::new_borrow(socket.rep());
        let mut theirs = self.0.sockets();
        let family = HostUdpSocket::get_address_family(&mut theirs, borrowed());
        let is_ipv4 = matches!(family, Ok(IpAddressFamily::Ipv4));
        let is_new = HostUdpSocket::get_local_address(&mut theirs, borrowed()).is_err();
        is_new && family.is_ok() && is_ipv4 == address.is_ipv4()
    }
}

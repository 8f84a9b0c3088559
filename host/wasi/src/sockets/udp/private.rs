//! UDP sockets of WASI 0.2 on the run's private loopback, and their streams.
//!
//! The streams are this module's own. The component uses their numbers, as it uses those of wasmtime-wasi's streams.

use super::Streams;
use crate::ctx::SockboxCtxView;
use crate::sockets::private::Inbox;
use std::any::Any;
use std::net::SocketAddr;
use std::sync::Arc;
use wasmtime::component::Resource;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::p2::bindings::sockets::network::{ErrorCode, IpAddressFamily};
use wasmtime_wasi::p2::bindings::sockets::udp::{
    HostUdpSocket, IncomingDatagram, IncomingDatagramStream, OutgoingDatagram,
    OutgoingDatagramStream,
};
use wasmtime_wasi::p2::{DynPollable, Pollable, UdpSocket, subscribe};

/// The most datagrams that one call receives or sends: 16, as in wasmtime-wasi.
const MOST_DATAGRAMS: u64 = 16;

/// The bytes after which a call receives no further datagram: 64 KiB.
const MOST_BYTES: usize = 64 * 1024;

struct Incoming(Arc<Inbox>);

struct Outgoing {
    /// The number of the socket.
    socket: u32,
    /// How many datagrams the next call of `send` may have.
    permit: u64,
}

#[async_trait]
impl Pollable for Incoming {
    async fn ready(&mut self) {
        self.0.arrival().await;
    }
}

#[async_trait]
impl Pollable for Outgoing {
    /// It can always send: what does not fit is lost.
    async fn ready(&mut self) {}
}

/// A function here returns None if the socket or the stream is not private. The caller then uses wasmtime-wasi.
impl SockboxCtxView<'_> {
    /// Handle `start-bind`.
    pub(super) fn bind_privately(
        &mut self,
        this: &Resource<UdpSocket>,
        address: SocketAddr,
    ) -> wasmtime::Result<Option<Result<(), ErrorCode>>> {
        let borrowed = || Resource::new_borrow(this.rep());
        let mut theirs = self.sockets();
        let is_ipv4 = theirs.address_family(borrowed())? == IpAddressFamily::Ipv4;
        let is_new = theirs.local_address(borrowed()).is_err();
        let may_be_bound = is_new && is_ipv4 == address.is_ipv4();
        Ok(self.bind_datagrams_privately(this.rep(), address, may_be_bound))
    }

    /// Handle `stream`.
    pub(super) fn private_streams(
        &mut self,
        this: &Resource<UdpSocket>,
        remote: Option<SocketAddr>,
    ) -> wasmtime::Result<Option<Result<Streams, ErrorCode>>> {
        let rep = this.rep();
        let Some(private) = self.ctx.sockets.datagrams.get(rep) else {
            return Ok(None);
        };
        let inbox = private.inbox.clone();
        if private.is_binding {
            return Ok(Some(Err(ErrorCode::InvalidState)));
        }
        let is_stream = |child: &(dyn Any + Send)| child.is::<Incoming>() || child.is::<Outgoing>();
        let has_streams = self.table.iter_children(this)?.any(is_stream);
        if has_streams {
            wasmtime::bail!("UDP streams not dropped yet");
        }
        match remote {
            None => self.ctx.sockets.datagrams.connect(rep, None),
            Some(remote) => {
                if let Err(code) = self.connect_datagrams_privately(rep, remote) {
                    return Ok(Some(Err(code)));
                }
            }
        }
        let outgoing = Outgoing {
            socket: rep,
            permit: 0,
        };
        let incoming = self.table.push_child(Incoming(inbox), this)?;
        let outgoing = self.table.push_child(outgoing, this)?;
        Ok(Some(Ok((
            Resource::new_own(incoming.rep()),
            Resource::new_own(outgoing.rep()),
        ))))
    }

    fn incoming(&self, this: &Resource<IncomingDatagramStream>) -> Option<&Incoming> {
        let this = Resource::<Incoming>::new_borrow(this.rep());
        self.table.get(&this).ok()
    }

    fn outgoing(&mut self, this: &Resource<OutgoingDatagramStream>) -> Option<&mut Outgoing> {
        let this = Resource::<Outgoing>::new_borrow(this.rep());
        self.table.get_mut(&this).ok()
    }

    /// Handle `receive`.
    pub(super) fn receive_private(
        &self,
        this: &Resource<IncomingDatagramStream>,
        most: u64,
    ) -> Option<Vec<IncomingDatagram>> {
        let inbox = &self.incoming(this)?.0;
        let mut received = Vec::new();
        let mut bytes = 0;
        while (received.len() as u64) < most.min(MOST_DATAGRAMS)
            && bytes < MOST_BYTES
            && let Some((data, from)) = self.receive_privately(inbox)
        {
            bytes += data.len() + 1;
            received.push(IncomingDatagram {
                data,
                remote_address: from.into(),
            });
        }
        Some(received)
    }

    /// Handle `check-send`.
    pub(super) fn check_private_send(
        &mut self,
        this: &Resource<OutgoingDatagramStream>,
    ) -> Option<u64> {
        self.outgoing(this)?.permit = MOST_DATAGRAMS;
        Some(MOST_DATAGRAMS)
    }

    /// Handle `send`. `datagrams` is empty afterwards, unless the stream is not private.
    pub(super) fn send_private(
        &mut self,
        this: &Resource<OutgoingDatagramStream>,
        datagrams: &mut Vec<OutgoingDatagram>,
    ) -> wasmtime::Result<Option<Result<u64, ErrorCode>>> {
        let Some(outgoing) = self.outgoing(this) else {
            return Ok(None);
        };
        let datagrams = std::mem::take(datagrams);
        if datagrams.is_empty() {
            return Ok(Some(Ok(0)));
        }
        if datagrams.len() as u64 > std::mem::take(&mut outgoing.permit) {
            wasmtime::bail!("unpermitted: argument exceeds permitted size");
        }
        let socket = outgoing.socket;
        let mut sent = 0;
        for datagram in datagrams {
            let to = datagram.remote_address.map(SocketAddr::from);
            match self.send_privately(socket, to, datagram.data) {
                Ok(()) => sent += 1,
                // An error is for a call that has sent nothing.
                Err(_) if sent > 0 => break,
                Err(code) => return Ok(Some(Err(code))),
            }
        }
        Ok(Some(Ok(sent)))
    }

    /// Handle `incoming-datagram-stream.subscribe`.
    pub(super) fn subscribe_to_private_incoming(
        &mut self,
        this: &Resource<IncomingDatagramStream>,
    ) -> Option<wasmtime::Result<Resource<DynPollable>>> {
        self.incoming(this)?;
        let this = Resource::<Incoming>::new_borrow(this.rep());
        Some(subscribe(self.table, this))
    }

    /// Handle `outgoing-datagram-stream.subscribe`.
    pub(super) fn subscribe_to_private_outgoing(
        &mut self,
        this: &Resource<OutgoingDatagramStream>,
    ) -> Option<wasmtime::Result<Resource<DynPollable>>> {
        self.outgoing(this)?;
        let this = Resource::<Outgoing>::new_borrow(this.rep());
        Some(subscribe(self.table, this))
    }

    /// Drop a stream that receives. Returns whether it is private.
    pub(super) fn drop_private_incoming(&mut self, rep: u32) -> wasmtime::Result<bool> {
        let is_private = self.incoming(&Resource::new_borrow(rep)).is_some();
        if is_private {
            self.table.delete(Resource::<Incoming>::new_own(rep))?;
        }
        Ok(is_private)
    }

    /// Drop a stream that sends. Returns whether it is private.
    pub(super) fn drop_private_outgoing(&mut self, rep: u32) -> wasmtime::Result<bool> {
        let is_private = self.outgoing(&Resource::new_borrow(rep)).is_some();
        if is_private {
            self.table.delete(Resource::<Outgoing>::new_own(rep))?;
        }
        Ok(is_private)
    }
}

//! The component's calls on UDP sockets: those of wasmtime-wasi, counted and bounded.

use super::{HasSockets, View, no_more, none_left, theirs};
use crate::budget::Charge;
use crate::ctx::SockboxView;
use crate::sockets::meter::{Direction, Meter};
use crate::sockets::no_files_left;
use sockbox_policy::{Limit, Target};
use std::net::SocketAddr;
use std::sync::Arc;
use wasmtime::component::{Accessor, Resource};
use wasmtime_wasi::p3::bindings::sockets::types::{
    ErrorCode, HostUdpSocket, HostUdpSocketWithStore, IpAddressFamily, IpSocketAddress, UdpSocket,
};
use wasmtime_wasi::p3::sockets::SocketResult;
use wasmtime_wasi::sockets::WasiSockets;

/// The most bytes of a datagram.
const MOST: usize = u16::MAX as usize;

/// What a call that waits takes of the run's memory: wasmtime-wasi makes a buffer of 64 KiB for each that receives.
const RECEIVING: u64 = 64 * 1024;

impl View<'_> {
    /// Take so many bytes of the run's memory.
    fn charge(&mut self, bytes: u64) -> SocketResult<Charge> {
        let charge = self.0.ctx.limiter.memory().charge(bytes);
        charge.ok_or_else(|| {
            self.0.ctx.authority.reached(Limit::Memory, None);
            ErrorCode::OutOfMemory.into()
        })
    }

    fn meter(&self) -> Arc<Meter> {
        self.0.ctx.sockets.meter.clone()
    }

    /// The peer that the socket is connected to.
    fn connected_to(&mut self, socket: &Resource<UdpSocket>) -> Option<SocketAddr> {
        let socket = Resource::new_borrow(socket.rep());
        let connected = self.0.sockets().get_remote_address(socket);
        connected.ok().map(SocketAddr::from)
    }

    /// Count a datagram in the traffic that is recorded.
    fn record(&mut self, peer: SocketAddr, count: impl FnOnce(&crate::authority::Account)) {
        if let Some(account) = self.0.account_with(peer) {
            count(account);
        }
    }
}

/// Wait for bandwidth, and count so many bytes.
///
/// # Errors
/// The limit on bytes refuses them. What was counted is given back.
async fn pass(direction: &Direction, bytes: u64, target: Target) -> Result<(), ErrorCode> {
    let reserved = direction.reserve(bytes);
    if reserved < bytes {
        direction.give_back(reserved);
        direction.refused(Some(&target));
        return Err(no_more(direction.limit()));
    }
    direction.flows(Some(&target)).await;
    direction.flowed(bytes);
    Ok(())
}

impl<T: SockboxView> HostUdpSocketWithStore<T> for HasSockets {
    async fn send(
        store: &Accessor<T, Self>,
        socket: Resource<UdpSocket>,
        data: Vec<u8>,
        remote_address: Option<IpSocketAddress>,
    ) -> SocketResult<()> {
        if data.len() > MOST {
            return Err(ErrorCode::DatagramTooLarge.into());
        }
        let asked = remote_address.map(SocketAddr::from);
        let mut data = Some(data);
        let sent = store.with(|mut store| store.get().send_privately(&socket, asked, &mut data));
        if let Some(sent) = sent {
            return sent;
        }
        let data = data.unwrap_or_default();
        let bytes = data.len() as u64;
        let (meter, peer, _charge) = store.with(|mut store| {
            let mut view = store.get();
            let connected = || view.connected_to(&socket);
            let peer = remote_address.map(SocketAddr::from).or_else(connected);
            SocketResult::Ok((view.meter(), peer, view.charge(bytes)?))
        })?;
        // Without one, wasmtime-wasi refuses the datagram.
        if let Some(peer) = peer {
            pass(&meter.sent, bytes, Target::UdpSend(peer)).await?;
        }
        let inner = store.with_getter::<WasiSockets>(theirs::<T>);
        let sent =
            <WasiSockets as HostUdpSocketWithStore<T>>::send(&inner, socket, data, remote_address)
                .await;
        match (&sent, peer) {
            (Ok(()), Some(peer)) => store.with(|mut store| {
                store
                    .get()
                    .record(peer, |account| account.datagram_sent(bytes));
            }),
            (Err(_), Some(_)) => meter.sent.give_back(bytes),
            (_, None) => {}
        }
        sent
    }

    async fn receive(
        store: &Accessor<T, Self>,
        socket: Resource<UdpSocket>,
    ) -> SocketResult<(Vec<u8>, IpSocketAddress)> {
        let inbox = store.with(|mut store| store.get().inbox(&socket));
        if let Some(inbox) = inbox {
            loop {
                let received = store.with(|mut store| store.get().0.receive_privately(&inbox));
                match received {
                    Some((data, from)) => return Ok((data, from.into())),
                    None => inbox.arrival().await,
                }
            }
        }
        let (meter, _charge) = store.with(|mut store| {
            let mut view = store.get();
            SocketResult::Ok((view.meter(), view.charge(RECEIVING)?))
        })?;
        // Until there is bandwidth, the system keeps the datagrams, as far as it has room.
        meter.received.flows(None).await;
        let inner = store.with_getter::<WasiSockets>(theirs::<T>);
        let received = <WasiSockets as HostUdpSocketWithStore<T>>::receive(&inner, socket).await?;
        let (data, from) = received;
        let (bytes, peer) = (data.len() as u64, SocketAddr::from(from));
        let reserved = meter.received.reserve(bytes);
        if reserved < bytes {
            meter.received.give_back(reserved);
            meter.received.refused(Some(&Target::UdpReceive(peer)));
            return Err(no_more(Limit::ReceivedBytes).into());
        }
        meter.received.flowed(bytes);
        store.with(|mut store| {
            store
                .get()
                .record(peer, |account| account.datagram_received(bytes));
        });
        Ok((data, from))
    }
}

impl HostUdpSocket for View<'_> {
    async fn bind(
        &mut self,
        socket: Resource<UdpSocket>,
        local_address: IpSocketAddress,
    ) -> SocketResult<()> {
        if let Some(bound) = self.bind_datagrams(&socket, local_address.into()) {
            return Ok(bound?);
        }
        self.0.sockets().bind(socket, local_address).await
    }

    async fn connect(
        &mut self,
        socket: Resource<UdpSocket>,
        remote_address: IpSocketAddress,
    ) -> SocketResult<()> {
        if let Some(connected) = self.connect_datagrams(&socket, remote_address.into()) {
            return Ok(connected?);
        }
        self.0.sockets().connect(socket, remote_address).await
    }

    async fn create(
        &mut self,
        address_family: IpAddressFamily,
    ) -> SocketResult<Resource<UdpSocket>> {
        if !self.0.has_socket_left() {
            return Err(none_left().into());
        }
        match self.0.sockets().create(address_family).await {
            Ok(made) => {
                self.0.ctx.sockets.count.opened();
                self.0.ctx.authority.has_room(Limit::Sockets);
                Ok(made)
            }
            Err(error) => Err(match error.downcast() {
                Ok(ErrorCode::Other(None)) if no_files_left() => none_left().into(),
                Ok(code) => code.into(),
                Err(error) => wasmtime_wasi::p3::sockets::SocketError::trap(error),
            }),
        }
    }

    fn disconnect(&mut self, socket: Resource<UdpSocket>) -> SocketResult<()> {
        let rep = socket.rep();
        if let Some(private) = self.0.ctx.sockets.datagrams.get(rep) {
            if private.remote.is_none() {
                return Err(ErrorCode::InvalidState.into());
            }
            self.0.ctx.sockets.datagrams.connect(rep, None);
            return Ok(());
        }
        self.0.sockets().disconnect(socket)
    }

    fn get_local_address(&mut self, socket: Resource<UdpSocket>) -> SocketResult<IpSocketAddress> {
        if let Some(private) = self.0.ctx.sockets.datagrams.get(socket.rep()) {
            return Ok(private.local.into());
        }
        HostUdpSocket::get_local_address(&mut self.0.sockets(), socket)
    }

    fn get_remote_address(&mut self, socket: Resource<UdpSocket>) -> SocketResult<IpSocketAddress> {
        if let Some(private) = self.0.ctx.sockets.datagrams.get(socket.rep()) {
            let remote = private.remote.ok_or(ErrorCode::InvalidState)?;
            return Ok(remote.into());
        }
        HostUdpSocket::get_remote_address(&mut self.0.sockets(), socket)
    }

    fn get_address_family(
        &mut self,
        socket: Resource<UdpSocket>,
    ) -> wasmtime::Result<IpAddressFamily> {
        HostUdpSocket::get_address_family(&mut self.0.sockets(), socket)
    }

    fn get_unicast_hop_limit(&mut self, socket: Resource<UdpSocket>) -> SocketResult<u8> {
        self.0.sockets().get_unicast_hop_limit(socket)
    }

    fn set_unicast_hop_limit(
        &mut self,
        socket: Resource<UdpSocket>,
        value: u8,
    ) -> SocketResult<()> {
        HostUdpSocket::set_unicast_hop_limit(&mut self.0.sockets(), socket, value)
    }

    fn get_receive_buffer_size(&mut self, socket: Resource<UdpSocket>) -> SocketResult<u64> {
        HostUdpSocket::get_receive_buffer_size(&mut self.0.sockets(), socket)
    }

    fn set_receive_buffer_size(
        &mut self,
        socket: Resource<UdpSocket>,
        value: u64,
    ) -> SocketResult<()> {
        HostUdpSocket::set_receive_buffer_size(&mut self.0.sockets(), socket, value)
    }

    fn get_send_buffer_size(&mut self, socket: Resource<UdpSocket>) -> SocketResult<u64> {
        HostUdpSocket::get_send_buffer_size(&mut self.0.sockets(), socket)
    }

    fn set_send_buffer_size(
        &mut self,
        socket: Resource<UdpSocket>,
        value: u64,
    ) -> SocketResult<()> {
        HostUdpSocket::set_send_buffer_size(&mut self.0.sockets(), socket, value)
    }

    fn drop(&mut self, socket: Resource<UdpSocket>) -> wasmtime::Result<()> {
        let rep = socket.rep();
        HostUdpSocket::drop(&mut self.0.sockets(), socket)?;
        self.0.ctx.sockets.datagrams.closed(rep);
        self.0.ctx.sockets.count.closed();
        Ok(())
    }
}

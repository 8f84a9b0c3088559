//! UDP: its sockets count with those of TCP, and its datagrams with the bytes of their streams.

mod private;

use super::{datagrams, plain, settled};
use crate::authority::Account;
use crate::ctx::{SockboxCtxView, SockboxView};
use crate::replaced::{UDP, UDP_CREATE};
use sockbox_policy::Target;
use std::collections::HashMap;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, LinkerInstance, Resource, ResourceType};
use wasmtime_wasi::p2::bindings::sockets::network::{ErrorCode, IpAddressFamily, IpSocketAddress};
use wasmtime_wasi::p2::bindings::sockets::udp::{
    HostUdpSocket, IncomingDatagram, IncomingDatagramStream, OutgoingDatagram,
    OutgoingDatagramStream,
};
use wasmtime_wasi::p2::bindings::sockets::udp_create_socket::Host as _;
use wasmtime_wasi::p2::{Network as NetworkHandle, UdpSocket};

/// The peers that datagrams are exchanged with.
#[derive(Default)]
pub(super) struct Peers {
    /// The peers of connected streams, whose datagrams have no address, by stream number.
    connected: HashMap<u32, SocketAddr>,
    /// The account that was used last. Usually it is used again.
    latest: Option<(SocketAddr, Arc<Account>)>,
}

pub(super) fn add_to_linker<T: SockboxView>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    linker.instance(UDP_CREATE.name())?.func_wrap_async(
        UDP_CREATE.item("create-udp-socket"),
        |mut store: StoreContextMut<'_, T>,
         (family,): (IpAddressFamily,)|
         -> Box<dyn Future<Output = _> + Send + '_> {
            Box::new(async move { Ok((create(&mut store.data_mut().sockbox(), family).await?,)) })
        },
    )?;
    let mut udp = linker.instance(UDP.name())?;
    udp.resource(
        UDP.item("udp-socket"),
        ResourceType::host::<UdpSocket>(),
        |mut store: StoreContextMut<'_, T>, rep| {
            let mut state = store.data_mut().sockbox();
            HostUdpSocket::drop(&mut state.sockets(), Resource::new_own(rep))?;
            state.ctx.sockets.datagrams.closed(rep);
            state.ctx.sockets.count.closed();
            Ok(())
        },
    )?;
    add_binding(&mut udp)?;
    udp.func_wrap_async(
        UDP.item("[method]udp-socket.stream"),
        |mut store: StoreContextMut<'_, T>,
         (this, remote): (Resource<UdpSocket>, Option<IpSocketAddress>)|
         -> Box<dyn Future<Output = _> + Send + '_> {
            Box::new(
                async move { Ok((stream(&mut store.data_mut().sockbox(), this, remote).await?,)) },
            )
        },
    )?;
    udp.func_wrap(
        UDP.item("[method]incoming-datagram-stream.receive"),
        |mut store: StoreContextMut<'_, T>,
         (this, most): (Resource<IncomingDatagramStream>, u64)| {
            Ok((receive(&mut store.data_mut().sockbox(), this, most)?,))
        },
    )?;
    udp.func_wrap(
        UDP.item("[method]outgoing-datagram-stream.send"),
        |mut store: StoreContextMut<'_, T>,
         (this, datagrams): (Resource<OutgoingDatagramStream>, Vec<OutgoingDatagram>)| {
            Ok((send(&mut store.data_mut().sockbox(), this, datagrams)?,))
        },
    )?;
    udp.func_wrap(
        UDP.item("[method]outgoing-datagram-stream.check-send"),
        |mut store: StoreContextMut<'_, T>, (this,): (Resource<OutgoingDatagramStream>,)| {
            let mut state = store.data_mut().sockbox();
            if let Some(permit) = state.check_private_send(&this) {
                return Ok((Ok(permit),));
            }
            Ok((datagrams::check_send(&mut state, this)?,))
        },
    )?;
    udp.func_wrap(
        UDP.item("[method]incoming-datagram-stream.subscribe"),
        |mut store: StoreContextMut<'_, T>, (this,): (Resource<IncomingDatagramStream>,)| {
            let mut state = store.data_mut().sockbox();
            if let Some(pollable) = state.subscribe_to_private_incoming(&this) {
                return Ok((pollable?,));
            }
            Ok((datagrams::subscribe_to_incoming(&mut state, this)?,))
        },
    )?;
    udp.func_wrap(
        UDP.item("[method]outgoing-datagram-stream.subscribe"),
        |mut store: StoreContextMut<'_, T>, (this,): (Resource<OutgoingDatagramStream>,)| {
            let mut state = store.data_mut().sockbox();
            if let Some(pollable) = state.subscribe_to_private_outgoing(&this) {
                return Ok((pollable?,));
            }
            Ok((datagrams::subscribe_to_outgoing(&mut state, this)?,))
        },
    )?;
    udp.resource(
        UDP.item("incoming-datagram-stream"),
        ResourceType::host::<IncomingDatagramStream>(),
        |mut store: StoreContextMut<'_, T>, rep| {
            let mut state = store.data_mut().sockbox();
            match state.drop_private_incoming(rep)? {
                true => Ok(()),
                false => datagrams::drop_incoming(&mut state, rep),
            }
        },
    )?;
    udp.resource_async(
        UDP.item("outgoing-datagram-stream"),
        ResourceType::host::<OutgoingDatagramStream>(),
        |mut store: StoreContextMut<'_, T>, rep| -> Box<dyn Future<Output = _> + Send + '_> {
            Box::new(async move {
                let mut state = store.data_mut().sockbox();
                match state.drop_private_outgoing(rep)? {
                    true => Ok(()),
                    false => datagrams::drop_outgoing(&mut state, rep).await,
                }
            })
        },
    )
}

/// Add the functions about a socket's addresses.
fn add_binding<T: SockboxView>(udp: &mut LinkerInstance<'_, T>) -> wasmtime::Result<()> {
    udp.func_wrap_async(
        UDP.item("[method]udp-socket.start-bind"),
        |mut store: StoreContextMut<'_, T>,
         (this, network, address): (
            Resource<UdpSocket>,
            Resource<NetworkHandle>,
            IpSocketAddress,
        )|
         -> Box<dyn Future<Output = _> + Send + '_> {
            Box::new(async move {
                let mut state = store.data_mut().sockbox();
                state.table.get(&network)?;
                if let Some(done) = state.bind_privately(&this, address.into())? {
                    return Ok((done,));
                }
                let done = state.sockets().start_bind(this, network, address).await;
                Ok((plain(done)?,))
            })
        },
    )?;
    udp.func_wrap(
        UDP.item("[method]udp-socket.finish-bind"),
        |mut store: StoreContextMut<'_, T>, (this,): (Resource<UdpSocket>,)| {
            let mut state = store.data_mut().sockbox();
            if let Some(done) = state.finish_private_datagrams(this.rep()) {
                return Ok((done,));
            }
            Ok((plain(state.sockets().finish_bind(this))?,))
        },
    )?;
    udp.func_wrap(
        UDP.item("[method]udp-socket.local-address"),
        |mut store: StoreContextMut<'_, T>, (this,): (Resource<UdpSocket>,)| {
            let mut state = store.data_mut().sockbox();
            if let Some(private) = state.ctx.sockets.datagrams.get(this.rep()) {
                let address = match private.is_binding {
                    true => Err(ErrorCode::InvalidState),
                    false => Ok(private.local.into()),
                };
                return Ok((address,));
            }
            Ok((plain(state.sockets().local_address(this))?,))
        },
    )?;
    udp.func_wrap(
        UDP.item("[method]udp-socket.remote-address"),
        |mut store: StoreContextMut<'_, T>, (this,): (Resource<UdpSocket>,)| {
            let mut state = store.data_mut().sockbox();
            if let Some(private) = state.ctx.sockets.datagrams.get(this.rep()) {
                let address = private.remote.map(IpSocketAddress::from);
                return Ok((address.ok_or(ErrorCode::InvalidState),));
            }
            Ok((plain(state.sockets().remote_address(this))?,))
        },
    )
}

async fn create(
    state: &mut SockboxCtxView<'_>,
    family: IpAddressFamily,
) -> wasmtime::Result<Result<Resource<UdpSocket>, ErrorCode>> {
    if !state.has_socket_left() {
        return Ok(Err(ErrorCode::NewSocketLimit));
    }
    let made = state.sockets().create_udp_socket(family).await;
    settled(state, made)
}

type Streams = (
    Resource<IncomingDatagramStream>,
    Resource<OutgoingDatagramStream>,
);

async fn stream(
    state: &mut SockboxCtxView<'_>,
    this: Resource<UdpSocket>,
    remote: Option<IpSocketAddress>,
) -> wasmtime::Result<Result<Streams, ErrorCode>> {
    let socket = this.rep();
    if let Some(streams) = state.private_streams(&this, remote.map(SocketAddr::from))? {
        return Ok(streams);
    }
    let streams = match plain(state.sockets().stream(this, remote).await)? {
        Ok(streams) => Ok(datagrams::keep(state, socket, streams)?),
        Err(code) => Err(code),
    };
    if let Ok((_, outgoing)) = &streams {
        let connected = &mut state.ctx.sockets.peers.connected;
        match remote {
            Some(remote) => connected.insert(outgoing.rep(), remote.into()),
            // The number may have been that of another stream.
            None => connected.remove(&outgoing.rep()),
        };
    }
    Ok(streams)
}

fn receive(
    state: &mut SockboxCtxView<'_>,
    this: Resource<IncomingDatagramStream>,
    most: u64,
) -> wasmtime::Result<Result<Vec<IncomingDatagram>, ErrorCode>> {
    if let Some(received) = state.receive_private(&this, most) {
        return Ok(Ok(received));
    }
    let meter = state.ctx.sockets.meter.clone();
    // With a limit, datagrams are received one by one, so that a refused datagram does not take
    // others with it.
    let bound = meter.received.is_bound() || meter.is_slow();
    let most = if bound { most.min(1) } else { most };
    if most > 0 && !meter.received.has_bandwidth(None) {
        // The system keeps them, as far as it has room.
        return Ok(Ok(Vec::new()));
    }
    let received = datagrams::receive(state, this, most)?;
    for datagram in received.iter().flatten() {
        let bytes = datagram.data.len() as u64;
        let from = SocketAddr::from(datagram.remote_address);
        if bytes > meter.received.left() {
            meter.received.refused(Some(&Target::UdpReceive(from)));
            return Ok(Err(ErrorCode::AccessDenied));
        }
        meter.received.went(bytes);
        if let Some(account) = state.account_with(from) {
            account.datagram_received(bytes);
        }
    }
    Ok(received)
}

fn send(
    state: &mut SockboxCtxView<'_>,
    this: Resource<OutgoingDatagramStream>,
    mut datagrams: Vec<OutgoingDatagram>,
) -> wasmtime::Result<Result<u64, ErrorCode>> {
    if let Some(sent) = state.send_private(&this, &mut datagrams)? {
        return Ok(sent);
    }
    let meter = state.ctx.sockets.meter.clone();
    if !meter.sent.is_bound() && !meter.is_slow() && !state.ctx.authority.keeps_accounts() {
        return datagrams::send(state, this, datagrams);
    }
    datagrams::use_permit(state, &this, datagrams.len())?;
    let connected = state.ctx.sockets.peers.connected.get(&this.rep()).copied();
    let facts: Vec<_> = datagrams
        .iter()
        .map(|datagram| {
            let named = datagram.remote_address.map(SocketAddr::from);
            (datagram.data.len() as u64, named.or(connected))
        })
        .collect();
    let mut left = meter.sent.left();
    let fitting = facts
        .iter()
        .map_while(|(bytes, _)| {
            left = left.checked_sub(*bytes)?;
            Some(())
        })
        .count();
    if let (0, Some((_, to))) = (fitting, facts.first()) {
        let target = to.map(Target::UdpSend);
        meter.sent.refused(target.as_ref());
        return Ok(Err(ErrorCode::AccessDenied));
    }
    datagrams.truncate(fitting);
    if meter.is_slow() {
        let sizes = facts.iter().map(|(bytes, _)| *bytes);
        let now = meter.sent.datagrams_at_once(sizes.take(fitting));
        if now == 0 && fitting > 0 {
            return Ok(Ok(0));
        }
        datagrams.truncate(now);
    }
    let sent = datagrams::send(state, this, datagrams)?;
    let count = sent.map_or(0, |count| usize::try_from(count).unwrap_or(usize::MAX));
    for (bytes, to) in facts.into_iter().take(count) {
        meter.sent.went(bytes);
        if let Some(account) = to.and_then(|to| state.account_with(to)) {
            account.datagram_sent(bytes);
        }
    }
    Ok(sent)
}

impl SockboxCtxView<'_> {
    /// The traffic account of the datagrams exchanged with `peer`, if traffic is recorded.
    pub(in crate::sockets) fn account_with(&mut self, peer: SocketAddr) -> Option<&Account> {
        let latest = &mut self.ctx.sockets.peers.latest;
        if latest.as_ref().is_none_or(|(address, _)| *address != peer) {
            *latest = self
                .ctx
                .authority
                .account(Target::UdpSend(peer))
                .map(|account| (peer, account));
        }
        latest.as_ref().map(|(_, account)| &**account)
    }
}

#[cfg(test)]
mod tests;

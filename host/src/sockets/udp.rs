//! UDP: its sockets count with those of TCP, and its datagrams with the bytes of their streams.

use super::{plain, settled};
use crate::policy::Target;
use crate::state::State;
use crate::traffic::Account;
use std::collections::HashMap;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, Resource, ResourceType};
use wasmtime_wasi::p2::UdpSocket;
use wasmtime_wasi::p2::bindings::sockets::network::{ErrorCode, IpAddressFamily, IpSocketAddress};
use wasmtime_wasi::p2::bindings::sockets::udp::{
    HostIncomingDatagramStream, HostOutgoingDatagramStream, HostUdpSocket, IncomingDatagram,
    IncomingDatagramStream, OutgoingDatagram, OutgoingDatagramStream,
};
use wasmtime_wasi::p2::bindings::sockets::udp_create_socket::Host as _;
use wasmtime_wasi::sockets::WasiSocketsView;

/// Whom datagrams are exchanged with.
#[derive(Default)]
pub(super) struct Peers {
    /// Whom a stream sends to that names nobody in its datagrams, by its number.
    connected: HashMap<u32, SocketAddr>,
    /// The account that was needed last: mostly it is needed again.
    latest: Option<(SocketAddr, Arc<Account>)>,
}

pub(super) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    linker
        .instance("wasi:sockets/udp-create-socket@0.2.12")?
        .func_wrap_async(
            "create-udp-socket",
            |mut store: StoreContextMut<'_, State>,
             (family,): (IpAddressFamily,)|
             -> Box<dyn Future<Output = _> + Send + '_> {
                Box::new(async move {
                    let state = store.data_mut();
                    if !state.has_socket_left() {
                        return Ok((Err(ErrorCode::NewSocketLimit),));
                    }
                    let made = state.sockets().create_udp_socket(family).await;
                    Ok((settled(state, made)?,))
                })
            },
        )?;
    let mut udp = linker.instance("wasi:sockets/udp@0.2.12")?;
    udp.resource(
        "udp-socket",
        ResourceType::host::<UdpSocket>(),
        |mut store: StoreContextMut<'_, State>, rep| {
            let state = store.data_mut();
            HostUdpSocket::drop(&mut state.sockets(), Resource::new_own(rep))?;
            state.tcp.closed();
            Ok(())
        },
    )?;
    udp.func_wrap_async(
        "[method]udp-socket.stream",
        |mut store: StoreContextMut<'_, State>,
         (this, remote): (Resource<UdpSocket>, Option<IpSocketAddress>)|
         -> Box<dyn Future<Output = _> + Send + '_> {
            Box::new(async move {
                let state = store.data_mut();
                let streams = plain(state.sockets().stream(this, remote).await)?;
                if let Ok((_, outgoing)) = &streams {
                    let connected = &mut state.tcp.peers.connected;
                    match remote {
                        Some(remote) => connected.insert(outgoing.rep(), remote.into()),
                        // The number may have been that of another stream.
                        None => connected.remove(&outgoing.rep()),
                    };
                }
                Ok((streams,))
            })
        },
    )?;
    udp.func_wrap(
        "[method]incoming-datagram-stream.receive",
        |mut store: StoreContextMut<'_, State>,
         (this, most): (Resource<IncomingDatagramStream>, u64)| {
            Ok((receive(store.data_mut(), this, most)?,))
        },
    )?;
    udp.func_wrap(
        "[method]outgoing-datagram-stream.send",
        |mut store: StoreContextMut<'_, State>,
         (this, datagrams): (Resource<OutgoingDatagramStream>, Vec<OutgoingDatagram>)| {
            Ok((send(store.data_mut(), this, datagrams)?,))
        },
    )
}

fn receive(
    state: &mut State,
    this: Resource<IncomingDatagramStream>,
    most: u64,
) -> wasmtime::Result<Result<Vec<IncomingDatagram>, ErrorCode>> {
    // Where there is a bound, each by itself: what is refused takes none with it that isn't.
    let bound = state.tcp.meter.received.is_bound();
    let most = if bound { most.min(1) } else { most };
    let received = plain(state.sockets().receive(this, most))?;
    let meter = state.tcp.meter.clone();
    for datagram in received.iter().flatten() {
        let bytes = datagram.data.len() as u64;
        let from = SocketAddr::from(datagram.remote_address);
        if bytes > meter.received.left() {
            meter.received.refused(Some(&Target::UdpReceive(from)));
            return Ok(Err(ErrorCode::AccessDenied));
        }
        meter.received.gone(bytes);
        if let Some(account) = state.account_with(from) {
            account.datagram_received(bytes);
        }
    }
    Ok(received)
}

fn send(
    state: &mut State,
    this: Resource<OutgoingDatagramStream>,
    mut datagrams: Vec<OutgoingDatagram>,
) -> wasmtime::Result<Result<u64, ErrorCode>> {
    let meter = state.tcp.meter.clone();
    if !meter.sent.is_bound() && !state.network.keeps_accounts() {
        return plain(state.sockets().send(this, datagrams));
    }
    let connected = state.tcp.peers.connected.get(&this.rep()).copied();
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
    let sent = plain(state.sockets().send(this, datagrams))?;
    let count = sent.map_or(0, |count| usize::try_from(count).unwrap_or(usize::MAX));
    for (bytes, to) in facts.into_iter().take(count) {
        meter.sent.gone(bytes);
        if let Some(account) = to.and_then(|to| state.account_with(to)) {
            account.datagram_sent(bytes);
        }
    }
    Ok(sent)
}

impl State {
    /// The account of the datagrams that are exchanged with `peer`, where anybody wants to know.
    fn account_with(&mut self, peer: SocketAddr) -> Option<&Account> {
        let latest = &mut self.tcp.peers.latest;
        if latest.as_ref().is_none_or(|(address, _)| *address != peer) {
            *latest = self
                .network
                .account(Target::UdpSend(peer))
                .map(|account| (peer, account));
        }
        latest.as_ref().map(|(_, account)| &**account)
    }
}

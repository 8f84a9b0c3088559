//! UDP: its sockets count with those of TCP, and its datagrams with the bytes of their streams.

use super::{datagrams, plain, settled};
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
    HostUdpSocket, IncomingDatagram, IncomingDatagramStream, OutgoingDatagram,
    OutgoingDatagramStream,
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
                Box::new(async move { Ok((create(store.data_mut(), family).await?,)) })
            },
        )?;
    let mut udp = linker.instance("wasi:sockets/udp@0.2.12")?;
    udp.resource(
        "udp-socket",
        ResourceType::host::<UdpSocket>(),
        |mut store: StoreContextMut<'_, State>, rep| {
            let state = store.data_mut();
            HostUdpSocket::drop(&mut state.sockets(), Resource::new_own(rep))?;
            state.tcp.count.closed();
            Ok(())
        },
    )?;
    udp.func_wrap_async(
        "[method]udp-socket.stream",
        |mut store: StoreContextMut<'_, State>,
         (this, remote): (Resource<UdpSocket>, Option<IpSocketAddress>)|
         -> Box<dyn Future<Output = _> + Send + '_> {
            Box::new(async move { Ok((stream(store.data_mut(), this, remote).await?,)) })
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
    )?;
    udp.func_wrap(
        "[method]outgoing-datagram-stream.check-send",
        |mut store: StoreContextMut<'_, State>, (this,): (Resource<OutgoingDatagramStream>,)| {
            Ok((datagrams::check_send(store.data_mut(), this)?,))
        },
    )?;
    udp.func_wrap(
        "[method]incoming-datagram-stream.subscribe",
        |mut store: StoreContextMut<'_, State>, (this,): (Resource<IncomingDatagramStream>,)| {
            Ok((datagrams::subscribe_to_incoming(store.data_mut(), this)?,))
        },
    )?;
    udp.func_wrap(
        "[method]outgoing-datagram-stream.subscribe",
        |mut store: StoreContextMut<'_, State>, (this,): (Resource<OutgoingDatagramStream>,)| {
            Ok((datagrams::subscribe_to_outgoing(store.data_mut(), this)?,))
        },
    )?;
    udp.resource(
        "incoming-datagram-stream",
        ResourceType::host::<IncomingDatagramStream>(),
        |mut store: StoreContextMut<'_, State>, rep| {
            datagrams::drop_incoming(store.data_mut(), rep)
        },
    )?;
    udp.resource_async(
        "outgoing-datagram-stream",
        ResourceType::host::<OutgoingDatagramStream>(),
        |mut store: StoreContextMut<'_, State>, rep| -> Box<dyn Future<Output = _> + Send + '_> {
            Box::new(async move { datagrams::drop_outgoing(store.data_mut(), rep).await })
        },
    )
}

async fn create(
    state: &mut State,
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
    state: &mut State,
    this: Resource<UdpSocket>,
    remote: Option<IpSocketAddress>,
) -> wasmtime::Result<Result<Streams, ErrorCode>> {
    let socket = this.rep();
    let streams = match plain(state.sockets().stream(this, remote).await)? {
        Ok(streams) => Ok(datagrams::keep(state, socket, streams)?),
        Err(code) => Err(code),
    };
    if let Ok((_, outgoing)) = &streams {
        let connected = &mut state.tcp.peers.connected;
        match remote {
            Some(remote) => connected.insert(outgoing.rep(), remote.into()),
            // The number may have been that of another stream.
            None => connected.remove(&outgoing.rep()),
        };
    }
    Ok(streams)
}

fn receive(
    state: &mut State,
    this: Resource<IncomingDatagramStream>,
    most: u64,
) -> wasmtime::Result<Result<Vec<IncomingDatagram>, ErrorCode>> {
    let meter = state.tcp.meter.clone();
    // Where there is a bound, each by itself: what is refused takes none with it that isn't.
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
    state: &mut State,
    this: Resource<OutgoingDatagramStream>,
    mut datagrams: Vec<OutgoingDatagram>,
) -> wasmtime::Result<Result<u64, ErrorCode>> {
    let meter = state.tcp.meter.clone();
    if !meter.sent.is_bound() && !meter.is_slow() && !state.network.keeps_accounts() {
        return datagrams::send(state, this, datagrams);
    }
    datagrams::use_permit(state, &this, datagrams.len())?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::{AuditEvent, RunId, Traffic, What};
    use crate::engine;
    use crate::limits::{Limit, Limits};
    use crate::network::{Network, Pins};
    use crate::policy::Policy;
    use std::sync::Mutex;
    use std::time::Duration;
    use wasmtime::{Engine, Store};
    use wasmtime_wasi::p2::Pollable as _;
    use wasmtime_wasi::p2::bindings::sockets::instance_network::Host as _;

    const DEADLINE: Duration = Duration::from_secs(60);

    type Events = Arc<Mutex<Vec<What>>>;

    fn store(limits: &Limits) -> (Store<State>, Events) {
        let events = Events::default();
        let sink = events.clone();
        let sink = move |event: &AuditEvent| sink.lock().unwrap().push(event.what.clone());
        let network = Network::new(
            RunId(1),
            Policy::everything(),
            limits,
            Pins::new(),
            None,
            Some(Arc::new(sink)),
        );
        let engine = Engine::new(&engine::config(false)).unwrap();
        let store = State::of(&engine, network, limits);
        (store, events)
    }

    /// A socket that is bound, with its streams.
    async fn bound(state: &mut State, remote: Option<SocketAddr>) -> (SocketAddr, Streams) {
        let socket = create(state, IpAddressFamily::Ipv4).await.unwrap().unwrap();
        let this = || Resource::new_borrow(socket.rep());
        let network = state.sockets().instance_network().unwrap();
        let loopback = IpSocketAddress::from(SocketAddr::from(([127, 0, 0, 1], 0)));
        let mut sockets = state.sockets();
        plain(sockets.start_bind(this(), network, loopback).await)
            .unwrap()
            .unwrap();
        plain(sockets.finish_bind(this())).unwrap().unwrap();
        let address = plain(sockets.local_address(this())).unwrap().unwrap();
        let streams = stream(state, this(), remote.map(IpSocketAddress::from));
        (address.into(), streams.await.unwrap().unwrap())
    }

    fn datagram(size: usize, to: Option<SocketAddr>) -> OutgoingDatagram {
        OutgoingDatagram {
            data: vec![7; size],
            remote_address: to.map(IpSocketAddress::from),
        }
    }

    fn peer() -> (std::net::UdpSocket, SocketAddr) {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        let address = socket.local_addr().unwrap();
        (socket, address)
    }

    fn totals(events: &Events) -> Vec<Traffic> {
        let events = events.lock().unwrap();
        let totals = events.iter().filter_map(|what| match what {
            What::Traffic(traffic) => Some(traffic.clone()),
            _ => None,
        });
        totals.collect()
    }

    fn reached(events: &Events) -> Vec<(Limit, Option<Target>)> {
        let events = events.lock().unwrap();
        let reached = events.iter().filter_map(|what| match what {
            What::Limit { limit, target } => Some((*limit, target.clone())),
            _ => None,
        });
        reached.collect()
    }

    #[tokio::test]
    async fn sockets_are_counted() {
        let (mut store, events) = store(&Limits::default().sockets(2));
        let state = store.data_mut();
        for expected in [true, true, false, false] {
            let made = create(state, IpAddressFamily::Ipv4).await.unwrap();
            assert_eq!(made.is_ok(), expected, "{made:?}");
            if let Err(code) = made {
                assert_eq!(code, ErrorCode::NewSocketLimit);
            }
        }
        assert_eq!(reached(&events), [(Limit::Sockets, None)], "told once");
        state.tcp.count.closed();
        create(state, IpAddressFamily::Ipv4).await.unwrap().unwrap();
        create(state, IpAddressFamily::Ipv4)
            .await
            .unwrap()
            .unwrap_err();
        // And again after there was room, which is counted.
        drop(store);
        assert_eq!(reached(&events).len(), 1);
        let limit = What::Limit {
            limit: Limit::Sockets,
            target: None,
        };
        let again = What::Repeated {
            what: Box::new(limit),
            count: 1,
        };
        assert!(events.lock().unwrap().contains(&again), "{events:?}");
    }

    #[tokio::test]
    async fn sending_ends_where_it_may_go_no_further() {
        for connected in [false, true] {
            let (mut store, events) = store(&Limits::default().sent_bytes(Some(100)));
            let state = store.data_mut();
            let (socket, address) = peer();
            let (_, (_, outgoing)) = bound(state, connected.then_some(address)).await;
            let to = (!connected).then_some(address);
            let mut attempt = |sizes: &[usize]| {
                let this = || Resource::new_borrow(outgoing.rep());
                datagrams::check_send(state, this()).unwrap().unwrap();
                let datagrams = sizes.iter().map(|size| datagram(*size, to)).collect();
                send(state, this(), datagrams).unwrap()
            };
            // 99, and one that doesn't fit; then up to the bound exactly; then nothing but nothing.
            assert_eq!(attempt(&[60, 39, 2]), Ok(2));
            assert_eq!(attempt(&[2]), Err(ErrorCode::AccessDenied));
            assert_eq!(attempt(&[1, 1]), Ok(1));
            assert_eq!(attempt(&[1]), Err(ErrorCode::AccessDenied));
            assert_eq!(attempt(&[0]), Ok(1));
            assert_eq!(attempt(&[]), Ok(0));
            for size in [60, 39, 1, 0] {
                assert_eq!(socket.recv(&mut [0; 1000]).unwrap(), size);
            }
            let target = Target::UdpSend(address);
            assert_eq!(reached(&events), [(Limit::SentBytes, Some(target.clone()))]);
            drop(store);
            let [total] = &totals(&events)[..] else {
                panic!("{events:?}")
            };
            assert_eq!(total.target, Some(target));
            assert_eq!((total.connections, total.sent, total.received), (4, 100, 0));
        }
    }

    #[tokio::test]
    async fn receiving_ends_where_it_may_go_no_further() {
        for (last, refused) in [(39, false), (40, false), (41, true)] {
            let (mut store, events) = store(&Limits::default().received_bytes(Some(100)));
            let state = store.data_mut();
            let (socket, address) = peer();
            let (ours, (incoming, _)) = bound(state, None).await;
            for size in [60, last] {
                socket.send_to(&vec![7; size], ours).unwrap();
            }
            let mut sizes = Vec::new();
            let outcome = loop {
                state.table.get_mut(&incoming).unwrap().ready().await;
                let this = Resource::new_borrow(incoming.rep());
                match receive(state, this, 16).unwrap() {
                    Ok(datagrams) => sizes.extend(datagrams.iter().map(|it| it.data.len())),
                    Err(code) => break Err(code),
                }
                if sizes.len() == 2 {
                    break Ok(());
                }
            };
            let received: usize = sizes.iter().sum();
            if refused {
                assert_eq!(outcome, Err(ErrorCode::AccessDenied));
                assert_eq!(sizes, [60]);
                let target = Some(Target::UdpReceive(address));
                assert_eq!(reached(&events), [(Limit::ReceivedBytes, target)]);
            } else {
                assert_eq!(outcome, Ok(()));
                assert_eq!(sizes, [60, last]);
                assert_eq!(reached(&events), []);
            }
            drop(store);
            let [total] = &totals(&events)[..] else {
                panic!("{events:?}")
            };
            assert_eq!(total.target, Some(Target::UdpSend(address)));
            assert_eq!(total.received, received as u64);
            assert_eq!(events.lock().unwrap().last(), Some(&What::Ended));
        }
    }

    async fn wait(state: &mut State, pollable: Resource<wasmtime_wasi::p2::DynPollable>) {
        use wasmtime_wasi::p2::bindings::io::poll::HostPollable as _;
        let this = Resource::new_borrow(pollable.rep());
        state.table.block(this).await.unwrap();
        state.table.drop(pollable).unwrap();
    }

    const RATE: usize = 100_000;
    const DATAGRAM: usize = 1000;

    /// Assert that no more bytes than the bandwidth allows went one way since `start`.
    #[track_caller]
    fn assert_within_bandwidth(bytes: usize, start: std::time::Instant) {
        let burst = RATE / 10 + DATAGRAM;
        let most = RATE as f64 * start.elapsed().as_secs_f64() + burst as f64;
        assert!(bytes as f64 <= most, "{bytes} bytes, {most} at most");
    }

    #[tokio::test]
    async fn what_is_sent_has_a_bandwidth() {
        let start = std::time::Instant::now();
        let (mut store, events) = store(&Limits::default().bandwidth(Some(RATE as u64)));
        let state = store.data_mut();
        let (socket, address) = peer();
        let (_, (_, outgoing)) = bound(state, None).await;
        let this = || Resource::new_borrow(outgoing.rep());
        let piece = |count| vec![datagram(DATAGRAM, Some(address)); count];
        // Without a permit it is a trap, as it is with more than that.
        send(state, this(), piece(1)).unwrap_err();
        assert_eq!(send(state, this(), Vec::new()).unwrap(), Ok(0));
        let permit = datagrams::check_send(state, this()).unwrap().unwrap();
        let count = usize::try_from(permit).unwrap();
        send(state, this(), piece(count + 1)).unwrap_err();

        let (mut sent, mut waited) = (0, 0);
        while sent < RATE / 3 {
            let permit = datagrams::check_send(state, this()).unwrap().unwrap();
            if permit == 0 {
                waited += 1;
                let pollable = datagrams::subscribe_to_outgoing(state, this()).unwrap();
                wait(state, pollable).await;
                continue;
            }
            let count = usize::try_from(permit).unwrap();
            let done = send(state, this(), piece(count)).unwrap().unwrap();
            sent += usize::try_from(done).unwrap() * DATAGRAM;
            assert_within_bandwidth(sent, start);
        }
        assert!(waited > 0, "it was ready all the time");
        assert_eq!(reached(&events), [(Limit::Bandwidth, None)]);
        // None of it was dropped on the way out.
        for _ in 0..sent / DATAGRAM {
            assert_eq!(socket.recv(&mut [0; 2 * DATAGRAM]).unwrap(), DATAGRAM);
        }
        datagrams::drop_outgoing(state, outgoing.rep())
            .await
            .unwrap();
    }

    #[tokio::test]
    async fn one_datagram_may_be_larger_than_what_may_go_at_once() {
        let (mut store, _) = store(&Limits::default().bandwidth(Some(1000)));
        let state = store.data_mut();
        let (socket, address) = peer();
        let (_, (_, outgoing)) = bound(state, Some(address)).await;
        let this = || Resource::new_borrow(outgoing.rep());
        datagrams::check_send(state, this()).unwrap().unwrap();
        let two = vec![datagram(150, None); 2];
        assert_eq!(send(state, this(), two).unwrap(), Ok(1));
        assert_eq!(socket.recv(&mut [0; 1000]).unwrap(), 150);
        assert_eq!(datagrams::check_send(state, this()).unwrap(), Ok(0));
    }

    #[tokio::test]
    async fn what_is_received_has_a_bandwidth() {
        let start = std::time::Instant::now();
        let (mut store, events) = store(&Limits::default().bandwidth(Some(RATE as u64)));
        let state = store.data_mut();
        let (socket, _) = peer();
        let (ours, (incoming, _outgoing)) = bound(state, None).await;
        // The system has room for some hundred KiB.
        for _ in 0..RATE / 3 / DATAGRAM {
            socket.send_to(&[7; DATAGRAM], ours).unwrap();
        }
        let this = || Resource::new_borrow(incoming.rep());
        let mut got = 0;
        while got < RATE / 3 / DATAGRAM * DATAGRAM {
            let datagrams = receive(state, this(), 16).unwrap().unwrap();
            if datagrams.is_empty() {
                let pollable = datagrams::subscribe_to_incoming(state, this()).unwrap();
                wait(state, pollable).await;
            }
            got += datagrams.iter().map(|it| it.data.len()).sum::<usize>();
            assert_within_bandwidth(got, start);
        }
        assert_eq!(reached(&events), [(Limit::Bandwidth, None)]);
        datagrams::drop_incoming(state, incoming.rep()).unwrap();
    }
}

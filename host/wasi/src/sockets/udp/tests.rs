use super::*;
use crate::Grant;
use crate::testing::{self, State};
use sockbox_policy::Policy;
use sockbox_policy::audit::{AuditEvent, EventKind, Traffic};
use sockbox_policy::{Limit, Limits};
use std::sync::Mutex;
use std::time::Duration;
use wasmtime::Store;
use wasmtime_wasi::p2::Pollable as _;
use wasmtime_wasi::p2::bindings::sockets::instance_network::Host as _;

const DEADLINE: Duration = Duration::from_secs(60);

type Events = Arc<Mutex<Vec<EventKind>>>;

fn store(limits: &Limits) -> (Store<State>, Events) {
    let events = Events::default();
    let sink = events.clone();
    let sink = move |event: &AuditEvent| sink.lock().unwrap().push(event.what.clone());
    let grant = Grant::new()
        .policy(Policy::everything())
        .limits(limits.clone())
        .audit(sink);
    let store = testing::store(&testing::engine(), &grant);
    (store, events)
}

/// A socket that is bound, with its streams.
async fn bound(
    state: &mut SockboxCtxView<'_>,
    remote: Option<SocketAddr>,
) -> (SocketAddr, Streams) {
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
        EventKind::Traffic(traffic) => Some(traffic.clone()),
        _ => None,
    });
    totals.collect()
}

fn reached(events: &Events) -> Vec<(Limit, Option<Target>)> {
    let events = events.lock().unwrap();
    let reached = events.iter().filter_map(|what| match what {
        EventKind::Limit { limit, target } => Some((*limit, target.clone())),
        _ => None,
    });
    reached.collect()
}

#[tokio::test]
async fn sockets_are_counted() {
    let (mut store, events) = store(&Limits::default().sockets(2));
    let state = &mut store.data_mut().sockbox();
    for expected in [true, true, false, false] {
        let made = create(state, IpAddressFamily::Ipv4).await.unwrap();
        assert_eq!(made.is_ok(), expected, "{made:?}");
        if let Err(code) = made {
            assert_eq!(code, ErrorCode::NewSocketLimit);
        }
    }
    assert_eq!(reached(&events), [(Limit::Sockets, None)], "told once");
    state.ctx.sockets.count.closed();
    create(state, IpAddressFamily::Ipv4).await.unwrap().unwrap();
    create(state, IpAddressFamily::Ipv4)
        .await
        .unwrap()
        .unwrap_err();
    // And again after there was room, which is counted.
    drop(store);
    assert_eq!(reached(&events).len(), 1);
    let limit = EventKind::Limit {
        limit: Limit::Sockets,
        target: None,
    };
    let again = EventKind::Repeated {
        what: Box::new(limit),
        count: 1,
    };
    assert!(events.lock().unwrap().contains(&again), "{events:?}");
}

#[tokio::test]
async fn sending_ends_where_it_may_go_no_further() {
    for connected in [false, true] {
        let (mut store, events) = store(&Limits::default().sent_bytes(Some(100)));
        let state = &mut store.data_mut().sockbox();
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
        let state = &mut store.data_mut().sockbox();
        let (socket, address) = peer();
        let (adopted, (incoming, _)) = bound(state, None).await;
        for size in [60, last] {
            socket.send_to(&vec![7; size], adopted).unwrap();
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
        assert_eq!(events.lock().unwrap().last(), Some(&EventKind::Ended));
    }
}

async fn wait(state: &mut SockboxCtxView<'_>, pollable: Resource<wasmtime_wasi::p2::DynPollable>) {
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
    let state = &mut store.data_mut().sockbox();
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
    let state = &mut store.data_mut().sockbox();
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
    let state = &mut store.data_mut().sockbox();
    let (socket, _) = peer();
    let (adopted, (incoming, _outgoing)) = bound(state, None).await;
    // The system has room for some hundred KiB.
    for _ in 0..RATE / 3 / DATAGRAM {
        socket.send_to(&[7; DATAGRAM], adopted).unwrap();
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

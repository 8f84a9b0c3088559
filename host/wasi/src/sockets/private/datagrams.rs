//! A run's private UDP sockets: those on 127.0.0.0/8 and `::1` that no rule grants. Their datagrams are in memory.
//!
//! Only the run itself can send to such a socket, and such a socket sends only to others of its kind. Each has an entry
//! in [`Datagrams`], and a socket of wasmtime-wasi, which stays unbound and only holds the options that the component
//! sets. As with UDP, a datagram for which there is no room is lost. The limits on bytes do not apply, because no other
//! process takes part.

use super::pipe;
use super::ports::Ports;
use crate::budget::{Budget, Charge};
use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;
use wasmtime_wasi::p2::bindings::sockets::network::ErrorCode;

/// The most bytes of datagrams that wait to be received by one socket: 256 KiB, about as many as on Linux.
const MOST_WAITING_BYTES: usize = 256 * 1024;

/// What a waiting datagram takes besides its bytes: 128 bytes. They count towards the run's memory, and towards
/// [`MOST_WAITING_BYTES`], so that empty datagrams are bounded as well.
const DATAGRAM_BYTES: usize = 128;

/// A run's private UDP sockets. A socket's number is its number in the resource table.
pub(in crate::sockets) struct Datagrams {
    memory: Arc<Budget>,
    sockets: HashMap<u32, Socket>,
    /// Where datagrams arrive, by the address that they are sent to.
    inboxes: HashMap<SocketAddr, Arc<Inbox>>,
    ports: Ports,
}

/// A private UDP socket.
pub(in crate::sockets) struct Socket {
    /// The address that the component gave. Its port may be 0.
    pub(in crate::sockets) asked: SocketAddr,
    pub(in crate::sockets) local: SocketAddr,
    /// Whether the component still has to call `finish-bind`.
    pub(in crate::sockets) is_binding: bool,
    /// The peer that the socket is connected to.
    pub(in crate::sockets) remote: Option<SocketAddr>,
    pub(in crate::sockets) inbox: Arc<Inbox>,
}

/// The datagrams that wait to be received by a socket.
pub(in crate::sockets) struct Inbox {
    memory: Arc<Budget>,
    waiting: Mutex<Waiting>,
    arrivals: Notify,
}

#[derive(Default)]
struct Waiting {
    datagrams: VecDeque<Datagram>,
    bytes: usize,
    /// The peer that a connected socket receives from.
    only_from: Option<SocketAddr>,
}

struct Datagram {
    from: SocketAddr,
    data: Vec<u8>,
    _charge: Charge,
}

/// What has become of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sockets) enum Delivery {
    Delivered,
    /// The receiver has no room for it, or is connected to another peer.
    Lost,
    /// The run has too little memory left. It is lost.
    NoMemory,
}

impl Datagrams {
    pub(in crate::sockets) fn new(memory: &Arc<Budget>) -> Datagrams {
        Datagrams {
            memory: memory.clone(),
            sockets: HashMap::new(),
            inboxes: HashMap::new(),
            ports: Ports::new(),
        }
    }

    pub(in crate::sockets) fn get(&self, rep: u32) -> Option<&Socket> {
        self.sockets.get(&rep)
    }

    pub(in crate::sockets) fn get_mut(&mut self, rep: u32) -> Option<&mut Socket> {
        self.sockets.get_mut(&rep)
    }

    /// Whether a private socket receives what is sent to this address.
    pub(in crate::sockets) fn receives(&self, address: SocketAddr) -> bool {
        self.inboxes.contains_key(&address)
    }

    /// Whether there is a private socket with addresses of this family.
    pub(in crate::sockets) fn has_any(&self, is_ipv4: bool) -> bool {
        self.inboxes.keys().any(|it| it.is_ipv4() == is_ipv4)
    }

    /// Bind the socket with this number. For port 0, choose a port for which `avoided` returns false, if one is free, and
    /// otherwise any free one. A socket that is bound to the unspecified address receives at 127.0.0.1 or `::1`.
    ///
    /// # Errors
    /// [`ErrorCode::AddressInUse`]: another private socket holds the address, or for port 0 no port is free.
    pub(in crate::sockets) fn bind(
        &mut self,
        rep: u32,
        asked: SocketAddr,
        avoided: impl Fn(SocketAddr) -> bool,
    ) -> Result<(), ErrorCode> {
        let wanted = on_loopback(asked);
        let at = match wanted.port() {
            0 => {
                let taken = |address: &SocketAddr| self.inboxes.contains_key(address);
                self.ports.choose(wanted.ip(), taken, avoided)?
            }
            _ if self.receives(wanted) => return Err(ErrorCode::AddressInUse),
            _ => wanted,
        };
        let inbox = Arc::new(Inbox {
            memory: self.memory.clone(),
            waiting: Mutex::default(),
            arrivals: Notify::new(),
        });
        self.inboxes.insert(at, inbox.clone());
        let socket = Socket {
            asked,
            local: SocketAddr::new(asked.ip(), at.port()),
            is_binding: true,
            remote: None,
            inbox,
        };
        self.sockets.insert(rep, socket);
        Ok(())
    }

    /// Connect the socket with this number to a peer, or to none. Datagrams of other peers that wait are lost.
    pub(in crate::sockets) fn connect(&mut self, rep: u32, remote: Option<SocketAddr>) {
        if let Some(socket) = self.sockets.get_mut(&rep) {
            socket.remote = remote;
            socket.inbox.receive_only_from(remote);
        }
    }

    /// Send a datagram of the socket with this number.
    pub(in crate::sockets) fn send(&self, rep: u32, to: SocketAddr, data: Vec<u8>) -> Delivery {
        match (self.sockets.get(&rep), self.inboxes.get(&to)) {
            (Some(socket), Some(inbox)) => inbox.push(on_loopback(socket.local), data),
            _ => Delivery::Lost,
        }
    }

    /// Forget the socket with this number, which the component has dropped.
    pub(in crate::sockets) fn closed(&mut self, rep: u32) {
        if let Some(socket) = self.sockets.remove(&rep) {
            self.inboxes.remove(&on_loopback(socket.local));
        }
    }
}

/// The address at which a socket that is bound to `local` receives.
fn on_loopback(local: SocketAddr) -> SocketAddr {
    let ip = match local.ip() {
        ip if !ip.is_unspecified() => ip,
        IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    };
    SocketAddr::new(ip, local.port())
}

impl Inbox {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        // The content is valid after every statement, so a panic in another thread leaves it usable.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, from: SocketAddr, data: Vec<u8>) -> Delivery {
        let mut waiting = self.waiting();
        let bytes = data.len() + DATAGRAM_BYTES;
        if waiting.only_from.is_some_and(|peer| peer != from)
            || waiting.bytes + bytes > MOST_WAITING_BYTES
        {
            return Delivery::Lost;
        }
        let Some(charge) = self.memory.charge(bytes as u64) else {
            return Delivery::NoMemory;
        };
        waiting.bytes += bytes;
        waiting.datagrams.push_back(Datagram {
            from,
            data,
            _charge: charge,
        });
        drop(waiting);
        self.arrivals.notify_waiters();
        Delivery::Delivered
    }

    /// Take the datagram that has waited longest, with the address of its sender.
    pub(in crate::sockets) fn pop(&self) -> Option<(Vec<u8>, SocketAddr)> {
        let mut waiting = self.waiting();
        let datagram = waiting.datagrams.pop_front()?;
        waiting.bytes -= datagram.data.len() + DATAGRAM_BYTES;
        Some((datagram.data, datagram.from))
    }

    fn receive_only_from(&self, peer: Option<SocketAddr>) {
        let mut waiting = self.waiting();
        waiting.only_from = peer;
        if let Some(peer) = peer {
            waiting.datagrams.retain(|datagram| datagram.from == peer);
            let sizes = waiting.datagrams.iter();
            waiting.bytes = sizes.map(|it| it.data.len() + DATAGRAM_BYTES).sum();
        }
    }

    /// Wait until a datagram waits.
    pub(in crate::sockets) async fn arrival(&self) {
        pipe::until(&self.arrivals, || !self.waiting().datagrams.is_empty()).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    /// Sockets 1 and 2, which are bound to these addresses.
    fn two(memory: &Arc<Budget>, one: &str, other: &str) -> Datagrams {
        let mut datagrams = Datagrams::new(memory);
        datagrams.bind(1, address(one), |_| false).unwrap();
        datagrams.bind(2, address(other), |_| false).unwrap();
        datagrams
    }

    #[test]
    fn ports_are_given_once_and_avoided_ones_last() {
        let mut datagrams = Datagrams::new(&Budget::new(1000));
        let bind = |datagrams: &mut Datagrams, rep, text| {
            let avoided = |it: SocketAddr| it.port() == 49_153;
            let bound = datagrams.bind(rep, address(text), avoided);
            bound.map(|()| datagrams.get(rep).unwrap().local.to_string())
        };
        for (rep, asked, expected) in [
            (1, "127.0.0.1:0", Ok("127.0.0.1:49152")),
            (2, "127.0.0.1:0", Ok("127.0.0.1:49154")),
            (3, "127.0.0.1:49154", Err(ErrorCode::AddressInUse)),
            (3, "127.0.0.2:49154", Ok("127.0.0.2:49154")),
            (4, "[::1]:49154", Ok("[::1]:49154")),
            (5, "0.0.0.0:49154", Err(ErrorCode::AddressInUse)),
            (5, "0.0.0.0:0", Ok("0.0.0.0:49155")),
        ] {
            let found = bind(&mut datagrams, rep, asked);
            assert_eq!(found, expected.map(str::to_owned), "{asked}");
        }
        assert!(datagrams.receives(address("127.0.0.1:49155")));
        datagrams.closed(5);
        assert!(!datagrams.receives(address("127.0.0.1:49155")));
        assert!(datagrams.has_any(true) && datagrams.has_any(false));
        datagrams.closed(4);
        assert!(!datagrams.has_any(false));
    }

    #[test]
    fn datagrams_arrive_in_order_with_their_senders_address() {
        let datagrams = two(&Budget::new(10_000), "127.0.0.1:7", "0.0.0.0:8");
        let (one, other) = (address("127.0.0.1:7"), address("127.0.0.1:8"));
        for data in [&b"a"[..], b"", b"ccc"] {
            assert_eq!(datagrams.send(2, one, data.to_vec()), Delivery::Delivered);
        }
        assert_eq!(datagrams.send(1, other, vec![1]), Delivery::Delivered);
        let inbox = datagrams.get(1).unwrap().inbox.clone();
        assert_eq!(inbox.pop(), Some((b"a".to_vec(), other)));
        assert_eq!(inbox.pop(), Some((Vec::new(), other)));
        assert_eq!(inbox.pop(), Some((b"ccc".to_vec(), other)));
        assert_eq!(inbox.pop(), None);
        let inbox = datagrams.get(2).unwrap().inbox.clone();
        assert_eq!(inbox.pop(), Some((vec![1], one)));
        assert_eq!(
            datagrams.send(1, address("127.0.0.1:9"), vec![1]),
            Delivery::Lost
        );
    }

    #[test]
    fn what_waits_is_bounded_and_charged() {
        let memory = Budget::new(1_000_000);
        let mut datagrams = two(&memory, "127.0.0.1:7", "127.0.0.1:8");
        let to = address("127.0.0.1:7");
        let each = 1024 + DATAGRAM_BYTES;
        let fitting = MOST_WAITING_BYTES / each;
        for number in 0..fitting + 2 {
            let expected = match number < fitting {
                true => Delivery::Delivered,
                false => Delivery::Lost,
            };
            assert_eq!(datagrams.send(2, to, vec![0; 1024]), expected, "{number}");
        }
        let held = (fitting * each) as u64;
        assert!(memory.charge(1_000_001 - held).is_none());
        assert!(memory.charge(1_000_000 - held).is_some());
        // With the first one received there is room again.
        let inbox = datagrams.get(1).unwrap().inbox.clone();
        inbox.pop().unwrap();
        assert_eq!(datagrams.send(2, to, vec![0; 1024]), Delivery::Delivered);
        drop(inbox);
        datagrams.closed(1);
        assert!(memory.charge(1_000_000).is_some());

        let datagrams = two(&Budget::new(200), "127.0.0.1:7", "127.0.0.1:8");
        assert_eq!(datagrams.send(2, to, vec![0; 72]), Delivery::Delivered);
        assert_eq!(datagrams.send(2, to, vec![]), Delivery::NoMemory);
    }

    #[test]
    fn a_connected_socket_receives_from_its_peer_alone() {
        let memory = Budget::new(10_000);
        let mut datagrams = two(&memory, "127.0.0.1:7", "127.0.0.1:8");
        datagrams
            .bind(3, address("127.0.0.1:9"), |_| false)
            .unwrap();
        let to = address("127.0.0.1:7");
        datagrams.send(2, to, vec![2]);
        datagrams.send(3, to, vec![3]);
        datagrams.connect(1, Some(address("127.0.0.1:9")));
        assert_eq!(datagrams.send(2, to, vec![2]), Delivery::Lost);
        let inbox = datagrams.get(1).unwrap().inbox.clone();
        assert_eq!(inbox.pop(), Some((vec![3], address("127.0.0.1:9"))));
        assert_eq!(inbox.pop(), None);
        datagrams.connect(1, None);
        assert_eq!(datagrams.send(2, to, vec![2]), Delivery::Delivered);
    }
}

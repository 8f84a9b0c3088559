//! The two addresses of TCP connections, as accept and connect saw them.
//!
//! The system forgets the address of a peer that has reset the connection (`getpeername` fails with
//! ENOTCONN). A program that asks for it then takes the failure for one of its own: wasi-libc, and so any
//! server in C, Python or Rust, aborts. So the addresses from accept and connect are remembered as long
//! as the socket exists.
//!
//! wasmtime-wasi exposes the addresses only where it asks whether an address may be used. So each socket
//! gets its own address check, which [notes](Seen) the address.

use crate::authority::Authority;
use crate::ctx::SockboxCtxView;
use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use wasmtime::component::Resource;
use wasmtime_wasi::WasiCtxBuilder;
use wasmtime_wasi::sockets::{SocketAddrUse, WasiSocketsCtxView};

/// What is remembered of a run's sockets, by their numbers in the resource table.
#[derive(Default)]
pub(super) struct Addresses {
    /// Connections that were accepted.
    accepted: HashMap<u32, Ends>,
    /// Sockets that the component made.
    made: HashMap<u32, Arc<Seen>>,
    listeners: Listeners,
    /// With WASI 0.3, the number of the connection that may just have been accepted.
    pub(super) next: Option<u32>,
}

/// Sockets that were allowed to listen. A listener of WASI 0.3 may go on when its socket is dropped.
type Listeners = Arc<Mutex<Vec<Weak<Seen>>>>;

/// A connection's two ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ends {
    /// The local address; none if the system did not know it any more.
    pub(super) local: Option<SocketAddr>,
    /// The peer's.
    pub(super) remote: SocketAddr,
}

/// What wasmtime-wasi has asked about one socket.
#[derive(Default)]
struct Seen(Mutex<Notes>);

#[derive(Default)]
struct Notes {
    /// The listening address; port 0 if the socket was never bound, because the system then chooses
    /// the port.
    listening: Option<SocketAddr>,
    /// The accepted peers, in order, whose sockets the component does not have yet. On WASI 0.2 there is
    /// at most one, because there the component's call accepts it.
    let_in: VecDeque<SocketAddr>,
    /// Where it connects to.
    connecting: Option<SocketAddr>,
}

impl Addresses {
    /// The ends of an accepted connection.
    pub(super) fn ends(&self, rep: u32) -> Option<Ends> {
        self.accepted.get(&rep).copied()
    }

    /// Where a socket that the component made was allowed to connect to. Whether it is connected, only the
    /// system knows.
    pub(super) fn connecting(&self, rep: u32) -> Option<SocketAddr> {
        self.made.get(&rep)?.notes().connecting
    }

    /// The peer that the listener with this number has accepted last.
    pub(super) fn let_in_by(&self, rep: u32) -> Option<SocketAddr> {
        self.made.get(&rep)?.notes().let_in.pop_front()
    }

    /// The peer of a connection that has this local address and was accepted by the listener there.
    /// `known` is the peer's address from the system, if the system still knows it.
    pub(super) fn let_in_at(
        &self,
        local: SocketAddr,
        known: Option<SocketAddr>,
    ) -> Option<SocketAddr> {
        let listeners: Vec<_> = locked(&self.listeners)
            .iter()
            .filter_map(Weak::upgrade)
            .filter_map(|seen| {
                let closeness = seen.notes().closeness_to(local)?;
                Some((closeness, seen))
            })
            .collect();
        let closest = listeners.iter().map(|(closeness, _)| *closeness).max()?;
        let there = listeners.iter().filter(|it| it.0 == closest);
        let mut there: Vec<_> = there.map(|(_, seen)| seen.notes()).collect();
        if let Some(known) = known {
            there.retain(|notes| notes.let_in.contains(&known));
        }
        match &mut there[..] {
            [notes] => {
                while let Some(peer) = notes.let_in.pop_front() {
                    if known.is_none_or(|known| known == peer) {
                        return Some(peer);
                    }
                }
            }
            // Two listeners with ports that the system chose can't be distinguished. No address is
            // better than a wrong one, for this connection and later ones.
            _ => there.iter_mut().for_each(|notes| notes.let_in.clear()),
        }
        known
    }

    /// Remember the ends of a connection that was accepted as the socket with this number.
    pub(super) fn accepted(&mut self, rep: u32, ends: Ends) {
        self.accepted.insert(rep, ends);
    }

    /// Whether the component made the socket with this number, or it is known as an accepted one.
    pub(super) fn knows(&self, rep: u32) -> bool {
        self.made.contains_key(&rep) || self.accepted.contains_key(&rep)
    }

    /// How many sockets are remembered.
    #[cfg(test)]
    pub(super) fn remembered(&self) -> usize {
        self.accepted.len() + self.made.len()
    }

    /// The socket with this number was closed.
    pub(super) fn closed(&mut self, rep: u32) {
        self.accepted.remove(&rep);
        self.made.remove(&rep);
    }
}

impl SockboxCtxView<'_> {
    /// Make a socket of wasmtime-wasi's, whose addresses are noted.
    pub(super) fn noted<T, E>(
        &mut self,
        make: impl FnOnce(&mut WasiSocketsCtxView<'_>) -> Result<Resource<T>, E>,
    ) -> Result<Resource<T>, E> {
        let seen = Arc::new(Seen::default());
        let (network, noting) = (self.ctx.authority.clone(), seen.clone());
        let listeners = self.ctx.sockets.addresses.listeners.clone();
        let mut wasi = WasiCtxBuilder::new();
        let mut wasi = wasi
            .allow_tcp(true)
            .socket_addr_check(move |address, use_| {
                ask(&network, &noting, &listeners, address, use_)
            })
            .build();
        let made = make(&mut WasiSocketsCtxView {
            ctx: wasi.sockets(),
            table: self.table,
        })?;
        self.ctx.sockets.addresses.made.insert(made.rep(), seen);
        Ok(made)
    }
}

/// Ask whether a socket may use an address, and note it if so.
fn ask(
    network: &Arc<Authority>,
    seen: &Arc<Seen>,
    listeners: &Listeners,
    address: SocketAddr,
    use_: SocketAddrUse,
) -> Pin<Box<dyn Future<Output = bool> + Send + Sync>> {
    let asked = network.ask_address(address, use_);
    let (seen, listeners) = match use_ {
        SocketAddrUse::TcpListen => (seen.clone(), Some(listeners.clone())),
        SocketAddrUse::TcpAccept | SocketAddrUse::TcpConnect => (seen.clone(), None),
        _ => return asked,
    };
    Box::pin(async move {
        let allowed = asked.await;
        if allowed {
            seen.note(address, use_);
            if let Some(listeners) = listeners {
                let mut listeners = locked(&listeners);
                listeners.retain(|listener| listener.strong_count() > 0);
                listeners.push(Arc::downgrade(&seen));
            }
        }
        allowed
    })
}

impl Seen {
    fn notes(&self) -> MutexGuard<'_, Notes> {
        locked(&self.0)
    }

    fn note(&self, address: SocketAddr, use_: SocketAddrUse) {
        let mut notes = self.notes();
        match use_ {
            SocketAddrUse::TcpListen => notes.listening = Some(address),
            SocketAddrUse::TcpAccept => notes.let_in.push_back(address),
            SocketAddrUse::TcpConnect => notes.connecting = Some(address),
            _ => {}
        }
    }
}

impl Notes {
    /// How well a connection's local address matches a listener that has accepted a peer; none if the
    /// connection can't be that listener's.
    fn closeness_to(&self, local: SocketAddr) -> Option<u8> {
        let listening = self.listening.filter(|_| !self.let_in.is_empty())?;
        let (at, everywhere) = (listening.ip(), listening.ip().is_unspecified());
        match (listening.port(), at == local.ip()) {
            (port, true) if port == local.port() => Some(2),
            (port, _) if everywhere && at.is_ipv4() == local.is_ipv4() => match port {
                0 => Some(0),
                port if port == local.port() => Some(1),
                _ => None,
            },
            _ => None,
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What it holds is valid at every moment, so a panic elsewhere spoils nothing.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    /// A run's memory with listeners at these addresses, each of which has let these peers in.
    fn with_listeners(listeners: &[(&str, &[&str])]) -> (Addresses, Vec<Arc<Seen>>) {
        let addresses = Addresses::default();
        let seen: Vec<_> = listeners
            .iter()
            .map(|(at, peers)| {
                let seen = Arc::new(Seen::default());
                seen.note(address(at), SocketAddrUse::TcpListen);
                for peer in *peers {
                    seen.note(address(peer), SocketAddrUse::TcpAccept);
                }
                locked(&addresses.listeners).push(Arc::downgrade(&seen));
                seen
            })
            .collect();
        (addresses, seen)
    }

    #[test]
    fn a_connection_is_that_of_the_listener_which_is_closest_to_its_local_address() {
        let (addresses, _kept) = with_listeners(&[
            ("0.0.0.0:0", &["10.0.0.1:1"]),
            ("0.0.0.0:80", &["10.0.0.2:2"]),
            ("127.0.0.1:80", &["10.0.0.3:3"]),
            ("[::]:80", &["[fd00::1]:4"]),
        ]);
        let peer = |local| addresses.let_in_at(address(local), None);
        assert_eq!(peer("127.0.0.1:80"), Some(address("10.0.0.3:3")));
        assert_eq!(peer("[::1]:80"), Some(address("[fd00::1]:4")));
        assert_eq!(peer("127.0.0.2:80"), Some(address("10.0.0.2:2")));
        assert_eq!(peer("127.0.0.2:81"), Some(address("10.0.0.1:1")));
        // Each is told once.
        for local in ["127.0.0.1:80", "[::1]:80", "127.0.0.2:81"] {
            assert_eq!(peer(local), None, "{local}");
        }
    }

    #[test]
    fn what_the_system_knows_counts_and_what_is_behind_it_is_told_next() {
        let (addresses, _kept) =
            with_listeners(&[("127.0.0.1:80", &["10.0.0.1:1", "10.0.0.2:2", "10.0.0.3:3"])]);
        let local = address("127.0.0.1:80");
        let [second, third, other] =
            ["10.0.0.2:2", "10.0.0.3:3", "10.0.0.4:4"].map(|peer| Some(address(peer)));
        assert_eq!(addresses.let_in_at(local, second), second);
        assert_eq!(addresses.let_in_at(local, other), other);
        assert_eq!(addresses.let_in_at(local, None), third);
        assert_eq!(addresses.let_in_at(local, None), None);
    }

    #[test]
    fn a_peer_of_one_of_two_listeners_that_look_alike_is_not_guessed() {
        let alike: &[(&str, &[&str])] = &[
            ("0.0.0.0:0", &["10.0.0.1:1"]),
            ("0.0.0.0:0", &["10.0.0.2:2", "10.0.0.3:3"]),
        ];
        let local = address("127.0.0.1:80");
        let (addresses, _kept) = with_listeners(alike);
        assert_eq!(addresses.let_in_at(local, None), None);
        assert_eq!(addresses.let_in_at(local, None), None);

        let (addresses, mut kept) = with_listeners(alike);
        let second = Some(address("10.0.0.2:2"));
        assert_eq!(addresses.let_in_at(local, second), second);
        // One that is gone isn't in the way.
        kept.remove(0);
        let third = Some(address("10.0.0.3:3"));
        assert_eq!(addresses.let_in_at(local, None), third);
    }
}

//! The two addresses of TCP connections of WASI 0.2, as accept and connect saw them.
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
use std::collections::HashMap;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
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
}

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
    /// The accepted peer whose socket the component does not have yet.
    let_in: Option<SocketAddr>,
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
        self.made.get(&rep)?.notes().let_in.take()
    }

    /// Remember the ends of a connection that was accepted as the socket with this number.
    pub(super) fn accepted(&mut self, rep: u32, ends: Ends) {
        self.accepted.insert(rep, ends);
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
        let mut wasi = WasiCtxBuilder::new();
        let mut wasi = wasi
            .allow_tcp(true)
            .socket_addr_check(move |address, use_| ask(&network, &noting, address, use_))
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
    address: SocketAddr,
    use_: SocketAddrUse,
) -> Pin<Box<dyn Future<Output = bool> + Send + Sync>> {
    let asked = network.ask_address(address, use_);
    let seen = match use_ {
        SocketAddrUse::TcpAccept | SocketAddrUse::TcpConnect => seen.clone(),
        _ => return asked,
    };
    Box::pin(async move {
        let allowed = asked.await;
        if allowed {
            seen.note(address, use_);
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
            SocketAddrUse::TcpAccept => notes.let_in = Some(address),
            SocketAddrUse::TcpConnect => notes.connecting = Some(address),
            _ => {}
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What it holds is valid at every moment, so a panic elsewhere spoils nothing.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

//! A socket of our own, as the component sees it: what it answers is what wasmtime-wasi's would in the
//! same state.

use super::connection::Connection;
use super::inherited::{Listening, Stage};
use crate::state::State;
use rustix::fd::BorrowedFd;
use std::net::SocketAddr;
use wasmtime::component::Resource;
use wasmtime_wasi::p2::TcpSocket;
use wasmtime_wasi::p2::bindings::sockets::network::{ErrorCode, IpAddressFamily};

/// What is in the place of a socket of wasmtime-wasi's.
pub(super) enum Ours<'a> {
    Listening(&'a Listening),
    Connection(&'a Connection),
}

impl State {
    /// What of ours a socket is, if it is.
    pub(super) fn ours(&self, socket: &Resource<TcpSocket>) -> Option<Ours<'_>> {
        if let Some(listening) = self.inherited.get(socket.rep()) {
            return Some(Ours::Listening(listening));
        }
        let connection = Resource::new_borrow(socket.rep());
        self.table.get(&connection).ok().map(Ours::Connection)
    }
}

impl Ours<'_> {
    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        match self {
            Ours::Listening(listening) => listening.fd(),
            Ours::Connection(connection) => connection.fd(),
        }
    }

    pub(super) fn local_address(&self) -> SocketAddr {
        match self {
            Ours::Listening(listening) => listening.address,
            Ours::Connection(connection) => connection.local,
        }
    }

    pub(super) fn family(&self) -> IpAddressFamily {
        match self.local_address() {
            SocketAddr::V4(_) => IpAddressFamily::Ipv4,
            SocketAddr::V6(_) => IpAddressFamily::Ipv6,
        }
    }

    pub(super) fn is_listening(&self) -> bool {
        self.stage() >= Some(Stage::Starting)
    }

    /// Why it can't be bound, connected or made to listen once more.
    pub(super) fn refusal(&self) -> ErrorCode {
        match self.stage() {
            Some(Stage::Binding | Stage::Starting) => ErrorCode::ConcurrencyConflict,
            Some(Stage::Bound | Stage::Listening) | None => ErrorCode::InvalidState,
        }
    }

    /// Begin to listen, or end what was begun: what is under way goes on from the one stage to the
    /// other.
    pub(super) fn go_on(&self, from: Stage, to: Stage) -> Result<(), ErrorCode> {
        match self {
            Ours::Listening(listening) if listening.go_on(from, to) => Ok(()),
            _ if from == Stage::Bound => Err(self.refusal()),
            _ => Err(ErrorCode::NotInProgress),
        }
    }

    fn stage(&self) -> Option<Stage> {
        match self {
            Ours::Listening(listening) => Some(listening.stage()),
            Ours::Connection(_) => None,
        }
    }
}

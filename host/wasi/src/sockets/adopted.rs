//! An adopted socket, as the component sees it. It answers as a socket of wasmtime-wasi would in the
//! same state.

use super::connection::Connection;
use super::inherited::{Listening, Stage};
use crate::ctx::SockboxCtxView;
use rustix::fd::BorrowedFd;
use std::net::SocketAddr;
use wasmtime::component::Resource;
use wasmtime_wasi::p2::TcpSocket;
use wasmtime_wasi::p2::bindings::sockets::network::{ErrorCode, IpAddressFamily};

/// The socket that takes the place of one of wasmtime-wasi's.
pub(super) enum AdoptedSocket<'a> {
    Listening(&'a Listening),
    Connection(&'a Connection),
}

impl SockboxCtxView<'_> {
    /// The adopted socket with this number, if it is one.
    pub(super) fn adopted(&self, socket: &Resource<TcpSocket>) -> Option<AdoptedSocket<'_>> {
        if let Some(listening) = self.ctx.inherited.get(socket.rep()) {
            return Some(AdoptedSocket::Listening(listening));
        }
        super::connection(self, socket).map(AdoptedSocket::Connection)
    }
}

impl AdoptedSocket<'_> {
    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        match self {
            AdoptedSocket::Listening(listening) => listening.fd(),
            AdoptedSocket::Connection(connection) => connection.fd(),
        }
    }

    pub(super) fn local_address(&self) -> SocketAddr {
        match self {
            AdoptedSocket::Listening(listening) => listening.address,
            AdoptedSocket::Connection(connection) => connection.local,
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

    /// Why it can't be bound, connected or made to listen again.
    pub(super) fn refusal(&self) -> ErrorCode {
        match self.stage() {
            Some(Stage::Binding | Stage::Starting) => ErrorCode::ConcurrencyConflict,
            Some(Stage::Bound | Stage::Listening) | None => ErrorCode::InvalidState,
        }
    }

    /// Start or finish listening: move the socket from one stage to the next.
    pub(super) fn go_on(&self, from: Stage, to: Stage) -> Result<(), ErrorCode> {
        match self {
            AdoptedSocket::Listening(listening) if listening.go_on(from, to) => Ok(()),
            _ if from == Stage::Bound => Err(self.refusal()),
            _ => Err(ErrorCode::NotInProgress),
        }
    }

    fn stage(&self) -> Option<Stage> {
        match self {
            AdoptedSocket::Listening(listening) => Some(listening.stage()),
            AdoptedSocket::Connection(_) => None,
        }
    }
}

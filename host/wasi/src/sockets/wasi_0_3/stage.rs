//! The stages of a socket on the private loopback before it is connected.

use rustix::fd::{AsFd, BorrowedFd};
use std::net::SocketAddr;
use tokio::net::TcpSocket;
use wasmtime_wasi::p3::bindings::sockets::types::ErrorCode;

/// Stages of a private socket that is not connected. The system's socket is neither bound nor connected. It holds the
/// options that the component sets.
pub(super) enum Stage {
    /// `asked` is the address that the component gave. Its port may be 0.
    Bound {
        asked: SocketAddr,
        local: SocketAddr,
        options: TcpSocket,
    },
    Listening {
        local: SocketAddr,
        options: TcpSocket,
    },
}

impl Stage {
    pub(super) fn fd(&self) -> Result<BorrowedFd<'_>, ErrorCode> {
        Ok(match self {
            Stage::Bound { options, .. } | Stage::Listening { options, .. } => options.as_fd(),
        })
    }

    pub(super) fn local(&self) -> SocketAddr {
        match self {
            Stage::Bound { local, .. } | Stage::Listening { local, .. } => *local,
        }
    }
}

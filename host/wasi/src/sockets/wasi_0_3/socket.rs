//! A TCP socket and its states.

use super::connection::Connection;
use super::family_of;
use super::stage::Stage;
use crate::sockets::count::Open;
use rustix::fd::{AsFd, BorrowedFd};
use rustix::io::Errno;
use rustix::net::sockopt;
use sockbox_policy::is_unbound;
use std::io;
use std::mem;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use tokio::net::{TcpListener, TcpSocket};
use wasmtime_wasi::p3::bindings::sockets::types::{ErrorCode, IpAddressFamily};

/// How many connections the system queues between two accepts, unless the component sets another number: 128, as in
/// wasmtime-wasi.
const BACKLOG: u32 = 128;

/// The host's side of `tcp-socket`.
pub(super) struct Socket {
    pub(super) family: IpAddressFamily,
    pub(super) state: State,
    /// The backlog that the component has set.
    backlog: Option<u64>,
    /// The socket counts as open until this and its streams are dropped.
    pub(super) open: Arc<Open>,
}

/// States of a socket: `New`, perhaps `Adopted`, then `Listening`, or `Connecting` and `Connected`. An accepted socket
/// begins with `Connected`. Each can become `Closed`.
pub(super) enum State {
    /// It may be bound.
    New(TcpSocket),
    /// It is bound to the address of a socket that listened before the run, which has taken its place.
    Adopted(Arc<TcpListener>, SocketAddr),
    /// The call that connects holds the system's socket.
    Connecting,
    Listening(Arc<TcpListener>, SocketAddr),
    Connected {
        connection: Arc<Connection>,
        receive_taken: bool,
        send_taken: bool,
    },
    /// It can't be used any more, for this reason.
    Closed(ErrorCode),
    /// It is on the private loopback.
    Private(Stage),
}

impl Socket {
    pub(super) fn new(family: IpAddressFamily, open: Open) -> io::Result<Socket> {
        let state = State::New(Socket::of_system(family)?);
        Ok(Socket::with(family, state, Arc::new(open)))
    }

    /// A socket of the system.
    pub(super) fn of_system(family: IpAddressFamily) -> io::Result<TcpSocket> {
        match family {
            IpAddressFamily::Ipv4 => TcpSocket::new_v4(),
            IpAddressFamily::Ipv6 => {
                let socket = TcpSocket::new_v6()?;
                // WASI's IPv6 sockets take no IPv4 connections.
                sockopt::set_ipv6_v6only(&socket, true)?;
                Ok(socket)
            }
        }
    }

    /// Change a new socket. Another one keeps its state.
    pub(super) fn change_new(&mut self, change: impl FnOnce(TcpSocket) -> State) {
        self.state = match mem::replace(&mut self.state, State::Connecting) {
            State::New(socket) => change(socket),
            other => other,
        };
    }

    /// Change a private socket that is bound. Another one keeps its state.
    pub(super) fn change_private(&mut self, change: impl FnOnce(TcpSocket) -> State) {
        self.state = match mem::replace(&mut self.state, State::Connecting) {
            State::Private(Stage::Bound { options, .. }) => change(options),
            other => other,
        };
    }

    /// The socket of an accepted connection.
    pub(super) fn connected(family: IpAddressFamily, connection: Connection) -> Socket {
        let open = connection.open().clone();
        Socket::with(family, State::connected(connection), open)
    }

    /// A socket that is given to the component because of a failure.
    pub(super) fn failed(family: IpAddressFamily, code: ErrorCode, open: Arc<Open>) -> Socket {
        Socket::with(family, State::Closed(code), open)
    }

    fn with(family: IpAddressFamily, state: State, open: Arc<Open>) -> Socket {
        Socket {
            family,
            state,
            backlog: None,
            open,
        }
    }

    /// The system's socket.
    pub(super) fn fd(&self) -> Result<BorrowedFd<'_>, ErrorCode> {
        match &self.state {
            State::New(socket) => Ok(socket.as_fd()),
            State::Adopted(listener, _) | State::Listening(listener, _) => Ok(listener.as_fd()),
            State::Connected { connection, .. } => connection.fd(),
            State::Private(stage) => stage.fd(),
            State::Connecting => Err(ErrorCode::InvalidState),
            State::Closed(code) => Err(code.clone()),
        }
    }

    /// The socket of the system, if this one is new, and whether it is bound.
    pub(super) fn as_new(&self) -> Option<(&TcpSocket, bool)> {
        let State::New(socket) = &self.state else {
            return None;
        };
        let local = socket.local_addr();
        Some((socket, local.is_ok_and(|local| !is_unbound(local))))
    }

    /// Check that the socket can be bound to `address`, as wasmtime-wasi does.
    pub(super) fn may_bind(&self, address: SocketAddr) -> Result<(), ErrorCode> {
        match self.as_new() {
            Some((_, false)) => {}
            Some((_, true)) | None => return Err(self.refusal()),
        }
        match self.takes(address) && is_unicast(address.ip()) {
            true => Ok(()),
            false => Err(ErrorCode::InvalidArgument),
        }
    }

    /// Check that the socket can be connected to `address`, as wasmtime-wasi does.
    pub(super) fn may_connect(&self, address: SocketAddr) -> Result<(), ErrorCode> {
        if self.as_new().is_none() {
            return Err(self.refusal());
        }
        let is_remote = !address.ip().to_canonical().is_unspecified() && address.port() != 0;
        match self.takes(address) && is_unicast(address.ip()) && is_remote {
            true => Ok(()),
            false => Err(ErrorCode::InvalidArgument),
        }
    }

    /// Whether the address is of the socket's family. An IPv6 socket takes no address that stands for an IPv4 one.
    fn takes(&self, address: SocketAddr) -> bool {
        let stands_for_ipv4 = match address.ip() {
            IpAddr::V4(_) => false,
            IpAddr::V6(ip) => {
                let compatible = ip.segments()[..6] == [0; 6]
                    && !ip.is_unspecified()
                    && ip != Ipv6Addr::LOCALHOST;
                compatible || ip.to_ipv4_mapped().is_some()
            }
        };
        family_of(address) == self.family && !stands_for_ipv4
    }

    /// The error for an operation that is not possible in this state.
    pub(super) fn refusal(&self) -> ErrorCode {
        match &self.state {
            State::Closed(code) => code.clone(),
            _ => ErrorCode::InvalidState,
        }
    }

    pub(super) fn local_address(&self) -> Result<SocketAddr, ErrorCode> {
        match &self.state {
            State::New(socket) => match self.as_new() {
                Some((_, true)) => Ok(socket.local_addr()?),
                _ => Err(ErrorCode::InvalidState),
            },
            State::Adopted(_, address) | State::Listening(_, address) => Ok(*address),
            State::Connected { connection, .. } => connection.local(),
            State::Private(stage) => Ok(stage.local()),
            State::Connecting | State::Closed(_) => Err(self.refusal()),
        }
    }

    pub(super) fn remote_address(&self) -> Result<SocketAddr, ErrorCode> {
        match &self.state {
            State::Connected { connection, .. } => Ok(connection.remote()),
            _ => Err(self.refusal()),
        }
    }

    /// The connection, of which the component begins to send. It can do so once.
    pub(super) fn take_sending(&mut self) -> Result<Arc<Connection>, ErrorCode> {
        match &mut self.state {
            State::Connected {
                connection,
                send_taken,
                ..
            } if !*send_taken => {
                *send_taken = true;
                Ok(connection.clone())
            }
            _ => Err(self.refusal()),
        }
    }

    /// The connection, of which the component begins to receive. It can do so once.
    pub(super) fn take_receiving(&mut self) -> Result<Arc<Connection>, ErrorCode> {
        match &mut self.state {
            State::Connected {
                connection,
                receive_taken,
                ..
            } if !*receive_taken => {
                *receive_taken = true;
                Ok(connection.clone())
            }
            _ => Err(self.refusal()),
        }
    }

    pub(super) fn is_listening(&self) -> bool {
        matches!(
            self.state,
            State::Listening(..) | State::Private(Stage::Listening { .. })
        )
    }

    /// The address that a socket of this family has before it is bound.
    pub(super) fn unbound_address(&self) -> SocketAddr {
        let ip = match self.family {
            IpAddressFamily::Ipv4 => IpAddr::from(Ipv4Addr::UNSPECIFIED),
            IpAddressFamily::Ipv6 => IpAddr::from(Ipv6Addr::UNSPECIFIED),
        };
        SocketAddr::new(ip, 0)
    }

    /// Set how many connections the system queues between two accepts.
    pub(super) fn set_backlog(&mut self, value: u64) -> Result<(), ErrorCode> {
        if value == 0 {
            return Err(ErrorCode::InvalidArgument);
        }
        match &self.state {
            State::New(_) | State::Private(_) => {}
            // Its creator has set it, and the value is a hint.
            State::Adopted(..) => return Ok(()),
            State::Listening(listener, _) => {
                // Listening again sets it on most systems.
                rustix::net::listen(listener, most_backlog(value).cast_signed())
                    .map_err(|_| ErrorCode::NotSupported)?;
            }
            State::Connecting | State::Connected { .. } | State::Closed(_) => {
                return Err(self.refusal());
            }
        }
        self.backlog = Some(value);
        Ok(())
    }

    /// How many connections the system is to queue between two accepts.
    pub(super) fn backlog(&self) -> u32 {
        self.backlog.map_or(BACKLOG, most_backlog)
    }

    /// How many connections can wait on a private listener, if the component has set that.
    pub(super) fn private_backlog(&self) -> Option<u64> {
        self.backlog
    }
}

impl State {
    pub(super) fn connected(connection: Connection) -> State {
        State::Connected {
            connection: Arc::new(connection),
            receive_taken: false,
            send_taken: false,
        }
    }
}

/// Bind a socket, as wasmtime-wasi does.
pub(super) fn bind(socket: &TcpSocket, address: SocketAddr) -> Result<(), ErrorCode> {
    // A recently closed socket at the same address must not prevent it.
    #[cfg(not(windows))]
    let _ = sockopt::set_socket_reuseaddr(socket, true);
    socket
        .bind(address)
        .map_err(|error| match Errno::from_io_error(&error) {
            Some(Errno::AFNOSUPPORT) => ErrorCode::InvalidArgument,
            _ => error.into(),
        })
}

/// The nearest number that the system takes.
fn most_backlog(value: u64) -> u32 {
    let most = i32::MAX as u32;
    u32::try_from(value).unwrap_or(most).min(most)
}

fn is_unicast(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => !ip.is_multicast() && !ip.is_broadcast(),
        IpAddr::V6(ip) => !ip.is_multicast(),
    }
}

//! The parts of this that are possible for WASI 0.3: a count of the sockets that a component holds,
//! an exact error when none are left, and remembered addresses.
//!
//! What is counted are a component's sockets, not the process's files: a stream that was taken from a
//! socket keeps the connection, or the listener, when the socket is dropped. wasmtime-wasi makes these
//! streams, and puts accepted sockets into the table, without calling this crate. So accepted
//! connections can't be refused here.

use super::addresses::Ends;
use crate::ctx::{SockboxCtxView, SockboxView};
use crate::replaced::TYPES_0_3;
use std::any::Any;
use std::net::SocketAddr;
use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, Resource, ResourceTable, ResourceType};
use wasmtime_wasi::p3::bindings::sockets::types::{
    self, ErrorCode, HostTcpSocket, IpAddressFamily, IpSocketAddress,
};
use wasmtime_wasi::p3::sockets::SocketResult;
use wasmtime_wasi::sockets::{TcpSocket, WasiSockets, WasiSocketsCtxView};

/// WASI 0.3 has no error code for it, but a text that the host chooses. sockbox's component
/// recognizes this one.
const NONE_LEFT: &str = "no sockets left";

/// Replace the functions of this module in a linker that already has wasmtime-wasi's sockets.
pub(crate) fn add_to_linker<T: SockboxView>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    types::add_to_linker::<T, WasiSockets>(linker, watched::<T>)?;
    let mut types = linker.instance(TYPES_0_3.name())?;
    types.func_wrap(
        TYPES_0_3.item("[static]tcp-socket.create"),
        |mut store: StoreContextMut<'_, T>, (family,): (IpAddressFamily,)| {
            let mut state = store.data_mut().sockbox();
            state.remember_accepted();
            if open(state.table) >= state.ctx.sockets.limit {
                return Ok((Err(none_left()),));
            }
            let made = state.noted(|sockets| sockets.create(family));
            Ok((plain(made)?,))
        },
    )?;
    // A component calls this first on a connection. If accepting failed because no files were left,
    // the component still gets a socket, which is closed.
    types.func_wrap(
        TYPES_0_3.item("[method]tcp-socket.get-local-address"),
        |mut store: StoreContextMut<'_, T>, (this,): (Resource<TcpSocket>,)| {
            let mut state = store.data_mut().sockbox();
            state.remember_accepted();
            let ends = state.ctx.sockets.addresses.ends(this.rep());
            let address = match ends.and_then(|ends| ends.local) {
                Some(local) => Ok(local.into()),
                None => plain(state.sockets().get_local_address(this))?,
            };
            Ok((address,))
        },
    )?;
    types.func_wrap(
        TYPES_0_3.item("[method]tcp-socket.get-remote-address"),
        |mut store: StoreContextMut<'_, T>, (this,): (Resource<TcpSocket>,)| {
            Ok((store.data_mut().sockbox().remote_address_0_3(this)?,))
        },
    )?;
    types.resource(
        TYPES_0_3.item("tcp-socket"),
        ResourceType::host::<TcpSocket>(),
        |mut store: StoreContextMut<'_, T>, rep| {
            let mut state = store.data_mut().sockbox();
            state.remember_accepted();
            HostTcpSocket::drop(&mut state.sockets(), Resource::new_own(rep))?;
            state.ctx.sockets.addresses.closed(rep);
            Ok(())
        },
    )
}

/// What wasmtime-wasi works on. It asks for it before it puts into the table what it has accepted, and that
/// is all that there is to see of it: what is put there now gets the number that was found to be next.
fn watched<T: SockboxView>(data: &mut T) -> WasiSocketsCtxView<'_> {
    let mut state = data.sockbox();
    state.remember_accepted();
    state.ctx.sockets.addresses.next = next_number(state.table);
    state.into_sockets()
}

/// The number that what is put into a table next will have; none if there is no room.
fn next_number(table: &mut ResourceTable) -> Option<u32> {
    /// It takes no memory.
    struct Place;
    let place = table.push(Place).ok()?;
    let number = place.rep();
    table.delete(place).ok()?;
    Some(number)
}

impl SockboxCtxView<'_> {
    /// Remember the ends of the connection that was put into the table since the last time, if one was.
    fn remember_accepted(&mut self) {
        let Some(rep) = self.ctx.sockets.addresses.next.take() else {
            return;
        };
        let socket = || Resource::<TcpSocket>::new_borrow(rep);
        if self.ctx.sockets.addresses.knows(rep) || self.table.get(&socket()).is_err() {
            return;
        }
        // One that could not be accepted is put there as well, and has no address.
        let Ok(local) = self.sockets().get_local_address(socket()) else {
            return;
        };
        let local = SocketAddr::from(local);
        let known = self.sockets().get_remote_address(socket()).ok();
        let known = known.map(SocketAddr::from);
        if let Some(remote) = self.ctx.sockets.addresses.let_in_at(local, known).or(known) {
            let local = Some(local);
            self.ctx
                .sockets
                .addresses
                .accepted(rep, Ends { local, remote });
        }
    }

    /// The address of a socket's peer: for as long as there is the socket, even if the peer has reset the
    /// connection.
    fn remote_address_0_3(
        &mut self,
        socket: Resource<TcpSocket>,
    ) -> wasmtime::Result<Result<IpSocketAddress, ErrorCode>> {
        self.remember_accepted();
        let rep = socket.rep();
        if let Some(ends) = self.ctx.sockets.addresses.ends(rep) {
            return Ok(Ok(ends.remote.into()));
        }
        let known = plain(self.sockets().get_remote_address(socket))?;
        let Some(remote) = self.ctx.sockets.addresses.connecting(rep) else {
            return Ok(known);
        };
        // Before it is connected, and once that has failed, it has no address of its own either.
        let local = self.sockets().get_local_address(Resource::new_borrow(rep));
        Ok(known.or_else(|code| match local {
            Ok(_) => Ok(remote.into()),
            Err(_) => Err(code),
        }))
    }
}

/// How many TCP sockets the component holds.
pub fn open(table: &mut ResourceTable) -> usize {
    let sockets = table.iter_mut().filter(|entry| {
        let entry: &dyn Any = &**entry;
        entry.is::<TcpSocket>()
    });
    sockets.count()
}

fn plain<T>(result: SocketResult<T>) -> wasmtime::Result<Result<T, ErrorCode>> {
    match result {
        Ok(value) => Ok(Ok(value)),
        Err(error) => Ok(Err(match error.downcast()? {
            ErrorCode::Other(None) if super::no_files_left() => none_left(),
            code => code,
        })),
    }
}

fn none_left() -> ErrorCode {
    ErrorCode::Other(Some(NONE_LEFT.to_owned()))
}

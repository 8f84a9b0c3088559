//! The same for WASI 0.3, as far as it goes: a count of the sockets that a component holds, and a plain
//! word when there are none left.
//!
//! What is counted are a component's sockets, not the process's files: a stream that was taken from a
//! socket keeps the connection, or the listener, when the socket is dropped. wasmtime-wasi makes these
//! streams, and puts what it accepts into the table, out of our sight; so what is accepted can't be
//! refused here either.

use crate::state::State;
use std::any::Any;
use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, Resource, ResourceTable};
use wasmtime_wasi::p3::bindings::sockets::types::{ErrorCode, HostTcpSocket, IpAddressFamily};
use wasmtime_wasi::p3::sockets::SocketResult;
use wasmtime_wasi::sockets::{TcpSocket, WasiSocketsView};

/// WASI 0.3 has no code for it, but a text of the host's choice. The component knows this one.
const NONE_LEFT: &str = "no sockets left";

/// Replace what is ours in a linker that has wasmtime-wasi's sockets already.
pub(crate) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    let mut types = linker.instance("wasi:sockets/types@0.3.0")?;
    types.func_wrap(
        "[static]tcp-socket.create",
        |mut store: StoreContextMut<'_, State>, (family,): (IpAddressFamily,)| {
            let state = store.data_mut();
            if open(&mut state.table) >= state.tcp.limit {
                return Ok((Err(none_left()),));
            }
            Ok((plain(state.sockets().create(family))?,))
        },
    )?;
    // What a component asks for first. A connection that can't be accepted for lack of files comes all
    // the same, as a socket that is closed.
    types.func_wrap(
        "[method]tcp-socket.get-local-address",
        |mut store: StoreContextMut<'_, State>, (this,): (Resource<TcpSocket>,)| {
            let address = store.data_mut().sockets().get_local_address(this);
            Ok((plain(address)?,))
        },
    )
}

/// How many TCP sockets the component holds.
pub(crate) fn open(table: &mut ResourceTable) -> usize {
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

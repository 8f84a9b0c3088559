//! What sockbox adds to wasmtime-wasi's TCP sockets and streams: a count of the sockets that a run
//! holds, a plain word when there are none left, and streams that can be dropped without waiting.
//!
//! Only these few functions are replaced; each hands over to wasmtime-wasi's own.

use crate::state::State;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Waker};
use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, Resource, ResourceType};
use wasmtime_wasi::p2::bindings::sockets::network::{ErrorCode, IpAddressFamily};
use wasmtime_wasi::p2::bindings::sockets::tcp::HostTcpSocket;
use wasmtime_wasi::p2::bindings::sockets::tcp_create_socket::Host as _;
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, Pollable, SocketResult, TcpSocket};
use wasmtime_wasi::sockets::WasiSocketsView;

/// How many of a run's TCP sockets are open, and how many may be.
pub(crate) struct Sockets {
    open: usize,
    limit: usize,
}

impl Sockets {
    pub(crate) fn new(limit: usize) -> Sockets {
        Sockets { open: 0, limit }
    }

    fn are_used_up(&self) -> bool {
        self.open >= self.limit
    }

    /// How many are open: those that listen, those of connections, and those that wait for either.
    pub(crate) fn open(&self) -> usize {
        self.open
    }
}

type Accepted = (
    Resource<TcpSocket>,
    Resource<DynInputStream>,
    Resource<DynOutputStream>,
);

/// Replace what is ours in a linker that has all of WASI already.
pub(crate) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    let mut create = linker.instance("wasi:sockets/tcp-create-socket@0.2.12")?;
    create.func_wrap(
        "create-tcp-socket",
        |mut store: StoreContextMut<'_, State>, (family,): (IpAddressFamily,)| {
            let state = store.data_mut();
            Ok((counted(state, |state| {
                state.sockets().create_tcp_socket(family)
            })?,))
        },
    )?;

    let mut tcp = linker.instance("wasi:sockets/tcp@0.2.12")?;
    tcp.func_wrap(
        "[method]tcp-socket.accept",
        |mut store: StoreContextMut<'_, State>, (this,): (Resource<TcpSocket>,)| {
            let state = store.data_mut();
            let accepted: Result<Accepted, ErrorCode> = match state.tcp.are_used_up() {
                true if !is_ready(state.table.get_mut(&this)?) => Err(ErrorCode::WouldBlock),
                _ => counted(state, |state| state.sockets().accept(this))?,
            };
            Ok((accepted,))
        },
    )?;
    tcp.resource(
        "tcp-socket",
        ResourceType::host::<TcpSocket>(),
        |mut store: StoreContextMut<'_, State>, rep| {
            let state = store.data_mut();
            HostTcpSocket::drop(&mut state.sockets(), Resource::new_own(rep))?;
            state.tcp.open -= 1;
            Ok(())
        },
    )?;

    let mut streams = linker.instance("wasi:io/streams@0.2.12")?;
    streams.resource_async(
        "output-stream",
        ResourceType::host::<DynOutputStream>(),
        |mut store: StoreContextMut<'_, State>, rep| -> Box<dyn Future<Output = _> + Send + '_> {
            Box::new(async move {
                let state = store.data_mut();
                let stream = Resource::<DynOutputStream>::new_own(rep);
                let mut stream = state.table.delete(stream)?;
                if !state.dropping_breaks_off {
                    stream.cancel().await;
                }
                Ok(())
            })
        },
    )
}

/// Whether somebody waits to be accepted.
fn is_ready(socket: &mut TcpSocket) -> bool {
    let mut cx = Context::from_waker(Waker::noop());
    pin!(socket.ready()).poll(&mut cx).is_ready()
}

/// Make a socket, if one more may be had.
fn counted<T>(
    state: &mut State,
    make: impl FnOnce(&mut State) -> SocketResult<T>,
) -> wasmtime::Result<Result<T, ErrorCode>> {
    if state.tcp.are_used_up() {
        return Ok(Err(ErrorCode::NewSocketLimit));
    }
    match make(state) {
        Ok(made) => {
            state.tcp.open += 1;
            Ok(Ok(made))
        }
        Err(error) => match error.downcast()? {
            // wasmtime-wasi has no word of its own for it, though WASI has.
            ErrorCode::Unknown if no_files_left() => Ok(Err(ErrorCode::NewSocketLimit)),
            code => Ok(Err(code)),
        },
    }
}

/// Whether the process, or the system, can open no more files.
#[cfg(unix)]
fn no_files_left() -> bool {
    use rustix::io::Errno;
    use std::os::fd::AsFd;

    match std::io::stderr().as_fd().try_clone_to_owned() {
        Ok(_) => false,
        Err(error) => matches!(
            Errno::from_io_error(&error),
            Some(Errno::MFILE | Errno::NFILE)
        ),
    }
}

#[cfg(not(unix))]
fn no_files_left() -> bool {
    false
}

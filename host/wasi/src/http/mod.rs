//! `wasi:http` for components: the requests that they send, under the run's authority.
//!
//! A request takes this way: its URL is brought into one form, and that is judged; its name is resolved by the run's
//! own resolver, and what that answers is judged; a connection is opened that counts as the component's own sockets
//! do, with TLS on it where the URL says so; and HTTP/1.1 is spoken by hyper, with the URL as it was judged.
//!
//! | file | what it has |
//! |---|---|
//! | `hooks` | what wasmtime-wasi-http calls |
//! | `prepare` | from the component's request to the one that is sent |
//! | `reach` | resolving, connecting, TLS |
//! | `exchange` | sending a request, and driving its connection until the response was read |
//! | `driver`, `pool` | the connection of an exchange, and those that are kept for the next one |
//! | `bodies`, `io` | bodies that are counted and timed; streams as hyper reads and writes them |
//! | `error` | failures as WASI has them |

mod bodies;
mod driver;
mod error;
mod exchange;
mod hooks;
mod io;
mod pool;
mod prepare;
mod reach;

pub(crate) use hooks::Http;

use crate::ctx::{self, SockboxView};
use crate::replaced::HTTP_TYPES;
use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, Resource};
use wasmtime_wasi::p2::IoError;
use wasmtime_wasi_http::WasiHttp;
use wasmtime_wasi_http::p2::bindings::{LinkOptions, http};

/// Offer `wasi:http/outgoing-handler`, and its types, to components.
pub(crate) fn add_to_linker<T: SockboxView>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    let options = LinkOptions::default();
    http::outgoing_handler::add_to_linker::<T, WasiHttp>(linker, ctx::http)?;
    http::types::add_to_linker::<T, WasiHttp>(linker, &(&options).into(), ctx::http)
}

/// Replace what wasmtime-wasi-http can't answer: the error code of a body that has failed. What it looks for in an
/// error of a stream is no error of its own bodies.
pub(crate) fn replace<T: SockboxView>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    linker.instance(HTTP_TYPES.name())?.func_wrap(
        HTTP_TYPES.item("http-error-code"),
        |mut store: StoreContextMut<'_, T>, (this,): (Resource<IoError>,)| {
            let state = store.data_mut().sockbox();
            Ok((error::code(state.table.get(&this)?),))
        },
    )
}

//! `wasi:http` for components: the host sends their requests, under the run's policy, and passes requests to them.
//!
//! The host sends a component's request in these steps:
//!
//! 1. It brings the URL into one form. The policy judges that form.
//! 2. It resolves the name. The policy judges each address.
//! 3. It opens a connection, which counts as one of the run's sockets. For an `https` URL it makes a TLS handshake.
//! 4. hyper sends the request over HTTP/1.1, with the URL in the form that the policy judged.
//!
//! | file | content |
//! |---|---|
//! | `hooks` | the hooks that wasmtime-wasi-http calls |
//! | `prepare` | the form of a request in which it is judged and sent |
//! | `reach` | lookup, connect, TLS handshake |
//! | `proxy` | tunnels through an HTTP proxy |
//! | `secrets` | the headers that the host adds, and that the component never sees |
//! | `client` | what the requests of a run share |
//! | `send` | sending a request, and waiting for the head of its response |
//! | `exchange` | the exchanges that have not ended, and their audit events |
//! | `connected`, `driver`, `pool` | a connection, the task that drives it during an exchange, and idle connections |
//! | `request_body`, `response_body` | bodies, with counts and timeouts |
//! | `io` | the streams that hyper reads and writes |
//! | `incoming` | passing a request to a component that handles them |
//! | `refused` | recording what wasmtime-wasi-http refuses by itself |
//! | `error` | failures, and the error codes of WASI for them |
//! | `wasi_0_3` | the interfaces of WASI 0.3 |

mod client;
mod connected;
mod driver;
mod error;
mod exchange;
mod hooks;
pub(crate) mod incoming;
mod io;
mod pool;
mod prepare;
mod proxy;
mod reach;
mod refused;
mod request_body;
mod response_body;
mod secrets;
mod send;
pub(crate) mod wasi_0_3;

pub(crate) use hooks::Http;

use crate::ctx::{self, SockboxView};
use crate::replaced::HTTP_TYPES;
use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, Resource};
use wasmtime_wasi::p2::IoError;
use wasmtime_wasi_http::WasiHttp;
use wasmtime_wasi_http::p2::bindings::{LinkOptions, http};

/// Add `wasi:http/outgoing-handler` and `wasi:http/types` to the linker.
pub(crate) fn add_to_linker<T: SockboxView>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    let options = LinkOptions::default();
    http::outgoing_handler::add_to_linker::<T, WasiHttp>(linker, ctx::http)?;
    http::types::add_to_linker::<T, WasiHttp>(linker, &(&options).into(), ctx::http)
}

/// Replace the functions that refuse something, to record that, and `http-error-code`, which gives the error code of a
/// body that has failed. wasmtime-wasi-http looks for an `ErrorCode` only, but a failed body has a
/// [`wasmtime_wasi_http::Error`].
pub(crate) fn replace<T: SockboxView>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    linker.instance(HTTP_TYPES.name())?.func_wrap(
        HTTP_TYPES.item("http-error-code"),
        |mut store: StoreContextMut<'_, T>, (this,): (Resource<IoError>,)| {
            let state = store.data_mut().sockbox();
            Ok((error::code(state.table.get(&this)?),))
        },
    )?;
    refused::wasi_0_2::replace(linker)
}

//! `wasi:http` of WASI 0.3: the same client as for WASI 0.2, behind the functions of WASI 0.3.

use crate::ctx::{self, SockboxView};
use wasmtime::component::Linker;
use wasmtime_wasi_http::WasiHttp;
use wasmtime_wasi_http::p3::bindings::http::{client, types};

pub(crate) use super::refused::wasi_0_3::replace;

/// Add `wasi:http/client` and `wasi:http/types` to the linker.
pub(crate) fn add_to_linker<T: SockboxView>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    client::add_to_linker::<T, WasiHttp>(linker, ctx::http)?;
    types::add_to_linker::<T, WasiHttp>(linker, ctx::http)
}

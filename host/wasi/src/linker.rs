//! Linking components with WASI under a run's [`Authority`](crate::Authority).

use crate::bindings::ip_name_lookup;
use crate::ctx::{self, SockboxView};
use crate::lookup::HasLookup;
use crate::{failed, files, files_0_3, http, lookup_0_3, poll, sockets, tls};
use wasmtime::component::Linker;

/// Offer components all of WASI 0.2, `wasi:http` and the draft `wasi:tls`, with everything that has to do with the network
/// under the authority of the store's [`SockboxCtx`](crate::SockboxCtx). It takes the place of
/// [`wasmtime_wasi::p2::add_to_linker_async`].
///
/// # Errors
/// The linker has one of the interfaces already.
pub fn add_to_linker_async<T: SockboxView>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    wasmtime_wasi::p2::add_to_linker_async(linker)?;
    http::add_to_linker(linker)?;
    linker.allow_shadowing(true);
    let replaced = replace(linker);
    linker.allow_shadowing(false);
    replaced
}

fn replace<T: SockboxView>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    ip_name_lookup::add_to_linker::<T, HasLookup>(linker, ctx::lookup)?;
    sockets::add_to_linker(linker)?;
    poll::add_to_linker(linker)?;
    failed::add_to_linker(linker)?;
    http::replace(linker)?;
    files::add_to_linker(linker)?;
    tls::add_to_linker(linker)
}

/// Offer components all of WASI 0.3 and its `wasi:http/client` as well, under the same authority and the same limits. The engine needs
/// [`Config::concurrency_support`](wasmtime::Config::concurrency_support).
///
/// wasmtime-wasi calls its support for WASI 0.3 experimental.
///
/// # Errors
/// The linker has one of the interfaces already.
pub fn add_wasi_0_3_to_linker<T: SockboxView>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    wasmtime_wasi::p3::cli::add_to_linker(linker)?;
    wasmtime_wasi::p3::clocks::add_to_linker(linker)?;
    wasmtime_wasi::p3::filesystem::add_to_linker(linker)?;
    wasmtime_wasi::p3::random::add_to_linker(linker)?;
    sockets::wasi_0_3::add_to_linker(linker)?;
    lookup_0_3::add_to_linker(linker)?;
    http::wasi_0_3::add_to_linker(linker)?;
    linker.allow_shadowing(true);
    let replaced = files_0_3::add_to_linker(linker).and_then(|()| http::wasi_0_3::replace(linker));
    linker.allow_shadowing(false);
    replaced
}

//! `wasi:sockets/ip-name-lookup` of WASI 0.3: the same lookups as those of [WASI 0.2](crate::lookup), as async calls.

use crate::ctx::{self, SockboxView};
use crate::lookup::{self, HasLookup, LookupView};
use sockbox_policy::{Host, Target};
use wasmtime::component::{Accessor, Linker};
use wasmtime_wasi::p2::bindings::sockets::network::ErrorCode as OldCode;
use wasmtime_wasi::p3::bindings::sockets::ip_name_lookup::{self, ErrorCode, HostWithStore};
use wasmtime_wasi::p3::bindings::sockets::types::IpAddress;

pub(crate) fn add_to_linker<T: SockboxView>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    ip_name_lookup::add_to_linker::<T, HasLookup>(linker, ctx::lookup)
}

impl ip_name_lookup::Host for LookupView<'_> {}

impl<T> HostWithStore<T> for HasLookup {
    async fn resolve_addresses(
        store: &Accessor<T, Self>,
        name: String,
    ) -> wasmtime::Result<Result<Vec<IpAddress>, ErrorCode>> {
        let authority = store.with(|mut store| store.get().authority.clone());
        let name = match name.parse() {
            Err(_) => return Ok(Err(ErrorCode::InvalidArgument)),
            // Returning an address literal reveals nothing and needs no resolver. Using the address is judged later.
            Ok(Host::Address(address)) => return Ok(Ok(vec![address.into()])),
            Ok(Host::Name(name)) => name,
        };
        if !authority.ask(Target::Resolve(name.clone())).await {
            return Ok(Err(ErrorCode::AccessDenied));
        }
        let answer = lookup::answer(&authority, &name).await;
        Ok(match answer {
            Ok(addresses) => Ok(addresses.into_iter().map(IpAddress::from).collect()),
            Err(code) => Err(error(code)),
        })
    }
}

/// The same error code in WASI 0.3.
fn error(of_0_2: OldCode) -> ErrorCode {
    match of_0_2 {
        OldCode::AccessDenied => ErrorCode::AccessDenied,
        OldCode::InvalidArgument => ErrorCode::InvalidArgument,
        OldCode::NameUnresolvable => ErrorCode::NameUnresolvable,
        OldCode::TemporaryResolverFailure => ErrorCode::TemporaryResolverFailure,
        OldCode::PermanentResolverFailure => ErrorCode::PermanentResolverFailure,
        _ => ErrorCode::Other(None),
    }
}

//! TLS for components: `wasi:tls`, a draft, over rustls.
//!
//! The component hands in the two streams of a connection and the server's name, and gets two streams
//! of plain bytes. Everything else is here, outside of the sandbox: the handshake, the certificate's
//! check, and the keys.
//!
//! # Why on this side
//! TLS inside the sandbox was the alternative: rustls in the component, over stable WASI alone. It needs
//! a provider of cryptography that builds for `wasm32-wasip2`. ring and aws-lc-rs, which are derived
//! from BoringSSL and AWS-LC and are what others have looked at closely, are C and assembly, and the
//! component is built without a C compiler; what is left in pure Rust says of itself that nobody has
//! audited it as a whole, and runs in WebAssembly without the processor's instructions for AES and
//! without any promise about time. And whoever gets hold of a component must not get hold of the
//! user's private key. So it is rustls and ring on this side. The price is an import that is no part of
//! WASI 0.2: the component is built twice, and the build without TLS runs anywhere.
//!
//! ring rather than aws-lc-rs: it is what the `wasmtime` command has for this same interface, builds in
//! a fifth of the time, and is as fast for what is done here. What ring lacks, sockbox lacks: keys of the curve
//! P-521 and of Ed448, a server's, an authority's or our own. A message that may be about this says so.
//!
//! # Why not `wasmtime-wasi-tls`
//! That crate implements the interface too, and its WIT is what is implemented here. But it gives a
//! program's failures no types and no names of certificates, it has no place for a run's own roots and
//! client certificate, and it pushes every byte through tasks and halves of a split stream. What is
//! behind one file more here is that the plain bytes go from the record layer to the file.

mod certificate;
mod client;
mod config;
mod der;
mod encrypted;
mod error;
mod failure;
mod handshake;
mod identity;
mod pem;
mod roots;
mod session;
mod streams;
pub(crate) mod transport;
mod verifier;

pub use certificate::Certificate;
pub use config::{TlsConfig, TlsHandshake, TlsVersion};
pub use failure::{CertificateProblem, TlsFailure};

pub use client::Client;
pub use error::{TlsError, TlsHint};
pub use failure::Failure;
// What `bindgen!` is told of has to be as public as what it makes.
pub use handshake::{Connection, FutureStreams, Handshake};
pub(crate) use handshake::{SESSION_BYTES, over};

use crate::authority::Authority;
use crate::bindings::tls;
use crate::budget::Budget;
use crate::ctx::SockboxView;
use crate::poll::Readiness;
use crate::sockets::Sockets;
use crate::sockets::count::parent;
use std::collections::HashSet;
use std::sync::Arc;
use wasmtime::component::{HasData, Linker, Resource, ResourceTable};

/// What the interface needs of a store.
pub(crate) struct TlsView<'a> {
    pub(crate) client: &'a mut Client,
    pub(crate) connections: &'a mut Connections,
    pub(crate) authority: &'a Arc<Authority>,
    pub(crate) memory: &'a Arc<Budget>,
    pub(crate) sockets: &'a mut Sockets,
    pub(crate) readiness: &'a mut Readiness,
    pub(crate) table: &'a mut ResourceTable,
}

/// The connections of a run that have TLS on them, by their numbers.
#[derive(Default)]
pub(crate) struct Connections(HashSet<u32>);

impl Connections {
    /// Whether `stream` is a plain side of one of them.
    fn have<T: 'static>(&self, table: &ResourceTable, stream: &Resource<T>) -> bool {
        parent(table, self.0.iter().copied(), stream).is_some()
    }
}

struct HasTls;

impl HasData for HasTls {
    type Data<'a> = TlsView<'a>;
}

/// Offer `wasi:tls` to components.
pub(crate) fn add_to_linker<T: SockboxView>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    let mut options = tls::LinkOptions::default();
    options.tls(true);
    tls::add_to_linker::<T, HasTls>(linker, &options, crate::ctx::tls)
}

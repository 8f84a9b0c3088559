//! TLS for components: `wasi:tls`, a draft, over rustls.
//!
//! The component passes the two streams of a connection and the server's name, and gets two streams
//! of plain bytes. The handshake, the verification of the certificate, and the keys are here, outside
//! of the sandbox.
//!
//! # Why TLS is in the host
//! TLS inside the sandbox was the alternative: rustls in the component, over stable WASI alone. It needs
//! a provider of cryptography that builds for `wasm32-wasip2`. ring and aws-lc-rs derive from BoringSSL
//! and AWS-LC, which are widely reviewed, but they are C and assembly, and the component is built
//! without a C compiler. The providers in pure Rust state that they have not been audited as a whole. In
//! WebAssembly they run without the processor's AES instructions and without constant-time guarantees.
//! Moreover, an attacker who controls a component must not get the user's private key. So rustls and
//! ring run in the host. The price is an import that is not part of WASI 0.2: the component is built
//! twice, and the build without TLS runs anywhere.
//!
//! ring is used rather than aws-lc-rs: the `wasmtime` command uses it for the same interface, it builds in a
//! fifth of the time, and it is as fast for this purpose. ring does not support keys of P-521 and Ed448, so
//! sockbox does not either. Error texts that may have this cause say so.
//!
//! # Why not `wasmtime-wasi-tls`
//! That crate implements the same interface. But its errors have no types and no certificate names, it
//! has no setting for a run's own roots and client certificate, and it moves every byte through tasks
//! and halves of a split stream. Here the plain bytes go directly from the record layer to the file.

mod certificate;
mod client;
mod config;
mod der;
mod encrypted;
mod error;
mod failure;
mod handshake;
mod held;
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
// Types given to `bindgen!` must be as public as the code that it generates.
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

/// The TLS connections of a run, by their numbers.
#[derive(Default)]
pub(crate) struct Connections(HashSet<u32>);

impl Connections {
    /// Whether `stream` is a plain stream of one of them.
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

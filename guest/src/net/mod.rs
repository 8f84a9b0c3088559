//! The network and the clock as the programs above see them.
//!
//! [`Net`] is the interface between the programs and the system. The programs are generic over it
//! and do not know WASI or its version. `wasi` is the back-end over WASI 0.2, `wasi3` the one over
//! WASI 0.3, and the tests use a network in memory with its own clock.

#[cfg(target_family = "wasm")]
mod address;
#[cfg(any(test, target_family = "wasm"))]
mod deadlines;
mod error;
mod instant;
#[cfg(test)]
pub mod memory;
#[cfg(any(test, all(target_family = "wasm", not(feature = "wasi-0-3"))))]
mod schedule;
mod timeout;
mod tls;
mod traits;
#[cfg(all(target_family = "wasm", not(feature = "wasi-0-3")))]
pub mod wasi;
#[cfg(all(target_family = "wasm", feature = "wasi-0-3"))]
pub mod wasi3;

pub use error::NetError;
pub use instant::Instant;
pub use timeout::timeout_at;
pub use tls::TlsError;
pub use traits::{
    Listener, MAX_READ, Net, Sink, SinkClosed, Source, SourceFailed, Splice, SpliceError, Stream,
    TryRead,
};
/// The back-end of this build.
#[cfg(all(target_family = "wasm", not(feature = "wasi-0-3")))]
pub use wasi as system;
#[cfg(all(target_family = "wasm", feature = "wasi-0-3"))]
pub use wasi3 as system;

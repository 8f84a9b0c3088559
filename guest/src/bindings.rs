//! The bindings that `wit-bindgen` generates from `wit/`.

#![allow(clippy::all, missing_docs)]

#[cfg(not(any(feature = "tls", feature = "wasi-0-3")))]
wit_bindgen::generate!({
    path: "../wit",
    world: "programs",
    generate_all,
    pub_export_macro: true,
});

#[cfg(feature = "tls")]
wit_bindgen::generate!({
    path: "../wit",
    world: "programs-tls",
    features: ["tls"],
    generate_all,
    pub_export_macro: true,
});

#[cfg(feature = "wasi-0-3")]
wit_bindgen::generate!({
    path: "../wit/wasi-0.3",
    world: "programs",
    generate_all,
    pub_export_macro: true,
    // Calls that wait use the reactor of `net::wasi3`, and not the executor of `wit-bindgen`.
    async: [
        "-export:wasi:cli/run@0.3.0#run",
        "-export:sockbox:net/hello-server@0.1.0#[static]server.start",
        "-export:sockbox:net/hello-server@0.1.0#[method]server.run",
    ],
});

/// The module of the address types. Both versions have the same types under different names.
#[cfg(not(feature = "wasi-0-3"))]
pub use wasi::sockets::network as addresses;
#[cfg(feature = "wasi-0-3")]
pub use wasi::sockets::types as addresses;

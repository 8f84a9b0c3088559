//! What `wit-bindgen` makes of `wit/`.

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
    // Calls that wait do so in our own reactor, not in an executor of wit-bindgen's.
    async: [
        "-export:wasi:cli/run@0.3.0#run",
        "-export:sockbox:net/hello-server@0.1.0#[static]server.start",
        "-export:sockbox:net/hello-server@0.1.0#[method]server.run",
    ],
});

/// Where the types of addresses are: alike in both versions, under different names.
#[cfg(not(feature = "wasi-0-3"))]
pub use wasi::sockets::network as addresses;
#[cfg(feature = "wasi-0-3")]
pub use wasi::sockets::types as addresses;

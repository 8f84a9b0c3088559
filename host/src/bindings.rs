//! What `bindgen!` makes of the WIT: the component's exports, and the imports that are ours.

/// The world of our own component. Its imports are those of WASI, added to the linker by
/// wasmtime-wasi (and by [`lookup`]).
pub(crate) mod programs {
    wasmtime::component::bindgen!({
        path: "../wit",
        world: "sockbox:net/programs",
        with: { "wasi": wasmtime_wasi::p2::bindings },
        exports: { default: async },
    });
}

/// `wasi:sockets/ip-name-lookup`, which sockbox implements itself: wasmtime-wasi's is all or
/// nothing, has no timeout, and tells nobody what it answered.
pub(crate) mod lookup {
    wasmtime::component::bindgen!({
        path: "../wit",
        inline: "
            package sockbox:host;

            world lookup {
                import wasi:sockets/ip-name-lookup@0.2.12;
            }
        ",
        world: "sockbox:host/lookup",
        with: {
            "wasi:io": wasmtime_wasi::p2::bindings::io,
            "wasi:sockets/network": wasmtime_wasi::p2::bindings::sockets::network,
            "wasi:sockets/ip-name-lookup.resolve-address-stream": crate::lookup::Lookup,
        },
        imports: { default: trappable },
        require_store_data_send: true,
    });
}

/// `wasi:tls`, which sockbox implements itself: `tls` says why.
pub(crate) mod tls_world {
    wasmtime::component::bindgen!({
        path: "../wit",
        inline: "
            package sockbox:host;

            world tls {
                import wasi:tls/types@0.2.0-draft;
            }
        ",
        world: "sockbox:host/tls",
        with: {
            "wasi:io": wasmtime_wasi::p2::bindings::io,
            "wasi:tls/types.client-connection": crate::tls::Connection,
            "wasi:tls/types.client-handshake": crate::tls::Handshake,
            "wasi:tls/types.future-client-streams": crate::tls::FutureStreams,
        },
        imports: { default: trappable },
        require_store_data_send: true,
    });
}

pub(crate) use lookup::wasi::sockets::ip_name_lookup;
pub(crate) use programs::exports::sockbox::net::{fetch, hello_server, types};
pub(crate) use programs::{Programs, ProgramsPre};
pub(crate) use tls_world::wasi::tls::types as tls;

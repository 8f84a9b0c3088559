//! What `bindgen!` makes of the interfaces that are implemented here.

/// `wasi:sockets/ip-name-lookup`: wasmtime-wasi's implementation permits all names or none, has no timeout,
/// and does not report its answers.
mod lookup {
    wasmtime::component::bindgen!({
        path: "../../wit",
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

/// `wasi:tls`: the module `tls` says why.
mod tls_world {
    wasmtime::component::bindgen!({
        path: "../../wit",
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
pub(crate) use tls_world::wasi::tls::types as tls;

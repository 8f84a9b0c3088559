//! The bindings that `bindgen!` generates for the component's exports.

/// The world of our own component. Its imports are those of WASI, added to the linker by
/// `sockbox_wasi`.
pub(crate) mod programs {
    wasmtime::component::bindgen!({
        path: "../../wit",
        world: "sockbox:net/programs",
        with: { "wasi": wasmtime_wasi::p2::bindings },
        exports: { default: async },
    });
}

pub(crate) use programs::exports::sockbox::net::{fetch, hello_server, types};
pub(crate) use programs::{Programs, ProgramsPre};

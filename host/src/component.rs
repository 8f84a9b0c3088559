//! The sockbox component, as it was embedded when sockbox was built: one build of it for each version
//! of WASI, and one with TLS.

use crate::exports::Wasi;
use crate::in_place::{self, Aligned};
use std::sync::atomic::AtomicBool;
use wasmtime::component::Component;
use wasmtime::{Engine, Result, ensure};

/// The component's file for any runtime, `target/sockbox.wasm`. It isn't run here.
static PLAIN: &[u8] = include_bytes!(env!("SOCKBOX_COMPONENT_WASM"));

/// The one with TLS, `target/sockbox-tls.wasm`, and the same compiled for this machine's architecture:
/// empty where wasmtime's compiler cannot compile for it ahead of time.
static V0_2: Embedded = Embedded {
    wasm: include_bytes!(env!("SOCKBOX_TLS_COMPONENT_WASM")),
    cwasm: &Aligned(*include_bytes!(env!("SOCKBOX_TLS_COMPONENT_CWASM"))),
    taken: AtomicBool::new(false),
};

/// The same for WASI 0.3, `target/sockbox-wasi-0.3.wasm`.
static V0_3: Embedded = Embedded {
    wasm: include_bytes!(env!("SOCKBOX_WASI_0_3_COMPONENT_WASM")),
    cwasm: &Aligned(*include_bytes!(env!("SOCKBOX_WASI_0_3_COMPONENT_CWASM"))),
    taken: AtomicBool::new(false),
};

struct Embedded {
    wasm: &'static [u8],
    cwasm: &'static Aligned<[u8]>,
    taken: AtomicBool,
}

fn embedded(wasi: Wasi) -> &'static Embedded {
    match wasi {
        Wasi::V0_2 => &V0_2,
        Wasi::V0_3 => &V0_3,
    }
}

/// The component's file, for any runtime.
pub(crate) fn wasm(wasi: Wasi) -> &'static [u8] {
    match wasi {
        Wasi::V0_2 => PLAIN,
        Wasi::V0_3 => V0_3.wasm,
    }
}

/// The component that [`load`] has compiled, for engines of another configuration.
pub(crate) fn embedded_wasm(wasi: Wasi) -> &'static [u8] {
    embedded(wasi).wasm
}

/// The file of the component with TLS.
pub(crate) fn wasm_with_tls() -> &'static [u8] {
    V0_2.wasm
}

/// Loads the component into an engine made from [`engine::config`](crate::engine::config) and
/// [`in_place::prepare`].
///
/// # Errors
///
/// When this build embeds no component, which is so on docs.rs only, or when the engine has a
/// different configuration.
#[allow(unsafe_code, reason = "native code is loaded")]
pub(crate) fn load(engine: &Engine, wasi: Wasi) -> Result<Component> {
    let Embedded { wasm, cwasm, taken } = embedded(wasi);
    ensure!(
        !wasm.is_empty(),
        "this build of sockbox embeds no component"
    );
    if cwasm.0.is_empty() {
        return Component::new(engine, wasm);
    }
    // SAFETY: build.rs had these bytes from wasmtime's `precompile_component`, and they have been
    // part of the program ever since.
    unsafe { in_place::load(engine, cwasm, taken) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine;

    #[test]
    fn the_embedded_components_load_without_a_compiler() {
        assert!(!wasm(Wasi::V0_2).is_empty());
        for wasi in [Wasi::V0_2, Wasi::V0_3] {
            let mut config = engine::config(wasi == Wasi::V0_3);
            in_place::prepare(&mut config);
            let engine = Engine::new(&config).unwrap();
            assert!(!embedded(wasi).cwasm.0.is_empty(), "compiled at build time");
            load(&engine, wasi).unwrap();
        }
    }
}

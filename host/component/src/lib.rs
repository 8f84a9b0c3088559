//! The sockbox component, built together with sockbox: as WebAssembly, and compiled for this machine.
//!
//! There is one build of it for each version of WASI, and one with TLS.
//!
//! # Map
//! | file | what it has |
//! |---|---|
//! | `lib` | the builds, and loading one |
//! | [`engine`] | the configuration of wasmtime's engine under which they were compiled |
//! | [`code_memory`] | running compiled code in the program's own file, without a copy |
//! | `build.rs` | builds and compiles the component; in this workspace alone it needs a wasm toolchain |

#![warn(missing_docs)]
#![deny(unsafe_code)]

pub mod code_memory;
pub mod engine;

use code_memory::Aligned;
use sockbox_policy::Wasi;
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

/// The component's file for any runtime of this version of WASI. No version of WASI has TLS, so it fetches
/// `http` URLs only.
pub fn wasm(wasi: Wasi) -> &'static [u8] {
    match wasi {
        Wasi::V0_2 => PLAIN,
        Wasi::V0_3 => V0_3.wasm,
    }
}

/// The WebAssembly of what [`load`] loads, for engines of another configuration.
pub fn source(wasi: Wasi) -> &'static [u8] {
    embedded(wasi).wasm
}

/// The file of the component with TLS.
pub fn wasm_with_tls() -> &'static [u8] {
    V0_2.wasm
}

/// Loads the component into an engine made from [`engine::config`] and
/// [`code_memory::prepare`].
///
/// # Errors
///
/// When this build embeds no component, which is so on docs.rs only, or when the engine has a
/// different configuration.
#[allow(unsafe_code, reason = "native code is loaded")]
pub fn load(engine: &Engine, wasi: Wasi) -> Result<Component> {
    let Embedded { wasm, cwasm, taken } = embedded(wasi);
    ensure!(
        !wasm.is_empty(),
        "this build of sockbox contains no component"
    );
    if cwasm.0.is_empty() {
        return Component::new(engine, wasm);
    }
    // SAFETY: build.rs had these bytes from wasmtime's `precompile_component`, and they have been
    // part of the program ever since.
    unsafe { code_memory::load(engine, cwasm, taken) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_components_load_without_a_compiler() {
        assert!(!wasm(Wasi::V0_2).is_empty());
        for wasi in [Wasi::V0_2, Wasi::V0_3] {
            let mut config = engine::config(wasi == Wasi::V0_3);
            code_memory::prepare(&mut config);
            let engine = Engine::new(&config).unwrap();
            assert!(!embedded(wasi).cwasm.0.is_empty(), "compiled at build time");
            load(&engine, wasi).unwrap();
        }
    }
}

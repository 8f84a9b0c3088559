//! The sockbox component, as it was embedded when sockbox was built.

use wasmtime::component::Component;
use wasmtime::{Engine, Result, ensure};

/// The component's file, `target/sockbox.wasm`.
pub(crate) static WASM: &[u8] = include_bytes!(env!("SOCKBOX_COMPONENT_WASM"));

/// The same component compiled for this machine's architecture. Empty where wasmtime's compiler
/// cannot compile for it ahead of time.
static CWASM: &[u8] = include_bytes!(env!("SOCKBOX_COMPONENT_CWASM"));

/// Loads the component into an engine made from [`engine::config`](crate::engine::config).
///
/// # Errors
///
/// When this build embeds no component, which is so on docs.rs only, or when the engine has a
/// different configuration.
#[allow(unsafe_code, reason = "native code is loaded")]
pub(crate) fn load(engine: &Engine) -> Result<Component> {
    ensure!(
        !WASM.is_empty(),
        "this build of sockbox embeds no component"
    );
    if CWASM.is_empty() {
        return Component::new(engine, WASM);
    }
    // SAFETY: build.rs had these bytes from wasmtime's `precompile_component`, and they have been
    // part of the program ever since.
    unsafe { Component::deserialize(engine, CWASM) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine;

    #[test]
    fn the_embedded_component_loads_without_a_compiler() {
        let engine = Engine::new(&engine::config()).unwrap();
        assert!(!CWASM.is_empty(), "compiled at build time");
        load(&engine).unwrap();
    }
}

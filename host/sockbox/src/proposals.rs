//! The proposals of WebAssembly that sockbox does not enable, and which of them a component uses.

use sockbox_component::engine;
use wasmparser::{Validator, WasmFeatures};

/// The proposals that are not enabled, by the names of their repositories.
const OFF: [(&str, WasmFeatures); 10] = [
    ("legacy exception-handling", WasmFeatures::LEGACY_EXCEPTIONS),
    ("threads", WasmFeatures::THREADS),
    (
        "shared-everything-threads",
        WasmFeatures::SHARED_EVERYTHING_THREADS,
    ),
    ("memory64", WasmFeatures::MEMORY64),
    ("relaxed-simd", WasmFeatures::RELAXED_SIMD),
    ("function-references", WasmFeatures::FUNCTION_REFERENCES),
    ("gc", WasmFeatures::GC),
    ("stack-switching", WasmFeatures::STACK_SWITCHING),
    ("wide-arithmetic", WasmFeatures::WIDE_ARITHMETIC),
    ("custom-page-sizes", WasmFeatures::CUSTOM_PAGE_SIZES),
];

/// The problem of a component that uses proposals that are not enabled. It names these proposals. None if the component
/// uses none of them, or is not valid even with all of them.
///
/// With `concurrency`, what components for WASI 0.3 are made of is enabled.
///
/// The component is validated without the proposals, with all of them, and with all but each one.
pub(crate) fn lacking(binary: &[u8], concurrency: bool) -> Option<String> {
    let is_valid = |features| {
        let mut validator = Validator::new_with_features(features);
        validator.validate_all(binary).is_ok()
    };
    let on = engine::features(concurrency);
    let all = OFF.iter().fold(on, |all, (_, features)| all | *features);
    if is_valid(on) || !is_valid(all) {
        return None;
    }
    let off = OFF
        .iter()
        .filter(|(_, features)| !is_valid((all - *features) | on));
    let mut names: Vec<String> = off.map(|(name, _)| format!("`{name}`")).collect();
    if names.is_empty() {
        // Two proposals allow what it uses, as `gc` allows what `function-references` does. The first one is named.
        let mut alone = OFF.iter().filter(|(_, feature)| is_valid(on | *feature));
        names.extend(alone.next().map(|(name, _)| format!("`{name}`")));
    }
    match &names[..] {
        [] => None,
        [name] => Some(format!(
            "it uses {name}, a proposal of WebAssembly that sockbox does not enable"
        )),
        names => Some(format!(
            "it uses {}, proposals of WebAssembly that sockbox does not enable",
            names.join(", ")
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(module: &str) -> Option<String> {
        let component = format!("(component (core module {module}))");
        lacking(&wat::parse_str(component).unwrap(), false)
    }

    #[test]
    fn the_proposal_that_is_off_is_named() {
        for (module, name) in [
            ("(type (struct))", "gc"),
            (
                "(type $f (func)) (func (param (ref $f)))",
                "function-references",
            ),
            ("(memory 1 1 shared)", "threads"),
            ("(memory i64 1)", "memory64"),
            (
                "(func (param v128) (result v128) local.get 0 i32x4.relaxed_trunc_f32x4_s)",
                "relaxed-simd",
            ),
            ("(memory 1 (pagesize 1))", "custom-page-sizes"),
            (
                "(func (param i64 i64 i64 i64) (result i64 i64) local.get 0 local.get 1 local.get 2 \
                 local.get 3 i64.add128)",
                "wide-arithmetic",
            ),
        ] {
            let expected =
                format!("it uses `{name}`, a proposal of WebAssembly that sockbox does not enable");
            assert_eq!(told(module), Some(expected), "{module}");
        }
    }

    #[test]
    fn several_are_named_and_what_is_on_or_invalid_is_not() {
        let expected =
            "it uses `threads`, `memory64`, proposals of WebAssembly that sockbox does not enable";
        assert_eq!(told("(memory i64 1 1 shared)").as_deref(), Some(expected));
        for on in [
            "(func (param v128))",
            "(tag $e) (func throw $e) (func (block $c (try_table (catch $e $c) (throw $e))))",
            "(func (param externref))",
        ] {
            assert_eq!(told(on), None, "{on}");
        }
        assert_eq!(told("(memory i64 1) (func (result i32))"), None);
    }
}

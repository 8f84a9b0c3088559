//! The configurations of wasmtime's engine.
//!
//! `build.rs` takes this file in as well: the component is compiled while sockbox is built, and
//! code that was compiled under a different configuration is refused when it is loaded. For the
//! same reason nothing here may depend on the machine, on the environment or on which of wasmtime's
//! cargo features are on.

use wasmtime::{Collector, Config, OptLevel, WasmBacktraceDetails, WasmFeatures};

/// The configuration under which components are compiled and run: those for WASI 0.3 with
/// `concurrency`, all others without.
pub fn config(concurrency: bool) -> Config {
    let mut config = Config::new();
    config
        .wasm_features(WasmFeatures::all(), false)
        .wasm_features(features(concurrency), true)
        // The async calls of WASI 0.3, and the bookkeeping for them, which has its price.
        .concurrency_support(concurrency)
        // Gives the host a way to stop a component that computes without end.
        .epoch_interruption(true)
        // A component is compiled once and started often.
        .cranelift_opt_level(OptLevel::Speed)
        // A thrown exception is an object in a heap, whose memory counts as the component's. This is wasmtime's default.
        .collector(Collector::Copying)
        // A trap names the functions it happened in, but no source lines. By default a variable of
        // the environment decides, and what it says must be the same for building and for running.
        .wasm_backtrace_details(WasmBacktraceDetails::Disable);
    config
}

/// What a component may be made of, under the configuration with `concurrency` or that without: what
/// wasmtime understands by default, less what is not needed. The set is complete, so that a
/// component can be checked without an engine.
pub fn features(concurrency: bool) -> WasmFeatures {
    let mut features = WasmFeatures::WASM3 | WasmFeatures::COMPONENT_MODEL;
    // For C++, and for `setjmp` of C. An exception is an object in a collected heap.
    features |= WasmFeatures::EXCEPTIONS | WasmFeatures::GC_TYPES;
    features.set(WasmFeatures::CM_ASYNC, concurrency);
    features - not_needed()
}

/// What wasmtime understands by default, in some set of its cargo features, and toolchains for
/// WASI 0.2 do not put into a component. Each is more of the runtime that untrusted code can reach.
///
/// Left on is what compilers use, by default or behind a common flag: multiple results, bulk
/// memory, tables of references, SIMD, extended constant expressions (libraries linked into a
/// component), tail calls (interpreters), exceptions (C++, and `setjmp` of C). Multiple memories must stay
/// on too, though no compiler makes them: wasmtime's own code between two components that were composed into one uses them,
/// and wasmtime panics when that code is refused.
fn not_needed() -> WasmFeatures {
    // WASI 0.2 has no way to start a thread.
    WasmFeatures::THREADS
        // The component model has 32-bit memories only.
        | WasmFeatures::MEMORY64
        // These instructions give different results on different machines.
        | WasmFeatures::RELAXED_SIMD
        // These let a component define types of objects in the collected heap. No toolchain that makes components
        // uses them.
        | WasmFeatures::GC
        | WasmFeatures::FUNCTION_REFERENCES
}

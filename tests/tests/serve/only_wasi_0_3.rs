//! Differences of the component for WASI 0.3.

use sockbox_tests::{Program, Wasi};

#[test]
fn under_wasmtime_run_it_only_serves() {
    let program = Program::wasmtime_run_on(Wasi::V0_3, &[], ["fetch", "http://127.0.0.1/"]);
    program.run().assert_failure(1, &["WASI 0.3"]);
}

//! `sockbox serve`, with the component for each version of WASI.
//!
//! The modules within `wasi_0_2` and `wasi_0_3` are the same files: each takes the version from `super::WASI`.

#![allow(
    clippy::duplicate_mod,
    reason = "each file is two modules, one for each version of WASI"
)]

mod logs;
mod only_wasi_0_3;

#[path = "."]
mod wasi_0_2 {
    const WASI: sockbox_tests::Wasi = sockbox_tests::Wasi::V0_2;

    #[path = "basics.rs"]
    mod basics;
    #[path = "bounds.rs"]
    mod bounds;
    #[path = "messages.rs"]
    mod messages;
    #[path = "operation.rs"]
    mod operation;
    #[path = "process.rs"]
    mod process;
    #[path = "resets.rs"]
    mod resets;
    #[path = "soak.rs"]
    mod soak;
    #[path = "wasmtime_run.rs"]
    mod wasmtime_run;
}

#[path = "."]
mod wasi_0_3 {
    const WASI: sockbox_tests::Wasi = sockbox_tests::Wasi::V0_3;

    #[path = "basics.rs"]
    mod basics;
    #[path = "bounds.rs"]
    mod bounds;
    #[path = "messages.rs"]
    mod messages;
    #[path = "operation.rs"]
    mod operation;
    #[path = "process.rs"]
    mod process;
    #[path = "resets.rs"]
    mod resets;
    #[path = "soak.rs"]
    mod soak;
    #[path = "wasmtime_run.rs"]
    mod wasmtime_run;
}

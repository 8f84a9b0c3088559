//! `sockbox run --listen-http`: components that handle HTTP requests.
//!
//! The modules within `wasi_0_2` and `wasi_0_3` are the same files: each takes the component from `super::HANDLER`.

#![allow(
    clippy::duplicate_mod,
    reason = "each file is two modules, one for each version of WASI"
)]

mod client;
mod only_wasi_0_2;
mod only_wasi_0_3;
mod refused;

#[path = "."]
mod wasi_0_2 {
    const HANDLER: sockbox_tests::Foreign = sockbox_tests::Foreign::Handler;

    #[path = "basics.rs"]
    mod basics;
    #[path = "bounds.rs"]
    mod bounds;
    #[path = "clients.rs"]
    mod clients;
    #[path = "failures.rs"]
    mod failures;
    #[path = "grants.rs"]
    mod grants;
    #[path = "operation.rs"]
    mod operation;
}

#[path = "."]
mod wasi_0_3 {
    const HANDLER: sockbox_tests::Foreign = sockbox_tests::Foreign::HandlerOn0_3;

    #[path = "basics.rs"]
    mod basics;
    #[path = "bounds.rs"]
    mod bounds;
    #[path = "clients.rs"]
    mod clients;
    #[path = "failures.rs"]
    mod failures;
    #[path = "grants.rs"]
    mod grants;
    #[path = "operation.rs"]
    mod operation;
}

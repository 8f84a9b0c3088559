//! The version of WASI.

/// The version of WASI that a sandbox runs its component on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Wasi {
    /// WASI 0.2, for both programs and for programs of others.
    #[default]
    V0_2,
    /// WASI 0.3, for the server and for programs of others: a wait costs the same there however many connections
    /// are idle, and a connection takes more memory. wasmtime's support for it counts as experimental.
    V0_3,
}

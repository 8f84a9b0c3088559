//! The version of WASI.

/// The version of WASI that a sandbox runs its component on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Wasi {
    /// WASI 0.2, for both programs and for programs of others.
    #[default]
    V0_2,
    /// WASI 0.3, for the server alone: a wait costs the same there however many connections are
    /// idle, and a connection takes more memory. wasmtime's support for it counts as experimental.
    ///
    /// The host can't wrap its sockets there. So a run with a limit on what goes through them, or on how
    /// often, is refused ([`Limit::holds_on`](crate::Limit::holds_on)), a record of it says
    /// [`EventKind::NotCounted`](crate::audit::EventKind::NotCounted) where it would have totals, and it is
    /// refused a socket that listens already.
    V0_3,
}

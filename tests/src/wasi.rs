//! The version of WASI that the server runs on.

/// A version of WASI.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wasi {
    V0_2,
    V0_3,
}

impl Wasi {
    /// As `--wasi` takes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::V0_2 => "0.2",
            Self::V0_3 => "0.3",
        }
    }
}

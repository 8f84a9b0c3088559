//! The version of WASI that the server runs on.

/// A version of WASI.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wasi {
    V0_2,
    V0_3,
}

impl Wasi {
    /// Whether this version is without `what`, which only 0.2 has. Says so on standard error if it is, since a
    /// test that asks then ends early, or expects less.
    pub fn is_without(self, what: &str) -> bool {
        let without = self == Self::V0_3;
        if without {
            eprintln!("WASI 0.3 is without {what}");
        }
        without
    }

    /// As `--wasi` takes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::V0_2 => "0.2",
            Self::V0_3 => "0.3",
        }
    }
}

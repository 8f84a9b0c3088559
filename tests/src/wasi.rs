//! The version of WASI that the server runs on.

/// A version of WASI.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wasi {
    V0_2,
    V0_3,
}

impl Wasi {
    /// The version that the running test is about: 0.2, but 0.3 in test programs whose name begins
    /// with `wasi_0_3`. These take in the tests of others, which know nothing of versions.
    pub fn under_test() -> Self {
        let program = std::env::current_exe().unwrap_or_default();
        let name = program.file_name().unwrap_or_default().to_string_lossy();
        match name.starts_with("wasi_0_3") {
            true => Self::V0_3,
            false => Self::V0_2,
        }
    }

    /// Whether the version under test is 0.3, which doesn't have `what`. Says so on standard error if
    /// so, since a test that asks is about to be skipped, or to expect less.
    pub fn is_without(what: &str) -> bool {
        let without = Self::under_test() == Self::V0_3;
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

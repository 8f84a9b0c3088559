//! What comes of an attempt.

use crate::bindings::wasi::cli::types::ErrorCode as StreamCode;
use crate::bindings::wasi::filesystem::types::ErrorCode as FileCode;
use crate::bindings::wasi::sockets::ip_name_lookup::ErrorCode as NameCode;
use crate::bindings::wasi::sockets::types::ErrorCode as SocketCode;
use std::fmt;

/// The details of a success, or why there was none.
pub type Attempt = Result<String, Failure>;

/// An error code, and where it came up.
#[derive(Debug)]
pub struct Failure {
    code: String,
    at: String,
}

impl Failure {
    pub fn new(code: impl Into<String>, at: impl Into<String>) -> Failure {
        Failure {
            code: code.into(),
            at: at.into(),
        }
    }

    /// The same, at one of many that were tried.
    pub fn after(self, count: u64) -> Failure {
        let at = format!("{} after {count}", self.at);
        Failure { at, ..self }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", self.code, self.at)
    }
}

/// Says where an error came up.
pub trait At<T> {
    fn at(self, place: &str) -> Result<T, Failure>;
}

impl<T, E: Code> At<T> for Result<T, E> {
    fn at(self, place: &str) -> Result<T, Failure> {
        self.map_err(|code| Failure::new(code.name(), place))
    }
}

/// An error code of WASI, by its name there.
pub trait Code {
    fn name(&self) -> String;
}

impl Code for SocketCode {
    fn name(&self) -> String {
        match self {
            SocketCode::Other(Some(text)) => format!("other({text})"),
            code => kebab(&format!("{code:?}")),
        }
    }
}

impl Code for NameCode {
    fn name(&self) -> String {
        kebab(&format!("{self:?}"))
    }
}

impl Code for FileCode {
    fn name(&self) -> String {
        kebab(&format!("{self:?}"))
    }
}

impl Code for StreamCode {
    fn name(&self) -> String {
        kebab(&format!("{self:?}"))
    }
}

/// The name of a case, as WIT has it, from what Rust has for it: `ErrorCode::AccessDenied`.
fn kebab(name: &str) -> String {
    let name = name.rsplit("::").next().unwrap_or(name);
    let name = name.split([' ', '(', '{']).next().unwrap_or(name);
    let mut kebab = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !kebab.is_empty() {
            kebab.push('-');
        }
        kebab.push(letter.to_ascii_lowercase());
    }
    kebab
}

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Failure {
        Failure::new("bad-argument", error.to_string())
    }
}

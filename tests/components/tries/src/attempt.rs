//! What comes of an attempt.

use std::fmt;
use std::io;
use std::net::AddrParseError;
use std::num::{ParseFloatError, ParseIntError};
use wasip2::io::streams::StreamError;
use wasip2::sockets::network::ErrorCode;

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

impl<T> At<T> for Result<T, ErrorCode> {
    fn at(self, place: &str) -> Result<T, Failure> {
        self.map_err(|code| Failure::new(code.name(), place))
    }
}

impl<T> At<T> for Result<T, StreamError> {
    fn at(self, place: &str) -> Result<T, Failure> {
        self.map_err(|error| match error {
            StreamError::Closed => Failure::new("closed", place),
            StreamError::LastOperationFailed(_) => Failure::new("failed", place),
        })
    }
}

impl<T> At<T> for io::Result<T> {
    fn at(self, place: &str) -> Result<T, Failure> {
        self.map_err(|error| Failure::new(format!("{:?}", error.kind()), place))
    }
}

impl From<AddrParseError> for Failure {
    fn from(error: AddrParseError) -> Failure {
        Failure::new("bad-argument", error.to_string())
    }
}

impl From<ParseIntError> for Failure {
    fn from(error: ParseIntError) -> Failure {
        Failure::new("bad-argument", error.to_string())
    }
}

impl From<ParseFloatError> for Failure {
    fn from(error: ParseFloatError) -> Failure {
        Failure::new("bad-argument", error.to_string())
    }
}

//! The interface of the content codings, and their errors.

use std::fmt;

/// The decoder of one coding.
pub trait Codec {
    /// The coding's name.
    fn name(&self) -> &'static str;

    /// Takes bytes from the front of `input`, and writes decoded bytes to the front of `output`.
    ///
    /// Returns how many it wrote. 0 means that it used all input and needs more.
    fn decode(&mut self, input: &mut &[u8], output: &mut [u8]) -> Result<usize, CodingError>;

    /// Whether the data may end here.
    fn is_whole(&self) -> bool;
}

/// Removes zeros from the front of `input`: some writers leave them as padding after the end of the
/// data.
pub fn skip_padding(input: &mut &[u8]) {
    while let [0, rest @ ..] = input {
        *input = rest;
    }
}

/// Why a body can't be decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CodingError {
    /// It has an unknown coding.
    Unknown {
        /// The coding's name, escaped, and shortened if it is long.
        coding: String,
    },
    /// It has more codings than is plausible.
    TooMany,
    /// The data violates the coding's format, or its checksum is wrong.
    Broken {
        /// The coding.
        coding: &'static str,
    },
    /// Bytes that are not padding follow the end of the data.
    Trailing {
        /// The coding.
        coding: &'static str,
    },
    /// The body is complete, but the data in it is not.
    Truncated {
        /// The coding.
        coding: &'static str,
    },
}

impl std::error::Error for CodingError {}

impl fmt::Display for CodingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown { coding } => write!(f, "unknown content coding: \"{coding}\""),
            Self::TooMany => f.write_str("the body has too many content codings"),
            Self::Broken { coding } => write!(f, "the {coding} data is broken"),
            Self::Trailing { coding } => {
                write!(f, "unexpected bytes follow the end of the {coding} data")
            }
            Self::Truncated { coding } => write!(f, "the {coding} data ends too early"),
        }
    }
}

//! Content codings: what a server has done to a page before it sent it (RFC 9110 section 8.4).
//!
//! Bytes go in and come out in steps as small as the caller's buffer: data that swells a thousandfold
//! never gets to do so in memory.

mod brotli;
mod gzip;
mod inflate;
#[cfg(test)]
mod tests;

use crate::http1::{ResponseHead, excerpt, trim_ows};
use brotli::Brotli;
use gzip::Gzip;
use inflate::Deflate;
use std::fmt;

/// What a request that wants its answer coded says in `Accept-Encoding`.
pub const ACCEPTED: &str = "gzip, deflate, br";

/// The most codings that one body may have: 5, as curl and Node allow.
///
/// Nobody has a use for more than one, and each costs memory.
const MAX_CODINGS: usize = 5;

/// The most `br` among them. Its window alone may have 16 MiB, that of the others 32 KiB.
const MAX_BROTLI: usize = 1;

/// How much is kept between two codings.
const BETWEEN: usize = 4 * 1024;

/// Undoes the content codings of one body.
///
/// It takes up to 48 KiB of memory for each `gzip` or `deflate`, and for `br` as much as the server
/// has chosen, 16 MiB at most and half as much again while it grows, if the page is long enough.
pub struct ContentDecoder {
    /// In the order in which they are undone.
    layers: Vec<Layer>,
    /// Whether a byte has come: a body without any is an empty page, whatever its codings.
    begun: bool,
}

/// What one step did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// How many bytes of the input it took.
    pub consumed: usize,
    /// How many bytes of the output it filled; 0 only if it took all of the input.
    pub written: usize,
}

/// Why a body can't be decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CodingError {
    /// It has a coding that isn't known.
    Unknown {
        /// The coding's name, escaped, its beginning if it is long.
        coding: String,
    },
    /// It has more codings than anybody has a use for.
    TooMany,
    /// The data isn't what the coding says, or its checksum is wrong.
    Broken {
        /// The coding.
        coding: &'static str,
    },
    /// Something that isn't padding comes behind the data's end.
    Trailing {
        /// The coding.
        coding: &'static str,
    },
    /// The body ended as it should, but the data in it did not.
    Truncated {
        /// The coding.
        coding: &'static str,
    },
}

/// One coding, being undone.
trait Codec {
    /// The coding's name.
    fn name(&self) -> &'static str;

    /// Takes bytes from the front of `input` and puts decoded ones at the front of `output`.
    ///
    /// Returns how many it put there; 0 means that it took all there were and needs more.
    fn decode(&mut self, input: &mut &[u8], output: &mut [u8]) -> Result<usize, CodingError>;

    /// Whether the data may end here.
    fn is_whole(&self) -> bool;
}

/// A coding, and what the one before it has made and it hasn't taken yet.
struct Layer {
    codec: Box<dyn Codec>,
    begun: bool,
    buffer: Vec<u8>,
    next: usize,
}

impl ContentDecoder {
    /// A decoder for the body behind `head`; none if it isn't coded.
    ///
    /// Codings that can't be undone are an error of the body's first byte: a body without any needs
    /// no decoding.
    pub fn of(head: &ResponseHead) -> Option<Self> {
        let layers = match codecs(head) {
            Ok(codecs) => codecs,
            Err(error) => vec![Box::new(Refused(error)) as Box<dyn Codec>],
        };
        if layers.is_empty() {
            return None;
        }
        Some(Self {
            layers: layers.into_iter().map(Layer::new).collect(),
            begun: false,
        })
    }

    /// Decodes some of `input` into `output`, which must not be empty.
    ///
    /// # Errors
    /// Each case of [`CodingError`] but `Truncated`. An error is final: the decoder is of no use then.
    /// Where more than one coding is broken, which of them is told depends on how the bytes come.
    pub fn decode(&mut self, input: &[u8], output: &mut [u8]) -> Result<Step, CodingError> {
        self.begun |= !input.is_empty();
        let mut rest = input;
        let written = match self.begun {
            true => pull(&mut self.layers, &mut rest, output)?,
            false => 0,
        };
        Ok(Step {
            consumed: input.len() - rest.len(),
            written,
        })
    }

    /// Takes note that the body has ended, and that [`decode`](Self::decode) gives nothing more.
    ///
    /// # Errors
    /// [`CodingError::Truncated`].
    pub fn end_of_input(&self) -> Result<(), CodingError> {
        match self
            .layers
            .iter()
            .find(|layer| layer.begun && !layer.codec.is_whole())
        {
            Some(layer) => Err(CodingError::Truncated {
                coding: layer.codec.name(),
            }),
            None => Ok(()),
        }
    }
}

/// Decodes with all of `layers`: the last has the page, the first takes the wire's bytes.
fn pull(layers: &mut [Layer], input: &mut &[u8], output: &mut [u8]) -> Result<usize, CodingError> {
    let Some((layer, before)) = layers.split_last_mut() else {
        return Ok(0);
    };
    if before.is_empty() {
        layer.begun |= !input.is_empty();
        return layer.codec.decode(input, output);
    }
    loop {
        let mut pending = layer.buffer.get(layer.next..).unwrap_or_default();
        let written = layer.codec.decode(&mut pending, output)?;
        layer.next = layer.buffer.len() - pending.len();
        if written > 0 {
            return Ok(written);
        }
        layer.buffer.resize(BETWEEN, 0);
        layer.next = 0;
        let filled = pull(before, input, &mut layer.buffer);
        layer.buffer.truncate(*filled.as_ref().unwrap_or(&0));
        if filled? == 0 {
            return Ok(0);
        }
        layer.begun = true;
    }
}

impl Layer {
    fn new(codec: Box<dyn Codec>) -> Self {
        Self {
            codec,
            begun: false,
            buffer: Vec::new(),
            next: 0,
        }
    }
}

/// The codings that `head` names, the one that was applied last first.
fn codecs(head: &ResponseHead) -> Result<Vec<Box<dyn Codec>>, CodingError> {
    let mut codecs: Vec<Box<dyn Codec>> = Vec::new();
    let mut brotli = 0;
    for value in head.values("Content-Encoding") {
        for coding in value.split(|&byte| byte == b',').map(trim_ows) {
            let is = |name: &str| coding.eq_ignore_ascii_case(name.as_bytes());
            if is("gzip") || is("x-gzip") {
                codecs.push(Box::new(Gzip::new()));
            } else if is("deflate") {
                codecs.push(Box::new(Deflate::new()));
            } else if is("br") {
                brotli += 1;
                codecs.push(Box::new(Brotli::new()));
            } else if !coding.is_empty() && !is("identity") && !is("none") {
                // `none` is no name for no coding, but curl and we know what it means.
                return Err(CodingError::Unknown {
                    coding: excerpt(coding),
                });
            }
            if codecs.len() > MAX_CODINGS || brotli > MAX_BROTLI {
                return Err(CodingError::TooMany);
            }
        }
    }
    codecs.reverse();
    Ok(codecs)
}

/// Codings that can't be undone.
struct Refused(CodingError);

impl Codec for Refused {
    fn name(&self) -> &'static str {
        "unknown"
    }

    fn decode(&mut self, _input: &mut &[u8], _output: &mut [u8]) -> Result<usize, CodingError> {
        Err(self.0.clone())
    }

    fn is_whole(&self) -> bool {
        true
    }
}

/// Takes the zeros from the front of `input`: padding behind the data's end, which some writers leave.
fn skip_padding(input: &mut &[u8]) {
    while let [0, rest @ ..] = input {
        *input = rest;
    }
}

impl std::error::Error for CodingError {}

impl fmt::Display for CodingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown { coding } => write!(f, "the content coding isn't known: \"{coding}\""),
            Self::TooMany => f.write_str("the body has more content codings than make sense"),
            Self::Broken { coding } => write!(f, "the {coding} data is broken"),
            Self::Trailing { coding } => {
                write!(
                    f,
                    "something else comes behind the end of the {coding} data"
                )
            }
            Self::Truncated { coding } => write!(f, "the {coding} data ends too early"),
        }
    }
}

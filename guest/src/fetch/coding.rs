//! Decoding of content codings (RFC 9110 section 8.4).
//!
//! Decoding works in steps that are as small as the caller's buffer. So data that expands a
//! thousandfold never fills the memory.

mod brotli;
mod codec;
mod gzip;
mod inflate;
#[cfg(test)]
mod tests;

use crate::http1::{ResponseHead, excerpt, trim_ows};
use brotli::Brotli;
use codec::Codec;
pub use codec::CodingError;
use gzip::Gzip;
use inflate::Deflate;

/// The value of `Accept-Encoding` for a request whose response is decoded.
pub const ACCEPTED: &str = "gzip, deflate, br";

/// The most codings that one body may have: 5, as curl and Node allow.
///
/// A second one has no use, and each costs memory.
const MAX_CODINGS: usize = 5;

/// The most `br` codings among them. The window of one can have 16 MiB, that of the others 32 KiB.
const MAX_BROTLI: usize = 1;

/// The size of the buffer between two codings.
const BETWEEN: usize = 4 * 1024;

/// Decodes the content codings of one body.
///
/// It uses up to 48 KiB of memory for each `gzip` or `deflate`. For `br` the server chooses the
/// memory: at most 16 MiB, and half as much again while the window grows, if the body is long
/// enough.
pub struct ContentDecoder {
    /// In the order of decoding.
    layers: Vec<Layer>,
    /// Whether a byte has arrived. A body without bytes decodes to an empty one, whatever its
    /// codings.
    begun: bool,
}

/// The result of one step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// How many bytes of the input it used.
    pub consumed: usize,
    /// How many bytes of the output it filled; 0 only if it used all of the input.
    pub written: usize,
}

/// A coding, and the bytes that the layer before it has decoded and that it has not used yet.
struct Layer {
    codec: Box<dyn Codec>,
    begun: bool,
    buffer: Vec<u8>,
    next: usize,
}

impl ContentDecoder {
    /// A decoder for the body that follows `head`; `None` if it has no content coding.
    ///
    /// Unsupported codings are an error only at the body's first byte: an empty body needs no
    /// decoding.
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
    /// Each case of [`CodingError`] except `Truncated`. An error is final: the decoder can't be
    /// used any more. If more than one coding is broken, the error depends on how the bytes arrive.
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

    /// Checks that the data may end here. [`decode`](Self::decode) has returned everything.
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

/// Decodes with all of `layers`: the last one outputs the body, the first one takes the received
/// bytes.
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
                // `none` is not a registered name, but curl also takes it for no coding.
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

/// A codec that fails with an error that is known beforehand.
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

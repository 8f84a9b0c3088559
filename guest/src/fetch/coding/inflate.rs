//! The deflate format (RFC 1951), bare or in a zlib wrapper.

use super::codec::{Codec, CodingError, skip_padding};
use flate2::{Decompress, FlushDecompress, Status};

/// A deflate stream, with or without a zlib wrapper.
pub struct Inflate {
    state: Decompress,
    ended: bool,
}

/// The data violates the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Broken;

impl Inflate {
    /// The start of a stream without a wrapper.
    pub fn bare() -> Self {
        Self {
            state: Decompress::new(false),
            ended: false,
        }
    }

    /// The start of a stream in a zlib wrapper (RFC 1950), whose checksum is verified.
    pub fn wrapped() -> Self {
        Self {
            state: Decompress::new(true),
            ended: false,
        }
    }

    /// Whether the stream has ended. The rest of the input does not belong to it.
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// Decodes from the front of `input` to the front of `output` until the output is full, the
    /// input is used up, or the stream ends. Returns how many bytes it wrote.
    pub fn decode(&mut self, input: &mut &[u8], output: &mut [u8]) -> Result<usize, Broken> {
        let mut written = 0;
        while !self.ended && written < output.len() {
            let (taken_before, put_before) = (self.state.total_in(), self.state.total_out());
            let room = output.get_mut(written..).unwrap_or_default();
            let status = self
                .state
                .decompress(input, room, FlushDecompress::None)
                .map_err(|_| Broken)?;
            let taken = (self.state.total_in() - taken_before) as usize;
            let put = (self.state.total_out() - put_before) as usize;
            *input = input.get(taken..).unwrap_or_default();
            written += put;
            self.ended = status == Status::StreamEnd;
            if taken == 0 && put == 0 && !self.ended {
                return if input.is_empty() {
                    Ok(written)
                } else {
                    Err(Broken)
                };
            }
        }
        Ok(written)
    }
}

/// The coding `deflate`: a zlib stream by the standard, and a bare deflate stream from many
/// servers.
pub struct Deflate(State);

enum State {
    /// The first byte, if it was read. It takes two bytes to distinguish the two formats.
    Start(Option<u8>),
    Data(Inflate),
}

impl Deflate {
    pub fn new() -> Self {
        Self(State::Start(None))
    }
}

/// Whether a zlib stream starts with these bytes (RFC 1950 section 2.2). A bare stream with the
/// same start would begin with an uncompressed block whose padding has a set bit, and no known
/// writer sets one.
fn is_zlib(first: u8, second: u8) -> bool {
    first & 0x0f == 8 && first >> 4 <= 7 && u16::from_be_bytes([first, second]).is_multiple_of(31)
}

impl Codec for Deflate {
    fn name(&self) -> &'static str {
        "deflate"
    }

    fn decode(&mut self, input: &mut &[u8], output: &mut [u8]) -> Result<usize, CodingError> {
        let broken = |Broken| CodingError::Broken { coding: "deflate" };
        loop {
            match &mut self.0 {
                State::Start(first) => match (*first, *input) {
                    (_, []) => return Ok(0),
                    (None, [byte, rest @ ..]) => {
                        *first = Some(*byte);
                        *input = rest;
                    }
                    (Some(first), [second, ..]) => {
                        let mut inflate = match is_zlib(first, *second) {
                            true => Inflate::wrapped(),
                            false => Inflate::bare(),
                        };
                        // One byte produces no output: the header of a block already has more bits
                        // than are left.
                        inflate.decode(&mut &[first][..], output).map_err(broken)?;
                        self.0 = State::Data(inflate);
                    }
                },
                State::Data(inflate) => {
                    let written = inflate.decode(input, output).map_err(broken)?;
                    if inflate.has_ended() && written == 0 {
                        skip_padding(input);
                        if !input.is_empty() {
                            return Err(CodingError::Trailing { coding: "deflate" });
                        }
                    }
                    return Ok(written);
                }
            }
        }
    }

    fn is_whole(&self) -> bool {
        matches!(&self.0, State::Data(inflate) if inflate.has_ended())
    }
}

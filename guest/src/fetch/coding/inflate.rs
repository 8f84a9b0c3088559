//! The deflate format (RFC 1951), bare or in a zlib wrapper.

use super::{Codec, CodingError, skip_padding};
use flate2::{Decompress, FlushDecompress, Status};

/// A deflate stream, with or without a zlib wrapper.
pub struct Inflate {
    state: Decompress,
    ended: bool,
}

/// The data is not what it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Broken;

impl Inflate {
    /// The beginning of a stream without a wrapper.
    pub fn bare() -> Self {
        Self {
            state: Decompress::new(false),
            ended: false,
        }
    }

    /// The beginning of a stream in a zlib wrapper (RFC 1950), whose checksum is checked.
    pub fn wrapped() -> Self {
        Self {
            state: Decompress::new(true),
            ended: false,
        }
    }

    /// Whether the stream has ended; what is left of the input doesn't belong to it.
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// Decodes from the front of `input` to the front of `output`, until that is full, the input
    /// taken, or the stream at its end. Returns how many bytes it put out.
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

/// What servers mean by `deflate`: by the standard a zlib stream, by many of them a bare one.
pub struct Deflate(State);

enum State {
    /// The first byte that came, if one did: it takes two to tell the two formats apart.
    Start(Option<u8>),
    Data(Inflate),
}

impl Deflate {
    pub fn new() -> Self {
        Self(State::Start(None))
    }
}

/// Whether a zlib stream begins with these bytes (RFC 1950 section 2.2). A bare stream that does would
/// have to begin with an uncompressed block and a set bit in its padding; none of its writers sets one.
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
                        // A byte makes no output: a block's header alone has more bits than are left.
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

//! The brotli format (RFC 7932).

use super::codec::{Codec, CodingError, skip_padding};
use brotli_decompressor::{BrotliDecompressStream, BrotliResult, BrotliState, StandardAlloc};

type State = BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>;

/// A brotli stream.
pub struct Brotli {
    state: Box<State>,
    ended: bool,
}

impl Brotli {
    pub fn new() -> Self {
        let alloc = StandardAlloc::default;
        Self {
            // Strict: larger windows than 16 MiB are an extension that HTTP does not allow.
            state: Box::new(State::new_strict(alloc(), alloc(), alloc())),
            ended: false,
        }
    }
}

impl Codec for Brotli {
    fn name(&self) -> &'static str {
        "br"
    }

    fn decode(&mut self, input: &mut &[u8], output: &mut [u8]) -> Result<usize, CodingError> {
        let mut written = 0;
        if !self.ended {
            let (mut available, mut taken) = (input.len(), 0);
            let mut room = output.len();
            let mut total = 0;
            let result = BrotliDecompressStream(
                &mut available,
                &mut taken,
                input,
                &mut room,
                &mut written,
                output,
                &mut total,
                &mut self.state,
            );
            *input = input.get(taken..).unwrap_or_default();
            match result {
                BrotliResult::ResultSuccess => self.ended = true,
                BrotliResult::NeedsMoreInput | BrotliResult::NeedsMoreOutput => {}
                BrotliResult::ResultFailure => return Err(CodingError::Broken { coding: "br" }),
            }
        }
        if self.ended && written == 0 {
            skip_padding(input);
            if !input.is_empty() {
                return Err(CodingError::Trailing { coding: "br" });
            }
        }
        Ok(written)
    }

    fn is_whole(&self) -> bool {
        self.ended
    }
}

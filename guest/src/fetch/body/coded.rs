//! Decoding a body that has content codings.

use crate::fetch::coding::ContentDecoder;
use crate::fetch::error::{FetchError, ResponseLimit};
use crate::http1::ResponseHead;

/// How many bytes are received at once, and how many are decoded at once.
///
/// Decoding a step takes longer than receiving the next one. With the memory of the decoder itself
/// this size stays below 64 KiB.
pub const STEP: usize = 8 * 1024;

/// The decoder of a body, with its limits.
pub struct Coded {
    decoder: ContentDecoder,
    /// How many decoded bytes were passed on.
    decoded: u64,
    max_size: Option<u64>,
}

impl Coded {
    /// The decoder of the body that follows `head`, with a limit on its decoded size. `None` if the
    /// body has no content coding.
    pub fn of(head: &ResponseHead, max_size: Option<u64>) -> Option<Self> {
        Some(Self {
            decoder: ContentDecoder::of(head)?,
            decoded: 0,
            max_size,
        })
    }

    /// The most bytes to receive before decoding.
    ///
    /// A body with a content coding can be a little larger than the decoded body. It can also be
    /// endless and decode to nothing, which a limit on the decoded size would not stop.
    pub fn max_received(&self) -> Option<u64> {
        const SLACK: u64 = 64 * 1024;
        let max = self.max_size?;
        Some(max.saturating_add(max / 16).saturating_add(SLACK))
    }

    /// Decodes the start of `input` into at most `max` bytes. Returns these bytes and the number of
    /// input bytes used.
    pub fn decode(&mut self, input: &[u8], max: u64) -> Result<(Vec<u8>, usize), FetchError> {
        let allowance = self.allowance();
        // If no more bytes are allowed, it still tries to decode one byte: there may be none.
        let room = max.min(allowance.max(1)).min(STEP as u64);
        let mut output = vec![0; room as usize];
        let step = self.decoder.decode(input, &mut output)?;
        if step.written as u64 > allowance {
            return Err(FetchError::LimitExceeded(ResponseLimit::BodySize));
        }
        self.decoded += step.written as u64;
        output.truncate(step.written);
        Ok((output, step.consumed))
    }

    /// Checks that the body may end here. [`decode`](Self::decode) has returned all of it.
    pub fn end_of_input(&self) -> Result<(), FetchError> {
        Ok(self.decoder.end_of_input()?)
    }

    /// How many more decoded bytes are allowed.
    fn allowance(&self) -> u64 {
        self.max_size
            .map_or(u64::MAX, |max| max.saturating_sub(self.decoded))
    }
}

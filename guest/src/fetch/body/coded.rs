//! Pages that come coded.

use super::{Decoded, FetchError, Limit, Net, Response};
use crate::fetch::coding::ContentDecoder;
use crate::http1::ResponseHead;

/// How much is received at once, and how much decoded.
///
/// Decoding takes longer than asking for the next step, and with the decoder's own memory this stays
/// below 64 KiB.
const STEP: usize = 8 * 1024;

/// A page that comes coded.
pub struct Coded {
    decoder: ContentDecoder,
    /// How many bytes of the page were passed on.
    decoded: u64,
    max_size: Option<u64>,
}

impl Coded {
    /// The page behind `head`, of which so many bytes are allowed; none if it isn't coded.
    pub fn of(head: &ResponseHead, max_size: Option<u64>) -> Option<Self> {
        Some(Self {
            decoder: ContentDecoder::of(head)?,
            decoded: 0,
            max_size,
        })
    }

    /// The most bytes to receive.
    ///
    /// A coded page can be a little larger than the page itself. It could also be without end and
    /// never come to anything, which the page's own bound would not stop.
    pub fn max_received(&self) -> Option<u64> {
        const SLACK: u64 = 64 * 1024;
        let max = self.max_size?;
        Some(max.saturating_add(max / 16).saturating_add(SLACK))
    }

    /// How many more bytes of the page are allowed.
    fn allowance(&self) -> u64 {
        self.max_size
            .map_or(u64::MAX, |max| max.saturating_sub(self.decoded))
    }
}

impl<N: Net> Response<N> {
    /// Receives what it takes to decode at least one and at most `max` bytes of a page that comes
    /// coded; none when it has ended as it should.
    pub(super) async fn decode_some(&mut self, max: u64) -> Result<Option<Vec<u8>>, FetchError> {
        loop {
            let unread = self.buffer.get(self.next..).unwrap_or_default();
            let available = match self.decoder.decode(unread)? {
                Decoded::Data { skip, len } => {
                    self.next += skip;
                    len
                }
                Decoded::End { consumed } => {
                    self.next += consumed;
                    0
                }
                // All of the buffer: it was framing, or there was nothing in it.
                Decoded::NeedMore { .. } => {
                    self.buffer = Vec::new();
                    self.next = 0;
                    0
                }
            };
            let Some(coded) = &mut self.coded else {
                return Ok(None);
            };
            let allowance = coded.allowance();
            // With nothing more allowed, one byte is looked for all the same: there may be none.
            let room = max.min(allowance.max(1)).min(STEP as u64);
            let mut page = vec![0; room as usize];
            let input = self.buffer.get(self.next..).unwrap_or_default();
            let input = input.get(..available).unwrap_or_default();
            let step = coded.decoder.decode(input, &mut page)?;
            if step.written as u64 > allowance {
                return Err(FetchError::LimitExceeded(Limit::BodySize));
            }
            coded.decoded += step.written as u64;
            let max_received = coded.max_received();
            self.take_buffered(step.consumed);
            if step.written > 0 {
                page.truncate(step.written);
                return Ok(Some(page));
            }
            if self.decoder.is_done() {
                return self.end_of_page().await;
            }
            if max_received.is_some_and(|max| self.decoder.received() > max) {
                return Err(FetchError::LimitExceeded(Limit::BodySize));
            }
            if step.consumed > 0 {
                continue;
            }
            match self.receive(STEP).await? {
                Some(bytes) => {
                    self.buffer = bytes;
                    self.next = 0;
                }
                None => self.decoder.end_of_input()?,
            }
        }
    }

    async fn end_of_page(&mut self) -> Result<Option<Vec<u8>>, FetchError> {
        self.end().await?;
        if let Some(coded) = &self.coded {
            coded.decoder.end_of_input()?;
        }
        Ok(None)
    }
}

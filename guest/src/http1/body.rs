//! Finds a response's body among the bytes that follow the head.

use super::chunked::ChunkedDecoder;
use super::error::{Incomplete, ParseError};
use super::field::Header;
use super::framing::BodyFraming;
use super::limits::Limits;

/// Determines which of the bytes after a head are the body, and where the body ends.
///
/// It never holds any of the body. The caller gives it the received bytes, gets the ranges that are
/// body, and reports how many bytes of the body it has [passed](Self::passed) on. Where no framing
/// is due, bytes may also be moved [without being parsed](Self::passthrough).
///
/// ```
/// use sockbox_guest::http1::{BodyDecoder, BodyFraming, Decoded, Limits};
///
/// let mut decoder = BodyDecoder::new(BodyFraming::Chunked, &Limits::default());
/// let mut received: &[u8] = b"5\r\nhello\r\n0\r\n\r\n";
/// let mut body = Vec::new();
/// loop {
///     match decoder.decode(received)? {
///         Decoded::Data { skip, len } => {
///             body.extend_from_slice(&received[skip..skip + len]);
///             decoder.passed(len as u64);
///             received = &received[skip + len..];
///         }
///         Decoded::NeedMore { .. } => unreachable!("the body is whole"),
///         Decoded::End { .. } => break,
///     }
/// }
/// assert_eq!(body, b"hello");
/// # Ok::<(), sockbox_guest::http1::ParseError>(())
/// ```
#[derive(Debug)]
pub struct BodyDecoder {
    expected: Option<u64>,
    received: u64,
    state: State,
}

#[derive(Debug)]
enum State {
    /// This many bytes are still to come, at least one.
    Length { remaining: u64 },
    /// Everything until the connection is closed.
    UntilClose,
    /// Chunks and trailers.
    Chunked(ChunkedDecoder),
    /// Nothing: the body has ended. Holds the trailers, if there were any.
    Ended { trailers: Vec<Header> },
    /// The framing is broken. This state is final.
    Failed(ParseError),
}

/// The meaning of the bytes at the front of the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decoded {
    /// `skip` bytes of framing, which are consumed, then `len` bytes of the body, at least one.
    ///
    /// The bytes of the body count when they are [passed](BodyDecoder::passed). Until then the
    /// decoder gives the same result for them again.
    Data {
        /// How many bytes of framing come first.
        skip: usize,
        /// How many bytes of body follow.
        len: usize,
    },
    /// All of it is framing, which is consumed, and more must come.
    NeedMore {
        /// How many bytes there were: all of them.
        consumed: usize,
    },
    /// The body has ended. The bytes that follow do not belong to this response.
    End {
        /// How many bytes of framing came before the end.
        consumed: usize,
    },
}

impl BodyDecoder {
    /// A decoder for one body.
    pub fn new(framing: BodyFraming, limits: &Limits) -> Self {
        let ended = State::Ended {
            trailers: Vec::new(),
        };
        let (expected, state) = match framing {
            BodyFraming::Empty | BodyFraming::Length(0) => (Some(0), ended),
            BodyFraming::Length(remaining) => (Some(remaining), State::Length { remaining }),
            BodyFraming::Chunked => (None, State::Chunked(ChunkedDecoder::new(limits))),
            BodyFraming::UntilClose => (None, State::UntilClose),
        };
        Self {
            expected,
            received: 0,
            state,
        }
    }

    /// Determines what the bytes in `received` are. They are those that were neither reported as
    /// framing nor [passed](Self::passed).
    ///
    /// # Errors
    /// - [`ParseError::InvalidChunkSize`], [`ChunkSizeOverflow`](ParseError::ChunkSizeOverflow),
    ///   [`InvalidChunkEnd`](ParseError::InvalidChunkEnd),
    ///   [`ChunkOverheadTooLarge`](ParseError::ChunkOverheadTooLarge): the chunks are broken.
    /// - [`ParseError::InvalidLine`], [`TrailersTooLarge`](ParseError::TrailersTooLarge),
    ///   [`TooManyTrailers`](ParseError::TooManyTrailers): the trailers are, or are too many.
    ///
    /// An error is final: the same one comes at every further call.
    pub fn decode(&mut self, received: &[u8]) -> Result<Decoded, ParseError> {
        let decoder = match &mut self.state {
            State::Ended { .. } => return Ok(Decoded::End { consumed: 0 }),
            State::Failed(error) => return Err(error.clone()),
            State::Length { .. } | State::UntilClose => return Ok(self.data(0, received.len())),
            State::Chunked(decoder) => decoder,
        };
        let skipped = match decoder.skip_framing(received) {
            Ok(skipped) => skipped,
            Err(error) => {
                self.state = State::Failed(error.clone());
                return Err(error);
            }
        };
        if skipped.ended {
            self.end();
            return Ok(Decoded::End {
                consumed: skipped.framing,
            });
        }
        Ok(self.data(skipped.framing, received.len() - skipped.framing))
    }

    /// How many of the next bytes to be received are body and need no parsing. They may be moved at
    /// once, and then have to be [passed](Self::passed).
    ///
    /// 0 where framing is due or the body has ended, [`u64::MAX`] where it ends with the connection.
    pub fn passthrough(&self) -> u64 {
        match &self.state {
            State::Length { remaining } => *remaining,
            State::UntilClose => u64::MAX,
            State::Chunked(decoder) => decoder.remaining(),
            State::Ended { .. } | State::Failed(_) => 0,
        }
    }

    /// Counts `n` more bytes of the body, out of those that [`decode`](Self::decode) or
    /// [`passthrough`](Self::passthrough) reported. A larger number counts as the reported one.
    pub fn passed(&mut self, n: u64) {
        let n = n.min(self.passthrough());
        self.received = self.received.saturating_add(n);
        match &mut self.state {
            State::Length { remaining } => {
                *remaining -= n;
                if *remaining == 0 {
                    self.end();
                }
            }
            State::Chunked(decoder) => decoder.pass(n),
            State::UntilClose | State::Ended { .. } | State::Failed(_) => {}
        }
    }

    /// Handles the end of the connection.
    ///
    /// # Errors
    /// [`Incomplete`]: the body is incomplete.
    pub fn end_of_input(&mut self) -> Result<(), Incomplete> {
        match self.state {
            State::UntilClose => self.end(),
            State::Ended { .. } => {}
            State::Length { .. } | State::Chunked(_) | State::Failed(_) => {
                return Err(Incomplete {
                    received: self.received,
                    expected: self.expected,
                });
            }
        }
        Ok(())
    }

    /// Whether the body is complete.
    pub fn is_done(&self) -> bool {
        matches!(self.state, State::Ended { .. })
    }

    /// How many bytes of the body have been passed on.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// The size of the body, if it is known beforehand; 0 if there is no body.
    pub fn content_length(&self) -> Option<u64> {
        self.expected
    }

    /// The trailer fields of a chunked body, in the order received; none before its end.
    pub fn trailers(&self) -> &[Header] {
        match &self.state {
            State::Ended { trailers } => trailers,
            _ => &[],
        }
    }

    fn data(&self, skip: usize, available: usize) -> Decoded {
        let len = usize::try_from(self.passthrough()).map_or(available, |n| n.min(available));
        if len == 0 {
            Decoded::NeedMore { consumed: skip }
        } else {
            Decoded::Data { skip, len }
        }
    }

    fn end(&mut self) {
        let ended = State::Ended {
            trailers: Vec::new(),
        };
        if let State::Chunked(decoder) = std::mem::replace(&mut self.state, ended) {
            self.state = State::Ended {
                trailers: decoder.into_trailers(),
            };
        }
    }
}

#[cfg(test)]
mod tests;

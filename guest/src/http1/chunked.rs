//! The chunked transfer coding (RFC 9112 section 7.1).

use super::error::ParseError;
use super::field::{FieldSection, Header, SectionStatus};
use super::limits::Limits;
use std::num::NonZeroUsize;

/// The bytes that follow a chunk's data.
pub const CHUNK_END: &[u8] = b"\r\n";

/// The last chunk and the end of a body without trailers.
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// The size line of a chunk of `length` bytes. An empty chunk would end the body.
pub fn chunk_start(length: NonZeroUsize) -> String {
    format!("{length:x}\r\n")
}

/// How many bytes the size line of each chunk may have, whatever the size: sixteen digits, the
/// padding that some servers write, the line end, and a short extension.
const FREE_LINE_SIZE: u64 = 32;

/// Finds the data of the chunks between the framing.
///
/// Framing is read byte by byte into a few numbers. Only the trailers are kept.
#[derive(Debug)]
pub(super) struct ChunkedDecoder {
    limits: Limits,
    next: Next,
    /// Whether the last size line ended in a bare LF.
    bare_lf: bool,
    /// The bytes of size lines beyond the allowance of their chunks.
    overhead: u64,
    trailers: Trailers,
}

/// What is expected next. `Size` comes first and follows `DataEnd` and `DataLf`. Each other state
/// is followed by itself or by one below it, and `Nothing` by none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// A digit of a chunk's size, or after the first digit what may follow the size.
    Size { size: u64, digits: bool },
    /// White space between the size and an extension or the line end.
    SizePadding { size: u64 },
    /// More of an extension, which is skipped.
    Extension { size: u64 },
    /// The LF after the CR of a size line.
    SizeLf { size: u64 },
    /// More of the chunk: this many bytes, at least one.
    Data { remaining: u64 },
    /// The line end after the chunk.
    DataEnd,
    /// The LF of that line end.
    DataLf,
    /// A line of the trailer section.
    Trailer,
    /// Nothing: the body has ended.
    Nothing,
}

/// The result of [`ChunkedDecoder::skip_framing`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Skipped {
    /// How many bytes of framing there were.
    pub(super) framing: usize,
    /// Whether the body has ended. If not, the bytes that are left belong to the chunk.
    pub(super) ended: bool,
}

#[derive(Debug)]
struct Trailers {
    size: usize,
    /// The start of a line whose end has not arrived.
    line: Vec<u8>,
    fields: FieldSection,
}

impl ChunkedDecoder {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            limits: *limits,
            next: Next::Size {
                size: 0,
                digits: false,
            },
            bare_lf: false,
            overhead: 0,
            trailers: Trailers {
                size: 0,
                line: Vec::new(),
                fields: FieldSection::of_trailers(limits),
            },
        }
    }

    /// Reads the framing at the front of `received`, up to the next byte of the body.
    pub(super) fn skip_framing(&mut self, received: &[u8]) -> Result<Skipped, ParseError> {
        let mut rest = received;
        loop {
            match self.next {
                Next::Data { .. } | Next::Nothing => break,
                Next::Trailer => {
                    if rest.is_empty() {
                        break;
                    }
                    rest = self.read_trailers(rest)?;
                }
                _ => {
                    let Some((&byte, more)) = rest.split_first() else {
                        break;
                    };
                    self.next = self.read_framing(byte)?;
                    rest = more;
                }
            }
        }
        Ok(Skipped {
            framing: received.len() - rest.len(),
            ended: self.next == Next::Nothing,
        })
    }

    /// How many more bytes the chunk has, if the next byte is one of them; else 0.
    pub(super) fn remaining(&self) -> u64 {
        match self.next {
            Next::Data { remaining } => remaining,
            _ => 0,
        }
    }

    /// Counts `n` bytes of the chunk, at most as many as remain.
    pub(super) fn pass(&mut self, n: u64) {
        if let Next::Data { remaining } = self.next {
            self.next = match remaining.saturating_sub(n) {
                0 => Next::DataEnd,
                remaining => Next::Data { remaining },
            };
        }
    }

    /// The trailers, which are complete once the body has ended.
    pub(super) fn into_trailers(self) -> Vec<Header> {
        self.trailers.fields.into_fields()
    }

    fn read_framing(&mut self, byte: u8) -> Result<Next, ParseError> {
        if matches!(
            self.next,
            Next::Size { .. }
                | Next::SizePadding { .. }
                | Next::Extension { .. }
                | Next::SizeLf { .. }
        ) {
            self.overhead += 1;
            if self.overhead > self.limits.max_chunk_overhead as u64 {
                return Err(ParseError::ChunkOverheadTooLarge {
                    limit: self.limits.max_chunk_overhead,
                });
            }
        }
        match self.next {
            Next::Size { size, digits } => match (hex_digit(byte), digits) {
                (Some(digit), _) => size
                    .checked_mul(16)
                    .and_then(|size| size.checked_add(digit))
                    .map(|size| Next::Size { size, digits: true })
                    .ok_or(ParseError::ChunkSizeOverflow),
                (None, true) => self.end_of_size(size, byte),
                (None, false) => Err(ParseError::InvalidChunkSize),
            },
            Next::SizePadding { size } => self.end_of_size(size, byte),
            Next::Extension { size } => match byte {
                b'\r' => Ok(Next::SizeLf { size }),
                b'\n' => Ok(self.begin_chunk(size, true)),
                b'\0' => Err(ParseError::InvalidChunkSize),
                _ => Ok(Next::Extension { size }),
            },
            Next::SizeLf { size } => match byte {
                b'\n' => Ok(self.begin_chunk(size, false)),
                _ => Err(ParseError::InvalidChunkSize),
            },
            Next::DataEnd => match byte {
                b'\r' => Ok(Next::DataLf),
                // A bare LF ends this line, as in a head, but only if the server also ended the
                // size line with one. Otherwise a size that is too large by one would include the
                // CR of the line end, and the extra byte of the body would go unnoticed.
                b'\n' if self.bare_lf => Ok(Next::FIRST),
                _ => Err(ParseError::InvalidChunkEnd),
            },
            Next::DataLf => match byte {
                b'\n' => Ok(Next::FIRST),
                _ => Err(ParseError::InvalidChunkEnd),
            },
            Next::Data { .. } | Next::Trailer | Next::Nothing => Ok(self.next),
        }
    }

    /// Reads what may follow the digits of a size.
    fn end_of_size(&mut self, size: u64, byte: u8) -> Result<Next, ParseError> {
        match byte {
            // Some servers pad the line with spaces. Before an extension the RFC allows them (RFC
            // 9112 section 7.1.1).
            b' ' | b'\t' => Ok(Next::SizePadding { size }),
            b';' => Ok(Next::Extension { size }),
            b'\r' => Ok(Next::SizeLf { size }),
            b'\n' => Ok(self.begin_chunk(size, true)),
            _ => Err(ParseError::InvalidChunkSize),
        }
    }

    fn begin_chunk(&mut self, size: u64, bare_lf: bool) -> Next {
        self.bare_lf = bare_lf;
        self.overhead = self
            .overhead
            .saturating_sub(size.saturating_add(FREE_LINE_SIZE));
        match size {
            0 => Next::Trailer,
            remaining => Next::Data { remaining },
        }
    }

    /// Reads one line of the trailer section, or the part that has arrived. Returns the rest.
    fn read_trailers<'a>(&mut self, received: &'a [u8]) -> Result<&'a [u8], ParseError> {
        let limit = self.limits.max_trailer_size;
        let trailers = &mut self.trailers;
        let room = limit.saturating_sub(trailers.size);
        let window = received.get(..room).unwrap_or(received);
        let line_end = window.iter().position(|&byte| byte == b'\n');
        let taken = line_end.map_or(window.len(), |end| end + 1);
        trailers.size += taken;

        let line = window.get(..line_end.unwrap_or(taken)).unwrap_or_default();
        trailers.line.extend_from_slice(line);
        if line_end.is_some() {
            if trailers.fields.push(&trailers.line)? == SectionStatus::Ended {
                self.next = Next::Nothing;
            }
            trailers.line.clear();
        }
        if self.next == Next::Trailer && trailers.size >= limit {
            return Err(ParseError::TrailersTooLarge { limit });
        }
        Ok(received.get(taken..).unwrap_or_default())
    }
}

impl Next {
    const FIRST: Self = Self::Size {
        size: 0,
        digits: false,
    };
}

fn hex_digit(byte: u8) -> Option<u64> {
    char::from(byte).to_digit(16).map(u64::from)
}

#[cfg(test)]
mod tests;

//! The gzip format (RFC 1952): members one behind the other, each a header, deflated data, and
//! a checksum.

use super::inflate::{Broken, Inflate};
use super::{Codec, CodingError, skip_padding};
use flate2::Crc;

/// A gzip file.
pub struct Gzip(State);

enum State {
    /// At a member's beginning, the first one's or another's.
    Between {
        first: bool,
    },
    Header(Header),
    Data(Inflate, Crc),
    /// How many bytes of the trailer have been looked at.
    Trailer(Crc, usize),
}

impl Gzip {
    pub fn new() -> Self {
        Self(State::Between { first: true })
    }
}

impl Codec for Gzip {
    fn name(&self) -> &'static str {
        "gzip"
    }

    fn decode(&mut self, input: &mut &[u8], output: &mut [u8]) -> Result<usize, CodingError> {
        loop {
            match &mut self.0 {
                State::Between { first } => {
                    // As gzip and Node do: other members are more of the page, and zeros padding.
                    if !*first {
                        skip_padding(input);
                    }
                    match input.first() {
                        None => return Ok(0),
                        Some(&MAGIC) => self.0 = State::Header(Header::new()),
                        Some(_) if *first => return Err(broken(Broken)),
                        Some(_) => return Err(CodingError::Trailing { coding: "gzip" }),
                    }
                }
                State::Header(header) => match header.read(input).map_err(broken)? {
                    true => self.0 = State::Data(Inflate::bare(), Crc::new()),
                    false => return Ok(0),
                },
                State::Data(inflate, crc) => {
                    let written = inflate.decode(input, output).map_err(broken)?;
                    crc.update(output.get(..written).unwrap_or_default());
                    if inflate.has_ended() {
                        self.0 = State::Trailer(std::mem::take(crc), 0);
                    }
                    if written > 0 || input.is_empty() {
                        return Ok(written);
                    }
                }
                State::Trailer(crc, at) => {
                    // RFC 1952 section 2.3.1: the checksum, and the size modulo 2^32.
                    let expected = [crc.sum().to_le_bytes(), crc.amount().to_le_bytes()];
                    for &byte in expected.as_flattened().get(*at..).unwrap_or_default() {
                        match *input {
                            [] => return Ok(0),
                            [first, rest @ ..] if *first == byte => *input = rest,
                            _ => return Err(broken(Broken)),
                        }
                        *at += 1;
                    }
                    self.0 = State::Between { first: false };
                }
            }
        }
    }

    fn is_whole(&self) -> bool {
        matches!(self.0, State::Between { first: false })
    }
}

fn broken(_: Broken) -> CodingError {
    CodingError::Broken { coding: "gzip" }
}

/// The first byte of a member.
const MAGIC: u8 = 0x1f;

/// Bits of a header's flags that mean nothing yet (RFC 1952 section 2.3.1).
const RESERVED: u8 = 0b1110_0000;

/// The parts that a header may have, in their order, each with the bit that tells of it.
const OPTIONAL: [(u8, Part); 4] = [
    (1 << 2, Part::ExtraLength(None)),
    (1 << 3, Part::Name),
    (1 << 4, Part::Comment),
    (1 << 1, Part::Checksum(None)),
];

/// Reads a member's header. There is nothing in it to be kept.
struct Header {
    part: Part,
    flags: u8,
    crc: Crc,
}

/// What the next byte is.
#[derive(Clone, Copy)]
enum Part {
    /// One of the ten that each header has.
    Fixed(u8),
    /// One of the extra field's length, of which these have come.
    ExtraLength(Option<u8>),
    /// One of so many of the extra field, at least one.
    Extra(u16),
    /// One of the file's name, which ends with a zero.
    Name,
    /// One of the comment, which ends likewise.
    Comment,
    /// One of the header's own checksum, of which these have come.
    Checksum(Option<u8>),
    /// None: the header is over.
    End,
}

impl Header {
    fn new() -> Self {
        Self {
            part: Part::Fixed(0),
            flags: 0,
            crc: Crc::new(),
        }
    }

    /// Takes what belongs to the header from the front of `input`. True if that is its end.
    fn read(&mut self, input: &mut &[u8]) -> Result<bool, Broken> {
        let mut next = self.part;
        loop {
            self.part = next;
            if let Part::End = self.part {
                return Ok(true);
            }
            let [byte, rest @ ..] = *input else {
                return Ok(false);
            };
            next = self.after(*byte)?;
            if !matches!(self.part, Part::Checksum(_)) {
                self.crc.update(&[*byte]);
            }
            *input = rest;
        }
    }

    /// What comes behind `byte`.
    fn after(&mut self, byte: u8) -> Result<Part, Broken> {
        Ok(match self.part {
            Part::Fixed(at) => {
                match at {
                    0 if byte != MAGIC => return Err(Broken),
                    1 if byte != 0x8b => return Err(Broken),
                    // The one method there is: deflate.
                    2 if byte != 8 => return Err(Broken),
                    3 if byte & RESERVED != 0 => return Err(Broken),
                    3 => self.flags = byte,
                    // When it was made, how hard it was tried, and on what system.
                    _ => {}
                }
                match at {
                    9 => self.optional(0),
                    _ => Part::Fixed(at + 1),
                }
            }
            Part::ExtraLength(None) => Part::ExtraLength(Some(byte)),
            Part::ExtraLength(Some(low)) => match u16::from_le_bytes([low, byte]) {
                0 => self.optional(1),
                length => Part::Extra(length),
            },
            Part::Extra(1) => self.optional(1),
            Part::Extra(left) => Part::Extra(left.saturating_sub(1)),
            Part::Name if byte == 0 => self.optional(2),
            Part::Comment if byte == 0 => self.optional(3),
            Part::Name => Part::Name,
            Part::Comment => Part::Comment,
            Part::Checksum(None) => Part::Checksum(Some(byte)),
            Part::Checksum(Some(low)) => {
                let [first, second, ..] = self.crc.sum().to_le_bytes();
                if [low, byte] != [first, second] {
                    return Err(Broken);
                }
                Part::End
            }
            Part::End => Part::End,
        })
    }

    /// The first optional part that there is, so many of them left out.
    fn optional(&self, skip: usize) -> Part {
        let mut parts = OPTIONAL.into_iter().skip(skip);
        let found = parts.find(|(flag, _)| self.flags & flag != 0);
        found.map_or(Part::End, |(_, part)| part)
    }
}

//! The gzip format (RFC 1952): a sequence of members, each of which has a header, deflated data and
//! a checksum.
//!
//! flate2's decoder for several members reads from `std::io::Read` and refuses the zeros after the last member that
//! `gzip` and Node accept. So it is used for the data and the checksums, and not for the framing.

use super::codec::{Codec, CodingError, skip_padding};
use super::inflate::{Broken, Inflate};
use flate2::Crc;

/// The decoder of gzip data.
pub struct Gzip(State);

enum State {
    /// At the start of a member.
    Between {
        first: bool,
    },
    Header(Header),
    Data(Inflate, Crc),
    /// How many bytes of the trailer have been checked.
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
                    // As gzip and Node do: further members are more of the body, and zeros are
                    // padding.
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

/// The reserved bits of a header's flags (RFC 1952 section 2.3.1).
const RESERVED: u8 = 0b1110_0000;

/// The optional parts of a header in their order, each with the bit that announces it.
const OPTIONAL: [(u8, Part); 4] = [
    (1 << 2, Part::ExtraLength(None)),
    (1 << 3, Part::Name),
    (1 << 4, Part::Comment),
    (1 << 1, Part::Checksum(None)),
];

/// Reads a member's header, and keeps nothing of it.
struct Header {
    part: Part,
    flags: u8,
    crc: Crc,
}

/// The part that the next byte belongs to.
#[derive(Clone, Copy)]
enum Part {
    /// The ten fixed bytes, and which of them is next.
    Fixed(u8),
    /// The length of the extra field, and its first byte if that was read.
    ExtraLength(Option<u8>),
    /// The extra field, and how many of its bytes are left, at least one.
    Extra(u16),
    /// The file's name, which ends with a zero.
    Name,
    /// The comment, which ends with a zero.
    Comment,
    /// The header's checksum, and its first byte if that was read.
    Checksum(Option<u8>),
    /// No part: the header has ended.
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

    /// Takes the bytes of the header from the front of `input`. Returns whether the header has
    /// ended.
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

    /// The part that follows `byte`.
    fn after(&mut self, byte: u8) -> Result<Part, Broken> {
        Ok(match self.part {
            Part::Fixed(at) => {
                match at {
                    0 if byte != MAGIC => return Err(Broken),
                    1 if byte != 0x8b => return Err(Broken),
                    // The only method: deflate.
                    2 if byte != 8 => return Err(Broken),
                    3 if byte & RESERVED != 0 => return Err(Broken),
                    3 => self.flags = byte,
                    // The modification time, the level of compression, and the system.
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

    /// The first optional part that the flags announce, after the first `skip` ones.
    fn optional(&self, skip: usize) -> Part {
        let mut parts = OPTIONAL.into_iter().skip(skip);
        let found = parts.find(|(flag, _)| self.flags & flag != 0);
        found.map_or(Part::End, |(_, part)| part)
    }
}

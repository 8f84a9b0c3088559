//! A client for the tests, which reads one response from given pieces.

use super::*;

/// The result of reading a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Exchange {
    pub(super) heads: Vec<ResponseHead>,
    pub(super) body: Vec<u8>,
    pub(super) trailers: Vec<Header>,
    /// The bytes that do not belong to the response.
    pub(super) left: Vec<u8>,
    pub(super) end: End,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum End {
    Complete,
    Cut(Incomplete),
    Refused(ParseError),
}

/// How a client takes the body's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taking {
    /// All that the decoder reports.
    All,
    /// One at a time.
    Sips,
    /// Without parsing, wherever this is possible.
    Splicing,
}

impl Exchange {
    /// Reads a response to `method` that arrives in `pieces`, followed by the end of the
    /// connection.
    pub(super) fn new<'a>(
        method: &str,
        limits: &Limits,
        pieces: impl IntoIterator<Item = &'a [u8]>,
        taking: Taking,
    ) -> Self {
        let mut exchange = Self {
            heads: Vec::new(),
            body: Vec::new(),
            trailers: Vec::new(),
            left: Vec::new(),
            end: End::Complete,
        };
        let mut wire = Wire {
            pieces: pieces.into_iter(),
            buffer: Vec::new(),
        };
        if let Err(end) = exchange.receive(method, limits, &mut wire, taking) {
            exchange.end = end;
        } else {
            while wire.more() {}
            exchange.left = wire.buffer;
        }
        exchange
    }

    fn receive<'a>(
        &mut self,
        method: &str,
        limits: &Limits,
        wire: &mut Wire<impl Iterator<Item = &'a [u8]>>,
        taking: Taking,
    ) -> Result<(), End> {
        let mut parser = HeadParser::new(limits);
        let framing = loop {
            match parser.parse(&wire.buffer) {
                Err(error) => {
                    assert_eq!(parser.parse(&wire.buffer), Err(error.clone()), "final");
                    return Err(End::Refused(error));
                }
                Ok(Some((head, length))) => {
                    assert_eq!(head.raw, wire.buffer[..length]);
                    wire.buffer.drain(..length);
                    let framing = BodyFraming::of(method, &head);
                    let interim = head.is_interim();
                    self.heads.push(head);
                    if !interim {
                        break framing.map_err(End::Refused)?;
                    }
                }
                Ok(None) => {
                    if !wire.more() {
                        return Err(End::Refused(parser.end_of_input(&wire.buffer)));
                    }
                }
            }
        };
        let mut decoder = BodyDecoder::new(framing, limits);
        let outcome = self.receive_body(&mut decoder, wire, taking);
        assert_eq!(decoder.received(), self.body.len() as u64);
        assert_eq!(decoder.is_done(), outcome.is_ok());
        self.trailers = decoder.trailers().to_vec();
        outcome
    }

    fn receive_body<'a>(
        &mut self,
        decoder: &mut BodyDecoder,
        wire: &mut Wire<impl Iterator<Item = &'a [u8]>>,
        taking: Taking,
    ) -> Result<(), End> {
        loop {
            if taking == Taking::Splicing && decoder.passthrough() > 0 {
                let n = wire.buffer.len().min(decoder.passthrough() as usize);
                self.body.extend(wire.buffer.drain(..n));
                decoder.passed(n as u64);
            }
            match decoder.decode(&wire.buffer) {
                Err(error) => {
                    assert_eq!(decoder.decode(&[]), Err(error.clone()), "final");
                    return Err(End::Refused(error));
                }
                Ok(Decoded::End { consumed }) => {
                    wire.buffer.drain(..consumed);
                    return Ok(());
                }
                Ok(Decoded::NeedMore { consumed }) => {
                    assert_eq!(consumed, wire.buffer.len());
                    wire.buffer.clear();
                    if !wire.more() {
                        return decoder.end_of_input().map_err(End::Cut);
                    }
                }
                Ok(Decoded::Data { skip, len }) => {
                    assert!(len > 0);
                    assert!(decoder.passthrough() >= len as u64);
                    let len = match taking {
                        Taking::Sips => 1,
                        Taking::All => len,
                        Taking::Splicing => 0,
                    };
                    self.body.extend(&wire.buffer[skip..skip + len]);
                    wire.buffer.drain(..skip + len);
                    decoder.passed(len as u64);
                }
            }
        }
    }

    /// Reads `input` whole, byte by byte, and in two pieces, split at every byte, and takes the
    /// body in every way. All results must be the same.
    pub(super) fn in_every_way(method: &str, limits: &Limits, input: &[u8]) -> Self {
        let whole = Self::new(method, limits, [input], Taking::All);
        for taking in [Taking::All, Taking::Sips, Taking::Splicing] {
            let bytes = Self::new(method, limits, input.chunks(1), taking);
            let again = Self::new(method, limits, [input], taking);
            for (exchange, how) in [(&bytes, "byte by byte"), (&again, "whole")] {
                assert_eq!(
                    exchange,
                    &whole,
                    "{how}, {taking:?}: {}",
                    input.escape_ascii()
                );
            }
        }
        for at in 0..=input.len() {
            let (front, back) = input.split_at(at);
            let halves = Self::new(method, limits, [front, back], Taking::All);
            assert_eq!(halves, whole, "split at {at}: {}", input.escape_ascii());
        }
        whole
    }
}

struct Wire<P> {
    pieces: P,
    buffer: Vec<u8>,
}

impl<'a, P: Iterator<Item = &'a [u8]>> Wire<P> {
    /// Receives the next piece. Returns false if the connection is closed.
    fn more(&mut self) -> bool {
        self.pieces
            .next()
            .map(|piece| self.buffer.extend_from_slice(piece))
            .is_some()
    }
}

/// A sequence of pseudo-random numbers that is the same in each run (xorshift64*).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.max(1))
    }

    /// A number below `bound`, which must not be 0.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let number = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32;
        number as usize % bound
    }

    pub(crate) fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }
}

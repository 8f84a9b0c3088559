//! A body is the same however it is split, and however it is taken.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sockbox_fuzz::{LOW, pieces};
use sockbox_guest::http1::{
    BodyDecoder, BodyFraming, Decoded, Header, Incomplete, Limits, ParseError,
};

#[derive(Debug, PartialEq, Eq)]
enum End {
    Whole {
        trailers: Vec<Header>,
        left: Vec<u8>,
    },
    Cut(Incomplete),
    Broken(ParseError),
}

/// Takes at most `sip` bytes of the body at once; with none it takes them unseen where it can.
fn read(framing: BodyFraming, limits: &Limits, pieces: &[&[u8]], sip: usize) -> (Vec<u8>, End) {
    let mut decoder = BodyDecoder::new(framing, limits);
    let (mut body, mut buffer) = (Vec::new(), Vec::new());
    let mut pieces = pieces.iter();
    let end = loop {
        if sip == 0 {
            let passed = usize::try_from(decoder.passthrough()).unwrap_or(usize::MAX);
            let passed = passed.min(buffer.len());
            body.extend(buffer.drain(..passed));
            decoder.passed(passed as u64);
        }
        match decoder.decode(&buffer) {
            Ok(Decoded::Data { skip, len }) => {
                assert!(len > 0 && decoder.passthrough() >= len as u64);
                let taken = len.min(sip);
                body.extend_from_slice(&buffer[skip..skip + taken]);
                buffer.drain(..skip + taken);
                decoder.passed(taken as u64);
            }
            Ok(Decoded::NeedMore { consumed }) => {
                assert_eq!(consumed, buffer.len());
                buffer.clear();
                match pieces.next() {
                    Some(piece) => buffer.extend_from_slice(piece),
                    None => match decoder.end_of_input() {
                        Ok(()) => {}
                        Err(cut) => break End::Cut(cut),
                    },
                }
            }
            Ok(Decoded::End { consumed }) => {
                buffer.drain(..consumed);
                buffer.extend(pieces.copied().flatten());
                let trailers = decoder.trailers().to_vec();
                break End::Whole {
                    trailers,
                    left: buffer,
                };
            }
            Err(error) => {
                assert_eq!(decoder.decode(&[]), Err(error.clone()));
                break End::Broken(error);
            }
        }
    };
    assert_eq!(decoder.received(), body.len() as u64);
    (body, end)
}

fuzz_target!(|input: &[u8]| {
    let [seed, kind, length, data @ ..] = input else {
        return;
    };
    let framing = match kind % 8 {
        0 => BodyFraming::Length(u64::from(*length)),
        1 => BodyFraming::UntilClose,
        2 => BodyFraming::Empty,
        _ => BodyFraming::Chunked,
    };
    let limits = match kind / 8 % 2 {
        0 => Limits::default(),
        _ => LOW,
    };
    let whole = read(framing, &limits, &[data], usize::MAX);
    let split = pieces(*seed, data);
    for sip in [usize::MAX, 1, 0] {
        assert_eq!(read(framing, &limits, &split, sip), whole, "sips of {sip}");
    }
});

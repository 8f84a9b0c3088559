//! A response's head reads the same however it is split, and an error stays.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sockbox_fuzz::{LOW, pieces};
use sockbox_guest::http1::{BodyFraming, HeadParser, Limits, ParseError, ResponseHead};

/// The heads, what is left behind them, and why there are no more.
type Read = (Vec<ResponseHead>, Vec<u8>, Option<ParseError>);

fn read(limits: &Limits, pieces: &[&[u8]]) -> Read {
    let mut parser = HeadParser::new(limits);
    let (mut heads, mut buffer) = (Vec::new(), Vec::new());
    let mut pieces = pieces.iter();
    loop {
        match parser.parse(&buffer) {
            Ok(Some((head, size))) => {
                assert_eq!(head.raw, buffer[..size]);
                assert!((100..1000).contains(&head.status) && head.minor_version <= 1);
                buffer.drain(..size);
                let interim = head.is_interim();
                heads.push(head);
                if !interim {
                    buffer.extend(pieces.copied().flatten());
                    return (heads, buffer, None);
                }
            }
            Ok(None) => match pieces.next() {
                Some(piece) => buffer.extend_from_slice(piece),
                None => {
                    let error = parser.end_of_input(&buffer);
                    return (heads, Vec::new(), Some(error));
                }
            },
            Err(error) => {
                assert_eq!(parser.parse(&buffer), Err(error.clone()));
                return (heads, Vec::new(), Some(error));
            }
        }
    }
}

fuzz_target!(|input: &[u8]| {
    let [seed, low, data @ ..] = input else {
        return;
    };
    let limits = match low % 2 {
        0 => Limits::default(),
        _ => LOW,
    };
    let whole = read(&limits, &[data]);
    let split = read(&limits, &pieces(*seed, data));
    assert_eq!(whole, split);
    for head in &whole.0 {
        let framing = BodyFraming::of("GET", head);
        assert!(BodyFraming::of("HEAD", head) == Ok(BodyFraming::Empty));
        if let Ok(BodyFraming::Length(length)) = framing {
            assert_eq!(head.content_length(), Ok(Some(length)));
        }
    }
});

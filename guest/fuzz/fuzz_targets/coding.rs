//! A coded page decodes to the same however it is split and in whatever steps it comes out, and to
//! what another reader makes of it.

#![no_main]

use flate2::read::MultiGzDecoder;
use libfuzzer_sys::fuzz_target;
use sockbox_fuzz::pieces;
use sockbox_guest::fetch::{CodingError, ContentDecoder};
use sockbox_guest::http1::{Header, ResponseHead};
use std::io::Read;

const CODINGS: [&str; 6] = [
    "gzip",
    "deflate",
    "br",
    "gzip, gzip",
    "br, gzip",
    "deflate, br",
];

/// Where a page is given up: a bomb isn't to be waited for.
const ENOUGH: usize = 256 * 1024;

/// The page, or its beginning if it is long.
fn decode(coding: &str, pieces: &[&[u8]], step: usize) -> Result<Vec<u8>, CodingError> {
    let head = ResponseHead {
        minor_version: 1,
        status: 200,
        reason: String::new(),
        headers: vec![Header {
            name: "Content-Encoding".to_owned(),
            value: coding.into(),
        }],
        raw: Vec::new(),
    };
    let mut decoder = ContentDecoder::of(&head).expect("coded");
    let mut output = vec![0; step];
    let mut page = Vec::new();
    for piece in pieces {
        let mut rest = *piece;
        loop {
            let done = decoder.decode(rest, &mut output)?;
            rest = &rest[done.consumed..];
            page.extend_from_slice(&output[..done.written]);
            if page.len() >= ENOUGH {
                page.truncate(ENOUGH);
                return Ok(page);
            }
            if done.written == 0 {
                assert!(rest.is_empty());
                break;
            }
        }
    }
    decoder.end_of_input()?;
    Ok(page)
}

fuzz_target!(|input: &[u8]| {
    let [seed, coding, data @ ..] = input else {
        return;
    };
    let coding = CODINGS[usize::from(*coding) % CODINGS.len()];
    let whole = decode(coding, &[data], 8192);
    let split = pieces(*seed, data);
    for step in [8192, 7] {
        let page = decode(coding, &split, step);
        // Of several errors any may come first.
        let same = page == whole || coding.contains(',') && page.is_err() && whole.is_err();
        assert!(same, "{coding}, steps of {step}: {page:?}, and {whole:?}");
    }
    if coding == "gzip"
        && let Ok(page) = whole
        && page.len() < ENOUGH
    {
        let mut theirs = Vec::new();
        // It takes no padding for what it is.
        if MultiGzDecoder::new(data).read_to_end(&mut theirs).is_ok() {
            assert_eq!(page, theirs);
        }
    }
});

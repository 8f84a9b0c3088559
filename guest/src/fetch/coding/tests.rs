use super::inflate::Inflate;
use super::*;
use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use std::io::Write;

const PAGE: &[u8] = b"hello, world, hello, world";

/// The body in brotli.
const BROTLI: &[u8] = b"\x1b\x19\x00\xf8\x8d\x94\x6e\xde\x44\x09\x52\x86\x96\x2c\x6c\x6f\x35\x4b\
                        \x34\xf5\x80\x06\x5e\xcd\x00";

/// 16 MiB of zeros in brotli.
const BROTLI_BOMB: &[u8] = b"\xcb\xff\xff\x3f\xf8\x27\x00\xe2\xb1\x40\x20\xf7\xfe\x2f\xff\xff\xff\
                             \xf0\x4f\x00\xc4\x61\x11\x80\xee\xfd\x1f";

fn gzip(page: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(page).expect("memory");
    encoder.finish().expect("memory")
}

fn zlib(page: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(page).expect("memory");
    encoder.finish().expect("memory")
}

fn bare(page: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(page).expect("memory");
    encoder.finish().expect("memory")
}

/// `data` without its last `n` bytes.
fn cut(data: &[u8], n: usize) -> Vec<u8> {
    data[..data.len() - n].to_vec()
}

/// The body in gzip, with these flags and these bytes after the ten fixed ones of the header.
fn header(flags: u8, optional: &[u8]) -> Vec<u8> {
    let mut file = gzip(PAGE);
    file[3] = flags;
    file.splice(10..10, optional.iter().copied());
    file
}

fn head(codings: &[&str]) -> ResponseHead {
    let field = |coding: &&str| crate::http1::Header {
        name: "content-ENCODING".to_owned(),
        value: coding.as_bytes().to_vec(),
    };
    ResponseHead {
        minor_version: 1,
        status: 200,
        reason: String::new(),
        headers: codings.iter().map(field).collect(),
        raw: Vec::new(),
    }
}

fn feed(
    codings: &[&str],
    pieces: &[&[u8]],
    step: usize,
) -> Result<Vec<u8>, (Vec<u8>, CodingError)> {
    let Some(mut decoder) = ContentDecoder::of(&head(codings)) else {
        return Ok(pieces.concat());
    };
    let mut page = Vec::new();
    let mut output = vec![0xaa; step];
    for &piece in pieces {
        let mut rest = piece;
        loop {
            let step = match decoder.decode(rest, &mut output) {
                Ok(step) => step,
                Err(error) => return Err((page, error)),
            };
            rest = &rest[step.consumed..];
            page.extend_from_slice(&output[..step.written]);
            if step.written == 0 {
                assert!(rest.is_empty(), "nothing came out, and not all went in");
                break;
            }
        }
    }
    match decoder.end_of_input() {
        Ok(()) => Ok(page),
        Err(error) => Err((page, error)),
    }
}

/// Decodes `data` in one piece and byte by byte, in large steps and in small ones.
fn decode(codings: &[&str], data: &[u8]) -> Result<Vec<u8>, CodingError> {
    let whole = feed(codings, &[data], 64 * 1024);
    let bytes: Vec<&[u8]> = data.chunks(1).collect();
    let sevens: Vec<&[u8]> = data.chunks(7).collect();
    for pieces in [&[data][..], &bytes, &sevens] {
        for step in [1, 3, 64 * 1024] {
            let got = feed(codings, pieces, step);
            let how = format!("{codings:?}, {} pieces, steps of {step}", pieces.len());
            match (&whole, &got) {
                (Ok(_), _) | (_, Ok(_)) => assert_eq!(got, whole, "{how}"),
                // The number of bytes before an error depends on the steps.
                (Err((_, expected)), Err((_, error))) => assert_eq!(error, expected, "{how}"),
            }
        }
    }
    whole.map_err(|(_, error)| error)
}

#[test]
fn bodies_come_out_as_they_went_in() {
    let both = [PAGE, PAGE].concat();
    let nested = |n: usize| (0..n).fold(PAGE.to_vec(), |data, _| gzip(&data));
    let crc = {
        let mut crc = flate2::Crc::new();
        crc.update(&header(2, &[])[..10]);
        crc.sum().to_le_bytes()
    };
    let cases: Vec<(&[&str], Vec<u8>, &[u8])> = vec![
        (&["gzip"], gzip(PAGE), PAGE),
        (&["x-gzip"], gzip(PAGE), PAGE),
        (&["GZip"], gzip(PAGE), PAGE),
        (&["\tgzip "], gzip(PAGE), PAGE),
        (&[",gzip,"], gzip(PAGE), PAGE),
        (&["deflate"], zlib(PAGE), PAGE),
        (&["Deflate"], bare(PAGE), PAGE),
        (&["br"], BROTLI.to_vec(), PAGE),
        (&["BR"], BROTLI.to_vec(), PAGE),
        // No coding at all.
        (&[], PAGE.to_vec(), PAGE),
        (&[""], PAGE.to_vec(), PAGE),
        (&["identity"], PAGE.to_vec(), PAGE),
        (&["none"], PAGE.to_vec(), PAGE),
        (&["identity, Identity", "identity"], PAGE.to_vec(), PAGE),
        // Several.
        (&["gzip, gzip"], gzip(&gzip(PAGE)), PAGE),
        (&["br, gzip"], gzip(BROTLI), PAGE),
        (&["br", "gzip"], gzip(BROTLI), PAGE),
        (&["gzip, identity"], gzip(PAGE), PAGE),
        (&["identity", "gzip"], gzip(PAGE), PAGE),
        (&["deflate, gzip, deflate"], bare(&gzip(&zlib(PAGE))), PAGE),
        (&["gzip,gzip,gzip,gzip,gzip"], nested(5), PAGE),
        (&["gzip,identity,gzip,gzip,gzip,gzip"], nested(5), PAGE),
        // Empty data.
        (&["gzip"], gzip(b""), b""),
        (&["deflate"], zlib(b""), b""),
        (&["deflate"], bare(b""), b""),
        (&["br"], b"\x3b".to_vec(), b""),
        (&["gzip, gzip"], gzip(&gzip(b"")), b""),
        // No bytes at all: an empty body.
        (&["gzip"], Vec::new(), b""),
        (&["deflate"], Vec::new(), b""),
        (&["br"], Vec::new(), b""),
        (&["gzip, br"], Vec::new(), b""),
        (&["unheard-of"], Vec::new(), b""),
        // Several members, and padding after them.
        (&["gzip"], [gzip(PAGE), gzip(PAGE)].concat(), &both),
        (&["gzip"], [gzip(b""), gzip(PAGE)].concat(), PAGE),
        (&["gzip"], [gzip(PAGE), vec![0; 20]].concat(), PAGE),
        (
            &["gzip"],
            [gzip(PAGE), vec![0; 3], gzip(PAGE)].concat(),
            &both,
        ),
        (&["deflate"], [zlib(PAGE), vec![0; 2]].concat(), PAGE),
        (&["deflate"], [bare(PAGE), vec![0; 2]].concat(), PAGE),
        (&["br"], [BROTLI, b"\0\0"].concat(), PAGE),
        // A header with all optional parts.
        (&["gzip"], header(1, b""), PAGE),
        (&["gzip"], header(4, b"\x03\0abc"), PAGE),
        (&["gzip"], header(4, b"\0\0"), PAGE),
        (&["gzip"], header(8, b"name\0"), PAGE),
        (&["gzip"], header(16, b"\0"), PAGE),
        (&["gzip"], header(4 | 8 | 16, b"\x01\0xn\0comment\0"), PAGE),
        (&["gzip"], header(2, &crc[..2]), PAGE),
    ];
    for (codings, data, page) in cases {
        let shown = data.escape_ascii();
        assert_eq!(
            decode(codings, &data).as_deref(),
            Ok(page),
            "{codings:?} {shown}"
        );
    }
}

#[test]
fn broken_data_is_an_error() {
    let broken = |coding| CodingError::Broken { coding };
    let truncated = |coding| CodingError::Truncated { coding };
    let trailing = |coding| CodingError::Trailing { coding };
    let unknown = |coding: &str| CodingError::Unknown {
        coding: coding.to_owned(),
    };
    let changed = |data: Vec<u8>, from_end: usize| {
        let mut data = data;
        let at = data.len() - from_end;
        data[at] ^= 1;
        data
    };
    let with_second = |second: &[u8]| [&gzip(PAGE), second].concat();
    let cases: Vec<(&[&str], Vec<u8>, CodingError)> = vec![
        (&["foo"], PAGE.to_vec(), unknown("foo")),
        (&["zstd"], PAGE.to_vec(), unknown("zstd")),
        (&["compress"], PAGE.to_vec(), unknown("compress")),
        (&["gzip;q=1"], gzip(PAGE), unknown("gzip;q=1")),
        (&["gzip gzip"], gzip(PAGE), unknown("gzip gzip")),
        (&["\"gzip\""], gzip(PAGE), unknown("\\\"gzip\\\"")),
        (&["gzip, \u{e4}"], gzip(PAGE), unknown("\\xc3\\xa4")),
        (
            &["gzip,gzip,gzip,gzip,gzip,gzip"],
            gzip(PAGE),
            CodingError::TooMany,
        ),
        (
            &["gzip,gzip,gzip,gzip,gzip", "gzip"],
            gzip(PAGE),
            CodingError::TooMany,
        ),
        (&["br, br"], BROTLI.to_vec(), CodingError::TooMany),
        // Something else.
        (&["gzip"], PAGE.to_vec(), broken("gzip")),
        (&["gzip"], zlib(PAGE), broken("gzip")),
        (&["gzip"], vec![0; 30], broken("gzip")),
        (&["deflate"], gzip(PAGE), broken("deflate")),
        (&["deflate"], PAGE.to_vec(), broken("deflate")),
        (&["br"], PAGE.to_vec(), broken("br")),
        (&["gzip, br"], gzip(BROTLI), broken("br")),
        // Headers.
        (
            &["gzip"],
            b"\x1f\x8c\x08\0\0\0\0\0\0\0".to_vec(),
            broken("gzip"),
        ),
        (
            &["gzip"],
            b"\x1f\x8b\x07\0\0\0\0\0\0\0".to_vec(),
            broken("gzip"),
        ),
        (&["gzip"], header(0x20, b""), broken("gzip")),
        (&["gzip"], header(0x80, b""), broken("gzip")),
        (&["gzip"], header(2, b"\0\0"), broken("gzip")),
        // Data.
        (
            &["gzip"],
            [&gzip(PAGE)[..10], &[0xff; 20]].concat(),
            broken("gzip"),
        ),
        (&["gzip"], changed(gzip(PAGE), 1), broken("gzip")),
        (&["gzip"], changed(gzip(PAGE), 5), broken("gzip")),
        (&["deflate"], changed(zlib(PAGE), 1), broken("deflate")),
        // Cut short.
        (&["gzip"], b"\x1f".to_vec(), truncated("gzip")),
        (&["gzip"], cut(&gzip(PAGE), 1), truncated("gzip")),
        (&["gzip"], cut(&gzip(PAGE), 8), truncated("gzip")),
        (&["gzip"], cut(&gzip(PAGE), 10), truncated("gzip")),
        (&["gzip"], gzip(PAGE)[..10].to_vec(), truncated("gzip")),
        (&["gzip"], gzip(PAGE)[..5].to_vec(), truncated("gzip")),
        (&["deflate"], zlib(PAGE)[..1].to_vec(), truncated("deflate")),
        (&["deflate"], zlib(PAGE)[..2].to_vec(), truncated("deflate")),
        (&["deflate"], cut(&zlib(PAGE), 1), truncated("deflate")),
        (&["deflate"], cut(&zlib(PAGE), 4), truncated("deflate")),
        (&["deflate"], cut(&bare(PAGE), 1), truncated("deflate")),
        (&["br"], cut(BROTLI, 1), truncated("br")),
        (&["br"], BROTLI[..1].to_vec(), truncated("br")),
        (
            &["gzip, gzip"],
            gzip(&cut(&gzip(PAGE), 1)),
            truncated("gzip"),
        ),
        (&["br, gzip"], gzip(&cut(BROTLI, 3)), truncated("br")),
        (&["br, gzip"], cut(&gzip(BROTLI), 3), truncated("gzip")),
        // Too long.
        (&["gzip"], with_second(b"garbage"), trailing("gzip")),
        (&["gzip"], with_second(b"\0\0x"), trailing("gzip")),
        (&["gzip"], with_second(b"\x1fx"), broken("gzip")),
        (&["gzip"], with_second(b"\x1f"), truncated("gzip")),
        (&["gzip"], with_second(&gzip(PAGE)[..12]), truncated("gzip")),
        (
            &["deflate"],
            [zlib(PAGE), zlib(PAGE)].concat(),
            trailing("deflate"),
        ),
        (
            &["deflate"],
            [bare(PAGE), b"x".to_vec()].concat(),
            trailing("deflate"),
        ),
        (&["br"], [BROTLI, b"x"].concat(), trailing("br")),
    ];
    for (codings, data, error) in cases {
        let shown = data.escape_ascii();
        assert_eq!(decode(codings, &data), Err(error), "{codings:?} {shown}");
    }
}

/// Two bytes distinguish a zlib stream from a bare one.
#[test]
fn deflate_is_what_it_begins_like() {
    for level in 0..=9 {
        for page in [&b""[..], b"x", PAGE, &[7; 100_000], &noise(70_000)] {
            let level = Compression::new(level);
            let mut wrapped = ZlibEncoder::new(Vec::new(), level);
            let mut bare = DeflateEncoder::new(Vec::new(), level);
            wrapped.write_all(page).expect("memory");
            bare.write_all(page).expect("memory");
            for data in [wrapped.finish(), bare.finish()] {
                let data = data.expect("memory");
                let got = feed(&["deflate"], &[&data], 5000);
                assert!(
                    got == Ok(page.to_vec()),
                    "level {level:?}: {} bytes",
                    page.len()
                );
            }
        }
    }
}

fn noise(size: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..size).map(|_| next()).collect()
}

/// No first byte of a stream produces output; [`Deflate`] relies on it.
#[test]
fn one_byte_of_deflate_makes_no_output() {
    for byte in 0..=255 {
        for mut inflate in [Inflate::bare(), Inflate::wrapped()] {
            let written = inflate.decode(&mut &[byte][..], &mut [0; 64]);
            assert!(matches!(written, Ok(0) | Err(_)), "{byte}");
            assert!(!inflate.has_ended(), "{byte}");
        }
    }
}

/// Output comes in steps of the caller's size, however much a byte expands to.
#[test]
fn a_bomb_goes_off_in_small_steps() {
    let zeros = vec![0; 16 << 20];
    let cases: [(&[&str], Vec<u8>); 4] = [
        (&["gzip"], gzip(&zeros)),
        (&["deflate"], bare(&zeros)),
        (&["gzip, gzip"], gzip(&gzip(&zeros))),
        (&["br"], BROTLI_BOMB.to_vec()),
    ];
    for (codings, data) in cases {
        let mut decoder = ContentDecoder::of(&head(codings)).expect("coded");
        let mut output = [1; 1000];
        let step = decoder.decode(&data, &mut output);
        let step = step.unwrap_or_else(|error| panic!("{codings:?}: {error}"));
        assert!((1..=1000).contains(&step.written), "{codings:?}: {step:?}");
        let page = feed(codings, &[&data], 8192);
        assert!(page == Ok(zeros.clone()), "{codings:?}");
    }
}

#[test]
fn messages_read_well() {
    for (error, expected) in [
        (
            CodingError::Unknown {
                coding: "zstd".into(),
            },
            "unknown content coding: \"zstd\"",
        ),
        (
            CodingError::TooMany,
            "the body has too many content codings",
        ),
        (
            CodingError::Broken { coding: "br" },
            "the br data is broken",
        ),
        (
            CodingError::Trailing { coding: "gzip" },
            "unexpected bytes follow the end of the gzip data",
        ),
        (
            CodingError::Truncated { coding: "gzip" },
            "the gzip data ends too early",
        ),
    ] {
        assert_eq!(error.to_string(), expected);
    }
}

use super::super::error::{Incomplete, LineFault, Section};
use super::super::testing::{End, Exchange, Taking};
use super::*;
use ParseError::*;

const HEAD: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

fn receive(limits: &Limits, body: &[u8]) -> Exchange {
    let input = [HEAD.as_bytes(), body].concat();
    Exchange::in_every_way("GET", limits, &input)
}

#[test]
fn accepts() {
    let cases: &[(&[u8], &[u8])] = &[
        (b"0\r\n\r\n", b""),
        (b"5\r\nhello\r\n0\r\n\r\n", b"hello"),
        (b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n", b"hello"),
        (b"1\r\na\r\n1\r\nb\r\n1\r\nc\r\n0\r\n\r\n", b"abc"),
        (b"A\r\n0123456789\r\n0\r\n\r\n", b"0123456789"),
        (b"a\r\n0123456789\r\n0\r\n\r\n", b"0123456789"),
        (b"10\r\n0123456789abcdef\r\n0\r\n\r\n", b"0123456789abcdef"),
        (b"5\r\n\r\n0\r\n\r\n0\r\n\r\n", b"\r\n0\r\n"),
        (b"5\r\n\0\r\n\xff\0\r\n0\r\n\r\n", b"\0\r\n\xff\0"),
        // Zeros, more of them than a u64 has digits.
        (b"05\r\nhello\r\n000\r\n\r\n", b"hello"),
        (
            b"000000000000000000000000005\r\nhello\r\n0\r\n\r\n",
            b"hello",
        ),
        // Padding.
        (b"5 \r\nhello\r\n0  \r\n\r\n", b"hello"),
        (b"5\t \t\r\nhello\r\n0\r\n\r\n", b"hello"),
        (b"5   \nhello\r\n0\r\n\r\n", b"hello"),
        // Extensions.
        (b"5;\r\nhello\r\n0;\r\n\r\n", b"hello"),
        (b"5;a\r\nhello\r\n0;b=c\r\n\r\n", b"hello"),
        (b"5;a=b;c=d\r\nhello\r\n0\r\n\r\n", b"hello"),
        (b"5 ; a = \"b;c\"\r\nhello\r\n0 \t;x\r\n\r\n", b"hello"),
        (b"5;\xff\x01 7\r\nhello\r\n0\r\n\r\n", b"hello"),
        (b"5;a\nhello\r\n0;a\n\r\n", b"hello"),
        // Bare LF.
        (b"5\nhello\n0\n\n", b"hello"),
        (b"5\nhello\r\n0\r\n\r\n", b"hello"),
        (b"5\nhello\n0\r\n\r\n", b"hello"),
        (b"1 \na\n1\r\nb\r\n1;x\nc\n0\n\n", b"abc"),
        (b"5\r\nhello\r\n0\n\r\n", b"hello"),
        (b"5\r\nhello\r\n0\r\n\n", b"hello"),
    ];
    for (input, expected) in cases {
        for left in [&b""[..], b"HTTP/1.1 ", b"\r\n", b"0"] {
            let input = [input, left].concat();
            let exchange = receive(&Limits::default(), &input);
            let shown = input.escape_ascii();
            assert_eq!(exchange.end, End::Complete, "{shown}");
            assert_eq!(exchange.body, *expected, "{shown}");
            assert_eq!(exchange.trailers, [], "{shown}");
            assert_eq!(exchange.left, left, "{shown}");
        }
    }
}

#[test]
fn refuses() {
    let cases: &[(&[u8], &[u8], ParseError)] = &[
        (b"\r\nhello\r\n0\r\n\r\n", b"", InvalidChunkSize),
        (b"\nhello", b"", InvalidChunkSize),
        (b" 5\r\nhello", b"", InvalidChunkSize),
        (b"\t5\r\nhello", b"", InvalidChunkSize),
        (b";a\r\nhello", b"", InvalidChunkSize),
        (b"g\r\nhello", b"", InvalidChunkSize),
        (b"x5\r\nhello", b"", InvalidChunkSize),
        (b"0x5\r\nhello", b"", InvalidChunkSize),
        (b"+5\r\nhello", b"", InvalidChunkSize),
        (b"-5\r\nhello", b"", InvalidChunkSize),
        (b"-0\r\n\r\n", b"", InvalidChunkSize),
        (b"5g\r\nhello", b"", InvalidChunkSize),
        (b"5h\r\nhello", b"", InvalidChunkSize),
        (b"5,\r\nhello", b"", InvalidChunkSize),
        (b"5_0\r\nhello", b"", InvalidChunkSize),
        (b"5.0\r\nhello", b"", InvalidChunkSize),
        (b"5 5\r\nhello", b"", InvalidChunkSize),
        (b"5 x\r\nhello", b"", InvalidChunkSize),
        (b"5\x0b\r\nhello", b"", InvalidChunkSize),
        (b"5\x0c\r\nhello", b"", InvalidChunkSize),
        (b"5\0\r\nhello", b"", InvalidChunkSize),
        (b"\xef\xbc\x95\r\nhello", b"", InvalidChunkSize),
        (b"5\rhello", b"", InvalidChunkSize),
        (b"5\r\r\nhello", b"", InvalidChunkSize),
        (b"5 \r \nhello", b"", InvalidChunkSize),
        (b"5;a\rb\r\nhello", b"", InvalidChunkSize),
        (b"5;a\r\r\nhello", b"", InvalidChunkSize),
        (b"5;a\0\r\nhello", b"", InvalidChunkSize),
        (b"10000000000000000\r\n", b"", ChunkSizeOverflow),
        (b"ffffffffffffffff0\r\n", b"", ChunkSizeOverflow),
        (b"fffffffffffffffff", b"", ChunkSizeOverflow),
        (b"0000010000000000000005\r\n", b"", ChunkSizeOverflow),
        (b"5\r\nhello!\r\n0\r\n\r\n", b"hello", InvalidChunkEnd),
        (b"5\r\nhello0\r\n\r\n", b"hello", InvalidChunkEnd),
        (b"5\r\nhello \r\n0\r\n\r\n", b"hello", InvalidChunkEnd),
        (b"5\r\nhello\r0\r\n\r\n", b"hello", InvalidChunkEnd),
        (b"5\r\nhello\r\r\n0\r\n\r\n", b"hello", InvalidChunkEnd),
        (b"4\r\nhello\r\n0\r\n\r\n", b"hell", InvalidChunkEnd),
        (b"5\r\nhello\r\n\r\n0\r\n\r\n", b"hello", InvalidChunkSize),
        (b"5\nhello\n\n0\r\n\r\n", b"hello", InvalidChunkSize),
        (b"5\r\nhello\n0\r\n\r\n", b"hello", InvalidChunkEnd),
        (b"1\na\n1\r\nb\n0\r\n\r\n", b"ab", InvalidChunkEnd),
        (b"6\r\nhello\r\n0\r\n\r\n", b"hello\r", InvalidChunkEnd),
        (b"5\r\nhello\r\nx\r\n\r\n", b"hello", InvalidChunkSize),
    ];
    for (input, body, error) in cases {
        let exchange = receive(&Limits::default(), input);
        let shown = input.escape_ascii();
        assert_eq!(exchange.end, End::Refused(error.clone()), "{shown}");
        assert_eq!(exchange.body, *body, "{shown}");
    }
}

#[test]
fn a_body_cut_short_is_no_body() {
    let whole = b"5\r\nhello\r\n3;x\r\nabc\r\n0\r\nA: b\r\n\r\n";
    for cut in 0..whole.len() {
        let input = &whole[..cut];
        let exchange = receive(&Limits::default(), input);
        let received = exchange.body.len() as u64;
        let expected = Incomplete {
            received,
            expected: None,
        };
        assert_eq!(exchange.end, End::Cut(expected), "{}", input.escape_ascii());
        assert_eq!(exchange.trailers, [], "{}", input.escape_ascii());
    }
    assert_eq!(receive(&Limits::default(), whole).end, End::Complete);
}

#[test]
fn the_largest_sizes_are_sizes() {
    for size in ["7fffffffffffffff", "8000000000000000", "FFFFFFFFFFFFFFFF"] {
        let exchange = receive(&Limits::default(), format!("{size}\r\nhello").as_bytes());
        let expected = Incomplete {
            received: 5,
            expected: None,
        };
        assert_eq!(exchange.end, End::Cut(expected), "{size}");
    }
}

#[test]
fn trailers_are_given() {
    type Fields<'a> = &'a [(&'a str, &'a [u8])];
    let cases: &[(&[u8], Fields<'_>)] = &[
        (b"A: b\r\n\r\n", &[("A", b"b")]),
        (b"A: b\n\n", &[("A", b"b")]),
        (
            b"A: b\r\na:c\r\nB:\r\n\r\n",
            &[("A", b"b"), ("a", b"c"), ("B", b"")],
        ),
        (b"A: b\r\n c\r\n\r\n", &[("A", b"b c")]),
        (b"Content-Length: -1\r\n\r\n", &[("Content-Length", b"-1")]),
    ];
    for (input, expected) in cases {
        let input = [b"1\r\nx\r\n0\r\n", *input, b"left"].concat();
        let exchange = receive(&Limits::default(), &input);
        let trailers: Vec<_> = exchange
            .trailers
            .iter()
            .map(|field| (field.name.as_str(), field.value.as_slice()))
            .collect();
        let shown = input.escape_ascii();
        assert_eq!(trailers, *expected, "{shown}");
        assert_eq!(exchange.end, End::Complete, "{shown}");
        assert_eq!(exchange.left, b"left", "{shown}");
    }
}

#[test]
fn broken_trailers_are_refused() {
    for (input, line, fault) in [
        (&b"A\r\n\r\n"[..], 1, LineFault::NoColon),
        (b" A: b\r\n\r\n", 1, LineFault::NothingToContinue),
        (b"A: b\r\n: c\r\n\r\n", 2, LineFault::InvalidName),
        (b"A: b\rc\r\n\r\n", 1, LineFault::BareCr),
        (b"A: b\r\nB: \0\r\n\r\n", 2, LineFault::Nul),
        (b"\rA: b\r\n\r\n", 1, LineFault::BareCr),
        (b"HTTP/1.1 200 OK\r\n\r\n", 1, LineFault::NoColon),
    ] {
        let input = [b"0\r\n", input].concat();
        let expected = InvalidLine {
            section: Section::Trailers,
            line,
            fault,
        };
        let exchange = receive(&Limits::default(), &input);
        let shown = input.escape_ascii();
        assert_eq!(exchange.end, End::Refused(expected), "{shown}");
        assert_eq!(exchange.trailers, [], "{shown}");
    }
}

#[test]
fn the_trailers_size_is_bounded() {
    for trailers in [
        &b"\r\n"[..],
        b"\n",
        b"A: b\r\n\r\n",
        b"A: b\r\nC: d\n e\n\n",
    ] {
        let input = [b"0\r\n", trailers].concat();
        for (max_trailer_size, fits) in [
            (trailers.len() - 1, false),
            (trailers.len(), true),
            (trailers.len() + 1, true),
        ] {
            let limits = Limits {
                max_trailer_size,
                ..Limits::default()
            };
            let expected = match fits {
                true => End::Complete,
                false => End::Refused(TrailersTooLarge {
                    limit: max_trailer_size,
                }),
            };
            let shown = input.escape_ascii();
            assert_eq!(
                receive(&limits, &input).end,
                expected,
                "{max_trailer_size}: {shown}"
            );
        }
    }
}

#[test]
fn the_number_of_trailers_is_bounded() {
    let limits = Limits {
        max_header_count: 3,
        ..Limits::default()
    };
    for (count, expected) in [
        (2, End::Complete),
        (3, End::Complete),
        (4, End::Refused(TooManyTrailers { limit: 3 })),
    ] {
        let input = format!("0\r\n{}\r\n", "A: b\r\n".repeat(count));
        assert_eq!(receive(&limits, input.as_bytes()).end, expected, "{count}");
    }
}

#[test]
fn endless_trailers_end_at_the_limit() {
    let limits = Limits::default();
    let too_large = TrailersTooLarge {
        limit: limits.max_trailer_size,
    };
    for (start, fill, error) in [
        ("", "a", too_large.clone()),
        ("A: b\r\n", " c\r\n", too_large),
        ("", "A: b\r\n", TooManyTrailers { limit: 1000 }),
    ] {
        let input = format!("0\r\n{start}{}", fill.repeat(100_000));
        for size in [1, 7, 4096, input.len()] {
            let mut decoder = ChunkedDecoder::new(&limits);
            let outcome = input
                .as_bytes()
                .chunks(size)
                .map(|piece| decoder.skip_framing(piece))
                .find(Result::is_err);
            assert_eq!(outcome, Some(Err(error.clone())), "{size}: {fill:?}");
            assert!(decoder.trailers.line.len() <= limits.max_trailer_size);
        }
    }
}

#[test]
fn size_lines_must_pay_for_themselves() {
    let limits = Limits {
        max_chunk_overhead: 50,
        ..Limits::default()
    };
    let too_large = ChunkOverheadTooLarge { limit: 50 };
    // The first size line, for which there is no allowance yet; the line end counts.
    for (length, fits) in [(49, true), (50, true), (51, false)] {
        let line = format!("5;{}\r\n", "x".repeat(length - "5;\r\n".len()));
        let exchange = receive(&limits, format!("{line}hello\r\n0\r\n\r\n").as_bytes());
        let expected = match fits {
            true => End::Complete,
            false => End::Refused(too_large.clone()),
        };
        assert_eq!(exchange.end, expected, "{length}");
    }
    // Each chunk of one byte has an allowance of 33.
    for (length, fits) in [(3, true), (32, true), (33, true), (34, false)] {
        let line = match length {
            3 => "1\r\n".to_owned(),
            _ => format!("1;{}\r\n", "x".repeat(length - "1;\r\n".len())),
        };
        let mut decoder = ChunkedDecoder::new(&limits);
        let mut outcome = Ok(());
        for _ in 0..100 {
            outcome = outcome.and_then(|()| decoder.skip_framing(line.as_bytes()).map(|_| ()));
            decoder.pass(1);
            outcome = outcome.and_then(|()| decoder.skip_framing(b"\r\n").map(|_| ()));
        }
        let expected = match fits {
            true => Ok(()),
            false => Err(too_large.clone()),
        };
        assert_eq!(outcome, expected, "{length}");
    }
}

#[test]
fn an_endless_extension_ends_at_the_limit() {
    let input = [HEAD.as_bytes(), b"5;", &[b'x'; 100_000]].concat();
    let limits = Limits::default();
    for size in [1, 1000, input.len()] {
        let exchange = Exchange::new("GET", &limits, input.chunks(size), Taking::All);
        let limit = limits.max_chunk_overhead;
        let expected = End::Refused(ChunkOverheadTooLarge { limit });
        assert_eq!(exchange.end, expected, "{size}");
    }
}

#[test]
fn what_is_sent_can_be_received() {
    let mut body = Vec::new();
    let mut sent = Vec::new();
    for length in [1, 9, 10, 15, 16, 17, 255, 256, 300] {
        let chunk = vec![b'x'; length];
        body.extend_from_slice(&chunk);
        sent.extend_from_slice(chunk_start(NonZeroUsize::new(length).expect("not 0")).as_bytes());
        sent.extend_from_slice(&chunk);
        sent.extend_from_slice(CHUNK_END);
    }
    sent.extend_from_slice(LAST_CHUNK);
    let exchange = receive(&Limits::default(), &sent);
    assert_eq!(exchange.end, End::Complete);
    assert_eq!(exchange.body, body);
}

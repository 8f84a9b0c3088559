use super::super::error::LineFault;
use super::super::testing::{End, Exchange};
use super::*;
use ParseError::*;

/// The head in `input`, read in every way.
fn head(input: &[u8]) -> Result<ResponseHead, ParseError> {
    head_within(&Limits::default(), input)
}

fn head_within(limits: &Limits, input: &[u8]) -> Result<ResponseHead, ParseError> {
    let mut exchange = Exchange::in_every_way("HEAD", limits, input);
    match exchange.end {
        End::Refused(error) => Err(error),
        _ => Ok(exchange.heads.pop().expect("a head")),
    }
}

fn broken(line: usize, fault: LineFault) -> ParseError {
    InvalidLine {
        section: Section::Head,
        line,
        fault,
    }
}

#[test]
fn status_lines() {
    let cases: &[(&[u8], u8, u16, &str)] = &[
        (b"HTTP/1.1 200 OK", 1, 200, "OK"),
        (b"HTTP/1.0 200 OK", 0, 200, "OK"),
        (b"HTTP/1.1 404 Not Found", 1, 404, "Not Found"),
        (b"HTTP/1.1 200 ", 1, 200, ""),
        (b"HTTP/1.1 200", 1, 200, ""),
        (b"HTTP/1.1 200  \t ", 1, 200, ""),
        (b"HTTP/1.1 200  O K\t", 1, 200, "O K"),
        (b"HTTP/1.1  200 OK", 1, 200, "OK"),
        (b"HTTP/1.1       200", 1, 200, ""),
        (b"HTTP/1.1 999 x", 1, 999, "x"),
        (b"HTTP/1.1 600 x", 1, 600, "x"),
        (b"HTTP/1.1 200 0", 1, 200, "0"),
        // Read as the highest known minor version.
        (b"HTTP/1.2 200 OK", 1, 200, "OK"),
        (b"HTTP/1.9 200 OK", 1, 200, "OK"),
        // Accepted, as curl, Go and Node do.
        (b"HTTP/2.0 200 OK", 1, 200, "OK"),
        (b"HTTP/1.1 200 \xc3\xa4", 1, 200, "\u{e4}"),
        (b"HTTP/1.1 200 \xe4", 1, 200, "\u{fffd}"),
        (b"HTTP/1.1 200 O\x01K", 1, 200, "O\u{1}K"),
    ];
    for &(line, minor_version, status, reason) in cases {
        for end in ["\r\n\r\n", "\n\n", "\r\n\n", "\n\r\n"] {
            let raw = [line, end.as_bytes()].concat();
            let expected = ResponseHead {
                minor_version,
                status,
                reason: reason.into(),
                headers: Vec::new(),
                raw: raw.clone(),
            };
            assert_eq!(head(&raw), Ok(expected), "{}", raw.escape_ascii());
        }
    }
}

#[test]
fn status_lines_that_are_none() {
    let cases: &[(&[u8], ParseError)] = &[
        (b"", NotHttp),
        (b" ", NotHttp),
        (b" HTTP/1.1 200 OK", NotHttp),
        (b"\tHTTP/1.1 200 OK", NotHttp),
        (b"\r\nHTTP/1.1 200 OK", NotHttp),
        (b"\nHTTP/1.1 200 OK", NotHttp),
        (b"\0", NotHttp),
        (b"http/1.1 200 OK", NotHttp),
        (b"HTTp/1.1 200 OK", NotHttp),
        (b"HTTPS/1.1 200 OK", NotHttp),
        (b"HTTP", NotHttp),
        (b"HTTP 1.1 200 OK", NotHttp),
        (b"HTTP /1.1 200 OK", NotHttp),
        (b"HTTP/ 1.1 200 OK", NotHttp),
        (b"HTTP/", NotHttp),
        (b"HTTP/x.y 200 OK", NotHttp),
        (b"HTTP/-1.1 200 OK", NotHttp),
        (b"ICY 200 OK", NotHttp),
        (b"RTSP/1.0 200 OK", NotHttp),
        (b"SIP/2.0 200 OK", NotHttp),
        (b"SSH-2.0-OpenSSH_9.2", NotHttp),
        (b"220 mail.example ESMTP", NotHttp),
        (b"<html>", NotHttp),
        (b"\x15\x03\x03\x00\x02\x02\x0a", NotHttp),
        (b"GET / HTTP/1.1", NotHttp),
        (b"200 OK", NotHttp),
        (b"\xef\xbb\xbfHTTP/1.1 200 OK", NotHttp),
        (b"HTTP/0.9 200 OK", UnsupportedVersion),
        (b"HTTP/2 200", UnsupportedVersion),
        (b"HTTP/2.1 200 OK", UnsupportedVersion),
        (b"HTTP/3 200", UnsupportedVersion),
        (b"HTTP/3.0 200 OK", UnsupportedVersion),
        (b"HTTP/1 200 OK", UnsupportedVersion),
        (b"HTTP/1", UnsupportedVersion),
        (b"HTTP/1.", UnsupportedVersion),
        (b"HTTP/1. 200 OK", UnsupportedVersion),
        (b"HTTP/1.x 200 OK", UnsupportedVersion),
        (b"HTTP/1.-1 200 OK", UnsupportedVersion),
        (b"HTTP/1,1 200 OK", UnsupportedVersion),
        (b"HTTP/11 200 OK", UnsupportedVersion),
        (b"HTTP/11.1 200 OK", UnsupportedVersion),
        (b"HTTP/1.10 200 OK", UnsupportedVersion),
        (b"HTTP/1.11 200 OK", UnsupportedVersion),
        (b"HTTP/01.1 200 OK", UnsupportedVersion),
        (b"HTTP/1.1", InvalidStatusLine),
        (b"HTTP/1.1 ", InvalidStatusLine),
        (b"HTTP/1.1    ", InvalidStatusLine),
        (b"HTTP/1.1\t200 OK", InvalidStatusLine),
        (b"HTTP/1.1 \t200 OK", InvalidStatusLine),
        (b"HTTP/1.1x200 OK", InvalidStatusLine),
        (b"HTTP/1.1 OK", InvalidStatusLine),
        (b"HTTP/1.1 2", InvalidStatusLine),
        (b"HTTP/1.1 20", InvalidStatusLine),
        (b"HTTP/1.1 20 OK", InvalidStatusLine),
        (b"HTTP/1.1 2 0 OK", InvalidStatusLine),
        (b"HTTP/1.1 2000 OK", InvalidStatusLine),
        (b"HTTP/1.1 200OK", InvalidStatusLine),
        (b"HTTP/1.1 200\tOK", InvalidStatusLine),
        (b"HTTP/1.1 200\x0bOK", InvalidStatusLine),
        (b"HTTP/1.1 200.1 OK", InvalidStatusLine),
        (b"HTTP/1.1 200\0", InvalidStatusLine),
        (b"HTTP/1.1 099 OK", InvalidStatusLine),
        (b"HTTP/1.1 000 OK", InvalidStatusLine),
        (b"HTTP/1.1 0x1 OK", InvalidStatusLine),
        (b"HTTP/1.1 +20 OK", InvalidStatusLine),
        (b"HTTP/1.1 -20 OK", InvalidStatusLine),
        (b"HTTP/1.1 -200 OK", InvalidStatusLine),
        (b"HTTP/1.1 2x0 OK", InvalidStatusLine),
        (b"HTTP/1.1 \xb2\xb0\xb0 OK", InvalidStatusLine),
        (b"HTTP/1.1\r200 OK", InvalidStatusLine),
        (b"HTTP/1.1 \r200 OK", InvalidStatusLine),
        (b"HTTP/1.1 200\rOK", broken(1, LineFault::BareCr)),
        (b"HTTP/1.1 200 O\rK", broken(1, LineFault::BareCr)),
        (b"HTTP/1.1 200 OK\r\r", broken(1, LineFault::BareCr)),
        (b"HTTP/1.1 200 O\0K", broken(1, LineFault::Nul)),
    ];
    for (line, error) in cases {
        let input = [line, &b"\r\nA: b\r\n\r\n"[..]].concat();
        assert_eq!(head(&input), Err(error.clone()), "{}", line.escape_ascii());
    }
}

#[test]
fn what_is_no_head_is_refused_at_the_first_byte_that_shows_it() {
    let cases: &[(&[u8], ParseError)] = &[
        (b"\n", NotHttp),
        (b"S", NotHttp),
        (b"HTTQ", NotHttp),
        (b"HTTP:", NotHttp),
        (b"HTTP/v", NotHttp),
        (b"HTTP/0", UnsupportedVersion),
        (b"HTTP/3", UnsupportedVersion),
        (b"HTTP/1x", UnsupportedVersion),
        (b"HTTP/2 ", UnsupportedVersion),
        (b"HTTP/1.x", UnsupportedVersion),
        (b"HTTP/1.10", UnsupportedVersion),
        (b"HTTP/1.1\r", InvalidStatusLine),
        (b"HTTP/1.1 x", InvalidStatusLine),
        (b"HTTP/1.1 0", InvalidStatusLine),
        (b"HTTP/1.1 2x", InvalidStatusLine),
        (b"HTTP/1.1 20x", InvalidStatusLine),
        (b"HTTP/1.1 200x", InvalidStatusLine),
    ];
    for (input, error) in cases {
        let shorter = &input[..input.len() - 1];
        let mut parser = HeadParser::new(&Limits::default());
        assert_eq!(
            parser.parse(shorter),
            Ok(None),
            "{}",
            shorter.escape_ascii()
        );
        assert_eq!(
            parser.parse(input),
            Err(error.clone()),
            "{}",
            input.escape_ascii()
        );
    }
}

#[test]
fn broken_lines_are_refused_when_they_end() {
    let mut parser = HeadParser::new(&Limits::default());
    let input = b"HTTP/1.1 200 OK\r\nA: b\r\nc\r\n";
    assert_eq!(parser.parse(&input[..input.len() - 1]), Ok(None));
    let error = broken(3, LineFault::NoColon);
    assert_eq!(parser.parse(input), Err(error.clone()));
    assert_eq!(parser.parse(b""), Err(error.clone()));
    assert_eq!(parser.end_of_input(b""), error);
}

#[test]
fn fields_keep_order_case_and_repetition() {
    let input = b"HTTP/1.1 200 OK\r\nB: 1\r\na:2\r\nb:\r\nB: 1\n folded\r\n\r\nbody: x\r\n\r\n";
    let head = head(input).expect("valid");
    let fields: Vec<_> = head
        .headers
        .iter()
        .map(|field| (field.name.as_str(), field.value.as_slice()))
        .collect();
    let expected: [(&str, &[u8]); 4] = [("B", b"1"), ("a", b"2"), ("b", b""), ("B", b"1 folded")];
    assert_eq!(fields, expected);
    assert_eq!(head.raw, &input[..input.len() - b"body: x\r\n\r\n".len()]);
    let expected: [&[u8]; 3] = [b"1", b"", b"1 folded"];
    assert_eq!(head.values("b").collect::<Vec<_>>(), expected);
    assert_eq!(head.values("c").count(), 0);
}

#[test]
fn the_heads_size_is_bounded() {
    for input in [
        &b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n"[..],
        b"HTTP/1.1 200 OK\n\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nA: b\r\n\r\n",
    ] {
        for (max_head_size, fits) in [
            (input.len() - 1, false),
            (input.len(), true),
            (input.len() + 1, true),
        ] {
            let limits = Limits {
                max_head_size,
                ..Limits::default()
            };
            let error = head_within(&limits, input).err();
            let expected = (!fits).then_some(HeadTooLarge {
                limit: max_head_size,
            });
            assert_eq!(error, expected, "{max_head_size}: {}", input.escape_ascii());
            // The body does not count for the limit on the head.
            let longer = [input, &[b'x'; 100]].concat();
            let error = head_within(&limits, &longer).err();
            assert_eq!(
                error,
                expected,
                "{max_head_size}: {}",
                longer.escape_ascii()
            );
        }
    }
    for max_head_size in [0, 1, 12] {
        let limits = Limits {
            max_head_size,
            ..Limits::default()
        };
        let error = HeadTooLarge {
            limit: max_head_size,
        };
        assert_eq!(head_within(&limits, b"HTTP/1.1 200 OK\r\n\r\n"), Err(error));
    }
}

#[test]
fn an_endless_line_ends_at_the_limit() {
    for (start, fill) in [
        ("HTTP/1.1 ", ' '),
        ("HTTP/1.1 200 ", 'x'),
        ("HTTP/1.1 200\r\n", 'a'),
    ] {
        let mut input = start.to_owned();
        let mut parser = HeadParser::new(&Limits::default());
        while input.len() < crate::http1::MAX_HEAD_SIZE {
            assert_eq!(parser.parse(input.as_bytes()), Ok(None), "{start}");
            input.push(fill);
        }
        let error = HeadTooLarge {
            limit: crate::http1::MAX_HEAD_SIZE,
        };
        assert_eq!(parser.parse(input.as_bytes()), Err(error), "{start}");
    }
}

/// Reading the whole head again at each byte would read 30 thousand million bytes, which takes
/// noticeably long.
#[test]
fn the_largest_head_is_read_byte_by_byte_in_linear_time() {
    let mut input = b"HTTP/1.1 200 OK\r\nA: b\r\n".to_vec();
    while input.len() < crate::http1::MAX_HEAD_SIZE - 100 {
        input.extend_from_slice(b" folded\r\n");
    }
    input.extend_from_slice(b"\r\n");
    let mut parser = HeadParser::new(&Limits::default());
    for end in 0..input.len() {
        assert_eq!(parser.parse(&input[..end]), Ok(None), "{end}");
    }
    let (head, length) = parser.parse(&input).expect("valid").expect("whole");
    assert_eq!(length, input.len());
    assert_eq!(head.headers.len(), 1);
}

#[test]
fn the_number_of_fields_is_bounded() {
    for (count, expected) in [
        (999, Ok(999)),
        (1000, Ok(1000)),
        (1001, Err(TooManyHeaders { limit: 1000 })),
    ] {
        let input = format!("HTTP/1.1 200 OK\r\n{}\r\n", "A:\r\n".repeat(count));
        let mut parser = HeadParser::new(&Limits::default());
        let parsed = parser.parse(input.as_bytes());
        let fields = parsed.map(|head| head.expect("whole").0.headers.len());
        assert_eq!(fields, expected, "{count}");
    }
}

#[test]
fn the_number_of_interim_responses_is_bounded() {
    for (count, error) in [
        (0, None),
        (99, None),
        (100, None),
        (101, Some(TooManyInterimResponses { limit: 100 })),
    ] {
        let input = "HTTP/1.1 102 Processing\r\n\r\n".repeat(count) + "HTTP/1.1 200 OK\r\n\r\n";
        let pieces = [input.as_bytes()];
        let taking = super::super::testing::Taking::All;
        let exchange = Exchange::new("GET", &Limits::default(), pieces, taking);
        match error {
            None => assert_eq!(exchange.heads.len(), count + 1),
            Some(error) => assert_eq!(exchange.end, End::Refused(error), "{count}"),
        }
    }
}

#[test]
fn interim_responses_precede_the_response() {
    let input = b"HTTP/1.1 100 Continue\r\nContent-Length: 3\r\n\r\n\
                  HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n\
                  HTTP/1.1 199\n\n\
                  HTTP/1.0 200 OK\r\n\r\n";
    let exchange = Exchange::in_every_way("GET", &Limits::default(), input);
    let statuses: Vec<_> = exchange.heads.iter().map(|head| head.status).collect();
    assert_eq!(statuses, [100, 103, 199, 200]);
    assert_eq!(exchange.end, End::Complete);
}

#[test]
fn a_switch_of_protocols_that_was_not_asked_for_is_refused() {
    let input = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\nHTTP/1.1 200 OK\r\n\r\n";
    assert_eq!(head(input), Err(SwitchingProtocols));
}

#[test]
fn connections_that_are_closed_too_early() {
    let cases: &[(&[u8], ParseError)] = &[
        (b"", EmptyResponse),
        (b"HTTP/1.1 100 Continue\r\n\r\n", EmptyResponse),
        (b"H", IncompleteHead),
        (b"HTTP/1.1 200 OK", IncompleteHead),
        (b"HTTP/1.1 200 OK\r\n", IncompleteHead),
        (b"HTTP/1.1 200 OK\r\nA: b\r\n\r", IncompleteHead),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/", IncompleteHead),
    ];
    for (input, error) in cases {
        assert_eq!(head(input), Err(error.clone()), "{}", input.escape_ascii());
    }
}

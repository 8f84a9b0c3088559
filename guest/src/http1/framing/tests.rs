use super::super::testing::{End, Exchange};
use super::super::{HeadParser, Limits};
use super::BodyFraming::*;
use super::*;

fn parse(text: &str) -> ResponseHead {
    let mut parser = HeadParser::new(&Limits::default());
    let parsed = parser.parse(text.as_bytes());
    parsed.expect(text).expect("a whole head").0
}

/// The framing of the response to a `GET` with these fields.
fn framing(fields: &str) -> Result<BodyFraming, ParseError> {
    BodyFraming::of(
        "GET",
        &parse(&format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n")),
    )
}

#[test]
fn some_responses_have_no_body_whatever_their_fields_say() {
    for fields in [
        "",
        "Content-Length: 5\r\n",
        "Content-Length: -5\r\n",
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Transfer-Encoding: gzip\r\n",
    ] {
        for (method, status) in [
            ("HEAD", 200),
            ("HEAD", 404),
            ("GET", 100),
            ("GET", 103),
            ("GET", 204),
            ("GET", 304),
            ("POST", 204),
        ] {
            let head = parse(&format!("HTTP/1.1 {status} x\r\n{fields}\r\n"));
            let framing = BodyFraming::of(method, &head);
            assert_eq!(framing, Ok(Empty), "{method} {status} {fields}");
        }
    }
}

#[test]
fn other_methods_and_statuses_make_no_difference() {
    for (method, status) in [
        ("GET", 200),
        ("head", 200),
        ("POST", 200),
        ("OPTIONS", 200),
        ("DELETE", 205),
        ("GET", 206),
        ("GET", 301),
        ("GET", 404),
        ("GET", 500),
        ("GET", 999),
    ] {
        let head = parse(&format!("HTTP/1.1 {status} x\r\nContent-Length: 5\r\n\r\n"));
        let framing = BodyFraming::of(method, &head);
        assert_eq!(framing, Ok(Length(5)), "{method} {status}");
    }
}

#[test]
fn lengths() {
    for (fields, expected) in [
        ("A: b", UntilClose),
        ("Content-Length: 0", Length(0)),
        ("Content-Length: 5", Length(5)),
        ("content-LENGTH:5", Length(5)),
        ("Content-Length: \t5 \t", Length(5)),
        ("Content-Length: 005", Length(5)),
        ("Content-Length: 000000000000000000000000000005", Length(5)),
        ("Content-Length:\r\n 5", Length(5)),
        ("Content-Length: 5, 5", Length(5)),
        ("Content-Length: 5,5\t,  5", Length(5)),
        ("Content-Length: 5, 05", Length(5)),
        ("Content-Length: 5\r\nContent-Length: 5", Length(5)),
        (
            "Content-Length: 5\r\nA: b\r\ncontent-length: 5, 5",
            Length(5),
        ),
        ("Content-Length: 4294967296", Length(1 << 32)),
        ("Content-Length: 9223372036854775808", Length(1 << 63)),
        ("Content-Length: 18446744073709551615", Length(u64::MAX)),
    ] {
        assert_eq!(framing(fields), Ok(expected), "{fields}");
    }
}

#[test]
fn lengths_that_are_none() {
    for value in [
        "",
        " ",
        ",",
        "5,",
        ",5",
        "5,,5",
        "5, ",
        "+5",
        "-5",
        "-0",
        "5-",
        "5 5",
        "5\t5",
        "5;5",
        "5; q=1",
        "5.0",
        "5e3",
        "0x5",
        "5h",
        "five",
        "\"5\"",
        "5, x",
        "_5",
        "1_000",
        "\u{665}",
        "\u{ff15}",
        "18446744073709551616",
        "99999999999999999999999999999999999999",
        "1\r\n 5",
    ] {
        let expected = ParseError::InvalidContentLength {
            value: excerpt(
                value
                    .replace("\r\n", "")
                    .trim_matches([' ', '\t'])
                    .as_bytes(),
            ),
        };
        let field = format!("Content-Length: {value}");
        assert_eq!(framing(&field), Err(expected), "{value:?}");
    }
    for (fields, first, other) in [
        ("Content-Length: 5\r\nContent-Length: 6", 5, 6),
        ("Content-Length: 5, 6", 5, 6),
        ("Content-Length: 5\r\nContent-Length: 5, 5, 7", 5, 7),
        ("Content-Length: 0\r\nA: b\r\nContent-Length: 5", 0, 5),
    ] {
        let expected = ParseError::ConflictingContentLengths { first, other };
        assert_eq!(framing(fields), Err(expected), "{fields}");
    }
}

#[test]
fn long_values_are_cut_in_errors() {
    let field = format!("Content-Length: {}", "x".repeat(1000));
    let expected = ParseError::InvalidContentLength {
        value: "x".repeat(60) + "...",
    };
    assert_eq!(framing(&field), Err(expected));
}

#[test]
fn transfer_codings() {
    for (fields, expected) in [
        ("Transfer-Encoding: chunked", Chunked),
        ("TRANSFER-encoding:CHUNKED", Chunked),
        ("Transfer-Encoding: \tchunked\t", Chunked),
        ("Transfer-Encoding:\r\n chunked", Chunked),
        // RFC 9110 section 5.6.1: empty elements of a list are ignored.
        ("Transfer-Encoding: chunked,", Chunked),
        ("Transfer-Encoding: , chunked", Chunked),
        ("Transfer-Encoding: chunked, chunked", Chunked),
        (
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
            Chunked,
        ),
        ("Transfer-Encoding: identity, chunked", Chunked),
        (
            "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked",
            Chunked,
        ),
        ("Transfer-Encoding: chunked, identity", Chunked),
        ("Transfer-Encoding: identity", UntilClose),
        ("Transfer-Encoding:", UntilClose),
        ("Transfer-Encoding: ,", UntilClose),
        // Each of them overrides a length.
        ("Transfer-Encoding: chunked\r\nContent-Length: 5", Chunked),
        ("Content-Length: 5\r\nTransfer-Encoding: chunked", Chunked),
        ("Content-Length: -5\r\nTransfer-Encoding: chunked", Chunked),
        (
            "Content-Length: 5, 6\r\nTransfer-Encoding: chunked",
            Chunked,
        ),
        (
            "Content-Length: 5\r\nTransfer-Encoding: identity",
            UntilClose,
        ),
    ] {
        assert_eq!(framing(fields), Ok(expected), "{fields}");
    }
    let head = parse("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    assert_eq!(BodyFraming::of("GET", &head), Ok(Chunked));
}

#[test]
fn transfer_codings_that_the_request_did_not_ask_for() {
    for (value, coding) in [
        ("gzip", "gzip"),
        ("gzip, chunked", "gzip"),
        ("chunked, gzip", "gzip"),
        ("x-gzip", "x-gzip"),
        ("deflate", "deflate"),
        ("br", "br"),
        ("foo, chunked", "foo"),
        ("chunked;a=b", "chunked;a=b"),
        ("chunked; q=1", "chunked; q=1"),
        ("xchunked", "xchunked"),
        ("chunkedx", "chunkedx"),
        ("chunk", "chunk"),
        ("\"chunked\"", "\\\"chunked\\\""),
        ("chunked chunked", "chunked chunked"),
        ("chunked\r\n chunked", "chunked chunked"),
        ("chunked\x0b", "chunked\\x0b"),
        ("\x0cchunked", "\\x0cchunked"),
        ("chunked\u{a0}", "chunked\\xc2\\xa0"),
        ("chun\u{212a}ed", "chun\\xe2\\x84\\xaaed"),
    ] {
        let expected = ParseError::UnsupportedTransferCoding {
            coding: coding.into(),
        };
        let field = format!("Transfer-Encoding: {value}");
        assert_eq!(framing(&field), Err(expected), "{value:?}");
    }
}

#[test]
fn a_length_can_be_read_whatever_the_framing() {
    let head = parse("HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n");
    assert_eq!(BodyFraming::of("HEAD", &head), Ok(Empty));
    assert_eq!(head.content_length(), Ok(Some(1234)));
    let head = parse("HTTP/1.1 200 OK\r\n\r\n");
    assert_eq!(head.content_length(), Ok(None));
}

#[test]
fn broken_framing_ends_the_exchange() {
    let input = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!";
    let exchange = Exchange::in_every_way("GET", &Limits::default(), input);
    let error = ParseError::ConflictingContentLengths { first: 5, other: 6 };
    assert_eq!(exchange.end, End::Refused(error));
    assert_eq!(exchange.body, b"");
}

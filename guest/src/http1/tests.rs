//! Tests of all parsers together: responses that are broken at random.

use super::testing::{End, Exchange, Random, Taking};
use super::*;

/// Responses that use every feature.
const RESPONSES: [&[u8]; 9] = [
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nServer: x\r\n\r\nhello",
    b"HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\ncontent-length:5\r\n\r\nhello, there",
    b"HTTP/1.0 404 Not Found\nContent-Type: text/html\n\n<html>\r\n</html>",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n2;a=b\r\n, \r\n0\r\nA: b\r\n c\r\n\r\n",
    b"HTTP/1.1 200\r\nTransfer-Encoding : chunked\r\nContent-Length: 3\r\n\r\na\r\n0123456789\r\n0\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
    b"HTTP/1.1 301 Moved\r\nLocation: /\r\nX: a\r\n\tb\r\n c\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1  200  OK \r\nA : b\r\nB C: d\r\nTransfer-Encoding: identity\r\n\r\nx\0y",
    b"HTTP/2.0 200 OK\nTransfer-Encoding:chunked\n\n1\na\n00\n\n",
];

/// The bytes that a mutation may insert.
const PARTS: [&[u8]; 24] = [
    b"\r",
    b"\n",
    b"\r\n",
    b"\r\n\r\n",
    b"\0",
    b" ",
    b"\t",
    b":",
    b",",
    b";",
    b"0",
    b"5",
    b"f",
    b"-",
    b"+",
    b"A: b\r\n",
    b"\r\n ",
    b"\x7f",
    b"\xff",
    b"HTTP/1.1 100 x\r\n\r\n",
    b"Content-Length: 5\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"ffffffffffffffff",
    b"0\r\n\r\n",
];

fn mutate(random: &mut Random, input: &mut Vec<u8>) {
    let at = random.below(input.len() + 1);
    let end = (at + random.below(8)).min(input.len());
    match random.below(6) {
        0 => drop(input.drain(at..end)),
        1 => input.truncate(at),
        2 => {
            let part: Vec<u8> = input[at..end].to_vec();
            input.splice(at..at, part);
        }
        3 => {
            if let Some(byte) = input.get_mut(at) {
                *byte ^= 1 << random.below(8);
            }
        }
        _ => {
            let part = random.pick(&PARTS).to_vec();
            input.splice(at..at, part);
        }
    }
}

fn broken_response(random: &mut Random) -> Vec<u8> {
    let mut input = random.pick(&RESPONSES).to_vec();
    for _ in 0..=random.below(3) {
        mutate(random, &mut input);
    }
    input
}

/// Splits `input` into pieces of random sizes.
fn pieces<'a>(random: &mut Random, mut input: &'a [u8]) -> Vec<&'a [u8]> {
    let mut pieces = Vec::new();
    while !input.is_empty() {
        let (piece, rest) = input.split_at(1 + random.below(input.len().min(20)));
        pieces.push(piece);
        input = rest;
    }
    pieces
}

#[test]
fn however_it_is_split_the_result_is_the_same() {
    // Limits that are low enough for the responses to reach them.
    let limits = Limits {
        max_head_size: 120,
        max_header_count: 4,
        max_interim_responses: 2,
        max_trailer_size: 20,
        max_chunk_overhead: 24,
    };
    let mut random = Random::new(1);
    let mut ends = [0; 3];
    for round in 0..30_000 {
        let input = broken_response(&mut random);
        let limits = *random.pick(&[limits, Limits::default()]);
        let method = *random.pick(&["GET", "HEAD"]);
        let whole = Exchange::new(method, &limits, [input.as_slice()], Taking::All);
        let taking = *random.pick(&[Taking::All, Taking::Sips, Taking::Splicing]);
        let split = Exchange::new(method, &limits, pieces(&mut random, &input), taking);
        let shown = input.escape_ascii();
        assert_eq!(whole, split, "round {round}, {method}, {taking:?}: {shown}");
        ends[match whole.end {
            End::Complete => 0,
            End::Cut(_) => 1,
            End::Refused(_) => 2,
        }] += 1;
    }
    // The mutations break some responses and leave others valid.
    assert!(ends.iter().all(|&count| count > 100), "{ends:?}");
}

/// If httparse accepts a head, this parser reads it in the same way.
#[test]
fn heads_are_what_httparse_takes_them_for() {
    let mut config = httparse::ParserConfig::default();
    config
        .allow_multiple_spaces_in_response_status_delimiters(true)
        .allow_obsolete_multiline_headers_in_responses(true)
        .allow_spaces_after_header_name_in_responses(true);
    let mut random = Random::new(3);
    let mut compared = 0;
    for round in 0..30_000 {
        let input = broken_response(&mut random);
        let Ok(Some((head, length))) = HeadParser::new(&Limits::default()).parse(&input) else {
            continue;
        };
        let mut fields = [httparse::EMPTY_HEADER; 100];
        let mut oracle = httparse::Response::new(&mut fields);
        let status = config.parse_response(&mut oracle, &input);
        let Ok(httparse::Status::Complete(their_length)) = status else {
            continue;
        };
        compared += 1;
        let shown = input.escape_ascii();
        assert_eq!(length, their_length, "round {round}: {shown}");
        assert_eq!(Some(head.status), oracle.code, "round {round}: {shown}");
        assert_eq!(
            Some(head.minor_version),
            oracle.version,
            "round {round}: {shown}"
        );
        let parsed: Vec<_> = head
            .headers
            .iter()
            .map(|f| (f.name.as_str(), f.value.clone()))
            .collect();
        let oracle: Vec<_> = oracle
            .headers
            .iter()
            .map(|f| (f.name, unfolded(f.value)))
            .collect();
        assert_eq!(parsed, oracle, "round {round}: {shown}");
    }
    assert!(compared > 1000, "{compared} heads were compared");
}

/// httparse keeps line folds in values.
fn unfolded(value: &[u8]) -> Vec<u8> {
    let lines: Vec<_> = value
        .split(|&byte| byte == b'\n')
        .map(|line| field::trim_ows(line.strip_suffix(b"\r").unwrap_or(line)))
        .filter(|line| !line.is_empty())
        .collect();
    lines.join(&b' ')
}

/// The result of the URL parser for any text can be sent, and is one request.
#[test]
fn targets_of_urls_can_be_sent() {
    let mut random = Random::new(4);
    for _ in 0..5_000 {
        let mut text = "http://host/".to_owned();
        for _ in 0..random.below(8) {
            let part = random.pick(&[
                "\r\n", " ", "\0", "#", "?", "/../", "%", "\\", "\u{e4}", "|", "a", "\u{7f}",
            ]);
            text.push_str(part);
        }
        let target = crate::url::parse(&text).expect("a valid host");
        let head = RequestHead {
            method: "GET",
            target: &target.path,
            host: &target.authority,
            user_agent: "x",
            accept_encoding: None,
            headers: &[],
            omit: &[],
            body: RequestFraming::None,
            expect_continue: false,
            close: false,
        };
        assert!(head.encode().is_ok(), "{text:?}");
    }
}

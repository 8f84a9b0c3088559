//! Bodies with content codings.

use super::body::get;
use super::*;
use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::Write;

const PAGE: &[u8] = b"hello, world, hello, world";

fn gzip(decoded: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(decoded).expect("memory");
    encoder.finish().expect("memory")
}

fn decoding(max_body_size: Option<u64>) -> Options {
    Options {
        decode: true,
        max_body_size,
        ..Options::default()
    }
}

/// The framings of a body, each with whether the connection may be reused.
const FRAMES: [fn(&str, &[u8]) -> Vec<u8>; 3] = [
    |fields, body| {
        let head = format!(
            "HTTP/1.1 200 OK\r\n{fields}Content-Length: {}\r\n\r\n",
            body.len()
        );
        [head.as_bytes(), body].concat()
    },
    |fields, body| {
        let head = format!("HTTP/1.1 200 OK\r\n{fields}\r\n");
        [head.as_bytes(), body].concat()
    },
    |fields, body| {
        let head = format!("HTTP/1.1 200 OK\r\n{fields}Transfer-Encoding: chunked\r\n\r\n");
        let mut response = head.into_bytes();
        for chunk in body.chunks(5) {
            response.extend_from_slice(format!("{:x};a=b\r\n", chunk.len()).as_bytes());
            response.extend_from_slice(chunk);
            response.extend_from_slice(b"\r\n");
        }
        response.extend_from_slice(b"0\r\nA: b\r\n\r\n");
        response
    },
];

/// The bytes whole, byte by byte, and split in two at every byte.
fn in_every_way(
    response: &[u8],
    options: &Options,
    check: impl Fn(Result<Vec<u8>, FetchError>, &str),
) {
    let get = |packets: &[Vec<u8>]| get(packets, options).map(|(_, decoded)| decoded);
    check(get(&[response.to_vec()]), "whole");
    let bytes: Vec<Vec<u8>> = response.iter().map(|byte| vec![*byte]).collect();
    check(get(&bytes), "byte by byte");
    for cut in 1..response.len() {
        let (front, back) = response.split_at(cut);
        check(
            get(&[front.to_vec(), back.to_vec()]),
            &format!("cut at {cut}"),
        );
    }
}

#[test]
fn bodies_are_decoded_however_they_are_framed_and_split() {
    for frame in FRAMES {
        for (fields, body, decoded) in [
            ("Content-Encoding: gzip\r\n", gzip(PAGE), PAGE),
            (
                "Content-Encoding: gzip\r\nContent-Encoding: gzip\r\n",
                gzip(&gzip(PAGE)),
                PAGE,
            ),
            ("Content-Encoding: gzip\r\n", gzip(b""), b""),
            ("Content-Encoding: gzip\r\n", Vec::new(), b""),
            ("Content-Encoding: foo\r\n", Vec::new(), b""),
            ("", PAGE.to_vec(), PAGE),
        ] {
            let response = frame(fields, &body);
            in_every_way(&response, &decoding(None), |got, how| {
                let shown = response.escape_ascii();
                assert_eq!(got.as_deref(), Ok(decoded), "{how}: {shown}");
            });
        }
    }
}

#[test]
fn bodies_are_left_as_they_are_without_the_option_to_decode() {
    let coded = gzip(PAGE);
    for coding in ["gzip", "br", "foo"] {
        let response = FRAMES[0](&format!("Content-Encoding: {coding}\r\n"), &coded);
        let got = get(&[response], &Options::default());
        assert_eq!(got, Ok((200, coded.clone())), "{coding}");
    }
}

#[test]
fn bodies_that_do_not_decode_are_an_error_and_those_cut_short_another() {
    let coded = gzip(PAGE);
    let broken = FetchError::ContentEncoding("the gzip data is broken".to_owned());
    let short = FetchError::ContentEncoding("the gzip data ends too early".to_owned());
    let unknown = FetchError::ContentEncoding("unknown content coding: \"foo\"".to_owned());
    let incomplete = FetchError::IncompleteBody {
        received: 10,
        expected: Some(coded.len() as u64),
    };
    let cut = |data: &[u8], n: usize| data[..data.len() - n].to_vec();
    let cases = [
        (FRAMES[0]("Content-Encoding: gzip\r\n", PAGE), broken),
        (
            FRAMES[0]("Content-Encoding: gzip\r\n", &coded[..10]),
            short.clone(),
        ),
        (
            FRAMES[1]("Content-Encoding: gzip\r\n", &cut(&coded, 1)),
            short.clone(),
        ),
        (
            FRAMES[2]("Content-Encoding: gzip\r\n", &cut(&coded, 8)),
            short,
        ),
        (
            FRAMES[0]("Content-Encoding: gzip, foo\r\n", &coded),
            unknown,
        ),
        (
            cut(
                &FRAMES[0]("Content-Encoding: gzip\r\n", &coded),
                coded.len() - 10,
            ),
            incomplete,
        ),
    ];
    for (response, error) in cases {
        in_every_way(&response, &decoding(None), |got, how| {
            let shown = response.escape_ascii();
            assert_eq!(got, Err(error.clone()), "{how}: {shown}");
        });
    }
}

#[test]
fn the_bound_is_on_the_decoded_body() {
    for frame in FRAMES {
        for (size, max, allowed) in [
            (1_000_000, 1_000_000, true),
            (1_000_000, 999_999, false),
            (1_000_000, 10, false),
            (10, 10, true),
            (11, 10, false),
            (0, 0, true),
            (1, 0, false),
        ] {
            let decoded = vec![b'x'; size];
            let response = frame("Content-Encoding: gzip\r\n", &gzip(&decoded));
            let options = decoding(Some(max));
            let got = get(&[response], &options).map(|(_, decoded)| decoded);
            let too_large = FetchError::LimitExceeded(ResponseLimit::BodySize);
            let expected = if allowed { Ok(decoded) } else { Err(too_large) };
            assert!(got == expected, "{size} of {max}");
        }
    }
}

/// Bodies that have many bytes and decode to nothing: empty members, padding, an endless name.
#[test]
fn a_coded_body_of_which_nothing_comes_is_bounded_as_well() {
    let nothing: [Vec<u8>; 3] = [
        gzip(b"").repeat(10_000),
        [gzip(b""), vec![0; 200_000]].concat(),
        [&gzip(b"")[..3], &[8], &gzip(b"")[4..10], &[b'x'; 200_000]].concat(),
    ];
    for frame in FRAMES {
        for body in &nothing {
            let response = frame("Content-Encoding: gzip\r\n", body);
            let packets: Vec<Vec<u8>> = response.chunks(16 * 1024).map(<[u8]>::to_vec).collect();
            let got = get(&packets, &decoding(Some(1000)));
            assert_eq!(got, Err(FetchError::LimitExceeded(ResponseLimit::BodySize)));
        }
    }
}

#[test]
fn no_more_than_allowed_is_decoded_and_passed_on() {
    let net = MemoryNet::default();
    let bomb = FRAMES[1]("Content-Encoding: gzip\r\n", &gzip(&vec![0; 50 << 20]));
    answer(&net, ADDRESS, vec![bomb]);
    net.run(async {
        let asked = with(decoding(Some(100_000)));
        let mut response = fetch(&net, asked).await.expect("a head");
        let mut decoded = Vec::new();
        let error = response.write_to(&mut decoded, u64::MAX).await;
        assert_eq!(
            error,
            Err(FetchError::LimitExceeded(ResponseLimit::BodySize))
        );
        assert_eq!(decoded.len(), 100_000);
        assert_eq!(response.read(1).await.err(), error.err(), "final");
    });
}

#[test]
fn a_decoded_body_has_no_length_beforehand() {
    let coded = gzip(PAGE);
    let length = Some(coded.len() as u64);
    for (method, coding, decode, size, expected) in [
        ("GET", "gzip", true, coded.len(), None),
        ("GET", "gzip", false, coded.len(), length),
        ("GET", "identity", true, coded.len(), length),
        ("GET", "gzip", true, 0, Some(0)),
        ("HEAD", "gzip", true, coded.len(), None),
        ("HEAD", "gzip", false, coded.len(), length),
    ] {
        let net = MemoryNet::default();
        let fields = format!("Content-Encoding: {coding}\r\n");
        answer(&net, ADDRESS, vec![FRAMES[0](&fields, &coded[..size])]);
        let asked = Request {
            method: method.to_owned(),
            options: Options {
                decode,
                ..Options::default()
            },
            ..request(URL)
        };
        let response = net.run(fetch(&net, asked)).expect("a head");
        assert_eq!(
            response.info().content_length,
            expected,
            "{method} {coding} {decode} {size}"
        );
    }
}

#[test]
fn a_connection_is_used_again_after_a_body_that_was_decoded() {
    let net = MemoryNet::default();
    let coded = gzip(PAGE);
    let script = vec![
        Step::Read(0),
        Step::Send(FRAMES[0]("Content-Encoding: gzip\r\n", &coded)),
        Step::Read(0),
        Step::Send(FRAMES[2]("Content-Encoding: gzip\r\n", &coded)),
        Step::Read(0),
        Step::Send(FRAMES[0]("", PAGE)),
    ];
    let log = play(&net, ADDRESS, vec![script]);
    let client = Client::new(net.clone());
    for _ in 0..3 {
        let decoded = net.run(async {
            let mut response = client.fetch(with(decoding(None))).await?;
            read_all(&mut response).await
        });
        assert_eq!(decoded.as_deref(), Ok("hello, world, hello, world"));
    }
    assert_eq!(log.connections(), [0, 0, 0]);
    for asked in log.requests() {
        assert!(
            asked.contains("\r\nAccept-Encoding: gzip, deflate, br\r\n"),
            "{asked}"
        );
    }
}

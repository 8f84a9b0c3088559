use super::super::testing::{End, Exchange};
use super::*;

fn decoder(framing: BodyFraming) -> BodyDecoder {
    BodyDecoder::new(framing, &Limits::default())
}

#[test]
fn whole_responses() {
    type Case<'a> = (&'a str, &'a [u8], &'a [u8], &'a [u8]);
    let cases: &[Case<'_>] = &[
        ("GET", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", b"hello", b""),
        ("GET", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello!!", b"hello", b"!!"),
        ("GET", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b"", b""),
        ("GET", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nx", b"", b"x"),
        ("GET", b"HTTP/1.1 200 OK\r\n\r\nhello", b"hello", b""),
        ("GET", b"HTTP/1.0 200 OK\n\n\r\n\r\n", b"\r\n\r\n", b""),
        ("GET", b"HTTP/1.1 200 OK\r\n\r\n", b"", b""),
        ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", b"", b""),
        ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", b"", b"hello"),
        ("HEAD", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"", b""),
        ("GET", b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", b"", b""),
        ("GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", b"", b""),
        ("GET", b"HTTP/1.1 205 Reset Content\r\nContent-Length: 2\r\n\r\nab", b"ab", b""),
        (
            "GET",
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nabc",
            b"ab",
            b"c",
        ),
        (
            "GET",
            b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\nx",
            b"hello",
            b"x",
        ),
    ];
    for (method, input, body, left) in cases {
        let exchange = Exchange::in_every_way(method, &Limits::default(), input);
        let shown = input.escape_ascii();
        assert_eq!(exchange.end, End::Complete, "{shown}");
        assert_eq!(exchange.body, *body, "{shown}");
        assert_eq!(exchange.left, *left, "{shown}");
    }
}

#[test]
fn a_body_cut_short_is_no_body() {
    for received in 0..5 {
        let input = [
            &b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"[..],
            &b"hello"[..received],
        ]
        .concat();
        let exchange = Exchange::in_every_way("GET", &Limits::default(), &input);
        let expected = Incomplete {
            received: received as u64,
            expected: Some(5),
        };
        assert_eq!(exchange.end, End::Cut(expected), "{received}");
        assert_eq!(exchange.body, b"hello"[..received], "{received}");
    }
}

#[test]
fn body_bytes_are_passed_on_as_soon_as_they_arrive() {
    let mut chunked = decoder(BodyFraming::Chunked);
    for (received, expected, passed) in [
        (&b"5"[..], Decoded::NeedMore { consumed: 1 }, 0),
        (b"", Decoded::NeedMore { consumed: 0 }, 0),
        (b"\r\n", Decoded::NeedMore { consumed: 2 }, 0),
        (b"he", Decoded::Data { skip: 0, len: 2 }, 1),
        (b"e", Decoded::Data { skip: 0, len: 1 }, 1),
        (b"llo\r\n2", Decoded::Data { skip: 0, len: 3 }, 3),
        (b"\r\n2", Decoded::NeedMore { consumed: 3 }, 0),
        (b";x\r\nab", Decoded::Data { skip: 4, len: 2 }, 0),
        (b"ab", Decoded::Data { skip: 0, len: 2 }, 2),
        (b"\r\n0\r\n", Decoded::NeedMore { consumed: 5 }, 0),
        (b"\r\nleft", Decoded::End { consumed: 2 }, 0),
        (b"left", Decoded::End { consumed: 0 }, 0),
    ] {
        let decoded = chunked.decode(received);
        assert_eq!(decoded, Ok(expected), "{}", received.escape_ascii());
        chunked.passed(passed);
    }
    assert_eq!(chunked.received(), 7);
}

#[test]
fn what_may_be_moved_unseen() {
    let mut empty = decoder(BodyFraming::Empty);
    assert_eq!((empty.passthrough(), empty.is_done()), (0, true));
    empty.passed(1);
    assert_eq!(empty.received(), 0);

    let mut length = decoder(BodyFraming::Length(5));
    assert_eq!(length.passthrough(), 5);
    length.passed(4);
    assert_eq!((length.passthrough(), length.is_done()), (1, false));
    length.passed(1);
    assert_eq!((length.passthrough(), length.is_done()), (0, true));

    let mut until_close = decoder(BodyFraming::UntilClose);
    until_close.passed(1 << 40);
    assert_eq!(
        (until_close.passthrough(), until_close.is_done()),
        (u64::MAX, false)
    );
    assert_eq!(until_close.end_of_input(), Ok(()));
    assert_eq!(
        (until_close.passthrough(), until_close.is_done()),
        (0, true)
    );

    let mut chunked = decoder(BodyFraming::Chunked);
    assert_eq!(chunked.passthrough(), 0);
    assert_eq!(
        chunked.decode(b"ff\r\n"),
        Ok(Decoded::NeedMore { consumed: 4 })
    );
    assert_eq!(chunked.passthrough(), 255);
    chunked.passed(255);
    assert_eq!(chunked.passthrough(), 0);
    assert_eq!(chunked.decode(b"x"), Err(ParseError::InvalidChunkEnd));
    assert_eq!(
        chunked.decode(b"\r\n0\r\n\r\n"),
        Err(ParseError::InvalidChunkEnd)
    );
    assert_eq!((chunked.passthrough(), chunked.is_done()), (0, false));
}

#[test]
fn more_cannot_be_passed_than_there_is() {
    let mut length = decoder(BodyFraming::Length(5));
    length.passed(u64::MAX);
    assert_eq!((length.received(), length.is_done()), (5, true));

    let mut chunked = decoder(BodyFraming::Chunked);
    chunked.passed(7);
    assert_eq!(
        chunked.decode(b"3\r\nabc"),
        Ok(Decoded::Data { skip: 3, len: 3 })
    );
    chunked.passed(u64::MAX);
    assert_eq!(chunked.received(), 3);
    assert_eq!(
        chunked.decode(b"\r\n0\r\n\r\n"),
        Ok(Decoded::End { consumed: 7 })
    );

    let mut until_close = decoder(BodyFraming::UntilClose);
    until_close.passed(u64::MAX);
    until_close.passed(1);
    assert_eq!(until_close.received(), u64::MAX);
}

#[test]
fn the_length_is_known_where_it_can_be() {
    for (framing, expected) in [
        (BodyFraming::Empty, Some(0)),
        (BodyFraming::Length(0), Some(0)),
        (BodyFraming::Length(5), Some(5)),
        (BodyFraming::Chunked, None),
        (BodyFraming::UntilClose, None),
    ] {
        let mut decoder = decoder(framing);
        assert_eq!(decoder.content_length(), expected, "{framing:?}");
        decoder.passed(2);
        assert_eq!(decoder.content_length(), expected, "{framing:?}");
    }
}

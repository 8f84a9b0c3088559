//! Response bodies, complete and broken, with every framing and split at every byte.

use super::*;

/// The body, received by pulling and by pushing. Both must give the same result.
pub(super) fn get(packets: &[Vec<u8>], options: &Options) -> Result<(u16, Vec<u8>), FetchError> {
    let pulled = transfer(packets, options, true);
    let pushed = transfer(packets, options, false);
    assert_eq!(pulled, pushed, "pulled and pushed");
    pulled
}

fn transfer(
    packets: &[Vec<u8>],
    options: &Options,
    pull: bool,
) -> Result<(u16, Vec<u8>), FetchError> {
    let net = MemoryNet::default();
    answer(&net, ADDRESS, packets.to_vec());
    net.run(async {
        let options = options.clone();
        let request = Request {
            options,
            ..request("http://127.0.0.1/")
        };
        let mut response = fetch(&net, request).await?;
        let mut body = Vec::new();
        if pull {
            while let Some(bytes) = response.read(7).await? {
                assert!(!bytes.is_empty() && bytes.len() <= 7);
                body.extend_from_slice(&bytes);
            }
            assert_eq!(response.read(7).await, Ok(None), "stays ended");
        } else {
            let result = response.write_to(&mut body, 10).await?;
            assert_eq!(result, body.len() as u64);
            response.write_to(&mut body, u64::MAX).await?;
            assert_eq!(
                response.write_to(&mut body, u64::MAX).await,
                Ok(0),
                "stays ended"
            );
        }
        Ok((response.info().head.status, body))
    })
}

#[test]
fn bodies_arrive_however_they_are_framed_and_split() {
    let cases: &[(&[u8], &[u8])] = &[
        (b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\nhello, world", b"hello, world"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\nhello, worldEXTRA", b"hello, world"),
        (b"HTTP/1.0 200 OK\r\n\r\nhello, world", b"hello, world"),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n7\r\n, world\r\n0\r\nA: b\r\n\r\n",
            b"hello, world",
        ),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", b"hi"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b""),
    ];
    for (response, body) in cases {
        let text = response.escape_ascii();
        let options = Options::default();
        let expected = |got: Result<(u16, Vec<u8>), FetchError>, how: &str| {
            let (_, got) = got.unwrap_or_else(|error| panic!("{text} {how}: {error}"));
            assert_eq!(got, *body, "{text} {how}");
        };
        expected(get(&[response.to_vec()], &options), "whole");
        let bytes: Vec<Vec<u8>> = response.iter().map(|byte| vec![*byte]).collect();
        expected(get(&bytes, &options), "byte by byte");
        for cut in 1..response.len() {
            let (first, second) = response.split_at(cut);
            let packets = [first.to_vec(), second.to_vec()];
            expected(get(&packets, &options), &format!("cut at {cut}"));
        }
    }
}

#[test]
fn what_is_broken_or_cut_short_is_an_error() {
    let incomplete = |received, expected| FetchError::IncompleteBody { received, expected };
    let cases: &[(&[u8], FetchError)] = &[
        (b"", FetchError::EmptyResponse),
        (b"HTTP/1.1 100 Continue\r\n\r\n", FetchError::EmptyResponse),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell",
            incomplete(4, Some(5)),
        ),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
            incomplete(0, Some(5)),
        ),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
            incomplete(5, None),
        ),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
            incomplete(5, None),
        ),
    ];
    for (response, error) in cases {
        let got = get(&[response.to_vec()], &Options::default());
        assert_eq!(got, Err(error.clone()), "{}", response.escape_ascii());
    }
    for response in [
        &b"SSH-2.0-OpenSSH_9.2\r\n"[..],
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnope\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    ] {
        let got = get(&[response.to_vec()], &Options::default());
        assert!(
            matches!(got, Err(FetchError::Protocol(_))),
            "{}: {got:?}",
            response.escape_ascii()
        );
    }
}

#[test]
fn a_body_of_the_size_that_is_allowed_passes_and_a_larger_one_does_not() {
    let framed: [fn(&str) -> String; 3] = [
        |body| {
            format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            )
        },
        |body| format!("HTTP/1.1 200 OK\r\n\r\n{body}"),
        |body| {
            let mut chunks = String::from("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
            for byte in body.chars() {
                chunks += &format!("1\r\n{byte}\r\n");
            }
            chunks + "0\r\n\r\n"
        },
    ];
    for frame in framed {
        for (size, allowed) in [(9, true), (10, true), (11, false), (100, false)] {
            let response = frame(&"x".repeat(size)).into_bytes();
            let options = Options {
                max_body_size: Some(10),
                ..Options::default()
            };
            for packets in [
                vec![response.clone()],
                response.chunks(3).map(<[u8]>::to_vec).collect(),
            ] {
                let got = get(&packets, &options).map(|(_, body)| body.len());
                let too_large = FetchError::LimitExceeded(ResponseLimit::BodySize);
                let expected = if allowed { Ok(size) } else { Err(too_large) };
                assert_eq!(got, expected, "{}", response.escape_ascii());
            }
        }
    }
}

#[test]
fn no_more_than_allowed_is_passed_on() {
    let net = MemoryNet::default();
    answer(
        &net,
        ADDRESS,
        vec![b"HTTP/1.1 200 OK\r\n\r\n".to_vec(), vec![b'x'; 100]],
    );
    net.run(async {
        let options = Options {
            max_body_size: Some(10),
            ..Options::default()
        };
        let request = Request {
            options,
            ..request("http://127.0.0.1/")
        };
        let mut response = fetch(&net, request).await.expect("a head");
        let mut body = Vec::new();
        let error = response.write_to(&mut body, u64::MAX).await;
        assert_eq!(
            error,
            Err(FetchError::LimitExceeded(ResponseLimit::BodySize))
        );
        assert_eq!(body.len(), 10);
        assert_eq!(response.read(1).await.err(), error.err(), "final");
    });
}

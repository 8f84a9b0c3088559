//! Whole exchanges over a network in memory.

use super::{
    ConnectFailure, Denied, FetchError, Limit, Options, Request, RequestBody, Stage, Timeout,
    Timeouts, fetch,
};
use crate::http1::Header;
use crate::net::memory::{MemoryNet, MemoryStream};
use crate::net::{Listener, Net, NetError, Stream};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::pending;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

type Body = RequestBody<VecDeque<Vec<u8>>>;

const ADDRESS: &str = "127.0.0.1:80";

fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

fn request(url: &str) -> Request<VecDeque<Vec<u8>>> {
    Request {
        method: "GET".to_owned(),
        url: url.to_owned(),
        headers: Vec::new(),
        body: RequestBody::Empty,
        options: Options::default(),
    }
}

/// Lets one client in, and hands it to `serve`.
fn serve<F: Future<Output = ()>>(
    net: &MemoryNet,
    at: &str,
    serve: impl FnOnce(MemoryStream) -> F + 'static,
) {
    let listener = net.run(net.listen(address(at))).expect("free");
    net.spawn(async move {
        let stream = listener.accept().await.expect("a client");
        serve(stream).await;
    });
}

/// Answers one request with these packets and then closes the connection.
fn answer(net: &MemoryNet, at: &str, packets: Vec<Vec<u8>>) {
    serve(net, at, async |stream| {
        read_request(&stream).await;
        for packet in packets {
            if stream.write_all(&packet).await.is_err() {
                return;
            }
        }
    });
}

async fn read_request(stream: &MemoryStream) -> String {
    let mut request = Vec::new();
    while !request.windows(4).any(|window| window == b"\r\n\r\n") {
        let bytes = stream
            .read(usize::MAX)
            .await
            .expect("open")
            .expect("a request");
        request.extend_from_slice(&bytes);
    }
    String::from_utf8(request).expect("ASCII")
}

/// A page as it is received by pulling and by pushing, which has to be the same.
fn get(packets: &[Vec<u8>], options: &Options) -> Result<(u16, Vec<u8>), FetchError> {
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
        let mut page = Vec::new();
        if pull {
            while let Some(bytes) = response.read(7).await? {
                assert!(!bytes.is_empty() && bytes.len() <= 7);
                page.extend_from_slice(&bytes);
            }
            assert_eq!(response.read(7).await, Ok(None), "stays ended");
        } else {
            let result = response.write_to(&mut page, 10).await?;
            assert_eq!(result, page.len() as u64);
            response.write_to(&mut page, u64::MAX).await?;
            assert_eq!(
                response.write_to(&mut page, u64::MAX).await,
                Ok(0),
                "stays ended"
            );
        }
        Ok((response.info().head.status, page))
    })
}

#[test]
fn pages_arrive_however_they_are_framed_and_split() {
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
    for (response, page) in cases {
        let text = response.escape_ascii();
        let options = Options::default();
        let expected = |got: Result<(u16, Vec<u8>), FetchError>, how: &str| {
            let (_, got) = got.unwrap_or_else(|error| panic!("{text} {how}: {error}"));
            assert_eq!(got, *page, "{text} {how}");
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
fn a_page_of_the_size_that_is_allowed_passes_and_a_larger_one_does_not() {
    let framed: [fn(&str) -> String; 3] = [
        |page| {
            format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{page}",
                page.len()
            )
        },
        |page| format!("HTTP/1.1 200 OK\r\n\r\n{page}"),
        |page| {
            let mut chunks = String::from("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
            for byte in page.chars() {
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
                let got = get(&packets, &options).map(|(_, page)| page.len());
                let too_large = FetchError::LimitExceeded(Limit::BodySize);
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
        let mut page = Vec::new();
        let error = response.write_to(&mut page, u64::MAX).await;
        assert_eq!(error, Err(FetchError::LimitExceeded(Limit::BodySize)));
        assert_eq!(page.len(), 10);
        assert_eq!(response.read(1).await.err(), error.err(), "final");
    });
}

#[test]
fn the_request_is_what_was_asked_for() {
    let net = MemoryNet::default();
    net.name("example.com", Ok(vec![IpAddr::from([127, 0, 0, 1])]));
    let listener = net
        .run(net.listen(address("127.0.0.1:8080")))
        .expect("free");
    let mut asked = request("http://me:secret@example.com:8080/a%20b?c#d");
    asked.headers = vec![Header {
        name: "X".to_owned(),
        value: b"y".to_vec(),
    }];
    let (head, response) = net.run(async {
        let serving = async {
            let stream = listener.accept().await.expect("a client");
            let head = read_request(&stream).await;
            stream
                .write_all(b"HTTP/1.1 200 OK\r\n\r\n")
                .await
                .expect("open");
            head
        };
        let mut serving = std::pin::pin!(serving);
        let mut fetching = std::pin::pin!(fetch(&net, asked));
        let (mut head, mut response) = (None, None);
        std::future::poll_fn(|cx| {
            use std::task::Poll;
            if head.is_none()
                && let Poll::Ready(got) = serving.as_mut().poll(cx)
            {
                head = Some(got);
            }
            if response.is_none()
                && let Poll::Ready(got) = fetching.as_mut().poll(cx)
            {
                response = Some(got);
            }
            if head.is_some() && response.is_some() {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
        (
            head.expect("asked"),
            response.expect("answered").expect("a response"),
        )
    });
    for line in [
        "GET /a%20b?c HTTP/1.1\r\n",
        "\r\nHost: example.com:8080\r\n",
        "\r\nConnection: close\r\n",
        "\r\nX: y\r\n",
        "\r\nAuthorization: Basic bWU6c2VjcmV0\r\n",
    ] {
        assert!(head.contains(line), "{line:?} in {head:?}");
    }
    assert_eq!(response.info().url, "http://example.com:8080/a%20b?c");
    assert_eq!(response.info().remote, address("127.0.0.1:8080"));
}

fn send(body: Body, method: &str) -> (Result<u16, FetchError>, Vec<u8>) {
    let net = MemoryNet::default();
    let received: Rc<RefCell<Vec<u8>>> = Rc::default();
    let kept = received.clone();
    serve(&net, ADDRESS, async move |stream| {
        let head = read_request(&stream).await;
        kept.borrow_mut().extend_from_slice(head.as_bytes());
        let end = if head.contains("chunked") {
            &b"0\r\n\r\n"[..]
        } else {
            b"."
        };
        while !kept.borrow().ends_with(end) {
            match stream.read(usize::MAX).await {
                Ok(Some(bytes)) => kept.borrow_mut().extend_from_slice(&bytes),
                _ => return,
            }
        }
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
    });
    let asked = Request {
        method: method.to_owned(),
        body,
        ..request("http://127.0.0.1/")
    };
    let status = net
        .run(fetch(&net, asked))
        .map(|response| response.info().head.status);
    (status, received.take())
}

#[test]
fn bodies_are_sent_as_announced() {
    let parts = || VecDeque::from([b"ab".to_vec(), Vec::new(), b"c.".to_vec()]);
    let cases: [(Body, &str, &str); 3] = [
        (
            RequestBody::Bytes(b"abc.".to_vec()),
            "\r\nContent-Length: 4\r\n",
            "\r\n\r\nabc.",
        ),
        (
            RequestBody::Source {
                source: parts(),
                length: Some(4),
            },
            "\r\nContent-Length: 4\r\n",
            "\r\n\r\nabc.",
        ),
        (
            RequestBody::Source {
                source: parts(),
                length: None,
            },
            "\r\nTransfer-Encoding: chunked\r\n",
            "\r\n\r\n2\r\nab\r\n2\r\nc.\r\n0\r\n\r\n",
        ),
    ];
    for (body, field, end) in cases {
        let (status, sent) = send(body, "POST");
        let sent = String::from_utf8(sent).expect("ASCII");
        assert_eq!(status, Ok(200), "{sent:?}");
        assert!(sent.starts_with("POST / HTTP/1.1\r\n"), "{sent:?}");
        assert!(sent.contains(field) && sent.ends_with(end), "{sent:?}");
    }
    for length in [3, 5] {
        let body = RequestBody::Source {
            source: parts(),
            length: Some(length),
        };
        let (status, _) = send(body, "POST");
        assert!(
            matches!(status, Err(FetchError::InvalidRequest(_))),
            "{length}: {status:?}"
        );
    }
}

#[test]
fn an_answer_before_the_request_is_out_counts() {
    let net = MemoryNet::default();
    serve(&net, ADDRESS, async |stream| {
        stream.receive_capacity(1);
        stream
            .write_all(b"HTTP/1.1 413 No\r\nContent-Length: 0\r\n\r\n")
            .await
            .expect("open");
        pending::<()>().await;
    });
    let parts = VecDeque::from([vec![b'x'; 100], vec![b'x'; 100]]);
    let body = RequestBody::Source {
        source: parts,
        length: None,
    };
    let response = net.run(fetch(
        &net,
        Request {
            body,
            ..request("http://127.0.0.1/")
        },
    ));
    assert_eq!(
        response.map(|response| response.info().head.status),
        Ok(413)
    );
}

#[test]
fn addresses_are_tried_in_order_and_each_failure_is_told() {
    let net = MemoryNet::default();
    let ips: Vec<IpAddr> = vec![
        [127, 0, 0, 2].into(),
        [127, 0, 0, 3].into(),
        [127, 0, 0, 1].into(),
    ];
    net.name("many.test", Ok(ips.clone()));
    net.refuse(address("127.0.0.2:80"), NetError::Unreachable);
    net.black_hole(address("127.0.0.3:80"));
    let failure = |at: &str, reason| ConnectFailure {
        address: address(at),
        reason,
    };
    let all = vec![
        failure("127.0.0.2:80", NetError::Unreachable),
        failure("127.0.0.3:80", NetError::TimedOut),
        failure("127.0.0.1:80", NetError::ConnectionRefused),
    ];
    let get = || {
        net.run(fetch(&net, request("http://many.test/")))
            .map(|response| response.info().remote)
    };
    assert_eq!(get(), Err(FetchError::ConnectFailed(all)));
    assert_eq!(
        net.elapsed(),
        Duration::from_secs(30),
        "one attempt had to be given up"
    );

    answer(&net, ADDRESS, vec![b"HTTP/1.1 200 OK\r\n\r\n".to_vec()]);
    assert_eq!(get(), Ok(address(ADDRESS)));

    net.refuse(address("127.0.0.2:80"), NetError::Denied);
    assert_eq!(
        get(),
        Err(FetchError::Denied(Denied::Connect(address("127.0.0.2:80"))))
    );
}

#[test]
fn lookups_fail_as_what_they_are() {
    let net = MemoryNet::default();
    net.name("secret.test", Err(NetError::Denied));
    let get = |url: &str| {
        net.run(fetch(&net, request(url)))
            .map(|_| ())
            .expect_err(url)
    };
    assert_eq!(
        get("http://secret.test/"),
        FetchError::Denied(Denied::Lookup("secret.test".to_owned()))
    );
    assert_eq!(
        get("http://unknown.test/"),
        FetchError::ResolveFailed {
            name: "unknown.test".to_owned(),
            reason: NetError::NameUnresolvable
        }
    );
}

#[test]
fn each_stage_ends_when_its_time_is_up() {
    fn timed(net: &MemoryNet, timeouts: Timeouts) -> FetchError {
        let options = Options {
            timeouts,
            ..Options::default()
        };
        net.run(async {
            let request = Request {
                options,
                ..request("http://127.0.0.1/")
            };
            let mut response = match fetch(net, request).await {
                Ok(response) => response,
                Err(error) => return error,
            };
            response
                .write_to(&mut Vec::new(), u64::MAX)
                .await
                .expect_err("no end")
        })
    }
    let seconds = Duration::from_secs;
    let timeouts = || Timeouts {
        lookup: seconds(1),
        connect: seconds(2),
        first_byte: seconds(3),
        idle: seconds(4),
        total: None,
    };
    let head = &b"HTTP/1.1 200 OK\r\n\r\n"[..];
    let cases: [(Option<&[u8]>, Stage, u64, u64); 4] = [
        (None, Stage::Connect, 2, 0),
        (Some(b""), Stage::FirstByte, 3, 0),
        (Some(b"HTTP/1.1 2"), Stage::Head, 4, 0),
        (Some(&[head, b"abc"].concat()), Stage::Body, 4, 3),
    ];
    for (sent, stage, limit, received) in cases {
        for total in [None, Some(seconds(1))] {
            let net = MemoryNet::default();
            match sent {
                None => net.black_hole(address(ADDRESS)),
                Some(sent) => {
                    let sent = sent.to_vec();
                    serve(&net, ADDRESS, async move |stream| {
                        stream.write_all(&sent).await.expect("open");
                        pending::<()>().await;
                    });
                }
            }
            let expected = FetchError::Timeout(Timeout {
                stage,
                limit: total.unwrap_or(seconds(limit)),
                total: total.is_some(),
                received,
            });
            assert_eq!(
                timed(
                    &net,
                    Timeouts {
                        total,
                        ..timeouts()
                    }
                ),
                expected
            );
            assert_eq!(net.elapsed(), total.unwrap_or(seconds(limit)), "{stage:?}");
        }
    }
}

#[test]
fn the_time_for_silence_starts_anew_with_every_byte() {
    let net = MemoryNet::default();
    let clock = net.clone();
    serve(&net, ADDRESS, async move |stream| {
        for byte in b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok" {
            clock
                .sleep_until(clock.now().after(Duration::from_secs(50)))
                .await;
            stream.write_all(&[*byte]).await.expect("open");
        }
    });
    let page = net.run(async {
        let mut response = fetch(&net, request("http://127.0.0.1/"))
            .await
            .expect("a head");
        let mut page = Vec::new();
        response
            .write_to(&mut page, u64::MAX)
            .await
            .expect("a page");
        page
    });
    assert_eq!(page, b"ok");
}

#[test]
fn the_defaults_are_the_documented_ones() {
    let timeouts = Timeouts::default();
    assert_eq!(timeouts.lookup, Duration::from_secs(10));
    assert_eq!(timeouts.connect, Duration::from_secs(30));
    assert_eq!(timeouts.first_byte, Duration::from_secs(60));
    assert_eq!(timeouts.idle, Duration::from_secs(60));
    assert_eq!(timeouts.total, None);
    assert_eq!(Options::default().max_body_size, None);
    assert_eq!(Options::default().limits.max_head_size, 262_144);
}

//! Sending requests.

use super::*;
use crate::net::{Source, SourceFailed};

pub(super) const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

pub(super) fn source(parts: &[&str], length: Option<u64>) -> Body {
    let parts = parts.iter().map(|part| part.as_bytes().to_vec());
    RequestBody::Source {
        source: parts.collect(),
        length,
    }
}

pub(super) fn post(body: Body) -> Asked {
    Request {
        method: "POST".to_owned(),
        body,
        ..request(URL)
    }
}

/// A request with a body from a source, sent without waiting for `100 Continue`.
pub(super) fn put<B>(source: B, length: Option<u64>) -> Request<B> {
    let options = Options {
        expect_timeout: Duration::ZERO,
        ..Options::default()
    };
    Request {
        method: "PUT".to_owned(),
        url: URL.to_owned(),
        headers: Vec::new(),
        omit: Vec::new(),
        body: RequestBody::Source { source, length },
        options,
    }
}

/// The result of a request, and the requests that the server has read.
pub(super) fn exchange(
    asked: Asked,
    script: Vec<Step>,
) -> (Result<(u16, String), FetchError>, Vec<String>) {
    let net = MemoryNet::default();
    let log = play(&net, ADDRESS, vec![script]);
    let result = net.run(async {
        let mut response = fetch(&net, asked).await?;
        let body = read_all(&mut response).await?;
        Ok((response.info().head.status, body))
    });
    (result, log.requests())
}

pub(super) fn ok() -> Result<(u16, String), FetchError> {
    Ok((200, "ok".to_owned()))
}

#[test]
fn the_request_is_what_was_asked_for() {
    let agent = concat!("User-Agent: sockbox/", env!("CARGO_PKG_VERSION"));
    let header = |name: &str, value: &str| Header {
        name: name.to_owned(),
        value: value.into(),
    };
    let mut plain = request("http://me:secret@127.0.0.1/a%20b?c#d");
    plain.headers = vec![header("X", "y")];
    let mut decoding = request(URL);
    decoding.options.decode = true;
    let mut bare = request(URL);
    bare.options.decode = true;
    bare.options.close = true;
    bare.omit = ["user-agent", "ACCEPT", "Accept-Encoding", "X"]
        .map(str::to_owned)
        .to_vec();
    bare.headers = vec![header("Authorization", "mine"), header("X", "y")];
    let cases = [
        (
            plain,
            format!(
                "GET /a%20b?c HTTP/1.1\r\nHost: 127.0.0.1\r\n{agent}\r\nAccept: */*\r\nX: y\r\n\
                 Authorization: Basic bWU6c2VjcmV0\r\n\r\n"
            ),
        ),
        (
            decoding,
            format!(
                "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n{agent}\r\nAccept: */*\r\n\
                 Accept-Encoding: gzip, deflate, br\r\n\r\n"
            ),
        ),
        (
            bare,
            "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: mine\r\nX: y\r\n\
             Connection: close\r\n\r\n"
                .to_owned(),
        ),
    ];
    for (asked, expected) in cases {
        let net = MemoryNet::default();
        let log = play(&net, ADDRESS, vec![vec![Step::Read(0), send(OK)]]);
        let response = net.run(fetch(&net, asked)).expect("a response");
        assert_eq!(log.requests(), [expected.as_str()]);
        let info = response.info();
        assert_eq!(info.request_head_size, expected.len() as u64);
        assert_eq!((info.uploaded, info.reused), (0, false));
        assert_eq!(info.remote, address(ADDRESS));
    }
}

#[test]
fn what_cannot_be_meant_is_refused_before_anything_is_done() {
    let with = |change: fn(&mut Asked)| {
        let mut asked = request("http://name.test/");
        change(&mut asked);
        asked
    };
    let cases = [
        with(|asked| asked.method = "CONNECT".to_owned()),
        with(|asked| asked.omit = vec!["host".to_owned()]),
        with(|asked| asked.url = "http://a%3Ab:c@name.test/".to_owned()),
        with(|asked| asked.options.max_speed = Some(0)),
        with(|asked| {
            asked.options.min_speed = Some(MinSpeed {
                bytes_per_second: 1,
                period: Duration::ZERO,
            });
        }),
        with(|asked| {
            asked.headers = vec![Header {
                name: "Expect".to_owned(),
                value: b"100-continue".to_vec(),
            }];
        }),
    ];
    for (number, asked) in cases.into_iter().enumerate() {
        let net = MemoryNet::default();
        let error = net.run(fetch(&net, asked)).map(drop);
        assert!(
            matches!(error, Err(FetchError::InvalidRequest(_))),
            "{number}: {error:?}"
        );
        assert!(net.resolved_names().is_empty(), "{number}");
    }
}

#[test]
fn bodies_are_sent_as_announced() {
    let parts = ["ab", "", "c."];
    let cases: [(Body, &str, &str); 6] = [
        (
            RequestBody::Bytes(b"abc.".to_vec()),
            "Content-Length: 4",
            "abc.",
        ),
        (RequestBody::Bytes(Vec::new()), "Content-Length: 0", ""),
        (source(&parts, Some(4)), "Content-Length: 4", "abc."),
        (source(&[], Some(0)), "Content-Length: 0", ""),
        (
            source(&parts, None),
            "Transfer-Encoding: chunked",
            "2\r\nab\r\n2\r\nc.\r\n0\r\n\r\n",
        ),
        (source(&[], None), "Transfer-Encoding: chunked", "0\r\n\r\n"),
    ];
    for (body, field, sent) in cases {
        let (result, requests) = exchange(post(body), vec![Step::Read(sent.len()), send(OK)]);
        assert_eq!(result, ok(), "{field} {sent:?}");
        let expected = format!("\r\n{field}\r\n");
        let request = requests.first().expect("one request");
        assert!(request.contains(&expected), "{request:?}");
        assert!(request.ends_with(&format!("\r\n\r\n{sent}")), "{request:?}");
        assert!(
            !request.contains("Expect") || field.starts_with('T'),
            "{request:?}"
        );
    }
    for length in [0, 1, 3, 5] {
        let body = source(&parts, Some(length));
        let (result, _) = exchange(post(body), vec![Step::Read(5), send(OK)]);
        assert!(
            matches!(result, Err(FetchError::InvalidRequest(_))),
            "{length}: {result:?}"
        );
    }
}

#[test]
fn large_bodies_are_sent_in_small_steps() {
    let body = "x".repeat(200_000);
    let chunks: Vec<&str> = body
        .as_bytes()
        .chunks(70_000)
        .map(|chunk| std::str::from_utf8(chunk).expect("ASCII"))
        .collect();
    for body in [
        RequestBody::Bytes(body.clone().into_bytes()),
        source(&chunks, Some(200_000)),
        source(&chunks, None),
    ] {
        let net = MemoryNet::default();
        let sizes: Rc<RefCell<Vec<usize>>> = Rc::default();
        let kept = sizes.clone();
        serve(&net, ADDRESS, async move |stream| {
            let mut all = Vec::new();
            while !all.ends_with(b"x\r\n0\r\n\r\n")
                && all.iter().filter(|b| **b == b'x').count() < 200_000
            {
                let packet = stream.read(usize::MAX).await.expect("open").expect("more");
                kept.borrow_mut().push(packet.len());
                all.extend_from_slice(&packet);
            }
            stream.write_all(OK.as_bytes()).await.expect("open");
        });
        let response = net.run(fetch(&net, post(body))).expect("a response");
        assert!(response.info().uploaded >= 200_000 - 1);
        let sizes = sizes.take();
        assert!(sizes.iter().all(|size| *size <= 64 * 1024), "{sizes:?}");
    }
}

#[test]
fn a_long_request_is_no_long_silence() {
    // The server sends an interim response at once, and the final one after the body, which takes a
    // long time.
    for early in [
        "",
        "HTTP/1.1 100 Continue\r\n\r\n",
        "HTTP/1.1 103 H\r\n\r\n",
    ] {
        let net = MemoryNet::default();
        let ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
        let mut script = vec![Step::Read(0), Step::More(200), send(ok)];
        if !early.is_empty() {
            script.insert(1, send(early));
        }
        play(&net, ADDRESS, vec![script]);
        let source = Slow {
            net: net.clone(),
            parts: vec!["x"; 200].into(),
            fails: false,
        };
        let asked = put(source, Some(200));
        let response = net.run(Client::new(net.clone()).fetch(asked));
        let status = response.map(|response| response.info().head.status);
        assert_eq!(status, Ok(200), "{early:?}");
        assert_eq!(net.elapsed(), 200 * SECOND, "{early:?}");
    }
}

/// A source that gives its parts a second apart, and then fails or ends.
pub(super) struct Slow {
    pub(super) net: MemoryNet,
    pub(super) parts: VecDeque<&'static str>,
    pub(super) fails: bool,
}

impl Source for Slow {
    async fn read(&mut self, _max: usize) -> Result<Option<Vec<u8>>, SourceFailed> {
        self.net.sleep_until(self.net.now().after(SECOND)).await;
        match self.parts.pop_front() {
            None if self.fails => Err(SourceFailed),
            part => Ok(part.map(|part| part.as_bytes().to_vec())),
        }
    }
}

#[test]
fn a_source_that_fails_or_lies_ends_a_body_that_has_begun() {
    let failed = "the request can't be sent: the body can't be read";
    let cases = [
        (vec!["abc"], true, failed),
        (
            vec!["abc", "defghi"],
            false,
            "the request can't be sent: the body is longer than the 6 bytes that were announced",
        ),
        (
            vec!["abc", "de"],
            false,
            "the request can't be sent: the body ended after 5 of 6 bytes",
        ),
    ];
    for (parts, fails, expected) in cases {
        let net = MemoryNet::default();
        let script = vec![
            Step::Read(1),
            send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel"),
            Step::Wait(5 * SECOND),
            send("lo"),
        ];
        play(&net, ADDRESS, vec![script]);
        let source = Slow {
            net: net.clone(),
            parts: parts.into(),
            fails,
        };
        let asked = put(source, Some(6));
        let error = net.run(async {
            let client = Client::new(net.clone());
            let mut response = client.fetch(asked).await.expect("a head");
            read_all(&mut response).await.expect_err("no body")
        });
        assert_eq!(error.to_string(), expected);
    }
}

#[test]
fn a_connection_that_breaks_while_sending_is_send_failed() {
    let net = MemoryNet::default();
    net.capacity(1000);
    play(&net, ADDRESS, vec![vec![Step::Read(1), Step::Break]]);
    let asked = post(RequestBody::Bytes(vec![b'x'; 500_000]));
    let error = net.run(fetch(&net, asked)).map(drop);
    let broken = FetchError::SendFailed(NetError::ConnectionReset);
    assert_eq!(error, Err(broken));
}

#[test]
fn a_source_that_never_gives_anything_ends_with_the_whole_time() {
    struct Stuck;
    impl Source for Stuck {
        async fn read(&mut self, _max: usize) -> Result<Option<Vec<u8>>, SourceFailed> {
            pending().await
        }
    }
    for length in [Some(5), None] {
        let net = MemoryNet::default();
        play(&net, ADDRESS, vec![vec![Step::Hang]]);
        let mut asked = put(Stuck, length);
        asked.options.timeouts.total = Some(90 * SECOND);
        let error = net.run(Client::new(net.clone()).fetch(asked)).map(drop);
        let expected = FetchError::Timeout(Timeout {
            stage: Stage::Send,
            bound: TimeBound::Total,
            limit: 90 * SECOND,
            received: 0,
        });
        assert_eq!(error, Err(expected), "{length:?}");
        assert_eq!(net.elapsed(), 90 * SECOND);
    }
}

//! What is sent, and when.

use super::*;
use crate::net::{Source, SourceFailed};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

fn source(parts: &[&str], length: Option<u64>) -> Body {
    let parts = parts.iter().map(|part| part.as_bytes().to_vec());
    RequestBody::Source {
        source: parts.collect(),
        length,
    }
}

fn post(body: Body) -> Asked {
    Request {
        method: "POST".to_owned(),
        body,
        ..request(URL)
    }
}

/// A request with a body from a source, sent without asking first.
fn put<B>(source: B, length: Option<u64>) -> Request<B> {
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

/// What comes of a request, and what the server read of it.
fn exchange(asked: Asked, script: Vec<Step>) -> (Result<(u16, String), FetchError>, Vec<String>) {
    let net = MemoryNet::default();
    let log = play(&net, ADDRESS, vec![script]);
    let result = net.run(async {
        let mut response = fetch(&net, asked).await?;
        let page = read_all(&mut response).await?;
        Ok((response.info().head.status, page))
    });
    (result, log.requests())
}

fn ok() -> Result<(u16, String), FetchError> {
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
        assert!(net.lookups().is_empty(), "{number}");
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
    let page = "x".repeat(200_000);
    let chunks: Vec<&str> = page
        .as_bytes()
        .chunks(70_000)
        .map(|chunk| std::str::from_utf8(chunk).expect("ASCII"))
        .collect();
    for body in [
        RequestBody::Bytes(page.clone().into_bytes()),
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

/// A body that has to be asked for: with more than 1 MiB, or of unknown length.
fn large() -> Vec<Body> {
    let bytes = 1024 * 1024 + 1;
    vec![
        RequestBody::Bytes(vec![b'x'; bytes]),
        RequestBody::Source {
            source: VecDeque::from([vec![b'x'; bytes]]),
            length: Some(bytes as u64),
        },
        source(&["x"], None),
    ]
}

#[test]
fn only_large_bodies_wait_to_be_asked_for() {
    let small = [
        RequestBody::Empty,
        RequestBody::Bytes(vec![b'x'; 1024 * 1024]),
        source(&["x"], Some(1)),
    ];
    let asked = large().into_iter().map(|body| (body, true));
    let unasked = small.into_iter().map(|body| (body, false));
    for (number, (body, expects)) in asked.chain(unasked).enumerate() {
        for timeout in [Duration::ZERO, SECOND] {
            let mut asked = match body {
                RequestBody::Empty => post(RequestBody::Empty),
                RequestBody::Bytes(ref bytes) => post(RequestBody::Bytes(bytes.clone())),
                RequestBody::Source { ref source, length } => post(RequestBody::Source {
                    source: source.clone(),
                    length,
                }),
            };
            asked.options.expect_timeout = timeout;
            let (result, requests) = exchange(asked, vec![Step::Read(0), send(OK)]);
            assert_eq!(result, ok(), "{number}");
            let expected = expects && !timeout.is_zero();
            let head = requests.first().expect("one request");
            let expect = head.contains("\r\nExpect: 100-continue\r\n");
            assert_eq!(expect, expected, "{number} {timeout:?}: {head}");
        }
    }
}

#[test]
fn a_body_comes_when_it_is_asked_for_or_after_a_second_without_an_answer() {
    let go_on = "HTTP/1.1 100 Continue\r\n\r\n";
    let hint = "HTTP/1.1 103 Early Hints\r\n\r\n";
    // What the server does between the head and the body, and when it has the body.
    let cases: [(Vec<Step>, u64); 5] = [
        (vec![send(go_on)], 0),
        (vec![Step::Wait(SECOND / 2), send(go_on)], 500),
        (vec![], 1000),
        (vec![send(hint)], 1000),
        (vec![Step::Wait(3 * SECOND), send(go_on)], 3000),
    ];
    for (number, (steps, expected)) in cases.into_iter().enumerate() {
        for body in large() {
            let size = match &body {
                RequestBody::Source { length: None, .. } => b"1\r\nx\r\n0\r\n\r\n".len(),
                _ => 1024 * 1024 + 1,
            };
            let mut script = vec![Step::Read(0)];
            script.extend(steps.clone());
            script.extend([Step::More(size), send(OK)]);
            let net = MemoryNet::default();
            play(&net, ADDRESS, vec![script]);
            let response = net.run(fetch(&net, post(body))).expect("a response");
            assert_eq!(response.info().head.status, 200, "{number}");
            assert_eq!(net.elapsed(), Duration::from_millis(expected), "{number}");
            let sent = if size < 100 { 1 } else { size };
            assert_eq!(response.info().uploaded, sent as u64, "{number}");
        }
    }
}

#[test]
fn a_body_that_is_not_wanted_is_not_sent() {
    for status in [300, 302, 401, 413, 500] {
        for body in large() {
            let net = MemoryNet::default();
            let refusal = format!("HTTP/1.1 {status} No\r\nContent-Length: 2\r\n\r\nno");
            let more = vec![Step::Read(0), send(&refusal), Step::More(1)];
            let log = play(&net, ADDRESS, vec![more]);
            let client = Client::new(net.clone());
            let mut asked = post(body);
            asked.options.trace = Some(tell);
            let (response, page) = net.run(async {
                let mut response = client.fetch(asked).await.expect("a response");
                let page = read_all(&mut response).await;
                (response, page)
            });
            assert_eq!(response.info().head.status, status);
            assert_eq!(response.info().uploaded, 0, "{status}");
            assert_eq!(page.as_deref(), Ok("no"), "{status}");
            assert!(log.requests()[0].ends_with("\r\n\r\n"), "{status}");
            assert!(
                told().contains(
                    &"* closing the connection to 127.0.0.1:80: the body was not asked for"
                        .to_owned()
                ),
                "{status}"
            );
        }
    }
}

#[test]
fn a_page_that_has_begun_asks_for_the_body() {
    for body in large() {
        let size = match &body {
            RequestBody::Source { length: None, .. } => b"1\r\nx\r\n0\r\n\r\n".len(),
            _ => 1024 * 1024 + 1,
        };
        let net = MemoryNet::default();
        let script = vec![
            Step::Read(0),
            send("HTTP/1.1 201 Soon\r\nContent-Length: 2\r\n\r\no"),
            Step::More(size),
            send("k"),
        ];
        play(&net, ADDRESS, vec![script]);
        let page = net.run(async {
            let mut response = fetch(&net, post(body)).await.expect("a head");
            assert_eq!(response.info().uploaded, 0);
            read_all(&mut response).await
        });
        assert_eq!(page.as_deref(), Ok("ok"));
        assert_eq!(net.elapsed(), Duration::ZERO);
    }
}

#[test]
fn a_server_that_does_not_know_expect_is_asked_without_it() {
    let refusal = "HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n";
    for (number, body) in large().into_iter().enumerate() {
        let net = MemoryNet::default();
        let size = if number == 2 { 11 } else { 1024 * 1024 + 1 };
        let log = play(
            &net,
            ADDRESS,
            vec![
                vec![Step::Read(0), send(refusal), Step::Hang],
                vec![Step::Read(size), send(OK)],
            ],
        );
        let response = net.run(fetch(&net, post(body))).expect("a response");
        assert_eq!(response.info().head.status, 200, "{number}");
        assert_eq!(log.connections(), [0, 1], "{number}");
        let requests = log.requests();
        assert!(requests[0].contains("Expect: 100-continue"), "{number}");
        assert!(!requests[1].contains("Expect"), "{number}");
    }
    // A second 417 is the answer, and so is one that comes when the body is gone.
    let twice = vec![
        vec![Step::Read(0), send(refusal)],
        vec![Step::Read(0), send(refusal)],
    ];
    let net = MemoryNet::default();
    let log = play(&net, ADDRESS, twice);
    let response = net.run(fetch(&net, post(source(&["x"], None))));
    assert_eq!(response.map(|r| r.info().head.status), Ok(417));
    assert_eq!(log.connections(), [0, 1]);
    let late = vec![Step::Read(0), Step::More(11), send(refusal)];
    let (result, _) = exchange(post(source(&["x"], None)), late);
    assert_eq!(result, Ok((417, String::new())));
}

#[test]
fn an_answer_before_the_request_is_out_counts() {
    // A refusal ends the request, whatever the server does about what it hasn't read.
    for (end, status) in [
        (Step::Hang, 413),
        (Step::Break, 401),
        (Step::Wait(SECOND), 303),
    ] {
        let net = MemoryNet::default();
        net.capacity(50);
        let text = format!("HTTP/1.1 {status} No\r\nContent-Length: 0\r\n\r\n");
        let script = vec![send(&text), Step::Wait(SECOND), end];
        play(&net, ADDRESS, vec![script]);
        let parts = VecDeque::from([vec![b'x'; 100], vec![b'x'; 100]]);
        let mut asked = post(RequestBody::Source {
            source: parts,
            length: Some(200),
        });
        asked.options.expect_timeout = Duration::ZERO;
        let response = net.run(fetch(&net, asked)).expect("a response");
        let info = response.info();
        assert_eq!((info.head.status, info.uploaded), (status, 100));
        assert!(net.elapsed() <= SECOND, "{status}");
    }
}

/// Never ends, and never has to be waited for.
struct Endless;

impl Source for Endless {
    async fn read(&mut self, max: usize) -> Result<Option<Vec<u8>>, SourceFailed> {
        Ok(Some(vec![b'x'; max]))
    }
}

#[test]
fn a_refusal_is_heard_however_fast_the_request_is_taken() {
    let net = MemoryNet::default();
    serve(&net, ADDRESS, async |stream| {
        let refusal = b"HTTP/1.1 413 No\r\nContent-Length: 0\r\n\r\n";
        stream.write_all(refusal).await.expect("open");
        while let Ok(Some(_)) = stream.read(usize::MAX).await {}
    });
    let asked = put(Endless, None);
    let response = net.run(Client::new(net.clone()).fetch(asked));
    let status = response.map(|response| response.info().head.status);
    assert_eq!(status, Ok(413));
}

#[test]
fn a_long_request_is_no_long_silence() {
    // The server says something at once, and the answer when it has the body, which takes its time.
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

/// A server that sends each byte back, and reads on only as fast as it is read from.
#[test]
fn a_request_goes_on_while_its_answer_is_received() {
    let size = 300_000;
    for length in [Some(size as u64), None] {
        let net = MemoryNet::default();
        net.capacity(1000);
        serve(&net, ADDRESS, async move |stream| {
            let mut received = Vec::new();
            let head = until(&stream, &mut received, |bytes| {
                let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
                Some(end + 4)
            })
            .await;
            assert!(head.is_some());
            let mut left = size;
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n");
            stream.write_all(answer.as_bytes()).await.expect("open");
            while left > 0 {
                let echo: Vec<u8> = received.drain(..).filter(|byte| *byte == b'x').collect();
                left -= echo.len();
                if stream.write_all(&echo).await.is_err() || left == 0 {
                    break;
                }
                match stream.read(usize::MAX).await {
                    Ok(Some(bytes)) => received.extend_from_slice(&bytes),
                    _ => break,
                }
            }
            let _ = stream.read_to_end().await;
        });
        let mut asked = post(RequestBody::Source {
            source: vec![vec![b'x'; 1000]; size / 1000].into(),
            length,
        });
        asked.options.expect_timeout = Duration::ZERO;
        let page = net.run(async {
            let mut response = fetch(&net, asked).await.expect("a head");
            let early = response.info().uploaded < size as u64;
            assert!(early, "the head came before the request was out");
            let mut page = Vec::new();
            while let Some(bytes) = response.read(777).await.expect("a page") {
                page.extend_from_slice(&bytes);
            }
            page
        });
        assert_eq!(page.len(), size, "{length:?}");
    }
}

/// Gives its parts a second apart, and then fails or ends.
struct Slow {
    net: MemoryNet,
    parts: VecDeque<&'static str>,
    fails: bool,
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
fn a_source_that_fails_or_lies_ends_a_page_that_has_begun() {
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

/// The page is there, but the server wants to have all of the request before it is the next one's turn.
#[test]
fn the_page_ends_when_the_request_is_out() {
    let parts = ["ab", "cd", "ef"];
    let cases = [
        (Some(6), Step::More(4), 3, true),
        (None, Step::More(17), 4, true),
        // A server that closes doesn't want it.
        (Some(6), Step::Wait(SECOND / 2), 2, false),
    ];
    for (length, then, seconds, reused) in cases {
        let net = MemoryNet::default();
        let ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
        let mut first = vec![Step::Read(2), send(ok), then];
        if reused {
            first.extend([Step::Read(0), send(ok), Step::Hang]);
        }
        play(&net, ADDRESS, vec![first, vec![Step::Read(0), send(ok)]]);
        let source = Slow {
            net: net.clone(),
            parts: parts.into(),
            fails: false,
        };
        let asked = put(source, length);
        let client = Client::new(net.clone());
        let page = net.run(async {
            let mut response = client.fetch(asked).await.expect("a head");
            read_all(&mut response).await
        });
        assert_eq!(page.as_deref(), Ok("ok"), "{length:?}");
        assert_eq!(net.elapsed().as_secs(), seconds, "{length:?}");
        let next = net.run(client.fetch(request(URL))).expect("a head");
        assert_eq!(next.info().reused, reused, "{length:?}");
    }
}

/// Once it has answered, a server need not take what it doesn't want, however long its page takes.
#[test]
fn a_page_is_received_though_the_request_is_not_taken() {
    let net = MemoryNet::default();
    net.capacity(1000);
    let mut script = vec![
        Step::Read(0),
        send("HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n"),
    ];
    for _ in 0..20 {
        script.extend([Step::Wait(10 * SECOND), send("x")]);
    }
    script.push(Step::Hang);
    play(&net, ADDRESS, vec![script]);
    let mut asked = put(Endless, None);
    asked.options.trace = Some(tell);
    let page = net.run(async {
        let client = Client::new(net.clone());
        let mut response = client.fetch(asked).await.expect("a head");
        read_all(&mut response).await
    });
    assert_eq!(page.map(|page| page.len()), Ok(20));
    assert_eq!(net.elapsed(), 200 * SECOND);
    let last = told().pop().expect("a trace");
    let why = "the server didn't take the request in time";
    assert_eq!(
        last,
        format!("* closing the connection to 127.0.0.1:80: {why}")
    );
}

#[test]
fn a_connection_that_breaks_while_sending_is_told_as_that() {
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
            bound: Bound::Total,
            limit: 90 * SECOND,
            received: 0,
        });
        assert_eq!(error, Err(expected), "{length:?}");
        assert_eq!(net.elapsed(), 90 * SECOND);
    }
}

//! Bodies that wait until the server asks for them.

use super::sending::{OK, exchange, ok, post, source};
use super::*;

/// Bodies that wait for `100 Continue`: with more than 1 MiB, or of unknown size.
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
    // What the server does between the head and the body, and after the body.
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
            asked.options.trace = Some(record_trace);
            let (response, body) = net.run(async {
                let mut response = client.fetch(asked).await.expect("a response");
                let body = read_all(&mut response).await;
                (response, body)
            });
            assert_eq!(response.info().head.status, status);
            assert_eq!(response.info().uploaded, 0, "{status}");
            assert_eq!(body.as_deref(), Ok("no"), "{status}");
            assert!(log.requests()[0].ends_with("\r\n\r\n"), "{status}");
            assert!(
                take_trace().contains(
                    &"* closing the connection to 127.0.0.1:80: the server did not ask for the body"
                        .to_owned()
                ),
                "{status}"
            );
        }
    }
}

#[test]
fn a_body_that_has_begun_asks_for_the_body() {
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
        let body = net.run(async {
            let mut response = fetch(&net, post(body)).await.expect("a head");
            assert_eq!(response.info().uploaded, 0);
            read_all(&mut response).await
        });
        assert_eq!(body.as_deref(), Ok("ok"));
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
    // A second 417 is the response, and so is one that comes after the body was sent.
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

//! Responses that begin before the request is out.

use super::sending::{Slow, post, put};
use super::*;
use crate::net::{Source, SourceFailed};

#[test]
fn an_answer_before_the_request_is_out_counts() {
    // A refusal ends the request, whatever the server does with the bytes that it has not read.
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

/// A source that never ends and never waits.
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

/// A server that echoes each byte, and reads on only as fast as its response is read.
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
        let body = net.run(async {
            let mut response = fetch(&net, asked).await.expect("a head");
            let early = response.info().uploaded < size as u64;
            assert!(early, "the head came before the request was out");
            let mut body = Vec::new();
            while let Some(bytes) = response.read(777).await.expect("a body") {
                body.extend_from_slice(&bytes);
            }
            body
        });
        assert_eq!(body.len(), size, "{length:?}");
    }
}

/// The body is complete, but the server has to receive the whole request before the next one.
#[test]
fn the_body_ends_when_the_request_is_out() {
    let parts = ["ab", "cd", "ef"];
    let cases = [
        (Some(6), Step::More(4), 3, true),
        (None, Step::More(17), 4, true),
        // A server that closes the connection does not want the rest.
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
        let body = net.run(async {
            let mut response = client.fetch(asked).await.expect("a head");
            read_all(&mut response).await
        });
        assert_eq!(body.as_deref(), Ok("ok"), "{length:?}");
        assert_eq!(net.elapsed().as_secs(), seconds, "{length:?}");
        let next = net.run(client.fetch(request(URL))).expect("a head");
        assert_eq!(next.info().reused, reused, "{length:?}");
    }
}

/// A server that has responded need not take the rest of the request, however long its body takes.
#[test]
fn a_body_is_received_though_the_request_is_not_taken() {
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
    asked.options.trace = Some(record_trace);
    let body = net.run(async {
        let client = Client::new(net.clone());
        let mut response = client.fetch(asked).await.expect("a head");
        read_all(&mut response).await
    });
    assert_eq!(body.map(|body| body.len()), Ok(20));
    assert_eq!(net.elapsed(), 200 * SECOND);
    let last = take_trace().pop().expect("a trace");
    let why = "the server did not read the request in time";
    assert_eq!(
        last,
        format!("* closing the connection to 127.0.0.1:80: {why}")
    );
}

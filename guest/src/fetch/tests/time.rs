//! Timeouts and timings.

use super::*;
use crate::net::{Instant, Sink, SinkClosed, Splice, SpliceError};

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
        resolve: seconds(1),
        connect: seconds(2),
        handshake: seconds(2),
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
                bound: total.map_or(TimeBound::Stage, |_| TimeBound::Total),
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
    let body = net.run(async {
        let mut response = fetch(&net, request("http://127.0.0.1/"))
            .await
            .expect("a head");
        let mut body = Vec::new();
        response
            .write_to(&mut body, u64::MAX)
            .await
            .expect("a body");
        body
    });
    assert_eq!(body, b"ok");
}

#[test]
fn the_whole_time_is_one_for_all_stages() {
    let address = address("127.0.0.1:80");
    // The duration of each stage in seconds, and the stage in which the request ends after 10
    // seconds.
    let cases = [
        ([20, 0, 0, 0, 0], Stage::Resolve),
        ([4, 20, 0, 0, 0], Stage::Connect),
        ([4, 4, 20, 0, 0], Stage::FirstByte),
        ([3, 3, 3, 20, 0], Stage::Head),
        ([3, 3, 2, 1, 20], Stage::Body),
    ];
    for ([resolve, connect, first_byte, head, body], stage) in cases {
        let net = MemoryNet::default();
        net.name("slow.test", Ok(vec![address.ip()]));
        net.slow_name("slow.test", resolve * SECOND);
        net.distance(address, connect * SECOND);
        let script = vec![
            Step::Read(0),
            Step::Wait(first_byte * SECOND),
            send("HTTP/1.1 200 OK\r\n"),
            Step::Wait(head * SECOND),
            send("Content-Length: 2\r\n\r\n"),
            Step::Wait(body * SECOND),
            send("ok"),
        ];
        play(&net, ADDRESS, vec![script]);
        let mut asked = request("http://slow.test/");
        let seconds = Duration::from_secs;
        asked.options.timeouts = Timeouts {
            resolve: seconds(100),
            connect: seconds(100),
            handshake: seconds(100),
            first_byte: seconds(100),
            idle: seconds(100),
            total: Some(seconds(10)),
        };
        let error = net.run(async {
            let mut response = match fetch(&net, asked).await {
                Ok(response) => response,
                Err(error) => return error,
            };
            read_all(&mut response).await.expect_err("too slow")
        });
        let expected = FetchError::Timeout(Timeout {
            stage,
            bound: TimeBound::Total,
            limit: 10 * SECOND,
            received: 0,
        });
        assert_eq!(error, expected);
        assert_eq!(net.elapsed(), 10 * SECOND, "{stage:?}");
    }
}

#[test]
fn no_stage_takes_longer_than_the_whole_time_while_a_body_waits_to_be_asked_for() {
    let net = MemoryNet::default();
    play(&net, ADDRESS, vec![vec![Step::Read(0), Step::Hang]]);
    let mut asked = request(URL);
    asked.body = RequestBody::Source {
        source: VecDeque::from([b"x".to_vec()]),
        length: None,
    };
    asked.options.expect_timeout = 100 * SECOND;
    asked.options.timeouts.total = Some(SECOND);
    let error = net.run(fetch(&net, asked)).map(drop);
    let expected = FetchError::Timeout(Timeout {
        stage: Stage::Send,
        bound: TimeBound::Total,
        limit: SECOND,
        received: 0,
    });
    assert_eq!(error, Err(expected));
}

#[test]
fn each_stage_is_timed() {
    let net = MemoryNet::default();
    net.name("slow.test", Ok(vec![ip("::1"), ip("127.0.0.1")]));
    net.slow_name("slow.test", SECOND);
    net.black_hole(address("[::1]:80"));
    net.distance(address(ADDRESS), 2 * SECOND);
    let ok = "Content-Length: 0\r\n\r\n";
    let script = vec![
        Step::Read(0),
        Step::Wait(SECOND),
        send("HTTP/1.1 103 Early Hints\r\n\r\n"),
        Step::Wait(3 * SECOND),
        send("HTTP/1.1 200 OK\r\n"),
        Step::Wait(5 * SECOND),
        send(ok),
        Step::Read(0),
        Step::Wait(SECOND),
        send("HTTP/1.1 200 OK\r\n"),
        send(ok),
        Step::Hang,
    ];
    play(&net, ADDRESS, vec![script]);
    let client = Client::new(net.clone());
    let get = || {
        let response = net.run(client.fetch(request("http://slow.test/")));
        response.expect("a head").info().timings
    };
    let ms = Duration::from_millis;
    let first = Timings {
        resolve: ms(1000),
        connect: ms(3250),
        handshake: ms(3250),
        sent: ms(3250),
        first_byte: ms(7250),
        head: ms(12_250),
    };
    assert_eq!(get(), first);
    // Nothing is resolved, and there is no new connection.
    let second = Timings {
        resolve: ms(0),
        connect: ms(0),
        handshake: ms(0),
        sent: ms(0),
        first_byte: ms(1000),
        head: ms(1000),
    };
    assert_eq!(get(), second);
}

#[test]
fn a_server_that_always_has_more_ends_with_the_whole_time() {
    for chunked in [false, true] {
        let net = MemoryNet::default();
        let clock = net.clone();
        serve(&net, ADDRESS, async move |stream| {
            read_request(&stream).await;
            let head = match chunked {
                true => "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
                false => "HTTP/1.1 200 OK\r\n\r\n",
            };
            stream.write_all(head.as_bytes()).await.expect("open");
            let packet: &[u8] = match chunked {
                true => b"2\r\nxx\r\n",
                false => b"xx",
            };
            for _ in 0..1000 {
                stream.write_all(packet).await.expect("open");
            }
            clock.sleep_until(Instant(u64::MAX)).await;
        });
        let mut asked = request(URL);
        asked.options.timeouts.total = Some(5 * SECOND);
        let error = net.run(async {
            let mut response = fetch(&net, asked).await.expect("a head");
            loop {
                if let Err(error) = response.read(65_536).await {
                    return error;
                }
                net.sleep_until(net.now().after(SECOND)).await;
            }
        });
        let expected = FetchError::Timeout(Timeout {
            stage: Stage::Body,
            bound: TimeBound::Total,
            limit: 5 * SECOND,
            received: 10,
        });
        assert_eq!(error, expected, "chunked: {chunked}");
        assert_eq!(net.elapsed(), 5 * SECOND, "chunked: {chunked}");
    }
}

/// The output of a caller that takes 100 seconds for each step.
struct SlowSink {
    net: MemoryNet,
    bytes: Vec<u8>,
}

impl Sink for SlowSink {
    async fn ready(&mut self) -> Result<(), SinkClosed> {
        let later = self.net.now().after(Duration::from_secs(100));
        self.net.sleep_until(later).await;
        Ok(())
    }

    async fn write_all(&mut self, bytes: &[u8]) -> Result<(), SinkClosed> {
        self.ready().await?;
        self.bytes.write_all(bytes).await
    }
}

impl Splice<SlowSink> for MemoryStream {
    async fn splice(&self, sink: &mut SlowSink, max: u64) -> Result<Option<u64>, SpliceError> {
        self.splice(&mut sink.bytes, max).await
    }
}

#[test]
fn an_output_that_is_slow_is_bounded_by_the_whole_time_alone() {
    let seconds = Duration::from_secs;
    let timeout = |received| {
        FetchError::Timeout(Timeout {
            stage: Stage::Body,
            bound: TimeBound::Total,
            limit: seconds(150),
            received,
        })
    };
    // The bytes with the head, the bytes after it, the limit, and the result.
    let cases = [
        ("ab", "cd", None, Ok(4)),
        ("", "abcd", None, Ok(4)),
        ("ab", "cd", Some(seconds(150)), Err(timeout(2))),
        ("", "abcd", Some(seconds(150)), Ok(4)),
    ];
    for (with_head, behind, total, expected) in cases {
        let net = MemoryNet::default();
        serve(&net, ADDRESS, async move |stream| {
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n{with_head}");
            stream.write_all(head.as_bytes()).await.expect("open");
            stream.write_all(behind.as_bytes()).await.expect("open");
        });
        let options = Options {
            timeouts: Timeouts {
                total,
                ..Timeouts::default()
            },
            ..Options::default()
        };
        let written = net.run(async {
            let request = Request {
                options,
                ..request("http://127.0.0.1/")
            };
            let mut response = fetch(&net, request).await.expect("a head");
            let mut sink = SlowSink {
                net: net.clone(),
                bytes: Vec::new(),
            };
            response.write_to(&mut sink, u64::MAX).await
        });
        assert_eq!(written, expected, "{with_head:?} {behind:?} {total:?}");
    }
}

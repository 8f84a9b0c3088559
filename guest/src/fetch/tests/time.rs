//! Timeouts, speeds and timings.

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
        lookup: seconds(1),
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
                bound: total.map_or(Bound::Stage, |_| Bound::Total),
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

/// Times of a page of which the server sends each part so many milliseconds after the one before.
fn slow_page(parts: &[(u64, usize)], length: usize) -> Vec<Step> {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
    let mut script = vec![Step::Read(0), send(&head)];
    for (ms, size) in parts {
        script.push(Step::Wait(Duration::from_millis(*ms)));
        script.push(Step::Send(vec![b'x'; *size]));
    }
    script.push(Step::Hang);
    script
}

fn too_slow(stage: Stage, period: Duration, received: u64) -> FetchError {
    FetchError::Timeout(Timeout {
        stage,
        bound: Bound::Speed,
        limit: period,
        received,
    })
}

#[test]
fn a_page_that_comes_too_slowly_is_given_up() {
    let drip = |count| vec![(1000, 100); count];
    // What comes, the bytes a second that have to, over 10 seconds; the bytes so far and the time in
    // milliseconds where it ends.
    type Case = (Vec<(u64, usize)>, u64, Result<(), u64>, u128);
    let cases: [Case; 6] = [
        (drip(50), 90, Ok(()), 50_000),
        (drip(50), 101, Err(900), 10_000),
        (vec![], 1, Err(0), 10_000),
        (vec![(0, 4000)], 100, Err(4000), 11_000),
        // Enough at the beginning doesn't make up for a stop.
        (vec![(1000, 3000)], 100, Err(3000), 12_000),
        (vec![(9000, 5000)], 0, Err(5000), 69_000),
    ];
    for (parts, bytes_per_second, expected, at) in cases {
        for pull in [false, true] {
            let net = MemoryNet::default();
            play(
                &net,
                ADDRESS,
                vec![slow_page(&parts, 5000 + usize::from(expected.is_err()))],
            );
            let mut asked = request(URL);
            let period = 10 * SECOND;
            asked.options.min_speed = Some(MinSpeed {
                bytes_per_second,
                period,
            });
            let result = net.run(async {
                let mut response = fetch(&net, asked).await.expect("a head");
                if pull {
                    while response.read(333).await?.is_some() {}
                    return Ok(());
                }
                response.write_to(&mut Vec::new(), u64::MAX).await.map(drop)
            });
            let expected = expected.map_err(|received| match bytes_per_second {
                0 => FetchError::Timeout(Timeout {
                    stage: Stage::Body,
                    bound: Bound::Stage,
                    limit: 60 * SECOND,
                    received,
                }),
                _ => too_slow(Stage::Body, period, received),
            });
            assert_eq!(result, expected, "{parts:?} {bytes_per_second}");
            let elapsed = net.elapsed().as_millis();
            assert_eq!(elapsed, at, "{parts:?} {bytes_per_second}");
        }
    }
}

#[test]
fn a_caller_who_takes_his_time_is_not_the_peers_fault() {
    let net = MemoryNet::default();
    play(&net, ADDRESS, vec![slow_page(&[(0, 10)], 10)]);
    let mut asked = request(URL);
    asked.options.min_speed = Some(MinSpeed {
        bytes_per_second: 1000,
        period: SECOND,
    });
    net.run(async {
        let mut response = fetch(&net, asked).await.expect("a head");
        for _ in 0..10 {
            net.sleep_until(net.now().after(1000 * SECOND)).await;
            assert_eq!(response.read(1).await, Ok(Some(b"x".to_vec())));
        }
        assert_eq!(response.read(1).await, Ok(None));
    });
}

#[test]
fn a_server_that_takes_the_request_too_slowly_is_given_up() {
    let net = MemoryNet::default();
    net.capacity(1000);
    let net2 = net.clone();
    serve(&net, ADDRESS, async move |stream| {
        loop {
            net2.sleep_until(net2.now().after(SECOND)).await;
            let _ = stream.read(500).await;
        }
    });
    let period = 20 * SECOND;
    let mut asked = request(URL);
    asked.body = RequestBody::Bytes(vec![b'x'; 100_000]);
    asked.options.min_speed = Some(MinSpeed {
        bytes_per_second: 2000,
        period,
    });
    let error = net.run(fetch(&net, asked)).map(drop);
    assert_eq!(error, Err(too_slow(Stage::Send, period, 0)));
    assert!(net.elapsed() <= 22 * SECOND, "{:?}", net.elapsed());
}

#[test]
fn no_more_than_allowed_is_moved_in_a_second() {
    for max_speed in [1000, 10_000] {
        let size = 10 * usize::try_from(max_speed).expect("small");
        // Received, pulled and pushed.
        for pull in [false, true] {
            let net = MemoryNet::default();
            play(&net, ADDRESS, vec![slow_page(&[(0, size)], size)]);
            let mut asked = request(URL);
            asked.options.max_speed = Some(max_speed);
            let most = net.run(async {
                let mut response = fetch(&net, asked).await.expect("a head");
                let (mut page, mut most) = (Vec::new(), 0);
                loop {
                    let before = page.len();
                    match pull {
                        true => page.extend(
                            response
                                .read(65_536)
                                .await
                                .expect("fast")
                                .unwrap_or_default(),
                        ),
                        false => {
                            response
                                .write_to(&mut page, max_speed / 20)
                                .await
                                .expect("fast");
                        }
                    }
                    if page.len() == before {
                        break;
                    }
                    most = most.max(page.len() - before);
                    let allowed = net.elapsed().as_secs_f64() * max_speed as f64;
                    let now = page.len() as f64;
                    assert!(
                        now <= allowed + max_speed as f64 / 10.0,
                        "{now} of {allowed}"
                    );
                }
                assert_eq!(page.len(), size);
                most
            });
            assert!(most as u64 <= max_speed / 10, "smooth: {most}");
            let elapsed = net.elapsed().as_secs_f64();
            assert!((9.8..=10.0).contains(&elapsed), "{max_speed} {elapsed}");
        }
        // Sent.
        for length in [Some(size as u64), None] {
            let net = MemoryNet::default();
            let script = vec![
                Step::Read(size),
                send("HTTP/1.1 200 OK\r\n\r\n"),
                Step::Hang,
            ];
            play(&net, ADDRESS, vec![script]);
            let mut asked = request(URL);
            asked.body = RequestBody::Source {
                source: vec![vec![b'x'; 1000]; size / 1000].into(),
                length,
            };
            asked.options.expect_timeout = Duration::ZERO;
            asked.options.max_speed = Some(max_speed);
            net.run(fetch(&net, asked)).expect("a head");
            let elapsed = net.elapsed().as_secs_f64();
            assert!((9.7..=10.0).contains(&elapsed), "{max_speed} {elapsed}");
        }
    }
}

#[test]
fn a_pause_ends_with_the_whole_time() {
    let net = MemoryNet::default();
    play(&net, ADDRESS, vec![slow_page(&[(0, 10_000)], 10_000)]);
    let mut asked = request(URL);
    asked.options.max_speed = Some(1);
    asked.options.timeouts.total = Some(Duration::from_millis(5500));
    let error = net.run(async {
        let mut response = fetch(&net, asked).await.expect("a head");
        read_all(&mut response).await.expect_err("too slow")
    });
    let expected = FetchError::Timeout(Timeout {
        stage: Stage::Body,
        bound: Bound::Total,
        limit: Duration::from_millis(5500),
        received: 6,
    });
    assert_eq!(error, expected);
    assert_eq!(net.elapsed(), Duration::from_millis(5500));
}

#[test]
fn the_whole_time_is_one_for_all_stages() {
    let address = address("127.0.0.1:80");
    // So long each of them takes, and where it ends after 10 seconds.
    let cases = [
        ([20, 0, 0, 0, 0], Stage::Lookup),
        ([4, 20, 0, 0, 0], Stage::Connect),
        ([4, 4, 20, 0, 0], Stage::FirstByte),
        ([3, 3, 3, 20, 0], Stage::Head),
        ([3, 3, 2, 1, 20], Stage::Body),
    ];
    for ([lookup, connect, first_byte, head, body], stage) in cases {
        let net = MemoryNet::default();
        net.name("slow.test", Ok(vec![address.ip()]));
        net.slow_name("slow.test", lookup * SECOND);
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
            lookup: seconds(100),
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
            bound: Bound::Total,
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
        bound: Bound::Total,
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
        lookup: ms(1000),
        connect: ms(3250),
        handshake: ms(3250),
        sent: ms(3250),
        first_byte: ms(7250),
        head: ms(12_250),
    };
    assert_eq!(get(), first);
    // Nothing is looked up or connected to.
    let second = Timings {
        lookup: ms(0),
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
            bound: Bound::Total,
            limit: 5 * SECOND,
            received: 10,
        });
        assert_eq!(error, expected, "chunked: {chunked}");
        assert_eq!(net.elapsed(), 5 * SECOND, "chunked: {chunked}");
    }
}

/// An output of a caller's who takes 100 seconds for each step.
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
            bound: Bound::Total,
            limit: seconds(150),
            received,
        })
    };
    // What comes with the head, what comes behind it, the bound, and what comes of it.
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

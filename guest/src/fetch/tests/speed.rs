//! Speed limits, the lowest and the highest.

use super::*;

/// A script for a body in parts. The server sends each part this many milliseconds after the one
/// before.
fn slow_body(parts: &[(u64, usize)], length: usize) -> Vec<Step> {
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
        bound: TimeBound::Speed,
        limit: period,
        received,
    })
}

#[test]
fn a_body_that_comes_too_slowly_is_given_up() {
    let drip = |count| vec![(1000, 100); count];
    // The parts, the lowest speed in bytes per second over 10 seconds, and if the transfer ends
    // early, the bytes received and the time in milliseconds.
    type Case = (Vec<(u64, usize)>, u64, Result<(), u64>, u128);
    let cases: [Case; 6] = [
        (drip(50), 90, Ok(()), 50_000),
        (drip(50), 101, Err(900), 10_000),
        (vec![], 1, Err(0), 10_000),
        (vec![(0, 4000)], 100, Err(4000), 11_000),
        // A fast start does not make up for a stop.
        (vec![(1000, 3000)], 100, Err(3000), 12_000),
        (vec![(9000, 5000)], 0, Err(5000), 69_000),
    ];
    for (parts, bytes_per_second, expected, at) in cases {
        for pull in [false, true] {
            let net = MemoryNet::default();
            play(
                &net,
                ADDRESS,
                vec![slow_body(&parts, 5000 + usize::from(expected.is_err()))],
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
                    bound: TimeBound::Stage,
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
fn a_slow_caller_is_not_a_slow_peer() {
    let net = MemoryNet::default();
    play(&net, ADDRESS, vec![slow_body(&[(0, 10)], 10)]);
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
            play(&net, ADDRESS, vec![slow_body(&[(0, size)], size)]);
            let mut asked = request(URL);
            asked.options.max_speed = Some(max_speed);
            let most = net.run(async {
                let mut response = fetch(&net, asked).await.expect("a head");
                let (mut body, mut most) = (Vec::new(), 0);
                loop {
                    let before = body.len();
                    match pull {
                        true => body.extend(
                            response
                                .read(65_536)
                                .await
                                .expect("fast")
                                .unwrap_or_default(),
                        ),
                        false => {
                            response
                                .write_to(&mut body, max_speed / 20)
                                .await
                                .expect("fast");
                        }
                    }
                    if body.len() == before {
                        break;
                    }
                    most = most.max(body.len() - before);
                    let allowed = net.elapsed().as_secs_f64() * max_speed as f64;
                    let now = body.len() as f64;
                    assert!(
                        now <= allowed + max_speed as f64 / 10.0,
                        "{now} of {allowed}"
                    );
                }
                assert_eq!(body.len(), size);
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
    play(&net, ADDRESS, vec![slow_body(&[(0, 10_000)], 10_000)]);
    let mut asked = request(URL);
    asked.options.max_speed = Some(1);
    asked.options.timeouts.total = Some(Duration::from_millis(5500));
    let error = net.run(async {
        let mut response = fetch(&net, asked).await.expect("a head");
        read_all(&mut response).await.expect_err("too slow")
    });
    let expected = FetchError::Timeout(Timeout {
        stage: Stage::Body,
        bound: TimeBound::Total,
        limit: Duration::from_millis(5500),
        received: 6,
    });
    assert_eq!(error, expected);
    assert_eq!(net.elapsed(), Duration::from_millis(5500));
}

//! Limits on time, on connections and on memory.

use super::*;

#[test]
fn a_client_that_is_silent_for_too_long_is_closed_and_one_that_speaks_is_not() {
    let options = Options {
        idle_timeout: Some(Duration::from_secs(10)),
        ..options()
    };
    let net = MemoryNet::default();
    let (_, events, _) = serve_with(&options, &net, Duration::ZERO, async |net: MemoryNet| {
        let (silent, talker) = (connect(&net).await, connect(&net).await);
        for _ in 0..5 {
            net.sleep_until(net.now().after(Duration::from_secs(9)))
                .await;
            assert!(exchange(&talker, "still here").await.is_some());
        }
        assert_eq!(silent.read(64).await, Ok(None));
        assert_eq!(talker.read(64).await, Ok(None));
    });
    let ended: Vec<_> = closed(&events)
        .iter()
        .map(|closed| (closed.reason, closed.duration.as_secs()))
        .collect();
    // Both wait 2 seconds for the client to close its side.
    assert_eq!(
        ended,
        [
            (CloseReason::IdleTimeout, 10 + 2),
            (CloseReason::IdleTimeout, 5 * 9 + 10)
        ]
    );
}

#[test]
fn a_client_that_takes_no_answers_is_closed_in_time() {
    for (limit, reason, after) in [
        (Some(30), CloseReason::WriteTimeout, 30),
        (None, CloseReason::Stopped, 100),
    ] {
        let options = Options {
            write_timeout: limit.map(Duration::from_secs),
            ..options()
        };
        let net = MemoryNet::default();
        let (_greedy, events, _) =
            serve_with(&options, &net, Duration::ZERO, async |net: MemoryNet| {
                let greedy = connect(&net).await;
                greedy.receive_capacity(8);
                for _ in 0..100 {
                    greedy.write_all(b"more\n").await.expect("open");
                }
                net.sleep_until(net.now().after(Duration::from_secs(100)))
                    .await;
                greedy
            });
        let closed = closed(&events)[0];
        assert_eq!(
            (closed.reason, closed.duration.as_secs()),
            (reason, after),
            "{limit:?}"
        );
    }
}

#[test]
fn a_full_server_accepts_the_next_client_when_one_has_left() {
    let options = Options {
        max_connections: Some(2),
        ..options()
    };
    let net = MemoryNet::default();
    let (_, events, stats) = serve_with(&options, &net, Duration::ZERO, async |net: MemoryNet| {
        let (one, two) = (connect(&net).await, connect(&net).await);
        assert!(exchange(&one, "1").await.is_some());
        assert!(exchange(&two, "2").await.is_some());
        let three = connect(&net).await;
        three.write_all(b"3").await.expect("it is in the queue");
        let waiting = net.sleep_until(net.now().after(Duration::from_secs(5)));
        let waited = race(three.read(64), waiting).await;
        assert_eq!(waited, Either::Second(()), "there is no room");
        drop(one);
        assert_eq!(three.read(64).await, Ok(Some(b"Hello, 3!".to_vec())));
    });
    assert_eq!((stats.accepted, stats.refused), (3, 0));
    assert_eq!(closed(&events).len(), 3);
}

#[test]
fn a_full_server_refuses_where_the_options_say_so() {
    let options = Options {
        max_connections: Some(1),
        refuse_when_full: true,
        ..options()
    };
    let net = MemoryNet::default();
    let (remotes, events, stats) =
        serve_with(&options, &net, Duration::ZERO, async |net: MemoryNet| {
            let one = connect(&net).await;
            assert!(exchange(&one, "1").await.is_some());
            let two = connect(&net).await;
            // What the client has sent in the meantime does not destroy the error line.
            two.write_all(b"hello?\n").await.expect("open");
            assert_eq!(
                two.read_to_end().await,
                Ok(b"too many connections\n".to_vec())
            );
            let crowd: Vec<_> = {
                let mut crowd = Vec::new();
                for _ in 0..100 {
                    crowd.push(connect(&net).await);
                }
                crowd
            };
            for stream in &crowd {
                // Not every refused client gets the reason, but none is left waiting.
                let _ = stream.read_to_end().await;
            }
            drop(one);
            net.sleep_until(net.now().after(Duration::from_millis(1)))
                .await;
            assert!(exchange(&connect(&net).await, "3").await.is_some());
            two.local_addr()
        });
    assert_eq!((stats.accepted, stats.refused), (2, 101));
    let refused = Event::Refused(Refused {
        local: here(9999),
        remote: remotes,
        reason: RefuseReason::Full,
    });
    assert_eq!(events.iter().filter(|event| **event == refused).count(), 1);
}

#[test]
fn one_address_has_so_many_connections_and_no_more() {
    let options = Options {
        max_per_peer: Some(2),
        ..options()
    };
    let net = MemoryNet::default();
    let (_, events, stats) = serve_with(&options, &net, Duration::ZERO, async |net: MemoryNet| {
        for _ in 0..3 {
            let (one, two) = (connect(&net).await, connect(&net).await);
            assert!(exchange(&one, "1").await.is_some());
            assert!(exchange(&two, "2").await.is_some());
            let three = connect(&net).await;
            assert_eq!(
                three.read_to_end().await,
                Ok(b"too many connections from this address\n".to_vec())
            );
            drop((one, two, three));
            // Until the server has seen them leave.
            net.sleep_until(net.now().after(Duration::from_millis(1)))
                .await;
        }
    });
    assert_eq!((stats.accepted, stats.refused), (6, 3));
    let peer_limit = events.iter().filter(|event| {
        matches!(event, Event::Refused(refused) if refused.reason == RefuseReason::PeerLimit)
    });
    assert_eq!(peer_limit.count(), 3);
}

#[test]
fn what_is_kept_for_all_clients_has_a_bound_and_short_messages_are_served_beyond_it() {
    let options = Options {
        framing: Framing::Line,
        max_message_size: 64 * 1024,
        max_held: 40_000,
        ..options()
    };
    let long = "x".repeat(16 * 1024 - 1);
    let net = MemoryNet::default();
    let (_, events, _) = serve_with(&options, &net, Duration::ZERO, async |net: MemoryNet| {
        let mut streams = Vec::new();
        for _ in 0..3 {
            let stream = connect(&net).await;
            stream.write_all(long.as_bytes()).await.expect("open");
            net.sleep_until(net.now().after(Duration::from_millis(1)))
                .await;
            streams.push(stream);
        }
        assert_eq!(
            streams[2].read_to_end().await,
            Ok(b"server overloaded\n".to_vec())
        );
        let small = connect(&net).await;
        small.write_all(b"sma").await.expect("open");
        net.sleep_until(net.now().after(Duration::from_millis(1)))
            .await;
        assert_eq!(
            exchange(&small, "ll\n").await.as_deref(),
            Some("Hello, small!\n")
        );
        // Bytes are released when a message is complete, and when a client has left.
        streams[0].write_all(b"\n").await.expect("open");
        assert!(
            streams[0]
                .read(1 << 20)
                .await
                .is_ok_and(|answer| answer.is_some())
        );
        let next = connect(&net).await;
        next.write_all(long.as_bytes()).await.expect("open");
        assert_eq!(
            exchange(&next, "!\n").await.map(|answer| answer.len()),
            Some(64)
        );
    });
    assert_eq!(
        reasons(&events)
            .iter()
            .filter(|reason| **reason == CloseReason::Overloaded)
            .count(),
        1
    );
}

#[test]
fn an_outage_is_reported_once_for_all_addresses_and_again_after_it_was_over() {
    let options = Options {
        listen: vec![here(9998), here(9999)],
        ..options()
    };
    let net = MemoryNet::default();
    let (_, events, _) = serve_with(&options, &net, Duration::ZERO, async |net: MemoryNet| {
        for _ in 0..4 {
            net.fail_accept(here(9998), NetError::NoSocketsLeft);
            net.fail_accept(here(9999), NetError::NoSocketsLeft);
            net.sleep_until(net.now().after(Duration::from_secs(4)))
                .await;
        }
        net.sleep_until(net.now().after(Duration::from_secs(4)))
            .await;
        net.fail_accept(here(9999), NetError::NoSocketsLeft);
        net.sleep_until(net.now().after(Duration::from_secs(1)))
            .await;
    });
    let told = events
        .iter()
        .filter(|event| matches!(event, Event::AcceptFailed(_)));
    assert_eq!(told.count(), 2, "{events:?}");
}

#[test]
fn a_client_that_half_closes_and_never_reads_is_closed_in_time() {
    let net = MemoryNet::default();
    let (_, events, _) = serve(&net, Duration::ZERO, async |net: MemoryNet| {
        let greedy = connect(&net).await;
        greedy.receive_capacity(8);
        greedy
            .write_all("more\n".repeat(5000).as_bytes())
            .await
            .expect("open");
        greedy.finish().await.expect("open");
        net.sleep_until(net.now().after(Duration::from_secs(100)))
            .await;
    });
    assert_eq!(reasons(&events), [CloseReason::WriteTimeout]);
}

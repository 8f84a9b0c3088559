//! The server over a network in memory.

use super::{
    AcceptFailed, CloseReason, Closed, Event, Framing, Options, Progress, RefuseReason, Refused,
    Server, StartError,
};
use crate::net::memory::{MemoryNet, MemoryStream};
use crate::net::{Net, NetError, Stream};
use crate::rt::{Either, race};
use std::cell::RefCell;
use std::future::Future;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

fn here(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

fn options() -> Options {
    Options {
        listen: vec![here(9999)],
        max_message_size: 16,
        ..Options::default()
    }
}

/// Runs a server beside `clients`, stops it when they are done, and gives all that it told.
fn serve<F: Future>(
    net: &MemoryNet,
    drain: Duration,
    clients: impl FnOnce(MemoryNet) -> F,
) -> (F::Output, Vec<Event>, super::Statistics) {
    serve_with(&options(), net, drain, clients)
}

fn serve_with<F: Future>(
    options: &Options,
    net: &MemoryNet,
    drain: Duration,
    clients: impl FnOnce(MemoryNet) -> F,
) -> (F::Output, Vec<Event>, super::Statistics) {
    net.run(async {
        let mut server = Server::start(net.clone(), options)
            .await
            .expect("it starts");
        let mut events = Vec::new();
        let mut clients = Box::pin(clients(net.clone()));
        let output = loop {
            match race(server.progress(), clients.as_mut()).await {
                Either::First(Progress::Events(more)) => events.extend(more),
                Either::First(Progress::Stopped(_)) => panic!("nobody told it to stop"),
                Either::Second(output) => break output,
            }
        };
        server.stop(drain);
        let statistics = loop {
            match server.progress().await {
                Progress::Events(more) => events.extend(more),
                Progress::Stopped(statistics) => break statistics,
            }
        };
        assert_eq!(
            server.progress().await,
            Progress::Stopped(statistics),
            "stays stopped"
        );
        (output, events, statistics)
    })
}

async fn connect(net: &MemoryNet) -> MemoryStream {
    net.connect(here(9999)).await.expect("somebody listens")
}

/// Sends packets, shuts the sending side down, and reads all answers.
async fn ask(net: MemoryNet, packets: &[&[u8]]) -> String {
    let stream = connect(&net).await;
    for packet in packets {
        stream.write_all(packet).await.expect("the server reads");
    }
    stream.finish().await.expect("open");
    let answers = stream.read_to_end().await.expect("the server answers");
    String::from_utf8_lossy(&answers).into_owned()
}

fn closed(events: &[Event]) -> Vec<&Closed> {
    let closed = events.iter().filter_map(|event| match event {
        Event::Closed(closed) => Some(closed),
        _ => None,
    });
    closed.collect()
}

#[test]
fn a_client_that_half_closes_gets_every_answer() {
    let net = MemoryNet::default();
    let packets: &[&[u8]] = &[b"a\nb\r", b"\nc"];
    let (answers, events, statistics) = serve(&net, Duration::ZERO, |net| ask(net, packets));
    assert_eq!(answers, "Hello, a!\nHello, b!\r\nHello, c!");
    let Event::Opened(opened) = &events[0] else {
        panic!("{events:?}")
    };
    let closed = closed(&events)[0];
    assert_eq!(
        (closed.id, closed.local, closed.remote),
        (1, here(9999), opened.remote)
    );
    assert_eq!(closed.reason, CloseReason::EndOfInput);
    assert_eq!(
        (closed.messages, closed.bytes_received, closed.bytes_sent),
        (3, 6, 30)
    );
    assert_eq!(
        (statistics.accepted, statistics.open, statistics.messages),
        (1, 0, 3)
    );
    assert_eq!((statistics.bytes_received, statistics.bytes_sent), (6, 30));
}

#[test]
fn the_tutorials_client_needs_no_newline() {
    let net = MemoryNet::default();
    let (answers, events, _) = serve(&net, Duration::ZERO, async |net: MemoryNet| {
        let stream = connect(&net).await;
        let mut answers = Vec::new();
        for name in ["Michael", "Tracy", "Sarah"] {
            stream.write_all(name.as_bytes()).await.expect("open");
            answers.push(stream.read(1024).await.expect("open").expect("an answer"));
        }
        stream.write_all(b"exit").await.expect("open");
        assert_eq!(stream.read(1024).await, Ok(None), "exit closes");
        answers.concat()
    });
    assert_eq!(answers, b"Hello, Michael!Hello, Tracy!Hello, Sarah!");
    assert_eq!(closed(&events)[0].reason, CloseReason::Exit);
}

#[test]
fn a_message_that_is_too_long_is_told_so_and_ends_the_connection() {
    let net = MemoryNet::default();
    let (answers, events, _) = serve(&net, Duration::ZERO, |net| {
        ask(
            net,
            &[
                b"0123456789abcdef\n",
                b"0123456789abcdefg\n",
                b"never read\n",
            ],
        )
    });
    assert_eq!(
        answers,
        "Hello, 0123456789abcdef!\nmessage longer than 16 bytes\n"
    );
    assert_eq!(closed(&events)[0].reason, CloseReason::MessageTooLong);
}

#[test]
fn a_client_that_never_reads_and_one_that_breaks_off_harm_nobody() {
    let net = MemoryNet::default();
    let (answers, events, _) = serve(&net, Duration::from_secs(5), async |net: MemoryNet| {
        let greedy = connect(&net).await;
        greedy.receive_capacity(8);
        for _ in 0..100 {
            greedy.write_all(b"more\n").await.expect("open");
        }
        let broken = connect(&net).await;
        broken.write_all(b"half").await.expect("open");
        broken.break_off(NetError::ConnectionReset);
        let answers = ask(net.clone(), &[b"polite\n"]).await;
        // Kept, so that it is still there when the server stops.
        (answers, greedy)
    });
    assert_eq!(answers.0, "Hello, polite!\n");
    let reasons: Vec<_> = closed(&events).iter().map(|closed| closed.reason).collect();
    assert_eq!(
        reasons,
        [
            CloseReason::Failed(NetError::ConnectionReset),
            CloseReason::EndOfInput,
            CloseReason::Stopped
        ]
    );
    assert_eq!(
        net.elapsed(),
        Duration::from_secs(5),
        "stopped when the time to drain was up"
    );
}

#[test]
fn stopping_finishes_what_was_received_and_closes_the_idle() {
    let net = MemoryNet::default();
    let (streams, events, _) = serve(&net, Duration::from_secs(5), async |net: MemoryNet| {
        let idle = connect(&net).await;
        idle.write_all(b"first\n").await.expect("open");
        assert!(idle.read(64).await.expect("open").is_some());
        let busy = connect(&net).await;
        busy.write_all(b"zero\n").await.expect("open");
        assert!(busy.read(64).await.expect("open").is_some());
        busy.write_all(b"one\ntwo").await.expect("open");
        (idle, busy)
    });
    net.run(async {
        assert_eq!(streams.0.read_to_end().await, Ok(Vec::new()));
        let answers = streams
            .1
            .read_to_end()
            .await
            .expect("answers, then the end");
        assert_eq!(
            String::from_utf8_lossy(&answers),
            "Hello, one!\nHello, two!"
        );
    });
    for closed in closed(&events) {
        assert_eq!(closed.reason, CloseReason::Stopped, "{closed:?}");
    }
    assert!(
        net.elapsed() < Duration::from_secs(5),
        "no need to wait for the deadline"
    );
}

#[test]
fn exit_counts_while_the_server_stops() {
    let net = MemoryNet::default();
    let (stream, events, _) = serve(&net, Duration::from_secs(5), async |net: MemoryNet| {
        let stream = connect(&net).await;
        stream.write_all(b"zero\n").await.expect("open");
        assert!(stream.read(64).await.expect("open").is_some());
        stream.write_all(b"one\nexit\ntwo\n").await.expect("open");
        stream
    });
    let answers = net
        .run(stream.read_to_end())
        .expect("answers, then the end");
    assert_eq!(String::from_utf8_lossy(&answers), "Hello, one!\n");
    assert_eq!(closed(&events)[0].reason, CloseReason::Exit);
}

#[test]
fn a_stopped_server_accepts_nobody() {
    let net = MemoryNet::default();
    serve(&net, Duration::ZERO, async |_| ());
    let refused = net.run(net.connect(here(9999))).err();
    assert_eq!(refused, Some(NetError::ConnectionRefused));
}

#[test]
fn an_outage_of_accepting_is_told_once_and_ends() {
    let net = MemoryNet::default();
    let (answers, events, _) = serve(&net, Duration::ZERO, async |net: MemoryNet| {
        for _ in 0..3 {
            net.fail_accept(here(9999), NetError::Other);
        }
        ask(net, &[b"still there\n"]).await
    });
    assert_eq!(answers, "Hello, still there!\n");
    let failed = Event::AcceptFailed(AcceptFailed {
        listen: here(9999),
        reason: NetError::Other,
    });
    assert_eq!(events.iter().filter(|event| **event == failed).count(), 1);
    // 0.1, 0.2 and 0.4 seconds
    assert_eq!(net.elapsed(), Duration::from_millis(700));
}

#[test]
fn a_client_that_is_gone_before_it_is_accepted_is_no_outage() {
    let net = MemoryNet::default();
    let (answers, events, statistics) = serve(&net, Duration::ZERO, async |net: MemoryNet| {
        let open = connect(&net).await;
        for reason in [
            NetError::ConnectionAborted,
            NetError::ConnectionReset,
            NetError::ConnectionRefused,
            NetError::TimedOut,
            NetError::Unreachable,
        ] {
            for _ in 0..100 {
                net.fail_accept(here(9999), reason);
            }
        }
        assert_eq!(exchange(&open, "1\n").await.as_deref(), Some("Hello, 1!\n"));
        drop(open);
        ask(net, &[b"still there\n"]).await
    });
    assert_eq!(answers, "Hello, still there!\n");
    assert_eq!(net.elapsed(), Duration::ZERO, "nothing was waited for");
    assert_eq!((statistics.accepted, statistics.refused), (2, 0));
    let failed = |event: &Event| matches!(event, Event::AcceptFailed(_));
    assert!(!events.iter().any(failed), "{events:?}");
}

#[test]
fn all_addresses_are_listened_on_or_none() {
    let net = MemoryNet::default();
    net.refuse(here(2), NetError::AddressInUse);
    let start = |listen: Vec<SocketAddr>| {
        let options = Options {
            listen,
            ..options()
        };
        net.run(Server::start(net.clone(), &options))
            .map(|server| server.addresses().to_vec())
    };
    let failed = StartError::Listen {
        address: here(2),
        reason: NetError::AddressInUse,
    };
    assert_eq!(start(vec![here(1), here(2)]), Err(failed));
    let refused = net.run(net.connect(here(1))).err();
    assert_eq!(
        refused,
        Some(NetError::ConnectionRefused),
        "the first is closed again"
    );
    assert!(matches!(start(Vec::new()), Err(StartError::Invalid(_))));
    let addresses = start(vec![here(1), here(0)]).expect("free");
    assert_eq!(addresses[0], here(1));
    assert_ne!(addresses[1].port(), 0);
}

#[test]
fn many_clients_are_served_side_by_side() {
    const CLIENTS: usize = 1000;
    let net = MemoryNet::default();
    let done: Rc<RefCell<usize>> = Rc::default();
    let (_, events, statistics) = serve(&net, Duration::ZERO, async |net: MemoryNet| {
        let mut streams = Vec::new();
        for _ in 0..CLIENTS {
            streams.push(connect(&net).await);
        }
        // Everybody is connected before anybody speaks, and the last one speaks first.
        for (index, stream) in streams.iter().enumerate().rev() {
            stream
                .write_all(format!("{index}\n").as_bytes())
                .await
                .expect("open");
            let answer = stream.read(64).await.expect("open").expect("an answer");
            assert_eq!(
                String::from_utf8_lossy(&answer),
                format!("Hello, {index}!\n")
            );
            *done.borrow_mut() += 1;
        }
    });
    assert_eq!((*done.borrow(), closed(&events).len()), (CLIENTS, CLIENTS));
    assert_eq!(
        (statistics.accepted, statistics.messages),
        (CLIENTS as u64, CLIENTS as u64)
    );
}

fn reasons(events: &[Event]) -> Vec<CloseReason> {
    closed(events).iter().map(|closed| closed.reason).collect()
}

/// Sends a message and receives one answer.
async fn exchange(stream: &MemoryStream, message: &str) -> Option<String> {
    stream.write_all(message.as_bytes()).await.ok()?;
    let answer = stream.read(64).await.ok()??;
    Some(String::from_utf8_lossy(&answer).into_owned())
}

#[test]
fn the_greeting_and_the_welcome_are_those_asked_for() {
    for (framing, expected) in [
        (Framing::Auto, "Welcome!Ahoy, you!"),
        (Framing::Chunk, "Welcome!Ahoy, you!"),
        (Framing::Line, "Welcome!\nAhoy, you!"),
    ] {
        let options = Options {
            framing,
            greeting: "Ahoy".to_owned(),
            welcome: Some("Welcome!".to_owned()),
            ..options()
        };
        let net = MemoryNet::default();
        let (answers, events, _) =
            serve_with(&options, &net, Duration::ZERO, |net| ask(net, &[b"you"]));
        assert_eq!(answers, expected, "{framing:?}");
        let closed = closed(&events)[0];
        assert_eq!(closed.bytes_sent, expected.len() as u64, "{framing:?}");
        assert_eq!(closed.messages, 1, "{framing:?}");
    }
}

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
    // Both wait for the client's own end, for 2 seconds.
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
fn a_full_server_lets_the_next_one_in_when_one_has_gone() {
    let options = Options {
        max_connections: Some(2),
        ..options()
    };
    let net = MemoryNet::default();
    let (_, events, statistics) =
        serve_with(&options, &net, Duration::ZERO, async |net: MemoryNet| {
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
    assert_eq!((statistics.accepted, statistics.refused), (3, 0));
    assert_eq!(closed(&events).len(), 3);
}

#[test]
fn a_full_server_refuses_where_it_is_told_to() {
    let options = Options {
        max_connections: Some(1),
        refuse_when_full: true,
        ..options()
    };
    let net = MemoryNet::default();
    let (remotes, events, statistics) =
        serve_with(&options, &net, Duration::ZERO, async |net: MemoryNet| {
            let one = connect(&net).await;
            assert!(exchange(&one, "1").await.is_some());
            let two = connect(&net).await;
            // What it has sent meanwhile doesn't destroy what it is told.
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
                // Not everybody is told why, but nobody is left waiting.
                let _ = stream.read_to_end().await;
            }
            drop(one);
            net.sleep_until(net.now().after(Duration::from_millis(1)))
                .await;
            assert!(exchange(&connect(&net).await, "3").await.is_some());
            two.local_addr()
        });
    assert_eq!((statistics.accepted, statistics.refused), (2, 101));
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
    let (_, events, statistics) =
        serve_with(&options, &net, Duration::ZERO, async |net: MemoryNet| {
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
                // Until the server has seen them go.
                net.sleep_until(net.now().after(Duration::from_millis(1)))
                    .await;
            }
        });
    assert_eq!((statistics.accepted, statistics.refused), (6, 3));
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
        // Room is made when a message is complete, and when a client has gone.
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
fn an_outage_is_told_once_for_all_addresses_and_again_after_it_was_over() {
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
fn a_client_that_half_closes_and_takes_nothing_is_not_waited_for_in_vain() {
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

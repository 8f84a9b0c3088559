//! The server over a network in memory.

mod limits;

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

/// Runs a server concurrently with `clients`, stops it when they have ended, and returns all of its
/// events.
fn serve<F: Future>(
    net: &MemoryNet,
    drain: Duration,
    clients: impl FnOnce(MemoryNet) -> F,
) -> (F::Output, Vec<Event>, super::ServerStats) {
    serve_with(&options(), net, drain, clients)
}

fn serve_with<F: Future>(
    options: &Options,
    net: &MemoryNet,
    drain: Duration,
    clients: impl FnOnce(MemoryNet) -> F,
) -> (F::Output, Vec<Event>, super::ServerStats) {
    net.run(async {
        let mut server = Server::start(net.clone(), options)
            .await
            .expect("it starts");
        let mut events = Vec::new();
        let mut clients = Box::pin(clients(net.clone()));
        let output = loop {
            match race(server.progress(), clients.as_mut()).await {
                Either::First(Progress::Events(more)) => events.extend(more),
                Either::First(Progress::Stopped(_)) => panic!("it stopped without being told to"),
                Either::Second(output) => break output,
            }
        };
        server.stop(drain);
        let stats = loop {
            match server.progress().await {
                Progress::Events(more) => events.extend(more),
                Progress::Stopped(stats) => break stats,
            }
        };
        assert_eq!(
            server.progress().await,
            Progress::Stopped(stats),
            "stays stopped"
        );
        (output, events, stats)
    })
}

async fn connect(net: &MemoryNet) -> MemoryStream {
    net.connect(here(9999)).await.expect("the server listens")
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
    let (answers, events, stats) = serve(&net, Duration::ZERO, |net| ask(net, packets));
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
    assert_eq!((stats.accepted, stats.open, stats.messages), (1, 0, 3));
    assert_eq!((stats.bytes_received, stats.bytes_sent), (6, 30));
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
fn a_message_that_is_too_long_is_answered_with_an_error_and_ends_the_connection() {
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
fn a_client_that_never_reads_and_one_that_breaks_off_dont_affect_the_others() {
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
        // Kept, so the connection is still open when the server stops.
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
fn a_stopped_server_accepts_no_connection() {
    let net = MemoryNet::default();
    serve(&net, Duration::ZERO, async |_| ());
    let refused = net.run(net.connect(here(9999))).err();
    assert_eq!(refused, Some(NetError::ConnectionRefused));
}

#[test]
fn an_outage_of_accepting_is_reported_once_and_ends() {
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
fn a_client_that_leaves_before_it_is_accepted_is_no_outage() {
    let net = MemoryNet::default();
    let (answers, events, stats) = serve(&net, Duration::ZERO, async |net: MemoryNet| {
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
    assert_eq!((stats.accepted, stats.refused), (2, 0));
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
    let (_, events, stats) = serve(&net, Duration::ZERO, async |net: MemoryNet| {
        let mut streams = Vec::new();
        for _ in 0..CLIENTS {
            streams.push(connect(&net).await);
        }
        // All clients connect before any of them sends, and the last one sends first.
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
        (stats.accepted, stats.messages),
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

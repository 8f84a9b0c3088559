//! Private sockets and the limits of a run.

use super::*;

#[tokio::test]
async fn private_sockets_count_as_any_others() {
    for (most, accepted) in [(3, true), (2, false)] {
        let limits = Limits::default().sockets(most);
        let (mut bench, told) = Bench::ungranted("127.0.0.1", limits).await;
        let (listener, at) = bench.private(bench.any).await;
        let client = bench.connect(at).await.unwrap();
        assert_eq!(bench.open(), 2);
        if accepted {
            let parts = bench.accept(listener).await;
            assert_eq!(bench.open(), 3);
            let parts = bench.connected(parts);
            bench.close(parts).await;
            assert_eq!(bench.open(), 2);
            continue;
        }
        for _ in 0..2 {
            let code = bench.code(listener, "accept", &[]).await;
            assert_eq!(code.as_deref(), Some("new-socket-limit"));
        }
        let line = "limit: no more sockets (max-sockets sets the limit)";
        let lines = told.lock().unwrap().clone();
        assert!(lines.iter().any(|told| told.starts_with(line)), "{lines:?}");
        // The connection still waits. It is accepted as soon as the run has a socket left.
        bench.close(client).await;
        assert_eq!(bench.open(), 1);
        bench.accept(listener).await;
        assert_eq!(bench.open(), 2);
    }
}

#[tokio::test]
async fn a_peer_that_is_denied_needs_no_socket() {
    let told = Arc::new(Mutex::new(Vec::new()));
    let sink = told.clone();
    let grant = |_| {
        let sink = sink.clone();
        let audit = move |event: &AuditEvent| sink.lock().unwrap().push(event.to_string());
        let policy = Policy::new().deny_accept("::1").unwrap();
        let limits = Limits::default().sockets(2);
        Grant::new().policy(policy).limits(limits).audit(audit)
    };
    let mut bench = Bench::granted("::1", grant).await;
    let (listener, at) = bench.private(bench.any).await;
    let client = bench.connect(at).await.unwrap();
    // The run has no socket left. It needs none, because it accepts no connection.
    let code = bench.code(listener, "accept", &[]).await;
    assert_eq!(code.as_deref(), Some("would-block"));
    let received = bench.receive(&client).await;
    assert_eq!(received.as_deref(), Some("failed: ConnectionReset"));
    let lines = told.lock().unwrap().clone();
    assert!(
        lines.iter().all(|told| !told.starts_with("limit")),
        "{lines:?}"
    );
}

#[tokio::test]
async fn a_denied_client_of_an_inherited_listener_needs_no_socket() {
    use std::io::Read;

    let grant = |_| {
        let policy = Policy::everything().deny_accept("127.0.0.1").unwrap();
        Grant::new()
            .policy(policy)
            .limits(Limits::default().sockets(1))
    };
    let mut bench = Bench::granted("127.0.0.1", grant).await;
    let (listener, _) = bench.listen(bench.inherited).await;
    let mut client = std::net::TcpStream::connect(bench.inherited).unwrap();
    bench.until_ready(listener).await;
    let code = bench.code(listener, "accept", &[]).await;
    assert_eq!(code.as_deref(), Some("would-block"));
    let error = client.read(&mut [0]).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn a_peer_that_waits_for_a_socket_is_judged_once() {
    let limits = Limits::default().sockets(2);
    let (mut bench, told) = Bench::ungranted("127.0.0.1", limits).await;
    let (listener, at) = bench.private(bench.any).await;
    let client = bench.connect(at).await.unwrap();
    for _ in 0..3 {
        let code = bench.code(listener, "accept", &[]).await;
        assert_eq!(code.as_deref(), Some("new-socket-limit"));
    }
    bench.close(client).await;
    bench.accept(listener).await;
    bench.store.data().sockbox.authority.end();
    let lines = told.lock().unwrap().clone();
    let accepts = lines.iter().filter(|line| line.contains(": accept "));
    assert_eq!(accepts.count(), 1, "{lines:?}");
}

#[tokio::test]
async fn so_many_connections_wait_to_be_accepted_and_no_more() {
    let (mut bench, _) = Bench::ungranted("127.0.0.1", Limits::default()).await;
    let (listener, at) = bench.private(bench.any).await;
    bench
        .done(listener, "set-listen-backlog-size", &[Val::U64(2)])
        .await;
    bench.connect(at).await.unwrap();
    bench.connect(at).await.unwrap();
    let code = bench.connect(at).await.err();
    assert_eq!(code.as_deref(), Some("connection-refused"));
    bench.accept(listener).await;
    bench.connect(at).await.unwrap();
    // A backlog that is set before the bind holds too.
    let socket = bench.socket_of(at);
    bench
        .done(socket, "set-listen-backlog-size", &[Val::U64(1)])
        .await;
    let endpoint = bench.endpoint(address("127.0.0.1:7"));
    bench.done(socket, "start-bind", &endpoint).await;
    for name in ["finish-bind", "start-listen", "finish-listen"] {
        bench.done(socket, name, &[]).await;
    }
    bench.connect(address("127.0.0.1:7")).await.unwrap();
    let code = bench.connect(address("127.0.0.1:7")).await.err();
    assert_eq!(code.as_deref(), Some("connection-refused"));
}

#[tokio::test]
async fn what_connections_hold_is_the_runs_memory() {
    const ONE: u64 = 8 * 1024;
    // The bench's component has a memory of one page, which is charged too.
    const PAGE: u64 = 64 * 1024;
    for (memory, connections) in [(PAGE + 2 * ONE, 2), (PAGE + 2 * ONE - 1, 1)] {
        let limits = Limits::default().memory_bytes(memory);
        let (mut bench, told) = Bench::ungranted("127.0.0.1", limits).await;
        let (listener, at) = bench.private(bench.any).await;
        for _ in 0..connections {
            bench.connect(at).await.unwrap();
        }
        let code = bench.connect(at).await.err();
        assert_eq!(code.as_deref(), Some("out-of-memory"));
        let lines = told.lock().unwrap().clone();
        let reached = lines
            .iter()
            .filter(|line| line.starts_with("limit: "))
            .count();
        assert_eq!(reached, 1, "{lines:?}");
        // Closing a connection gives its memory back.
        let accepted = bench.accept(listener).await;
        let accepted = bench.connected(accepted);
        bench.close(accepted).await;
    }
}

//! Connections through a proxy: the component sees those of a direct connection.

use super::*;
use sockbox_policy::audit::AuditEvent;
use sockbox_policy::{HttpScheme, Origin, Proxies};
use std::io::{Read, Write};
use std::sync::{Arc, Mutex};
use wasmtime_wasi::p2::{DynInputStream, StreamError};

/// An address of a documentation range, which nothing has.
const SERVER: &str = "192.0.2.1:443";

/// A bench whose connections lead to a server through a proxy, the proxy's listener, and the lines of the audit.
async fn bench(
    proxies: impl Fn(Proxies) -> Proxies,
) -> (Bench, TcpListener, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let all = Proxies::all(listener.local_addr().unwrap().to_string().parse().unwrap());
    let told = Arc::new(Mutex::new(Vec::new()));
    let sink = told.clone();
    let grant = |policy: Policy| {
        let sink = sink.clone();
        let audit = move |event: &AuditEvent| sink.lock().unwrap().push(event.to_string());
        let policy = policy
            .allow_connect_to("192.0.2.1")
            .unwrap()
            .allow_connect_to("a.example:443")
            .unwrap();
        Grant::new()
            .policy(policy)
            .proxies(proxies(all.clone()))
            .audit(audit)
    };
    let mut bench = Bench::granted("127.0.0.1", grant).await;
    let origin = Origin::new("a.example".parse().unwrap(), 443);
    let state = bench.store.data_mut();
    state
        .sockbox
        .lead_connections_to(HttpScheme::Https, &origin, false);
    (bench, listener, told)
}

impl Bench {
    /// Begins to connect, and returns the socket.
    async fn begin(&mut self, to: &str) -> ResourceAny {
        let socket = self.socket_of(to.parse().unwrap());
        let endpoint = self.endpoint(to.parse().unwrap());
        self.done(socket, "start-connect", &endpoint).await;
        socket
    }

    /// The request that a proxy gets over this connection. Until then the component waits.
    async fn asked(&mut self, socket: ResourceAny, stream: &mut TcpStream) -> String {
        let mut head = Vec::new();
        stream.set_nonblocking(true).unwrap();
        let asking = async {
            while !head.ends_with(b"\r\n\r\n") {
                assert_eq!(self.finish(socket).await, error("would-block"));
                let mut byte = [0];
                match stream.read_exact(&mut byte) {
                    Ok(()) => head.push(byte[0]),
                    Err(_) => tokio::time::sleep(Duration::from_millis(1)).await,
                }
            }
        };
        tokio::time::timeout(DEADLINE, asking).await.unwrap();
        stream.set_nonblocking(false).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        String::from_utf8(head).unwrap()
    }

    /// Polls the connection once, as a component that waits does.
    async fn finish(&mut self, socket: ResourceAny) -> String {
        let told = self.told(socket, "finish-connect", &[]).await;
        told.rsplit_once(": ").unwrap().1.to_owned()
    }
}

fn error(code: &str) -> String {
    format!("Result(Err(Some(Enum({code:?}))))")
}

#[tokio::test]
async fn a_component_cannot_tell_it_from_a_direct_connection() {
    let (mut bench, proxy, told) = bench(|all| all).await;
    let socket = bench.begin(SERVER).await;
    let endpoint = bench.endpoint(SERVER.parse().unwrap());
    assert_eq!(
        bench
            .code(socket, "start-connect", &endpoint)
            .await
            .unwrap(),
        "concurrency-conflict"
    );
    let (mut stream, from) = proxy.accept().unwrap();
    assert_eq!(
        bench.asked(socket, &mut stream).await,
        "CONNECT 192.0.2.1:443 HTTP/1.1\r\nHost: 192.0.2.1:443\r\n\r\n"
    );
    stream.write_all(b"HTTP/1.1 200 OK\r\nA: ").unwrap();
    assert_eq!(bench.finish(socket).await, error("would-block"));
    stream.write_all(b"b\r\n\r\n").unwrap();
    bench.until_ready(socket).await;
    assert_eq!(bench.finish(socket).await, "Ok(resources)");
    assert_eq!(bench.finish(socket).await, error("not-in-progress"));
    let remote = bench.call(socket, "remote-address", &[]).await;
    let server = wit_address(SERVER.parse().unwrap());
    assert_eq!(remote, Val::Result(Ok(Some(Box::new(server)))));
    let local = bench.address(socket, "local-address").await;
    assert_eq!(local, from);
    let by = bench.store.data().sockbox.proxied_by(local).unwrap();
    assert_eq!((by.address, by.status), (proxy.local_addr().unwrap(), 200));
    for name in ["start-connect", "start-bind"] {
        let code = bench.code(socket, name, &endpoint).await;
        assert_eq!(code.unwrap(), "invalid-state", "{name}");
    }
    for (name, code) in [
        ("start-listen", "invalid-state"),
        ("accept", "invalid-state"),
        ("finish-bind", "not-in-progress"),
    ] {
        assert_eq!(bench.code(socket, name, &[]).await.unwrap(), code, "{name}");
    }
    assert_eq!(
        bench.call(socket, "is-listening", &[]).await,
        Val::Bool(false)
    );
    bench
        .done(socket, "set-keep-alive-enabled", &[Val::Bool(true)])
        .await;
    bench.until_ready(socket).await;
    bench
        .done(socket, "shutdown", &[Val::Enum("send".to_owned())])
        .await;
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
    let told = told.lock().unwrap();
    let expected = format!(
        "proxy: connect to {SERVER} through {}: 200",
        proxy.local_addr().unwrap()
    );
    assert_eq!(
        told[..],
        [
            "allowed: connect to 192.0.2.1:443, by: allow-connect 192.0.2.1:*".to_owned(),
            expected
        ]
    );
}

#[tokio::test]
async fn a_proxy_is_asked_for_allowed_targets_alone() {
    let (mut bench, proxy, told) = bench(|all| all).await;
    proxy.set_nonblocking(true).unwrap();
    let socket = bench.begin("192.0.2.2:443").await;
    bench.until_ready(socket).await;
    for _ in 0..2 {
        assert_eq!(bench.finish(socket).await, error("access-denied"));
    }
    for address in [
        "0.0.0.0:443",
        "192.0.2.1:0",
        "224.0.0.1:443",
        "255.255.255.255:443",
        "[::]:443",
        "[::ffff:192.0.2.1]:443",
    ] {
        let address: SocketAddr = address.parse().unwrap();
        let socket = bench.socket_of(address);
        let endpoint = bench.endpoint(address);
        let code = bench.code(socket, "start-connect", &endpoint).await;
        assert_eq!(code.unwrap(), "invalid-argument", "{address}");
    }
    // The system chooses the local address.
    let any = bench.any;
    let bound = bench.socket_of(any);
    let endpoint = bench.endpoint(any);
    bench.done(bound, "start-bind", &endpoint).await;
    bench.done(bound, "finish-bind", &[]).await;
    let endpoint = bench.endpoint(SERVER.parse().unwrap());
    let code = bench.code(bound, "start-connect", &endpoint).await;
    assert_eq!(code.unwrap(), "not-supported");
    let waiting = proxy.accept().map(|_| ()).unwrap_err();
    assert_eq!(waiting.kind(), std::io::ErrorKind::WouldBlock);
    let told = told.lock().unwrap();
    assert!(
        told.iter().all(|line| !line.starts_with("proxy: ")),
        "{told:?}"
    );
}

#[tokio::test]
async fn a_placeholder_stands_for_a_name_and_the_name_is_judged() {
    let (mut bench, proxy, told) = bench(|mut all| {
        all.resolve = true;
        all
    })
    .await;
    proxy.set_nonblocking(true).unwrap();
    let denied = bench.begin("192.0.0.8:80").await;
    bench.until_ready(denied).await;
    assert_eq!(bench.finish(denied).await, error("access-denied"));
    assert!(proxy.accept().is_err());
    proxy.set_nonblocking(false).unwrap();
    let socket = bench.begin("192.0.0.8:443").await;
    let (mut stream, _) = proxy.accept().unwrap();
    let asked = bench.asked(socket, &mut stream).await;
    assert!(asked.starts_with("CONNECT a.example:443 "), "{asked}");
    stream.write_all(b"HTTP/1.1 403 No\r\n\r\nbody").unwrap();
    bench.until_ready(socket).await;
    assert_eq!(bench.finish(socket).await, error("remote-unreachable"));
    // Without the name the address is one like others.
    let origin = Origin::new("192.0.2.1".parse().unwrap(), 443);
    let ctx = &mut bench.store.data_mut().sockbox;
    ctx.lead_connections_to(HttpScheme::Https, &origin, false);
    let denied = bench.begin("192.0.0.8:443").await;
    bench.until_ready(denied).await;
    assert_eq!(bench.finish(denied).await, error("access-denied"));
    let told = told.lock().unwrap();
    let lines: Vec<&str> = told
        .iter()
        .map(|line| line.split(" (").next().unwrap())
        .collect();
    let at = proxy.local_addr().unwrap();
    assert_eq!(
        lines,
        [
            "denied: connect to a.example:80: no rule grants it",
            "allowed: connect to a.example:443, by: allow-connect a.example:443",
            &format!("proxy: connect to a.example:443 through {at}: 403"),
            "denied: connect to 192.0.0.8:443: no rule grants it",
        ]
    );
}

#[tokio::test]
async fn a_tunnel_ends_when_its_target_is_no_longer_granted() {
    let proxy = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxies = Proxies::all(proxy.local_addr().unwrap().to_string().parse().unwrap());
    let handle = Mutex::new(None);
    let grant = |policy: Policy| {
        let policy = policy.allow_connect_to("192.0.2.1").unwrap();
        let grant = Grant::new().policy(policy).proxies(proxies.clone());
        let (grant, replacing) = grant.replaceable();
        *handle.lock().unwrap() = Some(replacing);
        grant
    };
    let mut bench = Bench::granted("127.0.0.1", grant).await;
    let origin = Origin::new("a.example".parse().unwrap(), 443);
    let ctx = &mut bench.store.data_mut().sockbox;
    ctx.lead_connections_to(HttpScheme::Https, &origin, false);
    let socket = bench.begin(SERVER).await;
    let (mut stream, _) = proxy.accept().unwrap();
    bench.asked(socket, &mut stream).await;
    stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
    bench.until_ready(socket).await;
    let connected = bench.call(socket, "finish-connect", &[]).await;
    let Val::Result(Ok(Some(streams))) = connected else {
        panic!("{connected:?}");
    };
    let Val::Tuple(streams) = *streams else {
        panic!("{streams:?}");
    };
    let Val::Resource(input) = streams[0] else {
        panic!("{streams:?}");
    };
    let input: Resource<DynInputStream> = input.try_into_resource(&mut bench.store).unwrap();
    let read = |bench: &mut Bench| {
        let table = &mut bench.store.data_mut().table;
        table.get_mut(&input).unwrap().read(1)
    };
    assert!(read(&mut bench).unwrap().is_empty());
    let handle = handle.into_inner().unwrap().unwrap();
    handle.replace(Policy::new());
    let ended = read(&mut bench);
    assert!(
        matches!(ended, Err(StreamError::LastOperationFailed(_))),
        "{ended:?}"
    );
}

#[tokio::test]
async fn what_is_local_is_reached_directly() {
    let (mut bench, proxy, _) = bench(|all| all).await;
    proxy.set_nonblocking(true).unwrap();
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = server.local_addr().unwrap();
    let socket = bench.begin(&at.to_string()).await;
    bench.until_ready(socket).await;
    assert_eq!(bench.finish(socket).await, "Ok(resources)");
    let (_client, from) = server.accept().unwrap();
    assert_eq!(bench.store.data().sockbox.proxied_by(from), None);
    assert!(proxy.accept().is_err());
}

#[tokio::test]
async fn dropping_the_socket_closes_the_connection() {
    let (mut bench, proxy, _) = bench(|all| all).await;
    let socket = bench.begin(SERVER).await;
    let (mut stream, _) = proxy.accept().unwrap();
    bench.asked(socket, &mut stream).await;
    bench.drop_socket(socket);
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
    assert!(bench.store.data().sockbox.sockets.tunnels.is_empty());
}

#[tokio::test]
async fn one_refusal_of_the_credentials_is_enough() {
    let (mut bench, proxy, told) = bench(|all| all).await;
    for attempt in 0..2 {
        let socket = bench.begin(SERVER).await;
        if attempt == 0 {
            let (mut stream, _) = proxy.accept().unwrap();
            bench.asked(socket, &mut stream).await;
            stream.write_all(b"HTTP/1.1 407 No\r\n\r\n").unwrap();
        }
        bench.until_ready(socket).await;
        assert_eq!(bench.finish(socket).await, error("remote-unreachable"));
    }
    proxy.set_nonblocking(true).unwrap();
    assert!(proxy.accept().is_err());
    let told = told.lock().unwrap();
    let asked = told.iter().filter(|line| line.starts_with("proxy: "));
    assert_eq!(asked.count(), 1, "{told:?}");
}

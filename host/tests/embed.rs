//! The library as an embedder uses it, on the loopback interface, with nothing but the standard
//! library at the other end.

use sockbox::policy::{Rule, Target};
use sockbox::{
    AuditEvent, CloseReason, Error, Event, Instance, Limits, NetworkError, Policy, Request,
    Sandbox, ServeOptions, Server, Stage, Wasi,
};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Long enough for anything here, on any machine; reached only by what hangs.
const DEADLINE: Duration = Duration::from_secs(60);

/// Long enough for a mistake to show, short enough to wait for in a test that expects it not to.
const MOMENT: Duration = Duration::from_millis(50);

/// An HTTP server for one connection, which gets the request's head and answers as it likes.
struct Peer {
    url: String,
    address: SocketAddr,
    thread: JoinHandle<io::Result<Vec<u8>>>,
}

impl Peer {
    /// Answer with these bytes, and close.
    fn answering(answer: impl Into<Vec<u8>>) -> Peer {
        let answer = answer.into();
        Peer::doing(move |stream| stream.write_all(&answer))
    }

    fn doing(answer: impl FnOnce(&mut TcpStream) -> io::Result<()> + Send + 'static) -> Peer {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let thread = thread::spawn(move || {
            let (mut stream, _) = listener.accept()?;
            stream.set_read_timeout(Some(DEADLINE))?;
            stream.set_write_timeout(Some(DEADLINE))?;
            let request = read_head(&mut stream)?;
            answer(&mut stream)?;
            Ok(request)
        });
        Peer {
            url: format!("http://{address}/page"),
            address,
            thread,
        }
    }

    /// The head of the request that came.
    fn request(self) -> String {
        String::from_utf8(self.thread.join().unwrap().unwrap()).unwrap()
    }
}

fn read_head(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    Ok(head)
}

fn response(body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

/// Bytes that aren't all the same, so that a piece that is lost or swapped shows.
fn page(length: usize) -> Vec<u8> {
    (0..length).map(|n| (n * 7 + n / 251) as u8).collect()
}

async fn instance(policy: Policy) -> Instance {
    let sandbox = Sandbox::new().unwrap();
    sandbox.instance().policy(policy).build().await.unwrap()
}

async fn granted(url: &str) -> Instance {
    instance(Policy::new().allow_url(url).unwrap()).await
}

/// A writer whose bytes can be seen after it was given away.
#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Shared {
    fn bytes(&self) -> Vec<u8> {
        self.0.lock().unwrap().clone()
    }
}

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_page_is_fetched_chunk_by_chunk() {
    let body = page(300_000);
    let peer = Peer::answering(response(&body));
    let mut instance = granted(&peer.url).await;
    let mut response = instance.fetch(Request::get(&peer.url)).await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.reason(), "OK");
    assert_eq!(response.minor_version(), 1);
    assert_eq!(response.header("content-length"), Some(&b"300000"[..]));
    assert_eq!(response.content_length(), Some(300_000));
    assert_eq!(response.url(), peer.url);
    assert_eq!(response.remote_address(), peer.address);
    assert!(response.local_address().ip().is_loopback());
    assert!(response.raw_head().starts_with(b"HTTP/1.1 200 OK\r\n"));
    assert!(response.raw_head().ends_with(b"\r\n\r\n"));

    let mut received = Vec::new();
    while let Some(chunk) = response.chunk().await.unwrap() {
        assert!((1..=65536).contains(&chunk.len()), "{}", chunk.len());
        received.extend_from_slice(&chunk);
    }
    assert!(received == body);
    assert_eq!(response.chunk().await.unwrap(), None);
    assert_eq!(response.trailers().await.unwrap(), []);
    response.close().await.unwrap();

    let request = peer.request();
    assert!(request.starts_with("GET /page HTTP/1.1\r\n"), "{request:?}");
    assert!(request.contains("\r\nConnection: close\r\n"), "{request:?}");
}

#[tokio::test]
async fn a_page_is_written_to_a_writer() {
    // More than one step of the component's, and not a whole number of them.
    let body = page(9 * 1024 * 1024 + 1);
    let peer = Peer::answering(response(&body));
    let mut instance = granted(&peer.url).await;
    let mut response = instance.fetch(Request::get(&peer.url)).await.unwrap();
    let output = Shared::default();
    let mut told = Vec::new();
    let written = response
        .write_to_with_progress(output.clone(), |bytes| told.push(bytes))
        .await
        .unwrap();
    assert_eq!(written, body.len() as u64);
    assert!(output.bytes() == body);
    assert_eq!(told.last(), Some(&written));
    assert!(told.is_sorted(), "{told:?}");
    peer.request();
}

#[tokio::test]
async fn chunked_bodies_are_decoded_and_their_trailers_kept() {
    let peer = Peer::answering(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
         5\r\nhello\r\n7;ext\r\n, world\r\n0\r\nX-Sum: 12\r\n\r\n",
    );
    let mut instance = granted(&peer.url).await;
    let mut response = instance.fetch(Request::get(&peer.url)).await.unwrap();
    assert_eq!(response.content_length(), None);
    let output = Shared::default();
    assert_eq!(response.write_to(output.clone()).await.unwrap(), 12);
    assert_eq!(output.bytes(), b"hello, world");
    let trailers = response.trailers().await.unwrap();
    assert_eq!(trailers.len(), 1);
    assert_eq!(trailers[0].name, "X-Sum");
    assert_eq!(trailers[0].value, b"12");
    peer.request();
}

#[tokio::test]
async fn a_body_is_sent() {
    let peer = Peer::doing(|stream| {
        let mut body = [0; 5];
        stream.read_exact(&mut body)?;
        stream.write_all(&response(&body))
    });
    let mut instance = granted(&peer.url).await;
    let request = Request::new("POST", &peer.url)
        .header("X-Test", "yes")
        .body("hello");
    let mut response = instance.fetch(request).await.unwrap();
    let output = Shared::default();
    response.write_to(output.clone()).await.unwrap();
    assert_eq!(output.bytes(), b"hello");
    let request = peer.request();
    assert!(
        request.starts_with("POST /page HTTP/1.1\r\n"),
        "{request:?}"
    );
    assert!(request.contains("\r\nX-Test: yes\r\n"), "{request:?}");
    assert!(request.contains("\r\nContent-Length: 5\r\n"), "{request:?}");
}

#[tokio::test]
async fn a_body_is_sent_from_a_reader() {
    let sent = page(200_000);
    let expected = sent.clone();
    let peer = Peer::doing(move |stream| {
        let mut body = vec![0; expected.len()];
        stream.read_exact(&mut body)?;
        assert!(body == expected);
        stream.write_all(&response(b"thanks"))
    });
    let mut instance = granted(&peer.url).await;
    let length = Some(sent.len() as u64);
    let request = Request::new("PUT", &peer.url).body_reader(io::Cursor::new(sent), length);
    let mut response = instance.fetch(request).await.unwrap();
    assert_eq!(
        response.chunk().await.unwrap().as_deref(),
        Some(&b"thanks"[..])
    );
    drop(response);
    peer.request();
}

#[tokio::test]
async fn one_instance_fetches_page_after_page() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let served = thread::spawn(move || {
        for n in 0..3 {
            let (mut stream, _) = listener.accept().unwrap();
            read_head(&mut stream).unwrap();
            stream
                .write_all(&response(format!("page {n}").as_bytes()))
                .unwrap();
            // Ends when the client has closed its side too, dropped response or not.
            let _ = stream.read(&mut [0]);
        }
    });
    let mut instance = granted(&url).await;
    // The first response is read, the second given up, and the third read.
    for (n, read) in [(0, true), (1, false), (2, true)] {
        let mut response = instance.fetch(Request::get(&url)).await.unwrap();
        if read {
            let chunk = response.chunk().await.unwrap();
            assert_eq!(chunk, Some(format!("page {n}").into()));
            response.close().await.unwrap();
        }
    }
    served.join().unwrap();
}

#[tokio::test]
async fn a_body_cut_short_is_an_error_and_what_came_is_written() {
    let peer = Peer::answering("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
    let mut instance = granted(&peer.url).await;
    let mut response = instance.fetch(Request::get(&peer.url)).await.unwrap();
    let output = Shared::default();
    let failed = response.write_to(output.clone()).await;
    assert!(
        matches!(
            failed,
            Err(Error::IncompleteBody {
                received: 5,
                expected: Some(10)
            })
        ),
        "{failed:?}"
    );
    assert_eq!(output.bytes(), b"hello");
    peer.request();
}

#[tokio::test]
async fn a_writers_error_comes_back() {
    struct Full;
    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    // Far more than waits for a writer, and less.
    for length in [1, 8 * 1024 * 1024] {
        let peer = Peer::doing(move |stream| {
            // The client may be gone before all of it is sent.
            let _ = stream.write_all(&response(&page(length)));
            Ok(())
        });
        let mut instance = granted(&peer.url).await;
        let mut response = instance.fetch(Request::get(&peer.url)).await.unwrap();
        let failed = response.write_to(Full).await;
        assert!(
            matches!(&failed, Err(Error::Write { source }) if source.kind() == ErrorKind::StorageFull),
            "{length}: {failed:?}"
        );
        response.close().await.unwrap();
        peer.request();
    }
}

#[tokio::test]
async fn nothing_arrives_without_a_grant() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let other_port = SocketAddr::new(address.ip(), address.port() ^ 1);

    let url = format!("http://{address}/");
    let named = format!("http://localhost:{}/", address.port());
    let by_name = |error: &Error| {
        matches!(
            error,
            Error::Denied {
                target: Target::Resolve(_),
                ..
            }
        )
    };
    let by_address = |error: &Error| matches!(error, Error::Denied { target: Target::Connect(to), .. } if *to == address);
    type Check<'a> = &'a dyn Fn(&Error) -> bool;
    let table: [(Policy, &str, Check<'_>); 5] = [
        (Policy::new(), &url, &by_address),
        (Policy::new().allow_connect(other_port), &url, &by_address),
        (Policy::new().allow_listen(address), &url, &by_address),
        (Policy::new(), &named, &by_name),
        // The address is granted, and its name isn't.
        (Policy::new().allow_connect(address), &named, &by_name),
    ];
    for (policy, url, expected) in table {
        let mut instance = instance(policy.clone()).await;
        let error = instance
            .fetch(Request::get(url))
            .await
            .map(|_| ())
            .unwrap_err();
        assert!(expected(&error), "{policy:?} {url}: {error:?}");
        assert!(error.to_string().contains("--allow-net"), "{error}");
    }
    // Connections are accepted in the order that they arrived in: ours is the first.
    let ours = TcpStream::connect(address).unwrap();
    let (_, first) = listener.accept().unwrap();
    assert_eq!(first, ours.local_addr().unwrap(), "a connection arrived");

    // And the same way, granted, something does arrive: the proof above is one.
    let mut granted = granted(&url).await;
    let fetch = granted.fetch(Request::get(&url).first_byte_timeout(MOMENT));
    let failed = fetch.await.map(|_| ());
    assert!(
        matches!(
            failed,
            Err(Error::Timeout {
                stage: Stage::FirstByte,
                ..
            })
        ),
        "{failed:?}"
    );
    listener.accept().unwrap();
}

#[tokio::test]
async fn a_granted_name_is_looked_up_and_connected_to() {
    let peer = Peer::answering(response(b"hello"));
    let url = format!("http://localhost:{}/", peer.address.port());
    let decisions = Arc::new(Mutex::new(Vec::new()));
    let sink = {
        let decisions = decisions.clone();
        move |event: &AuditEvent| decisions.lock().unwrap().push(event.clone())
    };
    let sandbox = Sandbox::new().unwrap();
    let mut instance = sandbox
        .instance()
        .policy(Policy::new().allow_url(&url).unwrap())
        .audit(sink)
        .build()
        .await
        .unwrap();
    let run = instance.run_id();
    let response = instance.fetch(Request::get(&url)).await.unwrap();
    assert_eq!(response.remote_address(), peer.address);
    drop(response);
    peer.request();

    let decisions = decisions.lock().unwrap();
    assert!(!decisions.is_empty());
    for event in decisions.iter() {
        assert!(event.verdict.is_allowed(), "{event}");
        assert_eq!(event.run, run);
    }
    let told: Vec<_> = decisions.iter().map(|event| event.to_string()).collect();
    assert!(
        told[0].starts_with("allowed: look up localhost, by: connect localhost:"),
        "{told:?}"
    );
    assert!(
        told.iter()
            .any(|line| line.contains("(localhost), by: connect localhost:")),
        "{told:?}"
    );
}

#[tokio::test]
async fn a_name_that_does_not_exist_is_told_apart_from_a_refusal() {
    // RFC 6761 section 6.4: no resolver finds anything here.
    let url = "http://nothing.invalid/";
    let mut instance = granted(url).await;
    let error = instance
        .fetch(Request::get(url))
        .await
        .map(|_| ())
        .unwrap_err();
    assert!(
        matches!(&error, Error::ResolveFailed { host, .. } if host == "nothing.invalid"),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_port_that_nobody_listens_on_refuses() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let url = format!("http://{address}/");
    let mut instance = granted(&url).await;
    let error = instance
        .fetch(Request::get(&url))
        .await
        .map(|_| ())
        .unwrap_err();
    let Error::ConnectFailed { host, attempts } = &error else {
        panic!("{error:?}");
    };
    assert_eq!(host, "127.0.0.1");
    assert_eq!(attempts.len(), 1);
    assert_eq!(attempts[0].address, address);
    assert_eq!(attempts[0].reason, NetworkError::ConnectionRefused);
}

#[tokio::test]
async fn what_the_component_refuses_is_told() {
    for (request, expected) in [
        (Request::get("https://127.0.0.1/"), "UnsupportedScheme"),
        (Request::get("http://a b/"), "InvalidUrl"),
        (
            Request::get("http://127.0.0.1/").header("Connection", "keep-alive"),
            "InvalidRequest",
        ),
        (
            Request::new("CONNECT", "http://127.0.0.1/"),
            "InvalidRequest",
        ),
    ] {
        let shown = format!("{request:?}");
        let mut instance = instance(Policy::new()).await;
        let error = instance.fetch(request).await.map(|_| ()).unwrap_err();
        assert!(
            format!("{error:?}").starts_with(expected),
            "{shown}: {error:?}"
        );
    }
}

#[tokio::test]
async fn an_abandoned_instance_says_so() {
    let (hang_up, hung_up) = mpsc::channel::<()>();
    let peer = Peer::doing(move |_| {
        let _ = hung_up.recv();
        Ok(())
    });
    let mut instance = granted(&peer.url).await;
    let fetch = instance.fetch(Request::get(&peer.url));
    assert!(tokio::time::timeout(MOMENT, fetch).await.is_err());
    let error = instance
        .fetch(Request::get(&peer.url))
        .await
        .map(|_| ())
        .unwrap_err();
    assert!(matches!(error, Error::Abandoned), "{error:?}");
    drop(instance);
    drop(hang_up);
    peer.request();
}

#[tokio::test]
async fn a_run_is_over_when_its_wall_time_is() {
    let (hang_up, hung_up) = mpsc::channel::<()>();
    let peer = Peer::doing(move |_| {
        let _ = hung_up.recv();
        Ok(())
    });
    let mut limits = Limits::default();
    limits.wall_time = Some(MOMENT);
    let sandbox = Sandbox::new().unwrap();
    let mut instance = sandbox
        .instance()
        .policy(Policy::new().allow_url(&peer.url).unwrap())
        .limits(limits)
        .build()
        .await
        .unwrap();
    let error = instance
        .fetch(Request::get(&peer.url))
        .await
        .map(|_| ())
        .unwrap_err();
    assert!(
        matches!(error, Error::WallTime { limit } if limit == MOMENT),
        "{error:?}"
    );
    drop(hang_up);
    peer.request();
}

#[tokio::test]
async fn a_component_that_may_have_no_memory_does_not_start() {
    let mut limits = Limits::default();
    limits.memory_bytes = 0;
    let sandbox = Sandbox::new().unwrap();
    let error = sandbox
        .instance()
        .limits(limits)
        .build()
        .await
        .map(|_| ())
        .unwrap_err();
    assert!(
        matches!(error, Error::MemoryLimit { limit: 0 }),
        "{error:?}"
    );
}

async fn serve_on(addresses: &[SocketAddr]) -> sockbox::Result<Server> {
    let mut policy = Policy::new();
    let mut options = ServeOptions::new();
    for address in addresses {
        policy = policy.allow_listen(*address);
        options = options.listen(*address);
    }
    instance(policy).await.serve(options).await
}

fn loopback() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

fn ask(address: SocketAddr, message: &'static str) -> JoinHandle<io::Result<String>> {
    thread::spawn(move || {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(DEADLINE))?;
        stream.write_all(message.as_bytes())?;
        stream.shutdown(Shutdown::Write)?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    })
}

#[tokio::test]
async fn a_server_answers_and_tells_of_it() {
    let mut server = serve_on(&[loopback()]).await.unwrap();
    let [address] = *server.addresses() else {
        panic!("{:?}", server.addresses());
    };
    assert_ne!(address.port(), 0);
    let client = ask(address, "Michael\nTracy\nexit\n");

    let Some(Event::Opened(opened)) = server.next().await.unwrap() else {
        panic!("not opened");
    };
    assert_eq!((opened.id, opened.local), (1, address));
    let Some(Event::Closed(closed)) = server.next().await.unwrap() else {
        panic!("not closed");
    };
    assert_eq!(closed.id, 1);
    assert_eq!((closed.local, closed.remote), (address, opened.remote));
    assert_eq!(closed.reason, CloseReason::Exit);
    assert_eq!(closed.messages, 2);
    let answer = client.join().unwrap().unwrap();
    assert_eq!(answer, "Hello, Michael!\nHello, Tracy!\n");
    assert_eq!(closed.bytes_sent, answer.len() as u64);

    let handle = server.handle();
    let now = handle.summary().await.unwrap();
    assert_eq!((now.accepted, now.open, now.messages), (1, 0, 2));
    handle.stop(DEADLINE);
    let last = server.finish().await.unwrap();
    assert_eq!((last.accepted, last.messages), (1, 2));
    assert_eq!(handle.summary().await, Some(last));
    TcpStream::connect(address).unwrap_err();
}

#[tokio::test]
async fn waiting_for_an_event_can_be_given_up() {
    let mut server = serve_on(&[loopback()]).await.unwrap();
    let address = server.addresses()[0];
    for _ in 0..3 {
        let waited = tokio::time::timeout(Duration::from_millis(5), server.next()).await;
        assert!(waited.is_err(), "{waited:?}");
    }
    let client = ask(address, "Michael");
    let mut seen = 0;
    while seen < 2 {
        if let Ok(event) = tokio::time::timeout(Duration::from_millis(5), server.next()).await {
            event.unwrap().unwrap();
            seen += 1;
        }
    }
    assert_eq!(client.join().unwrap().unwrap(), "Hello, Michael!");
}

#[tokio::test]
async fn stopping_lets_no_connection_live_longer_than_its_drain_time() {
    let mut server = serve_on(&[loopback()]).await.unwrap();
    let mut silent = TcpStream::connect(server.addresses()[0]).unwrap();
    silent.set_read_timeout(Some(DEADLINE)).unwrap();
    assert!(matches!(
        server.next().await.unwrap(),
        Some(Event::Opened(_))
    ));
    server.handle().stop(Duration::ZERO);
    let Some(Event::Closed(closed)) = server.next().await.unwrap() else {
        panic!("not closed");
    };
    assert_eq!(closed.reason, CloseReason::Stopped);
    assert_eq!(server.next().await.unwrap(), None);
    assert_eq!(server.next().await.unwrap(), None);
    assert_eq!(server.finish().await.unwrap().open, 0);
    assert_eq!(silent.read(&mut [0]).unwrap_or(0), 0);
}

#[tokio::test]
async fn dropping_a_server_closes_everything() {
    let mut server = serve_on(&[loopback()]).await.unwrap();
    let address = server.addresses()[0];
    let handle = server.handle();
    let mut client = TcpStream::connect(address).unwrap();
    client.set_read_timeout(Some(DEADLINE)).unwrap();
    assert!(matches!(
        server.next().await.unwrap(),
        Some(Event::Opened(_))
    ));
    drop(server);
    let closed = tokio::task::spawn_blocking(move || client.read(&mut [0]).unwrap_or(0));
    assert_eq!(closed.await.unwrap(), 0);
    TcpStream::connect(address).unwrap_err();
    assert_eq!(handle.summary().await, None);
    handle.stop(Duration::ZERO);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_clients_are_served_at_once() {
    let mut listen = vec![loopback()];
    let ipv6: SocketAddr = "[::1]:0".parse().unwrap();
    if TcpListener::bind(ipv6).is_ok() {
        listen.push(ipv6);
    } else {
        eprintln!("this machine has no IPv6: served on IPv4 alone");
    }
    let server = serve_on(&listen).await.unwrap();
    let addresses = server.addresses().to_vec();
    let handle = server.handle();
    let done = tokio::spawn(server.finish());
    let clients: Vec<_> = (0..100)
        .map(|n| ask(addresses[n % addresses.len()], "Michael\nTracy"))
        .collect();
    for client in clients {
        let answer = client.join().unwrap().unwrap();
        assert_eq!(answer, "Hello, Michael!\nHello, Tracy!");
    }
    handle.stop(DEADLINE);
    let summary = done.await.unwrap().unwrap();
    assert_eq!((summary.accepted, summary.messages), (100, 200));
}

#[tokio::test]
async fn an_address_that_is_not_granted_is_not_listened_on() {
    for policy in [
        Policy::new(),
        Policy::new().allow_connect("127.0.0.1:1".parse().unwrap()),
        Policy::new().allow_listen("127.0.0.2:0".parse().unwrap()),
    ] {
        let instance = instance(policy.clone()).await;
        let error = instance
            .serve(ServeOptions::new().listen(loopback()))
            .await
            .map(|_| ())
            .unwrap_err();
        assert!(
            matches!(&error, Error::Denied { target: Target::Listen(at), .. } if *at == loopback()),
            "{policy:?}: {error:?}"
        );
    }
}

#[tokio::test]
async fn an_address_that_cannot_be_had_is_told() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().map(|address| (taken, address)).unwrap();
    for (address, expected) in [
        (taken.1, NetworkError::AddressInUse),
        // RFC 5737: an address of no machine.
        (
            "192.0.2.1:0".parse().unwrap(),
            NetworkError::AddressNotBindable,
        ),
    ] {
        // The first one is good, and must not be left behind.
        let error = serve_on(&[loopback(), address])
            .await
            .map(|_| ())
            .unwrap_err();
        assert!(
            matches!(error, Error::ListenFailed { address: at, reason } if at == address && reason == expected),
            "{error:?}"
        );
    }
    let error = serve_on(&[]).await.map(|_| ()).unwrap_err();
    assert!(matches!(error, Error::InvalidOptions { .. }), "{error:?}");
}

/// A component in text: `run` does what `body` says, and gives what it leaves on the stack.
fn command(body: &str) -> String {
    format!(
        r#"(component
            (core module $module
                (memory (export "memory") 1)
                (func $run (export "run") (result i32) {body}))
            (core instance $core (instantiate $module))
            (func $run (result (result)) (canon lift (core func $core "run")))
            (instance $export (export "run" (func $run)))
            (export "wasi:cli/run@0.2.0" (instance $export)))"#
    )
}

#[tokio::test]
async fn any_command_runs_within_its_limits() {
    let sandbox = Sandbox::new().unwrap();
    let run = async |body: &str, limits: Limits| {
        let program = sandbox.program(command(body)).unwrap();
        program.command().limits(limits).run().await
    };
    let defaults = Limits::default;
    assert_eq!(run("i32.const 0", defaults()).await.unwrap(), 0);
    assert_eq!(run("i32.const 1", defaults()).await.unwrap(), 1);

    let error = run("unreachable", defaults()).await.unwrap_err();
    let Error::Trapped { reason, backtrace } = &error else {
        panic!("{error:?}");
    };
    assert!(reason.contains("unreachable"), "{reason}");
    assert!(
        backtrace
            .as_ref()
            .is_some_and(|frames| frames.contains("run")),
        "{backtrace:?}"
    );

    let mut limits = defaults();
    limits.wall_time = Some(MOMENT);
    let error = run("(loop (br 0)) unreachable", limits).await.unwrap_err();
    assert!(matches!(error, Error::WallTime { .. }), "{error:?}");

    let mut limits = defaults();
    limits.memory_bytes = 3 * 65536;
    let grow = |pages| {
        format!(
            "(if (i32.eq (memory.grow (i32.const {pages})) (i32.const -1)) (then unreachable)) i32.const 0"
        )
    };
    assert_eq!(run(&grow(2), limits.clone()).await.unwrap(), 0);
    let error = run(&grow(3), limits).await.unwrap_err();
    assert!(
        matches!(error, Error::MemoryLimit { limit: 196_608 }),
        "{error:?}"
    );
}

#[tokio::test]
async fn what_cannot_be_run_is_named() {
    let sandbox = Sandbox::new().unwrap();
    for (text, expected) in [
        ("(module)", "it is a core module"),
        ("(component)", "it is not a command"),
        (
            r#"(component (import "example:own/thing@1.0.0" (instance (export "f" (func)))))"#,
            "it imports `example:own/thing@1.0.0`, which sockbox does not provide",
        ),
        ("hello", "it is not WebAssembly"),
    ] {
        let error = sandbox.program(text).map(|_| ()).unwrap_err();
        assert!(error.to_string().starts_with(expected), "{text}: {error}");
    }
    let error = sandbox
        .program_file("missing.wasm")
        .map(|_| ())
        .unwrap_err();
    assert!(matches!(error, Error::Read { .. }), "{error:?}");
}

#[tokio::test]
async fn another_build_of_the_component_can_be_taken() {
    let sandbox = Sandbox::builder()
        .component_bytes(Sandbox::component(Wasi::V0_2))
        .build()
        .unwrap();
    let peer = Peer::answering(response(b"hello"));
    let mut instance = sandbox
        .instance()
        .policy(Policy::new().grant(Rule::Everything))
        .build()
        .await
        .unwrap();
    let mut response = instance.fetch(Request::get(&peer.url)).await.unwrap();
    assert_eq!(
        response.chunk().await.unwrap().as_deref(),
        Some(&b"hello"[..])
    );
    drop(response);
    peer.request();

    let error = Sandbox::builder()
        .wasi(Wasi::V0_3)
        .component_bytes(Sandbox::component(Wasi::V0_2))
        .build()
        .map(|_| ())
        .unwrap_err();
    assert!(matches!(error, Error::NotRunnable { .. }), "{error:?}");

    let error = Sandbox::builder()
        .component_bytes(command("i32.const 0"))
        .build()
        .map(|_| ())
        .unwrap_err();
    assert!(matches!(error, Error::NotRunnable { .. }), "{error:?}");
}

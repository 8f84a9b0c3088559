//! Serving.

use crate::{DEADLINE, MOMENT, instance};
use sockbox::policy::Target;
use sockbox::{
    CloseReason, Error, Event, Framing, Limits, NetworkError, Policy, RefuseReason, Sandbox,
    ServeOptions, Server,
};
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

async fn serve_on(addresses: &[SocketAddr]) -> sockbox::Result<Server> {
    let mut policy = Policy::new();
    let mut options = ServeOptions::new();
    for address in addresses {
        policy = policy.allow_listen(*address);
        options = options.listen(*address);
    }
    instance(policy).await.serve(options).await
}

pub fn loopback() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

pub fn ask(address: SocketAddr, message: &'static str) -> JoinHandle<io::Result<String>> {
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
    let now = handle.stats().await.unwrap();
    assert_eq!((now.accepted, now.open, now.messages), (1, 0, 2));
    handle.stop(DEADLINE);
    let last = server.finish().await.unwrap();
    assert_eq!((last.accepted, last.messages), (1, 2));
    assert_eq!(handle.stats().await, Some(last));
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
    assert_eq!(handle.stats().await, None);
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

/// A server whose instance has these limits.
async fn serve_within(limits: Limits, options: ServeOptions) -> sockbox::Result<Server> {
    let sandbox = Sandbox::new().unwrap();
    let policy = Policy::new().allow_listen(loopback());
    let instance = sandbox.instance().policy(policy).limits(limits);
    instance.build().await?.serve(options).await
}

#[tokio::test]
async fn a_trap_is_an_error_and_the_end_of_every_connection() {
    let mut limits = Limits::default();
    // A listening socket, and what two connections take.
    limits.resources = 16;
    let options = ServeOptions::new().listen(loopback()).max_connections(100);
    let mut server = serve_within(limits, options).await.unwrap();
    // The limits allow no more, independent of the requested number.
    assert_eq!(server.max_connections(), 2);
    drop(server);

    let mut limits = Limits::default();
    limits.memory_bytes = 1536 * 1024;
    let options = ServeOptions::new()
        .listen(loopback())
        .max_message_size(10 << 20);
    server = serve_within(limits, options).await.unwrap();
    let address = server.addresses()[0];
    let handle = server.handle();
    let client = thread::spawn(move || {
        let mut client = TcpStream::connect(address).unwrap();
        client.set_read_timeout(Some(DEADLINE)).unwrap();
        // It may end in the middle.
        let _ = client.write_all(&[b'x'; 1 << 20]);
        client.read(&mut [0]).unwrap_or(0)
    });
    let error = loop {
        match server.next().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("it has stopped"),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, Error::MemoryLimit { .. }), "{error:?}");
    assert_eq!(handle.stats().await, None);
    drop(server);
    assert_eq!(client.join().unwrap(), 0);
    TcpStream::connect(address).unwrap_err();
}

#[tokio::test]
async fn sockets_are_counted_and_bounded() {
    let mut limits = Limits::default();
    limits.sockets = 4;
    let options = ServeOptions::new()
        .listen(loopback())
        .refuse_when_full(true);
    let mut server = serve_within(limits.clone(), options).await.unwrap();
    assert_eq!(server.max_connections(), 3);
    let handle = server.handle();
    assert_eq!(handle.stats().await.unwrap().sockets, 1);
    let address = server.addresses()[0];
    let client = TcpStream::connect(address).unwrap();
    assert!(matches!(
        server.next().await.unwrap(),
        Some(Event::Opened(_))
    ));
    let now = handle.stats().await.unwrap();
    assert_eq!((now.open, now.sockets), (1, 2));
    drop(client);
    assert!(matches!(
        server.next().await.unwrap(),
        Some(Event::Closed(_))
    ));
    assert_eq!(handle.stats().await.unwrap().sockets, 1);
    handle.stop(Duration::ZERO);
    assert_eq!(server.finish().await.unwrap().sockets, 0);

    // As many listening sockets as there may be sockets leave none to accept with.
    let options = (0..4).fold(ServeOptions::new(), |options, _| options.listen(loopback()));
    let mut server = serve_within(limits.clone(), options).await.unwrap();
    let _client = TcpStream::connect(server.addresses()[3]).unwrap();
    let Some(Event::AcceptFailed(failed)) = server.next().await.unwrap() else {
        panic!("it was accepted");
    };
    assert_eq!(failed.listen, server.addresses()[3]);
    assert_eq!(failed.reason, NetworkError::NoSocketsLeft);
    let options = (0..5).fold(ServeOptions::new(), |options, _| options.listen(loopback()));
    let error = serve_within(limits, options).await.map(|_| ()).unwrap_err();
    assert!(
        matches!(&error, Error::ListenFailed { reason, .. } if *reason == NetworkError::NoSocketsLeft),
        "{error:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_socket_that_listens_already_is_served_if_its_address_is_granted() {
    let listener = Arc::new(TcpListener::bind(loopback()).unwrap());
    let address = listener.local_addr().unwrap();
    // Before there is a server.
    let early = ask(address, "early");
    let sandbox = Sandbox::new().unwrap();
    let options = ServeOptions::new().listener(listener.clone());

    let instance = sandbox.instance().build().await.unwrap();
    let error = instance.serve(options.clone()).await.map(|_| ());
    assert!(
        matches!(&error, Err(Error::Denied { target: Target::Listen(at), .. }) if *at == address),
        "{error:?}"
    );

    let policy = Policy::new().allow_listen(address).allow_listen(loopback());
    let instance = sandbox.instance().policy(policy).build().await.unwrap();
    let mut server = instance.serve(options.listen(loopback())).await.unwrap();
    let [own, inherited] = *server.addresses() else {
        panic!("{:?}", server.addresses());
    };
    assert_eq!(inherited, address);
    let Some(Event::Opened(opened)) = server.next().await.unwrap() else {
        panic!("not opened");
    };
    assert_eq!(opened.local, address);
    let handle = server.handle();
    let done = tokio::spawn(server.finish());
    assert_eq!(early.join().unwrap().unwrap(), "Hello, early!");
    for address in [own, inherited] {
        let answer = ask(address, "a\nb\n").join().unwrap().unwrap();
        assert_eq!(answer, "Hello, a!\nHello, b!\n", "{address}");
    }
    handle.stop(DEADLINE);
    let summary = done.await.unwrap().unwrap();
    assert_eq!((summary.accepted, summary.sockets), (3, 0));
    // The embedder's listener continues to listen.
    TcpStream::connect(address).unwrap();
}

#[tokio::test]
async fn clients_are_turned_away_and_told_of() {
    let options = ServeOptions::new()
        .listen(loopback())
        .framing(Framing::Line)
        .greeting("Ahoy")
        .welcome("Welcome!")
        .max_connections(1)
        .refuse_when_full(true);
    let mut server = serve_within(Limits::default(), options).await.unwrap();
    assert_eq!(server.max_connections(), 1);
    let address = server.addresses()[0];
    let mut one = TcpStream::connect(address).unwrap();
    assert!(matches!(
        server.next().await.unwrap(),
        Some(Event::Opened(_))
    ));
    let two = ask(address, "");
    let Some(Event::Refused(refused)) = server.next().await.unwrap() else {
        panic!("not refused");
    };
    assert_eq!(refused.local, address);
    assert_eq!(refused.reason, RefuseReason::Full);
    assert_eq!(two.join().unwrap().unwrap(), "too many connections\n");
    let handle = server.handle();
    let now = handle.stats().await.unwrap();
    assert_eq!((now.accepted, now.refused, now.open), (1, 1, 1));
    one.write_all(b"Michael\n").unwrap();
    one.shutdown(Shutdown::Write).unwrap();
    let reading = thread::spawn(move || {
        let mut answer = String::new();
        one.read_to_string(&mut answer).map(|_| answer)
    });
    assert!(matches!(
        server.next().await.unwrap(),
        Some(Event::Closed(_))
    ));
    assert_eq!(
        reading.join().unwrap().unwrap(),
        "Welcome!\nAhoy, Michael!\n"
    );
}

#[tokio::test]
async fn a_client_that_takes_no_answers_is_closed_in_time() {
    let options = ServeOptions::new()
        .listen(loopback())
        .write_timeout(Some(MOMENT));
    let mut server = serve_within(Limits::default(), options).await.unwrap();
    let address = server.addresses()[0];
    let client = thread::spawn(move || {
        let mut client = TcpStream::connect(address).unwrap();
        let messages = b"this answer is not read\n".repeat(1000);
        while client.write_all(&messages).is_ok() {}
    });
    assert!(matches!(
        server.next().await.unwrap(),
        Some(Event::Opened(_))
    ));
    let Some(Event::Closed(closed)) = server.next().await.unwrap() else {
        panic!("not closed");
    };
    assert_eq!(closed.reason, CloseReason::WriteTimeout);
    // The client sees the end, and the host's count shows that the socket is closed too.
    client.join().unwrap();
    let handle = server.handle();
    assert_eq!(handle.stats().await.unwrap().sockets, 1);
}

#[tokio::test]
async fn options_that_make_no_sense_are_refused() {
    for options in [
        ServeOptions::new(),
        ServeOptions::new().listen(loopback()).max_connections(0),
        ServeOptions::new().listen(loopback()).max_per_peer(0),
        ServeOptions::new().listen(loopback()).greeting("a\nb"),
    ] {
        let served = serve_within(Limits::default(), options.clone()).await;
        let error = served.map(|_| ()).unwrap_err();
        assert!(
            matches!(error, Error::InvalidOptions { .. }),
            "{options:?}: {error:?}"
        );
    }
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
        // Listening on the first address succeeds, and must be undone.
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

//! Serving.

use crate::{DEADLINE, instance};
use sockbox::policy::Target;
use sockbox::{CloseReason, Error, Event, NetworkError, Policy, ServeOptions, Server};
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
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

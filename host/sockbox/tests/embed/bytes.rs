//! Bytes: their limits, and their count.

use crate::limits::{Record, builder, fetch, instance, is_exhausted, page_of, until};
use crate::peer::{Peer, page, response};
use crate::serve::{ask, loopback};
use crate::{DEADLINE, MOMENT};
use sockbox::limits::Limit;
use sockbox::policy::Target;
use sockbox::{Limits, Policy, Request, ServeOptions};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

#[tokio::test]
async fn as_much_is_received_as_may_be_and_not_a_byte_more() {
    let body = page(200_000);
    let until_closed = [&b"HTTP/1.1 200 OK\r\n\r\n"[..], &body].concat();
    for answer in [response(&body), until_closed] {
        let length = answer.len() as u64;
        for (limit, enough) in [(length - 1, false), (length, true), (length + 1, true)] {
            let peer = Peer::answering(answer.clone());
            let record = Record::default();
            let limits = Limits::default().received_bytes(Some(limit));
            let fetched = fetch(&peer.url, limits, &record).await;
            match enough {
                true => assert_eq!(fetched.unwrap(), body.len() as u64),
                false => assert!(is_exhausted(&fetched, Limit::ReceivedBytes), "{fetched:?}"),
            }
            let reached: &[Limit] = if enough { &[] } else { &[Limit::ReceivedBytes] };
            assert_eq!(record.reached(), reached, "{limit}");
            assert!(record.has_ended());
            let [total] = &record.totals()[..] else {
                panic!("{:?}", record.totals());
            };
            assert_eq!(total.received, limit.min(length));
        }
    }
}

#[tokio::test]
async fn as_much_is_sent_as_may_be_and_not_a_byte_more() {
    let answer = |stream: &mut TcpStream| {
        stream.read_exact(&mut vec![0; 100_000])?;
        stream.write_all(&response(b"hello"))
    };
    // The client waits for the server although the upload failed, because the server might respond.
    let request = |url: &str, wait| {
        let request = Request::new("POST", url).body(vec![7; 100_000]);
        request.first_byte_timeout(wait)
    };
    let send = async |limit: Option<u64>, wait| {
        let peer = Peer::doing(answer);
        let record = Record::default();
        let limits = Limits::default().sent_bytes(limit);
        let mut instance = instance(&peer.url, limits, &record).await;
        let sent = instance.fetch(request(&peer.url, wait)).await.map(|_| ());
        drop(instance);
        assert!(record.has_ended());
        let total = record.totals().remove(0).sent;
        (sent, total, record.reached())
    };
    let (sent, length, _) = send(None, DEADLINE).await;
    sent.unwrap();
    assert!(length > 100_000);
    for (limit, enough) in [(length - 1, false), (length, true), (length + 1, true)] {
        let wait = if enough { DEADLINE } else { MOMENT };
        let (sent, total, reached) = send(Some(limit), wait).await;
        match enough {
            true => sent.unwrap(),
            false => assert!(is_exhausted(&sent, Limit::SentBytes), "{sent:?}"),
        }
        assert_eq!(total, limit.min(length));
        let expected: &[Limit] = if enough { &[] } else { &[Limit::SentBytes] };
        assert_eq!(reached, expected);
    }
}

#[tokio::test]
async fn what_is_slowed_down_arrives_all_the_same() {
    let body = page(30_000);
    let peer = Peer::answering(response(&body));
    let record = Record::default();
    let limits = Limits::default().bandwidth(Some(100_000));
    assert_eq!(fetch(&peer.url, limits, &record).await.unwrap(), 30_000);
    assert_eq!(record.reached(), [Limit::Bandwidth]);

    // Several connections that wait for the same bytes.
    let record = Record::default();
    let policy = Policy::new().allow_listen(loopback());
    let limits = Limits::default().bandwidth(Some(2_000));
    let instance = builder(policy, limits, &record).build().await.unwrap();
    let options = ServeOptions::new().listen(loopback());
    let server = instance.serve(options).await.unwrap();
    let address = server.addresses()[0];
    let handle = server.handle();
    let served = tokio::spawn(server.finish());
    let clients: Vec<_> = (0..4)
        .map(|_| ask(address, "Michael\nTracy\nJohn\nJim\nPam\n"))
        .collect();
    let expected = "Hello, Michael!\nHello, Tracy!\nHello, John!\nHello, Jim!\nHello, Pam!\n";
    for client in clients {
        let answer = tokio::task::spawn_blocking(|| client.join().unwrap());
        assert_eq!(answer.await.unwrap().unwrap(), expected);
    }
    handle.stop(DEADLINE);
    assert_eq!(served.await.unwrap().unwrap().messages, 20);
    assert_eq!(record.reached(), [Limit::Bandwidth]);
}

#[tokio::test]
async fn what_was_exchanged_is_told_once_at_the_end() {
    let answer = response(&page(1000));
    let peer = Peer::answering(answer.clone());
    let url = format!("http://localhost:{}/", peer.address.port());
    let record = Record::default();
    let mut instance = instance(&url, Limits::default(), &record).await;
    page_of(&mut instance, &url).await.unwrap();
    assert!(record.totals().is_empty() && !record.has_ended());
    drop(instance);
    assert!(record.has_ended());
    let [total] = &record.totals()[..] else {
        panic!("{:?}", record.totals());
    };
    assert_eq!(total.target, Some(Target::Connect(peer.address)));
    assert_eq!(total.name.as_ref().unwrap().as_str(), "localhost");
    let sent = peer.request().len() as u64;
    assert_eq!((total.connections, total.sent), (1, sent));
    assert_eq!(total.received, answer.len() as u64);
    assert!(total.open > Duration::ZERO);

    let record = Record::default();
    let listener = Arc::new(TcpListener::bind(loopback()).unwrap());
    let inherited = listener.local_addr().unwrap();
    let policy = Policy::new()
        .allow_listen(loopback())
        .allow_listen(inherited);
    let instance = builder(policy, Limits::default(), &record).build();
    let options = ServeOptions::new().listen(loopback()).listener(listener);
    let server = instance.await.unwrap().serve(options).await.unwrap();
    let own = server.addresses()[0];
    let handle = server.handle();
    let served = tokio::spawn(server.finish());
    for address in [own, inherited, own] {
        let client = ask(address, "Michael\n");
        let answer = tokio::task::spawn_blocking(|| client.join().unwrap());
        assert_eq!(answer.await.unwrap().unwrap(), "Hello, Michael!\n");
    }
    handle.stop(DEADLINE);
    served.await.unwrap().unwrap();
    until(|| record.has_ended()).await;
    let totals = record.totals().into_iter();
    let totals: Vec<_> = totals
        .map(|it| (it.target.unwrap(), it.connections, it.received, it.sent))
        .collect();
    assert_eq!(
        totals,
        [
            (Target::Listen(own), 2, 16, 32),
            (Target::Listen(inherited), 1, 8, 16)
        ]
    );
}

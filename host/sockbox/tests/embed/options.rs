//! The options of requests, and the fields of responses.

use crate::peer::{Peer, Shared, page, response};
use crate::site::Site;
use crate::{MOMENT, granted, instance};
use sockbox::{
    Error, Family, NetworkError, Policy, Request, ResponseLimit, Stage, TimeBound, Timings,
};
use std::io::{Read, Write};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// `hello, hello, hello` as gzip(1) makes it.
const GZIP: &[u8] = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\xcb\x48\xcd\xc9\xc9\xd7\x51\xc8\x40\
    \xa2\x00\x9f\xa1\xca\x09\x13\x00\x00\x00";

fn gzipped() -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n",
        GZIP.len()
    );
    [head.as_bytes(), GZIP].concat()
}

async fn received(response: &mut sockbox::Response<'_>) -> sockbox::Result<Vec<u8>> {
    let output = Shared::default();
    response.write_to(output.clone()).await?;
    Ok(output.bytes())
}

#[tokio::test]
async fn a_coded_body_is_decoded_where_that_is_asked_for() {
    let site = Site::new(|_| gzipped());
    let mut instance = granted(&site.url("/")).await;
    for (decode, expected, length, accepted) in [
        (
            true,
            &b"hello, hello, hello"[..],
            None,
            Some("gzip, deflate, br"),
        ),
        (false, GZIP, Some(GZIP.len() as u64), None),
    ] {
        let request = Request::get(site.url("/")).decode(decode);
        let mut response = instance.fetch(request).await.unwrap();
        assert_eq!(response.content_length(), length, "{decode}");
        assert_eq!(received(&mut response).await.unwrap(), expected, "{decode}");
        let asked = site.asked().pop().unwrap();
        assert_eq!(asked.header("accept-encoding"), accepted, "{decode}");
    }
    // The limit applies to the decoded bytes.
    let request = Request::get(site.url("/")).decode(true).max_body_size(18);
    let mut response = instance.fetch(request).await.unwrap();
    let error = received(&mut response).await.unwrap_err();
    assert!(
        matches!(
            error,
            Error::LimitExceeded {
                limit: ResponseLimit::BodySize
            }
        ),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_coding_that_cannot_be_decoded_is_told() {
    for (coding, body) in [("zstd", "hello"), ("gzip", "not gzip at all")] {
        let peer = Peer::answering(format!(
            "HTTP/1.1 200 OK\r\nContent-Encoding: {coding}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ));
        let mut instance = granted(&peer.url).await;
        let request = Request::get(&peer.url).decode(true);
        let failed = match instance.fetch(request).await {
            Ok(mut response) => received(&mut response).await.map(|_| ()),
            Err(error) => Err(error),
        };
        assert!(
            matches!(failed, Err(Error::ContentEncoding { .. })),
            "{coding}: {failed:?}"
        );
        peer.request();
    }
}

#[tokio::test]
async fn connections_are_used_again_unless_told_otherwise() {
    let site = Site::new(|_| response(b"hello"));
    let mut instance = granted(&site.url("/")).await;
    for (close, reused, connection) in [
        (false, false, 0),
        (false, true, 0),
        (true, false, 1),
        (false, true, 0),
    ] {
        let request = Request::get(site.url("/")).close_connection(close);
        let mut response = instance.fetch(request).await.unwrap();
        assert_eq!(response.reused(), reused);
        assert_eq!(received(&mut response).await.unwrap(), b"hello");
        let size = response.request_head_size();
        let timings = response.timings();
        response.close().await.unwrap();

        let asked = site.asked().pop().unwrap();
        assert_eq!(asked.connection, connection);
        assert_eq!(asked.header("connection"), close.then_some("close"));
        assert_eq!(size, asked.head.len() as u64);
        let Timings {
            resolve,
            connect,
            sent,
            first_byte,
            head,
            ..
        } = timings;
        let stages = [resolve, connect, sent, first_byte, head];
        assert!(stages.is_sorted(), "{stages:?}");
        assert!(
            head > Duration::ZERO && head < crate::DEADLINE,
            "{stages:?}"
        );
    }
}

#[tokio::test]
async fn a_large_body_waits_for_the_servers_consent() {
    for (timeout, asks) in [(crate::DEADLINE, true), (Duration::ZERO, false)] {
        let peer = Peer::doing(move |stream| {
            if !asks {
                let mut body = Vec::new();
                while !body.ends_with(b"0\r\n\r\n") {
                    let mut byte = [0];
                    stream.read_exact(&mut byte)?;
                    body.push(byte[0]);
                }
            }
            stream.write_all(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
        });
        let mut instance = granted(&peer.url).await;
        let request = Request::new("PUT", &peer.url)
            .body_reader(&b"hello"[..], None)
            .expect_timeout(timeout);
        let response = instance.fetch(request).await.unwrap();
        assert_eq!(response.status(), 413);
        assert_eq!(response.uploaded(), if asks { 0 } else { 5 });
        let asked = peer.request();
        let found = asked.contains("\r\nExpect: 100-continue\r\n");
        assert_eq!(found, asks, "{asked}");
    }
}

#[tokio::test]
async fn header_fields_can_be_left_out_and_replaced() {
    let site = Site::new(|_| response(b""));
    let mut instance = granted(&site.url("/")).await;
    let plain = || Request::get(site.url("/"));
    let table = [
        (plain(), [true, true]),
        (plain().without_header("user-agent"), [false, true]),
        (plain().without_header("Accept"), [true, false]),
        (plain().without_header("X-Other"), [true, true]),
    ];
    for (request, expected) in table {
        let shown = format!("{request:?}");
        instance.fetch(request).await.unwrap();
        let asked = site.asked().pop().unwrap();
        let found = ["user-agent", "accept"].map(|name| asked.header(name).is_some());
        assert_eq!(found, expected, "{shown}");
    }
    let request = plain().header("User-Agent", "mine");
    instance.fetch(request).await.unwrap();
    let asked = site.asked().pop().unwrap();
    assert_eq!(asked.header("user-agent"), Some("mine"));
    assert_eq!(asked.head.matches("User-Agent").count(), 1);

    let error = instance.fetch(plain().without_header("Host")).await;
    let error = error.map(|_| ()).unwrap_err();
    assert!(matches!(error, Error::InvalidRequest { .. }), "{error:?}");
}

#[tokio::test]
async fn a_pinned_name_is_not_looked_up() {
    let site = Site::new(|_| response(b"hello"));
    let port = site.address.port();
    let url = site.url_at("pinned.example", "/");
    // No socket listens at the first address.
    let first = "127.0.0.3".parse().unwrap();
    let addresses = [first, site.address.ip()];
    let policy = addresses.iter().fold(Policy::new(), |policy, address| {
        policy.allow_connect((*address, port).into())
    });
    let mut granted = instance(policy).await;
    let request = Request::get(&url).static_host("Pinned.EXAMPLE", port, addresses);
    let response = granted.fetch(request).await.unwrap();
    assert_eq!(response.remote_address(), site.address);
    assert_eq!(response.url(), url);
    let failures: Vec<_> = response.connect_failures().to_vec();
    assert_eq!(failures.len(), 1);
    assert_eq!(failures[0].address, (first, port).into());
    assert_eq!(failures[0].reason, NetworkError::ConnectionRefused);
    drop(response);
    let asked = site.asked().pop().unwrap();
    let host = format!("pinned.example:{port}");
    assert_eq!(asked.header("host"), Some(host.as_str()));

    // Another port has no static address, and resolving is not granted.
    let request =
        Request::get("http://pinned.example:1/").static_host("pinned.example", port, addresses);
    let error = granted.fetch(request).await.map(|_| ()).unwrap_err();
    assert!(matches!(error, Error::Denied { .. }), "{error:?}");
    // A pin grants nothing.
    let request = Request::get(&url).static_host("pinned.example", port, addresses);
    let error = instance(Policy::new())
        .await
        .fetch(request)
        .await
        .map(|_| ());
    assert!(matches!(error, Err(Error::Denied { .. })), "{error:?}");
}

#[tokio::test]
async fn a_family_is_kept_to() {
    let site = Site::new(|_| response(b"hello"));
    let port = site.address.port();
    let url = site.url_at("pinned.example", "/");
    let both = ["::1".parse().unwrap(), site.address.ip()];
    let mut instance = instance(Policy::new().allow_connect(site.address)).await;
    let request = || Request::get(&url).static_host("pinned.example", port, both);
    let response = instance
        .fetch(request().family(Family::Ipv4))
        .await
        .unwrap();
    assert_eq!(response.remote_address(), site.address);
    assert!(response.connect_failures().is_empty());
    drop(response);

    let request = Request::get(site.url("/")).family(Family::Ipv6);
    let error = instance.fetch(request).await.map(|_| ()).unwrap_err();
    assert!(
        matches!(
            &error,
            Error::ResolveFailed { host, reason: NetworkError::NameUnresolvable }
                if host == "127.0.0.1"
        ),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_transfer_that_is_too_slow_ends() {
    let (hang_up, hung_up) = mpsc::channel::<()>();
    let peer = Peer::doing(move |stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello")?;
        let _ = hung_up.recv();
        Ok(())
    });
    let mut instance = granted(&peer.url).await;
    let over = 4 * MOMENT;
    let request = Request::get(&peer.url).min_speed(1_000_000, over);
    let mut response = instance.fetch(request).await.unwrap();
    let error = received(&mut response).await.unwrap_err();
    assert!(
        matches!(
            error,
            Error::Timeout {
                stage: Stage::Body,
                bound: TimeBound::Speed,
                limit,
                received: 5,
            } if limit == over
        ),
        "{error:?}"
    );
    drop(hang_up);
    peer.request();
}

#[tokio::test]
async fn a_transfer_is_no_faster_than_allowed() {
    const SIZE: usize = 300_000;
    const SPEED: u64 = 600_000;
    let peer = Peer::doing(|stream| {
        let mut body = vec![0; SIZE];
        stream.read_exact(&mut body)?;
        stream.write_all(&response(&page(SIZE)))
    });
    let mut instance = granted(&peer.url).await;
    let begin = Instant::now();
    let request = Request::new("PUT", &peer.url)
        .body(page(SIZE))
        .max_speed(SPEED);
    let mut response = instance.fetch(request).await.unwrap();
    assert_eq!(response.uploaded(), SIZE as u64);
    assert!(received(&mut response).await.unwrap() == page(SIZE));
    // Half a second each way, and less for the first step of either.
    let took = begin.elapsed();
    assert!(took >= Duration::from_millis(700), "{took:?}");
    peer.request();
}

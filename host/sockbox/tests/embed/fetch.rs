//! Single requests.

use crate::peer::{Peer, Shared, page, response};
use crate::site::Site;
use crate::{MOMENT, granted, instance};
use sockbox::{Error, Limits, NetworkError, Policy, Request, Sandbox, origin_of};
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpListener;
use std::sync::mpsc;

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
    assert!(!request.contains("Connection:"), "{request:?}");
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
    let body = page(1_000_000);
    let site = Site::new({
        let body = body.clone();
        move |_| response(&body)
    });
    let mut instance = granted(&site.url("/")).await;
    // The connection of a discarded body is closed.
    for (whole, connection) in [(true, 0), (false, 0), (true, 1), (true, 1)] {
        let mut response = instance.fetch(Request::get(site.url("/"))).await.unwrap();
        if whole {
            let output = Shared::default();
            response.write_to(output.clone()).await.unwrap();
            assert!(output.bytes() == body);
        } else {
            response.chunk().await.unwrap().unwrap();
        }
        drop(response);
        assert_eq!(site.asked().pop().unwrap().connection, connection);
    }
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
            // The client may close the connection before all of it is sent.
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
async fn a_files_error_comes_back() {
    let file = tempfile::NamedTempFile::new().unwrap();
    // The component writes the bytes that arrive with the head, the host writes the others.
    for length in [1, 8 * 1024 * 1024] {
        let peer = Peer::doing(move |stream| {
            // The client may close the connection before all of it is sent.
            let _ = stream.write_all(&response(&page(length)));
            Ok(())
        });
        let mut instance = granted(&peer.url).await;
        let mut response = instance.fetch(Request::get(&peer.url)).await.unwrap();
        let for_reading = std::fs::File::open(file.path()).unwrap();
        let failed = response.write_to_file(for_reading, |_| {}).await;
        assert!(
            matches!(&failed, Err(Error::Write { source }) if source.raw_os_error().is_some()),
            "{length}: {failed:?}"
        );
        response.close().await.unwrap();
        peer.request();
    }
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
        (Request::get("ftp://127.0.0.1/"), "UnsupportedScheme"),
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
        .policy(Policy::new().allow_origin(origin_of(&peer.url).unwrap()))
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

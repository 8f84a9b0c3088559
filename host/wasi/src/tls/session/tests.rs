//! A session over streams in memory, with rustls's own server at the other end.

use super::*;
use crate::tls::TlsFailure;
use rcgen::generate_simple_self_signed;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::{PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig, ServerConnection};
use std::collections::VecDeque;
use std::io::Read as _;
use std::sync::{Arc, Mutex};
use wasmtime_wasi::async_trait;
use wasmtime_wasi::p2::{InputStream, OutputStream, Pollable, StreamResult};

/// One way of a connection. Both ends give and take a few bytes at once.
#[derive(Clone, Default)]
struct Wire(Arc<Mutex<Bits>>);

#[derive(Default)]
struct Bits {
    bytes: VecDeque<u8>,
    closed: bool,
}

/// How much is on the way at most, and how much is read at once.
const ROOM: usize = 700;
const PIECE: usize = 97;

impl Wire {
    fn take(&self, most: usize) -> Vec<u8> {
        let bytes = &mut self.0.lock().unwrap().bytes;
        let count = most.min(bytes.len());
        bytes.drain(..count).collect()
    }

    fn put(&self, bytes: &[u8]) {
        self.0.lock().unwrap().bytes.extend(bytes);
    }

    fn room(&self) -> usize {
        ROOM.saturating_sub(self.0.lock().unwrap().bytes.len())
    }
}

#[async_trait]
impl Pollable for Wire {
    /// Always ready: the tests poll again by themselves.
    async fn ready(&mut self) {
        tokio::task::yield_now().await;
    }
}

#[async_trait]
impl InputStream for Wire {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        let bytes = self.take(size.min(PIECE));
        match bytes.is_empty() && self.0.lock().unwrap().closed {
            true => Err(StreamError::Closed),
            false => Ok(bytes.into()),
        }
    }
}

#[async_trait]
impl OutputStream for Wire {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        assert!(bytes.len() <= self.room(), "more than was permitted");
        self.put(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(self.room())
    }
}

struct Bench {
    session: Session,
    server: ServerConnection,
    to_server: Wire,
    to_client: Wire,
    /// What the server has read.
    read: Vec<u8>,
}

impl Bench {
    fn new() -> Bench {
        let made = generate_simple_self_signed(["a.example".to_owned()]).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(made.cert.der().clone()).unwrap();
        let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
        let provider = Arc::new(default_provider());
        let server = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key.into())
            .unwrap();
        let client = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from("a.example").unwrap();
        let client = ClientConnection::new(client.into(), name).unwrap();
        let (to_server, to_client) = (Wire::default(), Wire::default());
        let mut server = ServerConnection::new(server.into()).unwrap();
        server.set_buffer_limit(None);
        Bench {
            session: Session::new(
                client,
                Box::new(to_client.clone()),
                Box::new(to_server.clone()),
                Held::nothing(),
            ),
            server,
            to_server,
            to_client,
            read: Vec::new(),
        }
    }

    /// Let the server do what it can.
    fn pump(&mut self) {
        let bytes = self.to_server.take(usize::MAX);
        let mut bytes = &bytes[..];
        while !bytes.is_empty() {
            self.server.read_tls(&mut bytes).unwrap();
            // The client side reports invalid data.
            let _ = self.server.process_new_packets();
            // There is nothing more to be read, which is no mistake here.
            let _ = self.server.reader().read_to_end(&mut self.read);
        }
        while self.server.wants_write() && self.to_client.room() > 0 {
            let mut some = Bounded {
                bytes: Vec::new(),
                most: self.to_client.room(),
            };
            self.server.write_tls(&mut some).unwrap();
            self.to_client.put(&some.bytes);
        }
    }

    /// Poll until it is ready, with the server's help.
    async fn until<T>(
        &mut self,
        mut poll: impl FnMut(&mut Session, &mut Context<'_>) -> Poll<T>,
    ) -> T {
        for _ in 0..100_000 {
            self.pump();
            let session = &mut self.session;
            let polled = std::future::poll_fn(|cx| Poll::Ready(poll(session, cx))).await;
            if let Poll::Ready(output) = polled {
                self.pump();
                return output;
            }
            tokio::task::yield_now().await;
        }
        panic!("nothing happens any more");
    }

    async fn shake_hands(&mut self) {
        let done = self.until(|session, cx| session.poll_handshake(cx)).await;
        assert!(done.is_ok(), "{done:?}");
        let left = self.until(|session, cx| session.poll_sent(cx)).await;
        left.unwrap();
    }

    /// Read until there is no more.
    async fn read_all(&mut self) -> (Vec<u8>, Result<Read, Broken>) {
        let mut all = Vec::new();
        loop {
            self.until(|session, cx| session.poll_readable(cx)).await;
            match self.session.read(1000) {
                Ok(Read::Bytes(bytes)) => {
                    assert!((1..=1000).contains(&bytes.len()));
                    all.extend_from_slice(&bytes);
                }
                Ok(Read::Nothing) => {}
                end => return (all, end),
            }
        }
    }
}

fn page(size: usize) -> Vec<u8> {
    (0..size).map(|at| (at % 251) as u8).collect()
}

#[tokio::test]
async fn bytes_go_both_ways_however_few_at_once() {
    let mut bench = Bench::new();
    bench.shake_hands().await;
    let sent = page(100_000);
    for piece in sent.chunks(30_000) {
        bench.session.write(piece).unwrap();
        let left = bench.until(|session, cx| session.poll_sent(cx)).await;
        left.unwrap();
    }
    assert!(bench.read == sent);
    bench.server.writer().write_all(&sent).unwrap();
    bench.server.send_close_notify();
    let (read, end) = bench.read_all().await;
    assert!(read == sent);
    assert!(matches!(end, Ok(Read::End)));
}

#[tokio::test]
async fn the_handshakes_last_words_leave_with_the_first_that_follow() {
    let mut bench = Bench::new();
    let done = bench.until(|session, cx| session.poll_handshake(cx)).await;
    assert!(done.is_ok(), "{done:?}");
    assert!(bench.server.is_handshaking(), "the server waits for them");
    assert!(bench.session.has_room().unwrap());
    assert_eq!(bench.to_server.room(), ROOM, "and nothing is on the way");
    bench.session.write(b"first").unwrap();
    bench.pump();
    assert_eq!(bench.read, b"first");
    // A client that writes nothing sends them when it reads.
    let mut bench = Bench::new();
    let done = bench.until(|session, cx| session.poll_handshake(cx)).await;
    assert!(done.is_ok(), "{done:?}");
    assert!(matches!(bench.session.read(1), Ok(Read::Nothing)));
    bench.pump();
    assert!(!bench.server.is_handshaking());
}

#[tokio::test]
async fn an_end_that_was_not_announced_is_a_cut() {
    let mut bench = Bench::new();
    bench.shake_hands().await;
    bench.server.writer().write_all(b"half").unwrap();
    bench.pump();
    bench.to_client.0.lock().unwrap().closed = true;
    let (read, end) = bench.read_all().await;
    assert_eq!(read, b"half");
    assert!(matches!(end, Ok(Read::Cut)));
    // And so it stays.
    assert!(matches!(bench.session.read(1), Ok(Read::Cut)));
}

#[tokio::test]
async fn changed_bytes_are_detected() {
    let mut bench = Bench::new();
    bench.shake_hands().await;
    bench.server.writer().write_all(b"before").unwrap();
    let (mut read, mut end) = (Vec::new(), None);
    bench.pump();
    bench.server.writer().write_all(b"behind").unwrap();
    bench.pump();
    if let Some(last) = bench.to_client.0.lock().unwrap().bytes.back_mut() {
        *last ^= 1;
    }
    while end.is_none() {
        bench.until(|session, cx| session.poll_readable(cx)).await;
        match bench.session.read(100) {
            Ok(Read::Bytes(bytes)) => read.extend_from_slice(&bytes),
            Ok(_) => {}
            Err(broken) => end = Some(broken),
        }
    }
    assert_eq!(read, b"before");
    let Some(Broken::Tls(error)) = end else {
        panic!("{end:?}");
    };
    assert_eq!(error, rustls::Error::DecryptError);
    assert!(matches!(bench.session.read(1), Err(Broken::Tls(_))));
}

#[tokio::test]
async fn a_handshake_that_ends_early_is_told_by_what_ended_it() {
    for (sent, expected) in [
        (&b""[..], TlsFailure::Closed),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", TlsFailure::NotTls),
        (b"SSH-2.0-OpenSSH_9.2\r\n", TlsFailure::NotTls),
        (b"\0\0\0\0\0\0\0\0", TlsFailure::NotTls),
        (b"\x15\x03\x03\0\x02\x02\x46", TlsFailure::NoCommonVersion),
        (
            b"\x15\x03\x03\0\x02\x02\x28",
            TlsFailure::Alert {
                name: "handshake_failure".to_owned(),
            },
        ),
    ] {
        let mut bench = Bench::new();
        bench.to_client.put(sent);
        bench.to_client.0.lock().unwrap().closed = true;
        let mut done = Poll::Pending;
        for _ in 0..1000 {
            let session = &mut bench.session;
            done = std::future::poll_fn(|cx| Poll::Ready(session.poll_handshake(cx))).await;
            if done.is_ready() {
                break;
            }
            // The peer does not answer.
            bench.to_server.take(usize::MAX);
            tokio::task::yield_now().await;
        }
        let Poll::Ready(Err(broken)) = done else {
            panic!("{}: {done:?}", sent.escape_ascii());
        };
        let failure = broken.map_or(TlsFailure::Closed, |broken| broken.failure(false));
        assert_eq!(failure, expected, "{}", sent.escape_ascii());
    }
}

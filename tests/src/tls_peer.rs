//! A TLS server that does exactly what a test tells it to.

use crate::authority::{Authority, Identity};
use crate::raw_peer::{Peer, RawPeer};
use rustls::crypto::ring::default_provider;
use rustls::server::WebPkiClientVerifier;
use rustls::version::{TLS12, TLS13};
use rustls::{RootCertStore, ServerConfig, ServerConnection, Stream};
use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex};

/// A server on 127.0.0.1 that answers one request a connection, over TLS. Like [`RawPeer`], it fails its
/// test if no client ever connected.
pub struct TlsPeer {
    peer: RawPeer,
    heads: Arc<Mutex<Vec<String>>>,
}

/// Its TLS version and behaviour.
#[derive(Clone, Default)]
pub struct TlsSettings {
    /// TLS 1.2 alone.
    pub tls12_only: bool,
    /// TLS 1.3 alone.
    pub tls13_only: bool,
    /// Clients must send a certificate of this authority.
    pub clients: Option<rustls::pki_types::CertificateDer<'static>>,
    /// The connection is closed after the answer without a `close_notify` alert.
    pub cut: bool,
}

impl TlsSettings {
    pub fn for_clients_of(authority: &Authority) -> Self {
        Self {
            clients: Some(authority.certificate()),
            ..Self::default()
        }
    }
}

impl TlsPeer {
    /// Answer with these bytes, with the certificate of `identity`.
    pub fn start(identity: &Identity, settings: TlsSettings, answer: &str) -> Self {
        let answer = answer.to_owned();
        Self::start_with(identity, settings, move |_| answer.clone())
    }

    /// Answer a request with this head with what `answer` returns.
    pub fn start_with(
        identity: &Identity,
        settings: TlsSettings,
        answer: impl Fn(&str) -> String + Send + Sync + 'static,
    ) -> Self {
        let config = Arc::new(config(identity, &settings));
        let heads = Arc::new(Mutex::new(Vec::new()));
        let seen = heads.clone();
        let peer = RawPeer::start(move |peer| {
            let mut tls = ServerConnection::new(config.clone()).map_err(io::Error::other)?;
            let mut transport = Transport(peer);
            let mut stream = Stream::new(&mut tls, &mut transport);
            let head = read_head(&mut stream)?;
            let answer = answer(&head);
            seen.lock().expect("a list").push(head);
            stream.write_all(answer.as_bytes())?;
            stream.flush()?;
            if settings.cut {
                return Ok(());
            }
            tls.send_close_notify();
            while tls.wants_write() {
                tls.write_tls(&mut transport)?;
            }
            Ok(())
        });
        Self { peer, heads }
    }

    /// The heads of the requests so far.
    pub fn requests(&self) -> Vec<String> {
        self.heads.lock().expect("a list").clone()
    }

    /// The URL of its page, at the address where it is.
    pub fn url(&self) -> String {
        format!("https://{}/", self.peer.address())
    }

    /// The URL of its page, at this name or address.
    pub fn url_at(&self, host: &str) -> String {
        format!("https://{host}:{}/", self.peer.address().port())
    }

    /// The port where it listens.
    pub fn port(&self) -> u16 {
        self.peer.address().port()
    }

    /// How many connections there have been so far.
    pub fn connections(&self) -> usize {
        self.peer.connections()
    }
}

fn config(identity: &Identity, settings: &TlsSettings) -> ServerConfig {
    let provider = Arc::new(default_provider());
    let versions = match settings {
        TlsSettings {
            tls12_only: true, ..
        } => &[&TLS12][..],
        TlsSettings {
            tls13_only: true, ..
        } => &[&TLS13],
        _ => &[&TLS12, &TLS13],
    };
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(versions)
        .expect("versions");
    let builder = match &settings.clients {
        None => builder.with_no_client_auth(),
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            roots.add(authority.clone()).expect("an authority");
            let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider);
            builder.with_client_cert_verifier(verifier.build().expect("a verifier"))
        }
    };
    let (chain, key) = identity.load();
    builder
        .with_single_cert(chain, key)
        .expect("a certificate and its key")
}

fn read_head(stream: &mut impl Read) -> io::Result<String> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        head.extend_from_slice(&byte);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

/// The peer's bytes for rustls.
struct Transport<'a>(&'a mut Peer);

impl Read for Transport<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read_into(buffer)
    }
}

impl Write for Transport<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.send(bytes).map(|()| bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

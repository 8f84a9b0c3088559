//! TLS, with an embedder's own roots and verifiers.

use rcgen::{CertifiedKey, KeyPair, generate_simple_self_signed};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring::default_provider};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::{
    CertificateError, DigitallySignedStruct, RootCertStore, ServerConfig, ServerConnection,
    SignatureScheme, StreamOwned,
};
use sockbox::{
    CertificateProblem, Error, Instance, Policy, Request, Sandbox, TlsConfig, TlsError, TlsFailure,
    TlsHandshake, TlsVersion, origin_of,
};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::thread;

/// A server on loopback with a self-signed certificate. It answers one request on each connection.
struct Server {
    url: String,
    certificate: CertificateDer<'static>,
}

impl Server {
    fn start() -> Server {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let certificate = cert.der().clone();
        let config = Arc::new(config(&certificate, &signing_key));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("https://{}/", listener.local_addr().unwrap());
        thread::spawn(move || {
            // Some tests close the connection early.
            for stream in listener.incoming().flatten() {
                let tls = ServerConnection::new(config.clone()).unwrap();
                let _ = answer(StreamOwned::new(tls, stream));
            }
        });
        Server { url, certificate }
    }

    async fn instance(&self, tls: TlsConfig) -> Instance {
        let policy = Policy::new().allow_origin(origin_of(&self.url).unwrap());
        let sandbox = Sandbox::new().unwrap();
        let builder = sandbox.instance().policy(policy).tls(tls);
        builder.build().await.unwrap()
    }

    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).unwrap();
        roots
    }
}

fn config(certificate: &CertificateDer<'static>, key: &KeyPair) -> ServerConfig {
    let key = PrivatePkcs8KeyDer::from(key.serialize_der());
    ServerConfig::builder_with_provider(default_provider().into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key.into())
        .unwrap()
}

fn answer(mut stream: impl Read + Write) -> std::io::Result<()> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        head.extend_from_slice(&byte);
    }
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\npage")?;
    stream.flush()
}

async fn fetch(instance: &mut Instance, url: &str) -> Result<Vec<u8>, Error> {
    let mut response = instance.fetch(Request::get(url)).await?;
    let mut page = Vec::new();
    while let Some(bytes) = response.chunk().await? {
        page.extend_from_slice(&bytes);
    }
    Ok(page)
}

#[tokio::test]
async fn nobody_is_trusted_who_is_unknown() {
    let server = Server::start();
    let mut instance = server.instance(TlsConfig::new()).await;
    let error = fetch(&mut instance, &server.url).await.unwrap_err();
    let Error::Tls(TlsError::CertificateRejected { host, problem }) = error else {
        panic!("{error:?}");
    };
    assert_eq!(host, "127.0.0.1");
    let CertificateProblem::UnknownIssuer {
        certificate: Some(certificate),
    } = problem
    else {
        panic!("{problem:?}");
    };
    assert!(certificate.is_self_signed());
    assert_eq!(certificate.names, ["127.0.0.1"]);
}

#[tokio::test]
async fn roots_of_ones_own() {
    let server = Server::start();
    let told = Arc::new(Mutex::new(Vec::<TlsHandshake>::new()));
    let kept = told.clone();
    let tls = TlsConfig::new()
        .roots(server.roots())
        .observe(move |handshake| kept.lock().unwrap().push(handshake.clone()));
    let mut instance = server.instance(tls).await;
    for _ in 0..2 {
        assert_eq!(fetch(&mut instance, &server.url).await.unwrap(), b"page");
    }
    let told = told.lock().unwrap();
    let [first, second] = &told[..] else {
        panic!("{told:?}");
    };
    assert_eq!(first.version, TlsVersion::V1_3);
    assert_eq!(first.server, "127.0.0.1");
    assert_eq!(first.certificates.len(), 1);
    assert!(first.verified && !first.resumed);
    assert!(second.resumed, "a session of the same run is gone on with");
}

#[tokio::test]
async fn a_session_is_no_other_runs() {
    let server = Server::start();
    let told = Arc::new(Mutex::new(Vec::new()));
    let kept = told.clone();
    let tls = TlsConfig::new()
        .roots(server.roots())
        .observe(move |handshake| kept.lock().unwrap().push(handshake.resumed));
    for _ in 0..2 {
        let mut instance = server.instance(tls.clone()).await;
        assert_eq!(fetch(&mut instance, &server.url).await.unwrap(), b"page");
    }
    assert_eq!(*told.lock().unwrap(), [false, false]);
}

#[tokio::test]
async fn no_roots_at_all() {
    let server = Server::start();
    let tls = TlsConfig::new().roots(RootCertStore::empty());
    let mut instance = server.instance(tls).await;
    let error = fetch(&mut instance, &server.url).await.unwrap_err();
    assert!(
        matches!(error, Error::Tls(TlsError::Handshake { .. })),
        "{error:?}"
    );
}

#[tokio::test]
async fn versions_that_exclude_each_other() {
    let server = Server::start();
    let tls = TlsConfig::new()
        .roots(server.roots())
        .min_version(TlsVersion::V1_3)
        .max_version(TlsVersion::V1_2);
    let mut instance = server.instance(tls).await;
    let error = fetch(&mut instance, &server.url).await.unwrap_err();
    assert!(
        matches!(
            error,
            Error::Tls(TlsError::Handshake {
                reason: TlsFailure::Other { .. },
                ..
            })
        ),
        "{error:?}"
    );
}

/// Accepts the one certificate that it knows, or none.
#[derive(Debug)]
struct Pinned(Option<CertificateDer<'static>>, Arc<CryptoProvider>);

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        match &self.0 {
            Some(known) if known == end_entity => Ok(ServerCertVerified::assertion()),
            _ => Err(CertificateError::ApplicationVerificationFailure.into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.1.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.1.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.1.signature_verification_algorithms.supported_schemes()
    }
}

#[tokio::test]
async fn a_verifier_of_ones_own() {
    let server = Server::start();
    for (known, accepted) in [(Some(server.certificate.clone()), true), (None, false)] {
        let verifier = Pinned(known, Arc::new(default_provider()));
        let tls = TlsConfig::new().verifier(Arc::new(verifier));
        let mut instance = server.instance(tls).await;
        match fetch(&mut instance, &server.url).await {
            Ok(page) => assert!(accepted && page == b"page"),
            Err(Error::Tls(TlsError::CertificateRejected {
                problem: CertificateProblem::Other { .. },
                ..
            })) => assert!(!accepted),
            Err(error) => panic!("{error:?}"),
        }
    }
}

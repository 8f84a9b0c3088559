//! The client certificate.

use super::error::{Result, TlsError};
use super::pem::{self, Block};
use super::{der, encrypted};
use rustls::crypto::ring;
use rustls::pki_types::{
    CertificateDer, PrivateKeyDer, PrivatePkcs1KeyDer, PrivatePkcs8KeyDer, PrivateSec1KeyDer,
};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use std::path::Path;
use std::sync::Arc;

/// Keys that TLS may have and ring doesn't: what is in the DER of each, and its name.
const UNKNOWN: [(&[u8], &str); 6] = [
    (b"\x06\x05\x2b\x81\x04\x00\x23", "ECDSA on P-521"),
    (b"\x06\x05\x2b\x81\x04\x00\x0a", "ECDSA on secp256k1"),
    (
        b"\x06\x09\x2b\x24\x03\x03\x02\x08\x01\x01",
        "ECDSA on a Brainpool curve",
    ),
    (b"\x06\x03\x2b\x65\x71", "Ed448"),
    (b"\x06\x07\x2a\x86\x48\xce\x38\x04\x01", "DSA"),
    (
        b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0a",
        "RSA for PSS alone",
    ),
];

/// What can be used instead.
const KNOWN: &str = "RSA with 2048 to 4096 bits, ECDSA on P-256 or P-384, and Ed25519 can be used";

/// A certificate, those that lead from it to its authority, and its private key.
#[derive(Clone)]
pub(super) struct Identity {
    pub(super) resolver: Arc<SingleCertAndKey>,
}

/// One of the two files.
#[derive(Clone, Copy)]
struct Source<'a> {
    file: &'a Path,
    text: &'a [u8],
}

impl Identity {
    /// Read them from PEM files; without a file for the key it is in that of the certificate.
    pub(super) fn read(
        certificate: &Path,
        key: Option<&Path>,
        password: Option<&[u8]>,
    ) -> Result<Identity> {
        let text = read(certificate)?;
        let chain = Source {
            file: certificate,
            text: &text,
        };
        match key {
            None => Identity::from_pem(chain, chain, password),
            Some(file) => {
                let text = read(file)?;
                Identity::from_pem(chain, Source { file, text: &text }, password)
            }
        }
    }

    /// The server judges the certificate, so a certificate of version 1 (as `openssl x509 -req` makes) or an
    /// expired one is accepted here. A key that does not belong to the certificate is an error.
    fn from_pem(chain: Source<'_>, key: Source<'_>, password: Option<&[u8]>) -> Result<Identity> {
        let certificates = pem::certificates(chain.text)
            .map(|found| found.map(|found| found.certificate))
            .collect::<Result<Vec<CertificateDer<'static>>, _>>()
            .map_err(|error| {
                failed(
                    chain.file,
                    &format!("a certificate can't be parsed: {error}"),
                )
            })?;
        let Some(own) = certificates.first() else {
            return Err(failed(chain.file, "it contains no PEM certificate"));
        };
        let Some(public) = der::key_of_certificate(own).map(<[u8]>::to_vec) else {
            return Err(failed(chain.file, "a certificate in it can't be parsed"));
        };
        let private = private_key(key, password)?;
        let what = describe(private.secret_der());
        let provider = ring::default_provider();
        let signing = provider.key_provider.load_private_key(private);
        let signing = signing.map_err(|_| failed(key.file, &what))?;
        if let Some(info) = signing.public_key()
            && der::key_of_info(&info) != Some(public.as_slice())
        {
            return Err(failed(
                key.file,
                "the key does not belong to the certificate",
            ));
        }
        Ok(Identity {
            resolver: Arc::new(CertifiedKey::new(certificates, signing).into()),
        })
    }
}

/// The first private key of a file.
fn private_key(key: Source<'_>, password: Option<&[u8]>) -> Result<PrivateKeyDer<'static>> {
    let Some(block) = pem::blocks(key.text).find(|it| it.label.ends_with("PRIVATE KEY")) else {
        return Err(failed(key.file, "it contains no PEM private key"));
    };
    let Block {
        label,
        is_encrypted,
        der,
    } = block;
    if is_encrypted {
        return Err(failed(
            key.file,
            "the key is encrypted in an obsolete format: `openssl pkcs8 -topk8 -in FILE -out NEW` encrypts it in the current format, `openssl pkey -in FILE -out NEW` decrypts it",
        ));
    }
    let der =
        der.map_err(|error| failed(key.file, &format!("the key can't be parsed: {error}")))?;
    match label {
        "PRIVATE KEY" => Ok(PrivatePkcs8KeyDer::from(der).into()),
        "RSA PRIVATE KEY" => Ok(PrivatePkcs1KeyDer::from(der).into()),
        "EC PRIVATE KEY" => Ok(PrivateSec1KeyDer::from(der).into()),
        "ENCRYPTED PRIVATE KEY" => decrypt(&der, password).map_err(|why| failed(key.file, &why)),
        other => Err(failed(
            key.file,
            &format!("the key type `{other}` is not supported: {KNOWN}"),
        )),
    }
}

/// The key in a block that takes a password. The error is for people.
fn decrypt(der: &[u8], password: Option<&[u8]>) -> Result<PrivateKeyDer<'static>, String> {
    let Some(password) = password else {
        return Err("the key is encrypted: give its password, or decrypt it with `openssl pkey -in FILE -out NEW`"
            .to_owned());
    };
    match encrypted::decrypt(der, password) {
        Ok(key) => Ok(PrivatePkcs8KeyDer::from(key).into()),
        Err(why) => Err(why.to_string()),
    }
}

/// Why ring does not accept a key, as far as its DER shows.
fn describe(der: &[u8]) -> String {
    let has = |part: &[u8]| der.windows(part.len()).any(|window| window == part);
    match UNKNOWN.into_iter().find(|(part, _)| has(part)) {
        Some((_, name)) => format!("the key is for {name}, which is not supported: {KNOWN}"),
        None => format!("the key is invalid, or its type is not supported: {KNOWN}"),
    }
}

fn read(file: &Path) -> Result<Vec<u8>> {
    pem::read_file(file).map_err(|error| failed(file, &error.to_string()))
}

fn failed(file: &Path, reason: &str) -> TlsError {
    TlsError::ClientCertificate {
        file: file.to_owned(),
        reason: reason.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{KeyPair, generate_simple_self_signed};

    fn tried(chain: &str, key: &str, password: Option<&str>) -> Option<String> {
        let source = |text| Source {
            file: Path::new("file"),
            text,
        };
        let (chain, key) = (source(chain.as_bytes()), source(key.as_bytes()));
        let read = Identity::from_pem(chain, key, password.map(str::as_bytes));
        read.err().map(|error| error.to_string())
    }

    #[test]
    fn a_pair_that_is_none_is_refused() {
        let made = generate_simple_self_signed(["client".to_owned()]).unwrap();
        let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
        let other = KeyPair::generate().unwrap().serialize_pem();
        let encrypted = key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
        let both = format!("{key}{chain}");
        let joined = format!("\u{feff}{}{}", chain.trim_end(), key.trim_end());
        let trusted = chain.replace("CERTIFICATE", "TRUSTED CERTIFICATE");
        let foreign = key.replace("PRIVATE KEY", "OPENSSH PRIVATE KEY");
        let broken = "-----BEGIN PRIVATE KEY-----\nYWJj\n-----END PRIVATE KEY-----\n";
        let no_certificate = "-----BEGIN CERTIFICATE-----\nYWJj\n-----END CERTIFICATE-----\n";
        let old = "-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\n\
                   YWJj\n-----END EC PRIVATE KEY-----\n";
        let table: [(&str, &str, Option<&str>, Option<&str>); 17] = [
            (&chain, &key, None, None),
            (&both, &both, None, None),
            (&joined, &joined, None, None),
            (&trusted, &key, None, None),
            (&chain, &key, Some("not needed"), None),
            (
                &chain,
                &other,
                None,
                Some("the key does not belong to the certificate"),
            ),
            (
                &chain,
                &encrypted,
                None,
                Some("is encrypted: give its password"),
            ),
            (
                &chain,
                &encrypted,
                Some("a"),
                Some("the key's encryption is not supported"),
            ),
            (&chain, old, None, Some("openssl pkcs8 -topk8")),
            (&chain, old, Some("a"), Some("openssl pkey")),
            (&chain, &foreign, None, Some("`OPENSSH PRIVATE KEY`")),
            (&chain, broken, None, Some("the key is invalid")),
            (&chain, &chain, None, Some("it contains no PEM private key")),
            (&key, &key, None, Some("it contains no PEM certificate")),
            ("", "", None, Some("it contains no PEM certificate")),
            (no_certificate, &key, None, Some("can't be parsed")),
            (
                "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n",
                &key,
                None,
                Some("is not base64"),
            ),
        ];
        for (chain, key, password, expected) in table {
            match (tried(chain, key, password), expected) {
                (None, None) => {}
                (Some(said), Some(expected)) if said.contains(expected) => {}
                (said, expected) => panic!("{said:?}, and not {expected:?}"),
            }
        }
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let error = Identity::read(Path::new("/no/such/file"), None, None).err();
        let said = error.map(|error| error.to_string()).unwrap_or_default();
        assert!(said.contains("/no/such/file"), "{said}");
    }
}

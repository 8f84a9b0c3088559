//! The certificate that is shown to servers which ask for one.

use crate::error::{Error, Result};
use rustls::InconsistentKeys;
use rustls::crypto::ring;
use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use std::fs;
use std::path::Path;
use std::sync::Arc;

/// What RFC 7468 section 11 begins a key with that takes a password, and what OpenSSL once did.
const ENCRYPTED: [&[u8]; 2] = [b"BEGIN ENCRYPTED PRIVATE KEY", b"Proc-Type: 4,ENCRYPTED"];

/// A certificate, those that lead from it to its authority, and its private key.
#[derive(Clone)]
pub(super) struct Identity {
    pub(super) resolver: Arc<SingleCertAndKey>,
}

impl Identity {
    /// Read them from PEM files; without a file for the key it is in that of the certificate.
    pub(super) fn read(certificate: &Path, key: Option<&Path>) -> Result<Identity> {
        let chain = read(certificate)?;
        match key {
            None => Identity::from_pem(&chain, &chain, certificate, certificate),
            Some(file) => Identity::from_pem(&chain, &read(file)?, certificate, file),
        }
    }

    fn from_pem(chain: &[u8], key: &[u8], chain_file: &Path, key_file: &Path) -> Result<Identity> {
        let chain = CertificateDer::pem_slice_iter(chain)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| failed(chain_file, &format!("it can't be read: {error}")))?;
        if chain.is_empty() {
            return Err(failed(chain_file, "it has no certificate in PEM in it"));
        }
        let parsed = PrivateKeyDer::from_pem_slice(key).map_err(|error| match error {
            PemError::NoItemsFound if is_encrypted(key) => failed(
                key_file,
                "the key takes a password: decrypt it, as `openssl pkey` does",
            ),
            PemError::NoItemsFound => failed(key_file, "it has no private key in PEM in it"),
            error => failed(key_file, &format!("the key can't be read: {error}")),
        })?;
        let certified = CertifiedKey::from_der(chain, parsed, &ring::default_provider());
        let certified = certified.map_err(|error| match error {
            rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                failed(key_file, "the key isn't the certificate's")
            }
            _ if is_encrypted(key) => failed(
                key_file,
                "the key takes a password: decrypt it, as `openssl pkey` does",
            ),
            error => failed(key_file, &format!("the key is of no use: {error}")),
        })?;
        Ok(Identity {
            resolver: Arc::new(SingleCertAndKey::from(certified)),
        })
    }
}

fn read(file: &Path) -> Result<Vec<u8>> {
    fs::read(file).map_err(|error| failed(file, &error.to_string()))
}

fn is_encrypted(key: &[u8]) -> bool {
    let has = |part: &[u8]| key.windows(part.len()).any(|window| window == part);
    ENCRYPTED.into_iter().any(has)
}

fn failed(file: &Path, reason: &str) -> Error {
    Error::ClientCertificate {
        file: file.to_owned(),
        reason: reason.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{KeyPair, generate_simple_self_signed};

    #[test]
    fn a_pair_that_is_none_is_refused() {
        let made = generate_simple_self_signed(["client".to_owned()]).unwrap();
        let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
        let other = KeyPair::generate().unwrap().serialize_pem();
        let encrypted = key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
        let both = format!("{key}{chain}");
        let table: [(&str, &str, Option<&str>); 8] = [
            (&chain, &key, None),
            (&both, &both, None),
            (&chain, &other, Some("the key isn't the certificate's")),
            (&chain, &encrypted, Some("the key takes a password")),
            (&chain, &chain, Some("it has no private key in PEM")),
            (&key, &key, Some("it has no certificate in PEM")),
            ("", "", Some("it has no certificate in PEM")),
            (
                "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n",
                &key,
                Some("it can't be read"),
            ),
        ];
        for (chain, key, expected) in table {
            let file = Path::new("file");
            let read = Identity::from_pem(chain.as_bytes(), key.as_bytes(), file, file);
            let said = read.err().map(|error| error.to_string());
            match (said, expected) {
                (None, None) => {}
                (Some(said), Some(expected)) if said.contains(expected) => {}
                (said, expected) => panic!("{said:?}, and not {expected:?}"),
            }
        }
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let error = Identity::read(Path::new("/nobody/has/this"), None).err();
        let said = error.map(|error| error.to_string()).unwrap_or_default();
        assert!(said.contains("/nobody/has/this"), "{said}");
    }
}

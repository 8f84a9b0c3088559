//! The authorities that are trusted.

use super::failure::Failure;
use crate::error::{Error, Result};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls_native_certs::{CertificateResult, ErrorKind, load_certs_from_paths, load_native_certs};
use std::env;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

/// Where OpenSSL, and curl, let the user say what is trusted in place of the system's authorities.
const VARIABLES: [&str; 2] = ["SSL_CERT_FILE", "SSL_CERT_DIR"];

/// The system's authorities, read when they are first needed, once for all that share this.
#[derive(Clone, Default)]
pub(super) struct SystemRoots(Arc<OnceLock<Result<Arc<RootCertStore>, Failure>>>);

impl SystemRoots {
    /// Those that were read already.
    pub(super) fn known(&self) -> Option<Result<Arc<RootCertStore>, Failure>> {
        self.0.get().cloned()
    }

    /// Read them, or wait for whoever does.
    pub(super) fn read(&self) -> Result<Arc<RootCertStore>, Failure> {
        let read = || {
            let named = VARIABLES.iter().find_map(env::var_os).map(PathBuf::from);
            match named {
                Some(file) => store_of(load_native_certs(), &file),
                None => Ok(system()),
            }
        };
        self.0.get_or_init(|| read().map(Arc::new)).clone()
    }
}

/// What this system trusts, and what Mozilla does where it has nothing to say: a container may have
/// been made without any certificates.
fn system() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    // The file with all of them is a hundred times as fast to read as the folder with one file each.
    let file = openssl_probe::probe().cert_file;
    let bundled = load_certs_from_paths(file.as_deref(), None);
    roots.add_parsable_certificates(bundled.certs);
    if roots.is_empty() {
        roots.add_parsable_certificates(load_native_certs().certs);
    }
    if roots.is_empty() {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    roots
}

/// The authorities in what was read of `file`, which somebody has named: that none can be read is an
/// error then, and no reason to trust others.
fn store_of(read: CertificateResult, file: &Path) -> Result<RootCertStore, Failure> {
    let mut roots = RootCertStore::empty();
    let failed = |reason: String| Failure::Trust {
        file: file.to_owned(),
        reason,
    };
    let found = !read.certs.is_empty();
    roots.add_parsable_certificates(read.certs);
    match read.errors.first() {
        _ if !roots.is_empty() => Ok(roots),
        Some(error) => Err(failed(match &error.kind {
            ErrorKind::Io { inner, .. } => inner.to_string(),
            ErrorKind::Pem(error) => format!("it isn't PEM: {error}"),
            _ => error.to_string(),
        })),
        None if found => Err(failed("it has no certificate in it that is one".to_owned())),
        None => Err(failed("it has no certificate in PEM in it".to_owned())),
    }
}

/// The certificates in a PEM file.
pub(super) fn of_file(file: &Path) -> Result<Vec<CertificateDer<'static>>> {
    of(load_certs_from_paths(Some(file), None), file)
}

/// The certificates in the PEM files of a folder.
pub(super) fn of_folder(folder: &Path) -> Result<Vec<CertificateDer<'static>>> {
    of(load_certs_from_paths(None, Some(folder)), folder)
}

fn of(read: CertificateResult, file: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let certificates = read.certs.clone();
    match store_of(read, file) {
        Ok(_) => Ok(certificates),
        Err(Failure::Trust { file, reason }) => Err(Error::Trust { file, reason }),
        Err(other) => Err(Error::internal(other)),
    }
}

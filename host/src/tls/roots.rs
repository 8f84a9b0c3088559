//! The authorities that are trusted.

use super::failure::Failure;
use crate::error::Result;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls_native_certs::{CertificateResult, ErrorKind, load_certs_from_paths, load_native_certs};
use std::env;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

/// Where OpenSSL, and curl, let the user say what is trusted in place of the system's authorities.
const VARIABLES: [&str; 2] = ["SSL_CERT_FILE", "SSL_CERT_DIR"];

/// Who is trusted.
#[derive(Clone)]
pub(super) struct Trusted {
    pub(super) roots: Arc<RootCertStore>,
    /// The certificates that the user has named, which are believed by themselves as well.
    pub(super) named: Arc<Vec<CertificateDer<'static>>>,
}

impl Trusted {
    /// These certificates, and those that were trusted before.
    pub(super) fn with(self, more: Vec<CertificateDer<'static>>) -> Trusted {
        let mut roots = Arc::unwrap_or_clone(self.roots);
        let mut named = Arc::unwrap_or_clone(self.named);
        roots.add_parsable_certificates(more.clone());
        named.extend(more);
        Trusted {
            roots: roots.into(),
            named: named.into(),
        }
    }
}

impl From<RootCertStore> for Trusted {
    fn from(roots: RootCertStore) -> Trusted {
        Trusted {
            roots: roots.into(),
            named: Arc::default(),
        }
    }
}

/// Authorities that are read when they are first needed, once for all that share this: the system's, or
/// those in a file.
#[derive(Clone, Default)]
pub(super) struct LateRoots {
    file: Option<PathBuf>,
    read: Arc<OnceLock<Result<Trusted, Failure>>>,
}

impl LateRoots {
    pub(super) fn of_file(file: PathBuf) -> LateRoots {
        LateRoots {
            file: Some(file),
            ..LateRoots::default()
        }
    }

    /// Whether they were read already.
    pub(super) fn are_known(&self) -> bool {
        self.read.get().is_some()
    }

    /// Read them, or wait for whoever does.
    pub(super) fn read(&self) -> Result<Trusted, Failure> {
        let read = || {
            let certificates = if let Some(file) = &self.file {
                found(load_certs_from_paths(Some(file), None), file)?
            } else if let Some(file) = VARIABLES.iter().find_map(env::var_os) {
                found(load_native_certs(), Path::new(&file))?
            } else {
                return Ok(system().into());
            };
            Ok(Trusted::from(RootCertStore::empty()).with(certificates))
        };
        self.read.get_or_init(read).clone()
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

/// The certificates in what was read of `file`, which somebody has named: that there are none is an
/// error then, and no reason to trust others.
fn found(read: CertificateResult, file: &Path) -> Result<Vec<CertificateDer<'static>>, Failure> {
    let failed = |reason: String| Failure::Trust {
        file: file.to_owned(),
        reason,
    };
    let (usable, _) = RootCertStore::empty().add_parsable_certificates(read.certs.iter().cloned());
    match read.errors.first() {
        _ if usable > 0 => Ok(read.certs),
        Some(error) => Err(failed(match &error.kind {
            ErrorKind::Io { inner, .. } => inner.to_string(),
            ErrorKind::Pem(error) => format!("it isn't PEM: {error}"),
            _ => error.to_string(),
        })),
        None if !read.certs.is_empty() => {
            Err(failed("it has no certificate in it that is one".to_owned()))
        }
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
    found(read, file).map_err(|failure| failure.into_error(""))
}

//! The authorities that are trusted.

use super::error::Result;
use super::failure::Failure;
use super::pem;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls_native_certs::{load_certs_from_paths, load_native_certs};
use std::collections::HashSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::{env, fs, io};

/// The variables with which OpenSSL and curl let the user replace the system's authorities: a file, and
/// folders separated by colons. An empty variable counts as not set.
const FILE_VARIABLE: &str = "SSL_CERT_FILE";
const FOLDERS_VARIABLE: &str = "SSL_CERT_DIR";

/// What the environment names.
struct Named {
    file: Option<PathBuf>,
    folders: Vec<PathBuf>,
}

impl Named {
    fn new(variable: impl Fn(&str) -> Option<OsString>) -> Option<Named> {
        let named = |path: &PathBuf| !path.as_os_str().is_empty();
        let folders = variable(FOLDERS_VARIABLE).unwrap_or_default();
        let found = Named {
            file: variable(FILE_VARIABLE).map(PathBuf::from).filter(named),
            folders: env::split_paths(&folders).filter(named).collect(),
        };
        (found.file.is_some() || !found.folders.is_empty()).then_some(found)
    }
}

/// The trusted certificates.
#[derive(Clone)]
pub(super) struct Trusted {
    pub(super) roots: Arc<RootCertStore>,
    /// The certificates that the user has named. A server that sends one of them as its own is
    /// trusted too.
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

    /// Read them, or wait for the task that reads them.
    pub(super) fn read(&self) -> Result<Trusted, Failure> {
        let read = || {
            let mut given = Given::default();
            let certificates = if let Some(file) = &self.file {
                given.file(file);
                given.found(file)?
            } else if let Some(named) = Named::new(|name| env::var_os(name)) {
                if let Some(file) = &named.file {
                    given.file(file);
                }
                named.folders.iter().for_each(|it| given.folder(it));
                let first = named.file.as_ref().or(named.folders.first());
                given.found(first.map_or(Path::new(""), PathBuf::as_path))?
            } else {
                return Ok(system().into());
            };
            Ok(Trusted::from(RootCertStore::empty()).with(certificates))
        };
        self.read.get_or_init(read).clone()
    }
}

/// The authorities of this system, or Mozilla's if it has none: a container image may contain no
/// certificates.
fn system() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    // The file with all of them is a hundred times as fast to read as the folder with one file each.
    let file = openssl_probe::probe().cert_file;
    let bundled = load_certs_from_paths(file.as_deref(), None);
    roots.add_parsable_certificates(bundled.certs);
    if roots.is_empty() {
        // Not with `load_native_certs`, which treats an empty variable as the name of a file.
        for folder in openssl_probe::probe().cert_dir {
            let certificates = load_certs_from_paths(None, Some(&folder)).certs;
            roots.add_parsable_certificates(certificates);
        }
    }
    if roots.is_empty() {
        // Some systems do not keep them in files.
        roots.add_parsable_certificates(load_native_certs().certs);
    }
    if roots.is_empty() {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    roots
}

/// The certificates in files and folders that the user has named.
#[derive(Default)]
struct Given {
    certificates: Vec<CertificateDer<'static>>,
    /// The first error.
    wrong: Option<String>,
}

impl Given {
    fn file(&mut self, file: &Path) {
        match pem::read_file(file) {
            Ok(text) => self.text(&text),
            Err(error) => self.failed(error.to_string()),
        }
    }

    fn text(&mut self, text: &[u8]) {
        for found in pem::certificates(text) {
            match found {
                Ok(found) if found.is_distrusted => self.failed(
                    "it contains a certificate marked as not trusted for servers (`openssl x509` without -addtrust and -addreject writes it without the mark)"
                        .to_owned(),
                ),
                Ok(found) => self.certificates.push(found.certificate),
                Err(error) => self.failed(format!("it is not valid PEM: {error}")),
            }
        }
    }

    /// The files in a folder, and what links in it lead to: `openssl rehash` makes several to each.
    fn folder(&mut self, folder: &Path) {
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) => return self.failed(error.to_string()),
        };
        let mut seen = HashSet::new();
        for entry in entries {
            let path = match entry {
                Ok(entry) => entry.path(),
                Err(error) => {
                    self.failed(error.to_string());
                    continue;
                }
            };
            match fs::canonicalize(&path).and_then(|path| Ok((fs::metadata(&path)?, path))) {
                Ok((metadata, path)) if metadata.is_file() => {
                    if seen.insert(path.clone()) {
                        self.file(&path);
                    }
                }
                Ok(_) => {}
                // A dangling link.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => self.failed(error.to_string()),
            }
        }
    }

    fn failed(&mut self, why: String) {
        self.wrong.get_or_insert(why);
    }

    /// The certificates, without duplicates. If `file` contains no usable certificate, that is an error:
    /// other authorities are not used instead.
    fn found(mut self, file: &Path) -> Result<Vec<CertificateDer<'static>>, Failure> {
        self.certificates.sort_unstable_by(|a, b| a.cmp(b));
        self.certificates.dedup();
        let certificates = self.certificates.iter().cloned();
        let (usable, _) = RootCertStore::empty().add_parsable_certificates(certificates);
        if usable > 0 {
            return Ok(self.certificates);
        }
        let reason = match self.wrong {
            Some(why) => why,
            None if self.certificates.is_empty() => "it contains no PEM certificate".to_owned(),
            None => "a certificate in it can't be parsed".to_owned(),
        };
        Err(Failure::Trust {
            file: file.to_owned(),
            reason,
        })
    }
}

/// The certificates in a PEM file.
pub(super) fn of_file(file: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let mut given = Given::default();
    given.file(file);
    given.found(file).map_err(|failure| failure.into_error(""))
}

/// The certificates in the PEM files of a folder.
pub(super) fn of_folder(folder: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let mut given = Given::default();
    given.folder(folder);
    given
        .found(folder)
        .map_err(|failure| failure.into_error(""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folders(text: &str) -> Vec<&str> {
        let named = Named::new(|name| match name {
            "SSL_CERT_DIR" => Some(text.into()),
            _ => None,
        });
        let folders = named.iter().flat_map(|named| &named.folders);
        let folders: Vec<String> = folders.map(|it| it.display().to_string()).collect();
        let at = |folder: &String| {
            text.find(folder.as_str())
                .map(|at| &text[at..at + folder.len()])
        };
        folders.iter().filter_map(at).collect()
    }

    #[test]
    fn an_empty_variable_is_one_that_is_not_set() {
        assert!(Named::new(|_| None).is_none());
        assert!(Named::new(|_| Some("".into())).is_none());
        let file = Named::new(|name| match name {
            "SSL_CERT_FILE" => Some("file".into()),
            _ => Some("".into()),
        });
        let file = file.unwrap();
        assert_eq!(file.file.as_deref(), Some(Path::new("file")));
        assert!(file.folders.is_empty());
        for (text, expected) in [
            ("", &[][..]),
            (":", &[]),
            ("a", &["a"]),
            ("a::b:", &["a", "b"]),
        ] {
            assert_eq!(folders(text), expected, "{text:?}");
        }
    }

    #[test]
    fn authorities_are_found_however_their_file_is_written() {
        let made = rcgen::generate_simple_self_signed(["a".to_owned()]).unwrap();
        let pem = made.cert.pem();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ca.pem");
        let other = rcgen::generate_simple_self_signed(["b".to_owned()]).unwrap();
        let other = other.cert.pem();
        let unknown = pem.replace("CERTIFICATE", "NONSENSE");
        for (text, expected) in [
            (pem.clone(), 1),
            (format!("\u{feff}{pem}"), 1),
            (format!("{}{}", pem.trim_end(), other.trim_end()), 2),
            (pem.replace("CERTIFICATE", "TRUSTED CERTIFICATE"), 1),
            (pem.replace("CERTIFICATE", "X509 CERTIFICATE"), 1),
            (pem.replace('\n', "\r\n"), 1),
            (format!("{pem}{pem}{unknown}"), 1),
            (format!("-----BEGIN CERTIFICATE-----\n!\n{pem}"), 1),
        ] {
            std::fs::write(&file, &text).unwrap();
            assert_eq!(of_file(&file).unwrap().len(), expected, "{text}");
            assert_eq!(of_folder(folder.path()).unwrap().len(), expected, "{text}");
        }
        for (text, expected) in [
            (String::new(), "no PEM certificate"),
            (unknown, "no PEM certificate"),
            (
                "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----".to_owned(),
                "base64",
            ),
            (
                "-----BEGIN CERTIFICATE-----\nYWJj\n-----END CERTIFICATE-----".to_owned(),
                "can't be parsed",
            ),
        ] {
            std::fs::write(&file, &text).unwrap();
            let error = of_file(&file).unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}

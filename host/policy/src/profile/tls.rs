//! The files of TLS: trusted certificates, and client certificates.

use crate::{Host, RuleError};
use serde::Deserialize;
use std::fmt;
use std::path::{Path, PathBuf};

/// The files that say how a run speaks TLS. Without trusted certificates it trusts the system's authorities.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TlsFiles {
    /// PEM files with trusted certificates.
    pub cacert: Vec<PathBuf>,
    /// Folders with PEM files of trusted certificates.
    pub capath: Vec<PathBuf>,
    /// Client certificates; of several for one host the last counts.
    pub client_certs: Vec<ClientCert>,
}

impl TlsFiles {
    /// Whether it names no file.
    pub fn is_empty(&self) -> bool {
        let TlsFiles {
            cacert,
            capath,
            client_certs,
        } = self;
        cacert.is_empty() && capath.is_empty() && client_certs.is_empty()
    }

    /// The files with private keys, which a component must not read.
    pub fn keys(&self) -> impl Iterator<Item = &Path> {
        self.client_certs.iter().map(ClientCert::key_file)
    }

    pub(super) fn extend(&mut self, other: TlsFiles) {
        self.cacert.extend(other.cacert);
        self.capath.extend(other.capath);
        self.client_certs.extend(other.client_certs);
    }

    /// Take relative files as files below `folder`.
    pub(super) fn below(mut self, folder: &Path) -> TlsFiles {
        let certificates = self.client_certs.iter_mut();
        let pairs =
            certificates.flat_map(|it| std::iter::once(&mut it.certificate).chain(&mut it.key));
        for file in self.cacert.iter_mut().chain(&mut self.capath).chain(pairs) {
            *file = folder.join(&*file);
        }
        self
    }
}

/// A client certificate, which is sent to one host if it asks for one.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClientCert {
    /// The host that it is sent to. It has to have a certificate of its own for this name or address.
    pub host: Host,
    /// The PEM file with the certificate, and those that lead from it to its authority.
    pub certificate: PathBuf,
    /// The PEM file with the private key. None: it is in the file of the certificate.
    pub key: Option<PathBuf>,
    /// The password of the private key.
    pub password: Option<Vec<u8>>,
}

impl ClientCert {
    /// The certificate in this file, for this host. Its key is in the same file, and has no password.
    pub fn new(host: Host, certificate: impl Into<PathBuf>) -> ClientCert {
        ClientCert {
            host,
            certificate: certificate.into(),
            key: None,
            password: None,
        }
    }

    /// The file that has the private key in it.
    pub fn key_file(&self) -> &Path {
        self.key.as_ref().unwrap_or(&self.certificate)
    }
}

impl fmt::Debug for ClientCert {
    /// Without the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientCert")
            .field("host", &self.host)
            .field("certificate", &self.certificate)
            .field("key", &self.key)
            .field("password", &self.password.is_some())
            .finish()
    }
}

impl fmt::Display for ClientCert {
    /// `api.example.com: client.pem, key client.key`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.host, self.certificate.display())?;
        match &self.key {
            Some(key) => write!(f, ", key {}", key.display()),
            None => Ok(()),
        }
    }
}

/// A client certificate as a policy file has it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Written {
    host: String,
    cert: PathBuf,
    key: Option<PathBuf>,
}

impl Written {
    pub(super) fn read(self) -> Result<ClientCert, RuleError> {
        Ok(ClientCert {
            key: self.key,
            ..ClientCert::new(self.host.parse()?, self.cert)
        })
    }
}

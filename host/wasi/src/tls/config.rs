//! The TLS settings of a run.

use super::certificate::Certificate;
use super::error::{Result, TlsError};
use super::failure::{Failure, TlsFailure};
use super::identity::Identity;
use super::roots::{LateRoots, Trusted, of_file, of_folder};
use super::verifier::{Anybody, Named};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use rustls::{RootCertStore, SupportedProtocolVersion};
use sockbox_policy::Host;
use sockbox_policy::profile::TlsFiles;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The TLS settings of a run: the trusted authorities, the client certificate, and the versions.
///
/// By default a run trusts the system's authorities: those that `SSL_CERT_FILE` and `SSL_CERT_DIR` name
/// if they are set, and Mozilla's if the system has none. It uses TLS 1.2 and 1.3, and has no client
/// certificate. A server's certificate must be valid now, be issued for the name or address in the URL,
/// and have a chain to a trusted authority. Revocation is not checked.
///
/// Clones share the system's authorities once they have been read.
///
/// # Examples
/// ```
/// use sockbox_wasi::Grant;
/// use sockbox_wasi::policy::Policy;
/// use sockbox_wasi::tls::{TlsConfig, TlsVersion};
///
/// let grant = Grant::new()
///     .policy(Policy::new().allow_connect_to("example.com:443")?)
///     .tls(TlsConfig::new().min_version(TlsVersion::V1_3));
/// # Ok::<(), sockbox_wasi::policy::RuleError>(())
/// ```
#[derive(Clone)]
#[must_use]
pub struct TlsConfig {
    trust: Trust,
    identity: Option<Identity>,
    identity_hosts: Option<Vec<String>>,
    /// Those for one host each. They come before the one above.
    host_identities: Vec<(Host, Identity)>,
    min: TlsVersion,
    max: TlsVersion,
    observer: Option<Observer>,
    failure_observer: Option<FailureObserver>,
}

type Observer = Arc<dyn Fn(&TlsHandshake) + Send + Sync>;
type FailureObserver = Arc<dyn Fn(&TlsError) + Send + Sync>;

#[derive(Clone)]
enum Trust {
    Late(LateRoots),
    Given(Trusted),
    Verifier(Arc<dyn ServerCertVerifier>),
    Anybody,
}

/// A version of TLS. Versions before 1.2 are not secure, and not supported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum TlsVersion {
    /// TLS 1.2 (RFC 5246).
    V1_2,
    /// TLS 1.3 (RFC 8446).
    V1_3,
}

impl fmt::Display for TlsVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TlsVersion::V1_2 => "TLS 1.2",
            TlsVersion::V1_3 => "TLS 1.3",
        })
    }
}

/// The parameters of a completed handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TlsHandshake {
    /// The name or address that the server's certificate was verified for.
    pub server: String,
    /// The version.
    pub version: TlsVersion,
    /// The cipher suite's standard name.
    pub cipher_suite: String,
    /// The group of the key exchange, if there was one.
    pub key_exchange: Option<String>,
    /// Whether a session of an earlier connection of the run was resumed, without sending
    /// certificates again.
    pub resumed: bool,
    /// Whether the certificate was verified. It is not with
    /// [`TlsConfig::dangerously_trust_anybody`].
    pub verified: bool,
    /// The certificates that the server sent, its own first, as far as they can be parsed.
    pub certificates: Vec<Certificate>,
}

impl Default for TlsConfig {
    fn default() -> TlsConfig {
        TlsConfig::new()
    }
}

impl TlsConfig {
    /// The default: see [`TlsConfig`].
    pub fn new() -> TlsConfig {
        TlsConfig {
            trust: Trust::Late(LateRoots::default()),
            identity: None,
            identity_hosts: None,
            host_identities: Vec::new(),
            min: TlsVersion::V1_2,
            max: TlsVersion::V1_3,
            observer: None,
            failure_observer: None,
        }
    }

    /// Trust the certificates in this PEM file in place of the system's, as if `SSL_CERT_FILE` named it.
    /// The file is read when it is first needed. If it is unusable, the first connection fails
    /// ([`TlsError::Trust`]).
    pub fn system_file(mut self, file: impl Into<PathBuf>) -> TlsConfig {
        self.trust = Trust::Late(LateRoots::of_file(file.into()));
        self
    }

    /// Trust the certificates in this PEM file, and those of earlier calls, in place of the system's.
    /// Each is trusted as an authority, and as the server's own certificate if the server sends exactly
    /// it.
    ///
    /// # Errors
    /// [`TlsError::Trust`]: it can't be read, or has none in it.
    pub fn trust_file(self, file: impl AsRef<Path>) -> Result<TlsConfig> {
        let certificates = of_file(file.as_ref())?;
        Ok(self.trust(certificates))
    }

    /// Trust the certificates in the PEM files of this folder, and those given so before, in place of
    /// the system's.
    ///
    /// # Errors
    /// [`TlsError::Trust`]: it can't be read, or there is none in it.
    pub fn trust_folder(self, folder: impl AsRef<Path>) -> Result<TlsConfig> {
        let certificates = of_folder(folder.as_ref())?;
        Ok(self.trust(certificates))
    }

    fn trust(mut self, more: Vec<CertificateDer<'static>>) -> TlsConfig {
        let before = match self.trust {
            Trust::Given(trusted) => trusted,
            _ => RootCertStore::empty().into(),
        };
        self.trust = Trust::Given(before.with(more));
        self
    }

    /// Trust only these authorities.
    pub fn roots(mut self, roots: RootCertStore) -> TlsConfig {
        self.trust = Trust::Given(roots.into());
        self
    }

    /// Leave the check of certificates to `verifier`.
    pub fn verifier(mut self, verifier: Arc<dyn ServerCertVerifier>) -> TlsConfig {
        self.trust = Trust::Verifier(verifier);
        self
    }

    /// Verify no certificate. An attacker on the network path can then impersonate the server, and
    /// read and change all data.
    pub fn dangerously_trust_anybody(mut self) -> TlsConfig {
        self.trust = Trust::Anybody;
        self
    }

    /// Send this certificate to servers that ask for one. The arguments are PEM files: the certificate
    /// with its chain, and its private key, which may be in the same file.
    ///
    /// # Errors
    /// [`TlsError::ClientCertificate`]: they can't be read, don't belong
    /// together, the key takes a password, or it is of a kind that ring doesn't know: RSA with 2048 to 4096
    /// bits, ECDSA on P-256 or P-384, and Ed25519 are known; P-521 isn't.
    pub fn client_certificate(
        mut self,
        certificate: impl AsRef<Path>,
        key: Option<&Path>,
    ) -> Result<TlsConfig> {
        self.identity = Some(Identity::read(certificate.as_ref(), key, None)?);
        Ok(self)
    }

    /// As [`TlsConfig::client_certificate`], with the password of a key that is encrypted as PKCS #8 has it
    /// (`BEGIN ENCRYPTED PRIVATE KEY`). A key that isn't encrypted needs none, and is used all the same.
    ///
    /// # Errors
    /// [`TlsError::ClientCertificate`]: as there, or the password isn't the
    /// key's, or the key is encrypted in another way.
    pub fn client_certificate_with_password(
        mut self,
        certificate: impl AsRef<Path>,
        key: Option<&Path>,
        password: impl AsRef<[u8]>,
    ) -> Result<TlsConfig> {
        let password = Some(password.as_ref());
        self.identity = Some(Identity::read(certificate.as_ref(), key, password)?);
        Ok(self)
    }

    /// Send the client certificate only to these hosts, given as names or addresses as in URLs. By
    /// default every server that the run may connect to gets it on request.
    pub fn client_certificate_for(
        mut self,
        hosts: impl IntoIterator<Item = impl Into<String>>,
    ) -> TlsConfig {
        self.identity_hosts = Some(hosts.into_iter().map(Into::into).collect());
        self
    }

    /// Send this certificate to this host if it asks for one, and to no other. Each host may have a certificate of its own,
    /// which is then sent in place of that of [`TlsConfig::client_certificate`]. Of several for one host the last counts.
    ///
    /// The arguments are PEM files, and the password of an encrypted key.
    ///
    /// # Errors
    /// [`TlsError::ClientCertificate`]: as for [`TlsConfig::client_certificate_with_password`].
    pub fn client_certificate_at(
        mut self,
        host: Host,
        certificate: impl AsRef<Path>,
        key: Option<&Path>,
        password: Option<&[u8]>,
    ) -> Result<TlsConfig> {
        let identity = Identity::read(certificate.as_ref(), key, password)?;
        self.host_identities.retain(|(own, _)| *own != host);
        self.host_identities.push((host, identity));
        Ok(self)
    }

    /// Trust the certificates that these files have, and use their client certificates.
    ///
    /// # Errors
    /// - [`TlsError::Trust`]: a file or folder of trusted certificates can't be read, or has none in it.
    /// - [`TlsError::ClientCertificate`]: as for [`TlsConfig::client_certificate_with_password`].
    pub fn files(mut self, files: &TlsFiles) -> Result<TlsConfig> {
        for file in &files.cacert {
            self = self.trust_file(file)?;
        }
        for folder in &files.capath {
            self = self.trust_folder(folder)?;
        }
        for own in &files.client_certs {
            let (key, password) = (own.key.as_deref(), own.password.as_deref());
            self = self.client_certificate_at(own.host.clone(), &own.certificate, key, password)?;
        }
        Ok(self)
    }

    /// Use no version before this.
    pub fn min_version(mut self, version: TlsVersion) -> TlsConfig {
        self.min = version;
        self
    }

    /// Use no version after this.
    pub fn max_version(mut self, version: TlsVersion) -> TlsConfig {
        self.max = version;
        self
    }

    /// Call `observer` after every successful handshake.
    pub fn observe(
        mut self,
        observer: impl Fn(&TlsHandshake) + Send + Sync + 'static,
    ) -> TlsConfig {
        self.observer = Some(Arc::new(observer));
        self
    }

    /// Be told of every handshake that has failed, and why: [`TlsError::CertificateRejected`],
    /// [`TlsError::Trust`] or [`TlsError::Handshake`]. The component gets less detail, because its errors must
    /// not reveal anything about this machine.
    pub fn observe_failures(
        mut self,
        observer: impl Fn(&TlsError) + Send + Sync + 'static,
    ) -> TlsConfig {
        self.failure_observer = Some(Arc::new(observer));
        self
    }

    /// Begin to read the system's authorities, or those of [`TlsConfig::system_file`], in a thread of its
    /// own, if they are what is trusted. Without this call they are read when they are first needed.
    pub fn prepare(&self) {
        if let Trust::Late(roots) = &self.trust
            && !roots.are_known()
        {
            let roots = roots.clone();
            // If no thread can be started, they are read later.
            let _ = std::thread::Builder::new()
                .name("sockbox-roots".to_owned())
                .spawn(move || roots.read().is_ok());
        }
    }

    /// Whether what is trusted has still to be read, which waits for the disk.
    pub(super) fn has_to_read(&self) -> bool {
        matches!(&self.trust, Trust::Late(roots) if !roots.are_known())
    }

    /// The verifier of certificates.
    pub(super) fn check(
        &self,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Arc<dyn ServerCertVerifier>, Failure> {
        let trusted = match &self.trust {
            Trust::Verifier(verifier) => return Ok(verifier.clone()),
            Trust::Anybody => return Ok(Arc::new(Anybody(provider.clone()))),
            Trust::Late(roots) => roots.read()?,
            Trust::Given(trusted) => trusted.clone(),
        };
        let builder = WebPkiServerVerifier::builder_with_provider(trusted.roots, provider.clone());
        let authorities = builder.build().map_err(|error| {
            Failure::Tls(TlsFailure::Other {
                reason: format!("no authority is trusted: {error}"),
            })
        })?;
        Ok(Arc::new(Named {
            certificates: trusted.named,
            authorities,
        }))
    }

    pub(super) fn checks(&self) -> bool {
        !matches!(self.trust, Trust::Anybody)
    }

    pub(super) fn identity(&self) -> Option<&Identity> {
        self.identity.as_ref()
    }

    /// The certificates for one host each.
    pub(super) fn host_identities(&self) -> impl Iterator<Item = &Identity> {
        self.host_identities.iter().map(|(_, identity)| identity)
    }

    /// The number of the certificate for this host, among those for one host each.
    pub(super) fn host_identity(&self, server: &str) -> Option<usize> {
        let server: Host = server.parse().ok()?;
        self.host_identities
            .iter()
            .position(|(host, _)| *host == server)
    }

    pub(super) fn identity_for(&self, server: &str) -> Option<&Identity> {
        let meant = |hosts: &Vec<String>| {
            let bare = |host: &str| {
                host.trim_matches(['[', ']'])
                    .trim_end_matches('.')
                    .to_owned()
            };
            let same = |host: &String| bare(host).eq_ignore_ascii_case(&bare(server));
            hosts.iter().any(same)
        };
        let identity = self.identity.as_ref()?;
        self.identity_hosts
            .as_ref()
            .is_none_or(meant)
            .then_some(identity)
    }

    /// The versions, none if they exclude each other.
    pub(super) fn versions(&self) -> Vec<&'static SupportedProtocolVersion> {
        let all = [
            (TlsVersion::V1_2, &rustls::version::TLS12),
            (TlsVersion::V1_3, &rustls::version::TLS13),
        ];
        all.into_iter()
            .filter(|(version, _)| (self.min..=self.max).contains(version))
            .map(|(_, version)| version)
            .collect()
    }

    pub(super) fn tell_failure(&self, server: &str, failure: &Failure) {
        if let Some(observer) = &self.failure_observer {
            observer(&failure.clone().into_error(server));
        }
    }

    pub(super) fn tell(&self, handshake: impl FnOnce() -> TlsHandshake) {
        if let Some(observer) = &self.observer {
            observer(&handshake());
        }
    }
}

impl fmt::Debug for TlsConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let trust = match &self.trust {
            Trust::Late(_) => "the system's authorities, or the authorities in a file",
            Trust::Given(_) => "the authorities given",
            Trust::Verifier(_) => "a verifier",
            Trust::Anybody => "anybody",
        };
        f.debug_struct("TlsConfig")
            .field("trust", &trust)
            .field("client_certificate", &self.identity.is_some())
            .field("client_certificate_for", &self.identity_hosts)
            .field(
                "client_certificate_at",
                &self
                    .host_identities
                    .iter()
                    .map(|(host, _)| host)
                    .collect::<Vec<_>>(),
            )
            .field("min", &self.min)
            .field("max", &self.max)
            .finish_non_exhaustive()
    }
}

//! One run's side of TLS.

use super::config::TlsConfig;
use super::failure::{Failure, TlsFailure};
use super::identity::Identity;
use super::verifier::Remembering;
use crate::authority::{Authority, Incident};
use rustls::ClientConfig;
use rustls::client::Resumption;
use rustls::crypto::ring;
use std::sync::{Arc, OnceLock};

/// How many TLS sessions of a run are kept for resumption: twice the number of connections that the
/// client keeps.
const SESSIONS: usize = 16;

/// How a run speaks TLS, and what has failed in it.
///
/// Each run has its own sessions for resumption, so a server can't link two runs by them.
#[derive(Clone)]
pub struct Client(Arc<Shared>);

struct Shared {
    config: TlsConfig,
    protocols: &'static [&'static [u8]],
    ready: OnceLock<Result<Ready, Failure>>,
    authority: Arc<Authority>,
}

/// The configurations for rustls. There is one set per run, because rustls resumes a session only
/// with the same verifier and client certificate objects.
#[derive(Clone)]
struct Ready {
    verifier: Arc<Remembering>,
    anonymous: Arc<ClientConfig>,
    /// With the client certificate, where there is one.
    identified: Option<Arc<ClientConfig>>,
    /// With the client certificates for one host each.
    at_hosts: Vec<Arc<ClientConfig>>,
}

impl Client {
    /// A client that offers servers these application protocols (RFC 7301), or none.
    pub(crate) fn new(
        config: TlsConfig,
        protocols: &'static [&'static [u8]],
        authority: Arc<Authority>,
    ) -> Client {
        Client(Arc::new(Shared {
            config,
            protocols,
            ready: OnceLock::new(),
            authority,
        }))
    }

    pub(super) fn config(&self) -> &TlsConfig {
        &self.0.config
    }

    /// Whether [`Client::for_server`] has to read what is trusted first, which waits for the disk.
    pub(super) fn has_to_read(&self) -> bool {
        self.0.ready.get().is_none() && self.0.config.has_to_read()
    }

    /// The rustls configuration for a handshake with this server, and the verifier of its
    /// certificate.
    pub(super) fn for_server(
        &self,
        server: &str,
    ) -> Result<(Arc<ClientConfig>, Arc<Remembering>), Failure> {
        let ready = self.0.ready.get_or_init(|| self.0.make()).clone()?;
        let own = self.0.config.host_identity(server);
        let own = own.and_then(|number| ready.at_hosts.get(number));
        let meant = self.0.config.identity_for(server).is_some();
        let config = match (own, ready.identified) {
            (Some(own), _) => own.clone(),
            (None, Some(identified)) if meant => identified,
            _ => ready.anonymous,
        };
        Ok((config, ready.verifier))
    }

    /// A handshake with this server has failed.
    pub(super) fn failed(&self, server: &str, failure: Failure) {
        self.0.config.tell_failure(server, &failure);
        self.broken(failure);
    }

    /// A connection broke after the handshake.
    pub(super) fn broken(&self, failure: Failure) {
        self.0.authority.note(Incident::Tls(failure));
    }
}

impl Shared {
    fn make(&self) -> Result<Ready, Failure> {
        let provider = Arc::new(ring::default_provider());
        let verifier = Arc::new(Remembering::new(self.config.check(&provider)?));
        let resumption = Resumption::in_memory_sessions(SESSIONS);
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&self.config.versions())
            .map_err(|_| {
                Failure::Tls(TlsFailure::Other {
                    reason: "no TLS version is permitted".to_owned(),
                })
            })?
            .dangerous()
            .with_custom_certificate_verifier(verifier.clone());
        let finished = |mut config: ClientConfig| {
            config.resumption = resumption.clone();
            config.alpn_protocols = self.protocols.iter().map(|it| it.to_vec()).collect();
            Arc::new(config)
        };
        let identified = |identity: &Identity| {
            let resolver = identity.resolver.clone();
            finished(builder.clone().with_client_cert_resolver(resolver))
        };
        Ok(Ready {
            verifier,
            identified: self.config.identity().map(identified),
            at_hosts: self.config.host_identities().map(identified).collect(),
            anonymous: finished(builder.clone().with_no_client_auth()),
        })
    }
}

//! Why there is no TLS with a server, or no more of it.

use super::certificate::Certificate;
use crate::error::Error;
use rustls::{AlertDescription, CertificateError, InvalidMessage, PeerIncompatible};
use std::fmt;
use std::path::PathBuf;

/// What has failed in a run. The component is told of it in words, and the caller in types.
#[derive(Clone, Debug)]
pub(crate) enum Failure {
    /// The server's certificate isn't accepted.
    Certificate(CertificateProblem),
    /// What is to be trusted can't be read.
    Trust { file: PathBuf, reason: String },
    /// Anything else.
    Tls(TlsFailure),
}

impl Failure {
    /// What the component is told: nothing of this machine. That it is about the certificate is said in
    /// rustls's own words, which are what a component looks for on any runtime.
    pub(super) fn to_component(&self) -> String {
        match self {
            // What a verifier of the embedder's says is for the embedder.
            Failure::Certificate(CertificateProblem::Other { .. }) => {
                "invalid peer certificate: it is not accepted".to_owned()
            }
            Failure::Certificate(problem) => format!("invalid peer certificate: {problem}"),
            Failure::Trust { .. } => "this runtime has no authorities to trust".to_owned(),
            Failure::Tls(failure) => failure.to_string(),
        }
    }

    /// What the person, or the embedder, is told.
    pub(crate) fn into_error(self, host: &str) -> Error {
        let host = host.to_owned();
        match self {
            Failure::Certificate(problem) => Error::CertificateRejected { host, problem },
            Failure::Trust { file, reason } => Error::Trust { file, reason },
            Failure::Tls(reason) => Error::TlsFailed { host, reason },
        }
    }
}

/// Why a server's certificate is not accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CertificateProblem {
    /// The server's, or one that it was made with, is valid no more.
    Expired {
        /// The one that is meant.
        certificate: Option<Certificate>,
    },
    /// The server's, or one that it was made with, isn't valid yet.
    NotYetValid {
        /// The one that is meant.
        certificate: Option<Certificate>,
    },
    /// It is for other names.
    WrongName {
        /// The server's.
        certificate: Option<Certificate>,
    },
    /// Nobody who is trusted has signed it.
    UnknownIssuer {
        /// The last one of those that the server showed, on the way to who should be trusted.
        certificate: Option<Certificate>,
    },
    /// Anything else; the text is for people.
    Other {
        /// What is wrong with it.
        reason: String,
        /// The server's.
        certificate: Option<Certificate>,
    },
}

impl CertificateProblem {
    /// What rustls means, of these certificates, the server's first.
    pub(super) fn new(error: &CertificateError, chain: &[Certificate]) -> CertificateProblem {
        use CertificateError as E;
        let first = || chain.first().cloned();
        match error {
            E::Expired | E::ExpiredContext { .. } => {
                let now = std::time::SystemTime::now();
                CertificateProblem::Expired {
                    certificate: chain.iter().find(|it| it.not_after < now).cloned(),
                }
            }
            E::NotValidYet | E::NotValidYetContext { .. } => {
                let now = std::time::SystemTime::now();
                CertificateProblem::NotYetValid {
                    certificate: chain.iter().find(|it| it.not_before > now).cloned(),
                }
            }
            E::NotValidForName | E::NotValidForNameContext { .. } => {
                CertificateProblem::WrongName {
                    certificate: first(),
                }
            }
            E::UnknownIssuer => CertificateProblem::UnknownIssuer {
                certificate: last_of(chain).cloned(),
            },
            // Whatever else it is, it is nobody's whom anybody knows.
            E::Other(_) if is_authority(error) && chain.len() == 1 && chain[0].is_self_signed() => {
                CertificateProblem::UnknownIssuer {
                    certificate: first(),
                }
            }
            error => CertificateProblem::Other {
                reason: explain(error),
                certificate: first(),
            },
        }
    }
}

/// The last certificate on the way from the server's to whoever made it.
fn last_of(chain: &[Certificate]) -> Option<&Certificate> {
    let mut last = chain.first()?;
    // As many steps as there are certificates: they may lead in a circle.
    for _ in chain {
        let made_by = |it: &&Certificate| it.subject == last.issuer;
        match chain.iter().find(made_by) {
            Some(next) if next != last => last = next,
            _ => break,
        }
    }
    Some(last)
}

/// Whether it is an authority's certificate where a server's should be. rustls has no word of its own for
/// it; that of what is below is the name of the case.
fn is_authority(error: &CertificateError) -> bool {
    matches!(error, CertificateError::Other(other) if other.to_string().contains("CaUsedAsEndEntity"))
}

fn explain(error: &CertificateError) -> String {
    use CertificateError as E;
    match error {
        E::BadEncoding => "it can't be read".to_owned(),
        E::Revoked => "it was revoked".to_owned(),
        E::BadSignature => "its signature is wrong".to_owned(),
        E::InvalidPurpose | E::InvalidPurposeContext { .. } => {
            "it isn't made for servers".to_owned()
        }
        E::UnhandledCriticalExtension => {
            "it has an extension that must not be passed over, and isn't known".to_owned()
        }
        E::UnsupportedSignatureAlgorithmContext { .. }
        | E::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            "it is signed in a way that isn't accepted".to_owned()
        }
        error if is_authority(error) => {
            "it is that of an authority, and not of a server".to_owned()
        }
        other => other.to_string(),
    }
}

impl fmt::Display for CertificateProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use CertificateProblem as P;
        match self {
            P::Expired { certificate: None } => f.write_str("it has expired"),
            P::Expired {
                certificate: Some(it),
            } => write!(f, "it expired at {} ({it})", it.ends()),
            P::NotYetValid { certificate: None } => f.write_str("it isn't valid yet"),
            P::NotYetValid {
                certificate: Some(it),
            } => write!(f, "it isn't valid before {} ({it})", it.begins()),
            P::WrongName { certificate: None } => f.write_str("it is for another name"),
            P::WrongName {
                certificate: Some(it),
            } => match it.names.as_slice() {
                [] => write!(f, "it has no names of servers in it ({it})"),
                names => write!(f, "it is for {} ({it})", Names(names)),
            },
            P::UnknownIssuer { certificate: None } => {
                f.write_str("nobody who is trusted has signed it")
            }
            P::UnknownIssuer {
                certificate: Some(it),
            } if it.is_self_signed() => {
                write!(f, "{} is self-signed, and not trusted", it.subject)
            }
            P::UnknownIssuer {
                certificate: Some(it),
            } => write!(
                f,
                "the issuer of {} is not known: {}",
                it.subject, it.issuer
            ),
            P::Other {
                reason,
                certificate: None,
            } => f.write_str(reason),
            P::Other {
                reason,
                certificate: Some(it),
            } => write!(f, "{reason} ({it})"),
        }
    }
}

/// The first names of many.
struct Names<'a>(&'a [String]);

impl fmt::Display for Names<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 5;
        let shown = self.0.get(..SHOWN).unwrap_or(self.0);
        f.write_str(&shown.join(", "))?;
        match self.0.len() - shown.len() {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

/// Why there is no TLS with a server, other than for its certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TlsFailure {
    /// What it sent isn't TLS.
    NotTls,
    /// It closed the connection before there was TLS on it.
    Closed,
    /// It has no version of TLS that is permitted here.
    NoCommonVersion,
    /// It has no cipher, or no group for the exchange of keys, that is known here.
    NothingInCommon,
    /// It wants a client certificate, and got none.
    CertificateRequired,
    /// It said what it disliked, in one of TLS's own words.
    Alert {
        /// The word, as RFC 8446 section 6 has it.
        name: String,
    },
    /// Its name isn't one that a certificate could be for.
    InvalidName {
        /// The name.
        name: String,
    },
    /// The connection below broke.
    Broken {
        /// How, as the system says it.
        reason: String,
    },
    /// Anything else; the text is for people.
    Other {
        /// What went wrong.
        reason: String,
    },
}

impl TlsFailure {
    /// What rustls means, of a connection on which there was TLS `already` or wasn't.
    pub(super) fn new(error: &rustls::Error, already: bool) -> TlsFailure {
        use rustls::Error as E;
        match error {
            // Where there was TLS already the same message means that somebody has meddled with it.
            E::InvalidMessage(
                InvalidMessage::InvalidContentType
                | InvalidMessage::UnknownProtocolVersion
                | InvalidMessage::MessageTooLarge,
            ) if !already => TlsFailure::NotTls,
            E::PeerIncompatible(
                PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
                | PeerIncompatible::ServerDoesNotSupportTls12Or13
                | PeerIncompatible::Tls12NotOffered
                | PeerIncompatible::Tls12NotOfferedOrEnabled,
            )
            | E::AlertReceived(AlertDescription::ProtocolVersion) => TlsFailure::NoCommonVersion,
            E::PeerIncompatible(
                PeerIncompatible::NoCipherSuitesInCommon
                | PeerIncompatible::NoKxGroupsInCommon
                | PeerIncompatible::NoSignatureSchemesInCommon,
            ) => TlsFailure::NothingInCommon,
            E::AlertReceived(AlertDescription::CertificateRequired) => {
                TlsFailure::CertificateRequired
            }
            E::AlertReceived(alert) => TlsFailure::Alert {
                name: word(&format!("{alert:?}")),
            },
            error => TlsFailure::Other {
                reason: error.to_string(),
            },
        }
    }
}

/// A name in Rust's letters in those of the standard.
fn word(name: &str) -> String {
    let mut word = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !word.is_empty() && !word.ends_with('_') {
            word.push('_');
        }
        word.push(letter.to_ascii_lowercase());
    }
    word
}

impl fmt::Display for TlsFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TlsFailure::NotTls => {
                f.write_str("what the server sent isn't TLS (does the URL begin with http://?)")
            }
            TlsFailure::Closed => f.write_str("the server closed the connection instead"),
            TlsFailure::NoCommonVersion => {
                f.write_str("the server has no version of TLS that is permitted here")
            }
            TlsFailure::NothingInCommon => {
                f.write_str("the server has no cipher or key exchange that is known here")
            }
            TlsFailure::CertificateRequired => f.write_str("the server wants a client certificate"),
            TlsFailure::Alert { name } => write!(f, "the server refused it: {name}"),
            TlsFailure::InvalidName { name } => {
                write!(f, "{name:?} is no name that a certificate could be for")
            }
            TlsFailure::Broken { reason } => write!(f, "the connection broke: {reason}"),
            TlsFailure::Other { reason } => f.write_str(reason),
        }
    }
}

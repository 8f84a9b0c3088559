//! Why a TLS handshake or connection failed.

use super::certificate::Certificate;
use rustls::{AlertDescription, CertificateError, InvalidMessage, PeerIncompatible};
use sockbox_printable::Line;
use std::fmt;
use std::path::PathBuf;

/// A failure in a run. The component gets a text, the caller a typed error.
#[derive(Clone, Debug)]
pub enum Failure {
    /// The server's certificate isn't accepted.
    Certificate(CertificateProblem),
    /// The trusted certificates can't be read.
    Trust {
        /// The file, or the folder.
        file: PathBuf,
        /// Why not.
        reason: String,
    },
    /// Anything else.
    Tls(TlsFailure),
}

impl Failure {
    /// The text for the component. It reveals nothing about this machine. A certificate problem starts
    /// with rustls's words, which components look for on any runtime.
    pub(super) fn to_component(&self) -> String {
        match self {
            // The text of an embedder's verifier is only for the embedder.
            Failure::Certificate(CertificateProblem::Other { .. }) => {
                "invalid peer certificate: rejected by the verifier".to_owned()
            }
            Failure::Certificate(problem) => format!("invalid peer certificate: {problem}"),
            Failure::Trust { .. } => {
                "this runtime has no trusted certificate authorities".to_owned()
            }
            Failure::Tls(failure) => failure.to_string(),
        }
    }
}

/// Why a server's certificate is not accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CertificateProblem {
    /// The server's certificate, or one in its chain, has expired.
    Expired {
        /// The one that is meant.
        certificate: Option<Certificate>,
    },
    /// The server's certificate, or one in its chain, is not valid yet.
    NotYetValid {
        /// The one that is meant.
        certificate: Option<Certificate>,
    },
    /// It is for other names.
    WrongName {
        /// The server's.
        certificate: Option<Certificate>,
    },
    /// Its issuer is not trusted.
    UnknownIssuer {
        /// The last certificate of the chain that the server sent.
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
    /// The problem that rustls reports for these certificates, the server's first.
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
            // A self-signed certificate of an unknown authority, whatever else is wrong with it.
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

/// The last certificate of the chain that starts with the server's.
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

/// Whether the server sent an authority's certificate as its own. rustls has no case for it; the text
/// contains the name of webpki's case.
fn is_authority(error: &CertificateError) -> bool {
    matches!(error, CertificateError::Other(other) if other.to_string().contains("CaUsedAsEndEntity"))
}

fn explain(error: &CertificateError) -> String {
    use CertificateError as E;
    let text = match error {
        E::BadEncoding => "it can't be parsed",
        E::Revoked => "it was revoked",
        E::UnknownRevocationStatus
        | E::ExpiredRevocationList
        | E::ExpiredRevocationListContext { .. }
        | E::InvalidOcspResponse => "its revocation status is unknown",
        E::BadSignature => "its signature is wrong",
        E::InvalidPurpose | E::InvalidPurposeContext { .. } => "it is not a server certificate",
        E::UnhandledCriticalExtension => UNKNOWN_EXTENSION,
        E::UnsupportedSignatureAlgorithmContext { .. }
        | E::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            "its signature algorithm is not supported: use RSA with 2048 to 8192 bits, ECDSA on P-256 or P-384, or Ed25519, with SHA-256 or better (P-521 and SHA-1 are not supported)"
        }
        E::ApplicationVerificationFailure => "it was refused",
        E::Other(other) => return explain_name(&other.to_string()),
        other => return explain_name(&other.to_string()),
    };
    text.to_owned()
}

const UNKNOWN_EXTENSION: &str = "it has a critical extension that is not supported";

/// If rustls has no case for an error, its text is the name of webpki's case, or the text of an embedder's
/// verifier.
fn explain_name(name: &str) -> String {
    let text = match name {
        "CaUsedAsEndEntity" => "it is a certificate of an authority, not of a server",
        "EndEntityUsedAsCa" => {
            "it is signed with a certificate that is not a certificate of an authority"
        }
        "UnsupportedCertVersion" => {
            "it, or a certificate in its chain, is not of version 3: only version 3 has server names"
        }
        "UnsupportedCriticalExtension" => UNKNOWN_EXTENSION,
        "NameConstraintViolation" => {
            "an authority in its chain is not permitted to certify this name"
        }
        "PathLenConstraintViolated" => "its chain is longer than an authority in it permits",
        "MaximumNameConstraintComparisonsExceeded"
        | "MaximumPathBuildCallsExceeded"
        | "MaximumPathDepthExceeded"
        | "MaximumSignatureChecksExceeded" => "its chain is too long to be verified",
        "InvalidSerialNumber" => "its serial number is invalid",
        "SignatureAlgorithmMismatch" => "it names two different signature algorithms",
        "UnsupportedSignatureAlgorithm" => "its signature algorithm is not supported",
        _ => return words(name),
    };
    text.to_owned()
}

/// A text as it is, and the name of a case in words: `MalformedExtensions` is `malformed extensions`.
fn words(text: &str) -> String {
    let name = text.split(['(', '{', ' ']).next().unwrap_or_default();
    let is_name = name.starts_with(|c: char| c.is_ascii_uppercase())
        && name.contains(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_alphanumeric())
        && !text[name.len()..].starts_with(' ');
    match is_name {
        true => word(name).replace('_', " "),
        false => text.to_owned(),
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
                [] => write!(f, "it contains no server names ({it})"),
                names => write!(f, "it is for {} ({it})", Names(names)),
            },
            P::UnknownIssuer { certificate: None } => f.write_str("its issuer is not trusted"),
            P::UnknownIssuer {
                certificate: Some(it),
            } if it.is_self_signed() => {
                write!(f, "{} is self-signed and not trusted", it.subject)
            }
            P::UnknownIssuer {
                certificate: Some(it),
            } => write!(
                f,
                "the issuer of {} is not trusted: {}",
                it.subject, it.issuer
            ),
            P::Other {
                reason,
                certificate: None,
            } => write!(f, "{}", Line(reason)),
            P::Other {
                reason,
                certificate: Some(it),
            } => write!(f, "{} ({it})", Line(reason)),
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

/// Why TLS with a server failed, other than because of its certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TlsFailure {
    /// The server's bytes are not TLS.
    NotTls,
    /// The server closed the connection during the handshake.
    Closed,
    /// The server supports no permitted TLS version.
    NoCommonVersion,
    /// The server supports no cipher suite, or no key exchange group, of this client.
    NothingInCommon,
    /// The server requires a client certificate, and got none.
    CertificateRequired,
    /// The server sent a TLS alert.
    Alert {
        /// The name of the alert in RFC 8446 section 6.
        name: String,
    },
    /// The server's name is not one that a certificate can contain.
    InvalidName {
        /// The name.
        name: String,
    },
    /// The TCP connection failed.
    Broken {
        /// The system's error.
        reason: String,
    },
    /// Anything else; the text is for people.
    Other {
        /// What went wrong.
        reason: String,
    },
}

impl TlsFailure {
    /// The failure that rustls reports. `already`: whether the handshake was complete.
    pub(super) fn new(error: &rustls::Error, already: bool) -> TlsFailure {
        use rustls::Error as E;
        match error {
            // After the handshake the same error means that the data was changed on the way.
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
                reason: told(error),
            },
        }
    }
}

/// An error of rustls's in words.
fn told(error: &rustls::Error) -> String {
    use rustls::Error as E;
    let name = |case: &dyn fmt::Debug| words(&format!("{case:?}"));
    match error {
        E::InvalidCertificate(error) => {
            format!(
                "the server's certificate is not accepted: {}",
                explain(error)
            )
        }
        E::InvalidMessage(case) => {
            format!("the server sent an invalid message ({})", name(case))
        }
        E::PeerIncompatible(case) => {
            format!(
                "the server and this client support no common parameters ({})",
                name(case)
            )
        }
        E::PeerMisbehaved(case) => format!("the server violates the TLS protocol ({})", name(case)),
        E::NoCertificatesPresented => "the server sent no certificate".to_owned(),
        E::DecryptError => {
            "the server's message can't be decrypted: it is corrupt, or was changed on the way"
                .to_owned()
        }
        E::General(text) => text.clone(),
        E::Other(error) => words(&error.to_string()),
        other => other.to_string(),
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

/// What ring lacks.
const NO_P521: &str = "keys of P-521 and Ed448 are not supported";

impl fmt::Display for TlsFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TlsFailure::NotTls => f.write_str(
                "the server did not answer with TLS (if it serves http, use an http:// URL)",
            ),
            TlsFailure::Closed => {
                f.write_str("the server closed the connection during the handshake")
            }
            TlsFailure::NoCommonVersion => {
                f.write_str("the server supports no TLS version that is permitted")
            }
            TlsFailure::NothingInCommon => write!(
                f,
                "the server supports no cipher suite, key exchange or key type of this client ({NO_P521})"
            ),
            TlsFailure::CertificateRequired => {
                f.write_str("the server requires a client certificate")
            }
            // Servers also send this alert if they have no certificate that the client can verify.
            TlsFailure::Alert { name } if name == "handshake_failure" => write!(
                f,
                "the server sent the alert {name}: perhaps it supports no cipher suite, key exchange or key type of this client \
                 ({NO_P521})"
            ),
            TlsFailure::Alert { name } => write!(f, "the server sent the alert {}", Line(name)),
            TlsFailure::InvalidName { name } => {
                write!(f, "{name:?} is not a name that a certificate can contain")
            }
            TlsFailure::Broken { reason } => write!(f, "the connection failed: {}", Line(reason)),
            TlsFailure::Other { reason } => write!(f, "{}", Line(reason)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::{OtherError, PeerMisbehaved};

    #[test]
    fn errors_are_told_in_words() {
        #[derive(Debug)]
        struct Named(&'static str);
        impl fmt::Display for Named {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.0)
            }
        }
        impl std::error::Error for Named {}
        let other = |name| CertificateError::Other(OtherError(std::sync::Arc::new(Named(name))));
        for (error, expected) in [
            (other("UnsupportedCertVersion"), "is not of version 3"),
            (other("CaUsedAsEndEntity"), "of an authority"),
            (other("MaximumPathDepthExceeded"), "too long"),
            (other("MalformedExtensions"), "malformed extensions"),
            (other("a verifier's own words"), "a verifier's own words"),
            (other("Words of a Verifier"), "Words of a Verifier"),
            (CertificateError::InvalidOcspResponse, "revocation"),
            (CertificateError::ApplicationVerificationFailure, "refused"),
        ] {
            for reason in [
                explain(&error),
                TlsFailure::new(&error.clone().into(), false).to_string(),
            ] {
                assert!(reason.contains(expected), "{error:?}: {reason}");
                assert!(!reason.contains("Other"), "{error:?}: {reason}");
            }
        }
        for (error, expected) in [
            (
                rustls::Error::Other(OtherError(std::sync::Arc::new(Named("why")))),
                "why",
            ),
            (
                PeerMisbehaved::SelectedUnofferedCipherSuite.into(),
                "the server violates the TLS protocol (selected unoffered cipher suite)",
            ),
            (
                rustls::Error::AlertReceived(AlertDescription::HandshakeFailure),
                "the server sent the alert handshake_failure: perhaps it supports no cipher suite, key exchange or key type of this client (keys of P-521 and Ed448 are not supported)",
            ),
        ] {
            assert_eq!(TlsFailure::new(&error, true).to_string(), expected);
        }
    }
}

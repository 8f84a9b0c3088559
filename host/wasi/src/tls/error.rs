//! Errors of TLS.

use super::failure::{CertificateProblem, Failure, TlsFailure};
use sockbox_printable::Line;
use std::fmt;
use std::path::PathBuf;

/// A result whose error is [`TlsError`].
pub(super) type Result<T, E = TlsError> = std::result::Result<T, E>;

/// An error of TLS.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// The trusted certificates can't be read.
    #[error("could not read the certificates to trust in {}: {}", Line(file.display()), Line(reason))]
    Trust {
        /// The file, or the folder.
        file: PathBuf,
        /// Why not.
        reason: String,
    },
    /// The client certificate, or its key, can't be used.
    #[error("could not use the client certificate in {}: {}", Line(file.display()), Line(reason))]
    ClientCertificate {
        /// The file with what is wrong in it.
        file: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The server's certificate is not accepted. No request was sent.
    #[error(
        "the certificate of {} is not accepted: {problem}{}",
        Line(host),
        Trusting(problem)
    )]
    CertificateRejected {
        /// The host, as the URL names it.
        host: String,
        /// What is wrong with the certificate.
        problem: CertificateProblem,
    },
    /// The handshake with the server failed. No request was sent.
    #[error(
        "TLS handshake with {} failed: {reason}{}",
        Line(host),
        Showing(reason)
    )]
    Handshake {
        /// The host, as the URL names it.
        host: String,
        /// Why it failed.
        reason: TlsFailure,
    },
    /// The connection failed after the handshake.
    #[error("the TLS connection failed: {reason}{}", Showing(reason))]
    Broken {
        /// How it broke.
        reason: TlsFailure,
    },
}

impl TlsError {
    /// The setting that would help, if one is known. The text of the error contains it.
    pub fn hint(&self) -> Option<TlsHint> {
        match self {
            TlsError::CertificateRejected { problem, .. } => of_problem(problem),
            TlsError::Handshake { reason, .. } | TlsError::Broken { reason } => of_failure(reason),
            TlsError::Trust { .. } | TlsError::ClientCertificate { .. } => None,
        }
    }
}

/// A setting that would help after a TLS failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TlsHint {
    /// Trust the server's own self-signed certificate.
    TrustCertificate,
    /// Trust the issuer of the server's certificate.
    TrustIssuer,
    /// Send a client certificate.
    ShowCertificate,
}

impl fmt::Display for TlsHint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TlsHint::TrustCertificate => "a CA file with that certificate",
            TlsHint::TrustIssuer => "a CA file with the issuer's certificate",
            TlsHint::ShowCertificate => "a client certificate",
        })
    }
}

fn of_problem(problem: &CertificateProblem) -> Option<TlsHint> {
    match problem {
        CertificateProblem::UnknownIssuer {
            certificate: Some(it),
        } if it.is_self_signed() => Some(TlsHint::TrustCertificate),
        CertificateProblem::UnknownIssuer { .. } => Some(TlsHint::TrustIssuer),
        _ => None,
    }
}

fn of_failure(failure: &TlsFailure) -> Option<TlsHint> {
    match failure {
        TlsFailure::CertificateRequired => Some(TlsHint::ShowCertificate),
        _ => None,
    }
}

impl Failure {
    /// The error for the embedder and the user.
    pub fn into_error(self, host: &str) -> TlsError {
        let host = host.to_owned();
        match self {
            Failure::Certificate(problem) => TlsError::CertificateRejected { host, problem },
            Failure::Trust { file, reason } => TlsError::Trust { file, reason },
            Failure::Tls(reason) => TlsError::Handshake { host, reason },
        }
    }
}

/// ` (HINT would make it trusted)`, where there is one.
struct Trusting<'a>(&'a CertificateProblem);

impl fmt::Display for Trusting<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match of_problem(self.0) {
            Some(hint) => write!(f, " ({hint} would make it trusted)"),
            None => Ok(()),
        }
    }
}

/// ` (HINT is needed)`, where there is one.
struct Showing<'a>(&'a TlsFailure);

impl fmt::Display for Showing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match of_failure(self.0) {
            Some(hint) => write!(f, " ({hint} is needed)"),
            None => Ok(()),
        }
    }
}

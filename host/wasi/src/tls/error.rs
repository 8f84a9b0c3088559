//! What can go wrong with TLS, for people and embedders.

use super::failure::{CertificateProblem, TlsFailure};
use sockbox_printable::Line;
use std::fmt;
use std::path::PathBuf;

/// What failed, or what was asked for.
pub(super) type Result<T, E = TlsError> = std::result::Result<T, E>;

/// What went wrong with TLS.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// What is to be trusted can't be read.
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
    /// The server's certificate doesn't prove that it is the server that was meant. Nothing was asked of it.
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
    /// The handshake with the server failed. Nothing was asked of it.
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
    /// The connection broke after the handshake.
    #[error("the TLS connection failed: {reason}{}", Showing(reason))]
    Broken {
        /// How it broke.
        reason: TlsFailure,
    },
}

impl TlsError {
    /// What would help, where something can be told. Its text is in the error's.
    pub fn hint(&self) -> Option<TlsHint> {
        match self {
            TlsError::CertificateRejected { problem, .. } => of_problem(problem),
            TlsError::Handshake { reason, .. } | TlsError::Broken { reason } => of_failure(reason),
            TlsError::Trust { .. } | TlsError::ClientCertificate { .. } => None,
        }
    }
}

/// What would help where TLS has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TlsHint {
    /// Trusting the server's own certificate, which it has signed itself.
    TrustCertificate,
    /// Trusting the certificate of the server's issuer.
    TrustIssuer,
    /// Showing a client certificate.
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

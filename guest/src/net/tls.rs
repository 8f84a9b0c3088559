//! Why a TLS handshake failed.

/// Why a TLS handshake failed. The texts are the runtime's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TlsError {
    /// The peer's certificate was rejected.
    Rejected(String),
    /// Anything else.
    Failed(String),
}

impl TlsError {
    /// Classifies the text of a runtime.
    ///
    /// `wasi:tls` gives only a text for people. A rejected certificate is worth a case of its own,
    /// and each TLS library that runtimes use has a known phrase for it.
    pub fn from_text(text: &str) -> Self {
        // rustls; OpenSSL, on its own or behind native-tls.
        const REJECTED: [&str; 2] = ["invalid peer certificate", "certificate verify failed"];
        // The lines that follow are the runtime's: causes and backtraces.
        let line = text.lines().next().unwrap_or_default();
        let line = line.trim_matches('"').to_owned();
        match REJECTED.iter().any(|words| text.contains(words)) {
            true => Self::Rejected(line),
            false => Self::Failed(line),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificate_errors_are_told_from_the_others() {
        let rejected = |text: &str| TlsError::Rejected(text.to_owned());
        let failed = |text: &str| TlsError::Failed(text.to_owned());
        for (text, expected) in [
            (
                "\"invalid peer certificate: UnknownIssuer\"",
                rejected("invalid peer certificate: UnknownIssuer"),
            ),
            (
                "invalid peer certificate: Expired\n\nCaused by:\n  nothing",
                rejected("invalid peer certificate: Expired"),
            ),
            (
                "error:0A000086:SSL routines::certificate verify failed",
                rejected("error:0A000086:SSL routines::certificate verify failed"),
            ),
            (
                "\"received fatal alert: HandshakeFailure\"",
                failed("received fatal alert: HandshakeFailure"),
            ),
            ("", failed("")),
        ] {
            assert_eq!(TlsError::from_text(text), expected, "{text:?}");
        }
    }
}

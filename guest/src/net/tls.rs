//! Why there is no TLS with a peer.

/// Why there is no TLS with a peer. The texts are the runtime's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TlsError {
    /// Its certificate doesn't prove that it is who it should be.
    Rejected(String),
    /// Anything else.
    Failed(String),
}

impl TlsError {
    /// Finds out what a runtime means.
    ///
    /// `wasi:tls` tells no more than a text for people. That it is about the certificate is worth
    /// telling from the rest, and each of the libraries that runtimes use has its words for it.
    pub fn from_text(text: &str) -> Self {
        // rustls; OpenSSL, on its own or behind native-tls.
        const REJECTED: [&str; 2] = ["invalid peer certificate", "certificate verify failed"];
        // What follows is what the runtime makes of it: causes and traces of its own.
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
    fn certificates_are_told_from_the_rest() {
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

//! Converts the component's errors.

use crate::bindings::fetch as wit;
use crate::error::{ConnectFailure, Error, NetworkError, ResponseLimit, Stage, TimeBound};
use crate::limits::Limit;
use crate::url::without_credentials;
use crate::wit_convert::{bounded, denied};
use sockbox_wasi::Incidents;
use sockbox_wasi::tls::{Failure, TlsError, TlsFailure};
use std::time::Duration;

impl From<wit::Stage> for Stage {
    fn from(stage: wit::Stage) -> Stage {
        match stage {
            wit::Stage::Resolve => Stage::Resolve,
            wit::Stage::Connect => Stage::Connect,
            wit::Stage::Handshake => Stage::Handshake,
            wit::Stage::Send => Stage::Send,
            wit::Stage::FirstByte => Stage::FirstByte,
            wit::Stage::Head => Stage::Head,
            wit::Stage::Body => Stage::Body,
        }
    }
}

impl From<wit::TimeBound> for TimeBound {
    fn from(bound: wit::TimeBound) -> TimeBound {
        match bound {
            wit::TimeBound::Stage => TimeBound::Stage,
            wit::TimeBound::Total => TimeBound::Total,
            wit::TimeBound::Speed => TimeBound::Speed,
        }
    }
}

impl From<wit::ConnectFailure> for ConnectFailure {
    fn from(failure: wit::ConnectFailure) -> ConnectFailure {
        ConnectFailure::new(failure.address.into(), failure.reason.into())
    }
}

impl From<wit::ResponseLimit> for ResponseLimit {
    fn from(limit: wit::ResponseLimit) -> ResponseLimit {
        match limit {
            wit::ResponseLimit::HeadSize => ResponseLimit::HeadSize,
            wit::ResponseLimit::BodySize => ResponseLimit::BodySize,
            wit::ResponseLimit::HeaderCount => ResponseLimit::HeaderCount,
            wit::ResponseLimit::InterimResponses => ResponseLimit::InterimResponses,
            wit::ResponseLimit::TrailerSize => ResponseLimit::TrailerSize,
        }
    }
}

/// The error for an error code of the component. `incidents` happened during the request; they have details
/// that the component does not see.
pub(super) fn error(incidents: &Incidents, host: &str, url: &str, code: wit::ErrorCode) -> Error {
    let error = translated(incidents, host, url, code);
    match limit_behind(incidents, &error) {
        Some(limit) => Error::Exhausted { limit },
        None => error,
    }
}

/// The limit behind an error, if the component only saw that the operation failed.
fn limit_behind(incidents: &Incidents, error: &Error) -> Option<Limit> {
    let limit = match error {
        Error::ReceiveFailed {
            reason: NetworkError::Other,
        } => Limit::ReceivedBytes,
        // A server may respond before it has received the whole request, so receiving comes after a
        // failed send.
        Error::SendFailed {
            reason: NetworkError::Other,
        }
        | Error::EmptyResponse
        | Error::Timeout {
            stage: Stage::Send | Stage::FirstByte,
            ..
        } => Limit::SentBytes,
        Error::ResolveFailed {
            reason: NetworkError::TemporaryResolverFailure,
            ..
        } => Limit::Resolutions,
        Error::ConnectFailed { attempts, .. }
            if attempts
                .iter()
                .any(|attempt| attempt.reason == NetworkError::NoSocketsLeft) =>
        {
            // A proxy's answer counts as bytes of the run.
            let all = [
                Limit::ConnectsPerSecond,
                Limit::ReceivedBytes,
                Limit::SentBytes,
            ];
            return all.into_iter().find(|limit| incidents.has_reached(*limit));
        }
        // In a handshake, a failure of either direction has the same cause.
        Error::Tls(TlsError::Handshake {
            reason: TlsFailure::Broken { .. },
            ..
        }) => {
            let mut either = [Limit::ReceivedBytes, Limit::SentBytes].into_iter();
            return either.find(|limit| incidents.has_reached(*limit));
        }
        _ => return None,
    };
    incidents.has_reached(limit).then_some(limit)
}

/// The one table from the component's codes to ours.
fn translated(incidents: &Incidents, host: &str, url: &str, code: wit::ErrorCode) -> Error {
    match code {
        wit::ErrorCode::InvalidUrl(reason) => Error::InvalidUrl {
            url: without_credentials(url),
            reason: bounded(reason),
        },
        wit::ErrorCode::UnsupportedScheme(scheme) => Error::UnsupportedScheme {
            scheme: bounded(scheme),
        },
        wit::ErrorCode::InvalidRequest(reason) => Error::InvalidRequest {
            reason: bounded(reason),
        },
        wit::ErrorCode::Denied(target) => denied(incidents, &target, Some(host)),
        wit::ErrorCode::InsecureRedirect(url) => Error::InsecureRedirect { url: bounded(url) },
        wit::ErrorCode::TlsFailed(text) | wit::ErrorCode::CertificateRejected(text) => {
            Error::Tls(match incidents.tls_failure() {
                Some(failure) => failure.clone().into_error(host),
                None => TlsError::Handshake {
                    host: host.to_owned(),
                    reason: TlsFailure::Other {
                        reason: bounded(text),
                    },
                },
            })
        }
        wit::ErrorCode::ResolveFailed(reason) => Error::ResolveFailed {
            host: host.to_owned(),
            reason: reason.into(),
        },
        wit::ErrorCode::ConnectFailed(attempts) => match incidents.proxy_failure() {
            Some((proxy, problem)) => Error::Proxy {
                host: host.to_owned(),
                proxy: proxy.to_owned(),
                problem: problem.clone(),
            },
            None => Error::ConnectFailed {
                host: host.to_owned(),
                attempts: attempts.into_iter().map(ConnectFailure::from).collect(),
            },
        },
        // The component has no error code for this: it only sees that the connection failed.
        wit::ErrorCode::SendFailed(reason) => match incidents.tls_failure() {
            Some(Failure::Tls(reason)) => Error::Tls(TlsError::Broken {
                reason: reason.clone(),
            }),
            _ => Error::SendFailed {
                reason: reason.into(),
            },
        },
        wit::ErrorCode::ReceiveFailed(reason) => match incidents.tls_failure() {
            Some(Failure::Tls(reason)) => Error::Tls(TlsError::Broken {
                reason: reason.clone(),
            }),
            _ => Error::ReceiveFailed {
                reason: reason.into(),
            },
        },
        wit::ErrorCode::ProtocolError(reason) => Error::Protocol {
            reason: bounded(reason),
        },
        wit::ErrorCode::EmptyResponse => Error::EmptyResponse,
        wit::ErrorCode::IncompleteBody(wit::Incomplete { received, expected }) => {
            Error::IncompleteBody { received, expected }
        }
        wit::ErrorCode::TooManyRedirects(limit) => Error::TooManyRedirects { limit },
        wit::ErrorCode::ContentEncoding(reason) => Error::ContentEncoding {
            reason: bounded(reason),
        },
        wit::ErrorCode::Timeout(timeout) => Error::Timeout {
            stage: timeout.stage.into(),
            bound: timeout.bound.into(),
            limit: Duration::from_nanos(timeout.limit),
            received: timeout.received,
        },
        wit::ErrorCode::LimitExceeded(limit) => Error::LimitExceeded {
            limit: limit.into(),
        },
        wit::ErrorCode::WriteFailed => Error::internal("the output was closed by the component"),
        wit::ErrorCode::Internal(text) => {
            let text = bounded(text);
            Error::internal(format_args!("a bug in the component: {text}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bindings::types;
    use crate::policy::audit::RunId;
    use crate::policy::{DenialReason, Target};
    use sockbox_wasi::tls::CertificateProblem;
    use sockbox_wasi::{Authority, Grant, Incident, Mark, ProxyProblem};
    use std::net::SocketAddr;

    fn authority() -> Authority {
        Authority::new(RunId::new(1), &Grant::new())
    }

    fn all(authority: &Authority) -> Incidents {
        authority.incidents_since(Mark::default())
    }

    #[test]
    fn every_error_of_the_components_has_its_own() {
        let authority = authority();
        let address: SocketAddr = "192.0.2.1:80".parse().unwrap();
        authority.allows(Target::Connect(address));
        let text = String::from;
        let table = [
            (
                wit::ErrorCode::InvalidUrl(text("why")),
                "InvalidUrl { url: \"http://h/\", reason: \"why\" }",
            ),
            (
                wit::ErrorCode::UnsupportedScheme(text("ftp")),
                "UnsupportedScheme { scheme: \"ftp\" }",
            ),
            (
                wit::ErrorCode::InvalidRequest(text("why")),
                "InvalidRequest { reason: \"why\" }",
            ),
            (
                wit::ErrorCode::Denied(types::Target::Connect(address.into())),
                "Denied { target: Connect(192.0.2.1:80), name: None, reason: NoRule }",
            ),
            (
                wit::ErrorCode::Denied(types::Target::Resolve(text("other.example"))),
                "ResolveFailed { host: \"other.example\", reason: NotPermitted }",
            ),
            (
                wit::ErrorCode::ResolveFailed(types::NetworkError::NameUnresolvable),
                "ResolveFailed { host: \"h\", reason: NameUnresolvable }",
            ),
            (
                wit::ErrorCode::ConnectFailed(vec![wit::ConnectFailure {
                    address: address.into(),
                    reason: types::NetworkError::ConnectionRefused,
                }]),
                "ConnectFailed { host: \"h\", attempts: [ConnectFailure { \
                 address: 192.0.2.1:80, reason: ConnectionRefused }] }",
            ),
            (
                wit::ErrorCode::InsecureRedirect(text("http://h/")),
                "InsecureRedirect { url: \"http://h/\" }",
            ),
            (
                wit::ErrorCode::TlsFailed(text("why")),
                "Tls(Handshake { host: \"h\", reason: Other { reason: \"why\" } })",
            ),
            (
                wit::ErrorCode::SendFailed(types::NetworkError::ConnectionReset),
                "SendFailed { reason: ConnectionReset }",
            ),
            (
                wit::ErrorCode::ReceiveFailed(types::NetworkError::ConnectionReset),
                "ReceiveFailed { reason: ConnectionReset }",
            ),
            (
                wit::ErrorCode::ProtocolError(text("why")),
                "Protocol { reason: \"why\" }",
            ),
            (wit::ErrorCode::EmptyResponse, "EmptyResponse"),
            (
                wit::ErrorCode::IncompleteBody(wit::Incomplete {
                    received: 1,
                    expected: Some(2),
                }),
                "IncompleteBody { received: 1, expected: Some(2) }",
            ),
            (
                wit::ErrorCode::Timeout(wit::Timeout {
                    stage: wit::Stage::FirstByte,
                    bound: wit::TimeBound::Total,
                    limit: 1_500_000_000,
                    received: 0,
                }),
                "Timeout { stage: FirstByte, bound: Total, limit: 1.5s, received: 0 }",
            ),
            (
                wit::ErrorCode::TooManyRedirects(30),
                "TooManyRedirects { limit: 30 }",
            ),
            (
                wit::ErrorCode::ContentEncoding(text("why")),
                "ContentEncoding { reason: \"why\" }",
            ),
            (
                wit::ErrorCode::LimitExceeded(wit::ResponseLimit::BodySize),
                "LimitExceeded { limit: BodySize }",
            ),
            (
                wit::ErrorCode::Internal(text("why")),
                "Internal { message: \"a bug in the component: why\" }",
            ),
        ];
        for (code, expected) in table {
            let found = error(&all(&authority), "h", "http://me:secret@h/", code);
            assert_eq!(format!("{found:?}"), expected);
        }
        assert_eq!(
            all(&authority)
                .refusal_of(&Target::Connect(address))
                .map(|refusal| refusal.reason),
            Some(DenialReason::NoRule)
        );
    }

    #[test]
    fn what_failed_below_the_component_is_told_in_its_place() {
        let authority = authority();
        let text = String::from;
        let expired = || Failure::Certificate(CertificateProblem::Expired { certificate: None });
        let required = || Failure::Tls(TlsFailure::CertificateRequired);
        let table = [
            (
                wit::ErrorCode::CertificateRejected(text("words")),
                expired(),
                "Tls(CertificateRejected { host: \"h\", problem: Expired { certificate: None } })",
            ),
            // Independent of the component's text.
            (
                wit::ErrorCode::TlsFailed(text("words")),
                expired(),
                "Tls(CertificateRejected { host: \"h\", problem: Expired { certificate: None } })",
            ),
            (
                wit::ErrorCode::TlsFailed(text("words")),
                Failure::Trust {
                    file: "file".into(),
                    reason: text("why"),
                },
                "Tls(Trust { file: \"file\", reason: \"why\" })",
            ),
            (
                wit::ErrorCode::TlsFailed(text("words")),
                required(),
                "Tls(Handshake { host: \"h\", reason: CertificateRequired })",
            ),
            (
                wit::ErrorCode::ReceiveFailed(types::NetworkError::Other),
                required(),
                "Tls(Broken { reason: CertificateRequired })",
            ),
            (
                wit::ErrorCode::SendFailed(types::NetworkError::Other),
                required(),
                "Tls(Broken { reason: CertificateRequired })",
            ),
            (wit::ErrorCode::EmptyResponse, required(), "EmptyResponse"),
        ];
        for (code, failure, expected) in table {
            authority.note(Incident::Tls(failure));
            let found = error(&all(&authority), "h", "https://h/", code);
            assert_eq!(format!("{found:?}"), expected);
        }
    }

    #[test]
    fn a_proxy_that_gave_no_connection_is_told_of() {
        let authority = authority();
        let failed = wit::ErrorCode::ConnectFailed(vec![wit::ConnectFailure {
            address: SocketAddr::from(([192, 0, 2, 1], 80)).into(),
            reason: types::NetworkError::Unreachable,
        }]);
        for status in [502, 407] {
            authority.note(Incident::Proxy {
                proxy: "proxy.example:1080".to_owned(),
                problem: ProxyProblem::Refused { status },
            });
        }
        let found = error(&all(&authority), "h", "http://h/", failed);
        assert_eq!(
            found.to_string(),
            "no connection to h through the proxy proxy.example:1080: it answered 407 (it wants other credentials)"
        );
    }

    #[test]
    fn a_limit_behind_a_failure_is_told() {
        let other = types::NetworkError::Other;
        let address: SocketAddr = "192.0.2.1:80".parse().unwrap();
        for (code, limit) in [
            (wit::ErrorCode::ReceiveFailed(other), Limit::ReceivedBytes),
            (wit::ErrorCode::SendFailed(other), Limit::SentBytes),
            (wit::ErrorCode::EmptyResponse, Limit::SentBytes),
            (
                wit::ErrorCode::ResolveFailed(types::NetworkError::TemporaryResolverFailure),
                Limit::Resolutions,
            ),
            (
                wit::ErrorCode::ConnectFailed(vec![wit::ConnectFailure {
                    address: address.into(),
                    reason: types::NetworkError::NoSocketsLeft,
                }]),
                Limit::ConnectsPerSecond,
            ),
        ] {
            let authority = authority();
            let before = error(&all(&authority), "h", "http://h/", code.clone());
            assert!(!matches!(before, Error::Exhausted { .. }), "{before:?}");
            authority.reached(limit, None);
            let after = error(&all(&authority), "h", "http://h/", code);
            assert!(
                matches!(after, Error::Exhausted { limit: at } if at == limit),
                "{after:?}"
            );
        }
    }
}

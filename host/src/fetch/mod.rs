//! Fetching a page.

mod body;
mod redirect;
mod request;
mod response;
mod timings;

pub use body::Body;
pub use redirect::Redirect;
pub use request::{Family, Header, Request};
pub use response::Response;
pub use timings::Timings;

use crate::bindings::fetch as wit;
use crate::convert::{bounded, denied};
use crate::error::{ConnectFailure, Error, NetworkError, ResponseLimit, Result, Stage, TimeBound};
use crate::instance::Instance;
use crate::limits::Limit;
use crate::network::Network;
use crate::policy::without_credentials;
use crate::tls::{Failure, TlsFailure};
use std::net::SocketAddr;
use std::time::Duration;
use wasmtime::component::ResourceAny;

impl Instance {
    /// Send a request, and receive the response's head.
    ///
    /// # Errors
    /// - [`Error::InvalidUrl`], [`Error::UnsupportedScheme`], [`Error::InvalidRequest`]: the
    ///   request can't be sent.
    /// - [`Error::Denied`]: the policy does not grant what it takes. Nothing was sent.
    /// - [`Error::CertificateRejected`], [`Error::TlsFailed`], [`Error::TlsBroken`]: TLS.
    ///   [`Error::Trust`]: the system's authorities can't be read, which the environment names.
    /// - [`Error::ResolveFailed`], [`Error::ConnectFailed`], [`Error::SendFailed`],
    ///   [`Error::ReceiveFailed`]: the network.
    /// - [`Error::Exhausted`]: the limits are too tight for it. The instance can still be used if it
    ///   is one of the network's.
    /// - [`Error::Protocol`], [`Error::EmptyResponse`], [`Error::ContentEncoding`],
    ///   [`Error::LimitExceeded`]: the server.
    /// - [`Error::Timeout`]: it took too long.
    /// - [`Error::Abandoned`], [`Error::Trapped`], [`Error::WallTime`], [`Error::CpuTime`],
    ///   [`Error::MemoryLimit`], [`Error::Exhausted`]: the instance can't be used any more.
    ///
    /// # Cancel safety
    /// A future that is dropped before its end leaves an instance that can't be used any more.
    pub async fn fetch(&mut self, request: Request) -> Result<Response<'_>> {
        let host = host_of(&request.url);
        let (store, exports) = self.parts();
        exports.fetch()?;
        let request = request.into_wit(&mut store.data_mut().table)?;
        let call = self.begin().await?;
        let (store, exports) = self.parts();
        let fetch = exports.fetch()?;
        // What failed before is of an earlier request.
        let _ = store.data().tls.failure();
        let result = call.run(fetch.call_fetch(&mut *store, &request)).await?;
        let response = self
            .end(result)?
            .map_err(|code| error(self, &host, &request.url, code))?;

        let head = self.head_of(response).await?;
        let remote_address: SocketAddr = head.remote_address.into();
        self.network().answered(&request.url, remote_address.ip());
        Ok(Response::new(self, response, head, host))
    }

    /// Ask the component for the head of a response.
    async fn head_of(&mut self, response: ResourceAny) -> Result<wit::ResponseHead> {
        let call = self.begin().await?;
        let (store, exports) = self.parts();
        let guest = exports.fetch()?.response();
        let result = call.run(guest.call_head(&mut *store, response)).await?;
        self.end(result)
    }
}

impl From<wit::Stage> for Stage {
    fn from(stage: wit::Stage) -> Stage {
        match stage {
            wit::Stage::Lookup => Stage::Lookup,
            wit::Stage::Connect => Stage::Connect,
            wit::Stage::Handshake => Stage::Handshake,
            wit::Stage::Send => Stage::Send,
            wit::Stage::FirstByte => Stage::FirstByte,
            wit::Stage::Head => Stage::Head,
            wit::Stage::Body => Stage::Body,
        }
    }
}

impl From<wit::Bound> for TimeBound {
    fn from(bound: wit::Bound) -> TimeBound {
        match bound {
            wit::Bound::Stage => TimeBound::Stage,
            wit::Bound::Total => TimeBound::Total,
            wit::Bound::Speed => TimeBound::Speed,
        }
    }
}

impl From<wit::ConnectFailure> for ConnectFailure {
    fn from(failure: wit::ConnectFailure) -> ConnectFailure {
        ConnectFailure::new(failure.address.into(), failure.reason.into())
    }
}

impl From<wit::Limit> for ResponseLimit {
    fn from(limit: wit::Limit) -> ResponseLimit {
        match limit {
            wit::Limit::HeadSize => ResponseLimit::HeadSize,
            wit::Limit::BodySize => ResponseLimit::BodySize,
            wit::Limit::HeaderCount => ResponseLimit::HeaderCount,
            wit::Limit::InterimResponses => ResponseLimit::InterimResponses,
            wit::Limit::TrailerSize => ResponseLimit::TrailerSize,
        }
    }
}

/// What the component's error means here.
fn error(instance: &Instance, host: &str, url: &str, code: wit::ErrorCode) -> Error {
    told(
        instance.network(),
        instance.tls().failure(),
        host,
        url,
        code,
    )
}

/// The same, of what is known besides. `tls` is what has failed in TLS, below the component.
fn told(
    network: &Network,
    tls: Option<Failure>,
    host: &str,
    url: &str,
    code: wit::ErrorCode,
) -> Error {
    let error = translated(network, tls, host, url, code);
    match limit_behind(network, &error) {
        Some(limit) => Error::Exhausted { limit },
        None => error,
    }
}

/// The limit that an error comes of, where the component could only be told that it is one.
fn limit_behind(network: &Network, error: &Error) -> Option<Limit> {
    let limit = match error {
        Error::ReceiveFailed {
            reason: NetworkError::Other,
        } => Limit::ReceivedBytes,
        // A server may answer before it has got all, so that this is waited for.
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
        } => Limit::Lookups,
        Error::ConnectFailed { attempts, .. }
            if attempts
                .iter()
                .any(|attempt| attempt.reason == NetworkError::NoSocketsLeft) =>
        {
            Limit::ConnectsPerSecond
        }
        // Nobody can tell which way a handshake was broken.
        Error::TlsFailed {
            reason: TlsFailure::Broken { .. },
            ..
        } => {
            let mut either = [Limit::ReceivedBytes, Limit::SentBytes].into_iter();
            return either.find(|limit| network.has_reached(*limit));
        }
        _ => return None,
    };
    network.has_reached(limit).then_some(limit)
}

/// The one table from the component's codes to ours.
fn translated(
    network: &Network,
    tls: Option<Failure>,
    host: &str,
    url: &str,
    code: wit::ErrorCode,
) -> Error {
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
        wit::ErrorCode::Denied(target) => denied(network, &target, Some(host)),
        wit::ErrorCode::InsecureRedirect(url) => Error::InsecureRedirect { url: bounded(url) },
        wit::ErrorCode::TlsFailed(text) | wit::ErrorCode::CertificateRejected(text) => match tls {
            Some(failure) => failure.into_error(host),
            None => Error::TlsFailed {
                host: host.to_owned(),
                reason: TlsFailure::Other {
                    reason: bounded(text),
                },
            },
        },
        wit::ErrorCode::ResolveFailed(reason) => Error::ResolveFailed {
            host: host.to_owned(),
            reason: reason.into(),
        },
        wit::ErrorCode::ConnectFailed(attempts) => Error::ConnectFailed {
            host: host.to_owned(),
            attempts: attempts.into_iter().map(ConnectFailure::from).collect(),
        },
        // The component has no word for it: what it sees of a connection is that it broke.
        wit::ErrorCode::SendFailed(reason) => match tls {
            Some(Failure::Tls(reason)) => Error::TlsBroken { reason },
            _ => Error::SendFailed {
                reason: reason.into(),
            },
        },
        wit::ErrorCode::ReceiveFailed(reason) => match tls {
            Some(Failure::Tls(reason)) => Error::TlsBroken { reason },
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
            Error::internal(format_args!("a mistake in the component: {text}"))
        }
    }
}

/// The host that a URL names, as far as a message needs it.
fn host_of(url: &str) -> String {
    url::Url::parse(url)
        .ok()
        .and_then(|url| url.host_str().map(str::to_owned))
        .unwrap_or_else(|| without_credentials(url))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bindings::types;
    use crate::network::Refusal;
    use crate::policy::{DenialReason, Policy, Target};
    use crate::tls::CertificateProblem;
    use std::net::SocketAddr;

    #[test]
    fn every_error_of_the_components_has_its_own() {
        let network = Network::of(Policy::new());
        let address: SocketAddr = "192.0.2.1:80".parse().unwrap();
        network.allows(Target::Connect(address));
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
                wit::ErrorCode::Denied(types::Target::Lookup(text("other.example"))),
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
                "TlsFailed { host: \"h\", reason: Other { reason: \"why\" } }",
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
                    bound: wit::Bound::Total,
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
                wit::ErrorCode::LimitExceeded(wit::Limit::BodySize),
                "LimitExceeded { limit: BodySize }",
            ),
            (
                wit::ErrorCode::Internal(text("why")),
                "Internal { message: \"a mistake in the component: why\" }",
            ),
        ];
        for (code, expected) in table {
            let found = told(&network, None, "h", "http://me:secret@h/", code);
            assert_eq!(format!("{found:?}"), expected);
        }
        assert_eq!(
            network.denial(&types::Target::Connect(address.into())),
            Some(Refusal {
                target: Target::Connect(address),
                name: None,
                reason: DenialReason::NoRule,
            })
        );
    }

    #[test]
    fn what_failed_below_the_component_is_told_in_its_place() {
        let network = Network::of(Policy::new());
        let text = String::from;
        let expired = || Failure::Certificate(CertificateProblem::Expired { certificate: None });
        let required = || Failure::Tls(TlsFailure::CertificateRequired);
        let table = [
            (
                wit::ErrorCode::CertificateRejected(text("words")),
                expired(),
                "CertificateRejected { host: \"h\", problem: Expired { certificate: None } }",
            ),
            // Whatever the component has made of the words.
            (
                wit::ErrorCode::TlsFailed(text("words")),
                expired(),
                "CertificateRejected { host: \"h\", problem: Expired { certificate: None } }",
            ),
            (
                wit::ErrorCode::TlsFailed(text("words")),
                Failure::Trust {
                    file: "file".into(),
                    reason: text("why"),
                },
                "Trust { file: \"file\", reason: \"why\" }",
            ),
            (
                wit::ErrorCode::TlsFailed(text("words")),
                required(),
                "TlsFailed { host: \"h\", reason: CertificateRequired }",
            ),
            (
                wit::ErrorCode::ReceiveFailed(types::NetworkError::Other),
                required(),
                "TlsBroken { reason: CertificateRequired }",
            ),
            (
                wit::ErrorCode::SendFailed(types::NetworkError::Other),
                required(),
                "TlsBroken { reason: CertificateRequired }",
            ),
            (wit::ErrorCode::EmptyResponse, required(), "EmptyResponse"),
        ];
        for (code, failure, expected) in table {
            let found = told(&network, Some(failure), "h", "https://h/", code);
            assert_eq!(format!("{found:?}"), expected);
        }
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
                Limit::Lookups,
            ),
            (
                wit::ErrorCode::ConnectFailed(vec![wit::ConnectFailure {
                    address: address.into(),
                    reason: types::NetworkError::NoSocketsLeft,
                }]),
                Limit::ConnectsPerSecond,
            ),
        ] {
            let network = Network::of(Policy::new());
            let before = told(&network, None, "h", "http://h/", code.clone());
            assert!(!matches!(before, Error::Exhausted { .. }), "{before:?}");
            network.reached(limit, None);
            let after = told(&network, None, "h", "http://h/", code);
            assert!(
                matches!(after, Error::Exhausted { limit: at } if at == limit),
                "{after:?}"
            );
        }
    }

    #[test]
    fn messages_name_the_host() {
        for (url, expected) in [
            ("http://example.com:80/a", "example.com"),
            ("http://[::1]:81/", "[::1]"),
            ("http://me:secret@EXAMPLE.com/", "example.com"),
            ("http://me:secret@exa mple/", "http://exa mple/"),
        ] {
            assert_eq!(host_of(url), expected);
        }
    }
}

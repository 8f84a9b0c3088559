//! Why an exchange fails, and the error codes of WASI for that.

use crate::lookup::Unresolved;
use crate::proxy::{ProxyProblem, TunnelError};
use crate::sockets::DialError;
use crate::tls::{Failure, TlsFailure};
use sockbox_policy::Limit;
use std::error::Error as _;
use std::io::{self, ErrorKind};
use wasmtime_wasi::p2::bindings::sockets::network;
use wasmtime_wasi_http::Error;
use wasmtime_wasi_http::p2::bindings::http::types::ErrorCode;

/// Why an exchange has failed. Each variant has one error code of WASI: the audit record has its name, and the
/// component gets the code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failed {
    DnsTimeout,
    /// The lookup failed, with this DNS response code (RFC 1035 section 4.1.1), written as in IANA's registry.
    Dns(&'static str),
    Unavailable,
    Prohibited,
    Unroutable,
    Refused,
    Terminated,
    ConnectTimeout,
    ReadTimeout,
    ConnectionLimit,
    TlsProtocol,
    TlsCertificate,
    Denied,
    RequestBodySize,
    Method,
    Uri,
    UriTooLong,
    Incomplete,
    ResponseHeaderSize,
    ResponseBodySize,
    Protocol,
    Configuration,
}

impl Failed {
    /// The name of WASI's error code.
    pub(super) fn word(self) -> &'static str {
        match self {
            Failed::DnsTimeout => "DNS-timeout",
            Failed::Dns(_) => "DNS-error",
            Failed::Unavailable => "destination-unavailable",
            Failed::Prohibited => "destination-IP-prohibited",
            Failed::Unroutable => "destination-IP-unroutable",
            Failed::Refused => "connection-refused",
            Failed::Terminated => "connection-terminated",
            Failed::ConnectTimeout => "connection-timeout",
            Failed::ReadTimeout => "connection-read-timeout",
            Failed::ConnectionLimit => "connection-limit-reached",
            Failed::TlsProtocol => "TLS-protocol-error",
            Failed::TlsCertificate => "TLS-certificate-error",
            Failed::Denied => "HTTP-request-denied",
            Failed::RequestBodySize => "HTTP-request-body-size",
            Failed::Method => "HTTP-request-method-invalid",
            Failed::Uri => "HTTP-request-URI-invalid",
            Failed::UriTooLong => "HTTP-request-URI-too-long",
            Failed::Incomplete => "HTTP-response-incomplete",
            Failed::ResponseHeaderSize => "HTTP-response-header-section-size",
            Failed::ResponseBodySize => "HTTP-response-body-size",
            Failed::Protocol => "HTTP-protocol-error",
            Failed::Configuration => "configuration-error",
        }
    }

    /// The failure for a lookup that failed.
    pub(super) fn of_lookup(unresolved: Unresolved) -> Failed {
        match unresolved {
            Unresolved::TimedOut => Failed::DnsTimeout,
            Unresolved::Failed(network::ErrorCode::NameUnresolvable) => Failed::Dns("NXDOMAIN"),
            Unresolved::Failed(network::ErrorCode::AccessDenied) => Failed::Prohibited,
            Unresolved::Failed(_) => Failed::Dns("SERVFAIL"),
        }
    }

    /// The failure for a connection that could not be opened.
    pub(super) fn of_dial(error: DialError) -> Failed {
        match error {
            DialError::Limit => Failed::ConnectionLimit,
            DialError::System(error) if DialError::is_out_of_files(&error) => {
                Failed::ConnectionLimit
            }
            DialError::System(error) => Failed::of_connect(error.kind()),
            DialError::NoAddress => Failed::Unavailable,
        }
    }

    /// The failure for a proxy that gave no connection.
    pub(super) fn of_tunnel(error: TunnelError) -> Failed {
        match error {
            TunnelError::Dial(error) => Failed::of_dial(error),
            TunnelError::Bytes(Limit::SentBytes) => Failed::RequestBodySize,
            TunnelError::Bytes(_) => Failed::ResponseBodySize,
            TunnelError::Proxy(problem) => match problem {
                ProxyProblem::NotResolved => Failed::Dns("SERVFAIL"),
                ProxyProblem::NotConnected { kind } => Failed::of_connect(kind),
                ProxyProblem::Refused { .. } => Failed::Unavailable,
                ProxyProblem::Closed | ProxyProblem::Broken { .. } => Failed::Terminated,
                ProxyProblem::NotHttp => Failed::Protocol,
                ProxyProblem::HeadSize => Failed::ResponseHeaderSize,
            },
        }
    }

    /// The failure for an attempt to connect that ended with an error of this kind.
    fn of_connect(kind: ErrorKind) -> Failed {
        match kind {
            ErrorKind::ConnectionRefused => Failed::Refused,
            ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted => Failed::Terminated,
            ErrorKind::TimedOut => Failed::ConnectTimeout,
            ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => Failed::Unroutable,
            _ => Failed::Unavailable,
        }
    }

    /// The failure for a TLS handshake that ended with `failure`.
    pub(super) fn of_tls(failure: &Failure) -> Failed {
        match failure {
            Failure::Certificate(_) => Failed::TlsCertificate,
            Failure::Trust { .. } => Failed::Configuration,
            Failure::Tls(TlsFailure::Closed | TlsFailure::Broken { .. }) => Failed::Terminated,
            Failure::Tls(_) => Failed::TlsProtocol,
        }
    }

    /// The failure for an error of hyper. If one of its causes is an error of the connection or of the request's body,
    /// that cause decides.
    pub(super) fn of_hyper(error: &hyper::Error) -> Failed {
        let mut source = error.source();
        while let Some(cause) = source {
            if let Some(error) = cause.downcast_ref::<io::Error>() {
                return Failed::of_stream(error);
            }
            if let Some(Error::HttpRequestBodySize(_)) = cause.downcast_ref() {
                return Failed::RequestBodySize;
            }
            source = cause.source();
        }
        if error.is_parse_too_large() {
            Failed::ResponseHeaderSize
        } else if error.is_incomplete_message() {
            Failed::Incomplete
        } else if error.is_closed() || error.is_canceled() {
            Failed::Terminated
        } else {
            Failed::Protocol
        }
    }

    /// The failure for an error of the connection's streams.
    pub(super) fn of_stream(error: &io::Error) -> Failed {
        match error.get_ref().and_then(|error| error.downcast_ref()) {
            Some(LimitReached::Received) => Failed::ResponseBodySize,
            Some(LimitReached::Sent) => Failed::RequestBodySize,
            None => match error.kind() {
                ErrorKind::UnexpectedEof => Failed::Incomplete,
                // hyper reports an invalid chunk of a chunked body with these kinds.
                ErrorKind::InvalidInput | ErrorKind::InvalidData => Failed::Protocol,
                _ => Failed::Terminated,
            },
        }
    }

    /// The error that wasmtime-wasi-http passes on to the component.
    pub(super) fn into_error(self) -> Error {
        match self {
            Failed::DnsTimeout => Error::DnsTimeout,
            Failed::Dns(word) => Error::DnsError {
                rcode: Some(word.to_owned()),
                info_code: None,
            },
            Failed::Unavailable => Error::DestinationUnavailable,
            Failed::Prohibited => Error::DestinationIpProhibited,
            Failed::Unroutable => Error::DestinationIpUnroutable,
            Failed::Refused => Error::ConnectionRefused,
            Failed::Terminated => Error::ConnectionTerminated,
            Failed::ConnectTimeout => Error::ConnectionTimeout,
            Failed::ReadTimeout => Error::ConnectionReadTimeout,
            Failed::ConnectionLimit => Error::ConnectionLimitReached,
            Failed::TlsProtocol => Error::TlsProtocolError,
            Failed::TlsCertificate => Error::TlsCertificateError,
            Failed::Denied => Error::HttpRequestDenied,
            Failed::RequestBodySize => Error::HttpRequestBodySize(None),
            Failed::Method => Error::HttpRequestMethodInvalid,
            Failed::Uri => Error::HttpRequestUriInvalid,
            Failed::UriTooLong => Error::HttpRequestUriTooLong,
            Failed::Incomplete => Error::HttpResponseIncomplete,
            Failed::ResponseHeaderSize => Error::HttpResponseHeaderSectionSize(None),
            Failed::ResponseBodySize => Error::HttpResponseBodySize(None),
            Failed::Protocol => Error::HttpProtocolError,
            Failed::Configuration => Error::ConfigurationError,
        }
    }

    /// The error code for an error of hyper.
    pub(super) fn into_code(self) -> ErrorCode {
        match self {
            Failed::RequestBodySize => ErrorCode::HttpRequestBodySize(None),
            Failed::ResponseBodySize => ErrorCode::HttpResponseBodySize(None),
            Failed::ResponseHeaderSize => ErrorCode::HttpResponseHeaderSectionSize(None),
            Failed::Incomplete => ErrorCode::HttpResponseIncomplete,
            Failed::Terminated => ErrorCode::ConnectionTerminated,
            _ => ErrorCode::HttpProtocolError,
        }
    }
}

/// The error code for the error of a stream. None if the error is not one of an HTTP body.
pub(super) fn code(error: &wasmtime::Error) -> Option<ErrorCode> {
    if let Some(code) = error.downcast_ref::<ErrorCode>() {
        return Some(code.clone());
    }
    Some(match error.downcast_ref::<Error>()? {
        Error::ConnectionReadTimeout => ErrorCode::ConnectionReadTimeout,
        Error::ConnectionTerminated => ErrorCode::ConnectionTerminated,
        Error::HttpRequestBodySize(size) => ErrorCode::HttpRequestBodySize(*size),
        Error::HttpResponseBodySize(size) => ErrorCode::HttpResponseBodySize(*size),
        Error::HttpResponseIncomplete => ErrorCode::HttpResponseIncomplete,
        _ => ErrorCode::HttpProtocolError,
    })
}

/// The run has reached a limit on its bytes.
#[derive(Clone, Copy, Debug, thiserror::Error)]
pub(super) enum LimitReached {
    #[error("the run may receive no more")]
    Received,
    #[error("the run may send no more")]
    Sent,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lookup_that_has_failed_is_told_by_its_reason() {
        use network::ErrorCode as Code;
        for (unresolved, expected) in [
            (Unresolved::TimedOut, Failed::DnsTimeout),
            (
                Unresolved::Failed(Code::TemporaryResolverFailure),
                Failed::Dns("SERVFAIL"),
            ),
            (
                Unresolved::Failed(Code::PermanentResolverFailure),
                Failed::Dns("SERVFAIL"),
            ),
            (
                Unresolved::Failed(Code::NameUnresolvable),
                Failed::Dns("NXDOMAIN"),
            ),
            (Unresolved::Failed(Code::AccessDenied), Failed::Prohibited),
        ] {
            assert_eq!(Failed::of_lookup(unresolved), expected, "{unresolved:?}");
        }
    }
}

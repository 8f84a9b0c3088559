//! The responses of the server itself.

use crate::error::Error;
use crate::handler::{NoResponse, name_of};
use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use http::{Response, StatusCode};
use http_body_util::Full;
use sockbox_wasi::{ErrorCode, RequestError};
use std::sync::Arc;

/// A response of the server itself, in place of the component's.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    /// Why, for the log.
    pub(super) reason: String,
    /// Whether the connection can't be used any more.
    closes: bool,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, reason: impl Into<String>) -> Refusal {
        Refusal {
            status,
            reason: reason.into(),
            closes: false,
        }
    }

    /// The connection can't be used any more after it.
    pub(super) fn closing(mut self) -> Refusal {
        self.closes = true;
        self
    }

    /// The body of the request is too large.
    pub(super) fn too_large(limit: u64) -> Refusal {
        let reason = RequestError::TooLarge { limit }.to_string();
        Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, reason).closing()
    }

    /// There is no response of the component, for this reason.
    pub(super) fn of(no_response: NoResponse) -> Refusal {
        match no_response {
            NoResponse::Failed(error) => Refusal::new(of_error(&error), text(&error)),
            NoResponse::Code(code) => Refusal::new(
                of_code(&code),
                format!("the component set the error code {}", name_of(&code)),
            ),
            NoResponse::Nothing => Refusal::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "the component returned without a response",
            ),
        }
    }

    /// The response. It says no more than its status does: the client need not know the reason.
    pub(super) fn response(&self) -> Response<Full<Bytes>> {
        let text = match self.status.canonical_reason() {
            Some(reason) => format!("{} {reason}\n", self.status.as_u16()),
            None => format!("{}\n", self.status.as_u16()),
        };
        let mut response = Response::new(Full::new(Bytes::from(text)));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
        if matches!(
            self.status,
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS
        ) {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        if self.closes {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

/// The most bytes of an error in the log and the audit record: 300. It may quote the component.
const MAX_TEXT: usize = 300;

/// Why a request has failed that was under way when the server ended.
pub(super) const STOPPED: &str = "the server was stopped";

/// An error on one line, for the log and the audit record.
pub(super) fn text(error: &Arc<Error>) -> String {
    if let Error::Abandoned = **error {
        // Only the end of the server ends a call that is still wanted.
        return STOPPED.to_owned();
    }
    let mut text = sockbox_printable::line(&error.to_string()).into_owned();
    text.truncate(text.floor_char_boundary(MAX_TEXT));
    text
}

fn of_error(error: &Error) -> StatusCode {
    match error {
        Error::WallTime { .. } | Error::CpuTime { .. } => StatusCode::GATEWAY_TIMEOUT,
        Error::Abandoned => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// The status for an error code that the component has set: one about the client's request where the code is about that,
/// and otherwise 502, or 504 for a timeout.
fn of_code(code: &ErrorCode) -> StatusCode {
    match code {
        ErrorCode::DnsTimeout
        | ErrorCode::ConnectionTimeout
        | ErrorCode::ConnectionReadTimeout
        | ErrorCode::ConnectionWriteTimeout
        | ErrorCode::HttpResponseTimeout => StatusCode::GATEWAY_TIMEOUT,
        ErrorCode::HttpRequestLengthRequired => StatusCode::LENGTH_REQUIRED,
        ErrorCode::HttpRequestBodySize(_) => StatusCode::PAYLOAD_TOO_LARGE,
        ErrorCode::HttpRequestMethodInvalid => StatusCode::METHOD_NOT_ALLOWED,
        ErrorCode::HttpRequestUriInvalid => StatusCode::BAD_REQUEST,
        ErrorCode::HttpRequestUriTooLong => StatusCode::URI_TOO_LONG,
        ErrorCode::HttpRequestHeaderSectionSize(_)
        | ErrorCode::HttpRequestHeaderSize { .. }
        | ErrorCode::HttpRequestTrailerSectionSize(_)
        | ErrorCode::HttpRequestTrailerSize { .. } => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        ErrorCode::InternalError(_) | ErrorCode::ConfigurationError => {
            StatusCode::INTERNAL_SERVER_ERROR
        }
        _ => StatusCode::BAD_GATEWAY,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn each_failure_has_a_status_and_the_response_does_not_say_why() {
        let limit = Duration::from_secs(1);
        let trapped = Error::Trapped {
            reason: "it aborted".to_owned(),
            backtrace: None,
        };
        let failed = |error| NoResponse::Failed(Arc::new(error));
        for (no_response, status, reason) in [
            (
                failed(Error::WallTime { limit }),
                504,
                "the run took longer than its limit of 1s",
            ),
            (
                failed(Error::CpuTime { limit }),
                504,
                "the component used more CPU time than its limit of 1s",
            ),
            (
                failed(Error::MemoryLimit { limit: 1 }),
                500,
                "the component needs more memory than its limit of 1 bytes",
            ),
            (failed(trapped), 500, "the component trapped: it aborted"),
            (
                NoResponse::Nothing,
                500,
                "the component returned without a response",
            ),
            (
                NoResponse::Code(ErrorCode::ConnectionRefused),
                502,
                "the component set the error code ConnectionRefused",
            ),
            (
                NoResponse::Code(ErrorCode::ConnectionReadTimeout),
                504,
                "the component set the error code ConnectionReadTimeout",
            ),
            (
                NoResponse::Code(ErrorCode::InternalError(Some("why".to_owned()))),
                500,
                "the component set the error code InternalError: why",
            ),
        ] {
            let refusal = Refusal::of(no_response);
            assert_eq!(refusal.status.as_u16(), status, "{reason}");
            assert_eq!(refusal.reason, reason);
            let response = refusal.response();
            assert_eq!(response.headers().get(RETRY_AFTER), None);
        }
        let busy = Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "why").closing();
        let headers = busy.response().headers().clone();
        assert_eq!(headers[RETRY_AFTER], "1");
        assert_eq!(headers[CONNECTION], "close");
    }
}

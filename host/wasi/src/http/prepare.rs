//! The form of a component's request in which the policy judges it and the host sends it.

use super::error::Failed;
use super::request_body::{Begun, Gate, RequestBody};
use http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE,
    CONTENT_TYPE, EXPECT, HOST, HeaderMap, MAX_FORWARDS, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION,
    SET_COOKIE, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderName, HeaderValue, Method, Request, Uri, Version};
use http_body::Body;
use sockbox_policy::audit::HttpRefused;
use sockbox_policy::{HttpTarget, HttpUrl, HttpUrlError};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;
use wasmtime_wasi_http::WasiBody;

/// Headers that belong to the connection, or that say where the body ends. The host sets these, and no component may.
///
/// wasmtime-wasi-http already refuses such fields. The check here is a second one: a server that gets two different
/// ends of a body could read the rest of the body as another request, which the policy has not judged.
const NOT_THE_COMPONENTS: [HeaderName; 9] = [
    CONNECTION,
    HOST,
    HeaderName::from_static("http2-settings"),
    HeaderName::from_static("keep-alive"),
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    HeaderName::from_static("proxy-connection"),
    TRANSFER_ENCODING,
    UPGRADE,
];

/// A request in the form in which it is judged and sent.
pub(super) struct Prepared {
    /// What the policy judges.
    pub(super) target: HttpTarget,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Option<Begun>,
}

/// How long the host waits for the first bytes or the end of the body of a GET or HEAD request: 1 second. Most such
/// bodies are empty, and their end comes at once.
const WAIT_FOR_BODY: Duration = Duration::from_secs(1);

/// Fields that a trailer can't have (RFC 9110 section 6.5.1). hyper drops them.
const NO_TRAILERS: [HeaderName; 12] = [
    AUTHORIZATION,
    CACHE_CONTROL,
    CONTENT_ENCODING,
    CONTENT_LENGTH,
    CONTENT_RANGE,
    CONTENT_TYPE,
    HOST,
    MAX_FORWARDS,
    SET_COOKIE,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
];

impl Prepared {
    /// Bring a request into the form in which it is judged and sent.
    ///
    /// # Errors
    /// The request is not valid. The second value is the audit event of that.
    pub(super) fn new(request: Request<WasiBody>) -> Result<Prepared, (Failed, HttpRefused)> {
        let (parts, body) = request.into_parts();
        let (method, uri) = (parts.method.clone(), parts.uri.clone());
        Prepared::of(parts, body).map_err(|failed| {
            let refused = HttpRefused::new(
                method.as_str(),
                uri.scheme_str().unwrap_or_default(),
                uri.authority().map_or("", |it| it.as_str()),
                uri.path(),
                failed.word(),
            );
            (failed, refused)
        })
    }

    fn of(parts: Parts, body: WasiBody) -> Result<Prepared, Failed> {
        let scheme = parts.uri.scheme_str().unwrap_or_default();
        let authority = parts.uri.authority().map_or("", |it| it.as_str());
        let path = parts.uri.path_and_query().map_or("", PathAndQuery::as_str);
        let method = parts.method.as_str().parse();
        let method = method.map_err(|_| Failed::Method)?;
        let (url, query) = HttpUrl::read(scheme, authority, path).map_err(|error| match error {
            HttpUrlError::TooLong => Failed::UriTooLong,
            _ => Failed::Uri,
        })?;
        let sent = match &query {
            Some(query) => format!("{}?{query}", url.path()),
            None => url.path().to_owned(),
        };
        let uri = sent.parse().map_err(|_| Failed::Uri)?;
        let mut headers = parts.headers;
        if NOT_THE_COMPONENTS
            .iter()
            .any(|name| headers.contains_key(name))
            || headers.get_all(CONTENT_LENGTH).iter().count() > 1
        {
            return Err(Failed::Protocol);
        }
        let host = HeaderValue::from_str(&url.authority()).map_err(|_| Failed::Uri)?;
        headers.insert(HOST, host);
        Ok(Prepared {
            target: HttpTarget::new(method, url),
            method: parts.method,
            uri,
            headers,
            body: Some(Begun {
                first: None,
                rest: body,
            }),
        })
    }

    /// Find out whether a GET or HEAD request has a body, if its headers do not say that. Some servers can't handle such
    /// a request with an empty chunked body, so the host sends none if the body is empty. Without its first bytes after
    /// [`WAIT_FOR_BODY`], the body counts as one that comes later.
    pub(super) async fn begin_body(&mut self) {
        if !self.may_lack_a_body() {
            return;
        }
        let Some(body) = &mut self.body else {
            return;
        };
        let first = tokio::time::timeout(WAIT_FOR_BODY, body.begin()).await;
        if let Ok(false) = first {
            self.body = Some(Begun {
                first: None,
                rest: empty(),
            });
        }
    }

    /// Whether the request usually has no body, and neither its headers nor its body say how long the body is.
    fn may_lack_a_body(&self) -> bool {
        let is_unknown = |body: &Begun| !body.is_end_stream() && body.size_hint().exact().is_none();
        matches!(self.method, Method::GET | Method::HEAD)
            && !self.headers.contains_key(CONTENT_LENGTH)
            && self.body.as_ref().is_some_and(is_unknown)
    }

    /// The trailers that the host sends: those that the header `Trailer` names. Only a chunked body can have any.
    fn sent_trailers(&self) -> Vec<HeaderName> {
        if self.headers.contains_key(CONTENT_LENGTH) {
            return Vec::new();
        }
        let values = self.headers.get_all(TRAILER).iter();
        let texts = values.filter_map(|value| value.to_str().ok());
        texts
            .flat_map(|text| text.split(','))
            .filter_map(|name| HeaderName::from_bytes(name.trim().as_bytes()).ok())
            .filter(|name| !NO_TRAILERS.contains(name))
            .collect()
    }

    /// Whether the host may send the request again if an idle connection breaks. The request then has no body, and a
    /// safe method (RFC 9110 section 9.2.1).
    pub(super) fn can_be_repeated(&self) -> bool {
        self.method.is_safe() && self.body.as_ref().is_some_and(Body::is_end_stream)
    }

    /// The request for hyper. `sent` counts the bytes of its body. A second call gives a request without a body, so call
    /// it once, unless the request [can be repeated](Self::can_be_repeated).
    pub(super) fn request(&mut self, sent: &Arc<AtomicU64>) -> Request<RequestBody> {
        let is_chunked = self.may_lack_a_body();
        let trailers = self.sent_trailers();
        let none = || Begun {
            first: None,
            rest: empty(),
        };
        let body = match self.can_be_repeated() {
            true => none(),
            false => self.body.take().unwrap_or_else(none),
        };
        let expects = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"100-continue");
        let waits = self.headers.get(EXPECT).is_some_and(expects) && !body.is_end_stream();
        let gate = waits.then(Gate::default);
        let body = RequestBody::new(body, trailers, sent.clone(), gate.clone());
        let mut request = Request::new(body);
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.uri.clone();
        *request.version_mut() = Version::HTTP_11;
        *request.headers_mut() = self.headers.clone();
        if is_chunked {
            // Without this header hyper drops the body of such a request.
            let chunked = HeaderValue::from_static("chunked");
            request.headers_mut().insert(TRANSFER_ENCODING, chunked);
        }
        if let Some(gate) = gate {
            hyper::ext::on_informational(&mut request, move |response| {
                if response.status() == http::StatusCode::CONTINUE {
                    gate.open();
                }
            });
        }
        request
    }
}

fn empty() -> WasiBody {
    use http_body_util::{BodyExt, Empty};
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use http_body::Frame;
    use http_body_util::{BodyExt, Full};
    use std::collections::VecDeque;
    use std::pin::Pin;
    use std::task::{Context, Poll};
    use wasmtime_wasi_http::Error;

    fn prepared(method: &str, url: &str, headers: &[(&str, &str)]) -> Result<Prepared, Failed> {
        let mut request = Request::builder().method(method).uri(url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let body = Full::new("body".into()).map_err(|never| match never {});
        let prepared = Prepared::new(request.body(body.boxed_unsync()).unwrap());
        prepared.map_err(|(failed, refused)| {
            assert_eq!(refused.error, failed.word());
            assert_eq!(refused.method.as_deref(), Some(method));
            failed
        })
    }

    /// A body of an unknown length, with these frames. None is a frame that does not come.
    struct Streamed(VecDeque<Option<Frame<Bytes>>>);

    impl Body for Streamed {
        type Data = Bytes;
        type Error = Error;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
            match self.0.pop_front() {
                None => Poll::Ready(None),
                Some(None) => Poll::Pending,
                Some(Some(frame)) => Poll::Ready(Some(Ok(frame))),
            }
        }
    }

    fn data(text: &'static str) -> Option<Frame<Bytes>> {
        Some(Frame::data(text.into()))
    }

    fn trailer(name: &'static str) -> Option<Frame<Bytes>> {
        let name = HeaderName::from_static(name);
        let value = HeaderValue::from_static("1");
        Some(Frame::trailers([(name, value)].into_iter().collect()))
    }

    /// What hyper gets for a request with these headers and this body.
    async fn sent(
        method: &str,
        headers: &[(&str, &str)],
        frames: Vec<Option<Frame<Bytes>>>,
    ) -> Request<RequestBody> {
        let mut request = Request::builder().method(method).uri("http://a/");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let body = Streamed(frames.into()).boxed_unsync();
        let mut prepared = Prepared::new(request.body(body).unwrap()).ok().unwrap();
        prepared.begin_body().await;
        prepared.request(&Arc::default())
    }

    #[tokio::test]
    async fn a_get_request_has_the_body_that_it_was_given() {
        for (method, headers, frames, is_chunked, expected) in [
            ("GET", &[][..], vec![], false, ""),
            ("GET", &[], vec![data("")], false, ""),
            ("GET", &[], vec![data("a"), data("b")], true, "ab"),
            (
                "HEAD",
                &[],
                vec![data(""), data("a"), data("b")],
                true,
                "ab",
            ),
            ("GET", &[], vec![None, data("late")], true, "late"),
            (
                "GET",
                &[("content-length", "1")],
                vec![data("a")],
                false,
                "a",
            ),
            // hyper does this itself.
            ("POST", &[], vec![data("a")], false, "a"),
        ] {
            let request = sent(method, headers, frames).await;
            let chunked = request.headers().get(TRANSFER_ENCODING);
            let expected_header = is_chunked.then_some("chunked");
            let chunked = chunked.map(|value| value.to_str().unwrap());
            assert_eq!(chunked, expected_header, "{method} {expected}");
            let body = request.into_body();
            assert_eq!(body.is_end_stream(), expected.is_empty());
            let bytes = body.collect().await.unwrap().to_bytes();
            assert_eq!(bytes, expected, "{method}");
        }
    }

    #[tokio::test]
    async fn a_trailer_that_would_be_dropped_is_an_error() {
        for (method, headers, name, expected) in [
            ("POST", &[("trailer", "X-One, x-two")][..], "x-two", true),
            (
                "POST",
                &[("trailer", "x-one"), ("trailer", "x-two")],
                "x-two",
                true,
            ),
            ("GET", &[("trailer", "x-one")], "x-one", true),
            ("POST", &[("trailer", "x-one")], "x-two", false),
            ("POST", &[], "x-one", false),
            ("GET", &[], "x-one", false),
            (
                "POST",
                &[("trailer", "content-type")],
                "content-type",
                false,
            ),
            (
                "POST",
                &[("trailer", "x-one"), ("content-length", "1")],
                "x-one",
                false,
            ),
        ] {
            let request = sent(method, headers, vec![data("a"), trailer(name)]).await;
            let collected = request.into_body().collect().await;
            match (collected, expected) {
                (Ok(body), true) => assert!(body.trailers().unwrap().contains_key(name)),
                (Err(Error::HttpProtocolError), false) => {}
                (found, _) => panic!("{method} {headers:?} {name}: {found:?}"),
            }
        }
        // No trailer is dropped where there is none.
        let none = Some(Frame::trailers(HeaderMap::new()));
        let request = sent("POST", &[], vec![data("a"), none]).await;
        assert_eq!(request.into_body().collect().await.unwrap().to_bytes(), "a");
    }

    #[test]
    fn what_is_refused_is_told_without_secrets() {
        let request = Request::builder().uri("http://user:word@a/%00?token");
        let body = empty();
        let (failed, refused) = Prepared::new(request.body(body).unwrap()).err().unwrap();
        assert_eq!(failed, Failed::Uri);
        let expected = HttpRefused::new("GET", "http", "a", "/%00", "HTTP-request-URI-invalid");
        assert_eq!(refused, expected);
    }

    #[test]
    fn what_is_judged_is_what_is_sent() {
        for (url, judged, uri, host) in [
            (
                "HTTP://A.Example:80//x/../%7Ey?b=c",
                "GET http://a.example/~y",
                "/~y?b=c",
                "a.example",
            ),
            (
                "https://2130706433:8443",
                "GET https://127.0.0.1:8443/",
                "/",
                "127.0.0.1:8443",
            ),
            (
                "http://[::ffff:10.0.0.1]/",
                "GET http://10.0.0.1/",
                "/",
                "10.0.0.1",
            ),
        ] {
            let mut prepared = prepared("GET", url, &[("x-own", "1")]).unwrap();
            assert_eq!(prepared.target.to_string(), judged);
            let request = prepared.request(&Arc::default());
            assert_eq!(request.uri().to_string(), uri);
            assert_eq!(request.headers()[HOST], host);
            assert_eq!(request.headers().len(), 2);
        }
    }

    #[test]
    fn what_is_not_the_components_is_refused() {
        for (method, url, headers, expected) in [
            ("GET", "http://a/", ("host", "b"), Failed::Protocol),
            (
                "GET",
                "http://a/",
                ("connection", "close"),
                Failed::Protocol,
            ),
            ("GET", "http://a/", ("keep-alive", "1"), Failed::Protocol),
            ("GET", "http://a/", ("upgrade", "x"), Failed::Protocol),
            (
                "POST",
                "http://a/",
                ("transfer-encoding", "chunked"),
                Failed::Protocol,
            ),
            ("CONNECT", "http://a/", ("x", "y"), Failed::Method),
            ("GET", "http://u@a/", ("x", "y"), Failed::Uri),
            ("GET", "http://a/%0d%0a", ("x", "y"), Failed::Uri),
            ("GET", "ftp://a/", ("x", "y"), Failed::Uri),
            ("GET", "/", ("x", "y"), Failed::Uri),
        ] {
            let found = prepared(method, url, &[headers]).err();
            assert_eq!(found, Some(expected), "{method} {url} {headers:?}");
        }
        let two = [("content-length", "4"), ("content-length", "4")];
        assert_eq!(
            prepared("POST", "http://a/", &two).err(),
            Some(Failed::Protocol)
        );
    }
}

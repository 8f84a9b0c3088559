//! The form of a component's request in which the policy judges it and the host sends it.

use super::bodies::{Gate, RequestBody};
use super::error::Failed;
use http::header::{
    CONNECTION, CONTENT_LENGTH, EXPECT, HOST, HeaderMap, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION,
    TRANSFER_ENCODING, UPGRADE,
};
use http::uri::PathAndQuery;
use http::{HeaderName, HeaderValue, Method, Request, Uri, Version};
use http_body::Body;
use sockbox_policy::{HttpTarget, HttpUrl, HttpUrlError};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
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
    body: Option<WasiBody>,
}

impl Prepared {
    /// Bring a request into the form in which it is judged and sent.
    pub(super) fn new(request: Request<WasiBody>) -> Result<Prepared, Failed> {
        let (parts, body) = request.into_parts();
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
            body: Some(body),
        })
    }

    /// Whether the host may send the request again if an idle connection breaks. The request then has no body, and a
    /// safe method (RFC 9110 section 9.2.1).
    pub(super) fn can_be_repeated(&self) -> bool {
        self.method.is_safe() && self.body.as_ref().is_some_and(Body::is_end_stream)
    }

    /// The request for hyper. `sent` counts the bytes of its body. A second call gives a request without a body, so call
    /// it once, unless the request [can be repeated](Self::can_be_repeated).
    pub(super) fn request(&mut self, sent: &Arc<AtomicU64>) -> Request<RequestBody> {
        let body = match self.can_be_repeated() {
            true => empty(),
            false => self.body.take().unwrap_or_else(empty),
        };
        let expects = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"100-continue");
        let waits = self.headers.get(EXPECT).is_some_and(expects) && !body.is_end_stream();
        let gate = waits.then(Gate::default);
        let mut request = Request::new(RequestBody::new(body, sent.clone(), gate.clone()));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.uri.clone();
        *request.version_mut() = Version::HTTP_11;
        *request.headers_mut() = self.headers.clone();
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
    use http_body_util::{BodyExt, Full};

    fn prepared(method: &str, url: &str, headers: &[(&str, &str)]) -> Result<Prepared, Failed> {
        let mut request = Request::builder().method(method).uri(url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let body = Full::new("body".into()).map_err(|never| match never {});
        Prepared::new(request.body(body.boxed_unsync()).unwrap())
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

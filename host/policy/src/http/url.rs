//! The target of an HTTP request: its method and its URL.

use super::{HttpUrlError, path, readings};
use crate::{Host, Name};
use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

/// The most bytes that the path of a request's URL may have: 8 KiB.
pub const MAX_HTTP_PATH_BYTES: usize = 8 * 1024;

/// The most bytes that the query of a request's URL may have: 32 KiB.
pub const MAX_HTTP_QUERY_BYTES: usize = 32 * 1024;

/// The most bytes that a method may have: 64.
pub const MAX_HTTP_METHOD_BYTES: usize = 64;

/// The most bytes of an authority: 4 KiB. A host name has at most 253 bytes, but each of them can be percent-encoded,
/// or written as a longer Unicode character.
const MAX_AUTHORITY_BYTES: usize = 4096;

/// A request that a component wants to send: its method, and its URL without the query.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HttpTarget {
    /// The method.
    pub method: HttpMethod,
    /// The URL.
    pub url: HttpUrl,
}

impl HttpTarget {
    /// The target of a request with this method, to this URL.
    pub fn new(method: HttpMethod, url: HttpUrl) -> HttpTarget {
        HttpTarget { method, url }
    }

    /// About how many bytes of memory the method, the host and the path take.
    pub(crate) fn held_bytes(&self) -> usize {
        let name = self.url.name().map_or(0, |name| name.as_str().len());
        self.method.0.len() + name + self.url.path.len()
    }
}

impl fmt::Display for HttpTarget {
    /// `GET https://example.com/v1/pages`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.url)
    }
}

/// A method (RFC 9110 section 9.1): ASCII letters and digits, `-`, `_` and `.`. Its case is kept.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HttpMethod(String);

impl HttpMethod {
    /// The method as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for HttpMethod {
    type Err = HttpUrlError;

    /// Parse a method of at most [`MAX_HTTP_METHOD_BYTES`].
    ///
    /// # Errors
    /// [`HttpUrlError::Method`]. `CONNECT` is an error too, because it asks for a tunnel and has no URL.
    fn from_str(text: &str) -> Result<HttpMethod, HttpUrlError> {
        // RFC 9110 permits more characters. No registered method has one, and some mean something else in a shell or in
        // a rule.
        let usual = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        let is_one = (1..=MAX_HTTP_METHOD_BYTES).contains(&text.len()) && text.bytes().all(usual);
        match is_one && !text.eq_ignore_ascii_case("CONNECT") {
            true => Ok(HttpMethod(text.to_owned())),
            false => Err(HttpUrlError::Method),
        }
    }
}

impl fmt::Display for HttpMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The scheme of a request's URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HttpScheme {
    /// `http`: nothing is encrypted.
    Http,
    /// `https`: over TLS.
    Https,
}

impl HttpScheme {
    /// The scheme as it is written in a URL.
    pub fn as_str(self) -> &'static str {
        match self {
            HttpScheme::Http => "http",
            HttpScheme::Https => "https",
        }
    }

    /// The port of a URL without a port.
    pub fn default_port(self) -> u16 {
        match self {
            HttpScheme::Http => 80,
            HttpScheme::Https => 443,
        }
    }
}

impl FromStr for HttpScheme {
    type Err = HttpUrlError;

    fn from_str(text: &str) -> Result<HttpScheme, HttpUrlError> {
        [HttpScheme::Http, HttpScheme::Https]
            .into_iter()
            .find(|scheme| text.eq_ignore_ascii_case(scheme.as_str()))
            .ok_or(HttpUrlError::Scheme)
    }
}

/// The URL of a request, without its query, in the form in which it is judged and sent.
///
/// The host is a name in lower case, or an address. The port is a number. The path has no dot segments, no repeated
/// slashes and no percent-encoding that it does not need.
///
/// # Examples
/// ```
/// use sockbox_policy::HttpUrl;
///
/// let (url, query) = HttpUrl::read("HTTPS", "API.Example.com:443", "/v1//a/../%7Eb?c=d")?;
/// assert_eq!(url.to_string(), "https://api.example.com/v1/~b");
/// assert_eq!(query.as_deref(), Some("c=d"));
/// assert!(HttpUrl::read("https", "user@example.com", "/").is_err());
/// # Ok::<(), sockbox_policy::HttpUrlError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HttpUrl {
    pub(super) scheme: HttpScheme,
    pub(super) host: Host,
    pub(super) port: u16,
    /// Its readings have been counted: a rule can judge all of them.
    path: String,
}

/// By authority, then scheme, then path.
impl Ord for HttpUrl {
    fn cmp(&self, other: &HttpUrl) -> std::cmp::Ordering {
        let by_origin = |url: &HttpUrl| (url.authority(), url.scheme);
        let by_origin = by_origin(self).cmp(&by_origin(other));
        by_origin.then_with(|| self.path.cmp(&other.path))
    }
}

impl PartialOrd for HttpUrl {
    fn partial_cmp(&self, other: &HttpUrl) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl HttpUrl {
    /// Parse the parts of a URL, and return the URL and its query. The query is in the form in which it is sent.
    ///
    /// `authority` is the host, with or without a port. `path_and_query` can be empty.
    ///
    /// # Errors
    /// [`HttpUrlError`].
    pub fn read(
        scheme: &str,
        authority: &str,
        path_and_query: &str,
    ) -> Result<(HttpUrl, Option<String>), HttpUrlError> {
        let scheme: HttpScheme = scheme.parse()?;
        let (host, port) = split_authority(authority)?;
        let host = host.parse().map_err(HttpUrlError::Host)?;
        let port = port.unwrap_or(scheme.default_port());
        let (path, query) = match path_and_query.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (path_and_query, None),
        };
        let is_too_long = path.len() > MAX_HTTP_PATH_BYTES
            || query.is_some_and(|query| query.len() > MAX_HTTP_QUERY_BYTES);
        if is_too_long {
            return Err(HttpUrlError::TooLong);
        }
        if path_and_query.contains('#') {
            return Err(HttpUrlError::Fragment);
        }
        let query = query.map(sent_query).transpose()?;
        let path = path::normal(path)?;
        if !readings::is_plain(&path) {
            // A path that can't be judged is refused here. The readings are not kept: they can be much longer than the
            // path.
            readings::readings([&path])?;
        }
        let url = HttpUrl {
            scheme,
            host,
            port,
            path,
        };
        Ok((url, query))
    }

    /// Parse a whole URL. It must have no query.
    ///
    /// # Errors
    /// [`HttpUrlError`].
    pub(super) fn parse(text: &str) -> Result<HttpUrl, HttpUrlError> {
        let (scheme, authority, path) = split(text)?;
        match HttpUrl::read(scheme, authority, path)? {
            (url, None) => Ok(url),
            (_, Some(_)) => Err(HttpUrlError::Query),
        }
    }

    /// The scheme.
    pub fn scheme(&self) -> HttpScheme {
        self.scheme
    }

    /// The host.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// The host, if it is a name.
    pub fn name(&self) -> Option<&Name> {
        match &self.host {
            Host::Name(name) => Some(name),
            Host::Address(_) => None,
        }
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The address and the port, if the host is an address.
    pub fn address(&self) -> Option<SocketAddr> {
        match &self.host {
            Host::Name(_) => None,
            Host::Address(address) => Some(SocketAddr::new(*address, self.port)),
        }
    }

    /// The path. The request line has this path, and the query if there is one.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The host, with the port unless it is the scheme's default. This is the value of the `Host` header.
    pub fn authority(&self) -> String {
        match self.port == self.scheme.default_port() {
            true => self.host.to_string(),
            false => format!("{}:{}", self.host, self.port),
        }
    }
}

impl fmt::Display for HttpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = self.scheme.as_str();
        write!(f, "{scheme}://{}{}", self.authority(), self.path)
    }
}

impl FromStr for HttpUrl {
    type Err = HttpUrlError;

    /// Parse a whole URL. Its query is dropped.
    ///
    /// # Errors
    /// [`HttpUrlError`].
    fn from_str(text: &str) -> Result<HttpUrl, HttpUrlError> {
        let (scheme, authority, path) = split(text)?;
        HttpUrl::read(scheme, authority, path).map(|(url, _)| url)
    }
}

/// Split a URL into its scheme, its authority and the rest.
pub(super) fn split(text: &str) -> Result<(&str, &str, &str), HttpUrlError> {
    let (scheme, rest) = text.split_once("://").ok_or(HttpUrlError::Scheme)?;
    let end = rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    Ok((scheme, authority, path))
}

/// Split an authority into its host and its port, if it has one.
pub(crate) fn split_authority(authority: &str) -> Result<(&str, Option<u16>), HttpUrlError> {
    if authority.len() > MAX_AUTHORITY_BYTES {
        return Err(HttpUrlError::TooLong);
    }
    if authority.contains('@') {
        return Err(HttpUrlError::UserInfo);
    }
    // An IPv6 address has colons too. It stands in brackets.
    let behind_host = authority.rfind(']').map_or(0, |at| at + 1);
    let (host, port) = match authority[behind_host..].find(':') {
        None => (authority, None),
        Some(at) => {
            let (host, port) = authority.split_at(behind_host + at);
            (host, Some(&port[1..]))
        }
    };
    let port = match port {
        // RFC 3986 section 6.2.3: an empty port means the scheme's default.
        None | Some("") => None,
        Some(port) => {
            let digits = port.bytes().all(|byte| byte.is_ascii_digit());
            let number = port.parse().ok().filter(|number| digits && *number != 0);
            Some(number.ok_or(HttpUrlError::Port)?)
        }
    };
    Ok((host, port))
}

/// A query in the form in which it is sent. Characters outside ASCII are percent-encoded.
///
/// # Errors
/// [`HttpUrlError::Character`] for a space or a control character.
fn sent_query(query: &str) -> Result<String, HttpUrlError> {
    let mut sent = String::with_capacity(query.len());
    for character in query.chars() {
        match character {
            ' '.. if character.is_ascii_graphic() => sent.push(character),
            _ if character.is_ascii() => return Err(HttpUrlError::Character),
            _ => {
                let mut bytes = [0; 4];
                for byte in character.encode_utf8(&mut bytes).bytes() {
                    sent.push_str(&format!("%{byte:02X}"));
                }
            }
        }
    }
    Ok(sent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_has_one_form() {
        for (scheme, authority, path, expected) in [
            ("https", "example.com", "", "https://example.com/"),
            ("HTTP", "EXAMPLE.com.", "/", "http://example.com/"),
            ("http", "a.example:80", "/x", "http://a.example/x"),
            ("http", "a.example:", "/x", "http://a.example/x"),
            ("http", "a.example:0080", "/x", "http://a.example/x"),
            ("http", "a.example:443", "/x", "http://a.example:443/x"),
            ("https", "[::1]:8443", "/", "https://[::1]:8443/"),
            ("https", "[::ffff:10.0.0.1]", "/", "https://10.0.0.1/"),
            ("http", "2130706433", "/", "http://127.0.0.1/"),
            ("http", "0x7f.1", "/", "http://127.0.0.1/"),
            ("http", "0177.0.0.1:81", "/", "http://127.0.0.1:81/"),
            ("http", "%6c%6fcalhost", "/", "http://localhost/"),
            (
                "http",
                "bücher.example",
                "/",
                "http://xn--bcher-kva.example/",
            ),
        ] {
            let (url, query) = HttpUrl::read(scheme, authority, path).unwrap();
            assert_eq!(url.to_string(), expected);
            assert_eq!(query, None);
            assert_eq!(expected.parse(), Ok(url));
        }
    }

    #[test]
    fn a_query_is_kept_apart() {
        let read = |path| HttpUrl::read("http", "a", path).map(|(url, query)| (url.path, query));
        for (path, expected, query) in [
            ("/a?", "/a", ""),
            ("?b=../c", "/", "b=../c"),
            ("/a?b?c", "/a", "b?c"),
            ("/a?b=%2e%0A", "/a", "b=%2e%0A"),
            ("/a?ü", "/a", "%C3%BC"),
            ("/a?{\"'}", "/a", "{\"'}"),
        ] {
            let expected = Ok((expected.to_owned(), Some(query.to_owned())));
            assert_eq!(read(path), expected, "{path:?}");
        }
        for (path, expected) in [
            ("/a?b c", HttpUrlError::Character),
            ("/a?b\r\nc", HttpUrlError::Character),
            ("/a?b\0", HttpUrlError::Character),
            ("/a?b#c", HttpUrlError::Fragment),
            ("/a#c", HttpUrlError::Fragment),
        ] {
            assert_eq!(read(path), Err(expected), "{path:?}");
        }
    }

    #[test]
    fn what_is_no_url_is_refused() {
        let host = |text: &str| HttpUrlError::Host(text.parse::<Host>().unwrap_err());
        for (scheme, authority, expected) in [
            ("ftp", "a.example", HttpUrlError::Scheme),
            ("", "a.example", HttpUrlError::Scheme),
            ("http", "", host("")),
            ("http", "a@b.example", HttpUrlError::UserInfo),
            ("http", "a:b@b.example", HttpUrlError::UserInfo),
            ("http", "@b.example", HttpUrlError::UserInfo),
            ("http", "a.example:0", HttpUrlError::Port),
            ("http", "a.example:65536", HttpUrlError::Port),
            ("http", "a.example:+80", HttpUrlError::Port),
            ("http", "a.example:80:80", HttpUrlError::Port),
            ("http", "::1", HttpUrlError::Port),
            ("http", "[::1", HttpUrlError::Port),
            ("http", "[::1]x", host("[::1]x")),
            ("http", "[fe80::1%25eth0]", host("[fe80::1%25eth0]")),
            ("http", "a b.example", host("a b.example")),
            ("http", "a.example/x", host("a.example/x")),
            ("http", "a\\b.example", host("a\\b.example")),
            ("http", "a..example", host("a..example")),
        ] {
            let found = HttpUrl::read(scheme, authority, "/").unwrap_err();
            assert_eq!(found, expected, "{scheme} {authority:?}");
        }
    }

    #[test]
    fn lengths_are_bounded() {
        let read = |path: String| HttpUrl::read("http", "a.example", &path).map(drop);
        for (bytes, expected) in [
            (MAX_HTTP_PATH_BYTES, Ok(())),
            (MAX_HTTP_PATH_BYTES + 1, Err(HttpUrlError::TooLong)),
        ] {
            assert_eq!(read(format!("/{}", "a".repeat(bytes - 1))), expected);
        }
        for (bytes, expected) in [
            (MAX_HTTP_QUERY_BYTES, Ok(())),
            (MAX_HTTP_QUERY_BYTES + 1, Err(HttpUrlError::TooLong)),
        ] {
            assert_eq!(read(format!("/?{}", "a".repeat(bytes))), expected);
        }
        for (bytes, expected) in [
            (0, false),
            (1, true),
            (MAX_HTTP_METHOD_BYTES, true),
            (MAX_HTTP_METHOD_BYTES + 1, false),
        ] {
            let method = "A".repeat(bytes).parse::<HttpMethod>();
            assert_eq!(method.is_ok(), expected, "{bytes}");
        }
        for method in [
            "CONNECT", "connect", "GET ", "G\r\n", "GET,HEAD", "*", "G'", "ü",
        ] {
            assert_eq!(method.parse::<HttpMethod>(), Err(HttpUrlError::Method));
        }
    }
}

//! All URLs of one origin below a path: `https://api.example.com/v1/`.

use super::readings::readings;
use super::{HttpScheme, HttpUrl, HttpUrlError};
use crate::{Host, Policy, Rule};
use std::fmt;
use std::str::FromStr;

/// An origin, and a path in it. It covers the URLs of this origin with this path, and those with a path below it.
///
/// Paths are compared in the form that [`HttpUrl`] has, and by whole segments: `/v1` covers `/v1`, `/v1/` and `/v1/x`,
/// and not `/v10`. `/v1/` covers `/v1/` and `/v1/x`, and not `/v1`. Servers read some paths differently, such as
/// `/v1/..%2Fx`. Such a path is covered only if each of its readings is.
///
/// # Examples
/// ```
/// use sockbox_policy::{HttpPrefix, HttpUrl};
///
/// let prefix: HttpPrefix = "https://api.example.com/v1/".parse()?;
/// let covers = |url: &str| url.parse::<HttpUrl>().is_ok_and(|url| prefix.covers(&url));
/// assert!(covers("https://api.example.com/v1/pages?page=2"));
/// assert!(!covers("https://api.example.com/v1/../v2/pages"));
/// assert!(!covers("http://api.example.com/v1/pages"));
/// # Ok::<(), sockbox_policy::HttpPrefixError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HttpPrefix(HttpUrl);

impl HttpPrefix {
    /// Whether it covers this URL, in each reading of its path.
    pub fn covers(&self, url: &HttpUrl) -> bool {
        let is_below = |[reading]: &[String; 1]| is_below(reading, self.0.path());
        // A path with too many readings is an error when the URL is parsed.
        self.has_origin_of(url) && readings([url.path()]).is_ok_and(|all| all.iter().all(is_below))
    }

    /// Whether this URL has the same scheme, host and port.
    pub fn has_origin_of(&self, url: &HttpUrl) -> bool {
        (self.0.scheme(), self.0.host(), self.0.port()) == (url.scheme(), url.host(), url.port())
    }

    /// Its URL.
    pub fn url(&self) -> &HttpUrl {
        &self.0
    }

    /// Whether what is sent to it can't be read on a network: the scheme is `https`, or the host is a loopback address,
    /// `localhost` or a name below `localhost`.
    pub fn is_confidential(&self) -> bool {
        let is_local = match (self.0.address(), self.0.name()) {
            (Some(address), _) => address.ip().is_loopback(),
            (None, name) => name.is_some_and(crate::Name::is_localhost),
        };
        self.0.scheme() == HttpScheme::Https || is_local
    }
}

/// Whether `path` is the path `prefix`, or one below it.
fn is_below(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || prefix.ends_with('/'))
}

impl Policy {
    /// Whether some rule may grant a request to this origin. A denial is not considered.
    pub fn may_grant_origin(&self, prefix: &HttpPrefix) -> bool {
        self.rules().iter().any(|rule| match rule {
            Rule::Http { requests } => requests.is_of_origin(&prefix.0, Host::eq),
            rule => rule.covers_origin(&prefix.0),
        })
    }
}

impl fmt::Display for HttpPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for HttpPrefix {
    type Err = HttpPrefixError;

    /// Parse a URL without a query.
    ///
    /// # Errors
    /// [`HttpPrefixError`].
    fn from_str(text: &str) -> Result<HttpPrefix, HttpPrefixError> {
        let url = HttpUrl::parse(text).map_err(HttpPrefixError::Url)?;
        if url.path().contains('*') {
            return Err(HttpPrefixError::Wildcard);
        }
        if readings([url.path()]).is_ok_and(|all| all.len() > 1) {
            return Err(HttpPrefixError::Ambiguous);
        }
        Ok(HttpPrefix(url))
    }
}

/// Why a text is not an origin with a path.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HttpPrefixError {
    /// It is not a URL, or it has a query.
    #[error(transparent)]
    Url(HttpUrlError),
    /// The path has a `*`.
    #[error("the path has a `*`: write `/v1/` for all paths below it")]
    Wildcard,
    /// Servers read the path differently.
    #[error("servers read the path differently: leave out `;`, `\\` and encoded characters")]
    Ambiguous,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_covers_whole_segments_in_each_reading() {
        for (prefix, url, expected) in [
            ("https://a.example", "https://a.example", true),
            ("https://a.example", "https://a.example/x/y?z", true),
            ("https://a.example/", "https://A.example.:443/x", true),
            ("https://a.example/", "http://a.example/x", false),
            ("https://a.example/", "https://a.example:444/x", false),
            ("https://a.example/", "https://b.a.example/x", false),
            ("https://a.example/", "https://a.example.evil/x", false),
            ("https://a.example/v1", "https://a.example/v1", true),
            ("https://a.example/v1", "https://a.example/v1/", true),
            ("https://a.example/v1", "https://a.example/v1/x", true),
            ("https://a.example/v1", "https://a.example/v10", false),
            ("https://a.example/v1", "https://a.example/V1", false),
            ("https://a.example/v1", "https://a.example/", false),
            ("https://a.example/v1/", "https://a.example/v1", false),
            ("https://a.example/v1/", "https://a.example/v1/x", true),
            ("https://a.example/v1/", "https://a.example//v1//x", true),
            ("https://a.example/v1/", "https://a.example/%761/x", true),
            ("https://a.example/v1/", "https://a.example/v1/../x", false),
            (
                "https://a.example/v1/",
                "https://a.example/v1/%2e%2e/x",
                false,
            ),
            (
                "https://a.example/v1/",
                "https://a.example/v1/..%2Fx",
                false,
            ),
            (
                "https://a.example/v1/",
                "https://a.example/v1/..%5cx",
                false,
            ),
            ("https://a.example/v1/", "https://a.example/v1/..\\x", false),
            ("https://a.example/v1/", "https://a.example/v1/..;/x", false),
            (
                "https://a.example/v1/",
                "https://a.example/v1/%252e%252e/x",
                false,
            ),
            ("https://a.example/v1/", "https://a.example/v1%2Fx", false),
            (
                "https://a.example/v1/",
                "https://a.example/v1/x%2Fy;z",
                true,
            ),
            ("https://127.0.0.1/", "https://2130706433/", true),
            ("https://127.0.0.1/", "https://[::ffff:127.0.0.1]/", true),
            ("https://a.example/%7Ex/../v1", "https://a.example/v1", true),
        ] {
            let prefix: HttpPrefix = prefix.parse().unwrap();
            assert_eq!(
                prefix.covers(&url.parse().unwrap()),
                expected,
                "{prefix}: {url}"
            );
        }
    }

    #[test]
    fn what_is_no_prefix_is_refused() {
        for (text, expected) in [
            ("a.example", HttpPrefixError::Url(HttpUrlError::Scheme)),
            (
                "ftp://a.example/",
                HttpPrefixError::Url(HttpUrlError::Scheme),
            ),
            (
                "https://u:p@a.example/",
                HttpPrefixError::Url(HttpUrlError::UserInfo),
            ),
            (
                "https://a.example/?x",
                HttpPrefixError::Url(HttpUrlError::Query),
            ),
            (
                "https://a.example/#x",
                HttpPrefixError::Url(HttpUrlError::Fragment),
            ),
            ("https://a.example/v1/*", HttpPrefixError::Wildcard),
            ("https://a.example/%2A", HttpPrefixError::Wildcard),
            ("https://a.example/a%2Fb", HttpPrefixError::Ambiguous),
            ("https://a.example/a;b/", HttpPrefixError::Ambiguous),
        ] {
            assert_eq!(text.parse::<HttpPrefix>(), Err(expected), "{text}");
        }
        let wildcard = "https://*.a.example/".parse::<HttpPrefix>();
        assert!(matches!(
            wildcard,
            Err(HttpPrefixError::Url(HttpUrlError::Host(_)))
        ));
    }

    #[test]
    fn only_loopback_is_confidential_without_tls() {
        for (text, expected) in [
            ("https://a.example/", true),
            ("http://a.example/", false),
            ("http://10.0.0.1/", false),
            ("http://localhost.example/", false),
            ("http://localhost:8080/", true),
            ("http://api.localhost/", true),
            ("http://127.1.2.3:8080/", true),
            ("http://[::1]/", true),
            ("http://[::ffff:127.0.0.1]/", true),
            ("http://[64:ff9b::127.0.0.1]/", false),
            ("http://0.0.0.0/", false),
        ] {
            let prefix: HttpPrefix = text.parse().unwrap();
            assert_eq!(prefix.is_confidential(), expected, "{text}");
        }
    }

    #[test]
    fn a_rule_for_the_origin_may_grant() {
        let prefix: HttpPrefix = "https://a.example/v1/".parse().unwrap();
        let http = |text: &str| Policy::new().allow_http(text).unwrap();
        let connect = |text: &str| Policy::new().allow_connect_to(text).unwrap();
        for (policy, expected) in [
            (Policy::new(), false),
            (Policy::everything(), true),
            (http("POST https://a.example/x"), true),
            (http("* https://*.example/*"), true),
            (http("* http://a.example/*"), false),
            (http("* https://b.example/*"), false),
            (connect("a.example:443"), true),
            (connect("a.example"), true),
            (connect("a.example:80"), false),
            (connect("10.0.0.0/8"), false),
        ] {
            assert_eq!(policy.may_grant_origin(&prefix), expected, "{policy:?}");
        }
    }
}

//! URLs: their origin, and showing them without credentials.

use crate::policy::{Host, HttpScheme, Origin, RuleError};

/// Why a URL has no origin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UrlError {
    /// It is not a valid absolute URL.
    #[error("`{url}` is not a URL: {reason}")]
    Invalid {
        /// What was given, without the password that it may hold.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// It has no host, or no port, and its scheme has none by default.
    #[error("`{url}` has no host")]
    NoHost {
        /// What was given, without the password that it may hold.
        url: String,
    },
    /// Its host can't be one.
    #[error(transparent)]
    Host(#[from] RuleError),
}

/// The origin of a URL: its host, and its port or the default one of its scheme. It is what
/// [`Policy::allow_origin`](crate::Policy::allow_origin) takes.
///
/// # Errors
/// [`UrlError`].
///
/// # Examples
/// ```
/// use sockbox::{Policy, origin_of};
///
/// let origin = origin_of("https://example.com/page")?;
/// assert_eq!(origin.to_string(), "example.com:443");
/// let policy = Policy::new().allow_origin(origin);
/// # Ok::<(), sockbox::UrlError>(())
/// ```
pub fn origin_of(url: &str) -> Result<Origin, UrlError> {
    let parsed = ::url::Url::parse(url).map_err(|error| UrlError::Invalid {
        url: without_credentials(url),
        reason: error.to_string(),
    })?;
    let no_host = || UrlError::NoHost {
        url: without_credentials(url),
    };
    let host: Host = parsed.host_str().ok_or_else(no_host)?.parse()?;
    let port = parsed.port_or_known_default().ok_or_else(no_host)?;
    Ok(Origin::new(host, port))
}

/// The scheme and the origin of an `http` or `https` URL. None: it is not one.
pub(crate) fn http_origin_of(url: &str) -> Option<(HttpScheme, Origin)> {
    let scheme = match ::url::Url::parse(url).ok()?.scheme() {
        "http" => HttpScheme::Http,
        "https" => HttpScheme::Https,
        _ => return None,
    };
    Some((scheme, origin_of(url).ok()?))
}

/// A URL as far as it may be shown: without user name and password.
pub(crate) fn without_credentials(url: &str) -> String {
    match ::url::Url::parse(url) {
        Ok(mut parsed) if !parsed.username().is_empty() || parsed.password().is_some() => {
            // Both fail only for URLs without a host, and those have no credentials.
            let _ = parsed.set_username("");
            let _ = parsed.set_password(None);
            parsed.into()
        }
        Ok(_) => url.to_owned(),
        // A text that can't be parsed may still contain a password.
        Err(_) => {
            let Some((scheme, rest)) = url.split_once("://") else {
                return url.to_owned();
            };
            let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
            let (authority, path) = rest.split_at(end);
            match authority.rsplit_once('@') {
                Some((_, host)) => format!("{scheme}://{host}{path}"),
                None => url.to_owned(),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_that_grant_nothing_are_refused() {
        let no_host = |url: &str| UrlError::NoHost {
            url: url.to_owned(),
        };
        for (url, expected) in [
            (
                "mailto:someone@example.com",
                no_host("mailto:someone@example.com"),
            ),
            ("file:///etc/passwd", no_host("file:///etc/passwd")),
            ("gopher://example.com/", no_host("gopher://example.com/")),
            (
                "example.com",
                UrlError::Invalid {
                    url: "example.com".to_owned(),
                    reason: "relative URL without a base".to_owned(),
                },
            ),
            (
                "http://me:secret@host:99999/",
                UrlError::Invalid {
                    url: "http://host:99999/".to_owned(),
                    reason: "invalid port number".to_owned(),
                },
            ),
        ] {
            assert_eq!(origin_of(url), Err(expected), "{url}");
        }
    }

    #[test]
    fn credentials_are_not_shown() {
        for (url, expected) in [
            ("http://example.com/", "http://example.com/"),
            ("http://me@example.com/", "http://example.com/"),
            (
                "http://me:secret@example.com/a?b#c",
                "http://example.com/a?b#c",
            ),
            ("http://me:secret@exa mple/", "http://exa mple/"),
            ("http://me:se@cret@exa mple/", "http://exa mple/"),
            ("http://example.com/@a", "http://example.com/@a"),
            ("http://exa mple/@a", "http://exa mple/@a"),
            ("http://me:secret@exa mple?@a", "http://exa mple?@a"),
            ("not a url", "not a url"),
            ("a@b", "a@b"),
        ] {
            assert_eq!(without_credentials(url), expected, "{url}");
        }
    }
}

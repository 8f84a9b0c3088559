//! From a URL to the parts that a request needs.

use ::url::{ParseError, Position};
use percent_encoding::{AsciiSet, percent_decode_str, percent_encode};
use std::error::Error;
use std::fmt;

pub use ::url::{Host, Url};

const NO_NAME: &str = "the host is not a valid name";

const ZONE: &str = "an IPv6 address in a URL has no zone (%25eth0): leave it out";

/// The parts of a URL that a request needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The host: a name in lower case ASCII (Punycode if the URL had other letters), or an address
    /// in any notation.
    pub host: Host<String>,
    /// The port, never 0. The default is 80, or 443 for `https` (RFC 9110 section 4.2).
    pub port: u16,
    /// Whether the scheme is `https`, so the connection needs TLS.
    pub secure: bool,
    /// The value of the `Host` field: the host, and the port unless it is the default of the
    /// scheme.
    pub authority: String,
    /// The request's target in origin form: path and query, percent-encoded.
    pub path: String,
    /// The URL as the URL standard writes it, without fragment and credentials.
    pub url: String,
    /// The user and the password in the URL.
    pub credentials: Option<Credentials>,
}

/// A user and a password, percent-decoded. They may have any bytes, because servers compare bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The user, possibly empty. One with a colon can't be sent with the Basic scheme (RFC 7617
    /// section 2).
    pub username: Vec<u8>,
    /// The password, empty if there is none.
    pub password: Vec<u8>,
}

/// Why a URL can't be fetched. The error does not contain the URL, because that may contain a
/// password.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum UrlError {
    /// The URL is invalid or unusable, for this reason.
    Invalid(String),
    /// The URL has this scheme, which is neither `http` nor `https`.
    UnsupportedScheme(String),
}

/// Parses a URL by the URL standard (WHATWG): spaces around it and line ends in it are ignored,
/// characters that may not stand in a URL are encoded, and the host is normalised.
///
/// # Errors
/// - [`UrlError::Invalid`]: the standard refuses it, it has no scheme, its port is 0, or its host
///   has a character that can't be sent.
/// - [`UrlError::UnsupportedScheme`]: it is neither an `http` nor an `https` URL.
///
/// # Examples
/// ```
/// let target = sockbox_guest::url::parse("http://EXAMPLE.com:8080/a b?c#d")?;
/// assert_eq!(target.authority, "example.com:8080");
/// assert_eq!(target.path, "/a%20b?c");
/// # Ok::<(), sockbox_guest::url::UrlError>(())
/// ```
pub fn parse(text: &str) -> Result<Target, UrlError> {
    let mut url = Url::parse(text).map_err(|error| {
        UrlError::Invalid(match error {
            ParseError::InvalidIpv6Address if has_zone(text) => ZONE.into(),
            error => explain(error),
        })
    })?;
    let (secure, default_port) = match url.scheme() {
        "http" => (false, 80),
        "https" => (true, 443),
        scheme => return Err(UrlError::UnsupportedScheme(scheme.to_owned())),
    };
    let port = match url.port() {
        Some(0) => return Err(UrlError::Invalid("port 0 can't be connected to".into())),
        port => port.unwrap_or(default_port),
    };
    let credentials = credentials(&url);

    // These fail only for URLs without a host, and this URL has one.
    let no_host = |()| UrlError::Invalid("no host".into());
    url.set_password(None).map_err(no_host)?;
    url.set_username("").map_err(no_host)?;
    url.set_fragment(None);
    let host = url.host().ok_or(()).map_err(no_host)?.to_owned();
    // The standard allows these in a name, but in `Host` they may not be sent (RFC 9110 section
    // 7.2).
    if matches!(&host, Host::Domain(name) if name.contains(['"', '`', '{', '}'])) {
        return Err(UrlError::Invalid(NO_NAME.into()));
    }
    Ok(Target {
        host,
        port,
        secure,
        authority: url[Position::BeforeHost..Position::AfterPort].to_owned(),
        path: url[Position::BeforePath..Position::AfterQuery].to_owned(),
        url: url.into(),
        credentials,
    })
}

/// Whether the URL's host is an IPv6 address with a zone, which RFC 6874 defines and the URL
/// standard does not.
fn has_zone(text: &str) -> bool {
    let behind_scheme = text.split_once("//").map_or(text, |(_, rest)| rest);
    let authority = behind_scheme.split(['/', '?', '#']).next();
    authority
        .and_then(|authority| authority.rsplit_once('[')?.1.split_once(']'))
        .is_some_and(|(address, _)| address.contains('%'))
}

fn credentials(url: &Url) -> Option<Credentials> {
    let password = url.password().unwrap_or_default();
    if url.username().is_empty() && password.is_empty() {
        return None;
    }
    Some(Credentials {
        username: percent_decode_str(url.username()).collect(),
        password: percent_decode_str(password).collect(),
    })
}

/// Resolves a reference that a server sent in response to the URL `base`, by the URL standard.
///
/// Servers send references in any encoding: bytes beyond ASCII are percent-encoded one by one. The
/// fragment is removed, and any scheme is accepted.
///
/// # Errors
/// [`UrlError::Invalid`]: it contains a control character, which the standard would ignore and
/// other readers would not; or the standard refuses it; or it is a URL for HTTP that [`parse`]
/// refuses.
///
/// # Examples
/// ```
/// let url = sockbox_guest::url::resolve("http://example.com/a/b?c", b"../d e")?;
/// assert_eq!(url.as_str(), "http://example.com/d%20e");
/// # Ok::<(), sockbox_guest::url::UrlError>(())
/// ```
pub fn resolve(base: &str, reference: &[u8]) -> Result<Url, UrlError> {
    let invalid = |error| UrlError::Invalid(explain(error));
    if reference.iter().any(u8::is_ascii_control) {
        return Err(UrlError::Invalid("it contains a control character".into()));
    }
    let base = Url::parse(base).map_err(invalid)?;
    // More than two slashes before a host are ignored, but not by the parser's `join`.
    let slashes = reference.iter().take_while(|&&b| b == b'/' || b == b'\\');
    let extra = slashes.count().saturating_sub(2);
    let reference = reference.get(extra..).unwrap_or_default();
    // The set is empty: bytes beyond ASCII are encoded with any set.
    let reference = percent_encode(reference, &AsciiSet::EMPTY).to_string();
    let mut url = base.join(&reference).map_err(invalid)?;
    url.set_fragment(None);
    match parse(url.as_str()) {
        Ok(_) | Err(UrlError::UnsupportedScheme(_)) => Ok(url),
        Err(error) => Err(error),
    }
}

/// The reason, in words that do not require knowing the standard.
fn explain(error: ParseError) -> String {
    match error {
        ParseError::RelativeUrlWithoutBase => "no scheme: it must begin with http://".into(),
        ParseError::EmptyHost => "no host".into(),
        ParseError::IdnaError | ParseError::InvalidDomainCharacter => NO_NAME.into(),
        other => other.to_string(),
    }
}

impl fmt::Debug for Credentials {
    /// Without the password: debug output ends up in logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("username", &self.username.escape_ascii().to_string())
            .finish_non_exhaustive()
    }
}

impl Error for UrlError {}

impl fmt::Display for UrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(reason) => f.write_str(reason),
            Self::UnsupportedScheme(scheme) => write!(f, "the scheme {scheme} isn't supported"),
        }
    }
}

#[cfg(test)]
mod tests;

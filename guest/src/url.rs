//! From a URL to what a request needs.

use ::url::{ParseError, Position};
use percent_encoding::{AsciiSet, percent_decode_str, percent_encode};
use std::error::Error;
use std::fmt;

pub use ::url::{Host, Url};

const NO_NAME: &str = "the host is no valid name";

const ZONE: &str = "an IPv6 address in a URL has no zone (%25eth0): leave it out";

/// Where a request goes, and what it asks for there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The host: a name in lower case ASCII (Punycode where the URL had other letters), or an
    /// address, whatever way it was written in.
    pub host: Host<String>,
    /// The port, never 0. One that the URL leaves out is 80, or 443 for `https` (RFC 9110 section 4.2).
    pub port: u16,
    /// Whether it is to be reached over TLS: the scheme is `https`.
    pub secure: bool,
    /// The value for the `Host` field: the host, and the port unless it is the scheme's own.
    pub authority: String,
    /// The request's target in origin form: path and query, percent-encoded.
    pub path: String,
    /// The URL as the URL standard writes it, without fragment and credentials.
    pub url: String,
    /// The user and the password that the URL had in it.
    pub credentials: Option<Credentials>,
}

/// A user and a password, percent-decoded: any bytes, for these are what the server compares.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The user, maybe empty. A colon in it can't be sent with the Basic scheme (RFC 7617 section 2).
    pub username: Vec<u8>,
    /// The password, empty if there is none.
    pub password: Vec<u8>,
}

/// Why a URL can't be fetched. The URL isn't repeated, since it may have a password in it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum UrlError {
    /// It can't be read, or is of no use; the text says why.
    Invalid(String),
    /// It has this scheme, which is neither `http` nor `https`.
    UnsupportedScheme(String),
}

/// Read a URL as the URL standard (WHATWG) does: spaces around it and line ends in it don't count,
/// letters that may not stand in a URL are encoded, a host is normalised.
///
/// # Errors
/// - [`UrlError::Invalid`]: the standard has it refused, it has no scheme, its port is 0, or its host
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

    // These fail for URLs without a host only, and such a URL has one.
    let no_host = |()| UrlError::Invalid("no host".into());
    url.set_password(None).map_err(no_host)?;
    url.set_username("").map_err(no_host)?;
    url.set_fragment(None);
    let host = url.host().ok_or(()).map_err(no_host)?.to_owned();
    // The standard lets these be in a name; in `Host` nobody may send them (RFC 9110 section 7.2).
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

/// Whether the URL's host is an IPv6 address with a zone behind it, which RFC 6874 has and the URL
/// standard hasn't.
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

/// Read a reference, as a server sends it, from the page at `base`, as
/// the URL standard does.
///
/// Servers send it as it came from somewhere: bytes beyond ASCII, of whatever encoding, are
/// percent-encoded one by one. The fragment is left out; any scheme will do.
///
/// # Errors
/// [`UrlError::Invalid`]: there is a control character in it, which the standard would pass over and
/// others would not; or the standard has it refused; or it is a URL for HTTP that [`parse`] refuses.
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
        return Err(UrlError::Invalid("it has a control character in it".into()));
    }
    let base = Url::parse(base).map_err(invalid)?;
    // More slashes than two in front of a host are passed over; the parser's join doesn't know.
    let slashes = reference.iter().take_while(|&&b| b == b'/' || b == b'\\');
    let extra = slashes.count().saturating_sub(2);
    let reference = reference.get(extra..).unwrap_or_default();
    // Nothing is in the set: what isn't ASCII is encoded whatever the set.
    let reference = percent_encode(reference, &AsciiSet::EMPTY).to_string();
    let mut url = base.join(&reference).map_err(invalid)?;
    url.set_fragment(None);
    match parse(url.as_str()) {
        Ok(_) | Err(UrlError::UnsupportedScheme(_)) => Ok(url),
        Err(error) => Err(error),
    }
}

/// What is wrong, in words that don't take the standard to be known.
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

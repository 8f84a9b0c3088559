//! HTTP proxies: which requests go through which proxy.

mod bypass;

pub use bypass::{NoProxy, NoProxyError};

use crate::{Host, HttpScheme, HttpUrl, Origin, RuleError};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use std::ffi::OsString;
use std::fmt;
use std::str::FromStr;
use zeroize::Zeroizing;

/// The port of a proxy whose URL has none: 1080, as with curl.
pub const DEFAULT_PROXY_PORT: u16 = 1080;

/// The most bytes that the URL of a proxy may have: 8 KiB.
pub const MAX_PROXY_BYTES: usize = 8 * 1024;

/// An HTTP proxy, through which a connection is tunnelled with `CONNECT` (RFC 9110 section 9.3.6).
///
/// # Examples
/// ```
/// use sockbox_policy::Proxy;
///
/// let proxy: Proxy = "http://user:secret@proxy.example:3128".parse()?;
/// assert_eq!(proxy.to_string(), "proxy.example:3128");
/// assert!(!format!("{proxy:?}").contains("secret"));
/// # Ok::<(), sockbox_policy::ProxyError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    host: Host,
    port: u16,
    authorization: Option<HeaderValue>,
}

impl Proxy {
    /// The proxy's host.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// The proxy's port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The value of the `Proxy-Authorization` header, if the URL has a user's name. It is marked as sensitive.
    pub fn authorization(&self) -> Option<&HeaderValue> {
        self.authorization.as_ref()
    }

    /// The proxy that a variable of the environment names for URLs with this scheme, by curl's rules: `http_proxy` for `http`,
    /// and `https_proxy` or `HTTPS_PROXY` for `https`, or else `all_proxy` or `ALL_PROXY`. `HTTP_PROXY` does not count,
    /// because a web server sets it from a client's `Proxy` header (CGI). An empty variable counts as one that is not set.
    ///
    /// # Errors
    /// The name of a variable, and what is wrong with its value.
    pub fn of_environment(
        scheme: HttpScheme,
        variable: impl Fn(&str) -> Option<OsString>,
    ) -> Result<Option<Proxy>, (&'static str, ProxyError)> {
        let own: &[&'static str] = match scheme {
            HttpScheme::Http => &["http_proxy"],
            HttpScheme::Https => &["https_proxy", "HTTPS_PROXY"],
        };
        let set = |name: &&'static str| Some((*name, variable(name)?));
        let mut all = own
            .iter()
            .chain(&["all_proxy", "ALL_PROXY"])
            .filter_map(set);
        let Some((name, value)) = all.find(|(_, value)| !value.is_empty()) else {
            return Ok(None);
        };
        let text = value.to_str().ok_or((name, ProxyError::NotUnicode))?;
        text.parse().map(Some).map_err(|error| (name, error))
    }

    /// This proxy, with the credentials `USER:PASSWORD` in place of those of its URL. They are not percent-encoded.
    ///
    /// # Errors
    /// [`ProxyError::Credentials`]: they have a control character. The message does not contain them.
    pub fn with_credentials(mut self, credentials: &str) -> Result<Proxy, ProxyError> {
        let (user, password) = credentials.split_once(':').unwrap_or((credentials, ""));
        self.authorization = Some(basic(user.as_bytes(), password.as_bytes())?);
        Ok(self)
    }
}

impl fmt::Debug for Proxy {
    /// Without the credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy")
            .field("host", &self.host)
            .field("port", &self.port)
            .field("authorization", &self.authorization.is_some())
            .finish()
    }
}

impl fmt::Display for Proxy {
    /// `proxy.example:3128`, without the credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl FromStr for Proxy {
    type Err = ProxyError;

    /// Parse `[http://][USER[:PASSWORD]@]HOST[:PORT][/]`. USER and PASSWORD may be percent-encoded.
    ///
    /// # Errors
    /// [`ProxyError`]. No message contains the user's name or the password.
    fn from_str(text: &str) -> Result<Proxy, ProxyError> {
        if text.len() > MAX_PROXY_BYTES {
            return Err(ProxyError::TooLong);
        }
        let rest = match text.split_once("://") {
            None => text,
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => rest,
            Some((scheme, _)) => {
                return Err(ProxyError::Scheme {
                    scheme: sockbox_printable::line(scheme).chars().take(20).collect(),
                });
            }
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (credentials, authority) = match rest.rsplit_once('@') {
            Some((credentials, authority)) => (Some(credentials), authority),
            None => (None, rest),
        };
        let (host, port) = crate::http::split_authority(authority).map_err(|_| ProxyError::Port)?;
        let host = host.parse().map_err(ProxyError::Host)?;
        Ok(Proxy {
            host,
            port: port.unwrap_or(DEFAULT_PROXY_PORT),
            authorization: credentials.map(authorization).transpose()?,
        })
    }
}

/// The header for credentials as they are in a URL (RFC 7617).
fn authorization(credentials: &str) -> Result<HeaderValue, ProxyError> {
    let (user, password) = credentials.split_once(':').unwrap_or((credentials, ""));
    basic(&decoded(user)?, &decoded(password)?)
}

/// The header for a user's name and a password.
fn basic(user: &[u8], password: &[u8]) -> Result<HeaderValue, ProxyError> {
    // RFC 7617 section 2: a user's name with a colon would end there, and control characters are invalid.
    if user.contains(&b':') || user.iter().chain(password).any(u8::is_ascii_control) {
        return Err(ProxyError::Credentials);
    }
    let pair = Zeroizing::new([user, b":", password].concat());
    let text = Zeroizing::new(format!("Basic {}", STANDARD.encode(&*pair)));
    let mut value = HeaderValue::from_str(&text).map_err(|_| ProxyError::Credentials)?;
    value.set_sensitive(true);
    Ok(value)
}

/// The bytes of a percent-encoded text.
fn decoded(text: &str) -> Result<Zeroizing<Vec<u8>>, ProxyError> {
    let mut bytes = text.bytes();
    let mut decoded = Zeroizing::new(Vec::with_capacity(text.len()));
    while let Some(byte) = bytes.next() {
        let mut digit = || {
            let digit = bytes.next().and_then(|it| char::from(it).to_digit(16));
            digit.ok_or(ProxyError::Credentials)
        };
        decoded.push(match byte {
            b'%' => (digit()? << 4 | digit()?) as u8,
            byte => byte,
        });
    }
    Ok(decoded)
}

/// The proxies of a run, and the hosts that are reached without one. By default there are none.
///
/// A request to a loopback address, to `localhost` or to a name below it never goes through a proxy: it would reach the
/// proxy's machine in place of this one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Proxies {
    /// The proxy for `http` URLs.
    pub http: Option<Proxy>,
    /// The proxy for `https` URLs.
    pub https: Option<Proxy>,
    /// The hosts that are reached without a proxy.
    pub bypass: NoProxy,
    /// Whether the proxy resolves names. A granted name then stands for whatever address the proxy finds, which no rule
    /// judges. Otherwise the name is resolved here, each address is judged, and the proxy is asked for the address.
    pub resolve: bool,
}

impl Proxies {
    /// One proxy for all requests.
    pub fn all(proxy: Proxy) -> Proxies {
        Proxies {
            http: Some(proxy.clone()),
            https: Some(proxy),
            ..Proxies::default()
        }
    }

    /// The proxies that variables of the environment name, by curl's rules: see [`Proxy::of_environment`] and
    /// [`NoProxy::of_environment`].
    ///
    /// # Errors
    /// The name of a variable, and what is wrong with its value.
    pub fn of_environment(
        variable: impl Fn(&str) -> Option<OsString>,
    ) -> Result<Proxies, (&'static str, ProxyError)> {
        Ok(Proxies {
            http: Proxy::of_environment(HttpScheme::Http, &variable)?,
            https: Proxy::of_environment(HttpScheme::Https, &variable)?,
            bypass: NoProxy::of_environment(variable)?,
            resolve: false,
        })
    }

    /// The proxy for a request to this URL.
    pub fn for_url(&self, url: &HttpUrl) -> Option<&Proxy> {
        let origin = Origin::new(url.host().clone(), url.port());
        self.for_origin(url.scheme(), &origin)
    }

    /// The proxy for a request to this origin.
    pub fn for_origin(&self, scheme: HttpScheme, origin: &Origin) -> Option<&Proxy> {
        let proxy = match scheme {
            HttpScheme::Http => &self.http,
            HttpScheme::Https => &self.https,
        };
        proxy.as_ref().filter(|_| self.covers(origin))
    }

    /// Whether requests to this origin go through a proxy, if there is one for their scheme.
    pub fn covers(&self, origin: &Origin) -> bool {
        let is_local = match &origin.host {
            Host::Address(address) => address.is_loopback(),
            Host::Name(name) => name.is_localhost(),
        };
        !is_local && !self.bypass.covers(origin)
    }

    /// Whether there is no proxy.
    pub fn is_empty(&self) -> bool {
        self.http.is_none() && self.https.is_none()
    }
}

/// Why a text names no proxy. No message contains the user's name or the password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProxyError {
    /// The scheme is not `http`.
    #[error(
        "a proxy is reached with http, and not with `{scheme}`: write http://proxy.example:3128"
    )]
    Scheme {
        /// What was given.
        scheme: String,
    },
    /// The host is not valid.
    #[error("the proxy's host can't be used: {0}")]
    Host(RuleError),
    /// The port is not valid, or something is behind it.
    #[error("the proxy's port is not a number from 1 to 65535")]
    Port,
    /// The user's name or the password is not valid.
    #[error(
        "the proxy's user or password can't be sent: in a URL, a `%` has two hexadecimal digits behind it; a user's name has \
         no colon, and neither has a control character"
    )]
    Credentials,
    /// The URL is too long.
    #[error("the proxy's URL has more than {MAX_PROXY_BYTES} bytes")]
    TooLong,
    /// The value of a variable is not Unicode.
    #[error("it is not Unicode")]
    NotUnicode,
    /// A list of hosts without a proxy is not valid.
    #[error(transparent)]
    NoProxy(NoProxyError),
}

#[cfg(test)]
mod tests;

//! Rules about HTTP requests: `GET,HEAD https://api.example.com/v1/*`.

use super::readings::{is_plain, readings};
use super::url::{split, split_authority};
use super::{Asked, HttpMethod, HttpScheme, HttpUrl, HttpUrlError};
use crate::contains;
use crate::embedded::embedded;
use crate::{Host, Hosts, MAX_NAME_BYTES, RuleError};
use std::fmt;
use std::str::FromStr;

/// The most methods that a rule may name: 32.
pub const MAX_HTTP_METHODS: usize = 32;

/// A set of requests: their methods, their origin, and one path or all paths below a prefix.
///
/// Paths are compared in the form that [`HttpUrl`] has. A rule whose path ends with `/*` covers every path below it:
/// `/v1/*` covers `/v1/` and `/v1/pages`, and neither `/v1` nor `/v10`.
///
/// Servers read a path differently if it contains an encoded slash, backslash, dot, `?` or `#`, or a `;`. A rule with
/// `/*` grants such a path only if it covers each of its readings. A denial holds if it covers one of them.
///
/// # Examples
/// ```
/// use sockbox_policy::HttpRule;
///
/// for text in [
///     "GET,HEAD https://api.example.com/v1/*",
///     "* http://*.example.com:8080/*",
///     "POST https://[2001:db8::1]/upload",
/// ] {
///     let rule: HttpRule = text.parse()?;
///     assert_eq!(rule.to_string(), text);
/// }
/// # Ok::<(), sockbox_policy::HttpRuleError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HttpRule {
    methods: Methods,
    scheme: HttpScheme,
    hosts: Hosts,
    port: u16,
    path: Paths,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Methods {
    Any,
    These(Vec<HttpMethod>),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Paths {
    One(String),
    /// All paths that begin with this one, which ends with a slash.
    Below(String),
}

impl HttpRule {
    /// The rule for these methods and this URL, and nothing else.
    pub(crate) fn exactly(
        methods: impl IntoIterator<Item = HttpMethod>,
        url: &HttpUrl,
    ) -> HttpRule {
        HttpRule {
            methods: Methods::These(methods.into_iter().collect()),
            scheme: url.scheme,
            hosts: Hosts::One(url.host.clone()),
            port: url.port,
            path: Paths::One(url.path().to_owned()),
        }
    }

    /// Whether the rule's host is a name or `*.NAME`, and not an address.
    pub(crate) fn is_of_names(&self) -> bool {
        matches!(self.hosts, Hosts::One(Host::Name(_)) | Hosts::Subdomains(_))
    }

    /// Whether it covers all requests that `rule` covers, as far as the two alone tell.
    pub(crate) fn contains(&self, rule: &HttpRule) -> bool {
        let methods = match (&self.methods, &rule.methods) {
            (Methods::Any, _) => true,
            (Methods::These(_), Methods::Any) => false,
            (Methods::These(own), Methods::These(methods)) => {
                methods.iter().all(|method| own.contains(method))
            }
        };
        let path = match (&self.path, &rule.path) {
            (Paths::One(own), Paths::One(path)) => own == path,
            (Paths::One(_), Paths::Below(_)) => false,
            (Paths::Below(own), Paths::One(path) | Paths::Below(path)) => path.starts_with(own),
        };
        let is_same_place = self.scheme == rule.scheme && self.port == rule.port;
        methods && path && is_same_place && contains::hosts(&self.hosts, &rule.hosts)
    }

    pub(crate) fn hosts(&self) -> &Hosts {
        &self.hosts
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// About how many bytes of memory the methods, the host and the path take.
    pub(crate) fn held_bytes(&self) -> usize {
        let methods = match &self.methods {
            Methods::Any => 0,
            Methods::These(methods) => methods
                .iter()
                .map(|it| size_of::<HttpMethod>() + it.as_str().len())
                .sum(),
        };
        let (Paths::One(path) | Paths::Below(path)) = &self.path;
        methods + MAX_NAME_BYTES + path.len()
    }

    /// Whether the rule grants this request in each reading of its path.
    pub(crate) fn grants(&self, asked: &Asked<'_>) -> bool {
        let method = match &self.methods {
            Methods::Any => true,
            Methods::These(methods) => methods.contains(&asked.target.method),
        };
        let url = &asked.target.url;
        method && self.is_of_origin(url, Host::eq) && self.path.grants(asked)
    }

    /// Whether the rule denies this request in any reading of its path. The case of the method and of the path, and a
    /// slash at the path's end, make no difference. A rule with an IPv4 address also denies the IPv6 addresses that it
    /// is embedded in.
    pub(crate) fn denies(&self, asked: &Asked<'_>) -> bool {
        let method = match &self.methods {
            Methods::Any => true,
            Methods::These(methods) => methods.iter().any(|method| {
                let asked = asked.target.method.as_str();
                method.as_str().eq_ignore_ascii_case(asked)
            }),
        };
        let is_host = |own: &Host, asked: &Host| match (own, asked) {
            (Host::Address(own), Host::Address(asked)) => {
                own == asked || embedded(*asked).any(|address| address == *own)
            }
            (own, asked) => own == asked,
        };
        let url = &asked.target.url;
        method && self.is_of_origin(url, is_host) && self.path.denies(asked)
    }

    /// Whether the rule has the scheme, the host and the port of this URL. `is_host` compares the rule's host, if it is
    /// one, with the URL's.
    pub(crate) fn is_of_origin(
        &self,
        url: &HttpUrl,
        is_host: impl Fn(&Host, &Host) -> bool,
    ) -> bool {
        let host = match (&self.hosts, &url.host) {
            (Hosts::One(own), host) => is_host(own, host),
            (Hosts::Subdomains(parent), Host::Name(name)) => name.is_below(parent),
            _ => false,
        };
        host && self.scheme == url.scheme && self.port == url.port
    }
}

impl Paths {
    fn grants(&self, asked: &Asked<'_>) -> bool {
        let path = asked.target.url.path();
        match self {
            // The rule names exactly this path, so its readings are the same.
            Paths::One(own) => own == path,
            Paths::Below(own) if !path.starts_with(own) => false,
            Paths::Below(_) if asked.is_plain() => true,
            // Each step leaves this path as it is.
            Paths::Below(own) if is_plain(own) => asked
                .readings()
                .is_some_and(|mut readings| readings.all(|reading| reading.starts_with(own))),
            // A server reads both paths in the same way.
            Paths::Below(own) => readings([own.as_str(), path]).is_ok_and(|readings| {
                readings
                    .iter()
                    .all(|[own, reading]| match own.ends_with('/') {
                        true => reading.starts_with(own.as_str()),
                        // The same part of both has been cut off.
                        false => reading == own,
                    })
            }),
        }
    }

    fn denies(&self, asked: &Asked<'_>) -> bool {
        let (Paths::One(own) | Paths::Below(own)) = self;
        match is_plain(own) {
            true => self.denies_as(own, asked),
            // A rule's path has been checked, so that it has too many readings is not expected.
            false => readings([own.as_str()]).map_or(true, |owns| {
                owns.iter().any(|[own]| self.denies_as(own, asked))
            }),
        }
    }

    /// Whether a denial whose path is read as `own` holds for any reading of this path.
    fn denies_as(&self, own: &str, asked: &Asked<'_>) -> bool {
        // Without a slash at its end, the path of a rule with `/*` has been cut off.
        let is_prefix = matches!(self, Paths::Below(_)) && own.ends_with('/');
        let trimmed = own.trim_end_matches('/');
        let is_denied = |path: &str| {
            let path = path.trim_end_matches('/');
            let start = path.as_bytes().get(..own.len()).filter(|_| is_prefix);
            path.eq_ignore_ascii_case(trimmed)
                || start.is_some_and(|start| start.eq_ignore_ascii_case(own.as_bytes()))
        };
        match asked.is_plain() {
            true => is_denied(asked.target.url.path()),
            false => asked
                .readings()
                .is_none_or(|mut readings| readings.any(is_denied)),
        }
    }
}

impl fmt::Display for HttpRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.methods {
            Methods::Any => f.write_str("*")?,
            Methods::These(methods) => {
                let methods: Vec<&str> = methods.iter().map(HttpMethod::as_str).collect();
                f.write_str(&methods.join(","))?;
            }
        }
        write!(f, " {}://{}", self.scheme.as_str(), self.hosts)?;
        if self.port != self.scheme.default_port() {
            write!(f, ":{}", self.port)?;
        }
        // A literal `*` is written `%2A`, because `/*` at the end means every path below.
        let written = |path: &str| path.replace('*', "%2A");
        match &self.path {
            Paths::One(path) => f.write_str(&written(path)),
            Paths::Below(path) => write!(f, "{}*", written(path)),
        }
    }
}

impl FromStr for HttpRule {
    type Err = HttpRuleError;

    /// Parse `METHODS URL`. METHODS is a list such as `GET,HEAD`, or `*`. URL has a scheme, a host or `*.HOST`, a port
    /// unless it is the scheme's default, and a path, which may end with `/*`.
    ///
    /// # Errors
    /// [`HttpRuleError`]. Its message says what to write instead, if that is known.
    fn from_str(text: &str) -> Result<HttpRule, HttpRuleError> {
        let (methods, url) = match text.trim().split_once(char::is_whitespace) {
            Some((methods, url)) => (methods, url.trim_start()),
            None => {
                return Err(HttpRuleError::Form { text: shown(text) });
            }
        };
        let methods = parse_methods(methods)?;
        let of_url = |problem| HttpRuleError::Url {
            text: shown(url),
            problem,
        };
        let (scheme, authority, path) = split(url).map_err(of_url)?;
        let (host, port) = split_authority(authority).map_err(of_url)?;
        let hosts = parse_hosts(host)?;
        let (path, below) = match path.strip_suffix("/*") {
            Some(path) => (format!("{path}/"), true),
            None => (path.to_owned(), false),
        };
        if path.contains('*') {
            return Err(HttpRuleError::Wildcard { text: shown(url) });
        }
        // The host can be a pattern, so it is parsed above. The other parts are parsed as in a request's URL, with an
        // address in the place of the host.
        let port = port.map_or_else(String::new, |port| format!(":{port}"));
        let url = HttpUrl::parse(&format!("{scheme}://0.0.0.0{port}{path}")).map_err(of_url)?;
        let path = url.path().to_owned();
        Ok(HttpRule {
            methods,
            scheme: url.scheme,
            hosts,
            port: url.port,
            path: match below {
                true => Paths::Below(path),
                false => Paths::One(path),
            },
        })
    }
}

fn parse_methods(text: &str) -> Result<Methods, HttpRuleError> {
    if text == "*" {
        return Ok(Methods::Any);
    }
    let mut methods = Vec::new();
    for method in text.split(',') {
        let problem = || HttpRuleError::Method {
            method: shown(method),
        };
        let method: HttpMethod = method.parse().map_err(|_| problem())?;
        if methods.len() == MAX_HTTP_METHODS {
            return Err(problem());
        }
        if !methods.contains(&method) {
            methods.push(method);
        }
    }
    Ok(Methods::These(methods))
}

fn parse_hosts(host: &str) -> Result<Hosts, HttpRuleError> {
    match host.parse() {
        Ok(Hosts::Range(_)) => Err(HttpRuleError::Host(RuleError::Host { text: shown(host) })),
        Ok(hosts) => Ok(hosts),
        Err(error) => Err(HttpRuleError::Host(error)),
    }
}

/// The text for a message, without the part after 200 bytes.
fn shown(text: &str) -> String {
    const MOST: usize = 200;
    match text.len() <= MOST {
        true => text.to_owned(),
        false => format!("{}...", &text[..text.floor_char_boundary(MOST)]),
    }
}

/// Why a text is not an HTTP rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HttpRuleError {
    /// The text has no methods, or no URL.
    #[error(
        "`{text}` is not methods and a URL: write `GET,HEAD https://example.com/v1/*`, with `*` for every method"
    )]
    Form {
        /// What was given.
        text: String,
    },
    /// A method is not valid, or there are too many methods.
    #[error(
        "`{method}` is not an HTTP method: methods are written `GET,HEAD`, at most {MAX_HTTP_METHODS} of them, or `*`"
    )]
    Method {
        /// What was given.
        method: String,
    },
    /// The host is not valid.
    #[error(transparent)]
    Host(RuleError),
    /// The URL is not valid.
    #[error("`{text}` is not a URL for a rule: {problem}")]
    Url {
        /// What was given.
        text: String,
        /// What is wrong with it.
        problem: HttpUrlError,
    },
    /// The path has a `*` that is not its last segment.
    #[error(
        "`{text}` has a `*` in its path: it can only be the last segment, as in `https://example.com/v1/*`; the \
         character itself is written `%2A`"
    )]
    Wildcard {
        /// What was given.
        text: String,
    },
}

#[cfg(test)]
mod tests;

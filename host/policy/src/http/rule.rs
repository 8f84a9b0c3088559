//! Rules about HTTP requests: `GET,HEAD https://api.example.com/v1/*`.

use super::url::{split, split_authority};
use super::{HttpMethod, HttpScheme, HttpTarget, HttpUrl, HttpUrlError};
use crate::{Host, Hosts, RuleError};
use std::fmt;
use std::str::FromStr;

/// The most methods that a rule may name: 32.
pub const MAX_HTTP_METHODS: usize = 32;

/// A set of requests: their methods, their origin, and one path or all paths below a prefix.
///
/// Paths are compared in the form that [`HttpUrl`] has. A rule whose path ends with `/*` covers every path below it:
/// `/v1/*` covers `/v1/` and `/v1/pages`, and neither `/v1` nor `/v10`.
///
/// Servers read a path differently if it contains an encoded slash, backslash or dot, or a `;`. A rule with `/*` grants
/// such a path only if it covers each of its readings. A denial holds if it covers one of them.
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
    One(Pattern),
    /// All paths that begin with this one, which ends with a slash.
    Below(Pattern),
}

/// A path, and its readings: the other paths that a server may read in it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Pattern {
    path: String,
    readings: Vec<String>,
}

impl Pattern {
    /// The path, and its readings.
    fn all(&self) -> impl Iterator<Item = &String> {
        std::iter::once(&self.path).chain(&self.readings)
    }
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
            path: Paths::One(Pattern::of(url)),
        }
    }

    /// Whether the rule's host is a name or `*.NAME`, and not an address.
    pub(crate) fn is_of_names(&self) -> bool {
        matches!(self.hosts, Hosts::One(Host::Name(_)) | Hosts::Subdomains(_))
    }

    /// Whether the rule grants this request in each reading of its path.
    pub(crate) fn grants(&self, target: &HttpTarget) -> bool {
        let method = match &self.methods {
            Methods::Any => true,
            Methods::These(methods) => methods.contains(&target.method),
        };
        method && self.is_of_origin(&target.url) && self.path.grants(&target.url)
    }

    /// Whether the rule denies this request in any reading of its path. The case of the method and of the path, and a
    /// slash at the path's end, make no difference.
    pub(crate) fn denies(&self, target: &HttpTarget) -> bool {
        let asked = target.method.as_str();
        let method = match &self.methods {
            Methods::Any => true,
            Methods::These(methods) => methods
                .iter()
                .any(|method| method.as_str().eq_ignore_ascii_case(asked)),
        };
        method && self.is_of_origin(&target.url) && self.path.denies(&target.url)
    }

    /// Whether the rule is about requests to the origin of this URL.
    pub(crate) fn is_of_origin(&self, url: &HttpUrl) -> bool {
        let host = match (&self.hosts, &url.host) {
            (Hosts::One(own), host) => own == host,
            (Hosts::Subdomains(parent), Host::Name(name)) => name.is_below(parent),
            _ => false,
        };
        host && self.scheme == url.scheme && self.port == url.port
    }
}

impl Pattern {
    fn of(url: &HttpUrl) -> Pattern {
        Pattern {
            path: url.path().to_owned(),
            readings: url.readings().to_vec(),
        }
    }
}

impl Paths {
    fn grants(&self, url: &HttpUrl) -> bool {
        match self {
            // The rule names exactly this path, so its readings are the same.
            Paths::One(own) => own.path == url.path(),
            Paths::Below(own) => {
                let is_below_any =
                    |reading: &String| own.all().any(|own| reading.starts_with(own.as_str()));
                url.path().starts_with(&own.path) && url.readings().iter().all(is_below_any)
            }
        }
    }

    fn denies(&self, url: &HttpUrl) -> bool {
        let mut asked =
            std::iter::once(url.path()).chain(url.readings().iter().map(String::as_str));
        asked.any(|asked| {
            let asked = asked.to_ascii_lowercase();
            let asked = asked.trim_end_matches('/');
            match self {
                Paths::One(own) => own
                    .all()
                    .any(|own| own.trim_end_matches('/').eq_ignore_ascii_case(asked)),
                Paths::Below(own) => own.all().any(|own| {
                    let own = own.to_ascii_lowercase();
                    asked.starts_with(&own) || asked == own.trim_end_matches('/')
                }),
            }
        })
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
        let written = |pattern: &Pattern| pattern.path.replace('*', "%2A");
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
        let pattern = Pattern::of(&url);
        Ok(HttpRule {
            methods,
            scheme: url.scheme,
            hosts,
            port: url.port,
            path: match below {
                true => Paths::Below(pattern),
                false => Paths::One(pattern),
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
mod tests {
    use super::*;

    fn target(text: &str) -> HttpTarget {
        let (method, url) = text.split_once(' ').unwrap();
        HttpTarget::new(method.parse().unwrap(), url.parse().unwrap())
    }

    fn rule(text: &str) -> HttpRule {
        text.parse()
            .unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn a_rule_grants_what_it_says() {
        for (own, asked, expected) in [
            ("GET https://a.example/", "GET https://a.example", true),
            ("GET https://a.example/", "HEAD https://a.example/", false),
            ("GET https://a.example/", "get https://a.example/", false),
            ("* https://a.example/", "DELETE https://a.example/", true),
            (
                "GET,HEAD https://a.example/",
                "HEAD https://a.example/",
                true,
            ),
            ("GET https://a.example/", "GET http://a.example/", false),
            (
                "GET https://a.example/",
                "GET https://a.example:444/",
                false,
            ),
            ("GET https://a.example:443/", "GET https://a.example/", true),
            ("GET https://A.example./", "GET https://a.EXAMPLE/", true),
            ("GET https://a.example/", "GET https://b.a.example/", false),
            ("GET https://*.a.example/", "GET https://b.a.example/", true),
            ("GET https://*.a.example/", "GET https://a.example/", false),
            (
                "GET https://*.a.example/",
                "GET https://nota.example/",
                false,
            ),
            ("GET http://127.0.0.1/", "GET http://2130706433/", true),
            (
                "GET http://127.0.0.1/",
                "GET http://[::ffff:127.0.0.1]/",
                true,
            ),
            ("GET http://a/v1", "GET http://a/v1", true),
            ("GET http://a/v1", "GET http://a/v1?x=y", true),
            ("GET http://a/v1", "GET http://a/v1/", false),
            ("GET http://a/v1", "GET http://a/v2/../v1", true),
            ("GET http://a/v1/*", "GET http://a/v1/", true),
            ("GET http://a/v1/*", "GET http://a/v1/x/y", true),
            ("GET http://a/v1/*", "GET http://a/v1", false),
            ("GET http://a/v1/*", "GET http://a/v10/x", false),
            ("GET http://a/v1/*", "GET http://a/V1/x", false),
            ("GET http://a/v1/*", "GET http://a//v1//x", true),
            ("GET http://a/v1/*", "GET http://a/%761/x", true),
            ("GET http://a/v1/*", "GET http://a/v1/../v2", false),
            ("GET http://a/v1/*", "GET http://a/v1/%2e%2e/v2", false),
            ("GET http://a/v1/*", "GET http://a/v1/..%2Fv2", false),
            ("GET http://a/v1/*", "GET http://a/v1/..\\v2", false),
            ("GET http://a/v1/*", "GET http://a/v1/..%5cv2", false),
            ("GET http://a/v1/*", "GET http://a/v1/%252e%252e/v2", false),
            ("GET http://a/v1/*", "GET http://a/v1/..;/v2", false),
            ("GET http://a/v1/*", "GET http://a/v1/x%2Fy", true),
            ("GET http://a/v1/*", "GET http://a/v1%2Fx", false),
            ("GET http://a/v1/*", "GET http://a/v1/x;y", true),
            ("GET http://a/*", "GET http://a/..%2F..%2Fetc", true),
            ("GET http://a/p/b%2Fc", "GET http://a/p/b%2fc", true),
            ("GET http://a/p/b%2Fc", "GET http://a/p/b/c", false),
            ("GET http://a/p/b%2Fc/*", "GET http://a/p/b%2Fc/d", true),
            ("GET http://a/p/b%2Fc/*", "GET http://a/p/b/c/d", false),
            ("GET http://a/x%2A", "GET http://a/x*", true),
            ("GET http://a/x/%2A", "GET http://a/x/y", false),
        ] {
            assert_eq!(rule(own).grants(&target(asked)), expected, "{own}: {asked}");
        }
    }

    #[test]
    fn a_denial_covers_every_spelling() {
        for (own, asked, expected) in [
            ("DELETE http://a/*", "DELETE http://a/x", true),
            ("DELETE http://a/*", "delete http://a/x", true),
            ("DELETE http://a/*", "GET http://a/x", false),
            ("* http://a/admin", "GET http://a/admin", true),
            ("* http://a/admin", "GET http://a/admin/", true),
            ("* http://a/admin", "GET http://a/ADMIN", true),
            ("* http://a/admin", "GET http://a/admin/x", false),
            ("* http://a/admin/*", "GET http://a/admin", true),
            ("* http://a/admin/*", "GET http://a/admin/x", true),
            ("* http://a/admin/*", "GET http://a/admin%2Fx", true),
            ("* http://a/admin/*", "GET http://a/%2561dmin/x", true),
            ("* http://a/admin/*", "GET http://a/x/..%5cadmin/y", true),
            ("* http://a/admin/*", "GET http://a/x/..;/admin/y", true),
            ("* http://a/admin/*", "GET http://a/admin;v=1/y", true),
            ("* http://a/admin/*", "GET http://a/administer", false),
            ("* http://a/admin%2F/*", "GET http://a/admin/x", true),
            ("* http://*.a/*", "GET http://b.a/", true),
            ("* http://a/*", "GET https://a/", false),
        ] {
            assert_eq!(rule(own).denies(&target(asked)), expected, "{own}: {asked}");
        }
    }

    #[test]
    fn a_rule_is_written_as_it_is_read() {
        for (text, expected) in [
            ("GET  https://a.example", "GET https://a.example/"),
            ("GET,GET,HEAD http://a:80/x", "GET,HEAD http://a/x"),
            (
                "* https://*.A.example:8443/*",
                "* https://*.a.example:8443/*",
            ),
            ("PUT http://a/%2A", "PUT http://a/%2A"),
            ("PUT http://a/x'y", "PUT http://a/x%27y"),
        ] {
            let rule = rule(text);
            assert_eq!(rule.to_string(), expected);
            assert_eq!(expected.parse(), Ok(rule));
        }
    }

    #[test]
    fn what_is_no_rule_is_refused() {
        for (text, expected) in [
            ("", "is not methods and a URL"),
            ("https://a.example/", "is not methods and a URL"),
            ("GET", "is not methods and a URL"),
            ("GET a.example", "a URL begins with `http://`"),
            ("GET ftp://a.example/", "a URL begins with `http://`"),
            ("GET,* https://a/", "`*` is not an HTTP method"),
            ("GET, https://a/", "`` is not an HTTP method"),
            ("CONNECT https://a/", "`CONNECT` is not an HTTP method"),
            ("GET https://u@a/", "a user's name"),
            ("GET https://a:0/", "a port is a number"),
            ("GET https://a:*/", "a port is a number"),
            ("GET https://a/x*", "has a `*` in its path"),
            ("GET https://a/*/x", "has a `*` in its path"),
            ("GET https://a*", "is not a supported pattern"),
            ("GET https://a?x", "leave out what is behind `?`"),
            ("GET https://a/#x", "leave out what is behind `#`"),
            ("GET https://a/ /b", "spaces"),
            ("GET https://10.0.0.0/8", ""),
            ("GET https:///x", "is neither a host name"),
        ] {
            match text.parse::<HttpRule>() {
                // A path, not a range.
                Ok(rule) => assert_eq!((expected, rule.to_string().as_str()), ("", text)),
                Err(error) => {
                    assert!(!expected.is_empty(), "{text}");
                    assert!(error.to_string().contains(expected), "{text}: {error}");
                }
            }
        }
        let many = |count| {
            let methods: Vec<String> = (0..count).map(|n| format!("M{n}")).collect();
            methods.join(",")
        };
        for (count, expected) in [(MAX_HTTP_METHODS, true), (MAX_HTTP_METHODS + 1, false)] {
            let rule = format!("{} https://a/", many(count)).parse::<HttpRule>();
            assert_eq!(rule.is_ok(), expected, "{count}");
        }
    }
}

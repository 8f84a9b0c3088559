//! Why a URL or a method can't be judged.

use super::{MAX_HTTP_METHOD_BYTES, MAX_HTTP_PATH_BYTES, MAX_HTTP_QUERY_BYTES};
use crate::RuleError;

/// Why the target of a request can't be judged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HttpUrlError {
    /// The URL's scheme is not `http` or `https`, or is missing.
    #[error("a URL begins with `http://` or `https://`")]
    Scheme,
    /// The method is not valid, or is `CONNECT`.
    #[error(
        "a method is a word such as GET, of at most {MAX_HTTP_METHOD_BYTES} bytes; CONNECT is none that can be sent"
    )]
    Method,
    /// The host is not valid.
    #[error(transparent)]
    Host(RuleError),
    /// The URL has a user name or a password before the host.
    #[error("a URL can't have a user's name or a password in it")]
    UserInfo,
    /// The port is not valid.
    #[error("a port is a number from 1 to 65535")]
    Port,
    /// The path does not begin with a slash.
    #[error("a path begins with `/`")]
    NotAPath,
    /// The path has a `%` that is not followed by two hexadecimal digits.
    #[error("a `%` in a path has two hexadecimal digits behind it")]
    Escape,
    /// The path or the query has a space or a control character. In the path an encoded control character counts too.
    #[error("a URL can't have spaces or control characters in it")]
    Character,
    /// The path is percent-encoded too many times.
    #[error("the path is percent-encoded more often than can be judged")]
    TooManyEncodings,
    /// Servers may take the path for more different paths than can be judged.
    #[error(
        "servers could read the path in more ways than can be judged: it has too many of `%2F`, `%5C`, `%3F`, `%23` and `;`"
    )]
    TooManyReadings,
    /// The authority, the path or the query is too long.
    #[error(
        "a URL's path has at most {MAX_HTTP_PATH_BYTES} bytes, and its query at most {MAX_HTTP_QUERY_BYTES}"
    )]
    TooLong,
    /// The URL of a rule has a query.
    #[error("a rule is about paths: leave out what is behind `?`")]
    Query,
    /// The URL has a fragment.
    #[error("a request has no fragment: leave out what is behind `#`")]
    Fragment,
}

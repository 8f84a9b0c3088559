//! HTTP requests: the form of their URLs, and rules about them.
//!
//! | file | content |
//! |---|---|
//! | `url` | [`HttpUrl`], [`HttpTarget`]: a request's URL, in the form in which it is judged and sent |
//! | `path` | the form of a path |
//! | `readings` | the other paths that a server may take a path for |
//! | `rule` | [`HttpRule`]: methods, origin, path |
//! | `error` | why a URL or a method can't be judged |
//! | `prefix` | [`HttpPrefix`]: all URLs of an origin below a path |
//! | `secret` | [`SecretHeader`]: a header that the host adds to requests, and that the component never sees |
//! | `judge` | judging the address to which the host would send a request |

mod error;
mod judge;
mod path;
mod prefix;
#[cfg(test)]
mod properties;
mod readings;
mod rule;
mod secret;
mod url;

pub use error::HttpUrlError;
pub use prefix::{HttpPrefix, HttpPrefixError};
pub(crate) use readings::Asked;
pub use rule::{HttpRule, HttpRuleError, MAX_HTTP_METHODS};
pub use secret::{MAX_SECRET_BYTES, SecretHeader, SecretHeaderError, SecretProblem, SecretSource};
pub(crate) use secret::{Secret, header_name};
pub(crate) use url::split_authority;
pub use url::{
    HttpMethod, HttpScheme, HttpTarget, HttpUrl, MAX_HTTP_METHOD_BYTES, MAX_HTTP_PATH_BYTES,
    MAX_HTTP_QUERY_BYTES,
};

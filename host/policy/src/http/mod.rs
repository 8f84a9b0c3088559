//! HTTP requests: the form of their URLs, and rules about them.
//!
//! | file | content |
//! |---|---|
//! | `url` | [`HttpUrl`], [`HttpTarget`]: a request's URL, in the form in which it is judged and sent |
//! | `path` | the form of a path |
//! | `readings` | the other paths that a server may take a path for |
//! | `rule` | [`HttpRule`]: methods, origin, path |
//! | `error` | why a URL or a method can't be judged |
//! | `judge` | judging the address to which the host would send a request |

mod error;
mod judge;
mod path;
#[cfg(test)]
mod properties;
mod readings;
mod rule;
mod url;

pub use error::HttpUrlError;
pub(crate) use readings::Asked;
pub use rule::{HttpRule, HttpRuleError, MAX_HTTP_METHODS};
pub use url::{
    HttpMethod, HttpScheme, HttpTarget, HttpUrl, MAX_HTTP_METHOD_BYTES, MAX_HTTP_PATH_BYTES,
    MAX_HTTP_QUERY_BYTES,
};

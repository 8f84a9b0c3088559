//! HTTP requests: their URLs in one form, and rules about them.
//!
//! | file | what it has |
//! |---|---|
//! | `url` | [`HttpUrl`], [`HttpTarget`]: where a request goes, in the one form that is judged and sent |
//! | `path` | paths in one form, and what a server may take them for |
//! | `rule` | [`HttpRule`]: methods, origin, path |
//! | `judge` | what a policy makes of the address that a request would go to |

mod judge;
mod path;
#[cfg(test)]
mod properties;
mod rule;
mod url;

pub use rule::{HttpRule, HttpRuleError, MAX_HTTP_METHODS};
pub use url::{
    HttpMethod, HttpScheme, HttpTarget, HttpUrl, HttpUrlError, MAX_HTTP_METHOD_BYTES,
    MAX_HTTP_PATH_BYTES, MAX_HTTP_QUERY_BYTES,
};

//! Where a response redirects to, and how the request changes (RFC 9110 section 15.4).

use super::error::FetchError;
use crate::http1::{Header, ResponseHead, excerpt};
use crate::url::{self, Url, UrlError};

/// Where a response redirects to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redirect {
    /// The URL: absolute, without a fragment, of any scheme. It contains credentials if the server
    /// gave some.
    pub url: String,
    /// The method of the next request.
    pub method: String,
    /// Whether the request's body is sent again.
    pub sends_body: bool,
    /// Whether it leads to another origin.
    pub cross_origin: bool,
    /// Whether it leads from `https` to `http`.
    pub downgrade: bool,
}

/// The fields that are meant for one origin only: credentials, and the name that the caller uses
/// for the host.
const FOR_ORIGIN: [&str; 4] = ["Authorization", "Cookie", "Host", "Proxy-Authorization"];

/// The fields about the request's body, besides all fields whose name begins with `Content-`.
const ABOUT_BODY: [&str; 2] = ["Digest", "Last-Modified"];

impl Redirect {
    /// Where `head`, the response to a request for `url` with `method`, redirects to; `None` if it
    /// is no redirect.
    ///
    /// # Errors
    /// [`FetchError::Protocol`]: its `Location` is invalid, or there are several that differ. curl
    /// and Go would use the first one, but browsers refuse them: an attacker may have injected one
    /// of them.
    pub fn of(
        method: &str,
        url: &str,
        has_body: bool,
        head: &ResponseHead,
    ) -> Result<Option<Self>, FetchError> {
        let (method, sends_body) = match (head.status, method) {
            // User agents have always turned POST into GET here.
            (301 | 302, "POST") => ("GET", false),
            (301 | 302 | 307 | 308, method) => (method, has_body),
            (303, "HEAD") => ("HEAD", false),
            (303, _) => ("GET", false),
            _ => return Ok(None),
        };
        let Some(location) = location(head)? else {
            return Ok(None);
        };
        let next = url::resolve(url, location).map_err(|error| {
            let why = match error {
                UrlError::Invalid(why) => why,
                other => other.to_string(),
            };
            let shown = excerpt(location);
            FetchError::Protocol(format!(
                "the Location is not a valid URL: \"{shown}\": {why}"
            ))
        })?;
        let from = Url::parse(url);
        let is_secure = from.as_ref().is_ok_and(|url| url.scheme() == "https");
        Ok(Some(Self {
            cross_origin: !from.is_ok_and(|url| url.origin() == next.origin()),
            downgrade: is_secure && next.scheme() == "http",
            url: next.into(),
            method: method.to_owned(),
            sends_body,
        }))
    }

    /// Removes the header fields that must not be sent with the next request.
    pub fn strip(&self, headers: &mut Vec<Header>, had_body: bool) {
        let is = |header: &Header, names: &[&str]| names.iter().any(|name| header.is(name));
        if self.cross_origin {
            headers.retain(|header| !is(header, &FOR_ORIGIN));
        }
        if had_body && !self.sends_body {
            headers.retain(|header| !is(header, &ABOUT_BODY) && !begins_with_content(header));
        }
    }
}

fn begins_with_content(header: &Header) -> bool {
    const START: &str = "Content-";
    let start = header.name.get(..START.len());
    start.is_some_and(|start| start.eq_ignore_ascii_case(START))
}

/// The value of `Location`. An empty one counts as none, as in curl: it would lead to the URL of
/// the request itself.
fn location(head: &ResponseHead) -> Result<Option<&[u8]>, FetchError> {
    let mut values = head.values("Location");
    let Some(first) = values.next() else {
        return Ok(None);
    };
    if let Some(other) = values.find(|other| *other != first) {
        let (first, other) = (excerpt(first), excerpt(other));
        return Err(FetchError::Protocol(format!(
            "the response has two different Locations: \"{first}\" and \"{other}\""
        )));
    }
    Ok((!first.is_empty()).then_some(first))
}

#[cfg(test)]
mod tests;

//! Where a response redirects to, and what becomes of the request on the way (RFC 9110 section 15.4).

use super::error::FetchError;
use crate::http1::{Header, ResponseHead, excerpt};
use crate::url::{self, Url, UrlError};

/// Where a response redirects to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redirect {
    /// The URL, absolute, without a fragment; of any scheme. It has credentials in it if the server
    /// gave some.
    pub url: String,
    /// The method to ask for it with.
    pub method: String,
    /// Whether the request's body is to be sent again.
    pub sends_body: bool,
    /// Whether it is another origin.
    pub cross_origin: bool,
    /// Whether it leads out of TLS.
    pub downgrade: bool,
}

/// The fields that are for one origin alone: whom the caller is to it, and what the caller calls it.
const FOR_ORIGIN: [&str; 4] = ["Authorization", "Cookie", "Host", "Proxy-Authorization"];

/// The fields that are about the request's body, beside all those whose name begins with `Content-`.
const ABOUT_BODY: [&str; 2] = ["Digest", "Last-Modified"];

impl Redirect {
    /// Where `head` redirects to, the answer to a request for `url` with `method`; none if it doesn't.
    ///
    /// # Errors
    /// [`FetchError::Protocol`]: its `Location` can't be read, or there are several that differ. The
    /// first of them would do for curl and Go, but browsers refuse them: one was put there by somebody
    /// else.
    pub fn of(
        method: &str,
        url: &str,
        has_body: bool,
        head: &ResponseHead,
    ) -> Result<Option<Self>, FetchError> {
        let (method, sends_body) = match (head.status, method) {
            // What POST becomes here is what user agents have always made of it.
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
            FetchError::Protocol(format!("the Location is no URL: \"{shown}\": {why}"))
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

    /// Drops the header fields that aren't to be sent there.
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

/// What the head says in `Location`. One without anything in it counts for none, as to curl: it would
/// lead to where the request has just been.
fn location(head: &ResponseHead) -> Result<Option<&[u8]>, FetchError> {
    let mut values = head.values("Location");
    let Some(first) = values.next() else {
        return Ok(None);
    };
    if let Some(other) = values.find(|other| *other != first) {
        let (first, other) = (excerpt(first), excerpt(other));
        return Err(FetchError::Protocol(format!(
            "the Location is both \"{first}\" and \"{other}\""
        )));
    }
    Ok((!first.is_empty()).then_some(first))
}

#[cfg(test)]
mod tests;

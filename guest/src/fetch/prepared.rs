//! Requests that are ready to be sent, but for their bodies.

use super::coding::ACCEPTED;
use super::error::FetchError;
use super::options::Options;
use super::redirect::Redirect;
use super::request::{Request, RequestBody};
use super::send::Payload;
use crate::http1::{Header, RequestHead};
use crate::url::{self, Credentials, Target};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use std::rc::Rc;

/// The default for `User-Agent`.
const USER_AGENT: &str = concat!("sockbox/", env!("CARGO_PKG_VERSION"));

/// A request without its body, its URL parsed.
///
/// The response keeps it: a redirect derives the next request from it.
#[derive(Clone)]
pub struct PreparedRequest {
    pub method: String,
    pub target: Target,
    /// The caller's header fields.
    pub headers: Vec<Header>,
    pub omit: Vec<String>,
    /// Whether a body follows.
    pub has_body: bool,
    pub options: Rc<Options>,
}

impl PreparedRequest {
    /// Splits a request into its prepared head and its body.
    pub fn from_request<B>(request: Request<B>) -> Result<(Self, RequestBody<B>), FetchError> {
        let prepared = Self {
            method: request.method,
            target: url::parse(&request.url)?,
            headers: request.headers,
            omit: request.omit,
            has_body: !matches!(request.body, RequestBody::Empty),
            options: Rc::new(request.options),
        };
        Ok((prepared, request.body))
    }

    /// The request that `redirect` makes of this one.
    pub fn redirected(&self, redirect: Redirect) -> Result<Self, FetchError> {
        let mut next = self.clone();
        next.target = url::parse(&redirect.url)?;
        if !redirect.cross_origin && next.target.credentials.is_none() {
            next.target.credentials = self.target.credentials.clone();
        }
        redirect.strip(&mut next.headers, next.has_body);
        next.method = redirect.method;
        next.has_body = redirect.sends_body;
        Ok(next)
    }

    /// The bytes of the request's head.
    pub fn encode<B>(&self, payload: &Payload<B>, expect: bool) -> Result<Vec<u8>, FetchError> {
        let mut headers = self.headers.clone();
        if let Some(credentials) = &self.target.credentials
            && !headers.iter().any(|header| header.is("Authorization"))
        {
            headers.push(basic(credentials)?);
        }
        let head = RequestHead {
            method: &self.method,
            target: &self.target.path,
            host: &self.target.authority,
            user_agent: USER_AGENT,
            accept_encoding: self.options.decode.then_some(ACCEPTED),
            headers: &headers,
            omit: &self.omit,
            body: payload.framing(),
            expect_continue: expect,
            close: self.options.close,
        };
        Ok(head.encode()?)
    }
}

/// The `Authorization` field for the credentials of a URL (RFC 7617).
fn basic(credentials: &Credentials) -> Result<Header, FetchError> {
    // Section 2: the first colon ends the user name, so it can't contain one.
    if credentials.username.contains(&b':') {
        let why = "a user name for Basic authentication can't contain a colon";
        return Err(FetchError::InvalidRequest(why.to_owned()));
    }
    let pair = [&credentials.username, &b":"[..], &credentials.password].concat();
    Ok(Header {
        name: "Authorization".to_owned(),
        value: format!("Basic {}", BASE64_STANDARD.encode(pair)).into_bytes(),
    })
}

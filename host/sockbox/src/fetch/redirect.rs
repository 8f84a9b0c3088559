//! Following a redirect: where to, whether that is granted, and the request that goes there.

use super::error::error;
use super::response::Head;
use super::{Body, Response, host_of};
use crate::bindings::fetch as wit;
use crate::error::{Error, Result};
use crate::url::origin_of;

/// Where a response redirects to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Redirect {
    /// The URL, absolute, without a fragment. It may be of any scheme, and name any host.
    pub url: String,
    /// The method of the next request (RFC 9110 section 15.4).
    pub method: String,
    /// Whether the next request sends the body again.
    pub sends_body: bool,
    /// Whether the URL has another origin (scheme, host and port). If so, `Authorization`, `Cookie`
    /// and `Proxy-Authorization` are not sent to it.
    pub cross_origin: bool,
    /// Whether it leads from `https` to `http`, which needs
    /// [`Request::allow_downgrade`](crate::Request::allow_downgrade).
    pub downgrade: bool,
}

impl From<wit::Redirect> for Redirect {
    fn from(redirect: wit::Redirect) -> Redirect {
        Redirect {
            url: redirect.url,
            method: redirect.method,
            sends_body: redirect.sends_body,
            cross_origin: redirect.cross_origin,
            downgrade: redirect.downgrade,
        }
    }
}

impl<'a> Response<'a> {
    /// The target of the redirect, if this response has status 301, 302, 303, 307 or 308 and a
    /// `Location`. Otherwise none.
    ///
    /// # Errors
    /// - [`Error::Protocol`]: its `Location` is not a valid URL, or there are several different
    ///   ones.
    /// - What ends the instance: see [`Instance::fetch`](crate::Instance::fetch).
    ///
    /// # Cancel safety
    /// A future that is dropped before its end leaves an instance that can't be used any more.
    pub async fn redirect(&mut self) -> Result<Option<Redirect>> {
        let response = self.resource()?;
        let call = self.instance.begin().await?;
        let (store, exports) = self.instance.parts();
        let guest = exports.fetch()?.response();
        let result = call.run(guest.call_redirect(&mut *store, response)).await?;
        match self.instance.end(result)? {
            Ok(redirect) => Ok(redirect.map(Redirect::from)),
            Err(code) => Err(self.error(code)),
        }
    }

    /// Send the request that this response redirects to, and receive that response's head.
    ///
    /// The request has the same header fields, except those named at [`Redirect::cross_origin`],
    /// and the same options. The [`Request::total_timeout`](crate::Request::total_timeout) of the
    /// first request continues. If [`Redirect::sends_body`] is true, `body` is sent; otherwise it
    /// is ignored. The rest of this response's body is discarded.
    ///
    /// The policy decides on the new target; without a grant the result is [`Error::Denied`].
    /// [`Policy::allow_redirects`](crate::Policy::allow_redirects) grants each redirect while it is
    /// being followed, within the bounds described there.
    ///
    /// # Errors
    /// As [`Instance::fetch`](crate::Instance::fetch), and
    /// - [`Error::InvalidRequest`]: the response is not a redirect, or the redirect needs a body
    ///   and there is none.
    /// - [`Error::UnsupportedScheme`]: it leads to a URL that is neither an `http` nor an `https` one.
    /// - [`Error::InsecureRedirect`]: it leads from `https` to `http`.
    /// - [`Error::TooManyRedirects`]: it is one more than
    ///   [`Request::max_redirects`](crate::Request::max_redirects).
    ///
    /// # Cancel safety
    /// A future that is dropped before its end leaves an instance that can't be used any more.
    ///
    /// # Examples
    /// Follow redirects on the public internet:
    /// ```
    /// use sockbox::{Body, Policy, Request, Sandbox};
    /// # use std::io::{Read, Write};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    /// # let url = format!("http://{}/", listener.local_addr()?);
    /// # let peer = std::thread::spawn(move || -> std::io::Result<()> {
    /// #     let mut stream = listener.accept()?.0;
    /// #     for answer in ["302 Found\r\nLocation: /new", "200 OK"] {
    /// #         let mut request = Vec::new();
    /// #         while !request.ends_with(b"\r\n\r\n") {
    /// #             let mut byte = [0];
    /// #             stream.read_exact(&mut byte)?;
    /// #             request.push(byte[0]);
    /// #         }
    /// #         let head = format!("HTTP/1.1 {answer}\r\nContent-Length: 0\r\n\r\n");
    /// #         stream.write_all(head.as_bytes())?;
    /// #     }
    /// #     Ok(())
    /// # });
    /// let policy = Policy::new().allow_origin(sockbox::origin_of(&url)?).allow_redirects();
    /// let mut instance = Sandbox::new()?.instance().policy(policy).build().await?;
    /// let mut response = instance.fetch(Request::get(&url)).await?;
    /// while let Some(redirect) = response.redirect().await? {
    ///     println!("moved to {}", redirect.url);
    ///     response = response.follow(Body::empty()).await?;
    /// }
    /// assert_eq!(response.status(), 200);
    /// # peer.join().unwrap()?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn follow(mut self, body: Body) -> Result<Response<'a>> {
        let Some(redirect) = self.redirect().await? else {
            return Err(Error::InvalidRequest {
                reason: "the response is not a redirect".to_owned(),
            });
        };
        let origin = origin_of(&redirect.url).ok();
        self.instance.authority().redirected(origin.as_ref())?;
        self.instance.lead_to(&redirect.url);
        let host = host_of(&redirect.url);
        let response = self.resource()?;
        let (store, _) = self.instance.parts();
        let body = if redirect.sends_body {
            body
        } else {
            Body::empty()
        };
        let body = body.into_wit(&mut store.data_mut().table)?;
        let call = self.instance.begin().await?;
        let (store, exports) = self.instance.parts();
        let guest = exports.fetch()?.response();
        let result = call
            .run(guest.call_follow(&mut *store, response, &body))
            .await?;
        let next = self.instance.end(result)?.map_err(|code| {
            let incidents = self.instance.authority().incidents_since(self.mark);
            error(&incidents, &host, &redirect.url, code)
        })?;
        if let Some(old) = self.response.replace(next) {
            self.instance.discard(old);
        }
        let head = self.instance.head_of(next).await?;
        self.instance.answered(&redirect.url, &head);
        self.head = Head::new(head, self.instance);
        self.host = host;
        Ok(self)
    }
}

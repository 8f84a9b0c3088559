//! From a response to the one that it redirects to.

use super::{FetchError, Net, Response};
use crate::fetch::redirect::Redirect;
use crate::fetch::send::RequestBody;
use crate::fetch::trace::Trace;
use crate::net::{Source, timeout_at};
use crate::url;
use std::time::Duration;

/// The most bytes of a page that are read off for its connection's sake: 64 KiB, a few packets.
const MAX_REST: u64 = 64 * 1024;

/// The longest that reading them off may take: 1 second. A new connection takes less as a rule.
const REST_TIME: Duration = Duration::from_secs(1);

impl<N: Net> Response<N> {
    /// Where this response redirects to; none if it doesn't.
    ///
    /// # Errors
    /// As [`Redirect::of`].
    pub fn redirect(&self) -> Result<Option<Redirect>, FetchError> {
        let question = &self.question;
        Redirect::of(
            &question.method,
            &question.target.url,
            question.has_body,
            &self.info.head,
        )
    }

    /// Sends the request that this response redirects to. The body counts where the redirect
    /// [sends](Redirect::sends_body) it again. What is left of this response's body is given up.
    ///
    /// # Errors
    /// - As [`redirect`](Self::redirect) and [`Client::fetch`](crate::fetch::Client::fetch).
    /// - [`FetchError::InvalidRequest`]: this isn't a redirect, or there is no body to send again.
    /// - [`FetchError::TooManyRedirects`], [`FetchError::InsecureRedirect`].
    pub async fn follow<B: Source + 'static>(
        &mut self,
        body: RequestBody<B>,
    ) -> Result<Self, FetchError> {
        let invalid = |why: &str| FetchError::InvalidRequest(why.to_owned());
        let redirect = self
            .redirect()?
            .ok_or_else(|| invalid("there is no redirect to follow"))?;
        let max_redirects = self.question.options.max_redirects;
        if self.redirects >= max_redirects {
            return Err(FetchError::TooManyRedirects(max_redirects));
        }
        if redirect.downgrade && !self.question.options.downgrade {
            return Err(FetchError::InsecureRedirect(redirect.url));
        }
        let body = match (redirect.sends_body, body) {
            (false, _) => RequestBody::Empty,
            (true, RequestBody::Empty) => {
                return Err(invalid("the redirect asks for the body again"));
            }
            (true, body) => body,
        };
        let mut question = self.question.clone();
        question.target = url::parse(&redirect.url)?;
        if !redirect.cross_origin && question.target.credentials.is_none() {
            question.target.credentials = self.question.target.credentials.clone();
        }
        redirect.strip(&mut question.headers, question.has_body);
        question.method = redirect.method;
        question.has_body = redirect.sends_body;

        self.drain_body().await;
        let next = &question.target.url;
        Trace(question.options.trace).fact(format_args!("redirected to {next}"));
        let clock = self.clock.restart(&question.options);
        self.client
            .ask(question, body, clock, self.redirects + 1)
            .await
    }

    /// Receives what is left of the body, if that is little, so that the next request can have the
    /// connection. Then the connection is gone from here either way.
    async fn drain_body(&mut self) {
        let of_use = self
            .connection
            .as_ref()
            .is_some_and(|connection| connection.is_sent() && !connection.is_spent());
        let is_long = self.decoder.content_length() > Some(MAX_REST);
        if of_use && !is_long && self.failed.is_none() {
            let net = self.client.net().clone();
            let deadline = net.now().after(REST_TIME);
            // Whatever goes wrong, the connection is closed then.
            let _ = timeout_at(&net, deadline, self.read_rest()).await;
        }
        self.connection = None;
    }

    async fn read_rest(&mut self) -> Result<(), FetchError> {
        // The bytes as they are on the wire will do.
        self.coded = None;
        let mut left = MAX_REST;
        while left > 0 {
            match self
                .try_read(usize::try_from(left).unwrap_or(usize::MAX))
                .await?
            {
                Some(bytes) => left = left.saturating_sub(bytes.len() as u64),
                None => break,
            }
        }
        Ok(())
    }
}

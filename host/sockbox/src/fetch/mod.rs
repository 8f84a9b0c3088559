//! Sending requests.

mod body;
mod error;
mod redirect;
mod request;
mod response;
mod timings;

pub use body::Body;
pub use redirect::Redirect;
pub use request::{Family, Header, Request};
pub use response::Response;
pub use timings::Timings;

use crate::bindings::fetch as wit;
use crate::error::{Error, Result};
use crate::instance::Instance;
use crate::policy::Target;
use crate::url::{origin_of, without_credentials};
use error::error;
use std::net::SocketAddr;
use wasmtime::component::ResourceAny;

impl Instance {
    /// Send a request, and receive the response's head.
    ///
    /// # Errors
    /// - [`Error::InvalidUrl`], [`Error::UnsupportedScheme`], [`Error::InvalidRequest`]: the
    ///   request can't be sent.
    /// - [`Error::Denied`]: the policy does not grant it. Nothing was sent.
    /// - [`Error::Tls`]: the certificate is not accepted, the handshake failed, the connection broke, or the
    ///   certificates to trust can't be read.
    /// - [`Error::ResolveFailed`], [`Error::ConnectFailed`], [`Error::SendFailed`],
    ///   [`Error::ReceiveFailed`]: the network.
    /// - [`Error::Proxy`]: the proxy gave no connection.
    /// - [`Error::Exhausted`]: the limits are too tight for it. The instance can still be used if it
    ///   is one of the network's.
    /// - [`Error::Protocol`], [`Error::EmptyResponse`], [`Error::ContentEncoding`],
    ///   [`Error::LimitExceeded`]: the server.
    /// - [`Error::Timeout`]: it took too long.
    /// - [`Error::Abandoned`], [`Error::Trapped`], [`Error::WallTime`], [`Error::CpuTime`],
    ///   [`Error::MemoryLimit`], [`Error::Exhausted`]: the instance can't be used any more.
    ///
    /// # Cancel safety
    /// A future that is dropped before its end leaves an instance that can't be used any more.
    pub async fn fetch(&mut self, request: Request) -> Result<Response<'_>, Error> {
        let host = host_of(&request.url);
        let (_, exports) = self.parts();
        exports.fetch()?;
        if let Ok(origin) = origin_of(&request.url) {
            self.authority().check_name(&origin)?;
        }
        self.ipv6 = request.is_ipv6_only();
        self.lead_to(&request.url);
        let (store, _) = self.parts();
        let request = request.into_wit(&mut store.data_mut().table)?;
        let call = self.begin().await?;
        let (store, exports) = self.parts();
        let fetch = exports.fetch()?;
        // Earlier incidents belong to earlier requests.
        let mark = store.data().sockbox.authority().mark();
        let result = call.run(fetch.call_fetch(&mut *store, &request)).await?;
        let response = self.end(result)?.map_err(|code| {
            let incidents = self.authority().incidents_since(mark);
            error(&incidents, &host, &request.url, code)
        })?;

        let head = self.head_of(response).await?;
        self.answered(&request.url, &head);
        Ok(Response::new(self, response, head, host, mark))
    }

    /// Note from which address a response to a request for `url` has come.
    fn answered(&self, url: &str, head: &wit::ResponseHead) {
        let remote: SocketAddr = head.remote_address.into();
        let authority = self.authority();
        // A name that the proxy resolves has no address here.
        if let (Ok(origin), Target::Connect(address)) =
            (origin_of(url), authority.target_of(remote))
        {
            authority.answered(&origin, address.ip());
        }
    }

    /// Ask the component for the head of a response.
    async fn head_of(&mut self, response: ResourceAny) -> Result<wit::ResponseHead> {
        let call = self.begin().await?;
        let (store, exports) = self.parts();
        let guest = exports.fetch()?.response();
        let result = call.run(guest.call_head(&mut *store, response)).await?;
        self.end(result)
    }
}

/// The host of a URL, for messages.
fn host_of(url: &str) -> String {
    ::url::Url::parse(url)
        .ok()
        .and_then(|url| url.host_str().map(str::to_owned))
        .unwrap_or_else(|| without_credentials(url))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_name_the_host() {
        for (url, expected) in [
            ("http://example.com:80/a", "example.com"),
            ("http://[::1]:81/", "[::1]"),
            ("http://me:secret@EXAMPLE.com/", "example.com"),
            ("http://me:secret@exa mple/", "http://exa mple/"),
        ] {
            assert_eq!(host_of(url), expected);
        }
    }
}

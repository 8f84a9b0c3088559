//! The headers that the host adds to a component's requests, just before it sends them.
//!
//! The component's own request never contains them: they are added to the copy that hyper sends.

use super::error::Failed;
use crate::authority::Authority;
use http::header::TRAILER;
use http::{HeaderMap, HeaderName};
use sockbox_policy::audit::SecretHeaderUse;
use sockbox_policy::{HttpScheme, HttpTarget, HttpUrl, SecretHeader};

/// The secret headers of a run.
pub(super) struct Secrets(Vec<SecretHeader>);

impl Secrets {
    pub(super) fn new(headers: &[SecretHeader]) -> Secrets {
        Secrets(headers.to_vec())
    }

    /// Refuse a request through which the component could read a secret, or through which a network could.
    pub(super) fn check(&self, target: &HttpTarget, authority: &Authority) -> Result<(), Failed> {
        if self.0.iter().any(|header| header.is_echoed_by(target)) {
            return Err(Failed::Method);
        }
        // Over http a secret is for loopback addresses. A name such as `localhost` has no others, unless the user has set
        // static ones.
        let leads_away = || {
            let name = target.url.name();
            let addresses = name.and_then(|name| authority.static_addresses(name));
            addresses.is_some_and(|all| all.iter().any(|it| !it.to_canonical().is_loopback()))
        };
        let has_secret = || !SecretHeader::for_url(&self.0, &target.url).is_empty();
        match target.url.scheme() == HttpScheme::Http && leads_away() && has_secret() {
            true => Err(Failed::Prohibited),
            false => Ok(()),
        }
    }

    /// Add the headers for a request with this URL, in place of the component's headers of the same names. Returns which
    /// ones, for the audit record.
    pub(super) fn add_to(&self, headers: &mut HeaderMap, url: &HttpUrl) -> Vec<SecretHeaderUse> {
        let mut added = Vec::new();
        for secret in SecretHeader::for_url(&self.0, url) {
            let own: Vec<HeaderName> = headers
                .keys()
                .filter(|name| is_same(name.as_str(), secret.name().as_str()))
                .cloned()
                .collect();
            for name in own {
                headers.remove(name);
            }
            // A trailer of that name could count as the header. Without this header hyper sends no trailers.
            let names_it = |value: &http::HeaderValue| {
                let value = value.to_str().unwrap_or_default();
                let mut names = value.split(',').map(str::trim);
                names.any(|name| is_same(name, secret.name().as_str()))
            };
            if headers.get_all(TRAILER).iter().any(names_it) {
                headers.remove(TRAILER);
            }
            headers.insert(secret.name().clone(), secret.expose().clone());
            added.push(SecretHeaderUse::of(secret));
        }
        added
    }
}

/// Whether servers take one name for the other. Some of them, such as CGI, do not distinguish `-` and `_`.
fn is_same(name: &str, other: &str) -> bool {
    let plain = |byte: u8| match byte {
        b'_' => b'-',
        byte => byte.to_ascii_lowercase(),
    };
    name.bytes().map(plain).eq(other.bytes().map(plain))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grant::Grant;
    use http::HeaderValue;
    use sockbox_policy::audit::RunId;

    fn header(url: &str, name: &str) -> SecretHeader {
        SecretHeader::new(url.parse().unwrap(), name, "hunter2hunter2").unwrap()
    }

    fn target(text: &str) -> HttpTarget {
        let (method, url) = text.split_once(' ').unwrap();
        HttpTarget::new(method.parse().unwrap(), url.parse().unwrap())
    }

    #[test]
    fn the_hosts_header_wins_under_each_name() {
        let secrets = Secrets::new(&[header("https://a.example/v1/", "X-Api-Key")]);
        let own = |headers: &[(&'static str, &'static str)]| {
            let mut map = HeaderMap::new();
            for (name, value) in headers {
                map.append(*name, HeaderValue::from_static(value));
            }
            map
        };
        for (headers, expected) in [
            (own(&[]), &["x-api-key"][..]),
            (
                own(&[("x-api-key", "a"), ("x-api-key", "b")]),
                &["x-api-key"],
            ),
            (
                own(&[("x_api_key", "a"), ("x-api_key", "b")]),
                &["x-api-key"],
            ),
            (
                own(&[("x-api", "a"), ("x-api-key2", "b")]),
                &["x-api", "x-api-key", "x-api-key2"],
            ),
            (own(&[("trailer", "x-sum, X-API-Key")]), &["x-api-key"]),
            (
                own(&[("trailer", "x-sum"), ("trailer", "x_api_key")]),
                &["x-api-key"],
            ),
            (own(&[("trailer", "x-sum")]), &["trailer", "x-api-key"]),
        ] {
            let mut headers = headers;
            let added = secrets.add_to(&mut headers, &"https://a.example/v1/x".parse().unwrap());
            let added: Vec<_> = added
                .iter()
                .map(|it| format!("{} {}", it.name, it.prefix))
                .collect();
            assert_eq!(added, ["x-api-key https://a.example/v1/"]);
            let mut names: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
            names.sort_unstable();
            assert_eq!(names, expected);
            assert_eq!(headers["x-api-key"], "hunter2hunter2");
            assert_eq!(headers.get_all("x-api-key").iter().count(), 1);
            assert!(!format!("{headers:?}").contains("hunter2"));
        }
        let mut headers = own(&[("x-api-key", "own")]);
        let added = secrets.add_to(&mut headers, &"https://a.example/v2/x".parse().unwrap());
        assert_eq!(added, []);
        assert_eq!(headers["x-api-key"], "own");
    }

    #[test]
    fn a_request_that_would_show_a_secret_is_refused() {
        let secrets = Secrets::new(&[
            header("https://a.example/v1/", "X-Key"),
            header("http://localhost:81/", "X-Key"),
        ]);
        let name = "localhost".parse().unwrap();
        let inside = Grant::new().static_host(name, ["127.0.0.2".parse().unwrap()]);
        let name = "localhost".parse().unwrap();
        let outside = Grant::new().static_host(name, ["192.0.2.1".parse().unwrap()]);
        for (grant, asked, expected) in [
            (&inside, "GET https://a.example/v1/x", Ok(())),
            (&inside, "TRACE https://a.example/v1/x", Err(Failed::Method)),
            (
                &inside,
                "trace https://a.example/other",
                Err(Failed::Method),
            ),
            (&inside, "TRACK https://a.example/v1/x", Err(Failed::Method)),
            (&inside, "TRACE http://a.example/v1/x", Ok(())),
            (&inside, "TRACE https://b.example/v1/x", Ok(())),
            (&inside, "GET http://localhost:81/", Ok(())),
            (
                &outside,
                "GET http://localhost:81/",
                Err(Failed::Prohibited),
            ),
            (&outside, "GET http://localhost:82/", Ok(())),
        ] {
            let authority = Authority::new(RunId::new(1), grant);
            assert_eq!(
                secrets.check(&target(asked), &authority),
                expected,
                "{asked}"
            );
        }
    }
}

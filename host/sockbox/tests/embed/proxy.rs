//! Requests through a proxy.

use crate::peer::{Peer, read_head, response};
use sockbox::policy::Proxies;
use sockbox::profile::{Profile, ProxySettings};
use sockbox::{Error, Instance, Policy, ProxyProblem, Request, Sandbox, origin_of};
use std::io::Write;

const URL: &str = "http://a.example/";

/// An instance for [`URL`], whose host is at an address that nothing has.
async fn through(proxies: Proxies) -> Instance {
    let policy = Policy::new().allow_origin(origin_of(URL).unwrap());
    let builder = Sandbox::new().unwrap().instance().policy(policy);
    let builder = builder.resolve("a.example", ["192.0.2.1".parse().unwrap()]);
    builder.unwrap().proxies(proxies).build().await.unwrap()
}

fn proxies(peer: &Peer) -> Proxies {
    Proxies::all(peer.address.to_string().parse().unwrap())
}

/// A proxy, and the server behind it.
fn proxy() -> Peer {
    Peer::doing(|stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
        let request = String::from_utf8(read_head(stream)?).unwrap();
        assert!(request.starts_with("GET / HTTP/1.1\r\n"), "{request}");
        stream.write_all(&response(b"hello"))
    })
}

#[tokio::test]
async fn a_page_comes_through_a_proxy() {
    let peer = proxy();
    let mut instance = through(proxies(&peer)).await;
    let mut response = instance.fetch(Request::get(URL)).await.unwrap();
    assert_eq!(response.remote_address(), peer.address);
    let by = response.proxy().unwrap();
    assert_eq!((by.address, by.status), (peer.address, 200));
    assert_eq!(response.chunk().await.unwrap().unwrap(), "hello");
    response.close().await.unwrap();
    let asked = peer.request();
    assert!(
        asked.starts_with("CONNECT 192.0.2.1:80 HTTP/1.1\r\n"),
        "{asked}"
    );
}

#[tokio::test]
async fn a_profile_names_a_proxy_that_resolves() {
    let peer = proxy();
    let mut settings = ProxySettings::default();
    settings.proxy = Some(peer.address.to_string().parse().unwrap());
    settings.resolve = true;
    let mut profile = Profile::new();
    profile.policy = Policy::new().allow_origin(origin_of(URL).unwrap());
    profile.proxy = settings;
    let builder = Sandbox::new().unwrap().instance().profile(&profile);
    let mut instance = builder.unwrap().build().await.unwrap();
    let response = instance.fetch(Request::get(URL)).await.unwrap();
    assert_eq!(response.remote_address(), peer.address);
    response.close().await.unwrap();
    let asked = peer.request();
    assert!(
        asked.starts_with("CONNECT a.example:80 HTTP/1.1\r\n"),
        "{asked}"
    );
}

#[tokio::test]
async fn a_proxy_that_refuses_is_told_of() {
    let peer = Peer::answering("HTTP/1.1 403 No\r\n\r\n");
    let at = peer.address.to_string();
    let mut instance = through(proxies(&peer)).await;
    let error = instance.fetch(Request::get(URL)).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("no connection to a.example through the proxy {at}: it answered 403")
    );
    match error {
        Error::Proxy {
            host,
            proxy,
            problem: ProxyProblem::Refused { status: 403 },
        } => assert_eq!((host.as_str(), proxy), ("a.example", at)),
        other => panic!("{other:?}"),
    }
    peer.request();
}

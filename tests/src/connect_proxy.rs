//! An HTTP proxy that knows `CONNECT` and nothing else.

use crate::raw_peer::{Peer, RawPeer};
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;

/// A proxy on 127.0.0.1 that resolves names by a table of its own, and refuses what is not in it. Like [`RawPeer`], it
/// fails its test if no client ever connected.
pub struct ConnectProxy(RawPeer);

impl ConnectProxy {
    /// Connect to these addresses for what clients ask for: `a.example:443`.
    pub fn start<'a>(goals: impl IntoIterator<Item = (&'a str, SocketAddr)>) -> Self {
        Self::start_for(None, goals)
    }

    /// As [`ConnectProxy::start`], for clients with this `Proxy-Authorization` only.
    pub fn start_for<'a>(
        authorization: Option<&str>,
        goals: impl IntoIterator<Item = (&'a str, SocketAddr)>,
    ) -> Self {
        let goals: BTreeMap<String, SocketAddr> = goals
            .into_iter()
            .map(|(asked, address)| (asked.to_owned(), address))
            .collect();
        let authorization = authorization.map(|it| format!("\r\nProxy-Authorization: {it}\r\n"));
        Self(RawPeer::start(move |peer| {
            let head = peer.read_request()?;
            let head = String::from_utf8_lossy(&head);
            if authorization.as_ref().is_some_and(|it| !head.contains(it)) {
                return peer.send("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n");
            }
            let mut words = head.split(' ');
            match (words.next(), words.next().and_then(|it| goals.get(it))) {
                (Some("CONNECT"), Some(goal)) => tunnel(peer, *goal),
                (Some("CONNECT"), None) => peer.send("HTTP/1.1 502 Bad Gateway\r\n\r\n"),
                _ => peer.send("HTTP/1.1 405 Method Not Allowed\r\n\r\n"),
            }
        }))
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.0.address()
    }

    /// The heads of the requests so far.
    pub fn requests(&self) -> Vec<String> {
        self.0.requests()
    }

    /// What clients have asked to be connected to.
    pub fn asked(&self) -> Vec<String> {
        let second = |head: &String| head.split(' ').nth(1).unwrap_or_default().to_owned();
        self.requests().iter().map(second).collect()
    }
}

fn tunnel(peer: &mut Peer, goal: SocketAddr) -> io::Result<()> {
    peer.tunnel_to(goal, "HTTP/1.1 200 Connection established\r\n\r\n")
}

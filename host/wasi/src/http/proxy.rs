//! Tunnels through an HTTP proxy, which `CONNECT` opens (RFC 9110 section 9.3.6).

use super::client::Client;
use super::error::{Failed, LimitReached};
use super::io::broken;
use super::reach::{MOST_ADDRESSES, Streams};
use bytes::Bytes;
use http::StatusCode;
use sockbox_policy::{Host, HttpTarget, Proxy};
use std::net::{IpAddr, SocketAddr};
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream};
use zeroize::Zeroizing;

/// The most bytes of the head of a proxy's response, with the interim responses before it: 16 KiB.
const MAX_HEAD_BYTES: usize = 16 * 1024;

/// The most headers of a proxy's response: 100, as with hyper.
const MAX_HEADERS: usize = 100;

/// A tunnel to a server.
pub(super) struct Tunnel {
    /// The address that the proxy was asked for. None if it was asked for a name.
    pub(super) address: Option<SocketAddr>,
    pub(super) streams: Streams,
}

impl Client {
    /// Whether the proxy is to resolve the name of this target, and not the host.
    pub(super) fn leaves_to_proxy(&self, target: &HttpTarget) -> bool {
        let name = target.url.name();
        self.proxies.resolve
            && name.is_some_and(|name| self.authority.static_addresses(name).is_none())
    }

    /// Open a tunnel to the server of a request: to the first of `addresses` that the proxy connects to, or to the server's
    /// name if there are none. `answered` is told the status of each response of the proxy.
    pub(super) async fn tunnel(
        &self,
        proxy: &Proxy,
        target: &HttpTarget,
        addresses: &[IpAddr],
        answered: impl Fn(u16),
    ) -> Result<Tunnel, Failed> {
        let port = target.url.port();
        let at = proxy_addresses(proxy).await?;
        let mut goals: Vec<(Option<SocketAddr>, String)> = addresses
            .iter()
            .take(MOST_ADDRESSES)
            .map(|ip| SocketAddr::new(*ip, port))
            .map(|address| (Some(address), address.to_string()))
            .collect();
        if goals.is_empty() {
            goals.push((None, format!("{}:{port}", target.url.host())));
        }
        for (address, authority) in goals {
            let (_, mut streams) = self.connect(&at, proxy.port()).await?;
            send(&mut streams.1, request(proxy, &authority)).await?;
            let status = read_status(&mut streams.0).await?;
            answered(status.as_u16());
            if status.is_success() {
                return Ok(Tunnel { address, streams });
            }
            // It is about the credentials, so another address changes nothing. tinyproxy sends 401 for wrong ones.
            let denied = [
                StatusCode::UNAUTHORIZED,
                StatusCode::PROXY_AUTHENTICATION_REQUIRED,
            ];
            if denied.contains(&status) {
                break;
            }
        }
        Err(Failed::Unavailable)
    }
}

/// The addresses of the proxy itself. The user names the proxy, so no rule judges them.
async fn proxy_addresses(proxy: &Proxy) -> Result<Vec<IpAddr>, Failed> {
    let name = match proxy.host() {
        Host::Address(address) => return Ok(vec![*address]),
        Host::Name(name) => name.to_string(),
    };
    let found = tokio::net::lookup_host((name, proxy.port())).await;
    let found = found.map_err(|_| Failed::Dns("SERVFAIL"))?;
    let mut addresses: Vec<IpAddr> = Vec::new();
    for address in found.map(|address| address.ip()) {
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    Ok(addresses)
}

fn request(proxy: &Proxy, authority: &str) -> Bytes {
    let mut head = Zeroizing::new(Vec::new());
    let line = format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n");
    let credentials = proxy.authorization().map_or(&[][..], |it| it.as_bytes());
    // Of the right size from the start: a vector that grows leaves copies in memory.
    head.reserve_exact(line.len() + credentials.len() + 64);
    head.extend_from_slice(line.as_bytes());
    if !credentials.is_empty() {
        head.extend_from_slice(b"Proxy-Authorization: ");
        head.extend_from_slice(credentials);
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(b"\r\n");
    Bytes::from_owner(head)
}

async fn send(output: &mut DynOutputStream, mut bytes: Bytes) -> Result<(), Failed> {
    let failed = |error| Failed::of_stream(&broken(&error, LimitReached::Sent));
    while !bytes.is_empty() {
        output.ready().await;
        let room = output.check_write().map_err(failed)?;
        let piece = bytes.split_to(room.min(bytes.len()));
        if !piece.is_empty() {
            output.write(piece).map_err(failed)?;
        }
    }
    output.flush().map_err(failed)
}

/// Read the head of the proxy's response, and no byte behind it: that is the server's.
async fn read_status(input: &mut DynInputStream) -> Result<StatusCode, Failed> {
    let mut head = Vec::new();
    // Interim responses count, too.
    let mut left = MAX_HEAD_BYTES;
    while left > 0 {
        input.ready().await;
        let byte = input
            .read(1)
            .map_err(|error| Failed::of_stream(&broken(&error, LimitReached::Received)))?;
        head.extend_from_slice(&byte);
        left -= byte.len();
        if byte.is_empty() || !(head.ends_with(b"\r\n\r\n") || head.ends_with(b"\n\n")) {
            continue;
        }
        let status = parse(&head)?;
        if !status.is_informational() {
            return Ok(status);
        }
        head.clear();
    }
    Err(Failed::ResponseHeaderSize)
}

fn parse(head: &[u8]) -> Result<StatusCode, Failed> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut response = httparse::Response::new(&mut headers);
    let parsed = response.parse(head).map_err(|_| Failed::Protocol)?;
    match (parsed, response.code) {
        (httparse::Status::Complete(_), Some(code)) => {
            StatusCode::from_u16(code).map_err(|_| Failed::Protocol)
        }
        _ => Err(Failed::Protocol),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_names_its_goal_twice_and_its_user() {
        for (proxy, expected) in [
            (
                "http://proxy.example:3128",
                "CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n",
            ),
            (
                "http://u:p@proxy.example",
                "CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\nProxy-Authorization: Basic dTpw\r\n\r\n",
            ),
        ] {
            let found = request(&proxy.parse().unwrap(), "a.example:443");
            assert_eq!(String::from_utf8_lossy(&found), expected);
        }
    }

    #[test]
    fn a_response_has_a_status() {
        for (head, expected) in [
            ("HTTP/1.1 200 Connection established\r\n\r\n", Ok(200)),
            ("HTTP/1.0 200 OK\r\nProxy-Agent: x\r\n\r\n", Ok(200)),
            ("HTTP/1.1 200\r\n\r\n", Ok(200)),
            (
                "HTTP/1.1 407 Proxy Authentication Required\nA: b\n\n",
                Ok(407),
            ),
            ("HTTP/2 200\r\n\r\n", Err(Failed::Protocol)),
            ("SSH-2.0-x\r\n\r\n", Err(Failed::Protocol)),
            ("HTTP/1.1 20\r\n\r\n", Err(Failed::Protocol)),
            ("HTTP/1.1 099 x\r\n\r\n", Err(Failed::Protocol)),
            ("HTTP/1.1 200 OK\r\nA\0: b\r\n\r\n", Err(Failed::Protocol)),
            ("\r\n\r\n", Err(Failed::Protocol)),
        ] {
            let found = parse(head.as_bytes()).map(|status| status.as_u16());
            assert_eq!(found, expected, "{head:?}");
        }
        let most = format!("HTTP/1.1 200 OK\r\n{}\r\n", "a: b\r\n".repeat(MAX_HEADERS));
        assert!(parse(most.as_bytes()).is_ok());
        let more = format!(
            "HTTP/1.1 200 OK\r\n{}\r\n",
            "a: b\r\n".repeat(MAX_HEADERS + 1)
        );
        assert_eq!(parse(more.as_bytes()), Err(Failed::Protocol));
    }
}

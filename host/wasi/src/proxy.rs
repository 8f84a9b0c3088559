//! Connections through an HTTP proxy, which `CONNECT` opens (RFC 9110 section 9.3.6).
//!
//! The host speaks to the proxy, for `wasi:http` and for the sockets of a component ([`crate::sockets`]). A component gets
//! the connection behind the proxy's response. It sees neither the proxy's URL nor its credentials.

use crate::authority::Authority;
use crate::failed;
use crate::lookup::resolve;
use crate::sockets::{DialError, Dialed, Dialer};
use bytes::Bytes;
use http::StatusCode;
use sockbox_policy::{Host, Limit, Proxy, Target};
use std::io;
use std::net::IpAddr;
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, StreamError};
use zeroize::Zeroizing;

/// The most bytes of the head of a proxy's response, with the interim responses before it: 16 KiB.
const MAX_HEAD_BYTES: usize = 16 * 1024;

/// The most headers of a proxy's response: 100, as with hyper.
const MAX_HEADERS: usize = 100;

/// Why a proxy gave no connection.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProxyProblem {
    /// The proxy's own name could not be resolved.
    #[error("its name could not be resolved")]
    NotResolved,
    /// Connecting to the proxy failed.
    #[error("could not connect to it: {kind}")]
    NotConnected {
        /// How it failed.
        kind: io::ErrorKind,
    },
    /// The proxy has answered, and the status is not one of success.
    #[error("it answered {status}{}", if self.is_about_credentials() { " (it wants other credentials)" } else { "" })]
    Refused {
        /// The status.
        status: u16,
    },
    /// The proxy closed the connection before the end of its response's head.
    #[error("it closed the connection without a complete answer")]
    Closed,
    /// The connection to the proxy broke before the end of its response's head.
    #[error("the connection to it broke: {reason}")]
    Broken {
        /// How it broke.
        reason: String,
    },
    /// The proxy's response is not one of HTTP/1.
    #[error("its answer is not HTTP/1")]
    NotHttp,
    /// The head of the proxy's response is larger than 16 KiB.
    #[error("the head of its answer has more than {MAX_HEAD_BYTES} bytes")]
    HeadSize,
}

impl ProxyProblem {
    /// Whether the proxy wants other credentials. tinyproxy sends 401 for wrong ones.
    pub fn is_about_credentials(&self) -> bool {
        matches!(self, ProxyProblem::Refused { status: 401 | 407 })
    }

    /// Whether another address of the server would change nothing.
    pub(crate) fn is_of_proxy(&self) -> bool {
        self.is_about_credentials()
            || matches!(
                self,
                ProxyProblem::NotResolved | ProxyProblem::NotConnected { .. }
            )
    }
}

/// Why there is no connection through a proxy.
#[derive(Debug)]
pub(crate) enum TunnelError {
    /// The proxy gave none.
    Proxy(ProxyProblem),
    /// The run or the process can have no more connections.
    Dial(DialError),
    /// The run has reached this limit on its bytes.
    Bytes(Limit),
}

impl From<DialError> for TunnelError {
    fn from(error: DialError) -> TunnelError {
        match error {
            DialError::Limit => TunnelError::Dial(error),
            DialError::System(system) if DialError::is_out_of_files(&system) => {
                TunnelError::Dial(DialError::System(system))
            }
            DialError::System(system) => TunnelError::Proxy(ProxyProblem::NotConnected {
                kind: system.kind(),
            }),
            DialError::NoAddress => TunnelError::Proxy(ProxyProblem::NotResolved),
        }
    }
}

/// Have the proxy connect to `goal`: `192.0.2.1:443`, `a.example:443`. Returns the connection, and the status of the proxy's
/// response. The bytes are counted for `target`, or for the proxy if there is none.
pub(crate) async fn connect(
    dialer: &Dialer,
    authority: &Authority,
    proxy: &Proxy,
    goal: &str,
    target: Option<&Target>,
) -> Result<(Dialed, u16), TunnelError> {
    let addresses = addresses(authority, proxy).await?;
    let mut dialed = dialer.connect(&addresses, proxy.port(), target).await?;
    send(&mut dialed.output, request(proxy, goal)).await?;
    let status = read_status(&mut dialed.input).await?;
    match status.is_success() {
        true => Ok((dialed, status.as_u16())),
        false => Err(TunnelError::Proxy(ProxyProblem::Refused {
            status: status.as_u16(),
        })),
    }
}

/// The addresses of the proxy itself. The user names the proxy, so no rule judges them.
async fn addresses(authority: &Authority, proxy: &Proxy) -> Result<Vec<IpAddr>, TunnelError> {
    let name = match proxy.host() {
        Host::Address(address) => return Ok(vec![*address]),
        Host::Name(name) => name,
    };
    if let Some(addresses) = authority.static_addresses(name) {
        return Ok(addresses.to_vec());
    }
    let found = resolve(authority, name).await;
    found.map_err(|_| TunnelError::Proxy(ProxyProblem::NotResolved))
}

fn request(proxy: &Proxy, goal: &str) -> Bytes {
    let mut head = Zeroizing::new(Vec::new());
    let line = format!("CONNECT {goal} HTTP/1.1\r\nHost: {goal}\r\n");
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

async fn send(output: &mut DynOutputStream, mut bytes: Bytes) -> Result<(), TunnelError> {
    let broken = |error: StreamError| of_stream(&error, Limit::SentBytes);
    while !bytes.is_empty() {
        output.ready().await;
        let room = output.check_write().map_err(broken)?;
        let piece = bytes.split_to(room.min(bytes.len()));
        if !piece.is_empty() {
            output.write(piece).map_err(broken)?;
        }
    }
    output.flush().map_err(broken)
}

/// Read the head of the proxy's response, and no byte behind it: that is the server's.
async fn read_status(input: &mut DynInputStream) -> Result<StatusCode, TunnelError> {
    let mut head = Vec::new();
    // Interim responses count, too.
    let mut left = MAX_HEAD_BYTES;
    while left > 0 {
        input.ready().await;
        let byte = input
            .read(1)
            .map_err(|error| of_stream(&error, Limit::ReceivedBytes))?;
        head.extend_from_slice(&byte);
        left -= byte.len();
        if byte.is_empty() || !(head.ends_with(b"\r\n\r\n") || head.ends_with(b"\n\n")) {
            continue;
        }
        let status = parse(&head).map_err(TunnelError::Proxy)?;
        if !status.is_informational() {
            return Ok(status);
        }
        head.clear();
    }
    Err(TunnelError::Proxy(ProxyProblem::HeadSize))
}

/// The error for a stream that has failed. `limit` is the one that bounds its bytes.
fn of_stream(error: &StreamError, limit: Limit) -> TunnelError {
    if failed::is_limit(error) {
        return TunnelError::Bytes(limit);
    }
    TunnelError::Proxy(match error {
        StreamError::Closed => ProxyProblem::Closed,
        StreamError::LastOperationFailed(error) | StreamError::Trap(error) => {
            ProxyProblem::Broken {
                reason: failed::text(error).into_owned(),
            }
        }
    })
}

fn parse(head: &[u8]) -> Result<StatusCode, ProxyProblem> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut response = httparse::Response::new(&mut headers);
    let parsed = response.parse(head).map_err(|_| ProxyProblem::NotHttp)?;
    match (parsed, response.code) {
        (httparse::Status::Complete(_), Some(code)) => {
            StatusCode::from_u16(code).map_err(|_| ProxyProblem::NotHttp)
        }
        _ => Err(ProxyProblem::NotHttp),
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
            ("HTTP/2 200\r\n\r\n", Err(ProxyProblem::NotHttp)),
            ("SSH-2.0-x\r\n\r\n", Err(ProxyProblem::NotHttp)),
            ("HTTP/1.1 20\r\n\r\n", Err(ProxyProblem::NotHttp)),
            ("HTTP/1.1 099 x\r\n\r\n", Err(ProxyProblem::NotHttp)),
            (
                "HTTP/1.1 200 OK\r\nA\0: b\r\n\r\n",
                Err(ProxyProblem::NotHttp),
            ),
            ("\r\n\r\n", Err(ProxyProblem::NotHttp)),
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
        assert_eq!(parse(more.as_bytes()), Err(ProxyProblem::NotHttp));
    }
}

//! The requests that a component has handled.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

/// The most bytes of a path that an event keeps: 2 KiB. The rest of a longer path is left out.
pub const MAX_HANDLED_PATH_BYTES: usize = 2048;

/// A request that an HTTP client has sent to a component, and its result. The query of the URL is left out, because it
/// often contains secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HandledRequest {
    /// The address of the client.
    pub client: SocketAddr,
    /// The method.
    pub method: String,
    /// The path, without the query.
    pub path: String,
    /// The status of the response, if there was one.
    pub status: Option<u16>,
    /// Why the request has failed, if it has.
    pub error: Option<String>,
    /// Bytes of the request's body that were received.
    pub received: u64,
    /// Bytes of the response's body that were sent.
    pub sent: u64,
    /// The time from the end of the request's head to the end of the response.
    pub time: Duration,
}

impl HandledRequest {
    /// A request that has no response yet.
    pub fn new(client: SocketAddr, method: impl Into<String>, path: &str) -> HandledRequest {
        let end = path.floor_char_boundary(MAX_HANDLED_PATH_BYTES);
        HandledRequest {
            client,
            method: method.into(),
            path: path[..end].to_owned(),
            status: None,
            error: None,
            received: 0,
            sent: 0,
            time: Duration::ZERO,
        }
    }

    /// About how many bytes of memory its texts take.
    pub(super) fn held_bytes(&self) -> usize {
        self.method.len() + self.path.len() + self.error.as_ref().map_or(0, String::len)
    }
}

impl fmt::Display for HandledRequest {
    /// `127.0.0.1:49720 GET /path: 200, 0 bytes received, 12 sent, 0.003 s`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}: ", self.client, self.method, self.path)?;
        match (self.status, &self.error) {
            (Some(status), None) => write!(f, "{status}")?,
            (Some(status), Some(error)) => write!(f, "{status}, {error}")?,
            (None, Some(error)) => f.write_str(error)?,
            (None, None) => f.write_str("no response")?,
        }
        write!(
            f,
            ", {} bytes received, {} sent, {:.3} s",
            self.received,
            self.sent,
            self.time.as_secs_f64()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_reads_as_a_line_and_a_long_path_is_cut() {
        let client = "127.0.0.1:1".parse().unwrap();
        let mut handled = HandledRequest::new(client, "GET", "/a");
        for (status, error, expected) in [
            (Some(200), None, "200"),
            (Some(500), Some("why"), "500, why"),
            (None, Some("why"), "why"),
            (None, None, "no response"),
        ] {
            handled.status = status;
            handled.error = error.map(str::to_owned);
            assert_eq!(
                handled.to_string(),
                format!("127.0.0.1:1 GET /a: {expected}, 0 bytes received, 0 sent, 0.000 s")
            );
        }
        for (length, expected) in [
            (MAX_HANDLED_PATH_BYTES, MAX_HANDLED_PATH_BYTES),
            (MAX_HANDLED_PATH_BYTES + 1, MAX_HANDLED_PATH_BYTES),
        ] {
            let handled = HandledRequest::new(client, "GET", &"/".repeat(length));
            assert_eq!(handled.path.len(), expected);
        }
    }
}

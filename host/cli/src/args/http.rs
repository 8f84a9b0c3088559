//! The options of `sockbox run` that serve HTTP.

use super::serve::LogFormat;
use super::values::{seconds, size};
use crate::exit::Failure;
use sockbox::{Error, HttpOptions};
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::time::Duration;

const HEADING: &str = "HTTP server (with --listen-http)";

/// Where to listen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListenHttp {
    Address(SocketAddr),
    /// The sockets that systemd passes.
    Systemd,
}

/// Serving a component that handles HTTP requests.
#[derive(Clone, Debug, clap::Args)]
pub struct Http {
    /// Serve HTTP/1.1 on this address with a COMPONENT that exports wasi:http/incoming-handler or wasi:http/handler. Port 0 lets the system
    /// choose a port, and `systemd` serves the sockets that systemd passes (LISTEN_FDS). May be given more than once. The
    /// component gets no socket
    #[arg(long, value_name = "ADDR:PORT", value_parser = listen, help_heading = HEADING)]
    pub listen_http: Vec<ListenHttp>,

    /// How many requests an instance of the component handles, one after the other. With more than 1, requests of
    /// different clients share its memory
    #[arg(long, value_name = "N", default_value = "1", requires = "listen_http", help_heading = HEADING)]
    pub max_instance_reuse: NonZeroU32,

    /// How many requests are handled at once; each has an instance of its own. Further ones wait
    #[arg(long, value_name = "N", default_value = "256", requires = "listen_http", help_heading = HEADING)]
    pub max_requests: NonZeroU32,

    /// How long a request waits for its turn. Then it gets the response 503
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "10", requires = "listen_http", help_heading = HEADING)]
    pub queue_timeout: Duration,

    /// How many connections are open at once; further clients wait. Default: 10000, or half of what the process may have
    /// files open (`ulimit -Hn`)
    #[arg(long, value_name = "N", requires = "listen_http", help_heading = HEADING)]
    pub max_connections: Option<NonZeroU32>,

    /// How many connections of one address are open at once; a further client gets the response 429. Default: no bound
    #[arg(long, value_name = "N", requires = "listen_http", help_heading = HEADING)]
    pub max_per_peer: Option<NonZeroU32>,

    /// The largest head of a request, at least 8K; a larger one gets the response 431
    #[arg(long, value_name = "BYTES", value_parser = size, default_value = "32K", requires = "listen_http", help_heading = HEADING)]
    pub max_request_head: u64,

    /// The largest body of a request; a larger one gets the response 413. `none` is no bound
    #[arg(long, value_name = "BYTES", value_parser = size_or_none, default_value = "16M", requires = "listen_http", help_heading = HEADING)]
    pub max_request_body: Bound<u64>,

    /// Close a connection on which the head of the next request is not complete after so long; this also closes idle
    /// connections. 0 means never
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "30", requires = "listen_http", help_heading = HEADING)]
    pub header_timeout: Duration,

    /// How long the component waits for the next part of a request's body. Then reading it fails. 0 means for ever
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "30", requires = "listen_http", help_heading = HEADING)]
    pub body_timeout: Duration,

    /// Close a connection whose client takes nothing of the response for so long; 0 means never
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "30", requires = "listen_http", help_heading = HEADING)]
    pub write_timeout: Duration,

    /// How long requests under way have to end when the server stops
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "10", requires = "listen_http", help_heading = HEADING)]
    pub drain_timeout: Duration,

    /// What the log on standard error is made of: lines for people, or a JSON object a line
    #[arg(long, value_name = "KIND", default_value = "text", requires = "listen_http", help_heading = HEADING)]
    pub log: LogFormat,

    /// Don't log requests that succeed; problems are logged all the same
    #[arg(short, long, requires = "listen_http", help_heading = HEADING)]
    pub quiet: bool,
}

/// A bound, or `none`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bound<T>(pub Option<T>);

impl Http {
    /// Whether HTTP is to be served.
    pub fn is_asked_for(&self) -> bool {
        !self.listen_http.is_empty()
    }

    /// Whether the sockets that systemd passes are to be served.
    pub fn uses_systemd(&self) -> bool {
        self.listen_http.contains(&ListenHttp::Systemd)
    }

    /// How to serve, without the sockets that systemd passes.
    pub fn options(&self) -> Result<HttpOptions, Failure> {
        let head = usize::try_from(self.max_request_head).unwrap_or(usize::MAX);
        if !(8 * 1024..=16 * 1024 * 1024).contains(&head) {
            return Err(Error::InvalidOptions {
                reason: format!(
                    "--max-request-head {} is not between 8K and 16M",
                    self.max_request_head
                ),
            }
            .into());
        }
        let bound = |time: Duration| Some(time).filter(|time| !time.is_zero());
        let mut options = HttpOptions::new()
            .max_requests(self.max_requests.get())
            .queue_timeout(self.queue_timeout)
            .max_header_bytes(head)
            .max_body_bytes(self.max_request_body.0)
            .header_timeout(bound(self.header_timeout))
            .body_timeout(bound(self.body_timeout))
            .write_timeout(bound(self.write_timeout));
        if let Some(count) = self.max_connections {
            options = options.max_connections(count.get());
        }
        if let Some(count) = self.max_per_peer {
            options = options.max_per_peer(count.get());
        }
        for listen in &self.listen_http {
            if let ListenHttp::Address(address) = listen {
                options = options.listen(*address);
            }
        }
        Ok(options)
    }
}

fn listen(text: &str) -> Result<ListenHttp, String> {
    if text == "systemd" {
        return Ok(ListenHttp::Systemd);
    }
    text.parse().map(ListenHttp::Address).map_err(|_| {
        "expected an address and a port, such as 127.0.0.1:8080 or [::1]:8080, or `systemd`"
            .to_owned()
    })
}

fn size_or_none(text: &str) -> Result<Bound<u64>, String> {
    match text {
        "none" => Ok(Bound(None)),
        text => size(text)
            .map(|bytes| Bound(Some(bytes)))
            .map_err(|expected| format!("{expected}, or none")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Args, Command};
    use clap::Parser;
    use clap::error::ErrorKind;

    fn parse(words: &str) -> Result<Http, ErrorKind> {
        let words = format!("sockbox run {words} a.wasm");
        match Args::try_parse_from(words.split_whitespace()).map(|args| args.command) {
            Ok(Command::Run(run)) => Ok(run.http),
            Ok(other) => panic!("{words:?} is {other:?}"),
            Err(error) => Err(error.kind()),
        }
    }

    #[test]
    fn the_defaults_are_those_documented() {
        let http = parse("--listen-http 127.0.0.1:0").unwrap();
        let seconds = Duration::from_secs;
        assert_eq!(http.max_instance_reuse.get(), 1);
        assert_eq!(http.max_requests.get(), 256);
        assert_eq!(http.queue_timeout, seconds(10));
        assert_eq!(http.max_connections, None);
        assert_eq!(http.max_per_peer, None);
        assert_eq!(http.max_request_head, 32_768);
        assert_eq!(http.max_request_body, Bound(Some(16_777_216)));
        assert_eq!(http.header_timeout, seconds(30));
        assert_eq!(http.body_timeout, seconds(30));
        assert_eq!(http.write_timeout, seconds(30));
        assert_eq!(http.drain_timeout, seconds(10));
        assert_eq!(http.log, LogFormat::Text);
        assert!(!http.quiet);
        assert!(!parse("").unwrap().is_asked_for());
    }

    #[test]
    fn an_option_without_effect_is_refused() {
        for words in [
            "--max-instance-reuse 2",
            "--max-requests 2",
            "--max-request-body none",
            "--header-timeout 1",
            "--drain-timeout 1",
            "--log json",
            "--quiet",
        ] {
            let found = parse(words).map(|_| ());
            assert_eq!(found, Err(ErrorKind::MissingRequiredArgument), "{words}");
            let found = parse(&format!("--listen-http systemd {words}")).map(|_| ());
            assert_eq!(found, Ok(()), "{words}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for words in [
            "8080",
            "localhost:8080",
            "127.0.0.1:0 --max-requests 0",
            "127.0.0.1:0 --max-instance-reuse 0",
            "127.0.0.1:0 --max-connections 0",
            "127.0.0.1:0 --max-per-peer 0",
            "127.0.0.1:0 --max-request-body many",
            "127.0.0.1:0 --header-timeout -1",
        ] {
            let found = parse(&format!("--listen-http {words}")).map(|_| ());
            let is_refused = matches!(
                found,
                Err(ErrorKind::ValueValidation
                    | ErrorKind::InvalidValue
                    | ErrorKind::UnknownArgument)
            );
            assert!(is_refused, "{words}: {found:?}");
        }
        for (head, expected) in [("8K", true), ("8191", false), ("16M", true), ("17M", false)] {
            let http = parse(&format!("--listen-http [::1]:0 --max-request-head {head}")).unwrap();
            assert_eq!(http.options().is_ok(), expected, "{head}");
        }
    }
}

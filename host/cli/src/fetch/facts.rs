//! What is known of a transfer.

use crate::exit::Failure;
use sockbox::{ConnectFailure, Error, Header, ProxyProblem, Redirect, Response};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What is known of a transfer: of its last attempt, where there were several.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// What was typed, or made of it.
    pub url: String,
    /// Which URL it is, counted from 0.
    pub number: usize,
    pub method: String,
    pub referer: Option<Vec<u8>>,
    /// The URL of the last request.
    pub effective_url: String,
    /// The last response's head.
    pub head: Option<Head>,
    /// The status of the proxy's response to the last CONNECT, or 0.
    pub proxy_status: u16,
    /// How many connections were made.
    pub connects: u64,
    /// The addresses that could not be connected to.
    pub failures: Vec<ConnectFailure>,
    /// The URLs that redirects led to and that were asked for.
    pub redirects: Vec<String>,
    /// Where the last response redirects to, if that wasn't followed.
    pub redirect_url: Option<String>,
    pub retries: u32,
    /// How many bytes of the last response's body were received, decoded.
    pub downloaded: u64,
    /// The sizes of the heads received, and sent.
    pub head_size: u64,
    pub request_size: u64,
    /// How many bytes of bodies were sent.
    pub uploaded: u64,
    pub times: Times,
    pub file: Option<PathBuf>,
    pub exit_code: u8,
    pub error: Option<String>,
}

/// The head of a response, as far as it is told.
#[derive(Clone, Debug)]
pub struct Head {
    pub status: u16,
    pub minor_version: u8,
    pub headers: Vec<Header>,
    pub remote: SocketAddr,
    pub local: SocketAddr,
    /// Whether it came through a proxy.
    pub proxied: bool,
}

/// When each stage was over, counted from the beginning; as curl has it, the stages of redirects are
/// added up.
#[derive(Clone, Copy, Debug, Default)]
pub struct Times {
    /// The wait for its turn.
    pub queue: Duration,
    pub lookup: Duration,
    pub connect: Duration,
    /// Nothing where there is no TLS.
    pub handshake: Duration,
    pub sent: Duration,
    pub first_byte: Duration,
    /// All of the redirects, up to the last request.
    pub redirect: Duration,
    pub total: Duration,
}

impl Facts {
    /// Forget an attempt that was in vain.
    pub fn restart(&mut self) {
        *self = Facts {
            url: std::mem::take(&mut self.url),
            number: self.number,
            method: std::mem::take(&mut self.method),
            referer: self.referer.take(),
            effective_url: std::mem::take(&mut self.effective_url),
            retries: self.retries,
            file: self.file.take(),
            times: Times {
                queue: self.times.queue,
                ..Times::default()
            },
            ..Facts::default()
        };
        self.effective_url.clone_from(&self.url);
    }

    /// Take note of a response.
    pub fn responded(&mut self, response: &Response<'_>) {
        response.url().clone_into(&mut self.effective_url);
        self.head = Some(Head {
            status: response.status(),
            minor_version: response.minor_version(),
            headers: response.headers().to_vec(),
            remote: response.remote_address(),
            local: response.local_address(),
            proxied: response.proxy().is_some(),
        });
        // As with curl, a connection that is used again was not asked for again.
        let asked = response.proxy().filter(|_| !response.reused());
        self.proxy_status = asked.map_or(0, |proxy| proxy.status);
        self.connects += u64::from(!response.reused());
        self.failures.extend_from_slice(response.connect_failures());
        self.redirect_url = None;
        self.head_size += response.raw_head().len() as u64;
        self.request_size += response.request_head_size() + response.uploaded();
        self.uploaded += response.uploaded();
        let timings = response.timings();
        self.times.lookup += timings.resolve;
        self.times.connect += timings.connect;
        if response.url().starts_with("https:") {
            self.times.handshake += timings.handshake;
        }
        self.times.sent += timings.sent;
        self.times.first_byte += timings.first_byte;
    }

    /// Take note of where the response leads to, which may or may not be followed.
    pub fn redirected(&mut self, redirect: &Redirect) {
        self.redirect_url = Some(redirect.url.clone());
    }

    /// Take note that it was followed, `elapsed` after the beginning.
    pub fn follows(&mut self, redirect: &Redirect, elapsed: Duration) {
        self.redirects.push(redirect.url.clone());
        self.method.clone_from(&redirect.method);
        self.times.redirect = elapsed;
    }

    /// Take note of how it ended.
    pub fn ended(&mut self, failure: Option<&Failure>) {
        let Some(failure) = failure else {
            self.exit_code = 0;
            self.error = None;
            return;
        };
        self.exit_code = failure.code();
        self.error = failure.message(false);
        match failure {
            Failure::Sandbox(Error::ConnectFailed { attempts, .. }) => {
                self.failures.extend_from_slice(attempts);
            }
            Failure::Sandbox(Error::Proxy {
                problem: ProxyProblem::Refused { status },
                ..
            }) => self.proxy_status = *status,
            _ => {}
        }
    }

    /// Take note of how much had been received.
    pub fn failed(&mut self, error: &Error) {
        if let Error::IncompleteBody { received, .. } | Error::Timeout { received, .. } = error {
            self.downloaded = self.downloaded.max(*received);
        }
    }

    /// The last response's status code.
    pub fn status(&self) -> Option<u16> {
        Some(self.head.as_ref()?.status)
    }

    /// The last response's header fields.
    pub fn headers(&self) -> &[Header] {
        self.head.as_ref().map_or(&[], |head| &head.headers)
    }

    /// The value of the first of them of this name, whatever its case.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        let mut headers = self.headers().iter();
        let found = headers.find(|header| header.name.eq_ignore_ascii_case(name))?;
        Some(&found.value)
    }

    /// The file that the page is in.
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// How many bytes came in a second.
    pub fn download_speed(&self) -> u64 {
        speed(self.downloaded, self.times.total)
    }

    /// How many bytes went in a second.
    pub fn upload_speed(&self) -> u64 {
        speed(self.uploaded, self.times.total)
    }
}

fn speed(bytes: u64, time: Duration) -> u64 {
    match time.as_secs_f64() {
        seconds if seconds > 0.0 => (bytes as f64 / seconds) as u64,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sockbox::{Stage, TimeBound};

    #[test]
    fn speeds() {
        for (bytes, millis, expected) in [
            (0, 0, 0),
            (1000, 0, 0),
            (1000, 500, 2000),
            (1000, 1000, 1000),
            (0, 1000, 0),
        ] {
            assert_eq!(speed(bytes, Duration::from_millis(millis)), expected);
        }
    }

    #[test]
    fn another_attempt_keeps_what_is_the_transfers() {
        let mut facts = Facts {
            url: "http://a/".to_owned(),
            effective_url: "http://b/".to_owned(),
            number: 3,
            retries: 2,
            downloaded: 10,
            redirects: vec!["http://b/".to_owned()],
            ..Facts::default()
        };
        facts.restart();
        assert_eq!((facts.url.as_str(), facts.number), ("http://a/", 3));
        assert_eq!((facts.retries, facts.downloaded), (2, 0));
        assert_eq!(facts.effective_url, "http://a/");
        assert!(facts.redirects.is_empty());
    }

    #[test]
    fn a_failure_tells_what_had_come() {
        let mut facts = Facts::default();
        let error = Error::Timeout {
            stage: Stage::Body,
            bound: TimeBound::Total,
            limit: Duration::from_secs(1),
            received: 7,
        };
        facts.failed(&error);
        facts.ended(Some(&error.into()));
        assert_eq!((facts.exit_code, facts.downloaded), (28, 7));
        assert!(facts.error.is_some());
        facts.ended(None);
        assert_eq!((facts.exit_code, facts.error), (0, None));
    }
}

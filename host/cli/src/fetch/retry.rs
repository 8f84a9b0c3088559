//! Whether to try again, and when.

use super::request::max_time;
use crate::args::Fetch;
use crate::exit::Failure;
use sockbox::{Error, NetworkError, ProxyProblem, TlsError};
use std::io::ErrorKind;
use std::time::{Duration, SystemTime};

/// What the first wait is, unless told otherwise; each is twice the one before.
const FIRST_DELAY: Duration = Duration::from_secs(1);

/// The longest wait that doubling leads to: 10 minutes, as curl has it.
const LONGEST_DELAY: Duration = Duration::from_secs(600);

/// The longest wait that a server can ask for: 6 hours, as curl has it. A server that asks for more is not
/// waited for.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(6 * 60 * 60);

/// Decides about one URL.
#[derive(Clone, Debug)]
pub struct Retry {
    left: u32,
    done: u32,
    delay: Duration,
    fixed_delay: bool,
    max_time: Option<Duration>,
    /// `--max-time`: the longest wait that a server can ask for. One that is typed, or is our own, may be
    /// longer: as with curl, each attempt has this time for itself.
    longest: Option<Duration>,
    /// Why a wait was not begun, until it is told.
    refused: Option<String>,
    connrefused: bool,
    all_errors: bool,
    fail: bool,
}

/// What is known of the time when it is decided about a wait.
#[derive(Clone, Copy, Debug, Default)]
pub struct Time {
    /// Since the first attempt began.
    pub elapsed: Duration,
    /// How much of the run's time (`--max-wall-time`) is left, if that is bounded.
    pub run_left: Option<Duration>,
}

/// A wait before the next attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pause {
    /// Why it is needed.
    pub reason: String,
    pub delay: Duration,
    /// How many attempts are left behind the next one.
    pub left: u32,
}

impl Retry {
    pub fn new(args: &Fetch) -> Retry {
        Retry {
            left: args.retry,
            done: 0,
            delay: args.retry_delay.unwrap_or(FIRST_DELAY),
            fixed_delay: args.retry_delay.is_some_and(|delay| !delay.is_zero()),
            max_time: args.retry_max_time.filter(|time| !time.is_zero()),
            longest: max_time(args),
            refused: None,
            connrefused: args.retry_connrefused,
            all_errors: args.retry_all_errors,
            fail: args.fail || args.fail_with_body,
        }
    }

    /// How often it was decided to try again.
    pub fn count(&self) -> u32 {
        self.done
    }

    /// Why the last decision was not to wait, if that is for a bound on the wait.
    pub fn refused(&mut self) -> Option<String> {
        self.refused.take()
    }

    /// Decide what to make of a response.
    pub fn after_status(
        &mut self,
        status: u16,
        retry_after: Option<Duration>,
        time: Time,
    ) -> Option<Pause> {
        let transient = matches!(status, 408 | 429 | 500 | 502 | 503 | 504 | 522 | 524);
        let as_an_error = self.all_errors && self.fail && status >= 400;
        if !transient && !as_an_error {
            return None;
        }
        let asked = retry_after.unwrap_or_default();
        self.pause(format!("status {status}"), asked, time)
    }

    /// Decide what to make of a failure.
    pub fn after_failure(&mut self, failure: &Failure, time: Time) -> Option<Pause> {
        let reason = self.transient(failure)?;
        self.pause(reason, Duration::ZERO, time)
    }

    fn transient(&self, failure: &Failure) -> Option<String> {
        let error = match failure {
            Failure::MaxTime(_) => return Some("timeout".to_owned()),
            Failure::Sandbox(error) => error,
            _ => return None,
        };
        let reason = match error {
            Error::Timeout { .. } => "timeout",
            Error::ResolveFailed {
                reason: NetworkError::TemporaryResolverFailure,
                ..
            } => "no answer from the resolver",
            Error::ConnectFailed { attempts, .. } => {
                let any = |reason| attempts.iter().any(|attempt| attempt.reason == reason);
                if any(NetworkError::TimedOut) {
                    "timeout"
                } else if self.connrefused && any(NetworkError::ConnectionRefused) {
                    "connection refused"
                } else if self.all_errors {
                    "no connection"
                } else {
                    return None;
                }
            }
            Error::Proxy { problem, .. } => match problem {
                // curl takes it for a failure that passes.
                ProxyProblem::NotResolved => "no answer from the resolver",
                ProxyProblem::NotConnected {
                    kind: ErrorKind::TimedOut,
                } => "timeout",
                ProxyProblem::NotConnected {
                    kind: ErrorKind::ConnectionRefused,
                } if self.connrefused => "connection refused",
                _ if self.all_errors => "no connection",
                _ => return None,
            },
            Error::ResolveFailed { .. } if self.all_errors => "unknown host",
            Error::Tls(TlsError::Handshake { .. })
            | Error::Tls(TlsError::CertificateRejected { .. })
                if self.all_errors =>
            {
                "no TLS"
            }
            Error::SendFailed { .. }
            | Error::ReceiveFailed { .. }
            | Error::Tls(TlsError::Broken { .. })
                if self.all_errors =>
            {
                "the connection broke"
            }
            Error::Protocol { .. }
            | Error::EmptyResponse
            | Error::IncompleteBody { .. }
            | Error::TooManyRedirects { .. }
            | Error::ContentEncoding { .. }
            | Error::LimitExceeded { .. }
                if self.all_errors =>
            {
                "a broken answer"
            }
            _ => return None,
        };
        Some(reason.to_owned())
    }

    fn pause(&mut self, reason: String, asked: Duration, time: Time) -> Option<Pause> {
        let left = self.left.checked_sub(1)?;
        // As with curl, what the server asks for counts, and not what was typed.
        let delay = if asked.is_zero() { self.delay } else { asked };
        if let Some(bound) = self.exceeded(asked, delay, time) {
            let seconds = delay.as_secs_f64().ceil();
            let wait = match asked.is_zero() {
                true => format!("the wait before it would take {seconds} s"),
                false => format!("the server asks for a wait of {seconds} s"),
            };
            self.refused = Some(format!("{reason}: not trying again: {wait}, and {bound}"));
            return None;
        }
        self.left = left;
        self.done += 1;
        if !self.fixed_delay {
            self.delay = self
                .delay
                .max(FIRST_DELAY / 2)
                .saturating_mul(2)
                .min(LONGEST_DELAY);
        }
        Some(Pause {
            reason,
            delay,
            left,
        })
    }

    /// The bound that a wait would go past, for people. Such a wait isn't begun: at its end there would
    /// be nothing to be done.
    fn exceeded(&self, asked: Duration, delay: Duration, time: Time) -> Option<String> {
        let seconds = |time: Duration| (time.as_secs_f64() * 10.0).round() / 10.0;
        if asked > LONGEST_RETRY_AFTER {
            let longest = seconds(LONGEST_RETRY_AFTER);
            return Some(format!("no server is waited for longer than {longest} s"));
        }
        if let Some(longest) = self.longest.filter(|longest| asked > *longest) {
            return Some(format!("--max-time is {} s", seconds(longest)));
        }
        if let Some(max_time) = self.max_time
            && time.elapsed.saturating_add(delay) >= max_time
        {
            let left = seconds(max_time.saturating_sub(time.elapsed));
            return Some(format!("--retry-max-time leaves {left} s"));
        }
        let left = time.run_left.filter(|left| delay >= *left)?;
        Some(format!("--max-wall-time leaves {} s", seconds(left)))
    }
}

/// What a `Retry-After` field asks for (RFC 9110 section 10.2.3).
pub fn retry_after(value: &[u8], now: SystemTime) -> Option<Duration> {
    let text = str::from_utf8(value).ok()?.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(Duration::from_secs(text.parse().unwrap_or(u64::MAX)));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use sockbox::{Stage, TimeBound};
    use std::time::UNIX_EPOCH;

    fn retry(options: &str) -> Retry {
        Retry::new(&Fetch::typed(&format!("{options} http://a/")))
    }

    const fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    #[test]
    fn statuses_that_may_pass() {
        for (options, status, expected) in [
            ("--retry 1", 200, false),
            ("--retry 1", 404, false),
            ("--retry 1", 408, true),
            ("--retry 1", 429, true),
            ("--retry 1", 500, true),
            ("--retry 1", 501, false),
            ("--retry 1", 502, true),
            ("--retry 1", 503, true),
            ("--retry 1", 504, true),
            ("--retry 1", 505, false),
            ("--retry 1", 522, true),
            ("--retry 1", 523, false),
            ("--retry 1", 524, true),
            ("--retry 0", 503, false),
            ("", 503, false),
            ("--retry 1 --retry-all-errors", 404, false),
            ("--retry 1 --retry-all-errors -f", 404, true),
            ("--retry 1 --retry-all-errors --fail-with-body", 404, true),
            ("--retry 1 --retry-all-errors -f", 399, false),
        ] {
            let pause = retry(options).after_status(status, None, Time::default());
            assert_eq!(pause.is_some(), expected, "{options} {status}");
        }
    }

    #[test]
    fn failures_that_may_pass() {
        let resolve = |reason| Error::ResolveFailed {
            host: String::new(),
            reason,
        };
        let timeout = || Error::Timeout {
            stage: Stage::Body,
            bound: TimeBound::Total,
            limit: seconds(1),
            received: 0,
        };
        let proxy = |problem| Error::Proxy {
            host: String::new(),
            proxy: String::new(),
            problem,
        };
        let refused = || ProxyProblem::NotConnected {
            kind: ErrorKind::ConnectionRefused,
        };
        let all = "--retry 1 --retry-all-errors";
        for (options, error, expected) in [
            ("--retry 1", timeout(), true),
            ("", timeout(), false),
            (
                "--retry 1",
                resolve(NetworkError::TemporaryResolverFailure),
                true,
            ),
            ("--retry 1", resolve(NetworkError::NameUnresolvable), false),
            (all, resolve(NetworkError::NameUnresolvable), true),
            ("--retry 1", Error::EmptyResponse, false),
            (all, Error::EmptyResponse, true),
            (
                all,
                Error::InvalidRequest {
                    reason: String::new(),
                },
                false,
            ),
            (
                all,
                Error::Write {
                    source: std::io::ErrorKind::StorageFull.into(),
                },
                false,
            ),
            (all, Error::Abandoned, false),
            ("--retry 1", proxy(ProxyProblem::NotResolved), true),
            ("--retry 1", proxy(refused()), false),
            ("--retry 1 --retry-connrefused", proxy(refused()), true),
            ("--retry 1", proxy(ProxyProblem::Closed), false),
            (all, proxy(ProxyProblem::Closed), true),
        ] {
            let shown = format!("{options} {error:?}");
            let pause = retry(options).after_failure(&error.into(), Time::default());
            assert_eq!(pause.is_some(), expected, "{shown}");
        }
        let max_time = Failure::MaxTime(seconds(1));
        assert!(
            retry("--retry 1")
                .after_failure(&max_time, Time::default())
                .is_some()
        );
    }

    fn delays(options: &str, count: usize) -> Vec<Option<u64>> {
        let mut retry = retry(options);
        let mut elapsed = Duration::ZERO;
        let mut delay = || {
            let time = Time {
                elapsed,
                run_left: None,
            };
            let delay = retry.after_status(503, None, time)?.delay;
            elapsed += delay;
            Some(delay.as_secs())
        };
        (0..count).map(|_| delay()).collect()
    }

    #[test]
    fn waits_double_up_to_ten_minutes() {
        for (options, expected) in [
            (
                "--retry 12",
                vec![1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 600, 600],
            ),
            ("--retry 2", vec![1, 2]),
            ("--retry 3 --retry-delay 5", vec![5, 5, 5]),
            ("--retry 3 --retry-delay 0", vec![0, 1, 2]),
            ("--retry 9 --retry-max-time 8", vec![1, 2, 4]),
            ("--retry 9 --retry-max-time 7", vec![1, 2]),
            ("--retry 3 --retry-max-time 0", vec![1, 2, 4]),
        ] {
            let count = expected.len() + 1;
            let mut expected: Vec<_> = expected.into_iter().map(Some).collect();
            expected.push(None);
            assert_eq!(delays(options, count), expected, "{options}");
        }
    }

    #[test]
    fn the_time_that_a_server_asks_for_counts() {
        let hours = seconds(6 * 60 * 60);
        for (options, asked, expected) in [
            ("--retry 1", seconds(0), Some(seconds(1))),
            ("--retry 1", seconds(30), Some(seconds(30))),
            ("--retry 1 --retry-delay 9", seconds(3), Some(seconds(3))),
            ("--retry 1 --retry-delay 9", seconds(0), Some(seconds(9))),
            ("--retry 1 --retry-max-time 20", seconds(30), None),
            ("--retry 1", hours, Some(hours)),
            ("--retry 1", hours + seconds(1), None),
            ("--retry 1", Duration::MAX, None),
        ] {
            let pause = retry(options).after_status(503, Some(asked), Time::default());
            let delay = pause.map(|pause| pause.delay);
            assert_eq!(delay, expected, "{options} {asked:?}");
        }
    }

    #[test]
    fn a_wait_that_goes_past_a_bound_is_not_begun_and_told() {
        let wall = |left| Time {
            elapsed: seconds(2),
            run_left: Some(seconds(left)),
        };
        let late = Time {
            elapsed: seconds(2),
            run_left: None,
        };
        for (options, asked, time, expected) in [
            ("-m 5", 5, late, None),
            (
                "-m 5",
                6,
                late,
                Some("the server asks for a wait of 6 s, and --max-time is 5 s"),
            ),
            (
                "-m 5",
                21600,
                late,
                Some("the server asks for a wait of 21600 s, and --max-time is 5 s"),
            ),
            // curl's: each attempt has this time, and what was typed is waited for.
            ("-m 0.5", 0, late, None),
            ("-m 5 --retry-delay 9", 0, late, None),
            ("-m 0", 21600, late, None),
            ("--retry-max-time 7", 4, late, None),
            (
                "--retry-max-time 7",
                5,
                late,
                Some("the server asks for a wait of 5 s, and --retry-max-time leaves 5 s"),
            ),
            (
                "--retry-max-time 7 --retry-delay 8",
                0,
                late,
                Some("the wait before it would take 8 s, and --retry-max-time leaves 5 s"),
            ),
            ("-m 9", 3, wall(4), None),
            (
                "-m 9",
                3,
                wall(3),
                Some("the server asks for a wait of 3 s, and --max-wall-time leaves 3 s"),
            ),
            (
                "",
                0,
                wall(1),
                Some("the wait before it would take 1 s, and --max-wall-time leaves 1 s"),
            ),
            (
                "",
                21601,
                late,
                Some(
                    "the server asks for a wait of 21601 s, and no server is waited for longer than 21600 s",
                ),
            ),
        ] {
            let mut retry = retry(&format!("--retry 1 {options}"));
            let pause = retry.after_status(503, Some(seconds(asked)), time);
            let told = retry.refused();
            assert_eq!(pause.is_some(), expected.is_none(), "{options} {asked}");
            let expected = expected.map(|why| format!("status 503: not trying again: {why}"));
            assert_eq!(told, expected, "{options} {asked}");
            assert_eq!(retry.refused(), None, "told twice");
        }
        // Where nothing would be tried again no wait is spoken of.
        let mut none = retry("-m 5");
        assert_eq!(none.after_status(503, Some(seconds(9)), late), None);
        assert_eq!(none.refused(), None);
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = UNIX_EPOCH + seconds(784_111_777);
        for (value, expected) in [
            (&b"0"[..], Some(0)),
            (b"120", Some(120)),
            (b" 5 ", Some(5)),
            (b"99999999999999999999999", Some(u64::MAX)),
            (b"Sun, 06 Nov 1994 08:49:47 GMT", Some(10)),
            (b"Sunday, 06-Nov-94 08:49:47 GMT", Some(10)),
            (b"Sun Nov  6 08:49:47 1994", Some(10)),
            (b"Sun, 06 Nov 1994 08:49:27 GMT", Some(0)),
            (b"", None),
            (b"-1", None),
            (b"1.5", None),
            (b"soon", None),
            (b"\xff", None),
        ] {
            let found = retry_after(value, now).map(|time| time.as_secs());
            assert_eq!(found, expected, "{:?}", value.escape_ascii().to_string());
        }
    }
}

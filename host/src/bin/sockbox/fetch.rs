//! `sockbox fetch`.

use crate::args::Fetch;
use crate::exit::Failure;
use crate::output::Output;
use crate::progress::Progress;
use crate::runtime::block_on;
use crate::signals::Signals;
use crate::stderr;
use sockbox::policy::RuleError;
use sockbox::{AuditEvent, Error, Policy, Request, Response, Sandbox};
use std::borrow::Cow;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

/// How much later than the component the host looks at the clock: it keeps `--max-time` by itself,
/// but not while the host waits for somebody to read the output.
const SECOND_CLOCK: Duration = Duration::from_millis(250);

pub fn run(args: Fetch) -> Result<(), Failure> {
    // A file that can't be written is found out before anybody is asked for anything.
    let output = Output::open(args.output.as_deref())?;
    block_on(async move {
        let mut signals = Signals::new().map_err(Failure::system)?;
        let max_time = args.max_time.filter(|time| !time.is_zero());
        tokio::select! {
            biased;
            signal = signals.next() => Err(Failure::Signal(signal)),
            limit = out_of_time(max_time) => Err(Failure::MaxTime(limit)),
            done = fetch(&args, max_time, output) => done,
        }
    })
}

async fn fetch(args: &Fetch, max_time: Option<Duration>, output: Output) -> Result<(), Failure> {
    let url = complete(&args.url);
    let policy = match Policy::new().allow_url(&url) {
        Ok(policy) => policy,
        // Not a kind of URL that anything can be granted for: let the component say so.
        Err(RuleError::NoHost { .. }) => Policy::new(),
        Err(error) => return Err(Error::from(error).into()),
    };
    let mut builder = Sandbox::new()?.instance().policy(policy);
    if args.verbose {
        builder = builder
            .inherit_stderr()
            .audit(|event: &AuditEvent| stderr::line(format_args!("* {event}")));
    }
    let mut instance = builder.build().await?;
    let mut request = Request::get(url).trace(args.verbose);
    if let Some(time) = max_time {
        request = request.total_timeout(time);
    }
    let mut response = instance.fetch(request).await?;
    let to_file = args
        .output
        .as_ref()
        .is_some_and(|path| path.as_os_str() != "-");
    if args.include || to_file {
        print_head(&response)?;
    }
    save(args, to_file, &mut response, &output).await?;
    output.commit()
}

fn print_head(response: &Response<'_>) -> Result<(), Failure> {
    let stdout = Output::stdout()?;
    let head = shown(response.raw_head(), io::stdout().is_terminal());
    stdout
        .writer()?
        .write_all(&head)
        .map_err(|source| stdout.failed(source))
}

/// A head as it is printed: as it came, but on a terminal without what could steer one. A server
/// may put any control character but NUL, CR and LF into a field.
fn shown(head: &[u8], on_terminal: bool) -> Cow<'_, [u8]> {
    let steers = |byte: &u8| byte.is_ascii_control() && !b"\r\n\t".contains(byte);
    if on_terminal && head.iter().any(steers) {
        let harmless = |byte: u8| if steers(&byte) { b'?' } else { byte };
        head.iter().copied().map(harmless).collect()
    } else {
        head.into()
    }
}

async fn save(
    args: &Fetch,
    to_file: bool,
    response: &mut Response<'_>,
    output: &Output,
) -> Result<(), Failure> {
    // A bar and a page on the same terminal would spoil each other.
    let seen = io::stderr().is_terminal() && (to_file || !io::stdout().is_terminal());
    let mut progress = Progress::new(seen && !args.silent, response.content_length());
    let writer = output.writer()?;
    let saved = response
        .write_to_file(writer, |bytes| progress.update(bytes))
        .await;
    progress.end();
    match saved {
        Ok(_) => Ok(()),
        Err(Error::Write { source }) => Err(output.failed(source)),
        Err(error) => Err(error.into()),
    }
}

/// What was typed, with the scheme that people leave out.
fn complete(typed: &str) -> String {
    if typed.contains("://") {
        typed.to_owned()
    } else {
        format!("http://{typed}")
    }
}

/// Ends when all time is up, and gives what there was of it.
async fn out_of_time(max_time: Option<Duration>) -> Duration {
    match max_time {
        Some(time) => {
            tokio::time::sleep(time.saturating_add(SECOND_CLOCK)).await;
            time
        }
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_cannot_steer_a_terminal() {
        let head = b"HTTP/1.1 200 OK\r\nX: \x1b[2J\x07\tcaf\xe9\x7f\r\n\r\n";
        assert_eq!(*shown(head, false), head[..]);
        let harmless = b"HTTP/1.1 200 OK\r\nX: ?[2J?\tcaf\xe9?\r\n\r\n";
        assert_eq!(*shown(head, true), harmless[..]);
    }

    #[test]
    fn a_missing_scheme_is_http() {
        for (typed, expected) in [
            ("example.com", "http://example.com"),
            ("example.com:8080/a", "http://example.com:8080/a"),
            ("localhost:8080", "http://localhost:8080"),
            ("[::1]:80", "http://[::1]:80"),
            ("http://example.com", "http://example.com"),
            ("HTTPS://example.com", "HTTPS://example.com"),
            ("ftp://example.com", "ftp://example.com"),
        ] {
            assert_eq!(complete(typed), expected);
        }
    }
}

//! The log of an HTTP server: a line for each request, and for each problem.

use crate::args::LogFormat;
use crate::serve::json::{Json, milliseconds};
use crate::stderr;
use sockbox::audit::HandledRequest;
use sockbox::{HttpEvent, HttpStats, RunId};
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

/// The log.
#[derive(Clone, Copy, Debug)]
pub struct Log {
    pub format: LogFormat,
    /// Whether requests that succeed are left out.
    pub quiet: bool,
}

impl Log {
    pub fn event(&self, event: &HttpEvent) {
        if self.quiet && is_in_order(event) {
            return;
        }
        match self.format {
            LogFormat::Text => stderr::line(format_args!("{}", Text(event))),
            LogFormat::Json => json(&of_event(event)),
        }
    }

    /// The server was told to stop, and gives requests under way this time.
    pub fn stopping(&self, drain: Duration) {
        let seconds = drain.as_secs_f64();
        match self.format {
            _ if self.quiet => {}
            LogFormat::Text => stderr::line(format_args!(
                "stopping: requests under way have {seconds} s, a second signal ends them"
            )),
            LogFormat::Json => {
                json(&Json::event("stopping").with("drain_timeout_seconds", seconds));
            }
        }
    }

    /// The counts that a signal asked for.
    pub fn statistics(&self, stats: &HttpStats) {
        match self.format {
            LogFormat::Text => stderr::line(format_args!(
                "statistics: {} open, {} under way, {}",
                stats.open,
                stats.active,
                Counts(stats)
            )),
            LogFormat::Json => json(
                &counts(Json::event("statistics"), stats)
                    .with("open", stats.open)
                    .with("active", stats.active),
            ),
        }
    }

    /// The counts at the end, where they are an event like others.
    pub fn stopped(&self, stats: &HttpStats) {
        if !self.quiet && self.format == LogFormat::Json {
            json(&counts(Json::event("stopped"), stats));
        }
    }

    /// Something that the operator should know.
    pub fn warning(&self, text: &str) {
        match self.format {
            LogFormat::Text => stderr::line(format_args!("warning: {text}")),
            LogFormat::Json => json(&Json::event("warning").with("text", text)),
        }
    }

    /// What the policy or a limit has refused a component.
    pub fn refused(&self, text: &str) {
        match self.format {
            LogFormat::Text => stderr::line(format_args!("{text}")),
            LogFormat::Json => json(&Json::event("refused_to_component").with("text", text)),
        }
    }

    /// The line that says how many lines were lost.
    pub fn lost(&self, lines: u64) -> String {
        match self.format {
            LogFormat::Text => {
                format!("warning: {lines} lines are lost: they came faster than they were read")
            }
            LogFormat::Json => Json::event("lost").with("lines", lines).to_string(),
        }
    }
}

fn json(line: &Json) {
    stderr::line(format_args!("{line}"));
}

/// Whether it tells of no problem.
fn is_in_order(event: &HttpEvent) -> bool {
    match event {
        HttpEvent::Handled { request, .. } => request.error.is_none(),
        HttpEvent::Refused { .. } => true,
        _ => false,
    }
}

fn of_event(event: &HttpEvent) -> Json {
    match event {
        HttpEvent::Handled {
            run,
            local,
            request,
        } => of_request(*run, *local, request),
        HttpEvent::Failed { run, error } => Json::event("failed")
            .with("run", run.get())
            .with("error", error.to_string()),
        HttpEvent::Invalid {
            local,
            remote,
            reason,
        } => Json::event("invalid")
            .with("local", local.to_string())
            .with("remote", remote.to_string())
            .with("reason", reason.as_str()),
        HttpEvent::Refused {
            local,
            remote,
            reason,
        } => Json::event("refused")
            .with("local", local.to_string())
            .with("remote", remote.to_string())
            .with("reason", reason.to_string()),
        HttpEvent::AcceptFailed { local, reason } => Json::event("accept_failed")
            .with("local", local.to_string())
            .with("reason", reason.to_string()),
        // An event that a later version of the library may add.
        other => Json::event("other").with("text", format!("{other:?}")),
    }
}

fn of_request(run: Option<RunId>, local: SocketAddr, request: &HandledRequest) -> Json {
    let mut json = Json::event("request");
    if let Some(run) = run {
        json = json.with("run", run.get());
    }
    json = json
        .with("local", local.to_string())
        .with("remote", request.client.to_string())
        .with("method", request.method.as_str())
        .with("path", request.path.as_str());
    if let Some(status) = request.status {
        json = json.with("status", status);
    }
    if let Some(error) = &request.error {
        json = json.with("error", error.as_str());
    }
    json.with("bytes_received", request.received)
        .with("bytes_sent", request.sent)
        .with("seconds", milliseconds(request.time))
}

fn counts(json: Json, stats: &HttpStats) -> Json {
    json.with("accepted", stats.accepted)
        .with("refused", stats.refused)
        .with("requests", stats.requests)
        .with("failed", stats.failed)
        .with("bytes_received", stats.bytes_received)
        .with("bytes_sent", stats.bytes_sent)
        .with("uptime_seconds", milliseconds(stats.uptime))
}

/// A line for people.
struct Text<'a>(&'a HttpEvent);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            HttpEvent::Handled { request, .. } => request.fmt(f),
            HttpEvent::Failed { run, error } => {
                write!(f, "run {run} failed after its response: {error}")
            }
            HttpEvent::Invalid { remote, reason, .. } => write!(f, "{remote}: {reason}"),
            HttpEvent::Refused { remote, reason, .. } => write!(f, "refused: {remote}: {reason}"),
            HttpEvent::AcceptFailed { local, reason } => {
                write!(f, "could not accept on {local}: {reason}; trying again")
            }
            // An event that a later version of the library may add.
            other => write!(f, "{other:?}"),
        }
    }
}

/// Part of a line for people.
pub struct Counts<'a>(pub &'a HttpStats);

impl fmt::Display for Counts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stats = self.0;
        write!(
            f,
            "{} connections, {} refused, {} requests, {} failed, {} bytes received, {} sent, {:.3} s",
            stats.accepted,
            stats.refused,
            stats.requests,
            stats.failed,
            stats.bytes_received,
            stats.bytes_sent,
            stats.uptime.as_secs_f64(),
        )
    }
}

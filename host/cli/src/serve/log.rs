//! What is told on standard error while it serves: a line for each thing that happens.

use super::json::{Json, milliseconds};
use super::totals::Counts;
use crate::args::LogFormat;
use crate::stderr;
use sockbox::{Closed, Event, ServerStats, StdioWriter};
use std::fmt;
use std::time::Duration;

/// The log.
#[derive(Clone, Copy, Debug)]
pub struct Log {
    pub format: LogFormat,
    /// Whether only what goes wrong, and what was asked for, is told.
    pub quiet: bool,
}

impl Log {
    /// Something that happened; `why` is the reason why a connection was closed, if the event has none.
    pub fn event(&self, event: &Event, why: Option<&str>) {
        if self.quiet && !matches!(event, Event::AcceptFailed(_)) {
            return;
        }
        match self.format {
            LogFormat::Text => stderr::line(format_args!("{}", TextEvent(event, why))),
            LogFormat::Json => self.json(event_json(event, why)),
        }
    }

    /// It was told to stop, and gives its clients this time.
    pub fn stopping(&self, drain: Duration) {
        if self.quiet {
            return;
        }
        match self.format {
            LogFormat::Text => stderr::line(format_args!(
                "stopping: answers under way have {} s, a second signal ends them",
                drain.as_secs_f64()
            )),
            LogFormat::Json => self
                .json(Json::event("stopping").with("drain_timeout_seconds", drain.as_secs_f64())),
        }
    }

    /// The counts that a signal asked for.
    pub fn statistics(&self, counts: &Counts, now: &ServerStats) {
        match self.format {
            LogFormat::Text => {
                stderr::line(format_args!(
                    "statistics: {} open, {counts}, {} restarts, {} sockets",
                    now.open, counts.restarts, now.sockets
                ));
            }
            LogFormat::Json => self.json(
                counts
                    .json(Json::event("statistics").with("open", now.open))
                    .with("sockets", now.sockets),
            ),
        }
    }

    /// The counts at the end, where they are an event like others.
    pub fn stopped(&self, counts: &Counts) {
        if !self.quiet && self.format == LogFormat::Json {
            self.json(counts.json(Json::event("stopped")));
        }
    }

    /// The component has failed, and is started anew after a pause.
    pub fn restarting(&self, why: &str, restarts: u64, pause: Duration) {
        match self.format {
            LogFormat::Text => stderr::line(format_args!(
                "{why}; starting anew in {} s (restart {restarts})",
                pause.as_secs_f64()
            )),
            LogFormat::Json => self.json(
                Json::event("restarting")
                    .with("error", why)
                    .with("restarts", restarts)
                    .with("pause_seconds", pause.as_secs_f64()),
            ),
        }
    }

    /// Something that the operator should know.
    pub fn warning(&self, text: &str) {
        match self.format {
            LogFormat::Text => stderr::line(format_args!("warning: {text}")),
            LogFormat::Json => self.json(Json::event("warning").with("text", text)),
        }
    }

    /// The line for so many that are lost, since they were not read in time.
    pub fn lost(&self, lines: u64) -> String {
        match self.format {
            LogFormat::Text => {
                format!("warning: {lines} lines are lost: they came faster than they were read")
            }
            LogFormat::Json => Json::event("lost").with("lines", lines).to_string(),
        }
    }

    fn json(&self, json: Json) {
        stderr::line(format_args!("{json}"));
    }
}

/// The writer for what a component writes to its standard error, beside a log in this format.
pub fn component_stderr(format: LogFormat, writer: &StdioWriter) -> StdioWriter {
    match format {
        LogFormat::Text => writer.never_waiting(),
        LogFormat::Json => writer.never_waiting_as(|text| {
            let event = Json::event("output").with("stream", "stderr");
            event.with("text", text).to_string()
        }),
    }
}

fn event_json(event: &Event, why: Option<&str>) -> Json {
    match event {
        Event::Opened(opened) => Json::event("opened")
            .with("id", opened.id)
            .with("local", opened.local.to_string())
            .with("remote", opened.remote.to_string()),
        Event::Closed(closed) => Json::event("closed")
            .with("id", closed.id)
            .with("local", closed.local.to_string())
            .with("remote", closed.remote.to_string())
            .with("reason", reason(closed, why))
            .with("messages", closed.messages)
            .with("bytes_received", closed.bytes_received)
            .with("bytes_sent", closed.bytes_sent)
            .with("seconds", milliseconds(closed.duration)),
        Event::Refused(refused) => Json::event("refused")
            .with("local", refused.local.to_string())
            .with("remote", refused.remote.to_string())
            .with("reason", refused.reason.to_string()),
        Event::AcceptFailed(failed) => Json::event("accept_failed")
            .with("local", failed.listen.to_string())
            .with("reason", failed.reason.to_string()),
        // What a later version of the library may tell.
        other => Json::event("other").with("text", format!("{other:?}")),
    }
}

fn reason(closed: &Closed, why: Option<&str>) -> String {
    why.map_or_else(|| closed.reason.to_string(), str::to_owned)
}

/// A line for people.
struct TextEvent<'a>(&'a Event, Option<&'a str>);

impl fmt::Display for TextEvent<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Event::Opened(opened) => {
                write!(
                    f,
                    "opened {}: {} -> {}",
                    opened.id, opened.remote, opened.local
                )
            }
            Event::Closed(closed) => write!(
                f,
                "closed {}: {} -> {}: {}; {} messages, {} bytes received, {} sent, {:.3} s",
                closed.id,
                closed.remote,
                closed.local,
                reason(closed, self.1),
                closed.messages,
                closed.bytes_received,
                closed.bytes_sent,
                closed.duration.as_secs_f64(),
            ),
            Event::Refused(refused) => write!(
                f,
                "refused: {} -> {}: {}",
                refused.remote, refused.local, refused.reason
            ),
            Event::AcceptFailed(failed) => write!(
                f,
                "could not accept on {}: {}; trying again",
                failed.listen, failed.reason
            ),
            // What a later version of the library may tell.
            other => write!(f, "{other:?}"),
        }
    }
}

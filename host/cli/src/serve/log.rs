//! What is told on standard error while it serves: a line for each thing that happens.

use super::args::LogFormat;
use super::totals::Counts;
use crate::stderr;
use serde_json::Value;
use sockbox::{Event, ServerStats};
use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The log.
#[derive(Clone, Copy, Debug)]
pub struct Log {
    pub format: LogFormat,
    /// Whether only what goes wrong, and what was asked for, is told.
    pub quiet: bool,
}

impl Log {
    pub fn event(&self, event: &Event) {
        if self.quiet && !matches!(event, Event::AcceptFailed(_)) {
            return;
        }
        match self.format {
            LogFormat::Text => stderr::line(format_args!("{}", TextEvent(event))),
            LogFormat::Json => self.json(event_json(event)),
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

    /// What somebody asked for with a signal.
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

    /// Something that whoever started it should know.
    pub fn warning(&self, text: &str) {
        match self.format {
            LogFormat::Text => stderr::line(format_args!("warning: {text}")),
            LogFormat::Json => self.json(Json::event("warning").with("text", text)),
        }
    }

    /// The line for so many that are lost, since nobody has read them in time.
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

/// A JSON object whose members stay in the order in which they were added.
pub struct Json(String);

impl Json {
    /// What happens now.
    fn event(name: &str) -> Json {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        // A clock that is set before 1970 is as good as none.
        let milliseconds = now.map_or(0, |now| now.as_millis());
        Json(String::new())
            .with("time", milliseconds as f64 / 1000.0)
            .with("event", name)
    }

    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Json {
        let before = if self.0.is_empty() { "" } else { "," };
        let (name, value) = (Value::from(name), value.into());
        self.0.push_str(&format!("{before}{name}:{value}"));
        self
    }
}

impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let json = format!("{{{}}}", self.0);
        f.write_str(&sockbox_printable::json(json))
    }
}

fn event_json(event: &Event) -> Json {
    match event {
        Event::Opened(opened) => Json::event("opened")
            .with("id", opened.id)
            .with("local", opened.local.to_string())
            .with("remote", opened.remote.to_string()),
        Event::Closed(closed) => Json::event("closed")
            .with("id", closed.id)
            .with("local", closed.local.to_string())
            .with("remote", closed.remote.to_string())
            .with("reason", closed.reason.to_string())
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

/// Seconds, to the millisecond.
pub fn milliseconds(duration: Duration) -> f64 {
    duration.as_millis() as f64 / 1000.0
}

/// A line for people.
struct TextEvent<'a>(&'a Event);

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
                closed.reason,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_keeps_its_order_and_escapes_what_must_be() {
        let json = Json(String::new())
            .with("b", "a \"quoted\"\nline")
            .with("a", 1_u64)
            .with("c", 0.5);
        assert_eq!(
            json.to_string(),
            r#"{"b":"a \"quoted\"\nline","a":1,"c":0.5}"#
        );
        assert_eq!(Json(String::new()).to_string(), "{}");
    }

    #[test]
    fn every_line_begins_with_the_time_and_the_event() {
        let line = Json::event("opened").to_string();
        let value: Value = serde_json::from_str(&line).unwrap();
        assert!(value["time"].as_f64().unwrap() > 1e9, "{line}");
        assert_eq!(value["event"], "opened");
        assert!(line.starts_with(r#"{"time":"#), "{line}");
    }
}

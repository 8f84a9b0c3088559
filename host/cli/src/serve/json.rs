//! The lines of the log as JSON.

use serde_json::Value;
use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A JSON object whose members stay in the order in which they were added.
pub struct Json(String);

impl Json {
    /// An object with the current time and the name of an event.
    pub fn event(name: &str) -> Json {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        // A clock that is set before 1970 is wrong. The time is 0 then.
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

/// A duration in seconds, cut to milliseconds.
pub fn milliseconds(duration: Duration) -> f64 {
    duration.as_millis() as f64 / 1000.0
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

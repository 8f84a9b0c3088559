//! Events as JSON.

use super::{AuditEvent, Traffic, What};
use crate::policy::{Target, Verdict};
use serde_json::{Value, json};
use std::net::IpAddr;
use std::time::{SystemTime, UNIX_EPOCH};

impl AuditEvent {
    /// The event as one JSON object, without a line's end.
    ///
    /// Each has `time` (seconds since 1970, UTC), `run` and `event`, and then:
    ///
    /// | `event` | besides |
    /// | --- | --- |
    /// | `decision` | `operation`, `target`, `name`, `verdict` (`allowed` or `denied`); `by`, or `reason` and `flag` |
    /// | `resolved` | `name`, `addresses`, `withheld` |
    /// | `limit` | `limit` (the flag's name without its dashes), `operation`, `target` |
    /// | `traffic` | `operation`, `target`, `name`, `connections`, `received`, `sent`, `seconds` |
    /// | `ended` | |
    ///
    /// An operation is `resolve`, `connect`, `bind`, `listen`, `accept`, `udp-bind`, `udp-send` or
    /// `udp-receive`. What isn't known is left out.
    pub fn to_json(&self) -> String {
        // In an order of its own: what is asked of a line first comes first.
        let mut object = String::new();
        let mut put = |key: &str, value: Value| {
            if !value.is_null() {
                let before = if object.is_empty() { '{' } else { ',' };
                object.push(before);
                object.push_str(&format!("\"{key}\":{value}"));
            }
        };
        put("time", seconds(self.time));
        put("run", self.run.get().into());
        match &self.what {
            What::Decision { target, verdict } => {
                put("event", "decision".into());
                put_target(&mut put, target);
                put("name", verdict.name().map(ToString::to_string).into());
                match verdict {
                    Verdict::Allowed { by, .. } => {
                        put("verdict", "allowed".into());
                        put("by", by.to_string().into());
                    }
                    Verdict::Denied { reason, name } => {
                        put("verdict", "denied".into());
                        put("reason", reason.to_string().into());
                        put("flag", reason.flag(target, name.as_ref()).into());
                    }
                }
            }
            What::Resolved {
                name,
                addresses,
                withheld,
            } => {
                put("event", "resolved".into());
                put("name", name.as_str().into());
                put("addresses", list(addresses));
                put("withheld", list(withheld));
            }
            What::Limit { limit, target } => {
                put("event", "limit".into());
                put("limit", limit.key().into());
                if let Some(target) = target {
                    put_target(&mut put, target);
                }
            }
            What::Traffic(traffic) => {
                put("event", "traffic".into());
                put_traffic(&mut put, traffic);
            }
            What::Ended => put("event", "ended".into()),
        }
        object.push('}');
        sockbox_printable::json(object)
    }
}

fn put_traffic(put: &mut impl FnMut(&str, Value), traffic: &Traffic) {
    match &traffic.target {
        Some(target) => put_target(put, target),
        None => put("others", true.into()),
    }
    put(
        "name",
        traffic.name.as_ref().map(ToString::to_string).into(),
    );
    put("connections", traffic.connections.into());
    put("received", traffic.received.into());
    put("sent", traffic.sent.into());
    put("seconds", rounded(traffic.open.as_secs_f64()));
}

fn put_target(put: &mut impl FnMut(&str, Value), target: &Target) {
    put("operation", target.operation().into());
    put("target", target.object().into());
}

fn list(addresses: &[IpAddr]) -> Value {
    addresses.iter().map(ToString::to_string).collect()
}

fn seconds(time: SystemTime) -> Value {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    rounded(since.as_secs_f64())
}

/// To a millionth: what is behind it is noise of the conversion.
fn rounded(seconds: f64) -> Value {
    json!((seconds * 1e6).round() / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::RunId;
    use crate::limits::Limit;
    use crate::policy::{Answers, Policy};
    use std::time::{Duration, Instant};

    fn told(what: What) -> String {
        let event = AuditEvent {
            time: UNIX_EPOCH + Duration::from_millis(1_795_376_784_652),
            run: RunId(3),
            what,
        };
        let json = event.to_json();
        let start = r#"{"time":1795376784.652,"run":3,"event":"#;
        let rest = json.strip_prefix(start);
        format!("{{\"event\":{}", rest.unwrap_or_else(|| panic!("{json}")))
    }

    #[test]
    fn every_event_has_its_form() {
        let policy = Policy::new()
            .allow_connect_to("example.com:80")
            .unwrap()
            .deny_connect("10.0.0.0/8")
            .unwrap();
        let mut answers = Answers::new();
        let name: crate::policy::Name = "example.com".parse().unwrap();
        answers.insert(&name, ["1.1.1.1".parse().unwrap()], Instant::now());
        let decision = |address: &str| {
            let target = Target::Connect(address.parse().unwrap());
            let verdict = policy.judge(&target, &answers);
            told(What::Decision { target, verdict })
        };
        let traffic = Traffic {
            target: Some(Target::Listen("[::1]:80".parse().unwrap())),
            name: None,
            connections: 2,
            received: 10,
            sent: 20,
            open: Duration::from_micros(1_500_001),
        };
        for (found, expected) in [
            (
                decision("1.1.1.1:80"),
                json!({"event": "decision", "operation": "connect", "target": "1.1.1.1:80",
                    "name": "example.com", "verdict": "allowed",
                    "by": "allow-connect example.com:80"}),
            ),
            (
                decision("1.1.1.1:81"),
                json!({"event": "decision", "operation": "connect", "target": "1.1.1.1:81",
                    "name": "example.com", "verdict": "denied", "reason": "no rule grants it",
                    "flag": "--allow-connect example.com:81"}),
            ),
            (
                decision("10.0.0.1:80"),
                json!({"event": "decision", "operation": "connect", "target": "10.0.0.1:80",
                    "verdict": "denied", "reason": "denied by deny-connect 10.0.0.0/8:*"}),
            ),
            (
                told(What::Resolved {
                    name: name.clone(),
                    addresses: vec!["1.1.1.1".parse().unwrap()],
                    withheld: vec!["::1".parse().unwrap()],
                }),
                json!({"event": "resolved", "name": "example.com", "addresses": ["1.1.1.1"],
                    "withheld": ["::1"]}),
            ),
            (
                told(What::Limit {
                    limit: Limit::Sockets,
                    target: Some(Target::Resolve(name)),
                }),
                json!({"event": "limit", "limit": "max-sockets", "operation": "resolve",
                    "target": "example.com"}),
            ),
            (
                told(What::Traffic(traffic)),
                json!({"event": "traffic", "operation": "listen", "target": "[::1]:80",
                    "connections": 2, "received": 10, "sent": 20, "seconds": 1.500001}),
            ),
            (told(What::Ended), json!({"event": "ended"})),
        ] {
            let found: Value = serde_json::from_str(&found).unwrap();
            assert_eq!(found, expected);
        }
    }
}

//! Events as JSON.

use super::{
    AuditEvent, EventKind, HandledRequest, HttpExchange, ProxyUse, SecretHeaderUse, Traffic, Tunnel,
};
use crate::{Target, Verdict};
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
    /// | `decision` | `operation`, `target`, `name`, `verdict` (`allowed` or `denied`); `by`, or `reason` and `hint` |
    /// | `resolved` | `name`, `addresses`, `withheld` |
    /// | `left-to-proxy` | `name`, `placeholder` |
    /// | `tunnel` | `operation`, `target`, `name`, `proxy`, `proxy_status`, `error` |
    /// | `http` | `method`, `url` (without its query), `address`, `proxy`, `proxy_status`, `secret_headers` (the name of each, and the prefix of URLs that it is for), `status`, `error`, `received`, `sent` (bytes of the bodies), `seconds` |
    /// | `http-refused` | `method`, `url` (without its query), or `header`; `error` |
    /// | `request` | `client`, `method`, `path` (without the query), `status`, `error`, `received`, `sent` (bytes of the bodies), `seconds` |
    /// | `limit` | `limit` (the option's name without its dashes), `operation`, `target` |
    /// | `repeated` | `of` (`decision`, `resolved`, `left-to-proxy`, `tunnel`, `limit`, `http`, `http-refused` or `request`) and what that has; `count`: how often it happened again |
    /// | `omitted` | the same, of the first of those that were not recorded; `count`: how many there were |
    /// | `traffic` | `operation` and `target`, or `others`; `name`, `connections`, `received`, `sent`, `seconds` |
    /// | `ended` | |
    ///
    /// An operation is `resolve`, `connect`, `bind`, `listen`, `accept`, `udp-bind`, `udp-send`,
    /// `udp-receive` or `http`. Unknown fields are absent.
    pub fn to_json(&self) -> String {
        // The fields are in this order so that a person sees the most important ones first.
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
            EventKind::Repeated { what, count } => {
                put("event", "repeated".into());
                put_what(&mut put, "of", what);
                put("count", (*count).into());
            }
            EventKind::Omitted { like, count } => {
                put("event", "omitted".into());
                put_what(&mut put, "of", like);
                put("count", (*count).into());
            }
            what => put_what(&mut put, "event", what),
        }
        object.push('}');
        sockbox_printable::json(object)
    }
}

/// Put what happened; `key` is the one that says what kind of event it is.
fn put_what(put: &mut impl FnMut(&str, Value), key: &str, what: &EventKind) {
    match what {
        EventKind::Decision { target, verdict } => {
            put(key, "decision".into());
            put_target(put, target);
            put("name", verdict.name().map(ToString::to_string).into());
            match verdict {
                Verdict::Allowed { by, .. } => {
                    put("verdict", "allowed".into());
                    put("by", by.to_string().into());
                }
                Verdict::Denied { reason, name } => {
                    put("verdict", "denied".into());
                    put("reason", reason.to_string().into());
                    let hint = reason.hint(target, name.as_ref());
                    put("hint", hint.map(|hint| hint.to_string()).into());
                }
            }
        }
        EventKind::Resolved {
            name,
            addresses,
            withheld,
        } => {
            put(key, "resolved".into());
            put("name", name.as_str().into());
            put("addresses", list(addresses));
            put("withheld", list(withheld));
        }
        EventKind::LeftToProxy { name, placeholder } => {
            put(key, "left-to-proxy".into());
            put("name", name.as_str().into());
            put("placeholder", placeholder.to_string().into());
        }
        EventKind::Tunnel(tunnel) => {
            put(key, "tunnel".into());
            put_tunnel(put, tunnel);
        }
        EventKind::Limit { limit, target } => {
            put(key, "limit".into());
            put("limit", limit.key().into());
            if let Some(target) = target {
                put_target(put, target);
            }
        }
        EventKind::Http(exchange) => {
            put(key, "http".into());
            put_exchange(put, exchange);
        }
        EventKind::HttpRefused(refused) => {
            put(key, "http-refused".into());
            put("method", refused.method.as_deref().into());
            put("url", refused.url.as_deref().into());
            put("header", refused.header.as_deref().into());
            put("error", refused.error.into());
        }
        EventKind::Handled(handled) => {
            put(key, "request".into());
            put_handled(put, handled);
        }
        EventKind::Traffic(traffic) => {
            put(key, "traffic".into());
            put_traffic(put, traffic);
        }
        EventKind::Ended => put(key, "ended".into()),
        // A `Repeated` or `Omitted` event never contains another one.
        EventKind::Repeated { .. } | EventKind::Omitted { .. } => put(key, "counts".into()),
    }
}

fn put_exchange(put: &mut impl FnMut(&str, Value), exchange: &HttpExchange) {
    put("method", exchange.request.method.as_str().into());
    put("url", exchange.request.url.to_string().into());
    let address = exchange.address.map(|address| address.to_string());
    put("address", address.into());
    if let Some(ProxyUse { proxy, status }) = &exchange.proxy {
        put("proxy", proxy.as_str().into());
        put("proxy_status", (*status).into());
    }
    if !exchange.secret_headers.is_empty() {
        let of_header = |used: &SecretHeaderUse| json!({"name": used.name, "prefix": used.prefix});
        let headers = exchange.secret_headers.iter().map(of_header);
        put("secret_headers", headers.collect());
    }
    put("status", exchange.status.into());
    put("error", exchange.error.into());
    put("received", exchange.received.into());
    put("sent", exchange.sent.into());
    put("seconds", rounded(exchange.time.as_secs_f64()));
}

fn put_tunnel(put: &mut impl FnMut(&str, Value), tunnel: &Tunnel) {
    put_target(put, &tunnel.target);
    put("name", tunnel.name.as_ref().map(ToString::to_string).into());
    put("proxy", tunnel.proxy.as_str().into());
    put("proxy_status", tunnel.status.into());
    put("error", tunnel.error.as_deref().into());
}

fn put_handled(put: &mut impl FnMut(&str, Value), handled: &HandledRequest) {
    put("client", handled.client.to_string().into());
    put("method", handled.method.as_str().into());
    put("path", handled.path.as_str().into());
    put("status", handled.status.into());
    put("error", handled.error.as_deref().into());
    put("received", handled.received.into());
    put("sent", handled.sent.into());
    put("seconds", rounded(handled.time.as_secs_f64()));
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

/// Rounds to a millionth: further digits are noise of the conversion.
fn rounded(seconds: f64) -> Value {
    json!((seconds * 1e6).round() / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::{HttpExchange, HttpRefused, RunId};
    use crate::limits::Limit;
    use crate::{HttpTarget, Policy, ResolvedNames};
    use std::collections::{BTreeMap, BTreeSet};
    use std::time::{Duration, Instant};

    fn told(what: EventKind) -> String {
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

    /// Events of all kinds, and their form. Each field that a kind can have is in one of them.
    fn forms() -> Vec<(String, Value)> {
        let policy = Policy::new()
            .allow_connect_to("example.com:80")
            .unwrap()
            .deny_connect("10.0.0.0/8")
            .unwrap();
        let mut answers = ResolvedNames::new();
        let name: crate::Name = "example.com".parse().unwrap();
        answers.insert(&name, ["1.1.1.1".parse().unwrap()], Instant::now());
        let other = name.clone();
        let decision = |address: &str| {
            let target = Target::Connect(address.parse().unwrap());
            let verdict = policy.judge(&target, &answers);
            told(EventKind::Decision { target, verdict })
        };
        let url = "https://example.com/a?token=secret".parse().unwrap();
        let request = HttpTarget::new("PUT".parse().unwrap(), url);
        let receive = Target::UdpReceive("192.0.2.1:53".parse().unwrap());
        let denied_receive = EventKind::Decision {
            verdict: policy.judge(&receive, &answers),
            target: receive,
        };
        let traffic = Traffic {
            target: Some(Target::Listen("[::1]:80".parse().unwrap())),
            name: None,
            connections: 2,
            received: 10,
            sent: 20,
            open: Duration::from_micros(1_500_001),
        };
        vec![
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
                    "hint": "allow-connect example.com:81"}),
            ),
            (
                decision("10.0.0.1:80"),
                json!({"event": "decision", "operation": "connect", "target": "10.0.0.1:80",
                    "verdict": "denied", "reason": "denied by deny-connect 10.0.0.0/8:*"}),
            ),
            (
                told(EventKind::Resolved {
                    name: name.clone(),
                    addresses: vec!["1.1.1.1".parse().unwrap()],
                    withheld: vec!["::1".parse().unwrap()],
                }),
                json!({"event": "resolved", "name": "example.com", "addresses": ["1.1.1.1"],
                    "withheld": ["::1"]}),
            ),
            (
                told(EventKind::LeftToProxy {
                    name: name.clone(),
                    placeholder: "192.0.0.8".parse().unwrap(),
                }),
                json!({"event": "left-to-proxy", "name": "example.com",
                    "placeholder": "192.0.0.8"}),
            ),
            (
                told(EventKind::Tunnel(Tunnel {
                    status: Some(200),
                    ..Tunnel::new(
                        Target::Connect("1.1.1.1:443".parse().unwrap()),
                        Some(name.clone()),
                        "proxy.example:3128".to_owned(),
                    )
                })),
                json!({"event": "tunnel", "operation": "connect", "target": "1.1.1.1:443",
                    "name": "example.com", "proxy": "proxy.example:3128", "proxy_status": 200}),
            ),
            (
                told(EventKind::Tunnel(Tunnel {
                    error: Some("it closed the connection".to_owned()),
                    ..Tunnel::new(
                        Target::ConnectName {
                            name: name.clone(),
                            port: 443,
                        },
                        None,
                        "proxy.example:3128".to_owned(),
                    )
                })),
                json!({"event": "tunnel", "operation": "connect", "target": "example.com:443",
                    "proxy": "proxy.example:3128", "error": "it closed the connection"}),
            ),
            (
                told(EventKind::Limit {
                    limit: Limit::Sockets,
                    target: Some(Target::Resolve(name)),
                }),
                json!({"event": "limit", "limit": "max-sockets", "operation": "resolve",
                    "target": "example.com"}),
            ),
            (
                told(EventKind::Traffic(traffic)),
                json!({"event": "traffic", "operation": "listen", "target": "[::1]:80",
                    "connections": 2, "received": 10, "sent": 20, "seconds": 1.500001}),
            ),
            (
                told(EventKind::Repeated {
                    what: Box::new(EventKind::Limit {
                        limit: Limit::Sockets,
                        target: None,
                    }),
                    count: 3,
                }),
                json!({"event": "repeated", "of": "limit", "limit": "max-sockets", "count": 3}),
            ),
            (
                told(EventKind::Omitted {
                    like: Box::new(denied_receive),
                    count: 1_000_000,
                }),
                json!({"event": "omitted", "of": "decision", "operation": "udp-receive",
                    "target": "192.0.2.1:53", "verdict": "denied", "reason": "no rule grants it",
                    "hint": "allow-udp-send 192.0.2.1:53", "count": 1_000_000}),
            ),
            (
                told(EventKind::Http(HttpExchange {
                    address: Some("1.1.1.1:443".parse().unwrap()),
                    secret_headers: vec![SecretHeaderUse {
                        name: "x-key".to_owned(),
                        prefix: "https://example.com/".to_owned(),
                    }],
                    status: Some(200),
                    received: 10,
                    sent: 20,
                    time: Duration::from_millis(1500),
                    ..HttpExchange::new(request.clone())
                })),
                json!({"event": "http", "method": "PUT", "url": "https://example.com/a",
                    "address": "1.1.1.1:443",
                    "secret_headers": [{"name": "x-key", "prefix": "https://example.com/"}],
                    "status": 200, "received": 10, "sent": 20,
                    "seconds": 1.5}),
            ),
            (
                told(EventKind::Http(HttpExchange {
                    proxy: Some(ProxyUse {
                        proxy: "proxy.example:3128".to_owned(),
                        status: Some(407),
                    }),
                    error: Some("destination-unavailable"),
                    ..HttpExchange::new(request.clone())
                })),
                json!({"event": "http", "method": "PUT", "url": "https://example.com/a",
                    "proxy": "proxy.example:3128", "proxy_status": 407,
                    "error": "destination-unavailable", "received": 0, "sent": 0, "seconds": 0.0}),
            ),
            (
                told(EventKind::Http(HttpExchange {
                    error: Some("connection-refused"),
                    ..HttpExchange::new(request.clone())
                })),
                json!({"event": "http", "method": "PUT", "url": "https://example.com/a",
                    "error": "connection-refused", "received": 0, "sent": 0, "seconds": 0.0}),
            ),
            (
                told(EventKind::Decision {
                    verdict: Policy::new().judge(&Target::Http(request.clone()), &answers),
                    target: Target::Http(request),
                }),
                json!({"event": "decision", "operation": "http",
                    "target": "PUT https://example.com/a", "verdict": "denied",
                    "reason": "no rule grants it",
                    "hint": "allow-http PUT https://example.com/a"}),
            ),
            (
                told(EventKind::HttpRefused(HttpRefused::new(
                    "CONNECT",
                    "http",
                    "a\u{1b}",
                    "/?b",
                    "HTTP-request-method-invalid",
                ))),
                json!({"event": "http-refused", "method": "CONNECT", "url": "http://a\u{1b}/",
                    "error": "HTTP-request-method-invalid"}),
            ),
            (
                told(EventKind::HttpRefused(HttpRefused::header(
                    "Host",
                    "forbidden",
                ))),
                json!({"event": "http-refused", "header": "Host", "error": "forbidden"}),
            ),
            (
                told(EventKind::Traffic(Traffic::new(None, Some(other)))),
                json!({"event": "traffic", "others": true, "name": "example.com", "connections": 0,
                    "received": 0, "sent": 0, "seconds": 0.0}),
            ),
            (
                told(EventKind::Handled(HandledRequest {
                    status: Some(200),
                    error: Some("the client left".to_owned()),
                    sent: 20,
                    ..HandledRequest::new("192.0.2.1:50000".parse().unwrap(), "GET", "/a")
                })),
                json!({"event": "request", "client": "192.0.2.1:50000", "method": "GET",
                    "path": "/a", "status": 200, "error": "the client left", "received": 0, "sent": 20,
                    "seconds": 0.0}),
            ),
            (told(EventKind::Ended), json!({"event": "ended"})),
        ]
    }

    #[test]
    fn every_event_has_its_form() {
        for (found, expected) in forms() {
            assert!(!found.contains('\u{1b}'), "{found}");
            let found: Value = serde_json::from_str(&found).unwrap();
            assert_eq!(found, expected);
        }
    }

    /// The words in backticks in the rows of a table, by the first of each row.
    fn table(text: &str) -> BTreeMap<&str, BTreeSet<&str>> {
        let rows = text.lines().filter_map(|line| {
            let row = line.trim_start().trim_start_matches("///").trim_start();
            let mut words = row.strip_prefix("| ")?.split('`').skip(1).step_by(2);
            Some((words.next()?, words.collect()))
        });
        rows.collect()
    }

    #[test]
    fn the_documentation_names_the_fields_of_every_event() {
        let forms = forms();
        let mut fields: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        let mut values: BTreeSet<&str> = ["private", "\"others\":true"].into();
        for (_, form) in &forms {
            let form = form.as_object().unwrap();
            let event = form["event"].as_str().unwrap();
            let named = form
                .keys()
                .map(String::as_str)
                .filter(|key| *key != "event");
            fields.entry(event).or_default().extend(named);
            values.extend(form.values().filter_map(Value::as_str));
        }
        // These have the fields of another event.
        let any: BTreeSet<&str> = fields.values().flatten().copied().collect();
        let page = table(include_str!("../../../docs/audit.md"));
        let rustdoc = include_str!("json.rs").split("pub fn to_json").next();
        for (place, table) in [("page", page), ("rustdoc", table(rustdoc.unwrap()))] {
            for (event, fields) in &fields {
                let named = &table
                    .get(event)
                    .unwrap_or_else(|| panic!("{place}: {event}"));
                let known = |word: &&&str| {
                    fields.contains(**word) || values.contains(**word) || **word == "time"
                };
                let unknown: Vec<_> = named.iter().filter(|word| !known(word)).collect();
                assert_eq!(unknown, [&""; 0], "{place}: {event}");
                let is_other = matches!(*event, "repeated" | "omitted");
                let missing = fields.iter().filter(|field| {
                    let of_other =
                        is_other && any.contains(**field) && !["of", "count"].contains(*field);
                    !named.contains(**field) && !of_other && **field != "others"
                });
                let missing: Vec<_> = missing.collect();
                // The rustdoc of `omitted` refers to that of `repeated`.
                let is_same = (place, *event) == ("rustdoc", "omitted") && missing == [&"of"];
                assert!(
                    missing.is_empty() || is_same,
                    "{place}: {event}: {missing:?}"
                );
            }
        }
    }
}

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
    let page = table(include_str!("../../../../docs/audit.md"));
    let rustdoc = include_str!("../json.rs").split("pub fn to_json").next();
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

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
mod tests;

//! curl's names for what is known of a transfer.

use super::facts::Facts;
use serde_json::Value as Json;
use std::time::Duration;
use url::{Position, Url};

/// The value of a variable.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Text(Vec<u8>),
    Number(u64),
    /// A status code: three digits, also where there is none.
    Status(u64),
    Seconds(Duration),
    /// Not known.
    Nothing,
}

impl Value {
    /// As it is printed.
    pub fn text(&self) -> Vec<u8> {
        match self {
            Value::Text(text) => text.clone(),
            Value::Number(number) => number.to_string().into_bytes(),
            Value::Status(status) => format!("{status:03}").into_bytes(),
            Value::Seconds(time) => format!("{:.6}", time.as_secs_f64()).into_bytes(),
            Value::Nothing => Vec::new(),
        }
    }

    /// As it is in JSON.
    pub fn json(&self) -> Json {
        match self {
            Value::Text(text) => String::from_utf8_lossy(text).into(),
            Value::Number(number) | Value::Status(number) => (*number).into(),
            // In microseconds, so that no digits are shown that were not measured.
            Value::Seconds(time) => (time.as_micros() as f64 / 1_000_000.0).into(),
            Value::Nothing => Json::Null,
        }
    }

    fn of<T: Into<Vec<u8>>>(text: Option<T>) -> Value {
        text.map_or(Value::Nothing, |text| Value::Text(text.into()))
    }
}

/// A variable of curl's.
#[derive(Clone, Copy, Debug)]
pub struct Variable(Kind);

#[derive(Clone, Copy, Debug)]
enum Kind {
    Of(Reading),
    /// A part of the URL that was typed, or of the one that was fetched at last.
    UrlPart {
        effective: bool,
        part: Part,
    },
}

#[derive(Clone, Copy, Debug)]
enum Part {
    Scheme,
    User,
    Password,
    Host,
    Port,
    Path,
    Query,
    Fragment,
}

/// How a value is taken from the facts.
type Reading = fn(&Facts) -> Value;

/// All variables, but for parts of URLs.
const VARIABLES: &[(&str, Reading)] = &[
    ("content_type", |facts| {
        Value::of(facts.header("content-type"))
    }),
    ("errormsg", |facts| Value::of(facts.error.clone())),
    ("exitcode", |facts| Value::Number(facts.exit_code.into())),
    ("filename_effective", |facts| {
        Value::of(facts.file().map(|path| path.as_os_str().as_encoded_bytes()))
    }),
    ("http_code", |facts| status(facts)),
    ("http_connect", |facts| {
        Value::Status(facts.proxy_status.into())
    }),
    ("http_version", |facts| {
        let version = facts.head.as_ref().map(|head| head.minor_version);
        Value::Text(match version {
            Some(minor) => format!("1.{minor}").into(),
            None => b"0".to_vec(),
        })
    }),
    ("local_ip", |facts| {
        let local = facts.head.as_ref().map(|head| head.local.ip());
        Value::Text(local.map_or_else(Vec::new, |ip| ip.to_string().into()))
    }),
    ("local_port", |facts| {
        Value::Number(
            facts
                .head
                .as_ref()
                .map_or(0, |head| head.local.port().into()),
        )
    }),
    ("method", |facts| Value::of(Some(facts.method.as_str()))),
    ("num_connects", |facts| Value::Number(facts.connects)),
    ("num_headers", |facts| {
        Value::Number(facts.headers().len() as u64)
    }),
    ("num_redirects", |facts| {
        Value::Number(facts.redirects.len() as u64)
    }),
    ("num_retries", |facts| Value::Number(facts.retries.into())),
    ("proxy_used", |facts| {
        Value::Number(facts.head.as_ref().is_some_and(|head| head.proxied).into())
    }),
    ("redirect_url", |facts| {
        Value::of(facts.redirect_url.clone())
    }),
    ("referer", |facts| Value::of(facts.referer.clone())),
    ("remote_ip", |facts| {
        let remote = facts.head.as_ref().map(|head| head.remote.ip());
        Value::Text(remote.map_or_else(Vec::new, |ip| ip.to_string().into()))
    }),
    ("remote_port", |facts| {
        Value::Number(
            facts
                .head
                .as_ref()
                .map_or(0, |head| head.remote.port().into()),
        )
    }),
    ("response_code", |facts| status(facts)),
    ("scheme", |facts| {
        let is_secure = facts.effective_url.starts_with("https:");
        let scheme = if is_secure { "HTTPS" } else { "HTTP" };
        Value::of(facts.head.as_ref().map(|_| scheme))
    }),
    ("size_download", |facts| Value::Number(facts.downloaded)),
    ("size_header", |facts| Value::Number(facts.head_size)),
    ("size_request", |facts| Value::Number(facts.request_size)),
    ("size_upload", |facts| Value::Number(facts.uploaded)),
    ("speed_download", |facts| {
        Value::Number(facts.download_speed())
    }),
    ("speed_upload", |facts| Value::Number(facts.upload_speed())),
    ("time_appconnect", |facts| {
        Value::Seconds(facts.times.handshake)
    }),
    ("time_connect", |facts| Value::Seconds(facts.times.connect)),
    ("time_namelookup", |facts| {
        Value::Seconds(facts.times.lookup)
    }),
    ("time_posttransfer", |facts| {
        Value::Seconds(facts.times.sent)
    }),
    ("time_pretransfer", |facts| Value::Seconds(facts.times.sent)),
    ("time_queue", |facts| Value::Seconds(facts.times.queue)),
    ("time_redirect", |facts| {
        Value::Seconds(facts.times.redirect)
    }),
    ("time_starttransfer", |facts| {
        Value::Seconds(facts.times.first_byte)
    }),
    ("time_total", |facts| Value::Seconds(facts.times.total)),
    ("url", |facts| Value::of(Some(facts.url.as_str()))),
    ("url_effective", |facts| {
        Value::of(Some(facts.effective_url.as_str()))
    }),
    ("urlnum", |facts| Value::Number(facts.number as u64)),
    ("xfer_id", |facts| Value::Number(facts.number as u64)),
];

/// All variables with their names, but for parts of URLs.
pub fn all() -> impl Iterator<Item = (&'static str, Variable)> {
    VARIABLES
        .iter()
        .map(|(name, of)| (*name, Variable(Kind::Of(*of))))
}

impl Variable {
    /// The variable of this name.
    pub fn named(name: &str) -> Option<Variable> {
        let part = match name.split_once('.') {
            Some(("url", part)) => Some((false, part)),
            Some(("urle", part)) => Some((true, part)),
            _ => None,
        };
        if let Some((effective, part)) = part {
            let part = match part {
                "scheme" => Part::Scheme,
                "user" => Part::User,
                "password" => Part::Password,
                "host" => Part::Host,
                "port" => Part::Port,
                "path" => Part::Path,
                "query" => Part::Query,
                "fragment" => Part::Fragment,
                _ => return None,
            };
            return Some(Variable(Kind::UrlPart { effective, part }));
        }
        all()
            .find(|(known, _)| *known == name)
            .map(|(_, variable)| variable)
    }

    /// Its value.
    pub fn of(&self, facts: &Facts) -> Value {
        match self.0 {
            Kind::Of(value) => value(facts),
            Kind::UrlPart { effective, part } => {
                let url = if effective {
                    &facts.effective_url
                } else {
                    &facts.url
                };
                Url::parse(url).map_or(Value::Nothing, |url| part.of(&url))
            }
        }
    }
}

impl Part {
    fn of(self, url: &Url) -> Value {
        let some = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        Value::of(match self {
            Part::Scheme => some(url.scheme()),
            Part::User => some(url.username()),
            Part::Password => url.password().map(str::to_owned),
            Part::Host => some(&url[Position::BeforeHost..Position::AfterHost]),
            Part::Port => url.port_or_known_default().map(|port| port.to_string()),
            Part::Path => some(url.path()),
            Part::Query => url.query().map(str::to_owned),
            Part::Fragment => url.fragment().map(str::to_owned),
        })
    }
}

fn status(facts: &Facts) -> Value {
    Value::Status(facts.status().unwrap_or(0).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_known_once_and_in_order() {
        let names: Vec<_> = all().map(|(name, _)| name).collect();
        let mut sorted = names.clone();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(names, sorted);
        for name in names {
            assert!(Variable::named(name).is_some(), "{name}");
        }
        for name in ["", "nonsense", "url.", "url.nonsense", "urle.", "url.x.y"] {
            assert!(Variable::named(name).is_none(), "{name:?}");
        }
    }

    #[test]
    fn without_a_response_there_is_little_to_tell() {
        let facts = Facts::default();
        for (name, expected) in [
            ("http_code", "000"),
            ("http_connect", "000"),
            ("http_version", "0"),
            ("remote_ip", ""),
            ("remote_port", "0"),
            ("content_type", ""),
            ("errormsg", ""),
            ("exitcode", "0"),
            ("time_total", "0.000000"),
            ("speed_download", "0"),
            ("num_connects", "0"),
            ("scheme", ""),
            ("url.host", ""),
        ] {
            let variable = Variable::named(name).unwrap();
            let text = String::from_utf8(variable.of(&facts).text()).unwrap();
            assert_eq!(text, expected, "{name}");
        }
    }

    #[test]
    fn parts_of_urls() {
        let facts = Facts {
            url: "http://me:secret@A.example:81/b/c?d=e#f".to_owned(),
            effective_url: "http://[::1]/".to_owned(),
            ..Facts::default()
        };
        for (name, expected) in [
            ("url.scheme", "http"),
            ("url.user", "me"),
            ("url.password", "secret"),
            ("url.host", "a.example"),
            ("url.port", "81"),
            ("url.path", "/b/c"),
            ("url.query", "d=e"),
            ("url.fragment", "f"),
            ("urle.host", "[::1]"),
            ("urle.port", "80"),
            ("urle.user", ""),
            ("urle.query", ""),
        ] {
            let variable = Variable::named(name).unwrap();
            let text = String::from_utf8(variable.of(&facts).text()).unwrap();
            assert_eq!(text, expected, "{name}");
        }
    }
}

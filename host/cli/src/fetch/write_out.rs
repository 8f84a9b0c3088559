//! `-w` and `--json`: telling what is known of a transfer.

use super::facts::Facts;
use super::harmless::harmless;
use super::variables::{self, Variable};
use serde_json::{Map, Value};
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};

/// A format that was read.
#[derive(Clone, Debug, Default)]
pub struct Format {
    pieces: Vec<Piece>,
    /// Names of variables that do not exist.
    pub unknown: Vec<String>,
}

#[derive(Clone, Debug)]
enum Piece {
    Text(Vec<u8>),
    Variable(Variable),
    /// `%header{name}`.
    Header(String),
    /// `%{header_json}`.
    Headers,
    /// `%{json}`.
    Json,
    /// `%{onerror}`: what follows is for failures.
    OnError,
    To(Place),
}

/// Where text goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Place {
    #[default]
    Stdout,
    Stderr,
    File {
        path: PathBuf,
        append: bool,
    },
}

impl Place {
    /// Whether people see what is written there, as it is.
    pub fn is_terminal(&self) -> bool {
        match self {
            Place::Stdout => io::stdout().is_terminal(),
            Place::Stderr => io::stderr().is_terminal(),
            Place::File { .. } => false,
        }
    }
}

impl Format {
    /// Read a format. What can't be read as more is text.
    pub fn read(format: &[u8]) -> Format {
        let mut read = Format::default();
        let mut rest = format;
        while let Some((&first, behind)) = rest.split_first() {
            rest = match (first, behind) {
                (b'%', [b'%', rest @ ..]) => read.text(b"%", rest),
                (b'%', [b'{', rest @ ..]) => match braces(rest) {
                    Some((name, rest)) => read.variable(name, rest),
                    None => read.text(b"%{", rest),
                },
                (b'%', _) => match read.function(behind) {
                    Some(rest) => rest,
                    None => read.text(b"%", behind),
                },
                (b'\\', [b'n', rest @ ..]) => read.text(b"\n", rest),
                (b'\\', [b'r', rest @ ..]) => read.text(b"\r", rest),
                (b'\\', [b't', rest @ ..]) => read.text(b"\t", rest),
                _ => read.text(&[first], behind),
            };
        }
        read
    }

    fn text<'a>(&mut self, text: &[u8], rest: &'a [u8]) -> &'a [u8] {
        match self.pieces.last_mut() {
            Some(Piece::Text(before)) => before.extend_from_slice(text),
            _ => self.pieces.push(Piece::Text(text.to_vec())),
        }
        rest
    }

    fn variable<'a>(&mut self, name: &[u8], rest: &'a [u8]) -> &'a [u8] {
        let name = String::from_utf8_lossy(name);
        let piece = match &*name {
            "header_json" => Piece::Headers,
            "json" => Piece::Json,
            "onerror" => Piece::OnError,
            "stdout" => Piece::To(Place::Stdout),
            "stderr" => Piece::To(Place::Stderr),
            name => match Variable::named(name) {
                Some(variable) => Piece::Variable(variable),
                None => {
                    self.unknown.push(name.to_owned());
                    return rest;
                }
            },
        };
        self.pieces.push(piece);
        rest
    }

    /// `header{name}` and `output{file}`.
    fn function<'a>(&mut self, behind: &'a [u8]) -> Option<&'a [u8]> {
        if let Some((name, rest)) = behind.strip_prefix(b"header{").and_then(braces) {
            let name = String::from_utf8_lossy(name).into_owned();
            self.pieces.push(Piece::Header(name));
            return Some(rest);
        }
        let (name, rest) = braces(behind.strip_prefix(b"output{")?)?;
        let (name, append) = match name.strip_prefix(b">>") {
            Some(name) => (name, true),
            None => (name, false),
        };
        self.pieces.push(Piece::To(Place::File {
            path: super::input::os_string(name).into(),
            append,
        }));
        Some(rest)
    }

    /// The files that it writes to, and whether the text is added to what they have.
    pub fn files(&self) -> impl Iterator<Item = (&Path, bool)> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::To(Place::File { path, append }) => Some((path.as_path(), *append)),
            _ => None,
        })
    }

    /// What it makes of a transfer: what is to be written where, in order. Where that is a terminal
    /// nothing of it that came from a server can steer it.
    pub fn fill(
        &self,
        facts: &Facts,
        is_terminal: impl Fn(&Place) -> bool,
    ) -> Vec<(Place, Vec<u8>)> {
        let mut filled = vec![(Place::default(), Vec::new())];
        for piece in &self.pieces {
            if let Piece::To(place) = piece {
                filled.push((place.clone(), Vec::new()));
                continue;
            }
            let Some((place, text)) = filled.last_mut() else {
                break;
            };
            let seen = is_terminal(place);
            match piece {
                Piece::Text(literal) => text.extend_from_slice(literal),
                Piece::Variable(variable) => {
                    text.extend_from_slice(&harmless(&variable.of(facts).text(), seen));
                }
                Piece::Header(name) => {
                    let value = facts.header(name).unwrap_or(b"");
                    text.extend_from_slice(&harmless(value, seen));
                }
                Piece::Headers => text.extend(escaped(&headers(facts)).into_bytes()),
                Piece::Json => text.extend(escaped(&curls(facts).into()).into_bytes()),
                Piece::OnError if facts.exit_code == 0 => break,
                Piece::OnError | Piece::To(_) => {}
            }
        }
        // A file that is named is made, whether or not anything is written to it.
        filled.retain(|(place, text)| !text.is_empty() || matches!(place, Place::File { .. }));
        filled
    }
}

/// What is up to the next `}`, and what is behind it.
fn braces(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = text.iter().position(|byte| *byte == b'}')?;
    Some((&text[..end], &text[end + 1..]))
}

/// As a line of JSON, in which nothing can steer a terminal.
fn escaped(value: &Value) -> String {
    sockbox_printable::json(value.to_string())
}

/// Header fields by name, in lower case, each with its values.
fn headers(facts: &Facts) -> Value {
    let mut by_name = Map::new();
    for header in facts.headers() {
        let value = Value::from(String::from_utf8_lossy(&header.value));
        let values = by_name
            .entry(header.name.to_ascii_lowercase())
            .or_insert_with(|| Value::Array(Vec::new()));
        if let Value::Array(values) = values {
            values.push(value);
        }
    }
    by_name.into()
}

/// What curl's `%{json}` has.
fn curls(facts: &Facts) -> Map<String, Value> {
    variables::all()
        .map(|(name, variable)| (name.to_owned(), variable.of(facts).json()))
        .collect()
}

/// All that is known, as a line of JSON.
pub fn json(facts: &Facts) -> Vec<u8> {
    let mut all = curls(facts);
    let failures = facts.failures.iter().map(|failure| {
        let mut told = Map::new();
        told.insert("address".to_owned(), failure.address.to_string().into());
        told.insert("reason".to_owned(), failure.reason.to_string().into());
        Value::from(told)
    });
    all.insert("connect_failures".to_owned(), failures.collect());
    all.insert("headers".to_owned(), headers(facts));
    all.insert("redirects".to_owned(), facts.redirects.clone().into());
    let mut line = escaped(&all.into()).into_bytes();
    line.push(b'\n');
    line
}

#[cfg(test)]
mod tests {
    use super::super::facts::{Head, Times};
    use super::*;
    use sockbox::Header;
    use std::time::Duration;

    fn facts() -> Facts {
        let header = |name: &str, value: &str| Header {
            name: name.to_owned(),
            value: value.as_bytes().to_vec(),
        };
        Facts {
            url: "http://me@a.example:81/b?c#d".to_owned(),
            effective_url: "http://b/".to_owned(),
            number: 1,
            method: "GET".to_owned(),
            head: Some(Head {
                status: 200,
                minor_version: 1,
                headers: vec![
                    header("Content-Type", "text/plain"),
                    header("X-A", "1"),
                    header("x-a", "\"2\""),
                ],
                remote: "[::1]:80".parse().unwrap(),
                local: "127.0.0.1:50000".parse().unwrap(),
                proxied: false,
            }),
            connects: 1,
            downloaded: 6,
            times: Times {
                connect: Duration::from_micros(1500),
                total: Duration::from_secs(2),
                ..Times::default()
            },
            ..Facts::default()
        }
    }

    fn failed() -> Facts {
        Facts {
            url: "nonsense".to_owned(),
            method: "GET".to_owned(),
            exit_code: 7,
            error: Some("why".to_owned()),
            ..Facts::default()
        }
    }

    fn stdout(format: &str, facts: &Facts) -> String {
        let mut all = Vec::new();
        for (place, text) in Format::read(format.as_bytes()).fill(facts, |_| false) {
            assert_eq!(place, Place::Stdout, "{format:?}");
            all.extend(text);
        }
        String::from_utf8(all).unwrap()
    }

    #[test]
    fn formats_are_read_as_curl_reads_them() {
        for (format, expected) in [
            ("", ""),
            ("text", "text"),
            ("%{http_code}", "200"),
            ("%{http_code}%{response_code}", "200200"),
            ("[%{content_type}]", "[text/plain]"),
            ("100 %% of %", "100 % of %"),
            ("%z %{unfinished", "%z %{unfinished"),
            (r"a\nb\rc\td\xe\", "a\nb\rc\td\\xe\\"),
            ("%header{x-A}|%header{none}|", "1||"),
            ("%header{unfinished", "%header{unfinished"),
            ("%output{unfinished", "%output{unfinished"),
            ("%{nonsense}x%{}", "x"),
            ("a%{onerror}b", "a"),
            ("é%{method}ü", "éGETü"),
            (
                "%{header_json}",
                r#"{"content-type":["text/plain"],"x-a":["1","\"2\""]}"#,
            ),
        ] {
            assert_eq!(stdout(format, &facts()), expected, "{format:?}");
        }
        assert_eq!(
            stdout("%{onerror}%{errormsg} %{exitcode}", &failed()),
            "why 7"
        );
        let unknown = Format::read(b"%{nonsense}%{http_code}%{}").unknown;
        assert_eq!(unknown, ["nonsense", ""]);
    }

    #[test]
    fn text_goes_where_it_is_told_to() {
        let format = Format::read(b"a%{stderr}b%{stdout}c%output{f}d%output{>>g}%{stderr}");
        let file = |path: &str, append| Place::File {
            path: path.into(),
            append,
        };
        assert_eq!(
            format.fill(&facts(), |_| false),
            [
                (Place::Stdout, b"a".to_vec()),
                (Place::Stderr, b"b".to_vec()),
                (Place::Stdout, b"c".to_vec()),
                (file("f", false), b"d".to_vec()),
                (file("g", true), Vec::new()),
            ]
        );
    }

    #[test]
    fn a_server_cannot_steer_a_terminal() {
        let mut facts = facts();
        if let Some(head) = &mut facts.head {
            head.headers[0].value = b"a/\x1b[2J\xc2\x9b\x9b\xe2\x80\xae".to_vec();
        }
        let format = Format::read(b"\x1b[1m%header{content-type} %{content_type}");
        for (terminal, expected) in [
            (
                false,
                &b"\x1b[1ma/\x1b[2J\xc2\x9b\x9b\xe2\x80\xae a/\x1b[2J\xc2\x9b\x9b\xe2\x80\xae"[..],
            ),
            (true, b"\x1b[1ma/?[2J??? a/?[2J???"),
        ] {
            let filled = format.fill(&facts, |_| terminal);
            assert_eq!(filled, [(Place::Stdout, expected.to_vec())]);
        }
        // In JSON it is escaped, wherever that goes.
        let texts = Format::read(b"%{header_json}").fill(&facts, |_| false);
        let texts = texts.into_iter().chain([(Place::Stdout, json(&facts))]);
        let texts = texts.chain(Format::read(b"%{json}").fill(&facts, |_| false));
        for (_, text) in texts {
            let text = String::from_utf8(text).unwrap();
            let hazards = text.trim_end().contains(sockbox_printable::is_hazard);
            assert!(!hazards && text.contains("\\u009b"), "{text}");
        }
    }

    #[test]
    fn json_has_everything() {
        let line = json(&facts());
        assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1);
        let read: Value = serde_json::from_slice(&line).unwrap();
        for (name, expected) in [
            ("http_code", Value::from(200)),
            ("content_type", "text/plain".into()),
            ("errormsg", Value::Null),
            ("time_connect", 0.0015.into()),
            ("time_total", 2.0.into()),
            ("num_headers", 3.into()),
            ("redirects", Value::Array(Vec::new())),
            ("urlnum", 1.into()),
        ] {
            assert_eq!(read[name], expected, "{name}");
        }
        assert_eq!(read["headers"]["x-a"][1], "\"2\"");
        let read: Value = serde_json::from_slice(&json(&failed())).unwrap();
        assert_eq!(read["errormsg"], "why");
        assert_eq!(read["http_code"], 0);
        assert_eq!(read["remote_ip"], "");
    }
}

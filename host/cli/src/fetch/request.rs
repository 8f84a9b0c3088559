//! What is asked for, and how: from what was typed to the library's request.

use super::conditional::{TimeCondition, saved_tag};
use super::headers;
use super::{data, input};
use crate::args::Fetch;
use crate::exit::Failure;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sockbox::{Family, Header, Request};
use sockbox_grammar::data::FORM;
use sockbox_grammar::header::Line;
use std::io::ErrorKind;
use std::time::Duration;

/// The longest a time can be that is to mean "for ever".
const FOR_EVER: Duration = Duration::from_secs(u32::MAX as u64);

/// The largest body that is sent without asking the server first: 1 MiB, as in the component.
const SMALL_BODY: usize = 1024 * 1024;

/// What all requests of a run have in common.
#[derive(Debug)]
pub struct Template {
    headers: Vec<Header>,
    omit: Vec<String>,
    close: bool,
    expect: Option<Duration>,
    /// Whether bodies are sent in chunks, whatever is known of their length.
    pub chunked: bool,
    /// The data of `-d`, if they are a body.
    pub data: Option<Vec<u8>>,
    pub condition: Option<TimeCondition>,
}

impl Template {
    /// # Errors
    /// A file that was named can't be read, or something typed can't be understood.
    pub fn new(args: &Fetch) -> Result<Template, Failure> {
        let mut template = Template {
            headers: Vec::new(),
            omit: Vec::new(),
            close: false,
            expect: args.expect100_timeout,
            chunked: false,
            data: None,
            condition: None,
        };
        for line in headers::lines(&args.headers)? {
            template.add(line);
        }
        if args.sends_data() {
            template.data = Some(data::join(&args.data)?);
            template.unless_said("Content-Type", FORM);
        }
        let small = |data: &Vec<u8>| data.len() <= SMALL_BODY;
        if template.chunked && template.data.as_ref().is_some_and(small) {
            // The component can't see that there is little to be sent.
            template.expect.get_or_insert(Duration::ZERO);
        }
        if let Some(agent) = &args.user_agent {
            match agent.as_encoded_bytes() {
                b"" => template.omit.push("User-Agent".to_owned()),
                agent => template.unless_said("User-Agent", agent),
            }
        }
        if let Some(user) = &args.user {
            let credentials = format!("Basic {}", STANDARD.encode(user));
            template.unless_said("Authorization", credentials);
        }
        if let Some(referer) = args.referer.as_ref().filter(|referer| !referer.is_empty()) {
            template.unless_said("Referer", referer.as_bytes());
        }
        if let Some(file) = &args.etag_compare {
            match input::read(file, input::ENTITY_TAG) {
                Ok(content) => {
                    if let Some(tag) = saved_tag(&content) {
                        template.unless_said("If-None-Match", tag);
                    }
                }
                // The first time there is nothing to compare with.
                Err(Failure::Input { source, .. }) if source.kind() == ErrorKind::NotFound => {}
                Err(failure) => return Err(failure),
            }
        }
        if let Some(typed) = &args.time_cond {
            template.condition = TimeCondition::read(typed);
            if let Some(condition) = template.condition {
                let Header { name, value } = condition.header();
                template.unless_said(&name, value);
            }
        }
        Ok(template)
    }

    fn add(&mut self, line: Line) {
        match line {
            // What is about the connection and the body's framing is the component's, but what
            // people commonly say of it has an option there.
            Line::Send { name, value } if is(&name, "Connection") && is_word(&value, "close") => {
                self.close = true;
            }
            Line::Send { name, value }
                if is(&name, "Connection") && is_word(&value, "keep-alive") => {}
            Line::Send { name, value }
                if is(&name, "Transfer-Encoding") && is_word(&value, "chunked") =>
            {
                self.chunked = true;
            }
            Line::Omit { name } if is(&name, "Expect") => self.expect = Some(Duration::ZERO),
            Line::Send { name, value } => self.headers.push(Header { name, value }),
            Line::Omit { name } => self.omit.push(name),
        }
    }

    /// Add a header field, unless a line that was typed is about it.
    fn unless_said(&mut self, name: &str, value: impl Into<Vec<u8>>) {
        let sent = self.headers.iter().any(|header| is(&header.name, name));
        let omitted = self.omit.iter().any(|omitted| is(omitted, name));
        if !sent && !omitted {
            self.headers.push(Header {
                name: name.to_owned(),
                value: value.into(),
            });
        }
    }

    /// What is said of where the URL was found.
    pub fn referer(&self) -> Option<Vec<u8>> {
        let mut headers = self.headers.iter();
        let referer = headers.find(|header| is(&header.name, "Referer"))?;
        Some(referer.value.clone())
    }

    /// A request for `url`, without a body and without what is this attempt's alone.
    pub fn request(&self, args: &Fetch, method: &str, url: &str) -> Request {
        let mut request = Request::new(method, url)
            .max_redirects(args.max_redirs)
            .allow_downgrade(args.allow_downgrade)
            .decode(args.compressed)
            .close_connection(self.close)
            .trace(args.verbose);
        for Header { name, value } in &self.headers {
            request = request.header(name, value.as_slice());
        }
        for name in &self.omit {
            request = request.without_header(name);
        }
        for host in args.static_hosts() {
            // Those of every port are the sandbox's to know: see `Session`.
            if let Some(port) = host.port {
                request = request.static_host(&host.host, port, host.addresses.iter().copied());
            }
        }
        if args.ipv4 {
            request = request.family(Family::Ipv4);
        }
        if args.ipv6 {
            request = request.family(Family::Ipv6);
        }
        if let Some(delay) = args.happy_eyeballs_timeout_ms {
            request = request.attempt_delay(delay);
        }
        if let Some(time) = max_time(args) {
            request = request.total_timeout(time);
        }
        if let Some(time) = args.connect_timeout {
            let time = if time.is_zero() { FOR_EVER } else { time };
            request = request
                .resolve_timeout(time)
                .connect_timeout(time)
                .handshake_timeout(time);
        }
        if let Some(time) = self.expect {
            request = request.expect_timeout(time);
        }
        if let Some(bytes) = args.max_filesize.filter(|bytes| *bytes > 0) {
            request = request.max_body_size(bytes);
        }
        if let Some(speed) = args.limit_rate.filter(|speed| *speed > 0) {
            request = request.max_speed(speed);
        }
        if let Some((speed, time)) = min_speed(args) {
            request = request.min_speed(speed, time);
        }
        request
    }
}

/// How long an attempt may take, if that is bounded.
pub fn max_time(args: &Fetch) -> Option<Duration> {
    args.max_time.filter(|time| !time.is_zero())
}

/// What `-Y` and `-y` say; either has a default with the other, and 0 turns both off.
fn min_speed(args: &Fetch) -> Option<(u64, Duration)> {
    if args.speed_limit.is_none() && args.speed_time.is_none() {
        return None;
    }
    let speed = args.speed_limit.unwrap_or(1);
    let time = args.speed_time.unwrap_or(Duration::from_secs(30));
    (speed > 0 && !time.is_zero()).then_some((speed, time))
}

fn is(name: &str, other: &str) -> bool {
    name.eq_ignore_ascii_case(other)
}

fn is_word(value: &[u8], word: &str) -> bool {
    value.eq_ignore_ascii_case(word.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(options: &str) -> Fetch {
        Fetch::typed(&format!("{options} http://a/"))
    }

    fn template(options: &str) -> Template {
        Template::new(&args(options)).unwrap_or_else(|failure| panic!("{options}: {failure:?}"))
    }

    fn sent(template: &Template) -> Vec<String> {
        let line = |header: &Header| {
            let value = String::from_utf8_lossy(&header.value);
            format!("{}: {value}", header.name)
        };
        template.headers.iter().map(line).collect()
    }

    #[test]
    fn typed_lines_win() {
        for (options, expected, omitted) in [
            ("", vec![], vec![]),
            ("-A me", vec!["User-Agent: me"], vec![]),
            ("-A= ", vec![], vec!["User-Agent"]),
            ("-A me -H user-agent:you", vec!["user-agent: you"], vec![]),
            ("-A me -H user-agent:", vec![], vec!["user-agent"]),
            (
                "-u me:secret",
                vec!["Authorization: Basic bWU6c2VjcmV0"],
                vec![],
            ),
            (
                "-u me:x -H Authorization:Bearer",
                vec!["Authorization: Bearer"],
                vec![],
            ),
            ("-e http://b/", vec!["Referer: http://b/"], vec![]),
            (
                "-d x",
                vec!["Content-Type: application/x-www-form-urlencoded"],
                vec![],
            ),
            (
                "-d x -H Content-Type:text/plain",
                vec!["Content-Type: text/plain"],
                vec![],
            ),
            ("-d x -H Content-Type:", vec![], vec!["Content-Type"]),
            ("-d x -H Content-Type;", vec!["Content-Type: "], vec![]),
            ("-G -d x", vec![], vec![]),
            ("-T x", vec![], vec![]),
            ("-H X:1 -H X:2", vec!["X: 1", "X: 2"], vec![]),
            (
                "-z 1994-11-06",
                vec!["If-Modified-Since: Sun, 06 Nov 1994 00:00:00 GMT"],
                vec![],
            ),
            ("-z /no/such/file", vec![], vec![]),
            ("--etag-compare /no/such/file", vec![], vec![]),
        ] {
            let template = template(options);
            assert_eq!(sent(&template), expected, "{options}");
            assert_eq!(template.omit, omitted, "{options}");
        }
    }

    #[test]
    fn what_is_the_components_has_an_option_there() {
        let found = template("-H Connection:close -H Expect: -H transfer-encoding:CHUNKED");
        assert!(found.close && found.chunked);
        assert_eq!(found.expect, Some(Duration::ZERO));
        assert!(found.headers.is_empty() && found.omit.is_empty());
        let found = template("-H Connection:keep-alive --expect100-timeout 3");
        assert!(!found.close && found.headers.is_empty());
        assert_eq!(found.expect, Some(Duration::from_secs(3)));
        let found = template("-H Transfer-Encoding:chunked -d x");
        assert_eq!(found.expect, Some(Duration::ZERO));
        // The component says what is wrong with these.
        for line in ["Connection:Upgrade", "Expect:100-continue", "TE:trailers"] {
            assert_eq!(template(&format!("-H {line}")).headers.len(), 1, "{line}");
        }
    }

    #[test]
    fn speeds_have_defaults() {
        for (options, expected) in [
            ("", None),
            ("-Y 100", Some((100, 30))),
            ("-y 5", Some((1, 5))),
            ("-Y 1k -y 5", Some((1024, 5))),
            ("-Y 0", None),
            ("-Y 10 -y 0", None),
        ] {
            let found = min_speed(&args(options)).map(|(speed, time)| (speed, time.as_secs()));
            assert_eq!(found, expected, "{options}");
        }
        assert_eq!(max_time(&args("-m 0")), None);
        assert_eq!(max_time(&args("-m 2")), Some(Duration::from_secs(2)));
    }
}

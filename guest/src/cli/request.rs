//! From the arguments of `fetch` to a request.

use super::command::Fetch;
use crate::fetch::{Options, Request, RequestBody, Timeouts};
use crate::http1::Header;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use sockbox_grammar::data::FORM;
use sockbox_grammar::header::{self, Line};
use std::time::Duration;

/// The request that the arguments describe. `data` is its body, if there is any.
///
/// # Errors
/// A header line is invalid.
pub fn request<B>(
    arguments: &Fetch,
    data: Option<Vec<u8>>,
    trace: fn(&str),
) -> Result<Request<B>, String> {
    let mut request = Request {
        method: method(arguments),
        url: arguments.url.clone(),
        headers: Vec::new(),
        omit: Vec::new(),
        body: RequestBody::Empty,
        options: options(arguments, trace),
    };
    for line in &arguments.headers {
        let line = header::parse(line.as_bytes()).map_err(|error| error.to_string())?;
        add(&mut request, line);
    }
    if let Some(data) = data {
        request.body = RequestBody::Bytes(data);
        unless_said(&mut request, "Content-Type", FORM);
    }
    match arguments.user_agent.as_deref() {
        None => {}
        Some("") => request.omit.push("User-Agent".to_owned()),
        Some(agent) => unless_said(&mut request, "User-Agent", agent),
    }
    if let Some(user) = &arguments.user {
        let credentials = format!("Basic {}", BASE64_STANDARD.encode(user));
        unless_said(&mut request, "Authorization", &credentials);
    }
    match arguments.referer.as_deref() {
        None | Some("") => {}
        Some(referer) => unless_said(&mut request, "Referer", referer),
    }
    Ok(request)
}

fn method(arguments: &Fetch) -> String {
    if let Some(method) = &arguments.request {
        return method.clone();
    }
    let method = if arguments.head {
        "HEAD"
    } else if arguments.data.is_empty() {
        "GET"
    } else {
        "POST"
    };
    method.to_owned()
}

fn options(arguments: &Fetch, trace: fn(&str)) -> Options {
    let defaults = Options::default();
    let connect = arguments.connect_timeout;
    Options {
        timeouts: Timeouts {
            resolve: connect.unwrap_or(defaults.timeouts.resolve),
            connect: connect.unwrap_or(defaults.timeouts.connect),
            handshake: connect.unwrap_or(defaults.timeouts.handshake),
            total: arguments.max_time,
            ..defaults.timeouts
        },
        max_redirects: arguments.max_redirs.unwrap_or(defaults.max_redirects),
        downgrade: arguments.allow_downgrade,
        family: arguments.family,
        decode: arguments.compressed,
        trace: arguments.verbose.then_some(trace),
        ..defaults
    }
}

fn add<B>(request: &mut Request<B>, line: Line) {
    // Fields about the connection are set by the client. The values that users commonly give for
    // them correspond to options.
    match line {
        Line::Send { name, value } => {
            let header = Header { name, value };
            if !header.is("Connection") {
                request.headers.push(header);
            } else if is_word(&header, "close") {
                request.options.close = true;
            } else if !is_word(&header, "keep-alive") {
                request.headers.push(header);
            }
        }
        Line::Omit { name } if name.eq_ignore_ascii_case("Expect") => {
            request.options.expect_timeout = Duration::ZERO;
        }
        Line::Omit { name } => request.omit.push(name),
    }
}

fn is_word(header: &Header, word: &str) -> bool {
    header.value.eq_ignore_ascii_case(word.as_bytes())
}

/// Adds a header field, unless a header line sets or omits it.
fn unless_said<B>(request: &mut Request<B>, name: &str, value: &str) {
    let sent = request.headers.iter().any(|header| header.is(name));
    let omitted = request
        .omit
        .iter()
        .any(|omitted| omitted.eq_ignore_ascii_case(name));
    if !sent && !omitted {
        request.headers.push(Header {
            name: name.to_owned(),
            value: value.as_bytes().to_vec(),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::args::parse;
    use crate::cli::command::Command;
    use crate::fetch::Family;
    use std::collections::VecDeque;
    use std::ffi::OsString;

    fn arguments(line: &str) -> Fetch {
        let words = format!("fetch {line} http://a/");
        match parse(words.split(' ').map(OsString::from)) {
            Ok(Command::Fetch(arguments)) => *arguments,
            other => panic!("{words}: {other:?}"),
        }
    }

    fn made(line: &str) -> Result<Request<VecDeque<Vec<u8>>>, String> {
        let arguments = arguments(line);
        let data = (!arguments.data.is_empty()).then(|| b"data".to_vec());
        request(&arguments, data, |_| {})
    }

    #[test]
    fn fields_are_those_that_were_typed_and_no_more() {
        let cases: [(&str, &[&str], &[&str]); 16] = [
            ("-s", &[], &[]),
            ("-A me", &["User-Agent: me"], &[]),
            ("-A ", &[], &["User-Agent"]),
            ("-A me -H user-agent:you", &["user-agent: you"], &[]),
            ("-A me -H user-agent:", &[], &["user-agent"]),
            ("-H accept:", &[], &["accept"]),
            ("-H Host:b -H X;", &["Host: b", "X: "], &[]),
            ("-u me:secret", &["Authorization: Basic bWU6c2VjcmV0"], &[]),
            ("-u me:x -H Authorization:y", &["Authorization: y"], &[]),
            ("-e http://b/", &["Referer: http://b/"], &[]),
            ("-e ", &[], &[]),
            (
                "-d x",
                &["Content-Type: application/x-www-form-urlencoded"],
                &[],
            ),
            ("-d x -H content-type:a/b", &["content-type: a/b"], &[]),
            ("-d x -H content-type:", &[], &["content-type"]),
            ("-H Connection:Close -H connection:keep-alive", &[], &[]),
            ("-H Expect:", &[], &[]),
        ];
        for (line, headers, omit) in cases {
            let request = made(line).unwrap_or_else(|why| panic!("{line}: {why}"));
            let sent: Vec<String> = request
                .headers
                .iter()
                .map(|header| format!("{}: {}", header.name, header.value.escape_ascii()))
                .collect();
            assert_eq!(sent, headers, "{line}");
            assert_eq!(request.omit, omit, "{line}");
        }
        assert!(made("-H nonsense").is_err());
    }

    #[test]
    fn the_method_is_what_the_options_make_of_it() {
        for (line, expected) in [
            ("-s", "GET"),
            ("-I", "HEAD"),
            ("-d x", "POST"),
            ("-d ", "POST"),
            ("-d x -X PUT", "PUT"),
            ("-I -X GET", "GET"),
        ] {
            assert_eq!(
                made(line).map(|r| r.method),
                Ok(expected.to_owned()),
                "{line}"
            );
        }
    }

    #[test]
    fn options_are_those_that_were_typed() {
        let options = |line| made(line).expect("understood").options;
        let second = Duration::from_secs(1);
        let defaults = Options::default();
        let typed = options("-m 1 --connect-timeout 2 --max-redirs 3 -6 --compressed -v");
        assert_eq!(typed.timeouts.total, Some(second));
        assert_eq!(typed.timeouts.resolve, second * 2);
        assert_eq!(typed.timeouts.connect, second * 2);
        assert_eq!(typed.timeouts.idle, defaults.timeouts.idle);
        assert_eq!(typed.max_redirects, 3);
        assert_eq!(typed.family, Some(Family::Ipv6));
        assert!(typed.decode && typed.trace.is_some() && !typed.close);
        let plain = options("-s");
        assert_eq!(plain.timeouts, defaults.timeouts);
        assert_eq!(plain.max_redirects, defaults.max_redirects);
        assert!(!plain.decode && plain.trace.is_none() && plain.family.is_none());
        assert!(options("-H Connection:close").close);
        assert!(options("-H Expect:").expect_timeout.is_zero());
    }
}

//! The arguments of `fetch`.

use super::common::{common, expecting};
use crate::cli::command::{Command, Fetch};
use crate::fetch::Family;
use sockbox_grammar::values::{self, credentials, redirects, seconds};
use std::time::Duration;

/// The options' long names.
#[cfg(test)]
pub const OPTIONS: [&str; 21] = [
    "--output",
    "--include",
    "--head",
    "--fail",
    "--silent",
    "--show-error",
    "--verbose",
    "--request",
    "--data",
    "--header",
    "--user-agent",
    "--referer",
    "--user",
    "--compressed",
    "--location",
    "--max-redirs",
    "--allow-downgrade",
    "--ipv4",
    "--ipv6",
    "--max-time",
    "--connect-timeout",
];

/// A timeout that never ends in practice.
const FOR_EVER: Duration = Duration::from_secs(u32::MAX as u64);

/// Parses the arguments that follow `fetch`.
pub fn parse(parser: &mut lexopt::Parser) -> Result<Command, lexopt::Error> {
    use lexopt::prelude::*;

    let mut fetch = Fetch::default();
    let mut url = None;
    while let Some(argument) = parser.next()? {
        match argument {
            Short('o') | Long("output") => fetch.output = Some(parser.value()?.string()?),
            Short('i') | Long("include") => fetch.include = true,
            Short('I') | Long("head") => fetch.head = true,
            Short('f') | Long("fail") => fetch.fail = true,
            Short('s') | Long("silent") => fetch.silent = true,
            Short('S') | Long("show-error") => fetch.show_error = true,
            Short('v') | Long("verbose") => fetch.verbose = true,
            Short('X') | Long("request") => fetch.request = Some(parser.value()?.string()?),
            Short('d') | Long("data" | "data-ascii") => {
                fetch.data.push(parser.value()?.string()?);
            }
            Short('H') | Long("header") => fetch.headers.push(parser.value()?.string()?),
            Short('A') | Long("user-agent") => {
                fetch.user_agent = Some(parser.value()?.string()?);
            }
            Short('e') | Long("referer") => fetch.referer = Some(parser.value()?.string()?),
            Short('u') | Long("user") => {
                fetch.user = Some(parser.value()?.parse_with(expecting(credentials))?);
            }
            Long("compressed") => fetch.compressed = true,
            Short('L') | Long("location") => fetch.location = true,
            Long("max-redirs") => {
                fetch.max_redirs = Some(parser.value()?.parse_with(expecting(redirects))?);
            }
            Long("allow-downgrade") => fetch.allow_downgrade = true,
            Short('4') | Long("ipv4") => fetch.family = Some(Family::Ipv4),
            Short('6') | Long("ipv6") => fetch.family = Some(Family::Ipv6),
            Short('m') | Long("max-time") => {
                let time = parser.value()?.parse_with(expecting(seconds))?;
                fetch.max_time = Some(time).filter(|time| !time.is_zero());
            }
            Long("connect-timeout") => {
                let time = parser.value()?.parse_with(expecting(seconds))?;
                fetch.connect_timeout = Some(if time.is_zero() { FOR_EVER } else { time });
            }
            Long("url") if url.is_none() => url = Some(parser.value()?.string()?),
            Value(value) if url.is_none() => url = Some(value.string()?),
            Value(_) | Long("url") => return Err("more than one URL: give exactly one".into()),
            other => return common(other),
        }
    }
    fetch.url = values::url(&url.ok_or("a URL is missing")?);
    if fetch.head && !fetch.data.is_empty() {
        return Err("-I and -d can't be combined: -I sends HEAD, -d sends POST".into());
    }
    Ok(Command::Fetch(Box::new(fetch)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::args::parse;
    use std::ffi::OsString;

    fn words(line: &str) -> Vec<OsString> {
        let words = ["fetch"].into_iter().chain(line.split_whitespace());
        words.map(OsString::from).collect()
    }

    fn fetch() -> Fetch {
        Fetch {
            url: "http://a/".to_owned(),
            ..Fetch::default()
        }
    }

    #[test]
    fn what_is_understood() {
        let some = |text: &str| Some(text.to_owned());
        let all = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect();
        let cases = [
            ("http://a/", fetch()),
            (
                "a",
                Fetch {
                    url: "http://a".into(),
                    ..fetch()
                },
            ),
            (
                "a:8080/x",
                Fetch {
                    url: "http://a:8080/x".into(),
                    ..fetch()
                },
            ),
            (
                "https://a/",
                Fetch {
                    url: "https://a/".into(),
                    ..fetch()
                },
            ),
            ("--url http://a/", fetch()),
            (
                "-o f http://a/",
                Fetch {
                    output: some("f"),
                    ..fetch()
                },
            ),
            (
                "-of http://a/",
                Fetch {
                    output: some("f"),
                    ..fetch()
                },
            ),
            (
                "-o=f http://a/",
                Fetch {
                    output: some("f"),
                    ..fetch()
                },
            ),
            (
                "--output=f -- http://a/",
                Fetch {
                    output: some("f"),
                    ..fetch()
                },
            ),
            (
                "http://a/ -siv -m 2.5",
                Fetch {
                    silent: true,
                    include: true,
                    verbose: true,
                    max_time: Some(Duration::from_millis(2500)),
                    ..fetch()
                },
            ),
            (
                "-sSfLofile http://a/",
                Fetch {
                    silent: true,
                    show_error: true,
                    fail: true,
                    location: true,
                    output: some("file"),
                    ..fetch()
                },
            ),
            (
                "-da=b -d @f --data=c http://a/ -XPUT",
                Fetch {
                    data: all(&["a=b", "@f", "c"]),
                    request: some("PUT"),
                    ..fetch()
                },
            ),
            (
                "-H A:b -HC; --header=-d http://a/",
                Fetch {
                    headers: all(&["A:b", "C;", "-d"]),
                    ..fetch()
                },
            ),
            (
                "-A me -e http://b/ -u me: http://a/",
                Fetch {
                    user_agent: some("me"),
                    referer: some("http://b/"),
                    user: some("me:"),
                    ..fetch()
                },
            ),
            (
                "--compressed -I --max-redirs 0 http://a/",
                Fetch {
                    compressed: true,
                    head: true,
                    max_redirs: Some(0),
                    ..fetch()
                },
            ),
            (
                "--max-redirs -1 http://a/",
                Fetch {
                    max_redirs: Some(u32::MAX),
                    ..fetch()
                },
            ),
            (
                "-4 -6 http://a/",
                Fetch {
                    family: Some(Family::Ipv6),
                    ..fetch()
                },
            ),
            (
                "-64 http://a/",
                Fetch {
                    family: Some(Family::Ipv4),
                    ..fetch()
                },
            ),
            ("-m 1 -m 0 http://a/", fetch()),
            (
                "--connect-timeout 0.5 http://a/",
                Fetch {
                    connect_timeout: Some(Duration::from_millis(500)),
                    ..fetch()
                },
            ),
            (
                "--connect-timeout 0 http://a/",
                Fetch {
                    connect_timeout: Some(FOR_EVER),
                    ..fetch()
                },
            ),
        ];
        for (line, expected) in cases {
            let expected = Command::Fetch(Box::new(expected));
            assert_eq!(parse(words(line)), Ok(expected), "{line}");
        }
    }

    #[test]
    fn what_is_refused() {
        for line in [
            "",
            "-o",
            "-s",
            "a b",
            "a --url b",
            "--nope a",
            "-q a",
            "-m soon a",
            "-m -1 a",
            "-m nan a",
            "-m inf a",
            "--connect-timeout x a",
            "--max-redirs -2 a",
            "--max-redirs many a",
            "-u me a",
            "-I -d x a",
            "--silent=yes a",
        ] {
            assert!(parse(words(line)).is_err(), "{line}");
        }
    }
}

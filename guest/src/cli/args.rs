//! What was typed.

use super::serve_args::{self, Serve};
use std::ffi::OsString;
use std::time::Duration;

/// What `--help` says.
pub const HELP: &str = "\
Network programs in a sandbox, as a WebAssembly component.

Usage:
  fetch [-i] [-o FILE] [-s] [-v] [--max-time SECONDS] URL
  serve [--listen ADDR:PORT]... [OPTIONS]

fetch: get a page over HTTP/1.1. The page goes to standard output; with -o the
page is saved and the response's head printed.
  -i, --include           print the response's head before the page
  -o, --output FILE       save the page in FILE, whole or not at all
  -s, --silent            don't tell about errors
  -v, --verbose           tell on standard error what is done, sent and received
  -m, --max-time SECONDS  give up after this time (default: no bound)

serve: answer every message MESSAGE with \"Hello, MESSAGE!\".
  -l, --listen ADDR:PORT   listen here; may be repeated (default: 127.0.0.1:9999)
      --framing KIND       what ends a message: auto (a newline or a pause), line
                           (a newline alone), chunk (the end of what one receive
                           returned); default: auto
      --greeting TEXT      what to say instead of Hello
      --welcome TEXT       what to send as soon as a client is connected
      --max-message BYTES  the longest message that is answered (default: 65536)
      --write-timeout SECONDS
                           close a client whose answers can't be sent for so
                           long; 0: never (default: 30)
      --idle-timeout SECONDS
                           close a client that is silent for so long; 0: never
                           (default: 0)
      --max-connections N  how many may be open at once (default: no bound)
      --refuse-when-full   turn away whoever is too much, with one line; without
                           it, let them wait until others have gone
      --max-per-peer N     how many may be open from one address (default: no bound)
      --drain-timeout SECONDS
                           how long connections have to finish when the server
                           stops (default: 10)
      --stop-on-eof        stop at the end of standard input
      --log KIND           log lines for people (text) or JSON objects (json);
                           default: text
  -q, --quiet              don't log who comes and goes

What may be reached is for the runtime to say. With `wasmtime run`:
  wasmtime run -S inherit-network -S allow-ip-name-lookup sockbox.wasm fetch http://example.com/
  wasmtime run -S inherit-network --dir . sockbox.wasm fetch -o page.html http://127.0.0.1:8080/
  wasmtime run -S inherit-network sockbox.wasm serve --listen 127.0.0.1:9999
";

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    Help,
    Version,
    Fetch(Fetch),
    Serve(Serve),
}

/// How to fetch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fetch {
    pub url: String,
    pub include: bool,
    pub output: Option<String>,
    pub silent: bool,
    pub verbose: bool,
    pub max_time: Option<Duration>,
}

/// Reads the arguments, the program's name not among them. The error is for people.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Command, String> {
    let mut parser = lexopt::Parser::from_args(arguments);
    let parsed = match parser.next() {
        Ok(Some(lexopt::Arg::Value(name))) if name == "fetch" => parse_fetch(&mut parser),
        Ok(Some(lexopt::Arg::Value(name))) if name == "serve" => serve_args::parse(&mut parser),
        Ok(Some(lexopt::Arg::Value(name))) => {
            Err(format!("no such program: {}", name.to_string_lossy()).into())
        }
        Ok(Some(argument)) => common(argument),
        Ok(None) => Err("which program? fetch or serve".into()),
        Err(error) => Err(error),
    };
    parsed.map_err(|error| format!("{error} (--help tells more)"))
}

pub(super) fn common(argument: lexopt::Arg<'_>) -> Result<Command, lexopt::Error> {
    match argument {
        lexopt::Arg::Short('h') | lexopt::Arg::Long("help") => Ok(Command::Help),
        lexopt::Arg::Short('V') | lexopt::Arg::Long("version") => Ok(Command::Version),
        other => Err(other.unexpected()),
    }
}

fn parse_fetch(parser: &mut lexopt::Parser) -> Result<Command, lexopt::Error> {
    use lexopt::prelude::*;

    let mut fetch = Fetch::default();
    let mut url = None;
    while let Some(argument) = parser.next()? {
        match argument {
            Short('i') | Long("include") => fetch.include = true,
            Short('o') | Long("output") => fetch.output = Some(parser.value()?.string()?),
            Short('s') | Long("silent") => fetch.silent = true,
            Short('v') | Long("verbose") => fetch.verbose = true,
            Short('m') | Long("max-time") => {
                fetch.max_time = Some(parser.value()?.parse_with(seconds)?);
            }
            Value(value) if url.is_none() => url = Some(value.string()?),
            other => return common(other),
        }
    }
    fetch.url = url.ok_or("which page? a URL is missing")?;
    Ok(Command::Fetch(fetch))
}

/// Seconds, with a fraction if need be.
pub(super) fn seconds(text: &str) -> Result<Duration, String> {
    let wrong = || "a number of seconds, as in 30 or 2.5, is needed".to_owned();
    let seconds: f64 = text.parse().map_err(|_| wrong())?;
    Duration::try_from_secs_f64(seconds).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<OsString> {
        line.split_whitespace().map(OsString::from).collect()
    }

    #[test]
    fn what_is_understood() {
        let page = || Fetch {
            url: "http://a/".to_owned(),
            ..Fetch::default()
        };
        let cases = [
            ("--help", Command::Help),
            ("fetch -h", Command::Help),
            ("serve --version", Command::Version),
            ("fetch http://a/", Command::Fetch(page())),
            (
                "fetch -o f http://a/ -siv -m 2.5",
                Command::Fetch(Fetch {
                    output: Some("f".to_owned()),
                    silent: true,
                    include: true,
                    verbose: true,
                    max_time: Some(Duration::from_millis(2500)),
                    ..page()
                }),
            ),
            ("fetch --output=f -- http://a/", {
                Command::Fetch(Fetch {
                    output: Some("f".to_owned()),
                    ..page()
                })
            }),
        ];
        for (line, expected) in cases {
            assert_eq!(parse(words(line)), Ok(expected), "{line}");
        }
    }

    #[test]
    fn what_is_refused() {
        for line in [
            "",
            "get",
            "-x",
            "fetch",
            "fetch -o",
            "fetch a b",
            "fetch --nope a",
            "fetch -m soon a",
            "fetch -m -1 a",
            "fetch -m nan a",
            "fetch -m inf a",
            "fetch --silent=yes a",
        ] {
            assert!(parse(words(line)).is_err(), "{line}");
        }
    }
}

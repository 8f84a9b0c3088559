//! What was typed.

mod fetch;

pub use fetch::Fetch;

use std::ffi::OsString;
use std::net::SocketAddr;

/// What `--help` says.
pub const HELP: &str = "\
Network programs in a sandbox, as a WebAssembly component.

Usage:
  fetch [OPTION]... URL
  serve [--listen ADDR:PORT]...

fetch: get a page over HTTP/1.1. The page goes to standard output; with -o alone
the page is saved and the response's head printed. Options mean what they mean
to curl.

Output:
  -o, --output FILE         save the page in FILE, whole or not at all
  -i, --include             put the response's head before the page
  -I, --head                ask for the head alone, with HEAD
  -f, --fail                fail, without a page, if the server answers 400 or
                            above
  -s, --silent              don't tell about errors
  -S, --show-error          tell about errors, -s or not
  -v, --verbose             tell on standard error what is done, sent and
                            received

Request:
  -X, --request METHOD      ask with METHOD
  -d, --data DATA           send DATA with POST; may be repeated, joined with &;
                            @FILE has the data, @- is standard input
  -H, --header LINE         send a header field, `Name: value`; `Name;` is an
                            empty one, `Name:` leaves one out; may be repeated
  -A, --user-agent NAME     send this User-Agent; an empty one means none
  -e, --referer URL         say in Referer where the URL was found
  -u, --user USER:PASSWORD  send these credentials
      --compressed          ask for a compressed page, and decompress it

Network:
  -L, --location            follow redirects
      --max-redirs NUMBER   follow at most so many; -1 means any number
                            (default: 30)
  -4, --ipv4                use IPv4 only
  -6, --ipv6                use IPv6 only
  -m, --max-time SECONDS    give up after this time; 0 means never (default: 0)
      --connect-timeout SECONDS
                            give up if the lookup, or connecting, takes longer;
                            0 means never (default: 10 for the lookup, 30 for
                            connecting)

serve: answer every message MESSAGE with \"Hello, MESSAGE!\".
  -l, --listen ADDR:PORT    listen here; may be repeated (default:
                            127.0.0.1:9999)

What may be reached is for the runtime to say. With `wasmtime run`:
  wasmtime run -S inherit-network -S allow-ip-name-lookup sockbox.wasm fetch http://example.com/
  wasmtime run -S inherit-network --dir . sockbox.wasm fetch -o page.html http://127.0.0.1:8080/
  wasmtime run -S inherit-network sockbox.wasm fetch -sSfL -d name=value http://127.0.0.1:8080/
  wasmtime run -S inherit-network sockbox.wasm serve --listen 127.0.0.1:9999
";

/// The port of the tutorial, on loopback alone.
const DEFAULT_LISTEN: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9999);

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    Help,
    Version,
    Fetch(Box<Fetch>),
    Serve(Serve),
}

/// How to serve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Serve {
    pub listen: Vec<SocketAddr>,
}

/// Reads the arguments, the program's name not among them. The error is for people.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Command, String> {
    let mut parser = lexopt::Parser::from_args(arguments);
    let parsed = match parser.next() {
        Ok(Some(lexopt::Arg::Value(name))) if name == "fetch" => fetch::parse(&mut parser),
        Ok(Some(lexopt::Arg::Value(name))) if name == "serve" => parse_serve(&mut parser),
        Ok(Some(lexopt::Arg::Value(name))) => {
            Err(format!("no such program: {}", name.to_string_lossy()).into())
        }
        Ok(Some(argument)) => common(argument),
        Ok(None) => Err("which program? fetch or serve".into()),
        Err(error) => Err(error),
    };
    parsed.map_err(|error| format!("{error} (--help tells more)"))
}

fn common(argument: lexopt::Arg<'_>) -> Result<Command, lexopt::Error> {
    match argument {
        lexopt::Arg::Short('h') | lexopt::Arg::Long("help") => Ok(Command::Help),
        lexopt::Arg::Short('V') | lexopt::Arg::Long("version") => Ok(Command::Version),
        other => Err(other.unexpected()),
    }
}

fn parse_serve(parser: &mut lexopt::Parser) -> Result<Command, lexopt::Error> {
    use lexopt::prelude::*;

    let mut listen = Vec::new();
    while let Some(argument) = parser.next()? {
        match argument {
            Short('l') | Long("listen") => listen.push(parser.value()?.parse_with(address)?),
            other => return common(other),
        }
    }
    if listen.is_empty() {
        listen.push(DEFAULT_LISTEN);
    }
    Ok(Command::Serve(Serve { listen }))
}

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse()
        .map_err(|_| "an address and a port, as in 127.0.0.1:9999 or [::1]:9999, is needed".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<OsString> {
        line.split_whitespace().map(OsString::from).collect()
    }

    #[test]
    fn what_is_understood() {
        let serve = |listen: &[&str]| {
            Command::Serve(Serve {
                listen: listen
                    .iter()
                    .map(|text| text.parse().expect("an address"))
                    .collect(),
            })
        };
        for (line, expected) in [
            ("--help", Command::Help),
            ("-h", Command::Help),
            ("fetch --help", Command::Help),
            ("fetch -s -h", Command::Help),
            ("serve --version", Command::Version),
            ("serve", serve(&["127.0.0.1:9999"])),
            (
                "serve --listen [::1]:0 -l 127.0.0.1:80",
                serve(&["[::1]:0", "127.0.0.1:80"]),
            ),
        ] {
            assert_eq!(parse(words(line)), Ok(expected), "{line}");
        }
    }

    #[test]
    fn what_is_refused() {
        for line in [
            "",
            "get",
            "-x",
            "serve --listen",
            "serve --listen 9999",
            "serve --listen localhost:9999",
            "serve here",
        ] {
            assert!(parse(words(line)).is_err(), "{line}");
        }
    }

    #[test]
    fn help_fits_a_terminal_and_names_every_option() {
        for line in HELP.lines() {
            let example = line.contains("wasmtime run");
            assert!(example || line.len() <= 80, "{line}");
        }
        for option in fetch::OPTIONS {
            assert!(HELP.contains(option), "{option}");
        }
    }
}

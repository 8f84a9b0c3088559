//! Parses the command line.

mod common;
mod fetch;
mod serve;

use super::command::Command;
use common::common;
use std::ffi::OsString;

/// The text of `--help`.
pub const HELP: &str = "\
Network programs in a sandbox, as a WebAssembly component.

Usage:
  fetch [OPTION]... URL
  serve [--listen ADDR:PORT]... [OPTION]...

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
      --allow-downgrade     follow them from https to http as well
  -4, --ipv4                use IPv4 only
  -6, --ipv6                use IPv6 only
  -m, --max-time SECONDS    give up after this time; 0 means never (default: 0)
      --connect-timeout SECONDS
                            give up if the lookup, connecting, or agreeing upon
                            TLS takes longer; 0 means never (default: 10 for
                            the lookup, 30 for the others)

serve: answer every message MESSAGE with \"Hello, MESSAGE!\".
  -l, --listen ADDR:PORT    listen here; may be repeated (default:
                            127.0.0.1:9999)
      --framing KIND        what ends a message: auto (a newline or a pause),
                            line (a newline alone), chunk (the end of what one
                            receive returned); default: auto
      --greeting TEXT       what to say instead of Hello
      --welcome TEXT        what to send as soon as a client is connected
      --max-message BYTES   the longest message that is answered (default:
                            65536)
      --write-timeout SECONDS
                            close a client whose answers can't be sent for so
                            long; 0: never (default: 30)
      --idle-timeout SECONDS
                            close a client that is silent for so long; 0: never
                            (default: 0)
      --max-connections N   how many may be open at once (default: no bound)
      --refuse-when-full    turn away whoever is too much, with one line;
                            without it, let them wait until others have gone
      --max-per-peer N      how many may be open from one address (default: no
                            bound)
      --drain-timeout SECONDS
                            how long connections have to finish when the server
                            stops (default: 10)
      --stop-on-eof         stop at the end of standard input
      --log KIND            log lines for people (text) or JSON objects (json);
                            default: text
  -q, --quiet               don't log who comes and goes

What may be reached is for the runtime to say. With `wasmtime run`:
  wasmtime run -S inherit-network -S allow-ip-name-lookup sockbox.wasm fetch http://example.com/
  wasmtime run -S inherit-network --dir . sockbox.wasm fetch -o page.html http://127.0.0.1:8080/
  wasmtime run -S inherit-network sockbox.wasm fetch -sSfL -d name=value http://127.0.0.1:8080/
  wasmtime run -S inherit-network sockbox.wasm serve --listen 127.0.0.1:9999
";

/// Parses the arguments, without the program's name. The error is a text for the user.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Command, String> {
    let mut parser = lexopt::Parser::from_args(arguments);
    let parsed = match parser.next() {
        Ok(Some(lexopt::Arg::Value(name))) if name == "fetch" => fetch::parse(&mut parser),
        Ok(Some(lexopt::Arg::Value(name))) if name == "serve" => serve::parse(&mut parser),
        Ok(Some(lexopt::Arg::Value(name))) => {
            Err(format!("no such program: {}", name.to_string_lossy()).into())
        }
        Ok(Some(argument)) => common(argument),
        Ok(None) => Err("which program? fetch or serve".into()),
        Err(error) => Err(error),
    };
    parsed.map_err(|error| format!("{error} (--help tells more)"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<OsString> {
        line.split_whitespace().map(OsString::from).collect()
    }

    #[test]
    fn what_is_understood() {
        for (line, expected) in [
            ("--help", Command::Help),
            ("-h", Command::Help),
            ("fetch --help", Command::Help),
            ("fetch -s -h", Command::Help),
            ("serve --version", Command::Version),
        ] {
            assert_eq!(parse(words(line)), Ok(expected), "{line}");
        }
    }

    #[test]
    fn what_is_refused() {
        for line in ["", "get", "-x"] {
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

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

fetch: send one HTTP/1.1 request. The response body goes to standard output. If
-o is the only output option, the body is saved and the response head is
printed. Options have the same meaning as in curl.

Output:
  -o, --output FILE         save the response body in FILE; if the transfer
                            fails, FILE is left unchanged
  -i, --include             print the response head before the body
  -I, --head                request only the response head, with HEAD
  -f, --fail                fail, and print no body, if the status is 400 or
                            above
  -s, --silent              print no errors
  -S, --show-error          print errors even with -s
  -v, --verbose             print each step and both heads on standard error

Request:
  -X, --request METHOD      send this method
  -d, --data DATA           send DATA with POST; may be repeated, joined with &;
                            @FILE reads DATA from FILE, @- from standard input
  -H, --header LINE         send the header field `Name: value`; `Name;` sends
                            an empty value, `Name:` removes the field; may be
                            repeated
  -A, --user-agent NAME     send this User-Agent; an empty NAME sends none
  -e, --referer URL         send this URL as Referer
  -u, --user USER:PASSWORD  send these credentials (Basic authentication)
      --compressed          request a compressed body, and decompress it

Network:
  -L, --location            follow redirects
      --max-redirs NUMBER   follow at most NUMBER redirects; -1 means any number
                            (default: 30)
      --allow-downgrade     also follow redirects from https to http
  -4, --ipv4                use IPv4 only
  -6, --ipv6                use IPv6 only
  -m, --max-time SECONDS    the time limit of the request; 0 means none
                            (default: 0)
      --connect-timeout SECONDS
                            the time limit for each of three stages: resolving
                            the name, connecting, the TLS handshake; 0 means
                            none (default: 10 for the name, 30 for the others)

serve: answer every message MESSAGE with \"Hello, MESSAGE!\".
  -l, --listen ADDR:PORT    listen on this address; may be repeated (default:
                            127.0.0.1:9999)
      --framing KIND        what ends a message: auto (a newline or a pause),
                            line (only a newline), chunk (the end of the bytes
                            that one receive returned); default: auto
      --greeting TEXT       the word before the message (default: Hello)
      --welcome TEXT        text to send as soon as a client connects
      --max-message BYTES   the longest message that is answered (default:
                            65536)
      --write-timeout SECONDS
                            close a connection if its client reads nothing for
                            this time; 0: never (default: 30)
      --idle-timeout SECONDS
                            close a connection if its client sends nothing for
                            this time; 0: never (default: 0)
      --max-connections N   the most connections open at once (default: no
                            limit)
      --refuse-when-full    above --max-connections, send a client one line and
                            close its connection; without this option, the
                            client waits until another connection closes
      --max-per-peer N      the most open connections from one address (default:
                            no limit)
      --drain-timeout SECONDS
                            how long open connections may continue after the
                            server begins to stop (default: 10)
      --stop-on-eof         stop at the end of standard input
      --log KIND            log lines of text (text) or JSON objects (json);
                            default: text
  -q, --quiet               don't log opened, closed and refused connections

The runtime decides what the program may reach. With `wasmtime run`:
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
        Ok(Some(lexopt::Arg::Value(name))) => Err(format!(
            "unknown program {}: use fetch or serve",
            name.to_string_lossy()
        )
        .into()),
        Ok(Some(argument)) => common(argument),
        Ok(None) => Err("a program is missing: fetch or serve".into()),
        Err(error) => Err(error),
    };
    parsed.map_err(|error| format!("{error} (see --help)"))
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

//! The arguments of `serve`.

use super::common::{common, expecting};
use crate::cli::command::{Command, Serve};
use crate::hello::Framing;
use lexopt::prelude::*;
use sockbox_grammar::values::seconds;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

/// The default address: the port of the tutorial, on loopback only.
const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9999);

/// Parses the arguments that follow `serve`.
pub fn parse(parser: &mut lexopt::Parser) -> Result<Command, lexopt::Error> {
    let mut serve = Serve::default();
    let options = &mut serve.options;
    while let Some(argument) = parser.next()? {
        match argument {
            Short('l') | Long("listen") => {
                options.listen.push(parser.value()?.parse_with(address)?);
            }
            Long("framing") => options.framing = parser.value()?.parse_with(framing)?,
            Long("greeting") => options.greeting = parser.value()?.string()?,
            Long("welcome") => options.welcome = Some(parser.value()?.string()?),
            Long("max-message") => options.max_message_size = parser.value()?.parse()?,
            Long("write-timeout") => {
                options.write_timeout = parser.value()?.parse_with(expecting(bound))?
            }
            Long("idle-timeout") => {
                options.idle_timeout = parser.value()?.parse_with(expecting(bound))?
            }
            Long("max-connections") => options.max_connections = Some(parser.value()?.parse()?),
            Long("refuse-when-full") => options.refuse_when_full = true,
            Long("max-per-peer") => options.max_per_peer = Some(parser.value()?.parse()?),
            Long("drain-timeout") => {
                serve.drain_timeout = parser.value()?.parse_with(expecting(seconds))?
            }
            Long("stop-on-eof") => serve.stop_on_eof = true,
            Long("log") => serve.json = parser.value()?.parse_with(is_json)?,
            Short('q') | Long("quiet") => serve.quiet = true,
            other => return common(other),
        }
    }
    if options.listen.is_empty() {
        options.listen.push(DEFAULT_LISTEN);
    }
    Ok(Command::Serve(serve))
}

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse()
        .map_err(|_| "expected an address and a port, such as 127.0.0.1:9999 or [::1]:9999".into())
}

fn framing(text: &str) -> Result<Framing, String> {
    match text {
        "auto" => Ok(Framing::Auto),
        "line" => Ok(Framing::Line),
        "chunk" => Ok(Framing::Chunk),
        _ => Err("expected auto, line or chunk".to_owned()),
    }
}

fn is_json(text: &str) -> Result<bool, String> {
    match text {
        "text" => Ok(false),
        "json" => Ok(true),
        _ => Err("expected text or json".to_owned()),
    }
}

/// Parses a time limit; 0 means no limit.
fn bound(text: &str) -> Result<Option<Duration>, String> {
    Ok(Some(seconds(text)?).filter(|bound| !bound.is_zero()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::args;
    use std::ffi::OsString;

    fn parse(line: &str) -> Result<Command, String> {
        args::parse(line.split_whitespace().map(OsString::from))
    }

    fn serve(listen: &[&str], more: impl FnOnce(&mut Serve)) -> Command {
        let mut serve = Serve::default();
        serve.options.listen = listen
            .iter()
            .map(|text| text.parse().expect("an address"))
            .collect();
        more(&mut serve);
        Command::Serve(serve)
    }

    #[test]
    fn what_is_understood() {
        let cases = [
            ("serve", serve(&["127.0.0.1:9999"], |_| ())),
            (
                "serve --listen [::1]:0 -l 127.0.0.1:80",
                serve(&["[::1]:0", "127.0.0.1:80"], |_| ()),
            ),
            (
                "serve --framing line --greeting Ahoy --welcome Welcome! --max-message 100",
                serve(&["127.0.0.1:9999"], |serve| {
                    serve.options.framing = Framing::Line;
                    serve.options.greeting = "Ahoy".to_owned();
                    serve.options.welcome = Some("Welcome!".to_owned());
                    serve.options.max_message_size = 100;
                }),
            ),
            (
                "serve --write-timeout 0 --idle-timeout 1.5 --drain-timeout 0 --framing=chunk",
                serve(&["127.0.0.1:9999"], |serve| {
                    serve.options.framing = Framing::Chunk;
                    serve.options.write_timeout = None;
                    serve.options.idle_timeout = Some(Duration::from_millis(1500));
                    serve.drain_timeout = Duration::ZERO;
                }),
            ),
            (
                "serve --max-connections 7 --refuse-when-full --max-per-peer 2 --stop-on-eof -q --log json",
                serve(&["127.0.0.1:9999"], |serve| {
                    serve.options.max_connections = Some(7);
                    serve.options.refuse_when_full = true;
                    serve.options.max_per_peer = Some(2);
                    serve.stop_on_eof = true;
                    serve.quiet = true;
                    serve.json = true;
                }),
            ),
        ];
        for (line, expected) in cases {
            assert_eq!(parse(line), Ok(expected), "{line}");
        }
    }

    #[test]
    fn what_is_refused() {
        for line in [
            "serve --listen",
            "serve --listen 9999",
            "serve --listen localhost:9999",
            "serve here",
            "serve --framing word",
            "serve --max-message -1",
            "serve --max-message 4294967296",
            "serve --max-connections many",
            "serve --max-per-peer 1.5",
            "serve --write-timeout -1",
            "serve --idle-timeout soon",
            "serve --drain-timeout inf",
            "serve --stop-on-eof=yes",
            "serve --log xml",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}

//! What can be typed behind `sockbox serve`.

use super::WasiVersion;
use super::grants::{Accept, Common};
use super::values::{seconds, size};
use clap::ValueEnum;
use sockbox::Framing;
use std::net::SocketAddr;
use std::time::Duration;

const EXAMPLES: &str = "\
Examples:
  sockbox serve
  sockbox serve --listen 127.0.0.1:0 --listen [::1]:0
  sockbox serve --framing chunk --welcome 'Welcome!'
  sockbox serve --log json --idle-timeout 300 --max-per-peer 100 2>clients.log

The message `exit` closes the connection. SIGUSR1 prints statistics on standard error. Where
NOTIFY_SOCKET is set, systemd is told when the server is ready and when it stops.

More: host/docs/serve.md in the source of sockbox";

/// Answer every message that a client sends over TCP with `Hello, MESSAGE!`
///
/// The component may listen on the addresses given, and accept clients there, and nothing else.
/// Ctrl-C or SIGTERM stops it: it accepts no further client, answers what it has received, and closes
/// idle connections. A second signal ends it at once.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Serve {
    /// Listen on this address; port 0 lets the system choose one. May be given more than once.
    /// Default: what systemd listens on for us (LISTEN_FDS), or else 127.0.0.1:9999
    #[arg(short, long, value_name = "ADDR:PORT", value_parser = address)]
    pub listen: Vec<SocketAddr>,

    /// Run the component for this version of WASI. On 0.3 idle connections cost busy ones nothing,
    /// and each takes more memory; the runtime's support for it is experimental
    #[arg(long, value_name = "VERSION", value_enum, default_value_t)]
    pub wasi: WasiVersion,

    #[command(flatten)]
    pub accept: Accept,

    #[command(flatten)]
    pub common: Common,

    /// Tell on standard error what the policy decides, and where in the component a trap happened
    #[arg(short, long)]
    pub verbose: bool,

    /// Don't log connections; problems are logged all the same
    #[arg(short, long)]
    pub quiet: bool,

    /// What the log on standard error is made of: lines for people, or a JSON object a line
    #[arg(long, value_name = "KIND", default_value = "text")]
    pub log: LogFormat,

    /// What ends a message: a newline or a pause (auto), a newline alone (line), or the end of what
    /// one receive returned (chunk)
    #[arg(
        long,
        value_name = "KIND",
        default_value = "auto",
        help_heading = "Protocol"
    )]
    pub framing: FramingName,

    /// What an answer begins with, before the comma
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "Hello",
        help_heading = "Protocol"
    )]
    pub greeting: String,

    /// What a client is sent as soon as it is connected
    #[arg(long, value_name = "TEXT", help_heading = "Protocol")]
    pub welcome: Option<String>,

    /// The longest message that is answered; a longer one is told so, and its client closed. Such as
    /// 1000, 64K, 1M
    #[arg(long, value_name = "BYTES", value_parser = size, default_value = "64K", help_heading = "Protocol")]
    pub max_message: u64,

    /// Close a client whose answers can't be sent for so long, since it doesn't take them; 0 means
    /// never
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "30", help_heading = "Limits")]
    pub write_timeout: Duration,

    /// Close a client that sends nothing for so long; 0 means never
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "0", help_heading = "Limits")]
    pub idle_timeout: Duration,

    /// How many clients may be connected at once; more of them wait until others have gone. Default:
    /// what the process may have files open (`ulimit -Hn`), less 64, and 32768 at most
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), help_heading = "Limits")]
    pub max_connections: Option<u32>,

    /// Refuse a client beyond --max-connections, with one line, rather than let it wait
    #[arg(long, help_heading = "Limits")]
    pub refuse_when_full: bool,

    /// How many clients of one address may be connected at once; more are turned away with one line.
    /// Default: no bound
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), help_heading = "Limits")]
    pub max_per_peer: Option<u32>,

    /// How long clients have to take their answers when the server stops. A connection
    /// that has not taken them by then is closed
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "10", help_heading = "End")]
    pub drain_timeout: Duration,

    /// Whether to start anew, on the same addresses, when the component traps: up to 5 times in a
    /// minute. Its clients are lost either way
    #[arg(
        long,
        value_name = "WHEN",
        default_value = "on-trap",
        help_heading = "End"
    )]
    pub restart: Restart,
}

/// What the log is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    Text,
    Json,
}

/// What ends a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FramingName {
    Auto,
    Line,
    Chunk,
}

impl From<FramingName> for Framing {
    fn from(name: FramingName) -> Framing {
        match name {
            FramingName::Auto => Framing::Auto,
            FramingName::Line => Framing::Line,
            FramingName::Chunk => Framing::Chunk,
        }
    }
}

/// When to start anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Restart {
    OnTrap,
    Never,
}

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        "expected an address and a port, such as 127.0.0.1:9999 or [::1]:9999".to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Args, Command};
    use clap::Parser;
    use clap::error::ErrorKind;

    fn parse(words: &str) -> Result<Serve, ErrorKind> {
        match Args::try_parse_from(words.split(' ')).map(|args| args.command) {
            Ok(Command::Serve(serve)) => Ok(*serve),
            Ok(other) => panic!("{words:?} is {other:?}"),
            Err(error) => Err(error.kind()),
        }
    }

    #[test]
    fn it_listens_where_it_is_told() {
        for (words, expected) in [
            ("sockbox serve", vec![]),
            ("sockbox serve --listen 127.0.0.1:0", vec!["127.0.0.1:0"]),
            (
                "sockbox serve -l 127.0.0.1:1 --listen [::1]:2",
                vec!["127.0.0.1:1", "[::1]:2"],
            ),
        ] {
            let listen = parse(words).unwrap().listen;
            let listen: Vec<_> = listen.iter().map(SocketAddr::to_string).collect();
            assert_eq!(listen, expected, "{words:?}");
        }
    }

    #[test]
    fn the_defaults_are_those_documented() {
        let serve = parse("sockbox serve").unwrap();
        assert_eq!(serve.framing, FramingName::Auto);
        assert_eq!(serve.greeting, "Hello");
        assert_eq!(serve.welcome, None);
        assert_eq!(serve.max_message, 65_536);
        assert_eq!(serve.write_timeout, Duration::from_secs(30));
        assert_eq!(serve.idle_timeout, Duration::ZERO);
        assert_eq!(serve.drain_timeout, Duration::from_secs(10));
        assert_eq!(serve.max_connections, None);
        assert_eq!(serve.max_per_peer, None);
        assert_eq!(serve.log, LogFormat::Text);
        assert_eq!(serve.restart, Restart::OnTrap);
        assert!(!serve.refuse_when_full && !serve.quiet && !serve.verbose);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for words in [
            "--listen 9999",
            "--listen localhost:1",
            "--listen 127.0.0.1",
            "--listen ::1:80:",
            "--listen 1.2.3.4:65536",
            "--framing word",
            "--log xml",
            "--restart always",
            "--max-message many",
            "--write-timeout -1",
            "--idle-timeout soon",
            "--drain-timeout inf",
            "--max-connections 0",
            "--max-connections 4294967296",
            "--max-per-peer 0",
            "--max-memory 1X",
        ] {
            let words = format!("sockbox serve {}", words.replacen(' ', "=", 1));
            let refused = parse(&words).map(|_| ());
            assert!(
                matches!(
                    refused,
                    Err(ErrorKind::ValueValidation | ErrorKind::InvalidValue)
                ),
                "{words:?}: {refused:?}"
            );
        }
    }
}

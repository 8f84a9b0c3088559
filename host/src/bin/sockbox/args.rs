//! What can be typed.

use clap::{Parser, Subcommand};
use sockbox::Wasi;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Where `serve` listens unless told otherwise.
pub const DEFAULT_LISTEN: &str = "127.0.0.1:9999";

/// Run network programs in a WebAssembly sandbox that reaches only what it was granted
#[derive(Debug, Parser)]
#[command(name = "sockbox", version, after_help = EXAMPLES)]
pub struct Args {
    #[command(subcommand)]
    pub command: Command,
}

const EXAMPLES: &str = "\
Examples:
  sockbox fetch http://example.com/
  sockbox fetch -o page.html http://example.com/
  sockbox serve --listen 127.0.0.1:9999
  sockbox run program.wasm some arguments
  sockbox component -o sockbox.wasm

Exit codes are curl's where curl has one: 3 invalid URL, 6 unknown host, 7 no connection, 18 page
cut short, 23 output not written, 28 timeout. Beside them: 2 wrong usage, 124 out of time, 125
sockbox failed, 126 denied by the policy, 134 the component trapped.";

#[derive(Debug, Subcommand)]
pub enum Command {
    Fetch(Fetch),
    Serve(Serve),
    Run(Run),
    Component(Component),
}

impl Command {
    /// Whether not even a failure is to be told.
    pub fn silent(&self) -> bool {
        matches!(self, Command::Fetch(Fetch { silent: true, .. }))
    }

    /// Whether more is to be told than the outcome.
    pub fn verbose(&self) -> bool {
        match self {
            Command::Fetch(fetch) => fetch.verbose,
            Command::Serve(serve) => serve.verbose,
            Command::Run(run) => run.verbose,
            Command::Component(_) => false,
        }
    }
}

const FETCH_EXAMPLES: &str = "\
Examples:
  sockbox fetch http://example.com/
  sockbox fetch -o page.html example.com
  sockbox fetch -i --max-time 10 http://[::1]:8080/";

/// Fetch a page over HTTP
///
/// The component may look up the URL's host and connect to it, at the URL's port, and nothing else.
#[derive(Debug, clap::Args)]
#[command(after_help = FETCH_EXAMPLES)]
pub struct Fetch {
    /// Save the page in FILE, which appears when the page is complete, and print the response's
    /// head on standard output; `-` is standard output
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,

    /// Print the response's head before the page
    #[arg(short, long)]
    pub include: bool,

    /// Show neither a progress bar nor what went wrong: the exit code tells
    #[arg(short, long)]
    pub silent: bool,

    /// Tell on standard error what is done and what the policy decides
    #[arg(short, long)]
    pub verbose: bool,

    /// Give up after so many seconds, such as 10 or 0.5; 0 means never
    #[arg(short, long, value_name = "SECONDS", value_parser = seconds)]
    pub max_time: Option<Duration>,

    /// What to fetch; without a scheme, `http://` is put before it
    pub url: String,
}

const SERVE_EXAMPLES: &str = "\
Examples:
  sockbox serve
  sockbox serve --listen 127.0.0.1:0 --listen [::1]:0

A newline ends a message, and so does a pause. The message `exit` closes the connection.";

/// Answer every message that a client sends over TCP with `Hello, MESSAGE!`
///
/// The component may listen on the addresses given, and accept whoever connects, and nothing else.
/// Ctrl-C or SIGTERM stops it: answers that are under way are finished, for 5 seconds at most. A
/// second one ends it at once.
#[derive(Debug, clap::Args)]
#[command(after_help = SERVE_EXAMPLES)]
pub struct Serve {
    /// Listen on this address; port 0 lets the system choose one. May be given more than once
    #[arg(short, long, value_name = "ADDR:PORT", value_parser = address, default_value = DEFAULT_LISTEN)]
    pub listen: Vec<SocketAddr>,

    /// Run the component for this version of WASI. On 0.3 idle connections cost busy ones nothing,
    /// and each takes more memory; the runtime's support for it is experimental
    #[arg(long, value_name = "VERSION", value_enum, default_value_t)]
    pub wasi: WasiVersion,

    /// Tell on standard error what the policy decides
    #[arg(short, long)]
    pub verbose: bool,
}

/// A version of WASI.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum WasiVersion {
    #[default]
    #[value(name = "0.2")]
    V0_2,
    #[value(name = "0.3")]
    V0_3,
}

impl From<WasiVersion> for Wasi {
    fn from(version: WasiVersion) -> Wasi {
        match version {
            WasiVersion::V0_2 => Wasi::V0_2,
            WasiVersion::V0_3 => Wasi::V0_3,
        }
    }
}

const RUN_EXAMPLES: &str = "\
Examples:
  sockbox run program.wasm some --arguments
  sockbox run --allow-net client.wasm 127.0.0.1:9999";

/// Run any WASI 0.2 command component
///
/// It uses this terminal and gets the arguments; it reaches no network, no file and no environment
/// variable. Its exit code is passed on.
#[derive(Debug, clap::Args)]
#[command(
    after_help = RUN_EXAMPLES,
    override_usage = "sockbox run [OPTIONS] <COMPONENT> [ARGS]..."
)]
pub struct Run {
    /// Grant the whole network: lookups, connections, listening, UDP
    #[arg(long)]
    pub allow_net: bool,

    /// Tell on standard error what the policy decides, and where in the component a trap happened
    #[arg(short, long)]
    pub verbose: bool,

    /// The component, as a binary (.wasm) or as text (.wat), and what it is given as its arguments
    // One list, so that what follows the component is never taken for an option of ours.
    #[arg(
        trailing_var_arg = true,
        required = true,
        value_name = "COMPONENT [ARGS]"
    )]
    pub command: Vec<OsString>,
}

const COMPONENT_EXAMPLES: &str = "\
Example:
  sockbox component -o sockbox.wasm
  wasmtime run -S inherit-network,allow-ip-name-lookup sockbox.wasm fetch http://example.com/";

/// Write out the component that is inside this command, for any WASI runtime
#[derive(Debug, clap::Args)]
#[command(after_help = COMPONENT_EXAMPLES)]
pub struct Component {
    /// Write it to FILE; `-` is standard output
    #[arg(short, long, value_name = "FILE")]
    pub output: PathBuf,

    /// The one for this version of WASI; for 0.3 there is the server alone
    #[arg(long, value_name = "VERSION", value_enum, default_value_t)]
    pub wasi: WasiVersion,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let wrong = || "expected a number of seconds, such as 10 or 0.5".to_owned();
    let seconds: f64 = text.parse().map_err(|_| wrong())?;
    Duration::try_from_secs_f64(seconds).map_err(|_| wrong())
}

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        format!("expected an address and a port, such as {DEFAULT_LISTEN} or [::1]:9999")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;
    use clap::error::ErrorKind;

    fn parse(words: &str) -> Result<Command, ErrorKind> {
        Args::try_parse_from(words.split(' '))
            .map(|args| args.command)
            .map_err(|error| error.kind())
    }

    #[test]
    fn the_definition_is_sound() {
        Args::command().debug_assert();
    }

    #[test]
    fn fetch_takes_its_options() {
        let Ok(Command::Fetch(fetch)) =
            parse("sockbox fetch -o page.html -isv --max-time 1.5 http://example.com/")
        else {
            panic!("not a fetch");
        };
        assert_eq!(fetch.output, Some(PathBuf::from("page.html")));
        assert!(fetch.include && fetch.silent && fetch.verbose);
        assert_eq!(fetch.max_time, Some(Duration::from_millis(1500)));
        assert_eq!(fetch.url, "http://example.com/");

        let Ok(Command::Fetch(fetch)) = parse("sockbox fetch example.com") else {
            panic!("not a fetch");
        };
        assert_eq!(fetch.output, None);
        assert!(!fetch.include && !fetch.silent && !fetch.verbose);
        assert_eq!(fetch.max_time, None);
    }

    #[test]
    fn serve_listens_where_it_is_told() {
        for (words, expected) in [
            ("sockbox serve", vec!["127.0.0.1:9999"]),
            ("sockbox serve --listen 127.0.0.1:0", vec!["127.0.0.1:0"]),
            (
                "sockbox serve -l 127.0.0.1:1 --listen [::1]:2",
                vec!["127.0.0.1:1", "[::1]:2"],
            ),
        ] {
            let Ok(Command::Serve(serve)) = parse(words) else {
                panic!("{words:?} is not a serve");
            };
            let listen: Vec<_> = serve.listen.iter().map(SocketAddr::to_string).collect();
            assert_eq!(listen, expected, "{words:?}");
        }
    }

    #[test]
    fn what_follows_the_component_is_its_own() {
        for (words, allow_net, expected) in [
            ("sockbox run a.wasm", false, vec!["a.wasm"]),
            (
                "sockbox run --allow-net a.wasm -v --allow-net --help x",
                true,
                vec!["a.wasm", "-v", "--allow-net", "--help", "x"],
            ),
            (
                "sockbox run a.wasm x -- y",
                false,
                vec!["a.wasm", "x", "--", "y"],
            ),
            (
                "sockbox run -- -odd.wasm -x",
                false,
                vec!["-odd.wasm", "-x"],
            ),
        ] {
            let Ok(Command::Run(run)) = parse(words) else {
                panic!("{words:?} is not a run");
            };
            assert_eq!(run.allow_net, allow_net, "{words:?}");
            assert!(!run.verbose, "{words:?}");
            assert_eq!(run.command, expected, "{words:?}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for (words, expected) in [
            (
                "sockbox",
                ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand,
            ),
            ("sockbox --version", ErrorKind::DisplayVersion),
            ("sockbox fetch --help", ErrorKind::DisplayHelp),
            ("sockbox get", ErrorKind::InvalidSubcommand),
            ("sockbox fetch", ErrorKind::MissingRequiredArgument),
            ("sockbox fetch a b", ErrorKind::UnknownArgument),
            ("sockbox fetch --max-time x a", ErrorKind::ValueValidation),
            ("sockbox fetch --max-time=-1 a", ErrorKind::ValueValidation),
            ("sockbox fetch --max-time nan a", ErrorKind::ValueValidation),
            ("sockbox fetch --max-time inf a", ErrorKind::ValueValidation),
            ("sockbox serve --listen 9999", ErrorKind::ValueValidation),
            (
                "sockbox serve --listen localhost:1",
                ErrorKind::ValueValidation,
            ),
            (
                "sockbox serve --listen 127.0.0.1",
                ErrorKind::ValueValidation,
            ),
            ("sockbox serve --listen ::1:80:", ErrorKind::ValueValidation),
            (
                "sockbox serve --listen 1.2.3.4:65536",
                ErrorKind::ValueValidation,
            ),
            ("sockbox run", ErrorKind::MissingRequiredArgument),
            ("sockbox run --unknown a.wasm", ErrorKind::UnknownArgument),
            ("sockbox component", ErrorKind::MissingRequiredArgument),
        ] {
            assert_eq!(parse(words).map(|_| ()), Err(expected), "{words:?}");
        }
    }
}

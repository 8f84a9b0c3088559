//! What can be typed.

mod curl;
mod fetch;
mod grants;
mod host_cert;
mod http;
mod inspect;
mod ordered;
mod policy;
mod proxy;
mod run;
mod secret;
mod serve;
mod tls;
mod values;

pub use curl::explain as explain_unknown;
pub use fetch::Fetch;
pub use grants::{
    Common, read as read_policy, read_file as read_policy_file, wrong as wrong_policy,
};
pub use http::Http;
pub use inspect::{Compile, Inspect};
pub use ordered::{Data, DataKind, SaveAs};
pub use policy::{Check, Explain, PolicyArgs, PolicyCommand};
pub use run::Run;
pub use serve::{LogFormat, Restart, Serve};
pub use tls::TlsMax;

use clap::{Parser, Subcommand};
use sockbox::Wasi;
use std::path::PathBuf;

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
  sockbox run --allow-connect example.com:443 program.wasm
  sockbox run --listen-http 127.0.0.1:8080 handler.wasm
  sockbox policy explain policy.toml example.com:443
  sockbox inspect program.wasm
  sockbox component -o sockbox.wasm

Exit codes are curl's where curl has one: 3 invalid URL, 6 unknown host, 7 no connection, 18 page
cut short, 22 status 400 or above with -f, 23 output not written, 28 timeout, 47 too many
redirects, 63 too large. Beside them: 2 wrong usage, 124 out of time, 125 sockbox failed, 126 denied
by the policy, 134 the component trapped, 141 its output is read no more.";

#[derive(Debug, Subcommand)]
pub enum Command {
    Fetch(Box<Fetch>),
    Serve(Box<Serve>),
    Run(Box<Run>),
    Inspect(Inspect),
    Compile(Compile),
    Policy(PolicyArgs),
    Component(Component),
    /// Compile what another sockbox writes to standard input
    #[command(name = crate::sandbox::COMPILE_FOR_PARENT, hide = true)]
    CompileForParent,
}

impl Command {
    /// Whether not even a failure is to be told.
    pub fn silent(&self) -> bool {
        matches!(self, Command::Fetch(fetch) if fetch.hides_errors())
    }

    /// Look for options that contradict each other.
    ///
    /// # Errors
    /// The subcommand, and the message.
    pub fn check(&self) -> Result<(), (&'static str, &'static str)> {
        match self {
            Command::Fetch(fetch) => fetch.check().map_err(|problem| ("fetch", problem)),
            _ => Ok(()),
        }
    }

    /// Whether more is to be told than the outcome.
    pub fn verbose(&self) -> bool {
        match self {
            Command::Fetch(fetch) => fetch.verbose,
            Command::Serve(serve) => serve.verbose,
            Command::Run(run) => run.verbose,
            Command::Inspect(_)
            | Command::Compile(_)
            | Command::Policy(_)
            | Command::Component(_)
            | Command::CompileForParent => false,
        }
    }
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

    /// The one with TLS, for runtimes that offer `wasi:tls`, a draft
    #[arg(long, conflicts_with = "wasi")]
    pub tls: bool,

    /// The one for this version of WASI; for 0.3 there is the server alone
    #[arg(long, value_name = "VERSION", value_enum, default_value_t)]
    pub wasi: WasiVersion,
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
            assert_eq!(run.others.allow_net, allow_net, "{words:?}");
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
            ("sockbox fetch --max-time x a", ErrorKind::ValueValidation),
            ("sockbox fetch --max-time=-1 a", ErrorKind::ValueValidation),
            ("sockbox fetch --max-time nan a", ErrorKind::ValueValidation),
            ("sockbox fetch --max-time inf a", ErrorKind::ValueValidation),
            ("sockbox run", ErrorKind::MissingRequiredArgument),
            ("sockbox run --unknown a.wasm", ErrorKind::UnknownArgument),
            ("sockbox component", ErrorKind::MissingRequiredArgument),
        ] {
            assert_eq!(parse(words).map(|_| ()), Err(expected), "{words:?}");
        }
    }
}

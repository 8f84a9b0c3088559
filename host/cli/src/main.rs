//! The `sockbox` command: what was typed, handed to the library, and what came of it.

#![deny(unsafe_code)]

mod apart;
mod args;
mod cache;
mod compile;
mod component;
mod denials;
mod descriptors;
mod environment;
mod exit;
mod fetch;
mod inspect;
mod output;
mod policy;
mod progress;
mod prompt;
mod record;
mod room;
mod run;
mod runtime;
mod sandbox;
mod saving;
mod serve;
mod signals;
mod source;
mod stderr;
mod watch;
mod watchdog;
mod words;

use args::{Args, Command};
use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};
use exit::Failure;
use sockbox_printable::is_hazard;

fn main() {
    let args = Args::try_parse().unwrap_or_else(|error| refuse(&error));
    if let Err((command, problem)) = args.command.check() {
        let mut usage = Args::command();
        // Built, so that it knows under which name it is called.
        usage.build();
        let mut usage = usage.find_subcommand(command).cloned().unwrap_or(usage);
        usage.error(ErrorKind::ArgumentConflict, problem).exit();
    }
    let (silent, verbose) = (args.command.silent(), args.command.verbose());
    if silent {
        watchdog::be_quiet();
    }
    let done = match args.command {
        Command::Fetch(fetch) => fetch::run(*fetch),
        Command::Serve(serve) => serve::run(*serve).map(|()| 0),
        Command::Run(run) => run::run(*run),
        Command::Inspect(inspect) => inspect::run(inspect).map(|()| 0),
        Command::Compile(compile) => compile::run(compile).map(|()| 0),
        Command::Policy(policy) => policy::run(policy),
        Command::Component(component) => component::run(component).map(|()| 0),
        Command::CompileForParent => sockbox::compile_for_parent()
            .map(|()| 0)
            .map_err(Failure::system),
    };
    let code = done.unwrap_or_else(|failure| {
        let message = failure.message(verbose || exit::wants_backtrace());
        if let Some(message) = message.filter(|_| !silent) {
            stderr::line(format_args!("sockbox: ({}) {message}", failure.code()));
        }
        i32::from(failure.code())
    });
    stderr::settle();
    // Ends what may still wait for a terminal or a resolver, on threads that can't be interrupted.
    std::process::exit(code)
}

/// Say what is wrong with the command line, and end; or print the help that was asked for. It quotes what was
/// typed, which may be a name that somebody else chose for a file.
fn refuse(error: &clap::Error) -> ! {
    let plain = error.render().to_string();
    if !plain.replace(['\n', '\t'], "").contains(is_hazard) {
        error.exit();
    }
    stderr::line(format_args!("{}", plain.trim_end()));
    stderr::settle();
    std::process::exit(error.exit_code())
}

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
mod handle;
mod identity;
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
mod stack;
mod stderr;
mod watch;
mod watchdog;
mod words;

use args::{Args, Command};
use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};
use descriptors::Descriptor;
use exit::Failure;
use sockbox_printable::is_hazard;
use std::env;
use std::io::{self, Write};

fn main() {
    signals::ignore_file_size_signal();
    let code = stack::on_enough(command).unwrap_or_else(|failure| told(&failure, false));
    stderr::settle();
    // Ends what may still wait for a terminal or a resolver, on threads that can't be interrupted.
    std::process::exit(code)
}

/// Do what was typed, and give the exit code.
fn command() -> i32 {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) if error.use_stderr() => return refused(explained(error)),
        // The help or the version that was asked for.
        Err(text) => {
            return match printed(&text) {
                Ok(()) => 0,
                Err(failure) => told(&failure, false),
            };
        }
    };
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
    done.unwrap_or_else(|failure| match silent {
        true => failure.code().into(),
        false => told(&failure, verbose),
    })
}

/// Tell of a failure, and give its exit code.
fn told(failure: &Failure, verbose: bool) -> i32 {
    if let Some(message) = failure.message(verbose || exit::wants_backtrace()) {
        stderr::line(format_args!("sockbox: ({}) {message}", failure.code()));
    }
    failure.code().into()
}

/// Print a text that was asked for.
fn printed(text: &clap::Error) -> Result<(), Failure> {
    Descriptor::Output
        .check()
        .and_then(|()| text.print())
        .and_then(|()| io::stdout().flush())
        .map_err(|source| Failure::output("standard output", source))
}

/// An error of the parser's, with what is known of curl's options.
fn explained(error: clap::Error) -> clap::Error {
    match env::args_os().nth(1) {
        Some(subcommand) if subcommand == "fetch" => args::explain_unknown(error),
        _ => error,
    }
}

/// Say what is wrong with the command line, and give the exit code. The message quotes what was typed, which
/// may be a name that another user chose for a file.
fn refused(error: clap::Error) -> i32 {
    let words: Vec<String> = env::args_os()
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    if !words.iter().any(|word| word.contains(is_hazard)) {
        // What can't be written to standard error is lost, as everywhere.
        let _ = error.print();
        return error.exit_code();
    }
    // The parser adds colours to the message, and taking those out would take out what was typed too. So the
    // words are filtered before it.
    let harmless = words.iter().map(|word| sockbox_printable::line(word));
    let again = Args::try_parse_from(harmless.map(|word| word.into_owned()));
    let error = match again {
        Err(same) if same.kind() == error.kind() => explained(same),
        _ => error,
    };
    stderr::line(format_args!("{}", error.render().to_string().trim_end()));
    error.exit_code()
}

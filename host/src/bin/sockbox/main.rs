//! The `sockbox` command: what was typed, handed to the library, and what came of it.

mod args;
mod component;
mod denials;
mod exit;
mod fetch;
mod output;
mod progress;
mod run;
mod runtime;
mod serve;
mod signals;
mod stderr;

use args::{Args, Command};
use clap::Parser;

fn main() {
    let args = Args::parse();
    let (silent, verbose) = (args.command.silent(), args.command.verbose());
    let done = match args.command {
        Command::Fetch(fetch) => fetch::run(fetch).map(|()| 0),
        Command::Serve(serve) => serve::run(serve).map(|()| 0),
        Command::Run(run) => run::run(run),
        Command::Component(component) => component::run(component).map(|()| 0),
    };
    let code = done.unwrap_or_else(|failure| {
        let message = failure.message(verbose || exit::wants_backtrace());
        if let Some(message) = message.filter(|_| !silent) {
            stderr::line(format_args!("sockbox: ({}) {message}", failure.code()));
        }
        i32::from(failure.code())
    });
    // Ends what may still wait for a terminal or a resolver, on threads that can't be interrupted.
    std::process::exit(code)
}

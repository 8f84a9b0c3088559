//! The grammar that the arguments of both programs share.

use crate::cli::command::Command;
use std::time::Duration;

/// The options that both programs have.
pub fn common(argument: lexopt::Arg<'_>) -> Result<Command, lexopt::Error> {
    match argument {
        lexopt::Arg::Short('h') | lexopt::Arg::Long("help") => Ok(Command::Help),
        lexopt::Arg::Short('V') | lexopt::Arg::Long("version") => Ok(Command::Version),
        other => Err(other.unexpected()),
    }
}

/// Parses a number of seconds, which may have a fraction.
pub fn seconds(text: &str) -> Result<Duration, String> {
    let wrong = || "expected a number of seconds, such as 30 or 2.5".to_owned();
    let seconds: f64 = text.parse().map_err(|_| wrong())?;
    Duration::try_from_secs_f64(seconds).map_err(|_| wrong())
}

//! The grammar that the arguments of both programs share.

use crate::cli::command::Command;

/// The options that both programs have.
pub fn common(argument: lexopt::Arg<'_>) -> Result<Command, lexopt::Error> {
    match argument {
        lexopt::Arg::Short('h') | lexopt::Arg::Long("help") => Ok(Command::Help),
        lexopt::Arg::Short('V') | lexopt::Arg::Long("version") => Ok(Command::Version),
        other => Err(other.unexpected()),
    }
}

/// A parser of a value whose error is a whole sentence.
pub fn expecting<T>(
    parse: impl Fn(&str) -> Result<T, String>,
) -> impl Fn(&str) -> Result<T, String> {
    move |text| parse(text).map_err(|what| format!("expected {what}"))
}

//! Environment variables.

use std::env;
use std::ffi::OsString;

/// The value of a variable. One that is set and empty is as one that isn't set: that is how people unset
/// one for a single command, and what the specifications of most of them say.
pub fn variable(name: &str) -> Option<OsString> {
    non_empty(env::var_os(name))
}

fn non_empty(value: Option<OsString>) -> Option<OsString> {
    value.filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_variable_is_one_that_is_not_set() {
        assert_eq!(non_empty(None), None);
        assert_eq!(non_empty(Some("".into())), None);
        assert_eq!(non_empty(Some(" ".into())), Some(" ".into()));
    }
}

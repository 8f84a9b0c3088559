//! A secret header as it is typed.

use crate::exit::Failure;
use sockbox::profile::SecretHeaderSource;
use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

/// The text of `--secret-header`. It is parsed later, because clap shows a text that it can't parse, and a secret may stand
/// in it by mistake.
#[derive(Clone)]
pub struct SecretHeaderText(String);

impl SecretHeaderText {
    /// Parse the text.
    ///
    /// # Errors
    /// It is not a secret header. The message does not show the value.
    pub fn read(&self) -> Result<SecretHeaderSource, Failure> {
        self.0
            .parse()
            .map_err(|error: sockbox::SecretHeaderError| Failure::Usage {
                problem: format!("--secret-header: {error}"),
            })
    }
}

impl FromStr for SecretHeaderText {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<SecretHeaderText, Infallible> {
        Ok(SecretHeaderText(text.to_owned()))
    }
}

impl fmt::Debug for SecretHeaderText {
    /// Without the text.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretHeaderText").finish_non_exhaustive()
    }
}

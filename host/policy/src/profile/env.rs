//! Environment variables that a component gets: `NAME=VALUE`, or `NAME` for this process's own.

use std::fmt;
use std::str::FromStr;

/// An environment variable.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EnvVar {
    /// Its name.
    pub name: String,
    /// Its value. None: the value that it has in this process.
    pub value: Option<String>,
}

impl EnvVar {
    /// Its value, or else the value that it has in this process.
    ///
    /// # Errors
    /// This process has none of that name, or one that isn't Unicode.
    pub fn value(&self) -> Result<String, EnvError> {
        match &self.value {
            Some(value) => Ok(value.clone()),
            None => std::env::var(&self.name).map_err(|error| match error {
                std::env::VarError::NotPresent => EnvError::NotSet {
                    name: self.name.clone(),
                },
                std::env::VarError::NotUnicode(_) => EnvError::NotUnicode {
                    name: self.name.clone(),
                },
            }),
        }
    }
}

impl FromStr for EnvVar {
    type Err = EnvError;

    /// Read `NAME=VALUE`, or `NAME`.
    ///
    /// # Errors
    /// [`EnvError::NoName`].
    fn from_str(text: &str) -> Result<EnvVar, EnvError> {
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (text, None),
        };
        if name.is_empty() || text.contains('\0') {
            return Err(EnvError::NoName {
                text: text.to_owned(),
            });
        }
        Ok(EnvVar {
            name: name.to_owned(),
            value,
        })
    }
}

impl fmt::Display for EnvVar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            Some(value) => write!(f, "{}={value}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

/// Why an environment variable has no value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EnvError {
    /// The text is not a variable.
    #[error(
        "`{text}` names no variable: expected NAME=VALUE, or NAME to pass the variable's current value"
    )]
    NoName {
        /// What was given.
        text: String,
    },
    /// It isn't set.
    #[error("the environment variable `{name}` is not set: give it a value, as in {name}=VALUE")]
    NotSet {
        /// Its name.
        name: String,
    },
    /// A component's variables have to be Unicode.
    #[error(
        "the environment variable `{name}` is not Unicode, which a component's variables must be"
    )]
    NotUnicode {
        /// Its name.
        name: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_read() {
        for (text, expected) in [
            ("A", Some(("A", None))),
            ("A=", Some(("A", Some("")))),
            ("A=b=c", Some(("A", Some("b=c")))),
            ("", None),
            ("=b", None),
            ("A=\0", None),
        ] {
            let found = text.parse::<EnvVar>().ok();
            let found = found.map(|var| (var.name, var.value));
            let expected =
                expected.map(|(name, value)| (name.to_owned(), value.map(str::to_owned)));
            assert_eq!(found, expected, "{text:?}");
        }
    }

    #[test]
    fn what_is_not_set_is_no_empty_string() {
        let var: EnvVar = "SOCKBOX_NOBODY_SETS_THIS".parse().unwrap();
        assert!(matches!(var.value(), Err(EnvError::NotSet { .. })));
        let var: EnvVar = "PATH".parse().unwrap();
        assert_eq!(var.value().ok(), std::env::var("PATH").ok());
    }
}

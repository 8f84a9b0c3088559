//! Names that are not looked up: `HOST:ADDRESS[,ADDRESS]...`.

use crate::{Name, RuleError};
use sockbox_grammar::static_host::{self, InvalidStaticHost};
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// A name with static addresses. No resolver is asked about it.
///
/// # Examples
/// ```
/// use sockbox_policy::profile::StaticHost;
///
/// let host: StaticHost = "example.com:127.0.0.1,[::1]".parse()?;
/// assert_eq!(host.addresses.len(), 2);
/// # Ok::<(), sockbox_policy::profile::StaticHostError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StaticHost {
    /// The name.
    pub name: Name,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
}

impl StaticHost {
    /// A name with its addresses.
    pub fn new(name: Name, addresses: impl IntoIterator<Item = IpAddr>) -> StaticHost {
        StaticHost {
            name,
            addresses: addresses.into_iter().collect(),
        }
    }
}

impl FromStr for StaticHost {
    type Err = StaticHostError;

    /// Read `HOST:ADDRESS[,ADDRESS]...`. IPv6 addresses may be in brackets.
    ///
    /// # Errors
    /// [`StaticHostError`].
    fn from_str(text: &str) -> Result<StaticHost, StaticHostError> {
        let invalid = |problem: String| StaticHostError::Form {
            text: text.to_owned(),
            problem,
        };
        let read = static_host::parse(text).map_err(|error| match error {
            InvalidStaticHost::Form => {
                invalid("expected HOST:ADDRESS, such as example.com:192.0.2.1".to_owned())
            }
            error => invalid(error.to_string()),
        })?;
        if let Some(port) = read.port {
            return Err(invalid(format!(
                "a component resolves a name without saying for which port: leave {port} out"
            )));
        }
        if read.host == "*" {
            return Err(invalid("expected the name of one host".to_owned()));
        }
        Ok(StaticHost {
            name: read.host.parse()?,
            addresses: read.addresses,
        })
    }
}

impl fmt::Display for StaticHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.name)?;
        for (index, address) in self.addresses.iter().enumerate() {
            write!(f, "{}{address}", if index == 0 { ":" } else { "," })?;
        }
        Ok(())
    }
}

/// A text is not a static host.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StaticHostError {
    /// It has the wrong form.
    #[error("`{text}` is not a static host: {problem}")]
    Form {
        /// What was given.
        text: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The part before the colon is not a name.
    #[error(transparent)]
    Name(#[from] RuleError),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_read() {
        for (text, expected) in [
            ("a.example:192.0.2.1", Some("a.example:192.0.2.1")),
            (
                "A.example.:192.0.2.1,2001:db8::1",
                Some("a.example:192.0.2.1,2001:db8::1"),
            ),
            ("a.example:::1", Some("a.example:::1")),
            ("a.example:[::1]", Some("a.example:::1")),
            ("a.example", None),
            ("a.example:", None),
            ("a.example:192.0.2.1,", None),
            ("a.example:80:192.0.2.1", None),
            ("a.example:other.example", None),
            (":192.0.2.1", None),
            ("127.0.0.1:192.0.2.1", None),
            ("*.example:192.0.2.1", None),
        ] {
            let found = text.parse::<StaticHost>().ok().map(|host| host.to_string());
            assert_eq!(found.as_deref(), expected, "{text:?}");
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, expected) in [
            (
                "a.example:80:192.0.2.1",
                "`a.example:80:192.0.2.1` is not a static host: a component resolves a name without saying \
                 for which port: leave 80 out",
            ),
            (
                "*:192.0.2.1",
                "`*:192.0.2.1` is not a static host: expected the name of one host",
            ),
            (
                "a.example",
                "`a.example` is not a static host: expected HOST:ADDRESS, such as example.com:192.0.2.1",
            ),
        ] {
            let error = text.parse::<StaticHost>().unwrap_err();
            assert_eq!(error.to_string(), expected);
        }
    }
}

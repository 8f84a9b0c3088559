//! Names that are not looked up: `HOST:ADDRESS[,ADDRESS]...`.

use crate::{Name, RuleError};
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

impl FromStr for StaticHost {
    type Err = StaticHostError;

    /// Read `HOST:ADDRESS[,ADDRESS]...`. IPv6 addresses may be in brackets.
    ///
    /// # Errors
    /// [`StaticHostError`].
    fn from_str(text: &str) -> Result<StaticHost, StaticHostError> {
        let error = || StaticHostError::Form {
            text: text.to_owned(),
        };
        let (name, addresses) = text.split_once(':').ok_or_else(error)?;
        let name = name.parse()?;
        let addresses = addresses.split(',').map(|address| {
            let inside = address
                .strip_prefix('[')
                .and_then(|rest| rest.strip_suffix(']'));
            inside.unwrap_or(address).parse().map_err(|_| error())
        });
        Ok(StaticHost {
            name,
            addresses: addresses.collect::<Result<_, _>>()?,
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
    /// It isn't a name and its addresses.
    #[error("`{text}` has no address: expected HOST:ADDRESS, such as example.com:192.0.2.1")]
    Form {
        /// What was given.
        text: String,
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
}

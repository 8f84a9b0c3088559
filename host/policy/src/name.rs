//! Hosts: names and addresses, read from one form of text.

use crate::RuleError;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

/// The most bytes that a name has, in the form that names are compared in (RFC 1035 section 2.3.4: 255
/// with the length of each label, and the root's).
pub const MAX_NAME_BYTES: usize = 253;

/// The most bytes between two dots of a name (RFC 1035 section 2.3.4).
pub const MAX_LABEL_BYTES: usize = 63;

/// The most bytes of a text that is parsed as a host. A name has at most [`MAX_NAME_BYTES`], and each
/// byte takes at most a few characters in the text, such as `%C3%BC`.
const MAX_HOST_TEXT_BYTES: usize = 4096;

/// How much of a text that is too long for a host an error repeats, in characters.
const SHOWN_OF_TOO_LONG: usize = 40;

/// A host name in the one form that names are compared in: lower-case ASCII (punycode where the
/// name isn't ASCII), without a dot at its end. It has at most [`MAX_NAME_BYTES`], and parts of 1 to
/// [`MAX_LABEL_BYTES`] between its dots.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(pub(crate) String);

impl Name {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is a name below `parent`, however deep: not `parent` itself.
    pub(crate) fn is_below(&self, parent: &Name) -> bool {
        self.0
            .strip_suffix(&parent.0)
            .is_some_and(|rest| rest.ends_with('.'))
    }

    /// Whether it is the machine itself, by its name (RFC 6761 section 6.3).
    pub fn is_localhost(&self) -> bool {
        self.0 == "localhost" || self.0.ends_with(".localhost")
    }
}

impl FromStr for Name {
    type Err = RuleError;

    /// Read a name as [`Host`] does.
    ///
    /// # Errors
    /// As [`Host`]'s; [`RuleError::NotAName`] when it is an address.
    fn from_str(text: &str) -> Result<Name, RuleError> {
        match text.parse()? {
            Host::Name(name) => Ok(name),
            Host::Address(_) => Err(RuleError::NotAName {
                text: text.to_owned(),
            }),
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A host: one address, or a name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Host {
    /// This address. An IPv4-mapped IPv6 address is kept, and judged, as the IPv4 address in it.
    Address(IpAddr),
    /// This name, for the addresses that it resolves to during the run.
    Name(Name),
}

impl Host {
    /// Whether it is this name.
    pub(crate) fn is_name(&self, name: &Name) -> bool {
        matches!(self, Host::Name(own) if own == name)
    }

    /// Whether it is `address`, by its number.
    pub(crate) fn is_address(&self, address: IpAddr) -> bool {
        matches!(self, Host::Address(own) if *own == address.to_canonical())
    }
}

impl FromStr for Host {
    type Err = RuleError;

    /// Read a host as a URL's would be read: `example.com`, `EXAMPLE.com.`, `bücher.example`,
    /// `127.0.0.1`, `[::1]`, `::1`. All the old ways to write an IPv4 address (`2130706433`,
    /// `0x7f.1`, `0177.0.0.1`) are addresses, not names.
    ///
    /// # Errors
    /// - [`RuleError::Host`]: it is neither a name nor an address.
    /// - [`RuleError::TooLong`]: it is longer than a name can be.
    /// - [`RuleError::EmptyLabel`]: it has two dots in a row, or one at its start.
    fn from_str(text: &str) -> Result<Host, RuleError> {
        if text.len() > MAX_HOST_TEXT_BYTES {
            return Err(too_long(text));
        }
        let error = || RuleError::Host {
            text: text.to_owned(),
        };
        if let Ok(address) = text.parse::<Ipv6Addr>() {
            return Ok(Host::Address(IpAddr::V6(address).to_canonical()));
        }
        match url::Host::parse(text).map_err(|_| error())? {
            url::Host::Ipv4(address) => Ok(Host::Address(IpAddr::V4(address))),
            url::Host::Ipv6(address) => Ok(Host::Address(IpAddr::V6(address).to_canonical())),
            url::Host::Domain(name) => {
                let name = name.strip_suffix('.').unwrap_or(&name);
                // A URL permits other characters too, such as those of patterns, which no resolver
                // accepts.
                let usual = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
                if name.is_empty() || !name.bytes().all(usual) {
                    return Err(error());
                }
                if name.split('.').any(str::is_empty) {
                    return Err(empty_label(text, name));
                }
                if name.len() > MAX_NAME_BYTES
                    || name.split('.').any(|label| label.len() > MAX_LABEL_BYTES)
                {
                    return Err(too_long(text));
                }
                Ok(Host::Name(Name(name.to_ascii_lowercase())))
            }
        }
    }
}

/// The error for a `text` that is longer than a name can be. It does not contain the whole text.
fn too_long(text: &str) -> RuleError {
    RuleError::TooLong {
        start: text.chars().take(SHOWN_OF_TOO_LONG).collect(),
        bytes: text.len(),
    }
}

/// The error for a `text`, parsed as `name`, that has an empty label.
fn empty_label(text: &str, name: &str) -> RuleError {
    let labels: Vec<&str> = name.split('.').filter(|label| !label.is_empty()).collect();
    match labels.join(".").parse::<Host>() {
        Ok(host) => RuleError::EmptyLabel {
            text: text.to_owned(),
            instead: host.to_string(),
        },
        // Only dots, or too long even without the empty labels.
        Err(_) => RuleError::Host {
            text: text.chars().take(MAX_NAME_BYTES).collect(),
        },
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Host::Address(IpAddr::V4(address)) => write!(f, "{address}"),
            Host::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
            Host::Name(name) => write!(f, "{name}"),
        }
    }
}

/// Names that may be looked up.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Names {
    /// This name.
    One(Name),
    /// Every name below this one, however deep, and not this one: `*.example.com`.
    Below(Name),
}

impl Names {
    pub(crate) fn cover(&self, name: &Name) -> bool {
        match self {
            Names::One(own) => own == name,
            Names::Below(parent) => name.is_below(parent),
        }
    }
}

impl fmt::Display for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Names::One(name) => name.fmt(f),
            Names::Below(parent) => write!(f, "*.{parent}"),
        }
    }
}

impl FromStr for Names {
    type Err = RuleError;

    /// Read `example.com`, or `*.example.com`.
    ///
    /// # Errors
    /// [`RuleError`], with the right form in its message where one can be told.
    fn from_str(text: &str) -> Result<Names, RuleError> {
        match text.strip_prefix("*.") {
            Some(parent) => parent.parse().map(Names::Below).map_err(RuleError::below),
            None => text.parse().map(Names::One),
        }
    }
}

#[cfg(test)]
mod tests;

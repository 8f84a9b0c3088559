//! The hosts that are reached without a proxy, as `no_proxy` has them.

use super::ProxyError;
use crate::{Host, Name, Origin};
use ipnet::IpNet;
use std::ffi::OsString;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

/// The most entries of a list: 1,024.
const MAX_ENTRIES: usize = 1024;

/// A list of hosts that are reached without a proxy: `example.com,10.0.0.0/8,[::1]`. The default has none.
///
/// As with curl, a name also stands for all names below it, with or without a dot before it, and `*` for every host. A
/// list has commas or blanks between its entries. A port behind a name or an address restricts the entry to this port.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NoProxy(Vec<Entry>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Entry {
    All,
    Name(Name, Option<u16>),
    Address(IpAddr, Option<u16>),
    Range(IpNet),
}

impl NoProxy {
    /// The list in the variable `no_proxy` of the environment, or else in `NO_PROXY`. An empty variable counts as one that is
    /// not set.
    ///
    /// # Errors
    /// The name of the variable, and what is wrong with its value.
    pub fn of_environment(
        variable: impl Fn(&str) -> Option<OsString>,
    ) -> Result<NoProxy, (&'static str, ProxyError)> {
        let set = |name: &'static str| Some((name, variable(name)?));
        let mut all = ["no_proxy", "NO_PROXY"].into_iter().filter_map(set);
        let Some((name, value)) = all.find(|(_, value)| !value.is_empty()) else {
            return Ok(NoProxy::default());
        };
        let text = value.to_str().ok_or((name, ProxyError::NotUnicode))?;
        let parsed = text.parse();
        parsed.map_err(|error| (name, ProxyError::NoProxy(error)))
    }

    /// Whether the host of this origin is reached without a proxy.
    pub fn covers(&self, origin: &Origin) -> bool {
        self.0.iter().any(|entry| match (entry, &origin.host) {
            (Entry::All, _) => true,
            (Entry::Name(own, port), Host::Name(name)) => {
                (name == own || name.is_below(own)) && port.is_none_or(|port| port == origin.port)
            }
            (Entry::Address(own, port), Host::Address(address)) => {
                own == address && port.is_none_or(|port| port == origin.port)
            }
            (Entry::Range(range), Host::Address(address)) => range.contains(address),
            _ => false,
        })
    }

    /// Whether it has no host.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// This list, and the other one.
    #[must_use]
    pub fn and(mut self, other: NoProxy) -> NoProxy {
        self.0.extend(other.0);
        self
    }
}

impl fmt::Display for NoProxy {
    /// `example.com,10.0.0.0/8`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, entry) in self.0.iter().enumerate() {
            f.write_str(if index == 0 { "" } else { "," })?;
            match entry {
                Entry::All => f.write_str("*")?,
                Entry::Name(name, None) => write!(f, "{name}")?,
                Entry::Name(name, Some(port)) => write!(f, "{name}:{port}")?,
                Entry::Address(address, None) => write!(f, "{address}")?,
                Entry::Address(address, Some(port)) => {
                    write!(f, "{}", SocketAddr::new(*address, *port))?
                }
                Entry::Range(range) => write!(f, "{range}")?,
            }
        }
        Ok(())
    }
}

impl FromStr for NoProxy {
    type Err = NoProxyError;

    /// Parse a list. Empty entries are ignored.
    ///
    /// # Errors
    /// [`NoProxyError`]: an entry is neither a host nor a range, or there are more than 1,024.
    fn from_str(text: &str) -> Result<NoProxy, NoProxyError> {
        let entries = text.split([',', ' ', '\t']).filter(|it| !it.is_empty());
        let entries: Result<Vec<Entry>, NoProxyError> =
            entries.take(MAX_ENTRIES + 1).map(parse).collect();
        let entries = entries?;
        match entries.len() > MAX_ENTRIES {
            true => Err(NoProxyError::TooMany),
            false => Ok(NoProxy(entries)),
        }
    }
}

fn parse(text: &str) -> Result<Entry, NoProxyError> {
    if text == "*" {
        return Ok(Entry::All);
    }
    let wrong = || NoProxyError::Entry {
        entry: sockbox_printable::line(text).chars().take(100).collect(),
    };
    let bare = text.trim_matches(['[', ']']);
    if let Ok(range) = bare.parse::<IpNet>() {
        return Ok(Entry::Range(range));
    }
    if let Ok(address) = bare.parse::<IpAddr>() {
        return Ok(Entry::Address(address.to_canonical(), None));
    }
    let text = text.strip_prefix("*.").unwrap_or(text);
    let text = text.strip_prefix('.').unwrap_or(text);
    let (host, port) = crate::http::split_authority(text).map_err(|_| wrong())?;
    Ok(match host.parse().map_err(|_| wrong())? {
        Host::Name(name) => Entry::Name(name, port),
        Host::Address(address) => Entry::Address(address, port),
    })
}

/// Why a text is not a list of hosts.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoProxyError {
    /// An entry is neither a host nor a range.
    #[error(
        "`{entry}` is neither a host nor a range: write `example.com,10.0.0.0/8`, or `*` for every host"
    )]
    Entry {
        /// What was given.
        entry: String,
    },
    /// There are too many entries.
    #[error("there are more than {MAX_ENTRIES} hosts without a proxy")]
    TooMany,
}

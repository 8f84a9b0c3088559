//! What is recorded of connections through a proxy.

use crate::{Name, Target};
use std::fmt;

/// A connection that a proxy was asked for with `CONNECT`, and the result.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Tunnel {
    /// Where the proxy was asked to connect to: [`Target::Connect`] or [`Target::ConnectName`].
    pub target: Target,
    /// The name that the target's address was resolved from, if any.
    pub name: Option<Name>,
    /// The host and the port of the proxy.
    pub proxy: String,
    /// The status of the proxy's response, if there is one.
    pub status: Option<u16>,
    /// Why there is no response, for people.
    pub error: Option<String>,
}

impl Tunnel {
    /// A connection that the proxy with this host and port is asked for.
    pub fn new(target: Target, name: Option<Name>, proxy: String) -> Tunnel {
        Tunnel {
            target,
            name,
            proxy,
            status: None,
            error: None,
        }
    }

    /// Roughly how many bytes of memory it takes behind itself.
    pub(super) fn held_bytes(&self) -> usize {
        let of_name = |name: &Name| name.as_str().len();
        let of_target = match &self.target {
            Target::ConnectName { name, .. } => of_name(name),
            _ => 0,
        };
        of_target
            + self.name.as_ref().map_or(0, of_name)
            + self.proxy.len()
            + self.error.as_ref().map_or(0, String::len)
    }
}

impl fmt::Display for Tunnel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "proxy: {} through {}", self.target, self.proxy)?;
        if let Some(name) = &self.name {
            write!(f, " ({name})")?;
        }
        match (self.status, &self.error) {
            (Some(status), None) => write!(f, ": {status}"),
            (Some(status), Some(error)) => write!(f, ": {status}, {error}"),
            (None, Some(error)) => write!(f, ": {error}"),
            (None, None) => f.write_str(": no response"),
        }
    }
}

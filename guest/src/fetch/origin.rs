//! Origins: the ends that connections lead to.

use crate::url::{Host, Target};

/// The server that a connection leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    pub host: Host<String>,
    pub port: u16,
    /// Whether the connection has TLS.
    pub secure: bool,
}

impl From<&Target> for Origin {
    fn from(target: &Target) -> Self {
        Self {
            host: target.host.clone(),
            port: target.port,
            secure: target.secure,
        }
    }
}

//! What can be granted, and what can be denied.

mod error;

pub use error::RuleError;

use crate::embedded::embedded;
use crate::http::Asked;
use crate::{Destination, Endpoint, Host, HttpRule, HttpUrl, Name, Names, Range};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

/// One thing that is granted.
///
/// A rule is never compared with a rule, only asked about a
/// [`Target`](crate::Target) through [`Policy::judge`](crate::Policy::judge).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Rule {
    /// Everything that a network can be asked, UDP included.
    Everything,
    /// Connecting over TCP. A host that is a name may be looked up too, and the addresses that it
    /// resolves to during the run are the ones that may be connected to.
    Connect {
        /// Where to.
        to: Destination,
    },
    /// Going where a response redirected to: as `Connect`, for as long as that redirect is the one
    /// being followed. [`Policy::allow_redirects`](crate::Policy::allow_redirects) has it granted.
    Redirect {
        /// The host.
        host: Host,
        /// The port there.
        port: u16,
        /// Whether it may be connected to at public addresses only, those without a
        /// [`SpecialPurpose`](crate::SpecialPurpose).
        public_only: bool,
    },
    /// Resolving names. No address is granted.
    Resolve {
        /// The names.
        names: Names,
    },
    /// Listening over TCP, and accepting every client, unless an `Accept` restricts which.
    Listen {
        /// Where.
        on: Endpoint,
    },
    /// Accepting clients from these addresses, where listening is granted. If there is such a rule, no
    /// other client is accepted.
    Accept {
        /// The addresses.
        from: Range,
    },
    /// Sending datagrams, and receiving those that come from there. A host that is a name may be looked
    /// up too, as with `Connect`.
    UdpSend {
        /// Where to.
        to: Destination,
    },
    /// Binding UDP sockets, and receiving from every peer, unless an `Accept` restricts which. Answering
    /// needs `UdpSend`, because the source address of a datagram can be forged.
    UdpBind {
        /// Where.
        on: Endpoint,
    },
    /// HTTP requests that the host sends for the component. The host resolves the name and connects. The component gets
    /// no socket and no lookup. `Connect` also grants the requests to its destination.
    Http {
        /// The requests.
        requests: HttpRule,
    },
}

/// One thing that is denied, whatever is granted.
///
/// Resolving a name can be denied, but not the addresses of a name: they are not known in advance, and a denial that
/// misses an address gives false safety. HTTP requests
/// carry the name, and are denied by it. An IPv6 address is also denied if the IPv4 address that it contains is denied
/// ([`Policy::judge`](crate::Policy::judge)).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Deny {
    /// Connecting over TCP, and sending datagrams.
    Connect {
        /// Where to.
        to: Denied,
    },
    /// Accepting clients, and receiving datagrams from peers to which none was sent.
    Accept {
        /// The addresses of the clients.
        from: Range,
    },
    /// Resolving names. A rule with a denied name grants no address, and neither does a static host address of that
    /// name. The same address can still be granted by its number, or by another name.
    Resolve {
        /// The names.
        names: Names,
    },
    /// HTTP requests that the host would send for the component. This does not cover the component's sockets.
    Http {
        /// The requests.
        requests: HttpRule,
    },
}

/// Addresses that are denied, and ports there.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Denied {
    destination: Destination,
}

impl Denied {
    fn covers(&self, address: SocketAddr) -> bool {
        std::iter::once(address.ip())
            .chain(embedded(address.ip()))
            .any(|ip| {
                self.destination
                    .covers_address(SocketAddr::new(ip, address.port()))
            })
    }
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.destination.fmt(f)
    }
}

impl FromStr for Denied {
    type Err = RuleError;

    /// Read a [`Destination`] without names.
    ///
    /// # Errors
    /// [`RuleError`], with the right form in its message where one can be told.
    fn from_str(text: &str) -> Result<Denied, RuleError> {
        let destination: Destination = text.parse()?;
        match destination.is_of_names() {
            true => Err(RuleError::NameDenied {
                text: destination.hosts.to_string(),
            }),
            false => Ok(Denied { destination }),
        }
    }
}

impl Deny {
    /// Whether connecting to `address`, or sending a datagram there, is denied.
    pub(crate) fn covers_connect(&self, address: SocketAddr) -> bool {
        matches!(self, Deny::Connect { to } if to.covers(address))
    }

    /// Whether sending this request is denied.
    pub(crate) fn covers_http(&self, asked: &Asked<'_>) -> bool {
        match self {
            Deny::Http { requests } => requests.denies(asked),
            _ => asked
                .target
                .url
                .address()
                .is_some_and(|address| self.covers_connect(address)),
        }
    }

    /// Whether accepting a client from `address` is denied.
    pub(crate) fn covers_accept(&self, address: IpAddr) -> bool {
        let Deny::Accept { from } = self else {
            return false;
        };
        from.contains(address) || embedded(address).any(|ip| from.contains(ip))
    }

    /// Whether looking `name` up is denied.
    pub(crate) fn covers_lookup(&self, name: &Name) -> bool {
        matches!(self, Deny::Resolve { names } if names.cover(name))
    }
}

impl fmt::Display for Deny {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Deny::Connect { to } => write!(f, "deny-connect {to}"),
            Deny::Accept { from } => write!(f, "deny-accept {from}"),
            Deny::Resolve { names } => write!(f, "deny-resolve {names}"),
            Deny::Http { requests } => write!(f, "deny-http {requests}"),
        }
    }
}

impl Rule {
    /// Whether connecting to `address` is granted by its number alone.
    pub(crate) fn covers_connect(&self, address: SocketAddr) -> bool {
        match self {
            Rule::Everything => true,
            Rule::Connect { to } => to.covers_address(address),
            Rule::Redirect { host, port, .. } => {
                host.is_address(address.ip()) && *port == address.port()
            }
            _ => false,
        }
    }

    /// Whether sending a datagram to `address` is granted by its number alone.
    pub(crate) fn covers_udp_send(&self, address: SocketAddr) -> bool {
        match self {
            Rule::Everything => true,
            Rule::UdpSend { to } => to.covers_address(address),
            _ => false,
        }
    }

    /// Whether connecting to `port` of some address that `name` resolves to is granted.
    pub(crate) fn covers_port_of(&self, name: &Name, port: u16) -> bool {
        match self {
            Rule::Everything => true,
            Rule::Connect { to } => to.covers_name(name) && to.ports.contains(port),
            Rule::Redirect {
                host, port: own, ..
            } => host.is_name(name) && *own == port,
            _ => false,
        }
    }

    /// Whether sending a datagram to `port` of some address that `name` resolves to is granted.
    pub(crate) fn covers_udp_port_of(&self, name: &Name, port: u16) -> bool {
        match self {
            Rule::Everything => true,
            Rule::UdpSend { to } => to.covers_name(name) && to.ports.contains(port),
            _ => false,
        }
    }

    /// Whether sending this request is granted, as far as its URL tells.
    pub(crate) fn covers_http(&self, asked: &Asked<'_>) -> bool {
        match self {
            Rule::Http { requests } => requests.grants(asked),
            rule => rule.covers_origin(&asked.target.url),
        }
    }

    /// Whether every request to the origin of this URL is granted, as far as the URL tells.
    pub(crate) fn covers_origin(&self, url: &HttpUrl) -> bool {
        match self {
            Rule::Everything => true,
            Rule::Connect { to } => match url.host() {
                Host::Name(name) => to.covers_name(name) && to.ports.contains(url.port()),
                Host::Address(address) => to.covers_address(SocketAddr::new(*address, url.port())),
            },
            _ => false,
        }
    }

    /// Whether looking `name` up is granted.
    pub(crate) fn covers_lookup(&self, name: &Name) -> bool {
        match self {
            Rule::Everything => true,
            Rule::Connect { to } | Rule::UdpSend { to } => to.covers_name(name),
            Rule::Redirect { host, .. } => host.is_name(name),
            Rule::Resolve { names } => names.cover(name),
            Rule::Listen { .. }
            | Rule::Accept { .. }
            | Rule::UdpBind { .. }
            | Rule::Http { .. } => false,
        }
    }

    /// Whether it grants the lookup of `name` itself, so the component sees every address of the
    /// answer.
    pub(crate) fn tells_any_answer(&self, name: &Name) -> bool {
        match self {
            Rule::Everything => true,
            Rule::Resolve { names } => names.cover(name),
            _ => false,
        }
    }

    /// Whether it grants something at `address`, at some port, by its number alone.
    pub(crate) fn reaches_by_number(&self, address: IpAddr) -> bool {
        match self {
            Rule::Everything => true,
            Rule::Connect { to } | Rule::UdpSend { to } => to.hosts.cover_address(address),
            _ => false,
        }
    }

    /// The port of `name` that may be connected to at public addresses only, where it is this rule
    /// that says so.
    pub(crate) fn public_port_of(&self, name: &Name) -> Option<u16> {
        match self {
            Rule::Redirect {
                host,
                port,
                public_only: true,
            } if host.is_name(name) => Some(*port),
            _ => None,
        }
    }

    /// Whether binding to `address`, in order to listen, is granted.
    pub(crate) fn covers_bind(&self, address: SocketAddr) -> bool {
        match self {
            Rule::Everything => true,
            Rule::Listen { on } => on.covers_bind(address),
            _ => false,
        }
    }

    /// Whether listening on `address`, to which the socket is bound already, is granted.
    pub(crate) fn covers_listen(&self, address: SocketAddr) -> bool {
        match self {
            Rule::Everything => true,
            Rule::Listen { on } => on.covers_bound(address),
            _ => false,
        }
    }

    /// Whether accepting a client from `address` is granted explicitly.
    pub(crate) fn covers_accept(&self, address: IpAddr) -> bool {
        match self {
            Rule::Everything => true,
            Rule::Accept { from } => from.contains(address),
            _ => false,
        }
    }

    /// Whether binding a UDP socket to `address` is granted. `is_any`: the system chooses address and
    /// port.
    pub(crate) fn covers_udp_bind(&self, address: SocketAddr, is_any: bool) -> bool {
        match self {
            Rule::Everything => true,
            Rule::UdpBind { on } => on.covers_bind(address),
            // Sending needs a bound socket. Each datagram that the socket receives is judged
            // separately.
            Rule::UdpSend { .. } => is_any,
            _ => false,
        }
    }
}

impl fmt::Display for Rule {
    /// As its flag and its key in a policy file are written: `allow-connect example.com:443`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Rule::Everything => f.write_str("allow-net"),
            Rule::Connect { to } => write!(f, "allow-connect {to}"),
            Rule::Redirect {
                host,
                port,
                public_only,
            } => {
                let public = if *public_only {
                    " (public addresses)"
                } else {
                    ""
                };
                write!(f, "redirect to {host}:{port}{public}")
            }
            Rule::Resolve { names } => write!(f, "allow-resolve {names}"),
            Rule::Listen { on } => write!(f, "allow-listen {on}"),
            Rule::Accept { from } => write!(f, "allow-accept {from}"),
            Rule::UdpSend { to } => write!(f, "allow-udp-send {to}"),
            Rule::UdpBind { on } => write!(f, "allow-udp-bind {on}"),
            Rule::Http { requests } => write!(f, "allow-http {requests}"),
        }
    }
}

#[cfg(test)]
mod tests;

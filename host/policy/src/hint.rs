//! What would allow something that was refused.

use crate::{Destination, Endpoint, Host, HttpRule, Limit, Name, Names, Range, Rule, Target};
use std::fmt;
use std::net::SocketAddr;

/// What would allow something that was refused: for a program to offer, or for a person in the words of the program
/// that shows it.
///
/// As text it names rules as policy files have them (`allow-connect 192.0.2.1:80`). Messages with a hint have that
/// text in them, at their end.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Hint {
    /// Granting this.
    Grant(Rule),
    /// [`Policy::allow_private`](crate::Policy::allow_private).
    AllowPrivate,
    /// Granting this, and [`Policy::allow_private`](crate::Policy::allow_private).
    GrantPrivate(Rule),
    /// A higher limit.
    Limit(Limit),
}

impl Hint {
    /// The narrowest rule that grants `target`. `name` is the name that its address was resolved from.
    pub(crate) fn grant(target: &Target, name: Option<&Name>) -> Hint {
        let host = |ip, name: Option<&Name>| match name {
            Some(name) => Host::Name(name.clone()),
            None => Host::Address(ip),
        };
        let to =
            |address: &SocketAddr, name| Destination::one(host(address.ip(), name), address.port());
        Hint::Grant(match target {
            Target::Resolve(name) => Rule::Resolve {
                names: Names::One(name.clone()),
            },
            Target::Connect(address) => Rule::Connect {
                to: to(address, name),
            },
            Target::ConnectName { name, port } => Rule::Connect {
                to: Destination::one(Host::Name(name.clone()), *port),
            },
            // Binding to an unspecified address and port is not judged: the system chooses the port, and
            // chooses another one the next time.
            Target::Listen(address) if address.ip().to_canonical().is_unspecified() => {
                Rule::Listen {
                    on: Endpoint::one(SocketAddr::new(address.ip(), 0)),
                }
            }
            Target::Bind(address) | Target::Listen(address) => Rule::Listen {
                on: Endpoint::one(*address),
            },
            Target::Accept(address) => Rule::Accept {
                from: Range::one(address.ip()),
            },
            Target::UdpBind(address) => Rule::UdpBind {
                on: Endpoint::one(*address),
            },
            Target::UdpSend(address) => Rule::UdpSend {
                to: to(address, name),
            },
            Target::UdpReceive(address) => Rule::UdpSend {
                to: to(address, None),
            },
            Target::Http(request) => Rule::Http {
                requests: HttpRule::exactly([request.method.clone()], &request.url),
            },
        })
    }
}

impl fmt::Display for Hint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Hint::Grant(Rule::Accept { from }) => match from.single() {
                // A range of one address is written as the address.
                Some(address) => write!(f, "allow-accept {}", Host::Address(address)),
                None => write!(f, "allow-accept {from}"),
            },
            Hint::Grant(rule) => rule.fmt(f),
            Hint::AllowPrivate => f.write_str("allow-private"),
            Hint::GrantPrivate(rule) => write!(f, "{rule} and allow-private"),
            Hint::Limit(limit) => f.write_str(limit.key()),
        }
    }
}

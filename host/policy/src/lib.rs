//! What a sandboxed program may do with the network, as plain data.
//!
//! A [`Policy`] is a list of [`Rule`]s that grant, and of [`Deny`]s. [`Policy::judge`] gives the [`Verdict`]
//! on a [`Target`]. This crate opens no socket, starts no thread and does not use WebAssembly.
//!
//! - Without rules nothing is granted. A denial wins over every grant.
//! - A granted *name* covers the public addresses that it resolves to in this run ([`ResolvedNames`]), see
//!   [`Policy::allow_private`].
//! - A host that a *server* names in a redirect is granted less than a host that the user names:
//!   [`Policy::allow_redirects`].
//!
//! # Map
//! | file | what it has |
//! |---|---|
//! | `target`, `policy`, `judge`, `verdict`, `hint` | the question, the policy, how it is judged, the answer and its reason, what would allow it |
//! | `ceiling`, `contains` | a policy within another one, and what that cuts |
//! | `private_loopback` | what stays inside a run's own loopback |
//! | `name`, `rule`, `destination`, `ports`, `origin` | what rules are made of, each read from one form of text |
//! | `http` | HTTP requests: their URLs in the one form that is judged and sent, rules about them, and secret headers |
//! | `proxy` | which HTTP requests go through which proxy |
//! | `resolved_names` | what the names of one run resolved to |
//! | `special`, `embedded`, `local` | addresses that are not public: by their block, by the IPv4 address in them, by this machine's networks |
//! | `least_grants` | the least that a program needed, for a dry run |
//! | [`limits`] | what a run may use of the machine |
//! | [`profile`] | policy files |
//! | [`audit`] | the events of a run, and their JSON |

#![warn(missing_docs)]
#![deny(unsafe_code)]

pub mod audit;
mod ceiling;
mod contains;
mod destination;
mod embedded;
mod hint;
mod http;
mod judge;
mod least_grants;
pub mod limits;
mod local;
mod name;
mod origin;
mod policy;
mod ports;
mod private_loopback;
pub mod profile;
mod proxy;
mod resolved_names;
mod rule;
mod special;
mod target;
mod verdict;
mod wasi;

#[cfg(test)]
mod properties;

pub use crate::ceiling::Cut;
pub use crate::http::{
    HttpMethod, HttpPrefix, HttpPrefixError, HttpRule, HttpRuleError, HttpScheme, HttpTarget,
    HttpUrl, HttpUrlError, MAX_HTTP_METHOD_BYTES, MAX_HTTP_METHODS, MAX_HTTP_PATH_BYTES,
    MAX_HTTP_QUERY_BYTES, MAX_SECRET_BYTES, SecretHeader, SecretHeaderError, SecretProblem,
    SecretSource,
};
pub use destination::{Destination, Endpoint, Hosts, Range};
pub use hint::Hint;
pub use least_grants::{LeastGrants, MAX_LEAST_GRANTS};
pub use limits::{Limit, Limits};
pub use local::LocalNetworks;
pub use name::{Host, MAX_LABEL_BYTES, MAX_NAME_BYTES, Name, Names};
pub use origin::Origin;
pub use policy::Policy;
pub use ports::Ports;
pub use private_loopback::PrivateLoopback;
pub use profile::Profile;
pub use proxy::{
    DEFAULT_PROXY_PORT, MAX_PROXY_BYTES, NoProxy, NoProxyError, Proxies, Proxy, ProxyError,
};
pub use resolved_names::{AnsweredNames, GRACE, MAX_ADDRESSES_PER_NAME, MAX_NAMES, ResolvedNames};
pub use rule::{Denied, Deny, Rule, RuleError};
pub use special::SpecialPurpose;
pub use target::{Target, is_unbound};
pub use verdict::{DenialReason, GrantedBy, Verdict};
pub use wasi::Wasi;

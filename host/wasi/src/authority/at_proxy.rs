//! A name that a proxy resolves.
//!
//! A component of WASI connects to addresses, and a name that only the proxy can resolve has none here. The component is
//! therefore told a placeholder. When it connects to the placeholder, the policy judges the name
//! ([`Target::ConnectName`]), and the proxy is asked for the name.

use super::{Authority, locked};
use sockbox_policy::audit::EventKind;
use sockbox_policy::{Name, Target};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The IPv4 address that stands for a name: the dummy address of RFC 7600, which no host has.
const PLACEHOLDER_V4: Ipv4Addr = Ipv4Addr::new(192, 0, 0, 8);

/// The IPv6 address that stands for a name: the first one behind the dummy prefix of RFC 9780, which no host has.
const PLACEHOLDER_V6: Ipv6Addr = Ipv6Addr::new(0x100, 0, 0, 1, 0, 0, 0, 1);

/// Whether `address` can stand for a name.
pub(super) fn is_placeholder(address: IpAddr) -> bool {
    address == PLACEHOLDER_V4 || address == PLACEHOLDER_V6
}

/// A name that a proxy resolves, and the address that stands for it.
pub(super) struct AtProxy {
    name: Name,
    placeholder: IpAddr,
}

impl Authority {
    /// Leave resolving this name to a proxy, in place of the name before. The component is told an IPv6 address if `ipv6`, and
    /// otherwise an IPv4 address. None: no name is left to a proxy.
    pub(crate) fn leave_to_proxy(&self, name: Option<&Name>, ipv6: bool) {
        *locked(&self.at_proxy) = name.map(|name| AtProxy {
            name: name.clone(),
            placeholder: match ipv6 {
                false => PLACEHOLDER_V4.into(),
                true => PLACEHOLDER_V6.into(),
            },
        });
    }

    /// The address that stands for `name`, whose lookup was allowed, if a proxy resolves it. This records that.
    pub(crate) fn placeholder_of(&self, name: &Name) -> Option<IpAddr> {
        let placeholder = match &*locked(&self.at_proxy) {
            Some(at_proxy) if at_proxy.name == *name => at_proxy.placeholder,
            _ => return None,
        };
        self.record(|| EventKind::LeftToProxy {
            name: name.clone(),
            placeholder,
        });
        Some(placeholder)
    }

    /// What connecting to `address` is judged as. If the address stands for a name, it is connecting to that name.
    pub fn target_of(&self, address: SocketAddr) -> Target {
        match &*locked(&self.at_proxy) {
            Some(at_proxy) if at_proxy.placeholder == address.ip().to_canonical() => {
                Target::ConnectName {
                    name: at_proxy.name.clone(),
                    port: address.port(),
                }
            }
            _ => Target::Connect(address),
        }
    }
}

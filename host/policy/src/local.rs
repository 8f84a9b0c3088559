//! The addresses of this machine, and the networks that it is connected to.

use crate::embedded::embedded;
use crate::{Range, SpecialPurpose};
use ipnet::IpNet;
use std::net::IpAddr;

/// The addresses of this machine, and the networks that it is connected to.
///
/// This machine and its neighbours may have public addresses; with IPv6 they usually do. A connection from
/// this machine to them does not pass the firewall that protects them. Therefore [`ResolvedNames::special`]
/// treats these addresses like `10.0.0.0/8`: a granted name or a redirect does not reach them.
///
/// [`ResolvedNames::special`]: crate::ResolvedNames::special
///
/// # Examples
/// ```
/// use sockbox_policy::{ResolvedNames, LocalNetworks};
///
/// let local = LocalNetworks::new()
///     .address("2a00::1:2".parse()?)
///     .network("[2a00:0:0:1::/64]".parse()?);
/// let mut answers = ResolvedNames::new();
/// answers.set_local_networks(local);
/// let special = |address: &str| answers.special(address.parse().unwrap()).map(|it| it.to_string());
/// let expected = "in a network that this machine is connected to (2a00:0:0:1::/64)";
/// assert_eq!(special("2a00:0:0:1::7").as_deref(), Some(expected));
/// let expected = "an address of this machine (2a00::1:2/128)";
/// assert_eq!(special("2a00::1:2").as_deref(), Some(expected));
/// assert_eq!(special("2a00::1:3"), None);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LocalNetworks {
    addresses: Vec<IpAddr>,
    networks: Vec<IpNet>,
}

impl LocalNetworks {
    /// No address, and no network.
    pub fn new() -> LocalNetworks {
        LocalNetworks::default()
    }

    /// This one is an address of the machine.
    #[must_use]
    pub fn address(mut self, address: IpAddr) -> LocalNetworks {
        let address = address.to_canonical();
        if !self.addresses.contains(&address) {
            self.addresses.push(address);
        }
        self
    }

    /// The machine reaches the addresses of this range without a router. A range of all addresses of a
    /// family is a default route, not a network, and is ignored.
    #[must_use]
    pub fn network(mut self, range: Range) -> LocalNetworks {
        let network = range.net();
        if network.prefix_len() > 0 && !self.networks.contains(&network) {
            self.networks.push(network);
        }
        self
    }

    /// Whether `address` is one of the machine itself.
    pub fn has_address(&self, address: IpAddr) -> bool {
        self.addresses.contains(&address.to_canonical())
    }

    /// Why `address` belongs to this machine or its networks, or none. An IPv6 address is judged also by
    /// the IPv4 address that it contains.
    pub(crate) fn special(&self, address: IpAddr) -> Option<SpecialPurpose> {
        let mut forms = std::iter::once(address.to_canonical()).chain(embedded(address));
        forms.find_map(|address| {
            if self.addresses.contains(&address) {
                let block = IpNet::from(address);
                return Some(SpecialPurpose::local(block, "an address of this machine"));
            }
            let network = self.networks.iter().find(|it| it.contains(&address))?;
            let purpose = "in a network that this machine is connected to";
            Some(SpecialPurpose::local(*network, purpose))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_addresses_and_those_of_ones_networks_are_special() {
        let local = LocalNetworks::new()
            .address("1.2.3.4".parse().unwrap())
            .network("1.2.3.0/30".parse().unwrap())
            .network("5.6.0.0/16".parse().unwrap())
            .network("[2a00:1::/64]".parse().unwrap())
            // Default routes.
            .network("0.0.0.0/0".parse().unwrap())
            .network("[::/0]".parse().unwrap());
        let own = Some("an address of this machine (1.2.3.4/32)");
        let network = |block: &str| {
            Some(format!(
                "in a network that this machine is connected to ({block})"
            ))
        };
        for (address, expected) in [
            ("1.2.3.4", own.map(str::to_owned)),
            ("::ffff:1.2.3.4", own.map(str::to_owned)),
            ("64:ff9b::1.2.3.4", own.map(str::to_owned)),
            ("1.2.3.3", network("1.2.3.0/30")),
            ("1.2.3.5", None),
            ("5.6.7.8", network("5.6.0.0/16")),
            ("64:ff9b::5.6.7.8", network("5.6.0.0/16")),
            ("5.7.7.8", None),
            ("2a00:1::ffff", network("2a00:1::/64")),
            ("2a00:1:0:1::1", None),
            ("1.1.1.1", None),
            ("2606:4700::1111", None),
        ] {
            let found = local.special(address.parse().unwrap());
            assert_eq!(found.map(|it| it.to_string()), expected, "{address}");
        }
        assert!(local.has_address("::ffff:1.2.3.4".parse().unwrap()));
        assert!(!local.has_address("1.2.3.3".parse().unwrap()));
    }
}

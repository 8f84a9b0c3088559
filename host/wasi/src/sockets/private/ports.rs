//! Ports of the private loopback for a component that asks for port 0.

use std::net::{IpAddr, SocketAddr};
use wasmtime_wasi::p2::bindings::sockets::network::ErrorCode;

/// The first of the ports that the host chooses from. The last is 65535 (RFC 6335 section 6).
const FIRST_PORT: u16 = 49_152;

/// Chooses free ports, each time the one after the last.
pub(super) struct Ports {
    next: u16,
}

impl Ports {
    pub(super) fn new() -> Ports {
        Ports { next: FIRST_PORT }
    }

    /// The address with a port that is not `taken`, and for which `avoided` returns false if there is one.
    ///
    /// # Errors
    /// [`ErrorCode::AddressInUse`]: all are taken.
    pub(super) fn choose(
        &mut self,
        ip: IpAddr,
        taken: impl Fn(&SocketAddr) -> bool,
        avoided: impl Fn(SocketAddr) -> bool,
    ) -> Result<SocketAddr, ErrorCode> {
        let ports = (self.next..=u16::MAX).chain(FIRST_PORT..self.next);
        let addresses = ports.map(|port| SocketAddr::new(ip, port));
        let mut free = addresses.filter(|address| !taken(address));
        let mut first = None;
        let chosen = free.find(|address| {
            first.get_or_insert(*address);
            !avoided(*address)
        });
        let chosen = chosen.or(first).ok_or(ErrorCode::AddressInUse)?;
        self.next = chosen.port().checked_add(1).unwrap_or(FIRST_PORT);
        Ok(chosen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn each_free_port_is_chosen_once_and_avoided_ones_last() {
        let ip = IpAddr::from([127, 0, 0, 1]);
        let avoided = SocketAddr::new(ip, FIRST_PORT + 1);
        let mut ports = Ports::new();
        let mut taken = HashSet::new();
        let count = usize::from(u16::MAX - FIRST_PORT) + 1;
        for number in 1..=count {
            let chosen = ports.choose(ip, |it| taken.contains(it), |it| it == avoided);
            let chosen = chosen.unwrap();
            assert_eq!(chosen == avoided, number == count, "{chosen}");
            assert!(taken.insert(chosen), "{chosen}");
        }
        let none = ports.choose(ip, |it| taken.contains(it), |_| false);
        assert_eq!(none, Err(ErrorCode::AddressInUse));
        let freed = SocketAddr::new(ip, 50_000);
        taken.remove(&freed);
        let chosen = ports.choose(ip, |it| taken.contains(it), |_| true);
        assert_eq!(chosen, Ok(freed));
    }
}

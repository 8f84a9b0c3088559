//! How many connections each client's address has.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Counts the connections of each address.
#[derive(Clone, Debug)]
pub(super) struct Peers {
    /// None: they are not limited, and not counted.
    most: Option<u32>,
    open: Arc<Mutex<HashMap<IpAddr, u32>>>,
}

/// The place of one connection. Dropping it frees the place.
#[derive(Debug)]
pub(super) struct Place(Option<(Peers, IpAddr)>);

impl Peers {
    pub(super) fn new(most: Option<u32>) -> Peers {
        Peers {
            most,
            open: Arc::default(),
        }
    }

    fn open(&self) -> MutexGuard<'_, HashMap<IpAddr, u32>> {
        // The map is valid after every statement, so a panic in another thread leaves it usable.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for one more connection of `address`. None: it has as many as it may have.
    pub(super) fn place(&self, address: IpAddr) -> Option<Place> {
        let Some(most) = self.most else {
            return Some(Place(None));
        };
        let address = address.to_canonical();
        let mut open = self.open();
        let count = open.entry(address).or_default();
        if *count >= most {
            return None;
        }
        *count += 1;
        Some(Place(Some((self.clone(), address))))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some((peers, address)) = self.0.take() else {
            return;
        };
        let mut open = peers.open();
        if let Some(count) = open.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                open.remove(&address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_has_its_own_places_and_none_is_remembered_without_a_connection() {
        let one: IpAddr = "192.0.2.1".parse().unwrap();
        let mapped: IpAddr = "::ffff:192.0.2.1".parse().unwrap();
        let other: IpAddr = "192.0.2.2".parse().unwrap();
        let peers = Peers::new(Some(2));
        let first = peers.place(one);
        let second = peers.place(mapped);
        assert!(first.is_some() && second.is_some());
        assert!(peers.place(one).is_none());
        assert!(peers.place(other).is_some());
        drop(first);
        let third = peers.place(one);
        assert!(third.is_some() && peers.place(one).is_none());
        drop((second, third));
        assert!(peers.open().is_empty());
        let unlimited = Peers::new(None);
        let places: Vec<_> = (0..10).map(|_| unlimited.place(one)).collect();
        assert!(places.iter().all(Option::is_some));
        assert!(unlimited.open().is_empty());
    }
}

//! The traffic of a run with each target.

use sockbox_policy::audit::Traffic;
use sockbox_policy::{Name, Target};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The most targets of a run that have their own account: 10,000. All others share one.
///
/// The component controls how many there are, and each costs the host some hundred bytes.
pub(crate) const MAX_TARGETS: usize = 10_000;

/// The traffic with one target, over all connections.
#[derive(Default)]
pub(crate) struct Account {
    /// None: the account of all targets above [`MAX_TARGETS`].
    target: Option<Target>,
    name: Option<Name>,
    connections: AtomicU64,
    received: AtomicU64,
    sent: AtomicU64,
    open_nanoseconds: AtomicU64,
}

impl Account {
    pub(crate) fn total(&self) -> Traffic {
        let counted = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let mut total = Traffic::new(self.target.clone(), self.name.clone());
        total.connections = counted(&self.connections);
        total.received = counted(&self.received);
        total.sent = counted(&self.sent);
        total.open = Duration::from_nanos(counted(&self.open_nanoseconds));
        total
    }

    /// The target of the account, if it is one target.
    pub(crate) fn target(&self) -> Option<&Target> {
        self.target.as_ref()
    }

    /// A datagram was received.
    pub(crate) fn datagram_received(&self, bytes: u64) {
        self.connections.fetch_add(1, Ordering::Relaxed);
        self.add_received(bytes);
    }

    /// A datagram was sent.
    pub(crate) fn datagram_sent(&self, bytes: u64) {
        self.connections.fetch_add(1, Ordering::Relaxed);
        self.add_sent(bytes);
    }

    pub(crate) fn add_received(&self, bytes: u64) {
        self.received.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn add_sent(&self, bytes: u64) {
        self.sent.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// A connection that is open: counted when it opens, and its time when it is dropped.
pub(crate) struct Open {
    account: Arc<Account>,
    since: Instant,
}

impl Open {
    pub(crate) fn new(account: Arc<Account>) -> Open {
        account.connections.fetch_add(1, Ordering::Relaxed);
        Open {
            account,
            since: Instant::now(),
        }
    }

    pub(crate) fn account(&self) -> &Account {
        &self.account
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let time = u64::try_from(self.since.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let open = &self.account.open_nanoseconds;
        open.fetch_add(time, Ordering::Relaxed);
    }
}

/// Counts the traffic of one connection of a client for the audit record. It counts as open until it is dropped.
pub struct ConnectionTraffic(Open);

impl ConnectionTraffic {
    pub(crate) fn new(account: Arc<Account>) -> ConnectionTraffic {
        ConnectionTraffic(Open::new(account))
    }

    /// Add to the number of bytes received.
    pub fn received(&self, bytes: u64) {
        self.0.account.add_received(bytes);
    }

    /// Add to the number of bytes sent.
    pub fn sent(&self, bytes: u64) {
        self.0.account.add_sent(bytes);
    }
}

impl std::fmt::Debug for ConnectionTraffic {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ConnectionTraffic").finish_non_exhaustive()
    }
}

/// A run's accounts, in the order in which they were opened.
#[derive(Default)]
pub(crate) struct Accounts {
    all: Vec<Arc<Account>>,
    places: HashMap<Key, usize>,
    /// The account of all targets above [`MAX_TARGETS`].
    others: Option<Arc<Account>>,
}

/// What has an account of its own: a name has one for each port, whatever its address.
#[derive(PartialEq, Eq, Hash)]
enum Key {
    Named { name: Name, port: u16, udp: bool },
    Address(Target),
}

impl Key {
    fn new(target: &Target, name: Option<&Name>) -> Key {
        match (target, name) {
            (Target::Connect(address), Some(name)) => Key::Named {
                name: name.clone(),
                port: address.port(),
                udp: false,
            },
            (Target::ConnectName { name, port }, _) => Key::Named {
                name: name.clone(),
                port: *port,
                udp: false,
            },
            (Target::UdpSend(address), Some(name)) => Key::Named {
                name: name.clone(),
                port: address.port(),
                udp: true,
            },
            (target, _) => Key::Address(target.clone()),
        }
    }
}

impl Accounts {
    /// The account of a target, which is opened if there is none yet.
    pub(crate) fn of(&mut self, target: Target, name: Option<Name>) -> Arc<Account> {
        let key = Key::new(&target, name.as_ref());
        if let Some(place) = self.places.get(&key) {
            return self.all[*place].clone();
        }
        if self.all.len() >= MAX_TARGETS {
            return self.others.get_or_insert_default().clone();
        }
        let account = Arc::new(Account {
            target: Some(target),
            name,
            ..Account::default()
        });
        self.places.insert(key, self.all.len());
        self.all.push(account.clone());
        account
    }

    /// Close all accounts, and return their sums.
    pub(crate) fn close(&mut self) -> Vec<Traffic> {
        let Accounts { all, others, .. } = std::mem::take(self);
        let all = all.iter().chain(&others);
        all.map(|account| account.total()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::SocketAddr;

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_name_has_one_account_for_each_port_and_an_address_its_own() {
        let name: Name = "example.com".parse().unwrap();
        let mut accounts = Accounts::default();
        for (text, name) in [
            ("192.0.2.1:80", Some(&name)),
            ("192.0.2.2:80", Some(&name)),
            ("192.0.2.1:81", Some(&name)),
            ("192.0.2.1:80", None),
            ("192.0.2.1:80", None),
        ] {
            let target = Target::Connect(address(text));
            let open = Open::new(accounts.of(target, name.cloned()));
            open.account().add_received(10);
            open.account().add_sent(1);
        }
        let datagrams = accounts.of(Target::UdpSend(address("192.0.2.1:80")), Some(name.clone()));
        datagrams.datagram_sent(5);
        datagrams.datagram_received(6);
        let told: Vec<_> = accounts
            .close()
            .into_iter()
            .map(|total| {
                let target = total.target.unwrap().to_string();
                let name = total.name.is_some();
                (target, name, total.connections, total.received, total.sent)
            })
            .collect();
        let row = |target: &str, name, connections, received, sent| {
            (target.to_owned(), name, connections, received, sent)
        };
        assert_eq!(
            told,
            [
                row("connect to 192.0.2.1:80", true, 2, 20, 2),
                row("connect to 192.0.2.1:81", true, 1, 10, 1),
                row("connect to 192.0.2.1:80", false, 2, 20, 2),
                row("send a datagram to 192.0.2.1:80", true, 2, 6, 5),
            ]
        );
        assert!(accounts.close().is_empty(), "they are told once");
    }

    #[test]
    fn the_time_of_connections_is_added_up() {
        let mut accounts = Accounts::default();
        let target = Target::Connect(address("192.0.2.1:80"));
        let account = accounts.of(target.clone(), None);
        let open = [Open::new(account.clone()), Open::new(account)];
        let since = open[1].since;
        drop(open);
        let at_least = since.elapsed();
        let total = accounts.close().remove(0);
        assert!(total.open > Duration::ZERO);
        assert!(total.open <= 2 * at_least + Duration::from_secs(60));
        assert_eq!(total.target, Some(target));
    }

    #[test]
    fn what_is_too_much_to_be_told_one_by_one_is_added_up() {
        for (count, others) in [
            (MAX_TARGETS - 1, 0),
            (MAX_TARGETS, 0),
            (MAX_TARGETS + 1, 1),
            (MAX_TARGETS + 100, 100),
        ] {
            let mut accounts = Accounts::default();
            for port in 0..count {
                let target = SocketAddr::from(([192, 0, 2, (port >> 16) as u8], port as u16));
                let account = accounts.of(Target::UdpSend(target), None);
                account.datagram_sent(2);
            }
            // Those that have one keep it.
            let first = Target::UdpSend(address("192.0.2.0:0"));
            accounts.of(first, None).datagram_sent(2);
            let totals = accounts.close();
            assert_eq!(totals[0].connections, 2);
            let rest: Vec<_> = totals.iter().filter(|it| it.target.is_none()).collect();
            assert_eq!(rest.len(), usize::from(others > 0), "{count}");
            if let [rest] = rest[..] {
                assert_eq!((rest.connections, rest.sent), (others, 2 * others));
            }
        }
    }
}

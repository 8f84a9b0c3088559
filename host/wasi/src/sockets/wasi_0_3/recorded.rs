//! The traffic of connections, which may outlive the run's data.
//!
//! wasmtime drops a store's data, whose drop ends the audit record, before the streams that the component has left open.
//! So bytes are counted when they go through a stream, and the time of open connections when the data is dropped.

use crate::authority::{Account, Open};
use sockbox_policy::Target;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The open connections of a run whose traffic is recorded. Dropping it ends the recording of their time.
#[derive(Default)]
pub(in crate::sockets) struct Recorded(Shared);

type Shared = Arc<Mutex<Connections>>;

#[derive(Default)]
struct Connections {
    open: HashMap<u64, Open>,
    next: u64,
}

impl Recorded {
    /// Record the traffic of a new connection.
    pub(super) fn open(&self, account: Arc<Account>) -> Recording {
        let mut connections = locked(&self.0);
        let number = connections.next;
        connections.next += 1;
        connections.open.insert(number, Open::new(account.clone()));
        Recording {
            account,
            all: self.0.clone(),
            number,
        }
    }
}

impl Drop for Recorded {
    fn drop(&mut self) {
        locked(&self.0).open.clear();
    }
}

/// A connection whose traffic is recorded. Dropping it tells that the connection is closed.
pub(super) struct Recording {
    account: Arc<Account>,
    all: Shared,
    number: u64,
}

impl Recording {
    pub(super) fn target(&self) -> Option<&Target> {
        self.account.target()
    }

    pub(super) fn received(&self, bytes: usize) {
        self.account.add_received(bytes as u64);
    }

    pub(super) fn sent(&self, bytes: usize) {
        self.account.add_sent(bytes as u64);
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        locked(&self.all).open.remove(&self.number);
    }
}

fn locked(connections: &Mutex<Connections>) -> MutexGuard<'_, Connections> {
    // The content is valid after every statement, so a panic in another thread leaves it usable.
    connections.lock().unwrap_or_else(PoisonError::into_inner)
}

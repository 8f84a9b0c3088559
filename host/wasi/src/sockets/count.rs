//! How many sockets are open.
//!
//! A socket counts for as long as its descriptor is open. That ends with the component's handle, which
//! can't be dropped before the socket's streams; unless the streams were [lent](Count::lend), to TLS:
//! then they keep the descriptor open when the handle has been dropped.

use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::Notify;
use wasmtime::component::{Resource, ResourceTable};

/// The sockets of a run.
pub(crate) struct Count {
    open: Arc<Counter>,
    /// Those of TCP that have streams, by their number.
    with_streams: HashSet<u32>,
    /// Those of which a stream was lent.
    lent: HashMap<u32, Arc<Open>>,
}

/// How many sockets are open.
#[derive(Default)]
struct Counter {
    open: AtomicUsize,
    /// Tells when a socket is closed.
    closed: Notify,
}

/// A socket that is open. It counts until the last holder drops this.
pub(crate) struct Open(Arc<Counter>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
        self.0.closed.notify_waiters();
    }
}

/// The count of a run's sockets, from outside its store.
#[derive(Clone)]
pub(crate) struct Shared(Arc<Counter>);

impl Shared {
    /// Count one more socket, unless there are as many as `limit` already.
    pub(crate) fn open_one(&self, limit: usize) -> Option<Open> {
        let more = |open: usize| (open < limit).then_some(open + 1);
        let counted = self
            .0
            .open
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        counted.is_ok().then(|| Open(self.0.clone()))
    }
}

impl Count {
    pub(crate) fn new() -> Count {
        Count {
            open: Arc::default(),
            with_streams: HashSet::new(),
            lent: HashMap::new(),
        }
    }

    /// A count of the same sockets, for those that the host opens for the component.
    pub(crate) fn shared(&self) -> Shared {
        Shared(self.open.clone())
    }

    pub(super) fn open(&self) -> usize {
        self.open.open.load(Ordering::Relaxed)
    }

    /// Wait until a socket is closed, from now on.
    pub(super) fn freed(&self) -> impl Future<Output = ()> + Send + use<> {
        let counter = self.open.clone();
        async move { counter.closed.notified().await }
    }

    /// A socket was opened.
    pub(super) fn opened(&self) {
        self.open.open.fetch_add(1, Ordering::Relaxed);
    }

    /// The socket with this number has got its streams.
    pub(super) fn has_streams(&mut self, socket: u32) {
        self.with_streams.insert(socket);
    }

    /// A socket without lent streams was closed.
    pub(super) fn closed(&self) {
        drop(Open(self.open.clone()));
    }

    /// The handle of the socket with this number was dropped.
    pub(super) fn dropped(&mut self, socket: u32) {
        self.with_streams.remove(&socket);
        match self.lent.remove(&socket) {
            Some(open) => drop(open),
            None => self.closed(),
        }
    }

    /// `stream` is about to leave the table, to become part of another resource. Keep the returned value
    /// as long as the stream. None: the stream does not belong to a socket.
    pub(crate) fn lend<T: 'static>(
        &mut self,
        table: &ResourceTable,
        stream: &Resource<T>,
    ) -> Option<Arc<Open>> {
        let socket = parent(table, self.with_streams.iter().copied(), stream)?;
        let open = self.lent.entry(socket);
        let open = open.or_insert_with(|| Arc::new(Open(self.open.clone())));
        Some(open.clone())
    }
}

/// The parent of `child` among these. The table has no index for that, so this takes time in proportion
/// to their number, which is small compared with the TLS handshake that follows.
pub(crate) fn parent<T: 'static>(
    table: &ResourceTable,
    mut parents: impl Iterator<Item = u32>,
    child: &Resource<T>,
) -> Option<u32> {
    let child: *const T = table.get(child).ok()?;
    parents.find(|parent| {
        // Only the number is used, so the type does not matter.
        let children = table.iter_children(&Resource::<()>::new_borrow(*parent));
        children.is_ok_and(|mut all| all.any(|it| ptr::addr_eq(it, child)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_whose_stream_was_lent_counts_until_both_have_gone() {
        let mut table = ResourceTable::new();
        let mut count = Count::new();
        let socket = table.push(1_u8).unwrap();
        let stream = table.push_child(2_u8, &socket).unwrap();
        let other = table.push(3_u8).unwrap();
        count.opened();
        count.has_streams(socket.rep());
        assert!(count.lend(&table, &other).is_none());
        let held = count.lend(&table, &stream).unwrap();
        let again = count.lend(&table, &stream).unwrap();
        count.dropped(socket.rep());
        assert_eq!(count.open(), 1);
        drop(held);
        assert_eq!(count.open(), 1);
        drop(again);
        assert_eq!(count.open(), 0);
    }

    #[test]
    fn a_socket_whose_stream_was_lent_and_has_gone_counts_until_its_handle_has() {
        let mut table = ResourceTable::new();
        let mut count = Count::new();
        let sockets = [0; 2].map(|_| table.push(1_u8).unwrap());
        let streams = [0, 1].map(|it| table.push_child(2_u8, &sockets[it]).unwrap());
        for socket in &sockets {
            count.opened();
            count.has_streams(socket.rep());
        }
        drop(count.lend(&table, &streams[1]));
        assert_eq!(count.open(), 2);
        count.dropped(sockets[1].rep());
        assert_eq!(count.open(), 1);
        count.dropped(sockets[0].rep());
        assert_eq!(count.open(), 0);
    }
}

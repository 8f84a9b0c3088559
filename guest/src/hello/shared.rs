//! The state that a server's tasks share: the options, the counts, the open connections, and the
//! events.

use super::event::{Closed, Event, RefuseReason};
use super::framing::Rules;
use super::options::Options;
use crate::net::Instant;
use crate::rt::EndOfTick;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::future::{Future, poll_fn};
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

/// How many bytes may be held for one client without being counted: 2 KiB. So a client with a short
/// message and answers on their way is still served when other clients have used up the limit on
/// held bytes.
const UNCOUNTED: usize = 2 * 1024;

/// How long accepting must have succeeded before another failure is a new outage. It is longer than
/// any pause between two attempts.
const OUTAGE_OVER: Duration = Duration::from_secs(5);

pub(super) struct Shared {
    pub(super) rules: Rc<Rules>,
    pub(super) welcome: Vec<u8>,
    pub(super) write_timeout: Option<Duration>,
    pub(super) idle_timeout: Option<Duration>,
    max_connections: u64,
    refuse_when_full: bool,
    max_per_peer: Option<u32>,
    max_held: usize,
    pub(super) messages: Cell<u64>,
    pub(super) bytes_received: Cell<u64>,
    pub(super) bytes_sent: Cell<u64>,
    pub(super) refused: Cell<u64>,
    pub(super) accepted: Cell<u64>,
    pub(super) open: Cell<u64>,
    /// How many connections are open from each address; kept only if that is limited. It is not a
    /// hash table, because the keys of one would require random numbers from the runtime.
    peers: RefCell<BTreeMap<IpAddr, u32>>,
    held: Cell<usize>,
    stopping: Cell<bool>,
    /// The tasks that wait for a connection to end because the server is full.
    full: RefCell<Vec<Waker>>,
    last_failure: Cell<Option<Instant>>,
    pub(super) events: RefCell<VecDeque<Event>>,
    /// Defers short writes: see `converse` in [`super::connection`].
    pub(super) end_of_tick: EndOfTick,
}

impl Shared {
    pub(super) fn new(options: &Options, end_of_tick: EndOfTick) -> Self {
        Self {
            end_of_tick,
            rules: Rc::new(Rules::new(
                options.framing,
                &options.greeting,
                options.max_message_size,
            )),
            welcome: Rules::welcome(options.framing, options.welcome.as_deref()),
            write_timeout: options.write_timeout,
            idle_timeout: options.idle_timeout,
            max_connections: options.max_connections.map_or(u64::MAX, u64::from),
            refuse_when_full: options.refuse_when_full,
            max_per_peer: options.max_per_peer,
            max_held: options.max_held,
            messages: Cell::new(0),
            bytes_received: Cell::new(0),
            bytes_sent: Cell::new(0),
            refused: Cell::new(0),
            accepted: Cell::new(0),
            open: Cell::new(0),
            peers: RefCell::default(),
            held: Cell::new(0),
            stopping: Cell::new(false),
            full: RefCell::default(),
            last_failure: Cell::new(None),
            events: RefCell::default(),
        }
    }

    /// Whether connections should end once they have answered what they received.
    pub(super) fn stopping(&self) -> bool {
        self.stopping.get()
    }

    /// Starts to stop. The caller has to wake every task after this.
    pub(super) fn stop(&self) {
        self.stopping.set(true);
    }

    /// Runs `future` until the server stops; `None` if that comes first.
    ///
    /// Stopping wakes every task, so no waker has to be registered for it.
    pub(super) async fn unless_stopping<F: Future>(&self, future: F) -> Option<F::Output> {
        let mut future = pin!(future);
        poll_fn(|cx| {
            if self.stopping() {
                return Poll::Ready(None);
            }
            future.as_mut().poll(cx).map(Some)
        })
        .await
    }

    /// As [`unless_stopping`](Self::unless_stopping). In addition `future` is not polled while the
    /// server is full and would not refuse the next connection.
    pub(super) async fn with_room<F: Future>(&self, future: F) -> Option<F::Output> {
        let mut future = pin!(future);
        self.unless_stopping(poll_fn(|cx| {
            if self.is_full() && !self.refuse_when_full {
                let mut waiting = self.full.borrow_mut();
                if !waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
                    waiting.push(cx.waker().clone());
                }
                return Poll::Pending;
            }
            future.as_mut().poll(cx)
        }))
        .await
    }

    fn is_full(&self) -> bool {
        self.open.get() >= self.max_connections
    }

    /// Why a client from this address is refused, if it is.
    pub(super) fn refusal(&self, remote: SocketAddr) -> Option<RefuseReason> {
        if self.is_full() {
            return Some(RefuseReason::Full);
        }
        let max = self.max_per_peer?;
        let open = self.peers.borrow().get(&peer(remote)).copied();
        (open.unwrap_or(0) >= max).then_some(RefuseReason::PeerLimit)
    }

    /// Counts a new connection and returns its number.
    pub(super) fn open(&self, remote: SocketAddr) -> u64 {
        if self.max_per_peer.is_some() {
            *self.peers.borrow_mut().entry(peer(remote)).or_default() += 1;
        }
        self.open.set(self.open.get() + 1);
        self.accepted.set(self.accepted.get() + 1);
        self.accepted.get()
    }

    pub(super) fn close(&self, closed: Closed) {
        self.open.set(self.open.get().saturating_sub(1));
        let mut peers = self.peers.borrow_mut();
        let peer = peer(closed.remote);
        if let Some(open) = peers.get_mut(&peer) {
            *open -= 1;
            if *open == 0 {
                peers.remove(&peer);
            }
        }
        drop(peers);
        self.record(Event::Closed(closed));
        for waker in self.full.take() {
            waker.wake();
        }
    }

    /// Whether an accept that failed at `now` is the first failure of an outage.
    pub(super) fn is_new_outage(&self, now: Instant) -> bool {
        let last = self.last_failure.replace(Some(now));
        last.is_none_or(|last| now.since(last) > OUTAGE_OVER)
    }

    pub(super) fn record(&self, event: Event) {
        self.events.borrow_mut().push_back(event);
    }
}

/// The address of a client, without its port and in canonical form: IPv4 addresses may come as
/// IPv4-mapped IPv6 ones.
fn peer(remote: SocketAddr) -> IpAddr {
    remote.ip().to_canonical()
}

/// The bytes held for one client, as a part of those held for all clients.
pub(super) struct Held {
    shared: Rc<Shared>,
    counted: usize,
}

/// The limit on held bytes is reached.
#[derive(Debug)]
pub(super) struct TooMuchHeld;

impl Held {
    pub(super) fn nothing(shared: Rc<Shared>) -> Self {
        Self { shared, counted: 0 }
    }

    /// Sets how many bytes are held now. If that would exceed the limit, nothing changes.
    pub(super) fn set(&mut self, bytes: usize) -> Result<(), TooMuchHeld> {
        let counted = bytes.saturating_sub(UNCOUNTED);
        if counted == self.counted {
            return Ok(());
        }
        let others = self.shared.held.get() - self.counted;
        if counted > self.counted && others + counted > self.shared.max_held {
            return Err(TooMuchHeld);
        }
        self.shared.held.set(others + counted);
        self.counted = counted;
        Ok(())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let held = self.shared.held.get() - self.counted;
        self.shared.held.set(held);
    }
}

//! A connection inside a run: two pipes in memory, one for each direction, and the two ends of it.
//!
//! An end acts as a TCP socket does. It can shut down either direction; when it is closed, its peer reads what is
//! left and then the end; and when it is closed with bytes that it has not read, its peer is told of a reset.

use crate::budget::Budget;
use std::collections::VecDeque;
use std::net::Shutdown;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// The most bytes that one direction holds: 256 KiB. It is about what Linux lets a connection over loopback hold,
/// so that a program that writes some ten thousand bytes before it reads them can go on.
pub(super) const MOST_BYTES: usize = 256 * 1024;

/// How many bytes one direction holds without drawing more of the run's memory: 4 KiB.
pub(super) const FIRST_BYTES: usize = 4 * 1024;

/// The most tasks that are remembered as waiting for one event. One that is too much is woken at once, and waits
/// anew.
const MOST_WAKERS: usize = 8;

/// One end of a connection. It is closed when it is dropped.
pub(super) struct Endpoint {
    receiving: Arc<Pipe>,
    sending: Arc<Pipe>,
}

/// Why a pipe can't be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Broken {
    /// It has ended, or nothing reads it any more.
    Closed,
    /// The peer was closed without reading all. It is told once.
    Reset,
    /// More was written than there was room for.
    NotPermitted,
}

/// A connection's two ends. None: the run has too little memory left.
pub(super) fn connection(memory: &Arc<Budget>) -> Option<(Endpoint, Endpoint)> {
    let (one, other) = (Pipe::new(memory)?, Pipe::new(memory)?);
    let (one, other) = (Arc::new(one), Arc::new(other));
    let first = Endpoint {
        receiving: one.clone(),
        sending: other.clone(),
    };
    let second = Endpoint {
        receiving: other,
        sending: one,
    };
    Some((first, second))
}

impl Endpoint {
    /// What has arrived, up to `most` bytes; nothing if there is none yet.
    pub(super) fn read(&self, most: usize) -> Result<Vec<u8>, Broken> {
        self.receiving.read(most)
    }

    pub(super) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.receiving.poll_readable(cx)
    }

    /// How many bytes may be written now.
    pub(super) fn room(&self) -> Result<usize, Broken> {
        self.sending.room()
    }

    pub(super) fn write(&self, bytes: &[u8]) -> Result<(), Broken> {
        self.sending.write(bytes)
    }

    pub(super) fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.sending.poll_writable(cx)
    }

    pub(super) fn shutdown(&self, how: Shutdown) {
        if how != Shutdown::Write {
            self.receiving.discard();
        }
        if how != Shutdown::Read {
            self.sending.end();
        }
    }

    /// Close it as one that nobody has accepted: the peer is told of a reset.
    pub(super) fn reset(self) {
        self.sending.reset();
        self.receiving.reset();
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        if self.receiving.leave() {
            self.sending.reset();
            self.receiving.reset();
        }
        self.sending.end();
    }
}

/// One direction of a connection.
struct Pipe {
    memory: Arc<Budget>,
    state: Mutex<State>,
}

struct State {
    bytes: VecDeque<u8>,
    /// How many bytes it may hold, all of which are charged to the run's memory.
    holds: usize,
    /// Nothing more is written.
    ended: bool,
    reader: Reader,
    reset: Option<Reset>,
    readers: Vec<Waker>,
    writers: Vec<Waker>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reader {
    Reads,
    /// It has shut its direction down: what is written is thrown away.
    Discards,
    /// It is closed.
    Gone,
}

/// Which sides have been told of a reset.
#[derive(Clone, Copy, Default)]
struct Reset {
    reader_knows: bool,
    writer_knows: bool,
}

impl Pipe {
    fn new(memory: &Arc<Budget>) -> Option<Pipe> {
        memory.take(FIRST_BYTES as u64).then(|| Pipe {
            memory: memory.clone(),
            state: Mutex::new(State {
                bytes: VecDeque::new(),
                holds: FIRST_BYTES,
                ended: false,
                reader: Reader::Reads,
                reset: None,
                readers: Vec::new(),
                writers: Vec::new(),
            }),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // What it holds is valid at every moment, so a panic elsewhere spoils nothing.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Change something, and wake those who wait for it when that is done.
    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state();
        let changed = change(&mut state);
        let mut wakers = Vec::new();
        if state.is_readable() {
            wakers.append(&mut state.readers);
        }
        if state.is_writable() {
            wakers.append(&mut state.writers);
        }
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
        changed
    }

    fn read(&self, most: usize) -> Result<Vec<u8>, Broken> {
        self.change(|state| {
            if state.reader != Reader::Reads {
                return Err(Broken::Closed);
            }
            if !state.bytes.is_empty() || most == 0 {
                let count = most.min(state.bytes.len());
                return Ok(state.bytes.drain(..count).collect());
            }
            match &mut state.reset {
                Some(reset) if !reset.reader_knows => {
                    reset.reader_knows = true;
                    Err(Broken::Reset)
                }
                Some(_) => Err(Broken::Closed),
                None if state.ended => Err(Broken::Closed),
                None => Ok(Vec::new()),
            }
        })
    }

    /// How many bytes may be written; it takes more of the run's memory where that is left.
    fn room(&self) -> Result<usize, Broken> {
        self.change(|state| {
            state.writable()?;
            if state.reader == Reader::Reads && state.bytes.len() > state.holds / 2 {
                self.grow(state);
            }
            Ok(state.room())
        })
    }

    fn grow(&self, state: &mut State) {
        let more = state.holds.min(MOST_BYTES - state.holds);
        if more > 0 && self.memory.take(more as u64) {
            state.holds += more;
        }
    }

    fn write(&self, bytes: &[u8]) -> Result<(), Broken> {
        self.change(|state| {
            state.writable()?;
            if bytes.len() > state.room() {
                return Err(Broken::NotPermitted);
            }
            if state.reader == Reader::Reads {
                let (held, needed) = (state.bytes.len(), state.bytes.len() + bytes.len());
                if needed > state.bytes.capacity() {
                    // No more than it is charged for.
                    let room = needed.next_power_of_two().min(state.holds);
                    state.bytes.reserve_exact(room - held);
                }
                state.bytes.extend(bytes);
            }
            Ok(())
        })
    }

    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.state();
        if state.is_readable() {
            return Poll::Ready(());
        }
        let too_many = remember(&mut state.readers, cx.waker());
        drop(state);
        too_many.into_iter().for_each(Waker::wake);
        Poll::Pending
    }

    fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.state();
        if state.is_writable() {
            return Poll::Ready(());
        }
        let too_many = remember(&mut state.writers, cx.waker());
        drop(state);
        too_many.into_iter().for_each(Waker::wake);
        Poll::Pending
    }

    /// Nothing more is written.
    fn end(&self) {
        self.change(|state| state.ended = true);
    }

    /// Throw away what is there and what comes.
    fn discard(&self) {
        self.change(|state| {
            state.bytes = VecDeque::new();
            if state.reader == Reader::Reads {
                state.reader = Reader::Discards;
            }
        });
    }

    /// The reader is closed. Tells whether it has left anything unread.
    fn leave(&self) -> bool {
        self.change(|state| {
            let unread = !state.bytes.is_empty();
            state.reader = Reader::Gone;
            state.bytes = VecDeque::new();
            unread
        })
    }

    fn reset(&self) {
        self.change(|state| {
            state.reset.get_or_insert_default();
        });
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        let holds = self.state().holds;
        self.memory.give_back(holds as u64);
    }
}

impl State {
    fn is_readable(&self) -> bool {
        !self.bytes.is_empty() || self.ended || self.reset.is_some() || self.reader != Reader::Reads
    }

    fn is_writable(&self) -> bool {
        self.ended || self.reset.is_some() || self.reader != Reader::Reads || self.room() > 0
    }

    fn room(&self) -> usize {
        match self.reader {
            Reader::Reads => self.holds - self.bytes.len(),
            Reader::Discards | Reader::Gone => MOST_BYTES,
        }
    }

    /// Whether anything may be written at all.
    fn writable(&mut self) -> Result<(), Broken> {
        match &mut self.reset {
            Some(reset) if !reset.writer_knows && !self.ended => {
                reset.writer_knows = true;
                Err(Broken::Reset)
            }
            Some(_) => Err(Broken::Closed),
            None if self.ended || self.reader == Reader::Gone => Err(Broken::Closed),
            None => Ok(()),
        }
    }
}

/// Remember whom to wake. Gives back one that is too many.
pub(super) fn remember(wakers: &mut Vec<Waker>, waker: &Waker) -> Option<Waker> {
    if wakers.iter().any(|other| other.will_wake(waker)) {
        return None;
    }
    let too_many = (wakers.len() == MOST_WAKERS).then(|| wakers.remove(0));
    wakers.push(waker.clone());
    too_many
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    fn pair() -> (Endpoint, Endpoint) {
        connection(&Budget::new(64 << 20)).unwrap()
    }

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn what_one_end_writes_the_other_reads_and_then_the_end() {
        let (one, other) = pair();
        assert_eq!(other.read(10), Ok(vec![]));
        one.write(b"hello").unwrap();
        assert_eq!(other.read(0), Ok(vec![]));
        assert_eq!(other.read(4), Ok(b"hell".to_vec()));
        one.shutdown(Shutdown::Write);
        assert_eq!(one.write(b"more"), Err(Broken::Closed));
        assert_eq!(one.room(), Err(Broken::Closed));
        assert_eq!(other.read(10), Ok(b"o".to_vec()));
        assert_eq!(other.read(10), Err(Broken::Closed));
        // The other direction goes on.
        other.write(b"answer").unwrap();
        assert_eq!(one.read(10), Ok(b"answer".to_vec()));
    }

    #[test]
    fn an_end_that_has_read_all_closes_in_order() {
        let (one, other) = pair();
        one.write(b"a").unwrap();
        other.write(b"left").unwrap();
        assert_eq!(other.read(1), Ok(b"a".to_vec()));
        drop(other);
        assert_eq!(one.read(10), Ok(b"left".to_vec()));
        assert_eq!(one.read(10), Err(Broken::Closed));
        assert_eq!(one.write(b"more"), Err(Broken::Closed));
    }

    #[test]
    fn an_end_that_has_not_read_all_resets_the_connection() {
        let (one, other) = pair();
        one.write(b"unread").unwrap();
        other.write(b"left").unwrap();
        drop(other);
        // What has arrived is read first; each direction tells of the reset once.
        assert_eq!(one.read(10), Ok(b"left".to_vec()));
        assert_eq!(one.read(10), Err(Broken::Reset));
        assert_eq!(one.read(10), Err(Broken::Closed));
        assert_eq!(one.write(b"more"), Err(Broken::Reset));
        assert_eq!(one.write(b"more"), Err(Broken::Closed));

        let (one, other) = pair();
        other.reset();
        assert_eq!(one.read(10), Err(Broken::Reset));
        assert_eq!(one.room(), Err(Broken::Reset));
    }

    #[test]
    fn what_a_shut_down_reader_is_sent_is_thrown_away() {
        let (one, other) = pair();
        one.write(b"before").unwrap();
        other.shutdown(Shutdown::Read);
        assert_eq!(other.read(10), Err(Broken::Closed));
        for _ in 0..10 {
            one.write(&[0; MOST_BYTES]).unwrap();
        }
        drop(other);
        assert_eq!(one.read(10), Err(Broken::Closed), "and that is no reset");
        assert_eq!(one.write(b"more"), Err(Broken::Closed));
    }

    #[test]
    fn it_holds_so_many_bytes_and_no_more_in_as_much_memory() {
        let memory = Budget::new(64 << 20);
        let (one, other) = connection(&memory).unwrap();
        let mut written = 0;
        while let room @ 1.. = one.room().unwrap() {
            one.write(&vec![7; room]).unwrap();
            written += room;
            let held = one.sending.state().bytes.capacity();
            assert!(held <= one.sending.state().holds, "{held}");
        }
        assert_eq!(written, MOST_BYTES);
        assert_eq!(one.write(&[1]), Err(Broken::NotPermitted));
        assert_eq!(other.read(usize::MAX).unwrap(), vec![7; MOST_BYTES]);
        drop((one, other));
        assert!(memory.take(64 << 20), "all of it was given back");
    }

    #[test]
    fn with_little_memory_left_it_holds_less_and_with_none_there_is_no_connection() {
        let least = 2 * FIRST_BYTES as u64;
        assert!(connection(&Budget::new(least - 1)).is_none());
        let memory = Budget::new(least - 1);
        assert!(connection(&memory).is_none());
        assert!(memory.take(least - 1), "what was taken is given back");
        let (one, other) = connection(&Budget::new(least)).unwrap();
        one.write(&[1; FIRST_BYTES]).unwrap();
        assert_eq!(one.room(), Ok(0));
        other.read(1).unwrap();
        assert_eq!(one.room(), Ok(1));
    }

    #[test]
    fn whoever_waits_is_woken_by_each_event_once() {
        let (one, other) = pair();
        let woken = Arc::new(Count::default());
        let waker = Waker::from(woken.clone());
        let mut cx = Context::from_waker(&waker);
        let count = || woken.0.load(Ordering::Relaxed);

        for _ in 0..3 {
            assert!(other.poll_readable(&mut cx).is_pending());
        }
        one.write(b"a").unwrap();
        assert_eq!(count(), 1, "one task that asks again is one");
        one.write(b"b").unwrap();
        assert_eq!(count(), 1);
        assert!(other.poll_readable(&mut cx).is_ready());
        other.read(2).unwrap();

        assert!(other.poll_readable(&mut cx).is_pending());
        one.shutdown(Shutdown::Write);
        assert_eq!(count(), 2);

        while let room @ 1.. = other.room().unwrap() {
            other.write(&vec![0; room]).unwrap();
        }
        assert!(other.poll_writable(&mut cx).is_pending());
        one.read(1).unwrap();
        assert_eq!(count(), 3);
        assert!(other.poll_writable(&mut cx).is_ready());
        while let room @ 1.. = other.room().unwrap() {
            other.write(&vec![0; room]).unwrap();
        }
        assert!(other.poll_writable(&mut cx).is_pending());
        drop(one);
        assert_eq!(count(), 4);
    }

    #[test]
    fn more_tasks_than_are_remembered_are_woken_and_ask_again() {
        let (one, other) = pair();
        let counts: Vec<_> = (0..=MOST_WAKERS)
            .map(|_| Arc::new(Count::default()))
            .collect();
        for count in &counts {
            let waker = Waker::from(count.clone());
            assert!(
                other
                    .poll_readable(&mut Context::from_waker(&waker))
                    .is_pending()
            );
        }
        one.write(b"a").unwrap();
        for count in &counts {
            assert_eq!(count.0.load(Ordering::Relaxed), 1);
        }
    }
}

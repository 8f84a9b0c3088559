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

    /// Close it as one that was not accepted: the peer is told of a reset.
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

    /// Change something, and wake the tasks that wait for it when that is done.
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

/// Remember a task that is to be woken. Gives back one that is too many.
pub(super) fn remember(wakers: &mut Vec<Waker>, waker: &Waker) -> Option<Waker> {
    if wakers.iter().any(|other| other.will_wake(waker)) {
        return None;
    }
    let too_many = (wakers.len() == MOST_WAKERS).then(|| wakers.remove(0));
    wakers.push(waker.clone());
    too_many
}

#[cfg(test)]
mod tests;

//! A connection inside a run. It has two ends, and two pipes in memory, one for each direction.
//!
//! An end behaves like a TCP socket:
//!
//! - It can shut down each direction.
//! - After it is closed, its peer reads the remaining bytes and then the end of the stream.
//! - If it is closed before it has read all bytes, its peer gets a reset.

use crate::budget::Budget;
use std::collections::VecDeque;
use std::net::Shutdown;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// The most bytes that one direction holds: 256 KiB. Linux buffers about as much for a connection over loopback. Some
/// programs write tens of kilobytes to themselves before they read them, and would block with a small buffer.
pub(super) const MOST_BYTES: usize = 256 * 1024;

/// How many bytes one direction can hold at first: 4 KiB. These are charged to the run's memory when the connection is
/// made.
pub(super) const FIRST_BYTES: usize = 4 * 1024;

/// One end of a connection. Dropping it closes it.
pub(in crate::sockets) struct Endpoint {
    receiving: Arc<Pipe>,
    sending: Arc<Pipe>,
}

/// Why a pipe can't be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sockets) enum Broken {
    /// The writer has ended the pipe, or the reader is closed.
    Closed,
    /// The peer was closed before it had read all bytes. The reader and the writer of a pipe each get this error once,
    /// and then `Closed`.
    Reset,
    /// The caller wrote more bytes than the pipe had room for.
    NotPermitted,
}

/// Make a connection, and return its two ends. None if the run has too little memory left.
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
    /// Read the bytes that have arrived, at most `most`. Empty if none have arrived.
    pub(in crate::sockets) fn read(&self, most: usize) -> Result<Vec<u8>, Broken> {
        self.receiving.read(most)
    }

    /// Wait until something can be read.
    pub(in crate::sockets) async fn readable(&self) {
        self.receiving.readable().await;
    }

    /// How many bytes can be written now.
    pub(in crate::sockets) fn room(&self) -> Result<usize, Broken> {
        self.sending.room()
    }

    pub(in crate::sockets) fn write(&self, bytes: &[u8]) -> Result<(), Broken> {
        self.sending.write(bytes)
    }

    /// Wait until something can be written.
    pub(in crate::sockets) async fn writable(&self) {
        self.sending.writable().await;
    }

    pub(in crate::sockets) fn shutdown(&self, how: Shutdown) {
        if how != Shutdown::Write {
            self.receiving.discard();
        }
        if how != Shutdown::Read {
            self.sending.end();
        }
    }

    /// Reset a connection that the listener does not accept. The peer gets a reset.
    pub(in crate::sockets) fn reset(self) {
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
    /// Wakes the tasks that wait to read.
    readers: Notify,
    /// Wakes the tasks that wait to write.
    writers: Notify,
}

struct State {
    bytes: VecDeque<u8>,
    /// How many bytes the pipe can hold. All of them are charged to the run's memory.
    holds: usize,
    /// Whether the writer has ended the pipe.
    ended: bool,
    reader: Reader,
    reset: Option<Reset>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reader {
    Reads,
    /// The reader has shut this direction down. The pipe discards bytes that are written to it.
    Discards,
    /// The reader is closed.
    Gone,
}

/// Which sides have got the error for a reset.
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
            }),
            readers: Notify::new(),
            writers: Notify::new(),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // The content is valid after every statement, so a panic in another thread leaves it usable.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Change the state, and then wake the tasks whose event has happened.
    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state();
        let changed = change(&mut state);
        let (is_readable, is_writable) = (state.is_readable(), state.is_writable());
        drop(state);
        if is_readable {
            self.readers.notify_waiters();
        }
        if is_writable {
            self.writers.notify_waiters();
        }
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

    /// How many bytes can be written now. If the pipe is more than half full, it first tries to double what it can hold.
    fn room(&self) -> Result<usize, Broken> {
        self.change(|state| {
            state.writable()?;
            if state.reader == Reader::Reads && state.bytes.len() > state.holds / 2 {
                self.grow(state);
            }
            Ok(state.room())
        })
    }

    /// Double how many bytes the pipe can hold, up to [`MOST_BYTES`], if the run has enough memory left.
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
                    // Never allocate more than `holds`, which is what the run's memory is charged for.
                    let room = needed.next_power_of_two().min(state.holds);
                    state.bytes.reserve_exact(room - held);
                }
                state.bytes.extend(bytes);
            }
            Ok(())
        })
    }

    async fn readable(&self) {
        until(&self.readers, || self.state().is_readable()).await;
    }

    async fn writable(&self) {
        until(&self.writers, || self.state().is_writable()).await;
    }

    /// End the pipe: the reader reads the remaining bytes and then the end.
    fn end(&self) {
        self.change(|state| state.ended = true);
    }

    /// Discard the bytes that are in the pipe, and all that are written later.
    fn discard(&self) {
        self.change(|state| {
            state.bytes = VecDeque::new();
            if state.reader == Reader::Reads {
                state.reader = Reader::Discards;
            }
        });
    }

    /// Close the reader. Returns whether the pipe had unread bytes.
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

    /// Check that the pipe takes bytes.
    ///
    /// # Errors
    /// [`Broken::Reset`] the first time after a reset, and [`Broken::Closed`].
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

/// Wait until `is_true`. What makes it true calls [`Notify::notify_waiters`] of `event` afterwards. Any number of tasks
/// can wait. A task is forgotten when its future is dropped.
pub(super) async fn until(event: &Notify, is_true: impl Fn() -> bool) {
    loop {
        let mut notified = pin!(event.notified());
        // The task waits before it looks. In the other order an event between the two would be lost.
        notified.as_mut().enable();
        if is_true() {
            return;
        }
        notified.await;
    }
}

#[cfg(test)]
mod tests;

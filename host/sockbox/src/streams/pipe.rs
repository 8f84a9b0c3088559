//! A bounded queue of bytes with one end in a component and the other one in the host.

use bytes::{Bytes, BytesMut};
use std::io::{self, ErrorKind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// What both ends share.
pub(super) struct Pipe {
    state: Mutex<State>,
    capacity: usize,
}

#[derive(Default)]
struct State {
    bytes: BytesMut,
    /// Whether nothing more will be written.
    ended: bool,
    /// Whether nothing more will be read.
    abandoned: bool,
    readers: Vec<Waker>,
    writers: Vec<Waker>,
}

impl State {
    fn wait(wakers: &mut Vec<Waker>, cx: &Context<'_>) {
        if !wakers.iter().any(|waker| waker.will_wake(cx.waker())) {
            wakers.push(cx.waker().clone());
        }
    }
}

impl Pipe {
    /// A pipe that holds up to `capacity` bytes, and at least one.
    pub(super) fn new(capacity: usize) -> Arc<Pipe> {
        Arc::new(Pipe {
            state: Mutex::default(),
            capacity: capacity.max(1),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // The state is valid after every statement, so a panic in another thread leaves it usable.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Change the state, and wake the tasks that the change concerns.
    fn change<R>(
        &self,
        woken: fn(&mut State) -> &mut Vec<Waker>,
        change: impl FnOnce(&mut State) -> R,
    ) -> R {
        let mut state = self.state();
        let result = change(&mut state);
        let wakers = std::mem::take(woken(&mut state));
        drop(state);
        for waker in wakers {
            waker.wake();
        }
        result
    }

    /// How many bytes may be written now.
    ///
    /// # Errors
    /// [`ErrorKind::BrokenPipe`]: nothing more will be read.
    pub(super) fn room(&self) -> io::Result<usize> {
        let state = self.state();
        match state.abandoned {
            true => Err(ErrorKind::BrokenPipe.into()),
            false => Ok(self.capacity - state.bytes.len()),
        }
    }

    /// Wait until at least one byte may be written, or nothing more will be read.
    pub(super) fn poll_room(&self, cx: &Context<'_>) -> Poll<io::Result<usize>> {
        let mut state = self.state();
        let room = self.capacity - state.bytes.len();
        if state.abandoned {
            return Poll::Ready(Err(ErrorKind::BrokenPipe.into()));
        }
        if room == 0 {
            State::wait(&mut state.writers, cx);
            return Poll::Pending;
        }
        Poll::Ready(Ok(room))
    }

    /// Write as many of `bytes` as there is room for, and tell how many these are.
    pub(super) fn write(&self, bytes: &[u8]) -> usize {
        self.change(
            |state| &mut state.readers,
            |state| {
                let count = bytes.len().min(self.capacity - state.bytes.len());
                state.bytes.extend_from_slice(&bytes[..count]);
                count
            },
        )
    }

    /// Take up to `most` bytes. None: there are none now. No bytes: there will be no more.
    pub(super) fn read(&self, most: usize) -> Option<Bytes> {
        self.change(
            |state| &mut state.writers,
            |state| {
                let count = most.min(state.bytes.len());
                let is_over = state.ended && state.bytes.is_empty();
                (count > 0 || is_over).then(|| state.bytes.split_to(count).freeze())
            },
        )
    }

    /// Wait until there are bytes, or there will be no more.
    pub(super) fn poll_readable(&self, cx: &Context<'_>) -> Poll<()> {
        let mut state = self.state();
        if state.ended || !state.bytes.is_empty() {
            return Poll::Ready(());
        }
        State::wait(&mut state.readers, cx);
        Poll::Pending
    }

    /// Nothing more will be written.
    pub(super) fn end(&self) {
        self.change(|state| &mut state.readers, |state| state.ended = true);
    }

    /// Nothing more will be read.
    pub(super) fn abandon(&self) {
        self.change(
            |state| &mut state.writers,
            |state| {
                state.abandoned = true;
                state.bytes = BytesMut::new();
            },
        );
    }
}

/// Ends the pipe when its last clone is dropped.
#[derive(Clone)]
pub(super) struct Writing(Arc<End>);

struct End(Arc<Pipe>);

impl Drop for End {
    fn drop(&mut self) {
        self.0.end();
    }
}

impl Writing {
    pub(super) fn new(pipe: Arc<Pipe>) -> Writing {
        Writing(Arc::new(End(pipe)))
    }

    pub(super) fn pipe(&self) -> &Pipe {
        &self.0.0
    }
}

/// Abandons the pipe when its last clone is dropped.
#[derive(Clone)]
pub(super) struct Reading(Arc<Abandon>);

struct Abandon(Arc<Pipe>);

impl Drop for Abandon {
    fn drop(&mut self) {
        self.0.abandon();
    }
}

impl Reading {
    pub(super) fn new(pipe: Arc<Pipe>) -> Reading {
        Reading(Arc::new(Abandon(pipe)))
    }

    pub(super) fn pipe(&self) -> &Pipe {
        &self.0.0
    }
}

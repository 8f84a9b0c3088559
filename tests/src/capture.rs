//! What a child process writes, collected while it runs.

use crate::deadline::Deadline;
use std::io::Read;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

/// Everything that came out of a pipe so far, read by a thread so that the writer never waits.
#[derive(Clone)]
pub(crate) struct Capture(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    bytes: Vec<u8>,
    ended: bool,
}

impl Capture {
    /// Read `pipe` until its end.
    pub(crate) fn of(mut pipe: impl Read + Send + 'static) -> Self {
        let capture = Self(Arc::new(Shared {
            state: Mutex::default(),
            changed: Condvar::new(),
        }));
        let writer = capture.clone();
        std::thread::spawn(move || {
            let mut buffer = vec![0; 64 * 1024];
            loop {
                let read = match pipe.read(&mut buffer) {
                    Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                    read => read.unwrap_or(0),
                };
                let mut state = writer.state();
                state.bytes.extend_from_slice(&buffer[..read]);
                state.ended = read == 0;
                writer.0.changed.notify_all();
                if state.ended {
                    return;
                }
            }
        });
        capture
    }

    /// All that has been written so far.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.state().bytes.clone()
    }

    /// Wait until `find` finds what it looks for in what has been written so far. None when the pipe
    /// has ended, or the deadline passed, without it.
    pub(crate) fn wait_for<T>(
        &self,
        deadline: Deadline,
        find: impl Fn(&[u8]) -> Option<T>,
    ) -> Option<T> {
        let mut state = self.state();
        loop {
            if let Some(found) = find(&state.bytes) {
                return Some(found);
            }
            if state.ended || deadline.passed() {
                return None;
            }
            let waited = self.0.changed.wait_timeout(state, deadline.left());
            state = waited.unwrap_or_else(|poisoned| poisoned.into_inner()).0;
        }
    }

    /// Wait until the pipe has ended, or the deadline has passed.
    pub(crate) fn wait_for_end(&self, deadline: Deadline) {
        self.wait_for(deadline, |_| None::<()>);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // The reading thread doesn't panic while it holds the lock; were it to, the bytes are still good.
        self.0
            .state
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

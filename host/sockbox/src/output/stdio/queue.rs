//! The queue of output, and the thread that writes it.

use super::*;

impl State {
    pub(super) fn new() -> State {
        State {
            queue: VecDeque::new(),
            waiting_bytes: 0,
            waiting_lines: 0,
            queued: 0,
            written: 0,
            untold: 0,
            lost: 0,
            lost_line: Box::new(|lines| {
                format!("{lines} lines are lost here: they were written faster than they were read")
            }),
            failed: None,
            idle: false,
            writing: false,
            pauses: 0,
            settled: 0,
            closing: false,
            wakers: Vec::new(),
        }
    }

    /// How many bytes a component may write now.
    pub(super) fn permit(&self) -> usize {
        let room = MAX_WAITING_BYTES.saturating_sub(self.waiting_bytes);
        if room < MIN_PERMIT { 0 } else { room }
    }

    pub(super) fn push(&mut self, bytes: Bytes, is_line: bool) {
        match is_line {
            true => self.waiting_lines += bytes.len(),
            false => self.waiting_bytes += bytes.len(),
        }
        self.queued += bytes.len() as u64;
        self.queue.push_back(Piece { bytes, is_line });
    }

    pub(super) fn is_settled(&self) -> bool {
        self.failed.is_some() || (self.written >= self.queued && self.untold == 0)
    }

    pub(super) fn wait(&mut self, cx: &Context<'_>) {
        if !self.wakers.iter().any(|waker| waker.will_wake(cx.waker())) {
            self.wakers.push(cx.waker().clone());
        }
    }
}

impl Shared {
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it holds the lock, other than by running out of memory.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queue bytes, and wake the thread if it has nothing to do.
    pub(super) fn push(&self, state: &mut State, bytes: Bytes, is_line: bool) {
        state.push(bytes, is_line);
        if std::mem::take(&mut state.idle) {
            self.work.notify_one();
        }
    }

    /// Queue a line, with its end, or lose it.
    pub(super) fn push_line(&self, line: Bytes) {
        if let Some(file) = &self.direct {
            let file = file.lock().unwrap_or_else(PoisonError::into_inner);
            // A failure can't be reported anywhere.
            let _ = (&*file).write_all(&line);
            return;
        }
        let mut state = self.state();
        if state.failed.is_some() {
            return;
        }
        if state.untold > 0 || state.waiting_lines.saturating_add(line.len()) > MAX_WAITING_LINES {
            state.untold += 1;
            state.lost += 1;
        } else {
            self.push(&mut state, line, true);
        }
    }

    /// Change the state, and wake waiting threads and tasks.
    pub(super) fn update(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state();
        change(&mut state);
        let wakers = std::mem::take(&mut state.wakers);
        drop(state);
        self.progress.notify_all();
        for waker in wakers {
            waker.wake();
        }
    }

    /// The thread: write until there are no more clones, or writing fails.
    pub(super) fn work(&self, writer: &mut impl Write) {
        let mut end = EndOfWork {
            shared: self,
            error: io::Error::other("the writer panicked"),
        };
        let mut batch = Vec::new();
        end.error = loop {
            batch.clear();
            let Some((bytes, lines)) = self.next(&mut batch) else {
                break ErrorKind::BrokenPipe.into();
            };
            if let Err(error) = self.write(writer, &batch) {
                break error;
            }
            self.update(|state| {
                state.waiting_bytes = state.waiting_bytes.saturating_sub(bytes);
                state.waiting_lines = state.waiting_lines.saturating_sub(lines);
                state.writing = false;
            });
        };
    }

    /// Wait for something to write, and take it: how many bytes of it are components', and how many lines'.
    pub(super) fn next(&self, batch: &mut Vec<u8>) -> Option<(usize, usize)> {
        let mut state = self.state();
        loop {
            if state.pauses > 0 && !state.closing {
                state = self.wait_for_work(state);
                continue;
            }
            let (mut bytes, mut lines) = (0, 0);
            while let Some(piece) = state.queue.front()
                && (batch.is_empty() || batch.len() + piece.bytes.len() <= MAX_BATCH)
            {
                batch.extend_from_slice(&piece.bytes);
                match piece.is_line {
                    true => lines += piece.bytes.len(),
                    false => bytes += piece.bytes.len(),
                }
                state.queue.pop_front();
            }
            if !batch.is_empty() {
                state.writing = true;
                return Some((bytes, lines));
            }
            if state.untold > 0 {
                let lost = std::mem::take(&mut state.untold);
                let line = (state.lost_line)(lost);
                let line = Bytes::from(format!("{line}\n"));
                state.push(line, true);
                continue;
            }
            if state.closing {
                return None;
            }
            state = self.wait_for_work(state);
        }
    }

    pub(super) fn wait_for_work<'a>(
        &self,
        mut state: MutexGuard<'a, State>,
    ) -> MutexGuard<'a, State> {
        state.idle = true;
        self.work
            .wait(state)
            .unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn write(&self, writer: &mut impl Write, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match writer.write(bytes) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => {
                    bytes = bytes.get(count..).unwrap_or_default();
                    self.update(|state| state.written += count as u64);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(RETRY),
                Err(error) => return Err(error),
            }
        }
        writer.flush()
    }

    /// Whether the thread could write, where that can be asked.
    pub(super) fn could_write(&self) -> bool {
        self.probe.as_deref().is_some_and(is_writable)
    }
}

/// Marks the end of the thread, also after a panic of the writer.
struct EndOfWork<'a> {
    shared: &'a Shared,
    error: io::Error,
}

impl Drop for EndOfWork<'_> {
    fn drop(&mut self) {
        let failure = Failure::of(&self.error);
        self.shared.update(|state| {
            state.failed = Some(failure);
            state.writing = false;
            state.queue.clear();
        });
    }
}

#[cfg(unix)]
fn is_writable(file: &File) -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let mut files = [PollFd::new(file, PollFlags::OUT)];
    let at_once = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // A failed descriptor counts as writable: the write returns the error.
    poll(&mut files, Some(&at_once)).is_ok_and(|ready| ready > 0)
}

#[cfg(not(unix))]
fn is_writable(_: &File) -> bool {
    false
}

impl Shared {
    pub(super) fn poll_written(&self, cx: &Context<'_>, target: u64) -> Poll<io::Result<()>> {
        let mut state = self.state();
        if let Some(failure) = state.failed {
            return Poll::Ready(Err(failure.error()));
        }
        if state.written >= target {
            return Poll::Ready(Ok(()));
        }
        state.wait(cx);
        Poll::Pending
    }
}

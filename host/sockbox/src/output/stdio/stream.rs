//! The streams that a component writes to.

use super::*;

impl IsTerminal for StdioWriter {
    fn is_terminal(&self) -> bool {
        self.shared().is_terminal
    }
}

impl StdoutStream for StdioWriter {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.stream())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.stream())
    }
}

impl StdioWriter {
    fn stream(&self) -> Stream {
        Stream {
            writer: self.clone(),
            flush_to: 0,
            line: Vec::new(),
        }
    }
}

/// One of a component's streams to a writer.
struct Stream {
    writer: StdioWriter,
    /// How much has to be written before the last flush is done.
    flush_to: u64,
    /// Of a stream that never waits: the beginning of a line.
    line: Vec<u8>,
}

impl Stream {
    fn shared(&self) -> &Shared {
        &self.writer.handle.0
    }

    /// Write, as far as that goes without waiting: None if the component has to wait.
    fn write_now(&mut self, bytes: &[u8]) -> Option<io::Result<usize>> {
        if self.writer.never_waits() {
            self.split(bytes);
            return Some(Ok(bytes.len()));
        }
        let shared = self.shared();
        if let Some(file) = &shared.direct {
            let file = file.lock().unwrap_or_else(PoisonError::into_inner);
            return Some((&*file).write_all(bytes).map(|()| bytes.len()));
        }
        let mut state = shared.state();
        if let Some(failure) = state.failed {
            return Some(Err(failure.error()));
        }
        let count = bytes.len().min(state.permit());
        if count == 0 && !bytes.is_empty() {
            return None;
        }
        if count > 0 {
            shared.push(&mut state, Bytes::copy_from_slice(&bytes[..count]), false);
        }
        Some(Ok(count))
    }

    /// Pass lines on, and keep the beginning of one until its end comes.
    fn split(&mut self, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (content, ends) = match piece.strip_suffix(b"\n") {
                Some(content) => (content, true),
                None => (piece, false),
            };
            for part in content.chunks(MAX_LINE) {
                if self.line.len() + part.len() > MAX_LINE {
                    self.end_line();
                }
                self.line.extend_from_slice(part);
            }
            if ends {
                self.pass_line();
            }
        }
    }

    fn end_line(&mut self) {
        if !self.line.is_empty() {
            self.pass_line();
        }
    }

    fn pass_line(&mut self) {
        let mut line = std::mem::take(&mut self.line);
        if let Mode::Formed(form) = &self.writer.mode {
            line = form(&String::from_utf8_lossy(&line)).into_bytes();
        }
        line.push(b'\n');
        self.shared().push_line(line.into());
    }

    fn has_own_state(&self) -> bool {
        self.writer.never_waits() || self.shared().direct.is_some()
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.end_line();
    }
}

/// An error as the component sees it. As wasmtime-wasi has it: one that is asked for with
/// `filesystem-error-code` is found in it, and a closed pipe is the end of the stream.
fn stream_error(error: io::Error) -> StreamError {
    match error.kind() {
        ErrorKind::BrokenPipe => StreamError::Closed,
        _ => StreamError::LastOperationFailed(error.into()),
    }
}

#[async_trait]
impl Pollable for Stream {
    async fn ready(&mut self) {
        if self.has_own_state() {
            return;
        }
        let flush_to = self.flush_to;
        poll_fn(|cx| {
            let mut state = self.shared().state();
            if state.failed.is_some() || (state.written >= flush_to && state.permit() > 0) {
                return Poll::Ready(());
            }
            state.wait(cx);
            Poll::Pending
        })
        .await;
    }
}

#[async_trait]
impl OutputStream for Stream {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        match self.write_now(&bytes) {
            Some(Ok(count)) if count == bytes.len() => Ok(()),
            Some(Err(error)) => Err(stream_error(error)),
            _ => Err(StreamError::trap("more was written than was permitted")),
        }
    }

    fn flush(&mut self) -> StreamResult<()> {
        self.check_write()?;
        let queued = self.shared().state().queued;
        self.flush_to = queued;
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        if self.has_own_state() {
            return Ok(MAX_WAITING_BYTES);
        }
        let state = self.shared().state();
        match state.failed {
            Some(failure) => Err(stream_error(failure.error())),
            None if state.written < self.flush_to => Ok(0),
            None => Ok(state.permit()),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        loop {
            if let Some(done) = self.write_now(bytes) {
                return Poll::Ready(done);
            }
            let mut state = self.shared().state();
            // There may be room again since the last check.
            if state.failed.is_none() && state.permit() == 0 {
                state.wait(cx);
                return Poll::Pending;
            }
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.has_own_state() {
            return Poll::Ready(Ok(()));
        }
        if self.flush_to == 0 {
            let queued = self.shared().state().queued;
            self.flush_to = queued;
        }
        let done = self.shared().poll_written(cx, self.flush_to);
        if done.is_ready() {
            self.flush_to = 0;
        }
        done
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(cx)
    }
}

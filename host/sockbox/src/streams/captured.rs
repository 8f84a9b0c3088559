//! Output that is kept for the host, up to a bound.

use bytes::Bytes;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use tokio::io::AsyncWrite;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

/// The permit for one write: 64 KiB.
const PERMIT: usize = 64 * 1024;

/// What a component has written to an output that is captured ([`Output::captured`](crate::Output::captured)).
///
/// Cloning it is cheap, and gives the same capture.
#[derive(Clone)]
pub struct Captured(Arc<Shared>);

struct Shared {
    limit: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    bytes: Vec<u8>,
    cut: u64,
}

impl Captured {
    pub(super) fn new(limit: usize) -> Captured {
        Captured(Arc::new(Shared {
            limit,
            state: Mutex::default(),
        }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // The state is valid after every statement, so a panic in another thread leaves it usable.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, bytes: &[u8]) {
        let mut state = self.state();
        let room = self.0.limit - state.bytes.len();
        let (kept, cut) = bytes.split_at(room.min(bytes.len()));
        state.bytes.extend_from_slice(kept);
        state.cut += cut.len() as u64;
    }

    /// The first bytes that were written so far, up to the limit.
    pub fn bytes(&self) -> Vec<u8> {
        self.state().bytes.clone()
    }

    /// How many bytes were written beyond the limit, and are not kept.
    pub fn cut(&self) -> u64 {
        self.state().cut
    }

    /// What was written so far, as text. What is not UTF-8 is replaced by U+FFFD. If something was cut, the last line says
    /// how much: `[... 1200 more bytes were cut]`.
    ///
    /// A component chose this text. Filter control characters before a terminal shows it.
    pub fn text(&self) -> String {
        let state = self.state();
        let mut text = String::from_utf8_lossy(&state.bytes).into_owned();
        if state.cut > 0 {
            if !text.is_empty() && !text.ends_with('\n') {
                text.push('\n');
            }
            text.push_str(&format!("[... {} more bytes were cut]", state.cut));
        }
        text
    }

    /// Take what was written so far, and begin anew.
    pub fn take(&self) -> Vec<u8> {
        std::mem::take(&mut *self.state()).bytes
    }
}

impl fmt::Debug for Captured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        f.debug_struct("Captured")
            .field("bytes", &state.bytes.len())
            .field("cut", &state.cut)
            .finish()
    }
}

impl IsTerminal for Captured {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Captured {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

#[async_trait]
impl Pollable for Captured {
    async fn ready(&mut self) {}
}

impl OutputStream for Captured {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.push(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(PERMIT)
    }
}

impl AsyncWrite for Captured {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.push(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_beyond_the_limit_is_counted() {
        for (limit, kept, cut, text) in [
            (6, "abc\nde", 0, "abc\nde"),
            (5, "abc\nd", 1, "abc\nd\n[... 1 more bytes were cut]"),
            (4, "abc\n", 2, "abc\n[... 2 more bytes were cut]"),
            (0, "", 6, "[... 6 more bytes were cut]"),
        ] {
            let captured = Captured::new(limit);
            captured.push(b"abc\n");
            captured.push(b"de");
            assert_eq!(captured.bytes(), kept.as_bytes(), "{limit}");
            assert_eq!(captured.cut(), cut, "{limit}");
            assert_eq!(captured.text(), text, "{limit}");
            assert_eq!(captured.take(), kept.as_bytes());
            assert_eq!((captured.bytes(), captured.cut()), (Vec::new(), 0));
        }
    }
}

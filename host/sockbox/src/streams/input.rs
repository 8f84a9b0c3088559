//! What a component reads as its standard input.

use super::pipe::{Pipe, Reading, Writing};
use bytes::Bytes;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use wasmtime_wasi::cli::{IsTerminal, StdinStream};
use wasmtime_wasi::p2::pipe::MemoryInputPipe;
use wasmtime_wasi::p2::{InputStream, Pollable, StreamError, StreamResult};
use wasmtime_wasi::{WasiCtxBuilder, async_trait};

/// What a component reads as its standard input. The default is [`Input::none`].
///
/// # Examples
/// ```
/// use sockbox::{Input, Sandbox};
///
/// # fn main() -> sockbox::Result<()> {
/// # let text = r#"(component
/// #   (core module $m (func (export "run") (result i32) i32.const 0))
/// #   (core instance $i (instantiate $m))
/// #   (func $run (result (result)) (canon lift (core func $i "run")))
/// #   (instance $export (export "run" (func $run)))
/// #   (export "wasi:cli/run@0.2.0" (instance $export)))"#;
/// let program = Sandbox::new()?.program(text)?;
/// let command = program.command().stdin(Input::bytes("a line\n"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct Input(Kind);

#[derive(Clone, Default)]
enum Kind {
    #[default]
    Empty,
    Inherited,
    Closed,
    Bytes(Bytes),
    Piped(Reading),
}

impl fmt::Debug for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Empty => "Empty",
            Kind::Inherited => "Inherited",
            Kind::Closed => "Closed",
            Kind::Bytes(_) => "Bytes",
            Kind::Piped(_) => "Piped",
        })
    }
}

impl Input {
    /// It is empty.
    pub fn none() -> Input {
        Input(Kind::Empty)
    }

    /// It is this process's standard input.
    pub fn inherited() -> Input {
        Input(Kind::Inherited)
    }

    /// Reading it fails (`EBADF`), as for a process that was started without one.
    pub fn closed() -> Input {
        Input(Kind::Closed)
    }

    /// It is these bytes. Each instance reads them from the first one on.
    pub fn bytes(bytes: impl Into<Bytes>) -> Input {
        Input(Kind::Bytes(bytes.into()))
    }

    /// It is what the program writes to the second value, of which up to `capacity` bytes wait to be read. Shutting that
    /// down, or dropping it, ends the input.
    ///
    /// Instances that are given the same input share it: each byte goes to one of them.
    pub fn piped(capacity: usize) -> (Input, InputPipe) {
        let pipe = Pipe::new(capacity);
        let writing = Writing::new(pipe.clone());
        (
            Input(Kind::Piped(Reading::new(pipe))),
            InputPipe(Some(writing)),
        )
    }

    pub(super) fn give(&self, wasi: &mut WasiCtxBuilder) {
        match &self.0 {
            Kind::Empty => {}
            Kind::Inherited => {
                wasi.inherit_stdin();
            }
            Kind::Closed => {
                wasi.stdin(Closed);
            }
            Kind::Bytes(bytes) => {
                wasi.stdin(MemoryInputPipe::new(bytes.clone()));
            }
            Kind::Piped(reading) => {
                wasi.stdin(Source(reading.clone()));
            }
        }
    }
}

/// The host's end of [`Input::piped`]: what is written to it, the component reads.
///
/// Writing fails with [`BrokenPipe`](io::ErrorKind::BrokenPipe) once no instance has the input any more.
pub struct InputPipe(Option<Writing>);

impl AsyncWrite for InputPipe {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let Some(writing) = &self.0 else {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        };
        if !bytes.is_empty() {
            ready!(writing.pipe().poll_room(cx))?;
        }
        Poll::Ready(Ok(writing.pipe().write(bytes)))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0 = None;
        Poll::Ready(Ok(()))
    }
}

impl fmt::Debug for InputPipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InputPipe").finish_non_exhaustive()
    }
}

/// The component's end of a pipe. All of its streams read from the same one.
struct Source(Reading);

impl IsTerminal for Source {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdinStream for Source {
    fn async_stream(&self) -> Box<dyn AsyncRead + Send + Sync> {
        Box::new(Source(self.0.clone()))
    }

    fn p2_stream(&self) -> Box<dyn InputStream> {
        Box::new(Source(self.0.clone()))
    }
}

impl InputStream for Source {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        match self.0.pipe().read(size) {
            Some(bytes) if bytes.is_empty() && size > 0 => Err(StreamError::Closed),
            Some(bytes) => Ok(bytes),
            None => Ok(Bytes::new()),
        }
    }
}

#[async_trait]
impl Pollable for Source {
    async fn ready(&mut self) {
        poll_fn(|cx| self.0.pipe().poll_readable(cx)).await;
    }
}

impl AsyncRead for Source {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            if let Some(bytes) = self.0.pipe().read(buf.remaining()) {
                buf.put_slice(&bytes);
                return Poll::Ready(Ok(()));
            }
            ready!(self.0.pipe().poll_readable(cx));
        }
    }
}

/// A standard input that is closed.
struct Closed;

impl IsTerminal for Closed {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdinStream for Closed {
    fn async_stream(&self) -> Box<dyn AsyncRead + Send + Sync> {
        Box::new(Closed)
    }
}

impl AsyncRead for Closed {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        _: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Poll::Ready(Err(bad_descriptor()))
    }
}

#[cfg(unix)]
fn bad_descriptor() -> io::Error {
    rustix::io::Errno::BADF.into()
}

#[cfg(not(unix))]
fn bad_descriptor() -> io::Error {
    io::ErrorKind::Other.into()
}

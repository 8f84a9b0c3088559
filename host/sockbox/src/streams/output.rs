//! Where the output of a component goes.

use super::captured::Captured;
use super::pipe::{Pipe, Reading, Writing};
use crate::error::{Error, Result};
use crate::output::StdioWriter;
use bytes::Bytes;
use std::fmt;
use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use wasmtime_wasi::async_trait;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError, StreamResult};

/// Where the standard output or the standard error of a component goes. The default is [`Output::none`].
///
/// A [`StdioWriter`] is one as well.
///
/// # Examples
/// ```
/// use sockbox::{Output, Sandbox};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> sockbox::Result<()> {
/// # let text = r#"(component
/// #   (core module $m (func (export "run") (result i32) i32.const 0))
/// #   (core instance $i (instantiate $m))
/// #   (func $run (result (result)) (canon lift (core func $i "run")))
/// #   (instance $export (export "run" (func $run)))
/// #   (export "wasi:cli/run@0.2.0" (instance $export)))"#;
/// let program = Sandbox::new()?.program(text)?;
/// let (output, captured) = Output::captured(64 * 1024);
/// program.command().stdout(output).run().await?;
/// assert_eq!(captured.text(), "");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct Output(Kind);

#[derive(Clone, Default)]
enum Kind {
    #[default]
    Nowhere,
    /// Where this process's own goes. The writer is made when the first component needs it.
    Inherited(Arc<Mutex<Option<StdioWriter>>>),
    Writer(StdioWriter),
    Captured(Captured),
    Piped(Sink),
}

impl fmt::Debug for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Nowhere => "Nowhere",
            Kind::Inherited(_) => "Inherited",
            Kind::Writer(_) => "Writer",
            Kind::Captured(_) => "Captured",
            Kind::Piped(_) => "Piped",
        })
    }
}

impl Output {
    /// It is discarded.
    pub fn none() -> Output {
        Output(Kind::Nowhere)
    }

    /// It goes where that of this process goes, as with [`StdioWriter::stdout`] and [`StdioWriter::stderr`].
    pub fn inherited() -> Output {
        Output(Kind::Inherited(Arc::default()))
    }

    /// The first `limit` bytes are kept for the program, which reads them from the second value. Further bytes are counted
    /// and discarded; the component does not notice.
    ///
    /// Instances that are given the same output write to the same capture.
    pub fn captured(limit: usize) -> (Output, Captured) {
        let captured = Captured::new(limit);
        (Output(Kind::Captured(captured.clone())), captured)
    }

    /// The program reads it from the second value. Up to `capacity` bytes wait to be read; with more the component waits.
    /// The pipe ends when no instance and no builder has the output any more.
    ///
    /// If the second value is dropped, the component gets the error of a closed pipe.
    pub fn piped(capacity: usize) -> (Output, OutputPipe) {
        let pipe = Pipe::new(capacity);
        let sink = Sink(Writing::new(pipe.clone()));
        (Output(Kind::Piped(sink)), OutputPipe(Reading::new(pipe)))
    }

    /// The stream of one component. None: it writes to nowhere. `inherited` makes the writer for this process's own
    /// stream.
    ///
    /// # Errors
    /// [`Error::Internal`]: the system can't start a thread, or has no descriptor.
    pub(super) fn open(
        &self,
        inherited: fn() -> io::Result<StdioWriter>,
    ) -> Result<Option<Opened>> {
        let writer = match &self.0 {
            Kind::Nowhere => return Ok(None),
            Kind::Captured(captured) => return Ok(Some(Opened::of(captured.clone()))),
            Kind::Piped(sink) => return Ok(Some(Opened::of(sink.clone()))),
            Kind::Writer(writer) => writer.clone(),
            Kind::Inherited(writer) => {
                let mut writer = writer.lock().unwrap_or_else(PoisonError::into_inner);
                match &*writer {
                    Some(writer) => writer.clone(),
                    None => {
                        let made = inherited().map_err(|error| {
                            Error::internal(format_args!(
                                "cannot pass the standard streams to the component: {error}"
                            ))
                        })?;
                        writer.insert(made).clone()
                    }
                }
            }
        };
        Ok(Some(Opened {
            writer: Some(writer.clone()),
            ..Opened::of(writer)
        }))
    }
}

impl From<StdioWriter> for Output {
    fn from(writer: StdioWriter) -> Output {
        Output(Kind::Writer(writer))
    }
}

/// The stream of one component.
pub(super) struct Opened {
    pub(super) stream: Box<dyn StdoutStream + Sync>,
    /// What writes it, if that is a writer that may lag behind.
    pub(super) writer: Option<StdioWriter>,
}

impl Opened {
    fn of(stream: impl StdoutStream + Sync + 'static) -> Opened {
        Opened {
            stream: Box::new(stream),
            writer: None,
        }
    }
}

/// The host's end of [`Output::piped`]: what the component writes, it reads.
pub struct OutputPipe(Reading);

impl AsyncRead for OutputPipe {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            if buf.remaining() == 0 {
                return Poll::Ready(Ok(()));
            }
            if let Some(bytes) = self.0.pipe().read(buf.remaining()) {
                buf.put_slice(&bytes);
                return Poll::Ready(Ok(()));
            }
            ready!(self.0.pipe().poll_readable(cx));
        }
    }
}

impl fmt::Debug for OutputPipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OutputPipe").finish_non_exhaustive()
    }
}

/// The component's end of a pipe. All of its streams write to the same one.
#[derive(Clone)]
pub(super) struct Sink(Writing);

impl IsTerminal for Sink {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Sink {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

fn stream_error(error: io::Error) -> StreamError {
    match error.kind() {
        ErrorKind::BrokenPipe => StreamError::Closed,
        _ => StreamError::LastOperationFailed(error.into()),
    }
}

#[async_trait]
impl Pollable for Sink {
    async fn ready(&mut self) {
        // A failure is told by the next call.
        let _ = poll_fn(|cx| self.0.pipe().poll_room(cx)).await;
    }
}

impl OutputStream for Sink {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.0.pipe().room().map_err(stream_error)?;
        match self.0.pipe().write(&bytes) == bytes.len() {
            true => Ok(()),
            false => Err(StreamError::trap("more was written than was permitted")),
        }
    }

    fn flush(&mut self) -> StreamResult<()> {
        self.check_write().map(drop)
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        self.0.pipe().room().map_err(stream_error)
    }
}

impl AsyncWrite for Sink {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if !bytes.is_empty() {
            ready!(self.0.pipe().poll_room(cx))?;
        }
        Poll::Ready(Ok(self.0.pipe().write(bytes)))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

//! Streams that are given by a caller.

use super::reactor::{Reactor, Registration, Urgency};
use crate::bindings::wasi::io::streams::{InputStream, OutputStream, StreamError};
use crate::net::{Sink, SinkClosed, Source, SourceFailed};
use std::cell::OnceCell;
use std::rc::Rc;

/// An output stream that a body is written to.
pub struct OutputSink<'a> {
    reactor: Rc<Reactor>,
    writable: OnceCell<Registration>,
    output: &'a OutputStream,
}

impl<'a> OutputSink<'a> {
    pub fn new(reactor: Rc<Reactor>, output: &'a OutputStream) -> Self {
        Self {
            reactor,
            writable: OnceCell::new(),
            output,
        }
    }

    pub(super) fn output(&self) -> &OutputStream {
        self.output
    }

    /// Waits until some bytes may be written, and returns how many.
    pub(super) async fn permit(&self) -> Result<u64, SinkClosed> {
        loop {
            match self.output.check_write() {
                Ok(0) => {
                    self.writable
                        .get_or_init(|| {
                            self.reactor
                                .register(self.output.subscribe(), Urgency::Scheduled)
                        })
                        .ready()
                        .await;
                }
                Ok(permit) => return Ok(permit),
                Err(_) => return Err(SinkClosed),
            }
        }
    }

    /// Waits until the runtime has passed on all that was written.
    pub async fn flush(&mut self) -> Result<(), SinkClosed> {
        self.output.flush().map_err(|_| SinkClosed)?;
        self.permit().await.map(drop)
    }
}

impl Sink for OutputSink<'_> {
    async fn ready(&mut self) -> Result<(), SinkClosed> {
        self.permit().await.map(drop)
    }

    async fn write_all(&mut self, mut bytes: &[u8]) -> Result<(), SinkClosed> {
        while !bytes.is_empty() {
            let permit = self.permit().await?;
            let length = usize::try_from(permit).map_or(bytes.len(), |max| max.min(bytes.len()));
            let (now, later) = bytes.split_at(length);
            self.output.write(now).map_err(|_| SinkClosed)?;
            bytes = later;
        }
        Ok(())
    }
}

/// An input stream that a request's body is read from.
pub struct InputSource {
    // Fields are dropped in this order, and the host requires children to be dropped before their parents.
    readable: Registration,
    input: InputStream,
}

impl InputSource {
    pub fn new(reactor: &Rc<Reactor>, input: InputStream) -> Self {
        Self {
            readable: reactor.register(input.subscribe(), Urgency::Scheduled),
            input,
        }
    }
}

impl Source for InputSource {
    async fn read(&mut self, max: usize) -> Result<Option<Vec<u8>>, SourceFailed> {
        loop {
            match self.input.read(max as u64) {
                Ok(bytes) if bytes.is_empty() => self.readable.ready().await,
                Ok(bytes) => return Ok(Some(bytes)),
                Err(StreamError::Closed) => return Ok(None),
                Err(StreamError::LastOperationFailed(_)) => return Err(SourceFailed),
            }
        }
    }
}

//! The streams of a connection inside a run.

use super::pipe::{Broken, Endpoint};
use crate::failed::ToComponent;
use bytes::Bytes;
use std::sync::Arc;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::p2::{InputStream, OutputStream, Pollable, StreamError, StreamResult};

/// The most bytes that one call reads or writes: 64 KiB, as in wasmtime-wasi.
const MOST: usize = 64 * 1024;

/// The input stream of an end of a connection.
pub(super) struct Input(pub(super) Arc<Endpoint>);

/// The output stream of an end of a connection.
pub(super) struct Output(pub(super) Arc<Endpoint>);

#[async_trait]
impl Pollable for Input {
    async fn ready(&mut self) {
        self.0.readable().await;
    }
}

impl InputStream for Input {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        self.0.read(size.min(MOST)).map(Bytes::from).map_err(error)
    }
}

#[async_trait]
impl Pollable for Output {
    async fn ready(&mut self) {
        self.0.writable().await;
    }
}

impl OutputStream for Output {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.0.write(&bytes).map_err(error)
    }

    fn flush(&mut self) -> StreamResult<()> {
        // A write puts its bytes into the peer's pipe at once.
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        self.0.room().map(|room| room.min(MOST)).map_err(error)
    }
}

fn error(broken: Broken) -> StreamError {
    match broken {
        Broken::Closed => StreamError::Closed,
        // The same text as for a reset of a connection on the machine.
        Broken::Reset => StreamError::LastOperationFailed(ToComponent::error("ConnectionReset")),
        Broken::NotPermitted => StreamError::trap("a write that was not permitted"),
    }
}

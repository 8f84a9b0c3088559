//! Standard input.

use crate::bindings::wasi::cli::stdin::read_via_stream;
use crate::net::{Source, SourceFailed};
use wit_bindgen::{StreamReader, StreamResult};

/// Standard input. That it fails is the end of it.
pub struct Stdin {
    bytes: StreamReader<u8>,
}

impl Stdin {
    pub(super) fn new() -> Self {
        // The future tells why it has ended, which nobody asks.
        let (bytes, _) = read_via_stream();
        Self { bytes }
    }
}

impl Source for Stdin {
    async fn read(&mut self, max: usize) -> Result<Option<Vec<u8>>, SourceFailed> {
        loop {
            let (result, bytes) = self.bytes.read(Vec::with_capacity(max)).await;
            if !bytes.is_empty() {
                return Ok(Some(bytes));
            }
            if result == StreamResult::Dropped {
                return Ok(None);
            }
        }
    }
}

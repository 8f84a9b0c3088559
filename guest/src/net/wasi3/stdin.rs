//! Standard input.

use crate::bindings::wasi::cli::stdin::read_via_stream;
use crate::net::{Source, SourceFailed};
use wit_bindgen::{StreamReader, StreamResult};

/// Standard input. An error counts as its end.
pub struct Stdin {
    bytes: StreamReader<u8>,
}

impl Stdin {
    pub(super) fn new() -> Self {
        // The future would give the reason of the end, which is not needed.
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

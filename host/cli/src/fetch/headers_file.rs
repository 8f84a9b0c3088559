//! The file that `-D` names.

use crate::exit::Failure;
use crate::output::{Making, Output};
use std::path::Path;

/// A file that gets the heads of all responses; `-` is standard output.
///
/// It is no page: it tells what happened, so it is written at once, and stays when a page doesn't.
pub struct HeadersFile {
    output: Output,
    pub is_stdout: bool,
}

impl HeadersFile {
    /// Make it, or empty it.
    pub fn open(path: &Path, folders: bool) -> Result<HeadersFile, Failure> {
        let is_stdout = path.as_os_str() == "-";
        let output = if is_stdout {
            Output::stdout()?
        } else {
            let making = Making {
                folders,
                ..Making::default()
            };
            let output = Output::in_place(path, making)?;
            output.truncate(0)?;
            output
        };
        Ok(HeadersFile { output, is_stdout })
    }

    /// Write heads behind those that are there.
    pub async fn add(&self, heads: Vec<u8>) -> Result<(), Failure> {
        let writer = self.output.writer()?;
        super::console::write_head(writer, &heads)
            .await
            .map_err(|source| self.output.failed(source))
    }
}
